//! Adoption of what 0.3.4 wrote, and the end of a migration.
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs)]

mod common;

use common::*;
use microsecrets::checksum::Checksum;
use microsecrets::document::DocumentError;
use microsecrets::item::*;
use microsecrets::record::ChangeKind;
use microsecrets::store::memory::{Fault, When};
use microsecrets::store::{Encryption, ErrorKind};
use microsecrets::trust::{Checks, Distrust, RequiredEncryption};

const HEAD: &str = "services/api/head/environment";

/// 0.3.4's version, adopted as n1, and n2 on top.
async fn migrating() -> World {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(60);
    world.process().upload(&[("A", "1")]).await.unwrap();
    world.tick(60);
    world
}

async fn finish(process: &Process) -> Result<Outcome, ItemError> {
    process.writer().finish_migration().await
}

fn is_kept(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Kept { .. })
}

fn migrates(world: &World) -> bool {
    world.head().unwrap().record().migration
}

#[tokio::test]
async fn an_adopted_version_keeps_its_name_and_its_bytes() {
    for content in [b"tls".to_vec(), b"".to_vec(), large(b'l')] {
        let world = World::file("api", "tls.pem");
        let key = world.legacy(&content);
        let before = world.memory.object(&key).unwrap();
        world.tick(1);
        let a = world.process();
        assert_eq!(number(&a.upload_file(b"a").await.unwrap()), 2);
        let adopted = world.log(1).unwrap();
        let record = adopted.record();
        assert_eq!(world.item.version_key(&record.name), key);
        assert_eq!(
            (record.checksum(), record.size),
            (Checksum::of(&content), content.len() as u64)
        );
        assert_eq!(
            (&record.kind, record.migration, &record.parent),
            (&ChangeKind::Adopted, true, &None)
        );
        let after = world.memory.object(&key).unwrap();
        assert_eq!(
            (after.bytes, after.mark),
            (before.bytes, None),
            "no version bytes are put or deleted"
        );
        assert_eq!(world.process().at(1).await.unwrap(), content);
    }
}

#[tokio::test]
async fn an_adoption_puts_no_version_bytes() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(1);
    let a = world.process();
    a.set("B", "1").await.unwrap();
    let log = a.client.log();
    let begins: Vec<_> = (0..log.len()).filter(|at| log[*at] == format!("get {HEAD}")).collect();
    let adoption = log[begins[0]..begins[1]].iter();
    let puts: Vec<_> = adoption.filter(|line| line.starts_with("put ")).collect();
    let expected = [
        &format!("put {HEAD}"),
        &format!("put {HEAD}"),
        &format!("put {HEAD}"),
        "put services/api/log/environment/00000001",
    ];
    assert_eq!(
        puts, expected,
        "the head, twice more since it is the first, and its log entry"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_not_adopted() {
    let (document, other) = (legacy_document(&[("A", "0")]), legacy_document(&[("A", "1")]));
    let contents: [(&str, &[u8], &[u8]); 4] = [
        ("bytes that are not the key's", &document, &other),
        ("no document", b"{}", b"{}"),
        (
            "another service's",
            br#"{"environment": {}, "metadata": {"service": "web"}}"#,
            b"same",
        ),
        ("too much", &vec![b' '; (4 << 20) + 1], b"same"),
    ];
    for (what, named, bytes) in contents {
        let world = World::environment("api");
        let bytes = if bytes == b"same" { named } else { bytes };
        world.memory.put_raw(&world.key_of(0, named), bytes, None);
        let before = world.memory.keys();
        let error = world.process().upload(&[("A", "1")]).await.unwrap_err();
        let refused = matches!(error, ItemError::Document { .. } | ItemError::Distrusted { .. });
        assert!(refused, "{what}: {error}");
        assert_eq!(world.memory.keys(), before, "{what}");
    }
}

#[tokio::test]
async fn a_document_of_ours_that_came_back_without_its_mark_can_be_adopted() {
    // A backup copied into place without metadata. Its document says the number that it had then.
    let old = World::with_values(&["1", "2", "3"]).await;
    let key = old.version_keys().pop().unwrap();
    let bytes = old.memory.object(&key).unwrap().bytes;
    let world = World::environment("api");
    world.tick(60);
    world.memory.put_raw(&key, &bytes, None);
    assert_eq!(world.process().current().await.unwrap(), b"A=3");
    world.process().set("B", "1").await.unwrap();
    assert_eq!(world.process().at(1).await.unwrap(), b"A=3");
    assert_eq!(world.process().current().await.unwrap(), b"A=3\nB=1");
}

#[tokio::test]
async fn of_several_versions_the_greatest_is_adopted_and_the_others_stay() {
    let world = migrating().await;
    for value in ["x", "y", "z"] {
        world.legacy(&legacy_document(&[("A", value)]));
        world.tick(1);
    }
    let set = world.process().set("B", "1").await.unwrap();
    assert_eq!((number(&set), &set.notes[..]), (4, &[][..]), "all of them were seen");
    assert_eq!(world.process().at(3).await.unwrap(), b"A=z");
    assert_eq!(world.version_keys().len(), 6);
}

#[tokio::test]
async fn whoever_wins_the_adoption_both_go_on() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(1);
    let a = world.process();
    let (a_done, b_done) = world
        .before_commit(&a, a.upload(&[("A", "a")]), async {
            world.process().set("B", "b").await.unwrap()
        })
        .await;
    assert_eq!(
        (number(&b_done), number(&a_done.unwrap())),
        (2, 3),
        "the upload has seen B's version: no conflict"
    );
}

#[tokio::test]
async fn an_adoption_with_an_unknown_outcome_is_not_the_writers_own() {
    // Nothing of the writer's is or will be committed, so nothing "may or may not be".
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(1);
    let a = world.process();
    a.client.plan(When::Every(world.put_head()), Fault::Late);
    let error = a.upload(&[("A", "a")]).await.unwrap_err();
    assert!(
        matches!(&error, ItemError::Store(error) if error.kind == ErrorKind::Unavailable),
        "{error}"
    );
    // The adoption arrives late, and does no harm.
    world.memory.deliver_late();
    assert_eq!(world.process().current().await.unwrap(), b"A=0");
    assert_eq!(number(&world.process().upload(&[("A", "a")]).await.unwrap()), 2);
}

#[tokio::test]
async fn an_adoption_whose_answer_was_lost_is_not_done_twice() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(1);
    let a = world.process();
    a.client.plan(When::Begins(world.put_head()), Fault::LoseAnswer);
    assert_eq!(number(&a.set("B", "1").await.unwrap()), 2);
}

#[tokio::test]
async fn an_adoption_that_was_refused_is_tried_again_whoever_won() {
    // The answer is lost, the retry is refused, and asking who won fails once.
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(1);
    let a = world.process();
    let (set, ()) = world
        .after_lost_commit(&a, a.set("B", "1"), async {
            a.client
                .plan(When::Begins(format!("get {HEAD}")), Fault::Fail(denied()));
        })
        .await;
    assert_eq!(number(&set.unwrap()), 2);
}

/// 0.3.4 writes in the same second as ours, and below the next version of ours: nobody takes it over any more.
#[tokio::test]
async fn what_a_newer_head_has_passed_over_is_not_refused() {
    let world = World::environment("api");
    let first = world.process().upload(&[("A", "1")]).await.unwrap();
    let garbage = (0..).map(|n: u32| n.to_string().into_bytes());
    let garbage = garbage
        .into_iter()
        .find(|bytes| world.key_of(0, bytes) > first.key)
        .unwrap();
    let (a, b) = (world.process(), world.process());
    let looks = a.client.hold(&format!("list {}", world.item.versions_prefix()));
    let reads = a.client.hold(&format!("get {}", world.key_of(0, &garbage)));
    let (third, ()) = together(a.upload(&[("A", "3")]), async {
        let meanwhile = async {
            looks.reached().await;
            world.legacy(&garbage);
            looks.release();
            reads.reached().await;
        };
        let (second, ()) = world.before_commit(&b, b.upload(&[("A", "2")]), meanwhile).await;
        assert_eq!(number(&second.unwrap()), 2);
        reads.release();
    })
    .await;
    assert_eq!(number(&third.unwrap()), 3);
}

/// Nothing follows that would complete it.
#[tokio::test]
async fn an_adoption_that_left_out_its_log_entry_says_so() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    let a = world.process();
    always(&a.client, &format!("put {}", world.item.log_key(nth(1))), denied());
    let kept = a.writer().write(OnConflict::Report, |_| Ok(Decision::Keep)).await;
    let Ok(Outcome::Kept { notes, .. }) = kept else {
        panic!("it is only adopted")
    };
    assert!(matches!(&notes[..], [Note::Unfinished { .. }]), "{notes:?}");
}

/// 4 MiB are a document's limit, for 0.3.4's too.
#[tokio::test]
async fn a_document_that_is_too_large_is_not_adopted() {
    let most = 4 << 20;
    let frame = legacy_document(&[("A", "")]).len();
    for (size, adopted) in [(most, true), (most + 1, false)] {
        let world = World::environment("api");
        world.legacy(&legacy_document(&[("A", &"x".repeat(size - frame))]));
        match world.process().upload(&[("A", "1")]).await {
            Ok(_) => assert!(adopted, "{size}"),
            Err(ItemError::Document { source, .. }) => {
                assert!(
                    !adopted && matches!(source, DocumentError::TooLarge),
                    "{size}: {source}"
                );
            }
            Err(error) => panic!("{size}: {error}"),
        }
    }
}

#[tokio::test]
async fn what_is_under_another_key_is_not_adopted_unasked() {
    let world = World::environment("api");
    let key = world.legacy(&legacy_document(&[("A", "0")]));
    let kept = world.memory.object(&key).unwrap();
    world
        .memory
        .insert_raw(&key, &kept.bytes, None, Encryption::Kms(OneKey::arn(1)));
    world.tick(1);
    let checks = Checks::new(RequiredEncryption::Kms(None));
    let process = Process {
        checks,
        ..world.process()
    };
    let keys = OneKey::new(2);
    let write = async |new_key| {
        let mut writer = Writer::new(process.access(), &keys, "alias/microsecrets-api", "ann@test");
        writer.new_key = new_key;
        let decide = |_: &Base<'_>| Ok(Decision::Commit(Change::new(ChangeKind::Delete, Content::Deletion)));
        writer.write(OnConflict::Report, decide).await.map(|_| ())
    };
    assert!(matches!(write(false).await, Err(ItemError::KeyMoved { .. })));
    assert_eq!(world.memory.keys(), [key]);
    write(true).await.unwrap();
    // And what is not encrypted as demanded is not adopted at all.
    let world = World::environment("api");
    let key = world.legacy(&legacy_document(&[("A", "0")]));
    let process = Process {
        checks: process.checks,
        ..world.process()
    };
    let error = Writer::new(process.access(), &keys, "alias/microsecrets-api", "ann@test")
        .finish_migration()
        .await;
    assert!(matches!(
        error,
        Err(ItemError::Distrusted {
            source: Distrust::Encryption { .. },
            ..
        })
    ));
    assert_eq!(world.memory.keys(), [key]);
}

#[tokio::test]
async fn migration_is_inherited_until_it_is_finished() {
    let world = migrating().await;
    world.process().set("A", "2").await.unwrap();
    assert!(migrates(&world));
    world.process().delete().await.unwrap();
    assert!(migrates(&world));
    world.process().upload(&[("A", "3")]).await.unwrap();
    assert!(migrates(&world));
    finish(&world.process()).await.unwrap();
    assert!(!migrates(&world));
    world.process().set("A", "4").await.unwrap();
    assert!(!migrates(&world));
}

#[tokio::test]
async fn the_end_of_a_migration_changes_neither_version_nor_number() {
    let world = migrating().await;
    let mut ledger = Ledger::default();
    ledger.observe(&world);
    let before = world.head().unwrap().record().clone();
    let Outcome::Committed(committed) = finish(&world.process()).await.unwrap() else {
        panic!("it was in migration")
    };
    assert_eq!((number(&committed), &committed.notes[..]), (2, &[][..]));
    ledger.observe(&world);
    let after = world.head().unwrap().record().clone();
    assert_eq!(
        (after.number, &after.name, after.nonce),
        (before.number, &before.name, before.nonce)
    );
    // Readers have one request again, and do not look for 0.3.4's versions any more.
    world.legacy(&legacy_document(&[("A", "unseen")]));
    let reader = world.process();
    assert_eq!(reader.current().await.unwrap(), b"A=1");
    assert_eq!(reader.client.log(), [format!("get {HEAD}")]);
    // The next write does look, and begins the migration again.
    world.process().set("B", "1").await.unwrap();
    assert_eq!(world.process().current().await.unwrap(), b"A=unseen\nB=1");
    assert!(migrates(&world));
    assert_eq!(world.process().at(2).await.unwrap(), b"A=1");
    ledger.observe(&world);
}

#[tokio::test]
async fn the_end_of_a_migration_completes_what_a_crash_left_out() {
    let world = migrating().await;
    let killed = world.process();
    killed.client.plan(When::Begins(world.put_head()), Fault::CrashAfter);
    killed.set("A", "2").await.unwrap_err();
    let committed = world.head().unwrap().record().clone();
    finish(&world.process()).await.unwrap();
    assert_eq!(
        *world.log(3).unwrap().record(),
        committed,
        "the log says what was committed"
    );
    assert!(world.memory.object(&world.item.version_key(&committed.name)).is_some());
}

#[tokio::test]
async fn the_end_of_a_migration_adopts_the_last_version_of_0_3_4() {
    let world = migrating().await;
    world.legacy(&legacy_document(&[("A", "last")]));
    finish(&world.process()).await.unwrap();
    assert!(!migrates(&world));
    assert_eq!(world.process().current().await.unwrap(), b"A=last");
    let only_legacy = World::environment("api");
    only_legacy.legacy(&legacy_document(&[("A", "0")]));
    finish(&only_legacy.process()).await.unwrap();
    assert!(!migrates(&only_legacy));
    assert_eq!(only_legacy.head_number(), 1);
}

#[tokio::test]
async fn what_0_3_4_writes_while_a_migration_ends_is_named() {
    let world = migrating().await;
    let f = world.process();
    let (outcome, key) = world
        .before_commit(&f, finish(&f), async {
            world.legacy(&legacy_document(&[("A", "late")]))
        })
        .await;
    let Outcome::Committed(committed) = outcome.unwrap() else {
        panic!("it was in migration")
    };
    assert_eq!(committed.notes, [Note::RacedBy { key }]);
}

#[tokio::test]
async fn there_may_be_nothing_to_finish() {
    let empty = World::environment("api");
    assert!(is_kept(&finish(&empty.process()).await.unwrap()));
    let ours = World::with_values(&["1"]).await;
    let before = ours.memory.keys();
    assert!(is_kept(&finish(&ours.process()).await.unwrap()));
    assert_eq!(ours.memory.keys(), before);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_still_a_success_when_the_migration_ends_meanwhile() {
    // A commits n3 and does not hear so; F puts the head again, without `migration`: it still is A's version.
    for bytes in [b"a".to_vec(), large(b'a')] {
        let world = World::file("api", "tls.pem");
        world.memory.unique_etags(true);
        world.legacy(b"0");
        world.tick(1);
        world.process().upload_file(b"1").await.unwrap();
        let a = world.process();
        let (a_done, ()) = world
            .after_lost_commit(&a, a.upload_file(&bytes), async {
                finish(&world.process()).await.unwrap();
            })
            .await;
        assert_eq!(number(&a_done.unwrap()), 3);
        assert_eq!(world.process().current().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn the_end_of_a_migration_is_no_conflict() {
    // A is about to commit over n2 when F puts n2's head again: nobody has written anything.
    for bytes in [b"a".to_vec(), large(b'a')] {
        let world = World::file("api", "tls.pem");
        world.memory.unique_etags(true);
        world.legacy(b"0");
        world.tick(1);
        world.process().upload_file(b"1").await.unwrap();
        let a = world.process();
        let (a_done, ()) = world
            .before_commit(&a, a.upload_file(&bytes), async {
                finish(&world.process()).await.unwrap();
            })
            .await;
        assert_eq!(number(&a_done.unwrap()), 3);
        assert!(!migrates(&world), "what F ended does not begin again");
        assert_eq!(world.process().current().await.unwrap(), bytes);
        assert_eq!(
            world.version_keys().len(),
            3,
            "what was put for the first attempt is removed"
        );
    }
}

#[tokio::test]
async fn a_lost_answer_over_a_head_that_was_put_again_is_unknown() {
    // A's first request is still on its way when F puts the base's head again. (It will be refused; but a head with a
    // smaller number is no proof, and this one could also have been restored.)
    let world = migrating().await;
    let a = world.process();
    a.client.plan(When::Begins(world.put_head()), Fault::Late);
    let (a_done, ()) = world
        .before_commit(&a, a.set("A", "2"), async {
            finish(&world.process()).await.unwrap();
        })
        .await;
    assert!(matches!(a_done.unwrap_err(), ItemError::Unknown { .. }));
    world.memory.deliver_late();
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
}

#[tokio::test]
async fn two_who_end_a_migration_agree() {
    let world = migrating().await;
    let f = world.process();
    let (first, second) = world.before_commit(&f, finish(&f), finish(&world.process())).await;
    assert!(is_kept(&first.unwrap()) && !is_kept(&second.unwrap()));
    assert!(!migrates(&world));
}

#[tokio::test]
async fn a_commit_while_a_migration_ends_is_kept() {
    let world = migrating().await;
    let f = world.process();
    let (finished, set) = world
        .before_commit(&f, finish(&f), async { world.process().set("A", "2").await })
        .await;
    assert_eq!(number(&set.unwrap()), 3);
    finished.unwrap();
    assert!(!migrates(&world));
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
}

#[tokio::test]
async fn the_end_of_a_migration_that_was_denied_is_no_unknown_outcome() {
    let world = migrating().await;
    let a = world.process();
    always(&a.client, &world.put_head(), denied());
    assert!(matches!(finish(&a).await, Err(ItemError::Store(error)) if error.kind == denied()));
    assert!(migrates(&world));
}

#[tokio::test]
async fn the_end_of_a_migration_survives_lost_answers() {
    let world = migrating().await;
    let f = world.process();
    f.client.plan(When::Begins(world.put_head()), Fault::LoseAnswer);
    finish(&f).await.unwrap();
    assert!(!migrates(&world));

    let world = migrating().await;
    let f = world.process();
    f.client.plan(When::Every(world.put_head()), Fault::Late);
    let error = finish(&f).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ItemError::Unknown { .. }), "{error}");
    assert!(migrates(&world));
    world.memory.deliver_late();
    assert!(!migrates(&world));
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
}

/// What was deleted stays so, by its name too; what 0.3.4 wrote after the deletion does not belong to it.
#[tokio::test]
async fn what_0_3_4_wrote_after_a_deletion_is_read_by_its_name() {
    let world = migrating().await;
    let deleted = world.head().unwrap().record().name.clone();
    world.process().delete().await.unwrap();
    world.tick(60);
    let key = world.legacy(&legacy_document(&[("A", "later")]));
    let later = world.item.version_at(&key).unwrap();
    let process = world.process();
    assert_eq!(process.content(&Selector::Name(later)).await.unwrap(), b"A=later");
    let gone = process.content(&Selector::Name(deleted)).await.unwrap_err();
    assert!(matches!(gone, ItemError::Deleted { .. }), "{gone}");
}
