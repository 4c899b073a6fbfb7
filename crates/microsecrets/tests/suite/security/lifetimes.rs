//! A version's life: how long it lasts is signed, and the store's clock measures it.

use std::time::{Duration, SystemTime};

use microsecrets::item::{Base, Change, Committed, Content, Decision, ItemError, Note, OnConflict, Outcome, Selector};
use microsecrets::record::ChangeKind;

use super::{SIGNING, distrust};
use crate::process::{Process, environment, file, in_memory, nth, number, variables};
use crate::run;
use crate::worlds::FakeAws;

/// How many seconds a version lives.
const LIFE: u64 = 100;

/// Publishes a version that lives so long.
async fn mortal(process: &Process, text: &str) -> Committed {
    let decide = |_: &Base<'_>| {
        let content = match process.item.is_file() {
            true => in_memory(text.as_bytes()),
            false => Content::Environment(variables(text)),
        };
        let change = Change::new(ChangeKind::Upload, content).lifetime(Some(LIFE as i64));
        Ok(Decision::Commit(change))
    };
    match process.writer().write(OnConflict::Report, decide).await.unwrap() {
        Outcome::Committed(committed) => committed,
        _ => panic!("it was to be committed"),
    }
}

impl FakeAws {
    /// Sets the store's clock, which then stands still: so many seconds after the beginning.
    fn at(&self, begin: SystemTime, seconds: u64) {
        self.fake.freeze_clock(begin + Duration::from_secs(seconds));
    }
}

/// Whatever the machine's own clock says: when the version is made, it is far ahead of the store's clock, or far behind.
/// (A quarter of an hour is as much as S3 lets pass.)
#[test]
fn a_life_ends_by_the_stores_clock() {
    for begin in [
        SystemTime::now() - Duration::from_secs(800),
        SystemTime::now() + Duration::from_secs(700),
    ] {
        run(async {
            for item in [environment(), file("small")] {
                let aws = FakeAws::new();
                let ann = aws.signer(&item).await;
                aws.at(begin, 0);
                let first = mortal(&ann, "A=1").await;
                let ends = first.entry.record().expires.unwrap();
                assert_eq!(ends, first.entry.record().time.plus(LIFE as i64));
                for selector in [
                    Selector::Current,
                    nth(1),
                    Selector::Name(first.entry.record().name.clone()),
                ] {
                    for seconds in [0, 1, 79] {
                        aws.at(begin, seconds);
                        assert_eq!(ann.version(&selector).await.unwrap().notes, [], "{seconds}");
                    }
                    for seconds in [80, 99] {
                        aws.at(begin, seconds);
                        let notes = ann.version(&selector).await.unwrap().notes;
                        assert_eq!(notes, [Note::ExpiresSoon { at: ends }], "{seconds}");
                    }
                    for seconds in [100, 101, 190] {
                        aws.at(begin, seconds);
                        let why = distrust(ann.version(&selector).await);
                        assert_eq!(why, format!("it expired at {ends}, by the store's clock"), "{seconds}");
                    }
                }
            }
        });
    }
}

/// Only its content is not to be started any more: it is a base as good as any, and what comes after it lives.
#[test]
fn what_has_expired_can_be_written_over() {
    run(async {
        let begin = SystemTime::now();
        let aws = FakeAws::new();
        let ann = aws.signer(&environment()).await;
        aws.at(begin, 0);
        mortal(&ann, "A=1 B=2").await;
        aws.at(begin, 2 * LIFE);
        distrust(ann.current().await);
        assert_eq!(number(&ann.set("B", "3").await.unwrap()), 2);
        assert_eq!(ann.text().await.unwrap(), "A=1 B=3");
        distrust(ann.read(&nth(1)).await);
        mortal(&ann, "A=2").await;
        aws.at(begin, 4 * LIFE);
        distrust(ann.current().await);
        assert_eq!(number(&ann.delete().await.unwrap()), 4);
    });
}

/// The end of a life is in the record: nobody who cannot sign makes it longer.
#[test]
fn nobody_who_cannot_sign_lengthens_a_life() {
    run(async {
        let begin = SystemTime::now();
        let aws = FakeAws::new();
        let ann = aws.signer(&environment()).await;
        aws.at(begin, 0);
        mortal(&ann, "A=1").await;
        aws.at(begin, LIFE);
        let head = super::attacker::current(&aws.fake, &environment());
        let mut longer = head.record().clone();
        longer.expires = None;
        let entry = microsecrets::record::SignedRecord::new(longer).unwrap();
        let entry = entry.signed(head.entry().signature().unwrap().clone());
        let longer = super::attacker::head(entry, head.bytes().expose());
        super::attacker::overwrite(&aws.fake, &environment().head_key(), longer);
        let error = ann.current().await.unwrap_err();
        assert!(matches!(error, ItemError::Distrusted { .. }), "{error}");
        let (_, key) = aws.signing_key(SIGNING);
        assert_eq!(
            aws.signed_by(&key)
                .iter()
                .filter(|record| record.expires.is_none())
                .count(),
            0
        );
    });
}
