//! The records of an item are a chain: whatever is done to one link, the first that does not hold is named.

use std::cell::Cell;

use microsecrets::item::{BadLink, Broken, ItemError};
use microsecrets::layout::Item;
use microsecrets::name::{Nonce, Number, VersionName};
use microsecrets::record::{ChangeKind, Head, Record, SignedRecord};
use microsecrets::time::Timestamp;
use microsecrets::trust::Distrust;

use super::SIGNING;
use super::attacker::{Forged, head, overwrite};
use crate::process::{Process, environment, file};
use crate::run;
use crate::worlds::{BUCKET, FakeAws};

const LENGTH: u64 = 12;

/// A history of signed versions.
struct History {
    aws: FakeAws,
    item: Item,
    /// Demands signatures.
    signed: Process,
    /// Does not.
    unsigned: Process,
    records: Vec<Record>,
    /// How often the chain was found to be broken.
    found: Cell<usize>,
}

impl History {
    async fn new(item: Item) -> Self {
        let aws = FakeAws::new();
        let signed = aws.signer(&item).await;
        let mut records = Vec::new();
        for version in 1..=LENGTH {
            let committed = match item.is_file() {
                false => signed.upload(&format!("A={version}")).await.unwrap(),
                true => signed.upload_file(&[version as u8; 100]).await.unwrap(),
            };
            records.push(committed.entry.record().clone());
        }
        let history = Self {
            unsigned: aws.ann(&item).await,
            found: Cell::new(0),
            aws,
            item,
            signed,
            records,
        };
        for process in [&history.signed, &history.unsigned] {
            let chain = process.access().verify_chain(Number::FIRST).await.unwrap().unwrap();
            assert_eq!((chain.first.get(), chain.last.get()), (1, LENGTH));
        }
        history
    }

    fn record(&self, number: u64) -> &Record {
        &self.records[number as usize - 1]
    }

    fn key(&self, number: u64) -> String {
        self.item.log_key(Number::new(number).unwrap())
    }

    /// Puts a record in the place of a log entry.
    fn put(&self, number: u64, entry: &SignedRecord) {
        overwrite(&self.aws.fake, &self.key(number), entry.to_bytes());
    }

    /// Signs a record and puts it in the place of a log entry.
    fn put_signed(&self, number: u64, change: impl FnOnce(&mut Record)) {
        let mut record = self.record(number).clone();
        change(&mut record);
        self.put(number, &self.aws.sign(SIGNING, record));
    }

    /// The first bad link that a process finds; the log entry is then as it was before.
    async fn bad_link(&self, process: &Process, changed: &[u64]) -> BadLink {
        let bad = process.access().verify_chain(Number::FIRST).await.unwrap().unwrap_err();
        for number in changed {
            self.aws.fake.remove_newest(BUCKET, &self.key(*number));
        }
        self.found.set(self.found.get() + 1);
        bad
    }

    /// The chain is whole again, and was found to be broken so often.
    async fn assert_found(&self, count: usize) {
        for process in [&self.signed, &self.unsigned] {
            process.access().verify_chain(Number::FIRST).await.unwrap().unwrap();
        }
        assert_eq!(self.found.get(), count);
    }
}

/// Why a link is not believed.
fn distrust(bad: &BadLink) -> &Distrust {
    let Broken::Entry(error) = &bad.broken else {
        panic!("{}", bad.broken);
    };
    let ItemError::Distrusted { source, .. } = &**error else {
        panic!("{error}");
    };
    source
}

#[track_caller]
fn assert_parent(bad: &BadLink, number: u64, named: Option<&VersionName>, before: Option<&VersionName>) {
    let Broken::Parent { found, wanted } = &bad.broken else {
        panic!("{}", bad.broken);
    };
    assert_eq!(bad.number.get(), number);
    assert_eq!((found.as_ref(), wanted.as_ref()), (named, before));
}

#[test]
fn a_link_that_was_dropped_is_named() {
    for item in [environment(), file("x")] {
        run(async {
            let history = History::new(item.clone()).await;
            for number in 1..LENGTH {
                for process in [&history.signed, &history.unsigned] {
                    let body = history.aws.fake.object(BUCKET, &history.key(number)).unwrap().body;
                    assert!(history.aws.fake.remove(BUCKET, &history.key(number)));
                    let bad = history.bad_link(process, &[]).await;
                    assert!(matches!(bad.broken, Broken::Missing), "{}", bad.broken);
                    assert_eq!(bad.number.get(), number);
                    super::attacker::plant(&history.aws.fake, &history.aws.key, &history.key(number), body, None);
                }
            }
            // A crash leaves the newest one out. It is in the head, so it is not lost.
            assert!(history.aws.fake.remove(BUCKET, &history.key(LENGTH)));
            history.assert_found(2 * 11).await;
        });
    }
}

#[test]
fn links_that_were_swapped_are_named() {
    run(async {
        let history = History::new(environment()).await;
        for second in 2..=LENGTH {
            for first in 1..second {
                let body = |number| history.aws.fake.object(BUCKET, &history.key(number)).unwrap().body;
                let (low, high) = (body(first), body(second));
                overwrite(&history.aws.fake, &history.key(first), high);
                overwrite(&history.aws.fake, &history.key(second), low);
                let bad = history.bad_link(&history.signed, &[first, second]).await;
                assert_eq!(bad.number.get(), first);
                let found = Number::new(second).unwrap();
                let wanted = Number::new(first).unwrap();
                assert_eq!(*distrust(&bad), Distrust::OtherNumber { found, wanted });
            }
        }
        history.assert_found(66).await;
    });
}

/// Both sides of a fork are signed, and each names where it comes from: one that is put into the other does not fit.
#[test]
fn a_link_of_another_branch_is_named() {
    run(async {
        let history = History::new(environment()).await;
        for number in 1..=LENGTH {
            let parent = number
                .checked_sub(1)
                .filter(|before| *before > 0)
                .map(|before| &history.record(before).name);
            // It comes from elsewhere.
            let stranger = Forged::after(history.record(LENGTH), "A=stranger").record.name;
            history.put_signed(number, |record| record.parent = Some(stranger.clone()));
            let bad = history.bad_link(&history.signed, &[number]).await;
            if number == LENGTH {
                assert!(matches!(bad.broken, Broken::Head), "{}", bad.broken);
                assert_eq!(bad.number.get(), LENGTH);
            } else {
                assert_parent(&bad, number, Some(&stranger), parent);
            }
            // Or from the same version, and what comes next is not built on it.
            let fork = Forged::numbered(history.record(number), number, "A=fork").with(|record| {
                record.parent = parent.cloned();
            });
            history.put(number, &history.aws.sign(SIGNING, fork.record.clone()));
            let bad = history.bad_link(&history.signed, &[number]).await;
            if number == LENGTH {
                assert!(matches!(bad.broken, Broken::Head), "{}", bad.broken);
                assert_eq!(bad.number.get(), LENGTH);
            } else {
                let next = history.record(number).name.clone();
                assert_parent(&bad, number + 1, Some(&next), Some(&fork.record.name));
            }
        }
        history.assert_found(24).await;
    });
}

/// What the head says of its parent is signed, so it is the head's word that counts: not that of a log entry which
/// nobody has signed.
#[test]
fn a_branch_is_not_hidden_by_a_log_entry_that_nobody_signed() {
    run(async {
        let history = History::new(environment()).await;
        let before = LENGTH - 1;
        let fork = Forged::numbered(history.record(before - 1), before, "A=fork").with(|record| {
            record.parent = Some(history.record(before - 1).name.clone());
        });
        history.put(before, &history.aws.sign(SIGNING, fork.record.clone()));
        let mut liar = history.record(LENGTH).clone();
        liar.parent = Some(fork.record.name.clone());
        history.put(LENGTH, &SignedRecord::new(liar).unwrap());
        let bad = history.bad_link(&history.signed, &[before, LENGTH]).await;
        assert_eq!(bad.number.get(), LENGTH);
        history.assert_found(1).await;
    });
}

#[test]
fn a_link_that_leads_back_to_a_later_one_is_named() {
    run(async {
        let history = History::new(environment()).await;
        for number in 1..LENGTH {
            for later in number..=LENGTH {
                let later = history.record(later).name.clone();
                history.put_signed(number, |record| record.parent = Some(later.clone()));
                let bad = history.bad_link(&history.signed, &[number]).await;
                let before = number.checked_sub(1).filter(|before| *before > 0);
                assert_parent(
                    &bad,
                    number,
                    Some(&later),
                    before.map(|before| &history.record(before).name),
                );
            }
        }
        history.assert_found(77).await;
    });
}

/// Names grow: a link that names the right one before it, and is itself older, is no later version.
#[test]
fn a_link_whose_name_is_older_than_the_one_before_is_named() {
    run(async {
        let history = History::new(environment()).await;
        for number in 2..LENGTH {
            let name = history.record(number).name.clone();
            let old: VersionName = format!("2020-01-01.00-00-00.{}", name.checksum()).parse().unwrap();
            history.put_signed(number, |record| record.name = old);
            let bad = history.bad_link(&history.signed, &[number]).await;
            assert!(matches!(bad.broken, Broken::Order), "{}", bad.broken);
            assert_eq!(bad.number.get(), number);
        }
        history.assert_found(10).await;
    });
}

/// The newest one's log entry is vouched for by the head, which is signed and says the same.
#[test]
fn a_link_that_nobody_signed_is_named() {
    run(async {
        let history = History::new(environment()).await;
        for number in 1..LENGTH {
            history.put(number, &SignedRecord::new(history.record(number).clone()).unwrap());
            let bad = history.bad_link(&history.signed, &[number]).await;
            assert_eq!((bad.number.get(), distrust(&bad)), (number, &Distrust::Unsigned));

            let other = history.aws.sign("alias/other", history.record(number).clone());
            history.put(number, &other);
            let bad = history.bad_link(&history.signed, &[number]).await;
            assert_eq!((bad.number.get(), distrust(&bad)), (number, &Distrust::BadSignature));

            let next = history.aws.sign(SIGNING, history.record(number + 1).clone());
            let entry = SignedRecord::new(history.record(number).clone()).unwrap();
            history.put(number, &entry.signed(next.signature().unwrap().clone()));
            let bad = history.bad_link(&history.signed, &[number]).await;
            assert_eq!((bad.number.get(), distrust(&bad)), (number, &Distrust::BadSignature));
        }
        history.assert_found(33).await;
    });
}

/// A field, and what else is said in it.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Record));

/// Where nobody signs, that is all there is to compare.
#[test]
fn a_head_that_says_something_else_than_its_log_entry_is_named() {
    run(async {
        let history = History::new(file("x")).await;
        let changes: [Change<'_>; 9] = [
            ("expires", &|record| {
                record.expires = Timestamp::from_unix(4_000_000_000);
            }),
            ("kind", &|record| record.kind = ChangeKind::Set),
            ("message", &|record| record.message = Some("in their words".to_owned())),
            ("mode", &|record| record.mode = Some(0o777)),
            ("nonce", &|record| record.nonce = Nonce::random()),
            ("parent", &|record| record.parent = None),
            ("size", &|record| record.size += 1),
            ("time", &|record| record.time = record.time.plus(1)),
            ("user", &|record| record.user = Some("eve@test".to_owned())),
        ];
        for (field, change) in changes {
            for process in [&history.signed, &history.unsigned] {
                // Signed or not: the log entry of the newest version is believed for what the head says too.
                for sign in [true, false] {
                    let mut record = history.record(LENGTH).clone();
                    change(&mut record);
                    let entry = match sign {
                        true => history.aws.sign(SIGNING, record),
                        false => SignedRecord::new(record).unwrap(),
                    };
                    history.put(LENGTH, &entry);
                    let bad = history.bad_link(process, &[LENGTH]).await;
                    assert!(matches!(bad.broken, Broken::Head), "{field}: {}", bad.broken);
                    assert_eq!(bad.number.get(), LENGTH);
                }
            }
        }
        history.assert_found(36).await;
    });
}

/// A head put again by its own writers says the same, but for the end of a migration and who signed it.
#[test]
fn a_head_that_was_signed_again_still_fits_its_log_entry() {
    run(async {
        let mut history = History::new(environment()).await;
        let (_, first) = history.aws.signing_key(SIGNING);
        let (_, second) = history.aws.signing_key("alias/second");
        history.signed.checks.verify_keys = vec![second, first];
        history.signed.sign_with = Some("alias/second".to_owned());
        history.signed.writer().re_sign().await.unwrap();
        let body = history.aws.fake.object(BUCKET, &history.item.head_key()).unwrap().body;
        assert_ne!(
            Head::parse(&body).unwrap().record().signer,
            history.record(LENGTH).signer
        );
        history.assert_found(0).await;
    });
}

/// A head that is signed, and stands on a version that was never in this bucket.
#[test]
fn a_head_of_another_branch_is_named() {
    run(async {
        let history = History::new(environment()).await;
        let head_key = history.item.head_key();
        let fork = Forged::after(history.record(LENGTH - 1), "A=fork");
        let next = Forged::after(&fork.record, "A=next");
        for forged in [&fork, &next] {
            let body = head(history.aws.sign(SIGNING, forged.record.clone()), &forged.bytes);
            overwrite(&history.aws.fake, &head_key, body);
            let bad = history.bad_link(&history.signed, &[]).await;
            match forged.record.number.get() {
                LENGTH => assert!(matches!(bad.broken, Broken::Head), "{}", bad.broken),
                after => {
                    let (named, before) = (&fork.record.name, &history.record(LENGTH).name);
                    assert_parent(&bad, after, Some(named), Some(before));
                }
            }
            history.aws.fake.remove_newest(BUCKET, &head_key);
        }
        history.assert_found(2).await;
    });
}
