//! The interleavings that broke the second draft of the protocol, step by step, and what happens in each of them now.
//!
//! A, B and C are writers, R is a reader, L is 0.3.4, P prunes, D is the doctor; n2 is a head with the number 2.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::store::memory::{Fault, When};
use tokio::sync::Notify;

// 1. A writer refuses because somebody else committed between its GET and its LIST.

#[tokio::test]
async fn hole_1_a_commit_between_get_and_list_is_no_sign_of_a_lost_head() {
    // Over n1, and where there was no head.
    for values in [&["1"][..], &[]] {
        let world = World::with_values(values).await;
        let before = world.head_number();
        let b = world.process();
        let hold = b.client.hold("list services/api/environment/");
        let (b_done, ()) = together(b.set("B", "b"), async {
            hold.reached().await;
            world.process().set("A", "a").await.unwrap();
            hold.release();
        })
        .await;
        assert_eq!(number(&b_done.unwrap()), before + 2);
        assert_eq!(world.process().current().await.unwrap(), b"A=a\nB=b");
    }
}

// 2. A restored head is written on: numbers are given twice.

#[tokio::test]
async fn hole_2_a_restored_head_below_large_files_is_not_written_over() {
    let world = World::with_files(&[b"1", b"2"]).await;
    let head = world.memory.object(&world.item.head_key()).unwrap();
    for byte in [b'3', b'4'] {
        world.process().upload_file(&large(byte)).await.unwrap();
    }
    world.memory.restore(&world.item.head_key(), head);
    let error = world.process().upload_file(b"x").await.unwrap_err();
    assert!(matches!(error, ItemError::HeadOutdated { .. }), "{error}");
}

#[tokio::test]
async fn hole_2_a_restored_head_below_a_deletion_is_not_written_over() {
    let world = World::with_values(&["1", "2"]).await;
    let head = world.memory.object(&world.item.head_key()).unwrap();
    world.process().delete().await.unwrap();
    world.memory.restore(&world.item.head_key(), head);
    let error = world.process().upload(&[("A", "x")]).await.unwrap_err();
    let log = "services/api/log/environment/00000003";
    assert!(
        matches!(&error, ItemError::HeadOutdated { key, .. } if key == log),
        "{error}"
    );
}

#[tokio::test]
async fn hole_2_a_restored_head_below_bytes_that_were_never_logged_is_not_written_over() {
    let world = World::with_values(&["1", "2"]).await;
    let head = world.memory.object(&world.item.head_key()).unwrap();
    let third = world.process().upload(&[("A", "3")]).await.unwrap();
    world.memory.remove(&world.item.log_key(nth(3)));
    world.memory.restore(&world.item.head_key(), head);
    let error = world.process().upload(&[("A", "x")]).await.unwrap_err();
    assert!(
        matches!(&error, ItemError::HeadOutdated { key, .. } if *key == third.key),
        "{error}"
    );
}

// 3. 0.3.4's versions are numbered and logged before the commit.

#[tokio::test]
async fn hole_3_only_what_was_committed_is_numbered() {
    // M2: A has listed and seen nothing; L uploads; B sees and adopts it; A commits.
    let world = World::with_values(&["1", "2"]).await;
    let a = world.process();
    let (a_done, (x, b_done)) = world
        .before_commit(&a, a.upload(&[("A", "a")]), async {
            let x = legacy_document(&[("A", "x")]);
            world.legacy(&x);
            world.tick(1);
            (x, world.process().set("B", "b").await.unwrap())
        })
        .await;
    is_conflict_with(&a_done.unwrap_err(), 3);
    assert_eq!(number(&b_done), 4);
    let third = world.log(3).unwrap();
    assert_eq!(third.record().checksum(), microsecrets::checksum::Checksum::of(&x));
    assert_eq!(third.record().kind.to_string(), "adopted");
    Ledger::default().observe(&world);
}

#[tokio::test]
async fn hole_3_a_lost_answer_while_another_adopts() {
    // M2l: A commits n3, the answer is lost; L uploads; B adopts that as n4.
    let world = World::with_values(&["1", "2"]).await;
    let a = world.process();
    let (a_done, b_done) = world
        .after_lost_commit(&a, a.set("A", "a"), async {
            world.tick(1);
            world.legacy(&legacy_document(&[("L", "x")]));
            world.process().set("B", "b").await
        })
        .await;
    let a_done = a_done.unwrap();
    assert_eq!((number(&a_done), number(&b_done.unwrap())), (3, 5));
    assert_eq!(world.process().at(3).await.unwrap(), b"A=a");
    assert_eq!(world.process().at(4).await.unwrap(), b"L=x");
    assert_eq!(world.process().current().await.unwrap(), b"L=x\nB=b");
}

#[tokio::test]
async fn hole_3_an_older_named_version_lands_while_a_newer_one_is_adopted() {
    // M3: A saw X; W lands, named before X; B sees both. X gets the number, W none, and A says that it did not see W.
    let world = World::with_values(&["1"]).await;
    world.tick(60);
    world.legacy(&legacy_document(&[("A", "x")]));
    let a = world.process();
    let (a_done, (w, b_done)) = world
        .before_commit(&a, a.set("C", "a"), async {
            let w = world.legacy_ahead(-1, &legacy_document(&[("A", "w")]));
            world.tick(1);
            (w, world.process().set("B", "b").await.unwrap())
        })
        .await;
    assert_eq!((number(&a_done.unwrap()), number(&b_done)), (4, 3));
    assert_eq!(world.process().at(2).await.unwrap(), b"A=x");
    assert_eq!(world.process().current().await.unwrap(), b"A=x\nB=b\nC=a");
    let named = |number| world.item.version_key(&world.log(number).unwrap().record().name);
    assert!((1..=4).all(|number| named(number) != w));
}

#[tokio::test]
async fn hole_3_what_lands_below_an_adopted_version_is_named() {
    // W is below the new head, where no later listing looks: whoever adopts says so, or nobody ever does.
    let world = World::with_values(&["1"]).await;
    world.tick(60);
    world.legacy(&legacy_document(&[("A", "x")]));
    let a = world.process();
    let (a_done, w) = world
        .before_commit(&a, a.set("C", "a"), async {
            world.legacy_ahead(-1, &legacy_document(&[("A", "w")]))
        })
        .await;
    assert_eq!(a_done.unwrap().notes, [Note::RacedBy { key: w }]);
}

#[tokio::test]
async fn hole_3_every_committed_number_is_logged_by_the_next_write() {
    // M4, M1: A commits n2 and is killed: the next write logs it, also when that is an adoption.
    for legacy in [false, true] {
        let world = World::with_values(&["1"]).await;
        let a = world.process();
        a.client.plan(When::Begins(world.put_head()), Fault::CrashAfter);
        a.set("A", "2").await.unwrap_err();
        world.tick(1);
        if legacy {
            world.legacy(&legacy_document(&[("A", "l")]));
        }
        world.process().set("A", "3").await.unwrap();
        let logged: Vec<_> = (1..=world.head_number())
            .filter(|number| world.log(*number).is_some())
            .collect();
        assert_eq!(logged.len() as u64, world.head_number());
        assert_eq!(world.process().at(2).await.unwrap(), b"A=2");
    }
}

// 4. The first write of a large file over 0.3.4's versions breaks all readers.

#[tokio::test]
async fn hole_4_0_3_4s_version_stays_readable_during_a_first_large_upload() {
    let world = World::file("api", "tls.pem");
    world.legacy(b"legacy");
    world.tick(1);
    let a = world.process();
    let large_bytes = format!("{}2026-11-23.08-00-01.", world.put_bytes());
    a.client.plan(When::Begins(large_bytes.clone()), Fault::CrashAfter);
    a.upload_file(&large(b'a')).await.unwrap_err();
    assert_eq!(
        world.version_keys().len(),
        2,
        "the large bytes are put, and nobody will commit them"
    );
    assert_eq!(world.process().current().await.unwrap(), b"legacy");
    assert_eq!(world.head_number(), 1, "0.3.4's version is adopted already");

    let b = world.process();
    let (committed, read) = world
        .before_commit(&b, b.upload_file(&large(b'b')), async {
            world.process().current().await
        })
        .await;
    assert_eq!((number(&committed.unwrap()), read.unwrap()), (2, b"legacy".to_vec()));
}

// 5. Parents are names, and names do not prove ownership.

#[tokio::test]
async fn hole_5_the_same_name_and_number_are_no_proof_of_a_commit() {
    for deletion in [false, true] {
        let world = World::with_files(&[b"1"]).await;
        let write = async |process: &Process| match deletion {
            true => process.delete().await,
            false => process.upload_file(b"x").await,
        };
        let b = world.process();
        let (b_done, a_done) = world
            .before_commit(&b, write(&b), async {
                let a = write(&world.process()).await.unwrap();
                world.process().upload_file(b"c").await.unwrap();
                prune(&world, async || {}).await;
                a
            })
            .await;
        is_conflict_with(&b_done.unwrap_err(), 2);
        assert_eq!(world.log(2).unwrap().record().nonce, a_done.entry.record().nonce);
    }
}

// 6. Prune and the lost answer.

#[tokio::test]
async fn hole_6_a_lost_answer_is_settled_by_the_log_that_prune_keeps() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    let (a_done, ()) = world
        .after_lost_commit(&a, a.upload(&[("A", "a")]), async {
            world.process().upload(&[("A", "b")]).await.unwrap();
            prune(&world, async || {}).await;
        })
        .await;
    let a_done = a_done.unwrap();
    assert_eq!((number(&a_done), &a_done.notes[..]), (2, &[Note::Superseded][..]));
}

// 7. `doctor` after a day removes what a sleeping writer then commits.

#[tokio::test]
async fn hole_7_doctor_leaves_a_sleeping_writers_bytes() {
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    let (a_done, offered) = world
        .before_commit(&a, a.upload_file(&large(b'a')), async {
            world.tick(86_400);
            doctor(&world, async || {}).await
        })
        .await;
    assert_eq!(offered, [""; 0]);
    assert_eq!(number(&a_done.unwrap()), 2);
    assert_eq!(world.process().current().await.unwrap(), large(b'a'));
}

#[tokio::test]
async fn hole_7_doctor_offers_what_cannot_win_any_more() {
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    let (a_done, offered) = world
        .before_commit(&a, a.upload_file(&large(b'a')), async {
            world.tick(1);
            world.process().upload_file(b"2").await.unwrap();
            let offered = doctor(&world, async || {}).await;
            offered.iter().for_each(|key| drop(world.memory.remove(key)));
            offered
        })
        .await;
    assert_eq!(offered.len(), 1);
    is_conflict_with(&a_done.unwrap_err(), 2);
    assert_eq!(world.process().current().await.unwrap(), b"2");
}

// 8. A loser's DELETE, retried, where the ETag is a digest of the bytes.

#[tokio::test]
async fn hole_8_a_losers_delete_that_is_retried_never_hits_anothers_object() {
    for (unique_etags, versioned) in [(false, false), (true, false), (false, true), (true, true)] {
        let world = World::with_files(&[b"1"]).await;
        world.memory.unique_etags(unique_etags);
        world.memory.versioned(versioned);
        let (a, c, z) = (world.process(), world.process(), large(b'z'));
        let (a_commits, c_commits) = (a.client.hold(&world.put_head()), c.client.hold(&world.put_head()));
        a.client.plan(When::Begins("delete ".to_owned()), Fault::LoseAnswer);
        let (a_starts, retry) = (Notify::new(), a.client.hold("delete "));
        let a_uploads = async {
            a_starts.notified().await;
            a.upload_file(&z).await
        };
        let writers = async { tokio::join!(a_uploads, c.upload_file(b"c")) };
        let ((a_done, c_done), b_done) = together(writers, async {
            // C has listed in one second; A does in the next one.
            c_commits.reached().await;
            world.tick(1);
            a_starts.notify_one();
            a_commits.reached().await;
            c_commits.release();
            while world.head_number() < 2 {
                tokio::task::yield_now().await;
            }
            a_commits.release();
            // A has lost. Where the store can say which object is A's, A deletes it, and does not hear the answer.
            if unique_etags || versioned {
                retry.reached().await;
            }
            let b_done = world.process().upload_file(&z).await.unwrap();
            retry.release();
            b_done
        })
        .await;
        is_conflict_with(&a_done.unwrap_err(), 2);
        assert_eq!((number(&c_done.unwrap()), number(&b_done)), (2, 3));
        assert_eq!(world.process().current().await.unwrap(), z);
        let deletes = a.client.log().iter().filter(|line| line.starts_with("delete ")).count();
        assert_eq!(deletes, if unique_etags || versioned { 2 } else { 0 });
        // B's object has the very key that A's had.
        assert_eq!(b_done.key.contains("_000001."), !unique_etags && !versioned);
    }
}

// 9. `--at N` of the current version after a crash.

#[tokio::test]
async fn hole_9_the_current_number_is_found_after_a_crash() {
    let leftovers = [
        ("put services/api/head", Fault::CrashAfter),
        ("put services/api/environment", Fault::CrashAfter),
        ("put services/api/log", Fault::CrashAfter),
    ];
    for (line, fault) in leftovers {
        let world = World::environment("api");
        let a = world.process();
        a.client.plan(When::Begins(line.to_owned()), fault);
        a.upload(&[("A", "1")]).await.ok();
        assert!(a.client.crashed());
        assert_eq!(world.process().at(1).await.unwrap(), b"A=1");
    }
}

// 10. A deleted head has a name of its own.

#[tokio::test]
async fn hole_10_after_a_deletion_an_item_can_be_written_again() {
    for legacy in [false, true] {
        let world = World::with_values(&["1"]).await;
        if legacy {
            world.legacy(&legacy_document(&[("A", "l")]));
        }
        let deleted = world.process().delete().await.unwrap();
        assert!(!world.memory.keys().contains(&deleted.key), "no object has its name");
        for scan in [false, true] {
            let process = world.process();
            let read = process.reader().scan(scan).read(&Selector::Current).await.map(|_| ());
            assert!(
                matches!(read, Err(ItemError::Deleted { .. })),
                "what was deleted is not seen again"
            );
        }
        let again = world.process().upload(&[("A", "2")]).await.unwrap();
        assert_eq!(number(&again), number(&deleted) + 1);
        assert_eq!(world.process().current().await.unwrap(), b"A=2");
    }
}

// 11. "This store cannot compare-and-swap" because of a prune.

#[tokio::test]
async fn hole_11_a_prune_between_the_two_puts_is_no_false_alarm() {
    let world = World::with_values(&["1"]).await;
    let killed = world.process();
    killed.client.plan(When::Begins(world.put_head()), Fault::CrashAfter);
    killed.upload(&[("A", "2")]).await.unwrap_err();
    let a = world.process();
    let first = a.client.hold(&world.put_bytes());
    let second = a.client.hold(&world.put_bytes());
    let (a_done, ()) = together(a.upload(&[("A", "a")]), async {
        first.reached().await;
        first.release();
        second.reached().await;
        world.process().upload(&[("A", "3")]).await.unwrap();
        prune(&world, async || {}).await;
        second.release();
    })
    .await;
    assert_eq!(number(&a_done.unwrap()), 4);
}

#[tokio::test]
async fn hole_11_a_log_entry_that_could_not_be_put_at_first_is_no_false_alarm() {
    // A crash left out both; the bytes are put, the log entry only at the second attempt of the whole step.
    let world = World::with_values(&["1"]).await;
    let killed = world.process();
    killed.client.plan(When::Begins(world.put_head()), Fault::CrashAfter);
    killed.upload(&[("A", "2")]).await.unwrap_err();
    let a = world.process();
    a.client
        .plan(When::Begins("put services/api/log".to_owned()), Fault::Fail(denied()));
    let error = a.upload(&[("A", "a")]).await.unwrap_err();
    assert!(
        matches!(&error, ItemError::Store(error) if error.kind == denied()),
        "{error}"
    );
    assert_eq!(number(&world.process().upload(&[("A", "a")]).await.unwrap()), 3);
}

// 12. A committed name below an orphan's in the same second.

#[tokio::test]
async fn hole_12_a_name_comes_after_an_orphans_of_the_same_second() {
    let world = World::with_files(&[b"1"]).await;
    let orphan = world.item.version_key(
        &world
            .name_of(0, &large(b'a'))
            .to_string()
            .replace("08-00-01.", "08-00-01_000003.")
            .parse()
            .unwrap(),
    );
    world.memory.put_raw(&orphan, &large(b'a'), our_mark());
    let committed = world.process().upload_file(b"q").await.unwrap();
    assert!(committed.key.contains("08-00-01_000004."), "{}", committed.key);
    assert_eq!(world.legacy_reads().unwrap(), b"q");
}

// 13. Numbers counted back from `adopted` move.

#[tokio::test]
async fn hole_13_0_3_4s_versions_have_no_number_until_they_are_adopted() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("V", "a")]));
    world.tick(10);
    world.legacy(&legacy_document(&[("V", "b")]));
    world.tick(10);
    world.process().set("W", "1").await.unwrap();
    let mut ledger = Ledger::default();
    ledger.observe(&world);
    world.legacy_ahead(-15, &legacy_document(&[("V", "c")]));
    ledger.observe(&world);
    assert_eq!(world.process().at(1).await.unwrap(), b"V=b");
    assert_eq!(world.process().at(2).await.unwrap(), b"V=b\nW=1");
}

// 14. A listed name is compared with the clock of its own listing.

#[tokio::test]
async fn hole_14_a_listed_name_is_compared_with_the_date_of_its_own_listing() {
    // R and A got the head long before; meanwhile 0.3.4 uploads, with a right clock.
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.process().set("A", "1").await.unwrap();
    let (r, a) = (world.process(), world.process());
    let holds = [r.client.hold("list "), a.client.hold("list ")];
    let both = async { tokio::join!(r.current(), a.set("B", "2")) };
    let ((read, set), ()) = together(both, async {
        for hold in &holds {
            hold.reached().await;
        }
        world.tick(1_000);
        world.legacy(&legacy_document(&[("A", "late")]));
        holds.iter().for_each(|hold| hold.release());
    })
    .await;
    set.unwrap();
    assert!([&b"A=late"[..], b"A=late\nB=2"].contains(&&read.unwrap()[..]));
}
