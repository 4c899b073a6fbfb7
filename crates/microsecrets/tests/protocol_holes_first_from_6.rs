//! The interleavings that broke the first draft of the protocol, from the sixth on.
//!
//! A, B and C are writers, R is a reader, L is 0.3.4, P prunes, D is the doctor.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::store::ErrorKind;
use microsecrets::store::memory::{Fault, When};

// 6. A missing head is not an item that only 0.3.4 has written.

#[tokio::test]
async fn hole_6_without_its_head_an_item_is_neither_read_nor_written() {
    let mut worlds = vec![
        World::with_values(&["1", "2"]).await,
        World::with_files(&[b"1"]).await,
        World::with_files(&[&large(b'1')]).await,
    ];
    worlds[0].process().delete().await.unwrap();
    let crashed = World::with_values(&["1"]).await;
    let a = crashed.process();
    a.client.plan(When::Begins(crashed.put_head()), Fault::CrashAfter);
    a.upload(&[("A", "2")]).await.unwrap_err();
    worlds.push(crashed);
    for world in worlds {
        world.memory.remove(&world.item.head_key());
        let read = world.process().current().await.map(|_| ()).unwrap_err();
        assert!(matches!(read, ItemError::HeadMissing { .. }), "{read}");
        let before = world.memory.keys();
        let write = world.process().delete().await.unwrap_err();
        assert!(matches!(write, ItemError::HeadOutdated { .. }), "{write}");
        assert_eq!(world.memory.keys(), before);
    }
}

#[tokio::test]
async fn hole_6_a_first_upload_is_not_read_before_its_commit() {
    let world = World::file("api", "tls.pem");
    let a = world.process();
    let hold = a.client.hold(&world.put_head());
    let (committed, read) = together(a.upload_file(&large(b'a')), async {
        hold.reached().await;
        let read = world.process().current().await.map(|_| ());
        hold.release();
        read
    })
    .await;
    committed.unwrap();
    assert!(matches!(read.unwrap_err(), ItemError::HeadMissing { .. }));
}

#[tokio::test]
async fn hole_6_if_match_on_a_missing_key_answers_404() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    let hold = a.client.hold(&world.put_head());
    let (committed, ()) = together(a.upload(&[("A", "a")]), async {
        hold.reached().await;
        world.memory.remove(&world.item.head_key());
        hold.release();
    })
    .await;
    // No head, and no log entry of the number: neither winning nor losing can be shown.
    assert!(matches!(committed.unwrap_err(), ItemError::Unknown { number, .. } if number.get() == 2));
}

// 7. One clock or one busy loop bricks a service for all readers.

#[tokio::test]
async fn hole_7_nine_hundred_quick_writes_do_not_run_ahead_of_the_clock() {
    let world = World::environment("api");
    for _ in 0..900 {
        world.process().upload(&[("A", "1")]).await.unwrap();
    }
    let name = world.head().unwrap().record().name.clone();
    assert_eq!(name.second().as_unix(), world.memory.now());
    assert!(name.to_string().contains("_000899."), "{name}");
    world.process().read().await.unwrap();
}

#[tokio::test]
async fn hole_7_a_host_of_0_3_4_that_is_an_hour_ahead_stops_writers_by_name_and_no_reader() {
    let world = World::with_values(&["1"]).await;
    let key = world.legacy_ahead(3600, &legacy_document(&[("A", "ahead")]));
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
    let error = world.process().set("A", "2").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{key} is dated 3600 s ahead of the store's clock")
    );
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
    // The doctor sets it aside, and all is well; so it is once the hour is over.
    world.memory.remove(&key);
    world.process().set("A", "2").await.unwrap();
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
}

#[tokio::test]
async fn hole_7_the_next_write_repairs_what_a_stores_wrong_clock_did() {
    let world = World::environment("api");
    world.tick(86_400);
    world.process().upload(&[("A", "a day ahead")]).await.unwrap();
    world.tick(-86_400);
    let name = world.head().unwrap().record().name.clone();
    world.process().set("A", "1").await.unwrap();
    let next = world.head().unwrap().record().name.clone();
    assert!(next > name, "0.3.4's max(key) still sorts them");
    assert_eq!(next.second(), name.second(), "and it runs no further ahead");
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
}

// 8. Numbers counted back from the head are not stable.

#[tokio::test]
async fn hole_8_a_number_means_one_version_whatever_lies_beside_it() {
    let world = World::with_files(&[b"1", &large(b'2'), b"3"]).await;
    let mut ledger = Ledger::default();
    let check = async |ledger: &mut Ledger| {
        ledger.observe(&world);
        for (number, content) in [(1, b"1".to_vec()), (2, large(b'2')), (3, b"3".to_vec())] {
            assert_eq!(world.process().at(number).await.unwrap(), content);
        }
    };
    check(&mut ledger).await;
    // D3: 0.3.4 with a lagging clock; D4: an orphan below the head, that comes and goes.
    world.legacy_ahead(-2, b"late");
    check(&mut ledger).await;
    let orphan = world.key_of(-3, &large(b'x'));
    world.memory.put_raw(&orphan, &large(b'x'), our_mark());
    check(&mut ledger).await;
    world.memory.remove(&orphan);
    check(&mut ledger).await;
    // D1: a crash after the commit.
    let a = world.process();
    a.client.plan(When::Begins(world.put_head()), Fault::CrashAfter);
    a.upload_file(b"4").await.unwrap_err();
    check(&mut ledger).await;
    assert_eq!(world.process().at(4).await.unwrap(), b"4");
    // D5: an object is missing; D7: a prune.
    world.memory.remove(&world.item.version_key(ledger.name(1)));
    assert!(matches!(world.process().at(1).await, Err(ItemError::Pruned { .. })));
    assert_eq!(world.process().at(2).await.unwrap(), large(b'2'));
    prune(&world, async || {}).await;
    assert_eq!(number(&world.process().upload_file(b"5").await.unwrap()), 5);
    ledger.observe(&world);
}

// 9. Writers that do not list bury what 0.3.4 uploaded.

#[tokio::test]
async fn hole_9_what_0_3_4_uploaded_is_the_base_of_the_next_write() {
    // I1, I1b: with a right clock, and one that is a little ahead.
    for ahead in [0, 3] {
        let world = World::with_values(&["1"]).await;
        world.legacy_ahead(ahead, &legacy_document(&[("A", "legacy"), ("L", "1")]));
        assert_eq!(
            world.process().current().await.unwrap(),
            b"A=1",
            "unseen until our next write"
        );
        let set = world.process().set("A", "a").await.unwrap();
        assert_eq!(number(&set), 3);
        assert_eq!(world.process().at(2).await.unwrap(), b"A=legacy\nL=1");
        assert_eq!(
            world.process().current().await.unwrap(),
            b"L=1\nA=a",
            "the edit is of 0.3.4's version"
        );
        // I5: both read the same.
        let head = world.head().unwrap();
        assert_eq!(world.legacy_reads().unwrap(), head.bytes().expose());
        assert!(
            head.record().migration,
            "and from now on readers look for 0.3.4's versions"
        );
    }
}

#[tokio::test]
async fn hole_9_what_0_3_4_uploads_during_a_commit_is_named() {
    // I6: between A's listing and A's commit, with a name below or above A's.
    for ahead in [0, 1] {
        let world = World::with_values(&["1"]).await;
        world.tick(60);
        let a = world.process();
        let hold = a.client.hold(&world.put_head());
        let (committed, raced) = together(a.upload(&[("A", "a")]), async {
            hold.reached().await;
            let key = world.legacy_ahead(ahead, &legacy_document(&[("A", "legacy")]));
            hold.release();
            key
        })
        .await;
        assert_eq!(committed.unwrap().notes, [Note::RacedBy { key: raced }]);
    }
}

// 10. Readers of an item in migration return what is uncommitted, or buried.

#[tokio::test]
async fn hole_10_a_reader_that_looks_for_0_3_4_sees_nothing_uncommitted() {
    let world = World::file("api", "tls.pem");
    world.legacy(b"0");
    world.tick(1);
    world.process().upload_file(b"1").await.unwrap();
    world.tick(1);
    let a = world.process();
    let hold = a.client.hold(&world.put_head());
    let (committed, read) = together(a.upload_file(&large(b'a')), async {
        hold.reached().await;
        let read = world.process().current().await;
        hold.release();
        read
    })
    .await;
    committed.unwrap();
    assert_eq!(read.unwrap(), b"1");
}

#[tokio::test]
async fn hole_10_a_reader_that_looks_for_0_3_4_returns_nothing_that_was_never_current() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "1")]));
    world.tick(1);
    world.process().upload(&[("A", "2")]).await.unwrap();
    world.tick(10);
    let r = world.process();
    let hold = r.client.hold("list ");
    let (read, ()) = together(r.current(), async {
        hold.reached().await;
        world.process().upload(&[("A", "3")]).await.unwrap();
        world.legacy_ahead(-1, &legacy_document(&[("A", "slow")]));
        hold.release();
    })
    .await;
    assert_eq!(read.unwrap(), b"A=3");
}

// 11. A restored bucket: the head is older than its versions.

#[tokio::test]
async fn hole_11_a_head_that_is_older_than_its_versions_is_not_written_over() {
    let world = World::with_values(&["1", "2"]).await;
    let head = world.memory.object(&world.item.head_key()).unwrap();
    for value in ["3", "4"] {
        world.process().upload(&[("A", value)]).await.unwrap();
    }
    world.memory.restore(&world.item.head_key(), head);
    assert_eq!(
        world.process().current().await.unwrap(),
        b"A=2",
        "a default read believes it"
    );
    let error = world.process().upload(&[("A", "x")]).await.unwrap_err();
    assert!(matches!(error, ItemError::HeadOutdated { .. }), "{error}");
    assert_eq!(world.process().at(3).await.unwrap(), b"A=3");
}

#[tokio::test]
async fn hole_11_a_head_that_is_newer_than_its_objects_is_safe() {
    let world = World::with_values(&["1", "2"]).await;
    world
        .version_keys()
        .iter()
        .for_each(|key| drop(world.memory.remove(key)));
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
    let large_file = World::with_files(&[&large(b'1')]).await;
    large_file
        .version_keys()
        .iter()
        .for_each(|key| drop(large_file.memory.remove(key)));
    let error = large_file.process().current().await.unwrap_err();
    assert!(
        matches!(
            error,
            ItemError::Busy {
                why: Why::BytesMissing,
                ..
            }
        ),
        "{error}"
    );
}

// 12. What the text left open.

#[tokio::test]
async fn hole_12_an_unknown_outcome_is_said_so_and_deletes_nothing() {
    let world = World::with_files(&[b"1"]).await;
    world.memory.unique_etags(true);
    let a = world.process();
    a.client.plan(When::Every(world.put_head()), Fault::Late);
    let error = a.upload_file(&large(b'a')).await.unwrap_err();
    let checksum = microsecrets::checksum::Checksum::of(&large(b'a'));
    assert_eq!(
        error.to_string(),
        format!("the file tls.pem of api may or may not be committed, as version 2 with checksum {checksum}")
    );
    assert_eq!(world.process().current().await.unwrap(), b"1");
    assert!(world.memory.deliver_late() > 0);
    assert_eq!(
        world.process().current().await.unwrap(),
        large(b'a'),
        "it was on its way"
    );
}

#[tokio::test]
async fn hole_12_what_fails_after_the_commit_is_a_warning() {
    for line in ["put services/api/environment", "put services/api/log"] {
        let world = World::environment("api");
        let a = world.process();
        always(&a.client, line, ErrorKind::Unavailable);
        let committed = a.upload(&[("A", "1")]).await.unwrap();
        assert!(
            matches!(&committed.notes[..], [Note::Unfinished { .. }]),
            "{:?}",
            committed.notes
        );
        world.process().upload(&[("A", "2")]).await.unwrap();
        assert_eq!(
            world.process().at(1).await.unwrap(),
            b"A=1",
            "the next write has completed it"
        );
    }
}

#[tokio::test]
async fn hole_12_an_upload_replaces_what_came_between_a_download_and_it() {
    // Documented: compare-and-swap does not span a person's edit.
    let world = World::with_values(&["at ten"]).await;
    assert_eq!(world.process().current().await.unwrap(), b"A=at ten");
    world.process().upload(&[("A", "B's, at three past")]).await.unwrap();
    world.process().upload(&[("A", "at five past")]).await.unwrap();
    assert_eq!(world.process().current().await.unwrap(), b"A=at five past");
}

#[tokio::test]
async fn hole_12_a_repair_that_races_a_prune_brings_one_version_back() {
    // Documented: its bytes are what they were, and the next prune removes them again.
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    let hold = a.client.hold(&world.put_bytes());
    let (lost, ()) = together(a.upload(&[("A", "a")]), async {
        hold.reached().await;
        world.process().upload(&[("A", "2")]).await.unwrap();
        prune(&world, async || {}).await;
        assert!(matches!(world.process().at(1).await, Err(ItemError::Pruned { .. })));
        hold.release();
    })
    .await;
    is_conflict_with(&lost.unwrap_err(), 2);
    assert_eq!(world.process().at(1).await.unwrap(), b"A=1");
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
}

#[tokio::test]
async fn hole_12_a_writer_without_the_right_to_read_writes_nothing() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    always(&a.client, "get ", denied());
    always(&a.client, "head ", denied());
    let before = world.memory.keys();
    a.upload(&[("A", "2")]).await.unwrap_err();
    assert_eq!(world.memory.keys(), before);
}

#[tokio::test]
async fn hole_12_a_deletion_does_nothing_for_readers_of_0_3_4() {
    // Documented: it cannot be mended in 0.3.4's layout.
    let world = World::with_values(&["1"]).await;
    let before = world.legacy_reads();
    world.process().delete().await.unwrap();
    assert_eq!(world.legacy_reads(), before);
}

#[tokio::test]
async fn hole_12_readers_of_0_3_4_see_a_large_file_before_its_commit_and_an_orphan_until_the_next() {
    // Documented, as above.
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    a.client.plan(When::Begins(world.put_head()), Fault::CrashBefore);
    a.upload_file(&large(b'x')).await.unwrap_err();
    assert_eq!(world.legacy_reads().unwrap(), large(b'x'));
    assert_eq!(world.process().current().await.unwrap(), b"1");
    world.process().upload_file(b"2").await.unwrap();
    assert_eq!(world.legacy_reads().unwrap(), b"2");
}
