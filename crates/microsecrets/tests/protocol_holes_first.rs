//! The interleavings that broke the first draft of the protocol, step by step, and what happens in each of them now.
//!
//! A, B and C are writers, R is a reader, L is 0.3.4, P prunes, D is the doctor.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::record::{ChangeKind, VersionRef};
use microsecrets::store::ErrorKind;
use microsecrets::store::memory::{Fault, When};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().copied().map(owned).collect()
}

// 1. If-Match does not protect where the ETag is a digest of the body.

#[tokio::test]
async fn hole_1_if_match_where_the_etag_is_a_digest_of_the_body() {
    let world = World::with_files(&[&large(b'1'), &large(b'2')]).await;
    let b = world.process();
    let (b, ()) = world
        .before_commit(&b, b.upload_file(&large(b'b')), async {
            let a = world.process().upload_file(&large(b'a')).await.unwrap();
            assert_eq!(number(&a), 3);
        })
        .await;
    is_conflict_with(&b.unwrap_err(), 3);
    assert_eq!(world.process().current().await.unwrap(), large(b'a'));
    assert_eq!(world.process().at(3).await.unwrap(), large(b'a'));
}

#[tokio::test]
async fn hole_1_a_file_that_is_written_back_to_earlier_content() {
    for content in [b"x".to_vec(), b"".to_vec(), large(b'x')] {
        let world = World::with_files(&[&content]).await;
        let b = world.process();
        let (b, ()) = world
            .before_commit(&b, b.upload_file(b"b"), async {
                world.process().upload_file(b"y").await.unwrap();
                world.process().upload_file(&content).await.unwrap();
            })
            .await;
        is_conflict_with(&b.unwrap_err(), 2);
        assert_eq!(world.process().current().await.unwrap(), content);
    }
}

#[tokio::test]
async fn hole_1_deleted_and_back_and_deleted() {
    let world = World::with_files(&[b"x"]).await;
    world.process().delete().await.unwrap();
    let b = world.process();
    let (b, ()) = world
        .before_commit(&b, b.upload_file(b"b"), async {
            world.process().upload_file(b"y").await.unwrap();
            world.process().delete().await.unwrap();
        })
        .await;
    is_conflict_with(&b.unwrap_err(), 3);
    assert!(matches!(world.process().current().await, Err(ItemError::Deleted { number, .. }) if number.get() == 4));
}

#[tokio::test]
async fn hole_1_a_rollback_to_the_same_variables() {
    let world = World::with_values(&["1"]).await;
    let b = world.process();
    let hold = b.client.hold(&world.put_head());
    let rollback = || Content::Environment(variables(&[("A", "1")]));
    let (lost, ()) = together(b.upload(&[("A", "b")]), async {
        hold.reached().await;
        world.process().upload(&[("A", "2")]).await.unwrap();
        world
            .process()
            .commit(ChangeKind::Rollback(VersionRef::Number(nth(1))), rollback)
            .await
            .unwrap();
        hold.release();
    })
    .await;
    is_conflict_with(&lost.unwrap_err(), 2);
}

// 2. "412, and the head is not ours: lost" is wrong when our commit won, its answer was lost, and somebody committed on
// top.

#[tokio::test]
async fn hole_2_an_upload_that_won_and_was_superseded_is_a_success() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    let (committed, ()) = world
        .after_lost_commit(&a, a.upload(&[("A", "a")]), async {
            world.process().upload(&[("A", "b")]).await.unwrap();
        })
        .await;
    let committed = committed.unwrap();
    assert_eq!((number(&committed), &committed.notes[..]), (2, &[Note::Superseded][..]));
    assert_eq!(world.process().at(2).await.unwrap(), b"A=a");
    assert_eq!(world.process().current().await.unwrap(), b"A=b");
}

#[tokio::test]
async fn hole_2_a_set_is_not_applied_twice() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    let (committed, ()) = world
        .after_lost_commit(&a, a.set("A", "a"), async {
            world.process().set("A", "b").await.unwrap();
        })
        .await;
    let committed = committed.unwrap();
    assert_eq!(number(&committed), 2);
    assert_eq!(
        world.process().read().await.unwrap(),
        pairs(&[("A", "b")]),
        "B's is the later value"
    );
    assert_eq!(world.head_number(), 3);
}

#[tokio::test]
async fn hole_2_a_winner_does_not_delete_its_large_object() {
    for unique_etags in [false, true] {
        let world = World::with_files(&[&large(b'1')]).await;
        world.memory.unique_etags(unique_etags);
        let a = world.process();
        let (committed, ()) = world
            .after_lost_commit(&a, a.upload_file(&large(b'a')), async {
                world.process().upload_file(&large(b'b')).await.unwrap();
            })
            .await;
        let committed = committed.unwrap();
        assert_eq!(number(&committed), 2);
        assert_eq!(world.process().at(2).await.unwrap(), large(b'a'));
    }
}

// 3. `<second>.<sha256>` is not unique to a writer, so a loser's DELETE hits another's object.

#[tokio::test]
async fn hole_3_a_loser_deletes_only_its_own_object() {
    for (unique_etags, versioned) in [(false, false), (true, false), (false, true), (true, true)] {
        let world = World::with_files(&[&large(b'1')]).await;
        world.memory.unique_etags(unique_etags);
        world.memory.versioned(versioned);
        // A and B put the same bytes in the same second; A commits, C commits on top, and B learns that it has lost.
        let (a, b) = (world.process(), world.process());
        let (a_commits, b_commits) = (a.client.hold(&world.put_head()), b.client.hold(&world.put_head()));
        let bytes = large(b'z');
        let commits = async { tokio::join!(a.upload_file(&bytes), b.upload_file(&bytes)) };
        let ((a_done, b_done), c_done) = together(commits, async {
            a_commits.reached().await;
            b_commits.reached().await;
            a_commits.release();
            while world.head_number() < 2 {
                tokio::task::yield_now().await;
            }
            let c = world.process().upload_file(&large(b'c')).await;
            b_commits.release();
            c
        })
        .await;
        assert_eq!((number(&a_done.unwrap()), number(&c_done.unwrap())), (2, 3));
        is_conflict_with(&b_done.unwrap_err(), 2);
        assert_eq!(
            world.process().at(2).await.unwrap(),
            large(b'z'),
            "A's object is still there"
        );
        // B's own object is gone where the store can say which one it is.
        let objects = world.version_keys().len();
        assert_eq!(objects, if unique_etags || versioned { 3 } else { 4 });
    }
}

#[tokio::test]
async fn hole_3_a_head_never_points_to_anothers_object() {
    // The loser A put K first; B, with the same bytes in the same second, finds K there, and takes a name of its own.
    let world = World::with_files(&[&large(b'1')]).await;
    world.memory.unique_etags(true);
    let (a, b) = (world.process(), world.process());
    let a_commits = a.client.hold(&world.put_head());
    let bytes = large(b'z');
    let (a_done, b_done) = together(a.upload_file(&bytes), async {
        a_commits.reached().await;
        let done = b.upload_file(&bytes).await.unwrap();
        a_commits.release();
        done
    })
    .await;
    is_conflict_with(&a_done.unwrap_err(), 2);
    assert!(b_done.key.contains("_000001."), "{}", b_done.key);
    assert_eq!(
        world.process().current().await.unwrap(),
        bytes,
        "A has deleted its own object, and B's is there"
    );
}

#[tokio::test]
async fn hole_3_the_same_checksum_is_no_proof_of_a_commit() {
    let world = World::with_files(&[b"1"]).await;
    let b = world.process();
    let (b, ()) = world
        .before_commit(&b, b.upload_file(b"z"), async {
            world.process().upload_file(b"z").await.unwrap();
        })
        .await;
    is_conflict_with(&b.unwrap_err(), 2);
}

// 4. prune and doctor can delete the current version.

#[tokio::test]
async fn hole_4_prune_keeps_what_the_head_points_to() {
    let world = World::with_files(&[&large(b'1'), &large(b'2')]).await;
    let a = world.process();
    a.client.plan(When::Begins(world.put_head()), Fault::CrashBefore);
    a.upload_file(&large(b'x')).await.unwrap_err();
    assert_eq!(world.version_keys().len(), 3, "A has put its object, and is dead");
    prune(&world, async || {}).await;
    assert_eq!(world.process().current().await.unwrap(), large(b'2'));
    assert_eq!(world.version_keys().len(), 2);
}

#[tokio::test]
async fn hole_4_doctor_does_not_offer_what_is_about_to_be_committed() {
    let world = World::with_files(&[&large(b'1')]).await;
    let a = world.process();
    let hold = a.client.hold(&world.put_head());
    let (committed, offered) = together(a.upload_file(&large(b'a')), async {
        hold.reached().await;
        let offered = doctor(&world, async || {
            hold.release();
            while world.head_number() < 2 {
                tokio::task::yield_now().await;
            }
        });
        offered.await
    })
    .await;
    committed.unwrap();
    assert_eq!(offered, [""; 0]);
    assert_eq!(world.process().current().await.unwrap(), large(b'a'));
}

#[tokio::test]
async fn hole_4_a_reader_whose_version_is_pruned_reads_the_next_one() {
    let world = World::with_files(&[&large(b'1'), &large(b'2')]).await;
    let r = world.process();
    let hold = r.client.hold("get services/api/files/tls.pem/");
    let (read, ()) = together(r.current(), async {
        hold.reached().await;
        world.process().upload_file(&large(b'3')).await.unwrap();
        prune(&world, async || {}).await;
        hold.release();
    })
    .await;
    assert_eq!(read.unwrap(), large(b'3'));
}

// 5. A crash after the commit, then the head is replaced from another base, or by `delete`: the version is lost.

/// A' commits, and is killed before it puts the version's bytes and log entry.
async fn killed_after_the_commit(world: &World, bytes: &[u8]) {
    let a = world.process();
    a.client.plan(When::Begins(world.put_head()), Fault::CrashAfter);
    a.upload_file(bytes).await.unwrap_err();
}

#[tokio::test]
async fn hole_5_a_version_that_was_only_in_the_head_outlives_an_upload_of_0_3_4() {
    for bytes in [b"2".to_vec(), b"".to_vec(), large(b'2')] {
        let world = World::with_files(&[b"1"]).await;
        killed_after_the_commit(&world, &bytes).await;
        world.tick(1);
        world.legacy(b"legacy");
        let a = world.process().upload_file(b"a").await.unwrap();
        assert_eq!(number(&a), 4, "0.3.4's version is the third");
        assert_eq!(world.process().at(2).await.unwrap(), bytes);
        assert_eq!(world.process().at(3).await.unwrap(), b"legacy");
    }
}

#[tokio::test]
async fn hole_5_a_version_that_was_only_in_the_head_outlives_its_deletion() {
    for bytes in [b"2".to_vec(), b"".to_vec(), large(b'2')] {
        let world = World::with_files(&[b"1"]).await;
        killed_after_the_commit(&world, &bytes).await;
        world.process().delete().await.unwrap();
        assert_eq!(world.process().at(2).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn hole_5_nothing_is_committed_before_the_base_is_complete() {
    for (line, kind) in [
        ("put services/api/files/", ErrorKind::Unavailable),
        ("put services/api/log/", ErrorKind::Throttled),
        ("put services/api/log/", denied()),
    ] {
        let world = World::with_files(&[b"1"]).await;
        killed_after_the_commit(&world, b"2").await;
        let a = world.process();
        always(&a.client, line, kind);
        assert!(matches!(a.upload_file(b"3").await, Err(ItemError::Store(_))));
        assert!(!a.client.log().contains(&world.put_head()), "{line}");
        assert_eq!(world.process().current().await.unwrap(), b"2");
    }
}

#[tokio::test]
async fn hole_5_who_and_why_and_the_mode_are_kept_for_the_log() {
    let world = World::with_files(&[b"1"]).await;
    killed_after_the_commit(&world, b"2").await;
    let committed = world.head().unwrap().record().clone();
    world.process().delete().await.unwrap();
    assert_eq!(*world.log(2).unwrap().record(), committed);
    assert_eq!(
        (committed.mode, committed.user.as_deref()),
        (Some(0o600), Some("ann@test"))
    );
}
