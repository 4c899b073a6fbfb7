//! How `doctor` mends an item's objects: what a crash left out, a head that readers refuse, orphans.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::examined::*;
use common::*;
use microsecrets::item::*;
use microsecrets::keys::{FolderKeys, Keys as _};
use microsecrets::record::RecordError;
use microsecrets::store::memory::{Fault, Kept, When};
use microsecrets::store::{Encryption, ErrorKind};
use microsecrets::trust::{Distrust, VerifyKey};
use tokio::sync::Notify;

const HEAD: &str = "services/api/head/environment";

// Interrupted writes.

#[derive(Clone, Copy, Debug)]
enum Kind {
    Environment,
    File(usize),
}

impl Kind {
    fn world(self) -> World {
        match self {
            Self::Environment => World::environment("api"),
            Self::File(_) => World::file("api", "tls.pem"),
        }
    }

    async fn write(self, process: &Process, tag: u8) -> Result<Committed, ItemError> {
        match self {
            Self::Environment => process.upload(&[("A", &tag.to_string())]).await,
            Self::File(size) => process.upload_file(&vec![tag; size]).await,
        }
    }
}

#[tokio::test]
async fn every_interrupted_write_can_be_completed() {
    for kind in [Kind::Environment, Kind::File(0), Kind::File(9), Kind::File(LARGE)] {
        for versions in 0..2 {
            let world = kind.world();
            for tag in 0..versions {
                kind.write(&world.process(), tag).await.unwrap();
                world.tick(1);
            }
            let undisturbed = world.fork().process();
            kind.write(&undisturbed, 7).await.unwrap();
            let mut interrupted = 0;
            for request in 1..=undisturbed.client.log().len() {
                for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                    let world = world.fork();
                    let process = world.process();
                    process.client.plan(When::Request(request), fault);
                    kind.write(&process, 7).await.ok();
                    interrupted += usize::from(completes(kind, &world).await);
                }
            }
            assert!(interrupted > 2, "{kind:?}: {interrupted}");
        }
    }
}

/// Completes what was interrupted, which changes nothing that is there; whether anything was.
async fn completes(kind: Kind, world: &World) -> bool {
    let (before, number) = (objects(world), world.head_number());
    let found = names(world).await;
    let interrupted = found.iter().any(|name| name == "Interrupted");
    // The bytes of a large file are put first; without a head nobody knows more.
    let may_be = |name: &String| match name.as_str() {
        "Interrupted" => number > 0,
        "Unnamed" => matches!(kind, Kind::File(LARGE)),
        "HeadRefused" => matches!(kind, Kind::File(LARGE)) && number == 0,
        _ => false,
    };
    assert!(found.iter().all(may_be), "{kind:?} {found:?}");
    assert_eq!(objects(world), before, "something was written");
    assert_eq!(
        world.process().writer().complete_interrupted().await.unwrap(),
        number > 0
    );
    let after = objects(world);
    assert!(before.iter().all(|object| after.contains(object)));
    assert_eq!(after.len() > before.len(), interrupted);
    let found = names(world).await;
    assert!(!found.iter().any(|name| name == "Interrupted"), "{found:?}");
    if number > 0 {
        assert!(world.log(number).is_some());
        world.process().current().await.unwrap();
    }
    interrupted
}

#[tokio::test]
async fn completing_adopts_nothing_and_signs_nothing() {
    let world = World::with_values(&["1"]).await;
    world.memory.remove(&world.item.log_key(nth(1)));
    let legacy = world.legacy_ahead(1, &legacy_document(&[("A", "0")]));
    let found = names(&world).await;
    assert_eq!(found, ["Interrupted", "Unseen"]);
    complete(&world).await;
    assert_eq!(world.head_number(), 1);
    match only(&world).await {
        Ailment::Unseen { key } => assert_eq!(key, legacy),
        other => panic!("{other:?}"),
    }
    world.process().upload(&[("A", "2")]).await.unwrap();
    assert_eq!(names(&world).await, ["Migration"]);
    // Nor is anything put for a head that no pinned key has signed: what the log says is for ever.
    world.memory.remove(&world.item.log_key(nth(3)));
    let folder = tempfile::tempdir().unwrap();
    let keys = FolderKeys::new(folder.path(), "one");
    keys.create_signing_key().unwrap();
    let public = VerifyKey::from_spki(&keys.public_key("").await.unwrap()).unwrap();
    let completed = believer(&world, &public).writer().complete_interrupted().await;
    assert!(matches!(
        completed,
        Err(ItemError::Distrusted {
            source: Distrust::Unsigned,
            ..
        })
    ));
    assert!(world.log(3).is_none());
}

#[tokio::test]
async fn completing_beside_a_writer_loses_nothing() {
    for is_log in [true, false] {
        let world = World::with_values(&["1"]).await;
        let key = match is_log {
            true => world.item.log_key(nth(1)),
            false => world.version_keys().remove(0),
        };
        world.memory.remove(&key);
        let doctor = world.process();
        let hold = doctor.client.hold(&format!("put {key}"));
        let (completed, uploaded) = together(doctor.writer().complete_interrupted(), async {
            hold.reached().await;
            let done = world.process().set("B", "2").await;
            hold.release();
            done
        })
        .await;
        completed.unwrap();
        uploaded.unwrap();
        is_healthy(&world).await;
    }
}

// The head.

#[tokio::test]
async fn a_head_that_is_gone_or_refused_is_put_back_exactly() {
    let folder = World::with_files(&[b"1", &large(b'2')]).await;
    let deleted = World::with_values(&["1", "2"]).await;
    deleted.process().delete().await.unwrap();
    let adopted = World::environment("api");
    adopted.legacy(&legacy_document(&[("A", "0")]));
    adopted.process().set("A", "0").await.ok();
    for world in [
        World::with_values(&["1"]).await,
        World::with_values(&["1", "2", "3"]).await,
        World::with_files(&[b"1", b""]).await,
        folder,
        deleted,
        adopted,
    ] {
        let (key, before) = (world.item.head_key(), head_of(&world));
        let number = world.head_number();
        let healthy = names(&world).await;
        let garbage = |bytes: &[u8]| world.memory.put_raw(&key, bytes, None);
        let other_item = World::environment("other");
        other_item.process().upload(&[("A", "evil")]).await.unwrap();
        let foreign = head_of(&other_item).bytes;
        let damages: [&dyn Fn(); 6] = [
            &|| drop(world.memory.remove(&key)),
            &|| garbage(b""),
            &|| garbage(b"garbage\n-\n"),
            &|| garbage(&foreign),
            &|| world.memory.insert_raw(&key, &before.bytes, None, Encryption::None),
            &|| {
                let mut bytes = before.bytes.to_vec();
                bytes.push(b'x');
                garbage(&bytes);
            },
        ];
        for damage in damages {
            damage();
            let found = names(&world).await;
            assert!(found.contains(&"HeadRefused".to_owned()), "{found:?}");
            assert!(world.process().current().await.is_err());
            assert_eq!(restored(&world).await, Some(number));
            assert_eq!(head_of(&world).bytes, before.bytes);
            assert_eq!(names(&world).await, healthy);
        }
    }
}

#[tokio::test]
async fn the_newest_version_that_is_whole_is_put_back() {
    let world = World::with_values(&["1", "2", "3", "4"]).await;
    let keys = world.version_keys();
    world.memory.remove(HEAD);
    // The bytes of 4 are gone, those of 3 are others, those of 2 were put by somebody else.
    world.memory.remove(&keys[3]);
    let third = world.memory.object(&keys[2]).unwrap();
    world.memory.put_raw(&keys[2], b"evil", third.mark);
    let second = world.memory.object(&keys[1]).unwrap();
    world.memory.put_raw(&keys[1], &second.bytes, our_mark());
    assert_eq!(restored(&world).await, Some(1));
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
    // Writers still refuse, since the log goes on: that is for a person.
    assert!(names(&world).await.contains(&"HeadOutdated".to_owned()));
    assert!(matches!(
        world.process().upload(&[("A", "5")]).await,
        Err(ItemError::HeadOutdated { .. })
    ));
    assert_eq!(restored(&world).await, None);
    // Without any bytes there is nothing to put back.
    world.memory.remove(HEAD);
    keys.iter().for_each(|key| drop(world.memory.remove(key)));
    assert_eq!(restored(&world).await, None);
    assert_eq!(names(&world).await, ["HeadRefused"]);
}

#[tokio::test]
async fn a_head_that_is_older_than_the_log_is_brought_forward() {
    for world in [World::with_values(&["1"]).await, World::with_files(&[b"1"]).await] {
        let old = head_of(&world);
        for tag in 2..4 {
            match world.item.is_file() {
                true => drop(world.process().upload_file(&large(tag)).await.unwrap()),
                false => drop(world.process().upload(&[("A", "2")]).await.unwrap()),
            }
            world.tick(1);
        }
        let new = head_of(&world);
        world.memory.restore(&world.item.head_key(), old);
        assert!(names(&world).await.contains(&"HeadOutdated".to_owned()));
        assert_eq!(restored(&world).await, Some(3));
        assert_eq!(head_of(&world).bytes, new.bytes);
        is_healthy(&world).await;
    }
}

#[tokio::test]
async fn a_repair_of_the_head_loses_to_whoever_was_first() {
    for gone in [true, false] {
        let world = World::with_values(&["1", "2"]).await;
        let good = head_of(&world);
        match gone {
            true => drop(world.memory.remove(HEAD)),
            false => world.memory.put_raw(HEAD, b"garbage", None),
        }
        let (one, other) = (world.process(), world.process());
        let ones = one.access().restorable().await.unwrap().unwrap();
        // Somebody puts it back by hand, and somebody commits.
        world.memory.restore(HEAD, good);
        other.upload(&[("A", "3")]).await.unwrap();
        let before = objects(&world);
        assert!(!one.access().put_back(&ones).await.unwrap());
        assert_eq!(objects(&world), before);
        assert!(one.access().restorable().await.unwrap().is_none());
        // Two doctors: the second finds what the first has put.
        world.memory.remove(HEAD);
        let (ones, others) = (one.access(), other.access());
        let (ones, others) = (ones.restorable().await.unwrap(), others.restorable().await.unwrap());
        for (process, restorable) in [(&one, ones), (&other, others)] {
            assert!(process.access().put_back(&restorable.unwrap()).await.unwrap());
        }
        is_healthy(&world).await;
        assert_eq!(world.head_number(), 3);
    }
}

#[tokio::test]
async fn a_repair_whose_answer_is_lost_is_found_to_be_done() {
    let world = World::with_values(&["1", "2"]).await;
    world.memory.remove(HEAD);
    let doctor = world.process();
    doctor.client.plan(When::Begins(world.put_head()), Fault::LoseAnswer);
    let restorable = doctor.access().restorable().await.unwrap().unwrap();
    assert!(doctor.access().put_back(&restorable).await.unwrap());
    is_healthy(&world).await;
    // A head that nobody can read since is no success.
    world.memory.put_raw(HEAD, b"garbage", None);
    assert!(!doctor.access().put_back(&restorable).await.unwrap());
}

#[tokio::test]
async fn what_is_committed_between_the_look_and_the_repair_stays() {
    let world = World::with_values(&["1", "2"]).await;
    let good = head_of(&world);
    world.memory.put_raw(HEAD, b"garbage", None);
    let doctor = world.process();
    // When the log was read, the head is put back and a third version is committed, whose record the doctor does not have.
    let hold = doctor.client.hold(&format!("list {}", world.item.versions_prefix()));
    let access = doctor.access();
    let (restorable, ()) = together(access.restorable(), async {
        hold.reached().await;
        world.memory.restore(HEAD, good);
        world.process().upload(&[("A", "3")]).await.unwrap();
        hold.release();
    })
    .await;
    assert!(restorable.unwrap().is_none());
    assert_eq!(world.process().current().await.unwrap(), b"A=3");
}

#[tokio::test]
async fn what_a_newer_program_wrote_is_left_to_it() {
    let newer = |kept: &Kept| {
        String::from_utf8(kept.bytes.to_vec())
            .unwrap()
            .replacen("\"format\":1", "\"format\":2", 1)
    };
    let world = World::with_values(&["1", "2"]).await;
    for key in [HEAD.to_owned(), world.item.log_key(nth(2))] {
        let before = world.memory.object(&key).unwrap();
        let text = newer(&before);
        assert!(text.contains("\"format\":2"), "{text}");
        world.memory.put_raw(&key, text.as_bytes(), None);
        let process = world.process();
        let is_newer = |error: &ItemError| {
            matches!(
                error,
                ItemError::Record {
                    source: RecordError::Newer { .. },
                    ..
                }
            )
        };
        assert!(is_newer(&process.access().examine().await.unwrap_err()));
        assert!(process.access().restorable().await.is_err_and(|error| is_newer(&error)));
        world.memory.restore(&key, before);
    }
    is_healthy(&world).await;
}

#[tokio::test]
async fn a_forged_head_gives_way_to_the_record_that_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FolderKeys::new(folder.path(), "one");
    let (world, public) = signed(&keys).await;
    let before = head_of(&world);
    let process = believer(&world, &public);
    assert!(process.access().restorable().await.unwrap().is_none());
    // The forger's head says the same number.
    world.forge_head(|record, _| record.user = Some("eve@evil".to_owned()));
    let restorable = process.access().restorable().await.unwrap().unwrap();
    assert!(process.access().put_back(&restorable).await.unwrap());
    assert_eq!(head_of(&world).bytes, before.bytes);
    assert!(process.access().examine().await.unwrap().ailments.is_empty());
    // A commit that was not signed is not taken back: the log has it.
    world.process().upload(&[("A", "3")]).await.unwrap();
    assert!(process.access().restorable().await.unwrap().is_none());
    // Nor is it put back when the head is gone; what is signed is, though the log goes further.
    world.memory.remove(HEAD);
    let restorable = process.access().restorable().await.unwrap().unwrap();
    assert_eq!(restorable.record().number, nth(2));
}

/// A head that not even its attributes can be read of has no ETag to be replaced by.
#[tokio::test]
async fn a_head_that_cannot_be_read_at_all_is_removed_first() {
    let world = World::with_values(&["1", "2"]).await;
    let process = world.process();
    let damaged = ErrorKind::Damaged("two lengths".to_owned());
    for begins in [format!("get {HEAD}"), format!("head {HEAD}")] {
        always(&process.client, &begins, damaged.clone());
    }
    let restorable = process.access().restorable().await.unwrap().unwrap();
    assert!(process.access().put_back(&restorable).await.unwrap());
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
    assert!(process.client.log().contains(&format!("delete {HEAD}")));
}

#[tokio::test]
async fn bytes_that_no_head_can_carry_are_passed_over() {
    let world = World::with_values(&["1", "2"]).await;
    let last = world.version_keys().pop().unwrap();
    let mark = world.memory.object(&last).unwrap().mark;
    world.memory.put_raw(&last, &vec![b' '; 6 << 20], mark);
    world.memory.remove(HEAD);
    assert_eq!(restored(&world).await, Some(1));
}

// Orphans.

#[tokio::test]
async fn the_bytes_of_a_dead_writer_are_found_and_removed() {
    let (world, orphan) = with_orphan().await;
    match only(&world).await {
        Ailment::Unnamed { key, .. } => assert_eq!(key, orphan, "it may still be committed"),
        other => panic!("{other:?}"),
    }
    assert!(!world.process().access().remove_orphan(&orphan).await.unwrap());
    world.tick(60);
    world.process().upload_file(b"2").await.unwrap();
    match only(&world).await {
        Ailment::Orphan { key, size } => assert_eq!((&key, size), (&orphan, LARGE as u64)),
        other => panic!("{other:?}"),
    }
    let others: Vec<_> = world.version_keys().into_iter().filter(|key| *key != orphan).collect();
    for other in &others {
        assert!(!world.process().access().remove_orphan(other).await.unwrap(), "{other}");
    }
    assert!(world.process().access().remove_orphan(&orphan).await.unwrap());
    assert_eq!(world.version_keys(), others);
    is_healthy(&world).await;
    assert!(!world.process().access().remove_orphan(&orphan).await.unwrap());
}

/// Only bytes that no head can carry are put before their commit.
#[tokio::test]
async fn bytes_that_a_head_carries_are_never_committed_later() {
    for (size, expected) in [(LARGE - 1, false), (LARGE, true)] {
        let world = World::with_files(&[b"1"]).await;
        let bytes = vec![b'x'; size];
        world.memory.put_raw(&world.key_of(1, &bytes), &bytes, our_mark());
        match ailments(&world).await.pop() {
            Some(Ailment::Unnamed { may_be_committed, .. }) => assert_eq!(may_be_committed, expected, "{size}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn bytes_that_may_still_be_committed_are_no_orphan() {
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    let (done, found) = world
        .before_commit(&a, a.upload_file(&large(b'a')), async {
            world.tick(86_400);
            let found = names(&world).await;
            assert!(
                !world
                    .process()
                    .access()
                    .remove_orphan(&world.version_keys()[1])
                    .await
                    .unwrap()
            );
            found
        })
        .await;
    assert_eq!(found, ["Unnamed"]);
    assert_eq!(number(&done.unwrap()), 2);
    assert_eq!(world.process().current().await.unwrap(), large(b'a'));
}

#[tokio::test]
async fn bytes_that_are_committed_while_they_are_looked_at_stay() {
    let world = World::with_files(&[b"1"]).await;
    let prefix = world.item.versions_prefix();
    for line in [format!("list {prefix}"), format!("head {prefix}")] {
        world.tick(60);
        let (a, doctor) = (world.process(), world.process());
        let (commit, looking) = (a.client.hold(&world.put_head()), doctor.client.hold(&line));
        let (committed, bytes) = (Notify::new(), large(b'a'));
        let upload = async {
            let done = a.upload_file(&bytes).await.unwrap();
            committed.notify_one();
            done
        };
        let (done, removed) = together(upload, async {
            commit.reached().await;
            // The head is older than these bytes; when it is read anew it is younger, and names them.
            world.tick(60);
            let key = world.version_keys().pop().unwrap();
            let access = doctor.access();
            let meanwhile = async {
                looking.reached().await;
                commit.release();
                committed.notified().await;
                looking.release();
            };
            together(access.remove_orphan(&key), meanwhile).await.0.unwrap()
        })
        .await;
        assert!(!removed);
        assert_eq!(world.head_number(), number(&done));
        assert_eq!(
            world.process().current().await.unwrap(),
            bytes,
            "{line}: the current version is gone"
        );
    }
}

#[tokio::test]
async fn without_every_record_nothing_is_an_orphan() {
    let (world, _) = with_orphan().await;
    world.tick(60);
    for content in [b"2", b"3"] {
        world.process().upload_file(content).await.unwrap();
        world.tick(60);
    }
    assert_eq!(names(&world).await, ["Orphan"]);
    for number in [1, 2] {
        let key = world.item.log_key(nth(number));
        let before = world.memory.remove(&key).unwrap();
        assert_eq!(names(&world).await.iter().filter(|name| *name == "Orphan").count(), 0);
        world.memory.put_raw(&key, b"garbage", None);
        assert_eq!(names(&world).await.iter().filter(|name| *name == "Orphan").count(), 0);
        world.memory.restore(&key, before);
    }
    // The newest record is the head's own.
    world.memory.remove(&world.item.log_key(nth(3)));
    assert_eq!(names(&world).await, ["Interrupted", "Orphan"]);
    // A head that was put back is younger than its commit.
    let (world, orphan) = with_orphan().await;
    world.tick(60);
    let head = head_of(&world).bytes;
    world.memory.put_raw(&world.item.head_key(), &head, None);
    match only(&world).await {
        Ailment::Unnamed { key, .. } => assert_eq!(key, orphan),
        other => panic!("{other:?}"),
    }
}

// What is tried.

#[tokio::test]
async fn the_right_to_write_is_tried_without_writing() {
    let world = World::with_values(&["1", "2"]).await;
    let before = objects(&world);
    let may = async |process: &Process| process.access().may_write().await;
    assert_eq!(may(&world.process()).await.unwrap(), MayWrite::Yes);
    let reader = world.process();
    always(&reader.client, "put ", denied());
    let error = may(&reader).await.unwrap_err();
    assert!(matches!(error, ItemError::Store(error) if matches!(error.kind, ErrorKind::Denied(_))));
    assert_eq!(objects(&world), before);
    world.memory.ignore_conditions(true);
    assert_eq!(may(&world.process()).await.unwrap(), MayWrite::ConditionIgnored);
    assert_eq!(objects(&world), before);
    assert_eq!(
        may(&World::environment("web").process()).await.unwrap(),
        MayWrite::NoHead
    );
}
