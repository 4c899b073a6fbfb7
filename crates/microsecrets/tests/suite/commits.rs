//! An item's life: published, changed, deleted, published again, by one and by many.

use microsecrets::checksum::{Checksum, Digest};
use microsecrets::item::{Content, ItemError, Note, Selector};
use microsecrets::record::{ChangeKind, SignedRecord, State, VersionRef};
use microsecrets::store::Get;

use crate::meanwhile;
use crate::process::{environment, nth, number, variables};
use crate::worlds::World;

on_every_store!(
    the_first_write_makes_the_item,
    each_write_is_one_version_more,
    an_older_version_is_found_by_number_name_and_checksum,
    an_upload_that_lost_says_who_won,
    an_edit_is_applied_again_to_what_somebody_else_committed,
    what_was_deleted_is_said_to_be_and_can_be_published_again,
    an_old_version_is_published_anew,
    items_do_not_see_each_other,
    nothing_is_there_before_the_first_write,
);

async fn the_first_write_makes_the_item(world: &World) {
    let writer = world.process(&environment()).await;
    let committed = writer.upload("A=1 B=two").await.unwrap();
    let record = committed.entry.record();
    assert_eq!((record.number.get(), record.state), (1, State::Live));
    assert_eq!((record.kind.clone(), record.parent.clone()), (ChangeKind::Upload, None));
    assert_eq!(record.bucket, writer.store.bucket());
    assert!(committed.notes.is_empty(), "{:?}", committed.notes);

    let reader = world.process(&environment()).await;
    let version = reader.version(&Selector::Current).await.unwrap();
    assert_eq!(version.facts.key, committed.key);
    assert_eq!(version.facts.entry.as_ref().unwrap().record(), record);
    assert_eq!(version.facts.encryption, world.encryption());
    assert!(version.notes.is_empty(), "{:?}", version.notes);
    assert_eq!(crate::process::content(version).await.unwrap(), b"A=1 B=two");

    // 0.3.4 finds the bytes in its place, and the log has the record.
    let bytes = crate::get(&*reader.store, &committed.key).await.unwrap();
    assert_eq!(Checksum::of(&bytes), record.checksum());
    let log = reader
        .store
        .get(Get::whole(environment().log_key(record.number), 9_999))
        .await;
    let logged = SignedRecord::parse(&crate::whole(&log.unwrap())).unwrap();
    assert_eq!(logged.record(), record);
}

async fn each_write_is_one_version_more(world: &World) {
    let writer = world.process(&environment()).await;
    let mut before: Option<SignedRecord> = None;
    for count in 1..=5 {
        let committed = writer.upload(&format!("COUNT={count}")).await.unwrap();
        let record = committed.entry.record();
        assert_eq!(record.number.get(), count);
        if let Some(before) = &before {
            assert_eq!(record.parent.as_ref(), Some(&before.record().name));
            assert!(record.name > before.record().name, "names go up, as 0.3.4 reads them");
        }
        assert_eq!(writer.text().await.unwrap(), format!("COUNT={count}"));
        before = Some(committed.entry);
    }
    for count in 1..=5 {
        let text = format!("COUNT={count}");
        assert_eq!(writer.read(&nth(count)).await.unwrap(), text.as_bytes());
    }
    let missing = writer.read(&nth(6)).await.unwrap_err();
    assert!(matches!(missing, ItemError::NoSuchNumber { .. }), "{missing}");
}

async fn an_older_version_is_found_by_number_name_and_checksum(world: &World) {
    let process = world.process(&environment()).await;
    let first = process.upload("A=1").await.unwrap();
    let second = process.upload("A=2").await.unwrap();
    let name = first.entry.record().name.clone();
    let digest = Digest::Sha256(name.checksum());
    for selector in [Selector::Name(name.clone()), Selector::Digest(digest.clone()), nth(1)] {
        let version = process.version(&selector).await.unwrap();
        let is_numbered = matches!(selector, Selector::Number(_));
        let newer = Note::NewerExists {
            number: Some(second.entry.record().number),
            name: second.entry.record().name.clone(),
        };
        assert_eq!(version.notes.contains(&newer), !is_numbered, "{selector:?}");
        assert_eq!(crate::process::content(version).await.unwrap(), b"A=1");
    }
    let mismatch = process.read(&Selector::CurrentWith(digest)).await.unwrap_err();
    assert!(matches!(mismatch, ItemError::PinMismatch { .. }), "{mismatch}");
    let nowhere = Digest::Sha256(Checksum::of(b"never published"));
    let missing = process.read(&Selector::Digest(nowhere)).await.unwrap_err();
    assert!(matches!(missing, ItemError::NoSuchVersion { .. }), "{missing}");
}

async fn an_upload_that_lost_says_who_won(world: &World) {
    for base in [0, 1] {
        let item = crate::process::file(&format!("base-{base}"));
        let ann = world.process(&item).await;
        if base > 0 {
            ann.upload_file(b"base").await.unwrap();
        }
        let bob_commits = || {
            meanwhile(async || {
                let bob = world.process(&item).await;
                assert_eq!(number(&bob.upload_file(b"bob").await.unwrap()), base + 1);
            });
        };
        let upload = || crate::process::in_memory(b"ann");
        let lost = ann.commit_after(ChangeKind::Upload, upload, bob_commits).await;
        let lost = lost.unwrap_err();
        assert!(
            matches!(&lost, ItemError::Conflict { by, .. }
                if by.number.get() == base + 1 && by.user.as_deref() == Some("ann@test") && by.kind == "upload"),
            "{lost}"
        );
        assert_eq!(ann.current().await.unwrap(), b"bob");
    }
}

async fn an_edit_is_applied_again_to_what_somebody_else_committed(world: &World) {
    let ann = world.process(&environment()).await;
    ann.upload("A=1").await.unwrap();
    let bob_commits = || {
        meanwhile(async || {
            let bob = world.process(&environment()).await;
            assert_eq!(number(&bob.set("B", "bob").await.unwrap()), 2);
        });
    };
    let committed = ann.set_after("C", "ann", bob_commits).await.unwrap();
    assert_eq!(number(&committed), 3);
    assert_eq!(ann.text().await.unwrap(), "A=1 B=bob C=ann");
    assert_eq!(ann.read(&nth(2)).await.unwrap(), b"A=1 B=bob");
}

async fn what_was_deleted_is_said_to_be_and_can_be_published_again(world: &World) {
    let process = world.process(&environment()).await;
    process.upload("A=1").await.unwrap();
    assert_eq!(number(&process.delete().await.unwrap()), 2);
    let deleted = process.current().await.unwrap_err();
    assert!(
        matches!(&deleted, ItemError::Deleted { number, user, .. }
            if number.get() == 2 && user.as_deref() == Some("ann@test")),
        "{deleted}"
    );
    assert_eq!(process.read(&nth(1)).await.unwrap(), b"A=1");
    let deletion = process.read(&nth(2)).await.unwrap_err();
    assert!(matches!(deletion, ItemError::VersionDeleted { .. }), "{deletion}");

    assert_eq!(number(&process.upload("A=2").await.unwrap()), 3);
    assert_eq!(process.text().await.unwrap(), "A=2");
    assert_eq!(process.read(&nth(1)).await.unwrap(), b"A=1");
    // What is not there any more can be deleted once more; it is a version like any other.
    assert_eq!(number(&process.delete().await.unwrap()), 4);
    assert_eq!(number(&process.delete().await.unwrap()), 5);
}

/// `rollback` makes a new version: the old content, under a new name, with a new salt.
async fn an_old_version_is_published_anew(world: &World) {
    let process = world.process(&environment()).await;
    let first = process.upload("A=1").await.unwrap();
    process.upload("A=2").await.unwrap();
    let back = process
        .commit(
            ChangeKind::Rollback(VersionRef::Number(first.entry.record().number)),
            || Content::Environment(variables("A=1")),
        )
        .await
        .unwrap();
    assert_eq!(number(&back), 3);
    assert_eq!(process.text().await.unwrap(), "A=1");
    assert_ne!(back.key, first.key);
    assert_ne!(back.entry.record().checksum(), first.entry.record().checksum());
    assert_eq!(process.read(&nth(2)).await.unwrap(), b"A=2");
}

async fn items_do_not_see_each_other(world: &World) {
    let others = [
        microsecrets::layout::Item::environment("api-2".parse().unwrap()),
        microsecrets::layout::Item::environment("ap".parse().unwrap()),
        crate::process::file("environment"),
        crate::process::file("x"),
    ];
    world.process(&environment()).await.upload("A=1").await.unwrap();
    for item in &others {
        let process = world.process(item).await;
        let absent = process.current().await.unwrap_err();
        assert!(matches!(absent, ItemError::Absent { .. }), "{absent}");
    }
    for item in &others {
        let process = world.process(item).await;
        let committed = match item.is_file() {
            true => process.upload_file(b"bytes").await,
            false => process.upload("B=1").await,
        };
        assert_eq!(number(&committed.unwrap()), 1);
    }
    assert_eq!(world.process(&environment()).await.text().await.unwrap(), "A=1");
}

async fn nothing_is_there_before_the_first_write(world: &World) {
    let process = world.process(&environment()).await;
    let checksum = Checksum::of(b"x");
    for selector in [
        Selector::Current,
        Selector::CurrentWith(Digest::Sha256(checksum)),
        Selector::Digest(Digest::Sha256(checksum)),
    ] {
        let absent = process.read(&selector).await.unwrap_err();
        assert!(matches!(absent, ItemError::Absent { .. }), "{selector:?}: {absent}");
    }
    let absent = process.read(&nth(1)).await.unwrap_err();
    assert!(matches!(absent, ItemError::NoSuchNumber { .. }), "{absent}");
}
