//! Old versions put back: they are signed, every one of them, so only who remembers notices.

use std::time::Duration;

use bytes::Bytes;
use microsecrets::checksum::Digest;
use microsecrets::freshness::{Seen, StateError, StateFile};
use microsecrets::item::{ItemError, Reader, Selector, Version};
use microsecrets::name::{Number, VersionName};
use microsecrets::record::{Head, Record};
use tempfile::TempDir;

use super::attacker::{Forged, current, head, overwrite, plant};
use super::{SIGNING, distrust};
use crate::process::{Process, environment, file, nth, number};
use crate::run;
use crate::worlds::{BUCKET, FakeAws};

/// How many versions there are.
const NEWEST: u64 = 8;

/// A history of signed versions, and what is remembered of it.
struct History {
    aws: FakeAws,
    /// The head of each version when it was the current one, and the record in it.
    heads: Vec<(Record, Bytes)>,
    /// Reads whatever is signed, however old.
    forgetful: Process,
    /// Reads signed versions from the newest on.
    signed: Process,
    /// Reads versions from the newest on, signed or not.
    unsigned: Process,
    state: StateFile,
    _folder: TempDir,
}

impl History {
    async fn new(is_file: bool) -> Self {
        let item = if is_file { file("x") } else { environment() };
        let aws = FakeAws::new();
        let ann = aws.signer(&item).await;
        let mut heads = Vec::new();
        for version in 1..=NEWEST {
            let text = format!("A={version}");
            let committed = match is_file {
                true => ann.upload_file(text.as_bytes()).await,
                false => ann.upload(&text).await,
            };
            let record = committed.unwrap().entry.record().clone();
            heads.push((record, aws.fake.object(BUCKET, &item.head_key()).unwrap().body));
        }
        let (mut signed, mut unsigned) = (aws.signer(&item).await, aws.ann(&item).await);
        for process in [&mut signed, &mut unsigned] {
            process.checks.min_version = Number::new(NEWEST);
        }
        let folder = TempDir::new().unwrap();
        let history = Self {
            state: StateFile::new(folder.path().join("state")),
            _folder: folder,
            forgetful: ann,
            aws,
            heads,
            signed,
            unsigned,
        };
        history.assert_nothing_is_refused().await;
        history
    }

    /// Whoever remembers is content with the newest version.
    async fn assert_nothing_is_refused(&self) {
        for process in [&self.signed, &self.unsigned] {
            process.current().await.unwrap();
        }
        let version = self.forgetful.version(&Selector::Current).await.unwrap();
        self.observe(&version).await.unwrap();
    }

    async fn observe(&self, version: &Version) -> Result<(), StateError> {
        let (facts, item) = (&version.facts, &self.forgetful.item);
        let seen = Seen::new(BUCKET, item, facts.number(), facts.name.checksum());
        self.state.observe(&[seen], false, Duration::from_secs(30)).await
    }

    /// That this older version, which is the current one now, is refused by everybody who remembers; and by who writes.
    async fn assert_refused(&self, found: u64) {
        for process in [&self.signed, &self.unsigned] {
            let why = format!("it is version {found}, but {NEWEST} is the least that is accepted");
            assert_eq!(distrust(process.current().await), why);
            assert_eq!(distrust(process.read(&nth(found)).await), why);
        }
        let version = self.forgetful.version(&Selector::Current).await.unwrap();
        assert_eq!(version.facts.number().map(Number::get), Some(found));
        let back = self.observe(&version).await.unwrap_err();
        assert!(
            matches!(back, StateError::Back { found: back, seen: NEWEST, .. } if back == found),
            "{back}"
        );
        let puts = self.aws.puts();
        distrust(self.signed.delete().await);
        assert_eq!(self.aws.puts(), puts);
    }

    fn head_key(&self) -> String {
        self.forgetful.item.head_key()
    }

    fn record(&self, number: u64) -> &Record {
        &self.heads[number as usize - 1].0
    }

    /// Puts the head of a version back, byte for byte.
    fn put_back(&self, number: u64) {
        let body = self.heads[number as usize - 1].1.clone();
        plant(&self.aws.fake, &self.aws.key, &self.head_key(), body, None);
    }

    /// A name after all there are, for the content of a version.
    fn newer_name(&self, number: u64) -> VersionName {
        let newest = self.record(NEWEST);
        let name = VersionName::after(Some(&newest.name), newest.time, self.record(number).checksum());
        name.unwrap()
    }
}

#[test]
fn an_old_head_put_back_is_refused() {
    for is_file in [false, true] {
        run(async {
            let history = History::new(is_file).await;
            for number in 1..NEWEST {
                history.put_back(number);
                history.assert_refused(number).await;
                history.aws.fake.remove_newest(BUCKET, &history.head_key());
                history.assert_nothing_is_refused().await;
            }
        });
    }
}

/// Two versions of one number, both signed: a bucket that was restored and written again, and put back since.
#[test]
fn another_version_of_the_same_number_is_refused() {
    run(async {
        let history = History::new(false).await;
        let fork = Forged::after(history.record(NEWEST - 1), "A=fork");
        let fork = head(history.aws.sign(SIGNING, fork.record.clone()), &fork.bytes);
        overwrite(&history.aws.fake, &history.head_key(), fork);
        let version = history.signed.version(&Selector::Current).await.unwrap();
        assert_eq!(version.facts.number().map(Number::get), Some(NEWEST));
        let sideways = history.observe(&version).await.unwrap_err();
        assert!(
            matches!(sideways, StateError::Sideways { number: NEWEST, .. }),
            "{sideways}"
        );
    });
}

/// As ours, and as 0.3.4's: bytes alone are no version where there is a head, whatever the name they lie under.
#[test]
fn old_bytes_under_a_newer_name_are_no_newer_version() {
    for is_file in [false, true] {
        run(async {
            let history = History::new(is_file).await;
            let (item, fake) = (history.forgetful.item.clone(), &history.aws.fake);
            for number in 1..NEWEST {
                let (record, name) = (history.record(number).clone(), history.newer_name(number));
                let bytes = fake.object(BUCKET, &item.version_key(&record.name)).unwrap().body;
                let key = item.version_key(&name);
                for mark in [Some(record.nonce), None] {
                    plant(fake, &history.aws.key, &key, bytes.clone(), mark);
                    for process in [&history.signed, &history.unsigned] {
                        // Who takes the current version takes the head's.
                        let version = process.version(&Selector::Current).await.unwrap();
                        assert_eq!(version.facts.number().map(Number::get), Some(NEWEST));
                        let digest = Digest::Sha256(record.checksum());
                        for selector in [Selector::Name(name.clone()), Selector::Digest(digest)] {
                            distrust(process.read(&selector).await);
                        }
                        assert_newest_or_refused(process, mark.is_none()).await;
                    }
                    fake.remove(BUCKET, &key);
                }
            }
        });
    }
}

/// Who looks beyond the head for what 0.3.4 wrote finds what has no number and no signature.
async fn assert_newest_or_refused(process: &Process, is_legacy: bool) {
    let scanned = Reader::new(process.access()).scan(true).read(&Selector::Current).await;
    if !is_legacy {
        assert_eq!(scanned.unwrap().facts.number().map(Number::get), Some(NEWEST));
        return;
    }
    let why = match process.checks.demand_signatures() {
        true => "it is not signed, but a signature is required".to_owned(),
        false => format!("it has no number, but {NEWEST} is the least that is accepted"),
    };
    assert_eq!(distrust(scanned), why);
}

/// What a bucket is that was restored to an older state, or in which somebody has tidied up.
#[test]
fn a_history_whose_end_is_gone_is_refused() {
    for is_file in [false, true] {
        for gone in 1..NEWEST {
            run(async {
                let history = History::new(is_file).await;
                let fake = &history.aws.fake;
                remove_newest(&history, gone);
                history.put_back(NEWEST - gone);
                history.assert_refused(NEWEST - gone).await;
                for number in NEWEST - gone + 1..=NEWEST {
                    let missing = history.forgetful.read(&nth(number)).await.unwrap_err();
                    assert!(matches!(missing, ItemError::NoSuchNumber { .. }), "{missing}");
                }
                // The head is gone too.
                fake.remove(BUCKET, &history.head_key());
                assert_headless_is_refused(&history).await;
            });
        }
    }
}

#[test]
fn a_history_that_is_gone_is_refused() {
    run(async {
        let history = History::new(false).await;
        remove_newest(&history, NEWEST);
        history.aws.fake.remove(BUCKET, &history.head_key());
        let never = history.signed.current().await.unwrap_err();
        assert!(matches!(never, ItemError::NeverSigned { .. }), "{never}");
        let absent = history.unsigned.current().await.unwrap_err();
        assert!(matches!(absent, ItemError::Absent { .. }), "{absent}");
        // The last bytes without their mark: what 0.3.4 might have written has no number.
        let (_, newest) = &history.heads[NEWEST as usize - 1];
        let bytes = Head::parse(newest).unwrap().bytes().expose().to_vec();
        let key = history.forgetful.item.version_key(&history.record(NEWEST).name);
        plant(&history.aws.fake, &history.aws.key, &key, bytes, None);
        let why = distrust(history.unsigned.current().await);
        assert_eq!(
            why,
            format!("it has no number, but {NEWEST} is the least that is accepted")
        );
        let credulous = history.aws.ann(&environment()).await;
        let legacy = credulous.version(&Selector::Current).await.unwrap();
        let nobodys = history.observe(&legacy).await.unwrap_err();
        assert!(matches!(nobodys, StateError::NoNumber { .. }), "{nobodys}");
    });
}

/// Removes the bytes and the log entries of the newest versions.
fn remove_newest(history: &History, count: u64) {
    let (fake, item) = (&history.aws.fake, &history.forgetful.item);
    for number in NEWEST - count + 1..=NEWEST {
        let record = history.record(number);
        assert!(fake.remove(BUCKET, &item.version_key(&record.name)));
        assert!(fake.remove(BUCKET, &item.log_key(record.number)));
    }
}

/// Without a head there is nothing that is signed, and without signatures our mark tells that there was one.
async fn assert_headless_is_refused(history: &History) {
    let never = history.signed.current().await.unwrap_err();
    assert!(matches!(never, ItemError::NeverSigned { .. }), "{never}");
    let missing = history.unsigned.current().await.unwrap_err();
    assert!(matches!(missing, ItemError::HeadMissing { .. }), "{missing}");
    for process in [&history.signed, &history.unsigned] {
        let puts = history.aws.puts();
        let outdated = match process.item.is_file() {
            false => process.upload("A=9").await.unwrap_err(),
            true => process.upload_file(b"A=9").await.unwrap_err(),
        };
        assert!(matches!(outdated, ItemError::HeadOutdated { .. }), "{outdated}");
        assert_eq!(history.aws.puts(), puts);
    }
}

/// Nor does a version that was put back become the base of the next one: its number would be given a second time.
#[test]
fn nothing_is_written_over_an_old_head_that_lies_below_its_log() {
    run(async {
        let history = History::new(false).await;
        for number in 1..NEWEST {
            history.put_back(number);
            let puts = history.aws.puts();
            let outdated = history.forgetful.set("B", "2").await.unwrap_err();
            assert!(matches!(outdated, ItemError::HeadOutdated { .. }), "{outdated}");
            assert_eq!(history.aws.puts(), puts);
        }
        history.put_back(NEWEST);
        assert_eq!(current(&history.aws.fake, &environment()).record().number.get(), NEWEST);
        assert_eq!(number(&history.forgetful.set("B", "2").await.unwrap()), NEWEST + 1);
    });
}
