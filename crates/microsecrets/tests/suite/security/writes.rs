//! Everything that writes, on an item that an attacker is after.

use microsecrets::checksum::Checksum;
use microsecrets::document::Variables;
use microsecrets::item::{
    Applied, Base, Change, Content, Decision, Edits, ItemError, OnConflict, Outcome, Reader, Selector, VersionContent,
};
use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::record::{ChangeKind, Head, VersionRef};
use microsecrets::secret::SecretString;
use microsecrets::trust::VerifyKey;
use strict_fake::Handle;

use super::SIGNING;
use super::attacker::{EVIL, Forged, current, overwrite, plant};
use crate::process::{Process, environment, nth, number, variables};
use crate::worlds::FakeAws;

/// The number of the current version before an attack.
pub(super) const CURRENT: u64 = 3;

/// A number that nobody comes to by counting.
pub(super) const INFLATED: u64 = 90_000_000;

/// Everything that makes a version, or a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Write {
    Delete,
    Edit,
    FinishMigration,
    PromoteFrom,
    PromoteTo,
    ReSign,
    Rollback,
    Set,
    Unset,
    Upload,
}

pub(super) const WRITES: [Write; 10] = [
    Write::Delete,
    Write::Edit,
    Write::FinishMigration,
    Write::PromoteFrom,
    Write::PromoteTo,
    Write::ReSign,
    Write::Rollback,
    Write::Set,
    Write::Unset,
    Write::Upload,
];

pub(super) fn staging() -> Item {
    Item::environment("staging".parse().unwrap())
}

/// An item that 0.3.4 began and that is signed since, in migration still; and one that is promoted to it.
pub(super) struct Target {
    pub(super) aws: FakeAws,
    pub(super) key: VerifyKey,
    pub(super) ann: Process,
    /// What an editor was started with.
    pub(super) seen: Variables,
}

impl Target {
    pub(super) async fn new() -> Self {
        let aws = FakeAws::new();
        let (_, key) = aws.signing_key(SIGNING);
        let bytes = br#"{"environment": {"A": "1"}, "metadata": {}}"#;
        put_as_legacy(&aws.fake, &aws.key, "2020-01-01.00-00-00", bytes);
        let mut ann = aws.signer(&environment()).await;
        ann.adopt = ann.access().unsigned().await.unwrap().unwrap().accepts;
        assert_eq!(number(&ann.set("B", "2").await.unwrap()), 2);
        ann.adopt.clear();
        assert_eq!(number(&ann.set("C", "3").await.unwrap()), CURRENT);
        assert!(current(&aws.fake, &environment()).record().migration);
        aws.signer(&staging()).await.upload("A=staged").await.unwrap();
        let seen = variables(&ann.text().await.unwrap());
        Self { aws, key, ann, seen }
    }

    /// Makes a version or a head; `between` happens once the base is read.
    pub(super) async fn write(&self, write: Write, between: impl FnOnce()) -> Result<Outcome, ItemError> {
        let other = self.aws.signer(&staging()).await;
        let (process, item) = (&self.ann, environment());
        let change = |name: &str, value: Option<&str>| {
            let value = value.map(|value| SecretString::new(value.to_owned()));
            vec![(name.to_owned(), value)]
        };
        match write {
            Write::Delete => publish(process, ChangeKind::Delete, &|| Content::Deletion, between).await,
            Write::Upload => publish(process, ChangeKind::Upload, &|| own("A=mine"), between).await,
            Write::FinishMigration => process.writer().finish_migration().await,
            Write::ReSign => process.writer().re_sign().await,
            Write::Set => edit(process, Edits::new(item, change("OWN", Some("mine"))), between).await,
            Write::Unset => edit(process, Edits::new(item, change("B", None)), between).await,
            Write::Edit => {
                let edits = Edits::between(item, Some(&self.seen), &variables("A=1 B=edited C=3"));
                edit(process, edits, between).await
            }
            Write::Rollback => again(process, process, &nth(2), ChangeKind::Rollback(second()), between).await,
            Write::PromoteTo => {
                let kind = ChangeKind::Promote(staging().service().clone(), second());
                again(&other, process, &Selector::Current, kind, between).await
            }
            Write::PromoteFrom => again(process, &other, &Selector::Current, promoted(), between).await,
        }
    }

    #[track_caller]
    pub(super) fn assert_nothing_evil_is_signed(&self, context: &str) {
        self.aws.assert_nothing_evil_is_signed(&self.key, CURRENT + 2, context);
    }
}

/// What is promoted from the item.
pub(super) fn promoted() -> ChangeKind {
    ChangeKind::Promote(environment().service().clone(), second())
}

fn second() -> VersionRef {
    VersionRef::Number(Number::new(2).unwrap())
}

fn own(text: &str) -> Content {
    Content::Environment(variables(text))
}

/// Puts what 0.3.4 would put: bytes without our mark.
fn put_as_legacy(fake: &Handle, kms_key: &str, second: &str, bytes: &[u8]) -> String {
    let name = format!("{second}.{}", Checksum::of(bytes)).parse().unwrap();
    let key = environment().version_key(&name);
    plant(fake, kms_key, &key, bytes.to_vec(), None);
    key
}

async fn publish(
    process: &Process,
    kind: ChangeKind,
    content: &dyn Fn() -> Content,
    between: impl FnOnce(),
) -> Result<Outcome, ItemError> {
    let mut between = Some(between);
    let decide = |_: &Base<'_>| {
        if let Some(happen) = between.take() {
            happen();
        }
        Ok(Decision::Commit(Change::new(kind.clone(), content())))
    };
    process.writer().write(OnConflict::Report, decide).await
}

async fn edit(process: &Process, mut edits: Edits, between: impl FnOnce()) -> Result<Outcome, ItemError> {
    let mut between = Some(between);
    let decide = |base: &Base<'_>| {
        if let Some(happen) = between.take() {
            happen();
        }
        Ok(match edits.apply(base)? {
            Applied::Variables(variables) => {
                Decision::Commit(Change::new(ChangeKind::Edit, Content::Environment(variables)))
            }
            _ => Decision::Keep,
        })
    };
    process.writer().write(OnConflict::Reapply, decide).await
}

/// Publishes what an old version holds.
pub(super) async fn again(
    from: &Process,
    to: &Process,
    selector: &Selector,
    kind: ChangeKind,
    between: impl FnOnce(),
) -> Result<Outcome, ItemError> {
    let version = Reader::new(from.access()).past(true).read(selector).await?;
    let VersionContent::Environment(document) = version.content else {
        panic!("it is an environment");
    };
    let content = || Content::Environment(document.variables.duplicate());
    publish(to, kind, &content, between).await
}

/// Puts something else in the place of the head.
pub(super) fn replace(fake: &Handle, body: impl FnOnce(&Head) -> Vec<u8>) {
    let body = body(&current(fake, &environment()));
    overwrite(fake, &environment().head_key(), body);
}

/// The attacker's head, whose number nobody comes to by counting.
pub(super) fn evil_head(fake: &Handle) {
    replace(fake, |base| Forged::numbered(base.record(), INFLATED, EVIL).head());
}

/// The head as it is, with what an attacker wants in it.
pub(super) fn evil_successor(fake: &Handle) {
    replace(fake, |base| {
        let number = base.record().number.get();
        Forged::numbered(base.record(), number, EVIL).head()
    });
}
