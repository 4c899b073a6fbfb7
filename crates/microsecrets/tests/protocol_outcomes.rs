//! How a commit ended: won, lost, or not known.
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::store::ErrorKind;
use microsecrets::store::memory::{Fault, When};

const HEAD: &str = "services/api/head/environment";

fn lines(process: &Process, begins: &str) -> usize {
    process
        .client
        .log()
        .iter()
        .filter(|line| line.starts_with(begins))
        .count()
}

#[tokio::test]
async fn a_commit_whose_answers_are_all_lost_is_recognised_by_its_nonce() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    a.client.plan(When::Every(world.put_head()), Fault::LoseAnswer);
    let committed = a.upload(&[("A", "2")]).await.unwrap();
    assert_eq!((number(&committed), &committed.notes[..]), (2, &[][..]));
}

/// The first attempt arrives and its answer is lost; what the store says to the second is told, unless it says no more than
/// that the head is another one by now.
#[tokio::test]
async fn a_store_that_complains_of_what_it_has_done_is_quoted() {
    let damaged = || ErrorKind::Damaged("the answer has no ETag".to_owned());
    for (kind, told) in [(damaged(), 1), (denied(), 1), (ErrorKind::PreconditionFailed, 0)] {
        let world = World::with_values(&["1"]).await;
        let a = world.process();
        a.client.plan(When::Begins(world.put_head()), Fault::LoseAnswer);
        a.client.plan(When::Begins(world.put_head()), Fault::Fail(kind.clone()));
        let committed = a.upload(&[("A", "2")]).await.unwrap();
        let notes = committed
            .notes
            .iter()
            .filter(|note| matches!(note, Note::Complained { .. }));
        assert_eq!(notes.count(), told, "{kind:?}: {:?}", committed.notes);
        assert_eq!(world.process().current().await.unwrap(), b"A=2");
    }
}

#[tokio::test]
async fn a_commit_that_never_arrived_may_still_do_so() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    a.client.plan(When::Every(world.put_head()), Fault::Late);
    let error = a.set("A", "2").await.unwrap_err();
    assert!(matches!(error, ItemError::Unknown { .. }), "{error}");
    assert_eq!(
        lines(&a, "put services/api/environment"),
        1,
        "it is neither re-applied nor completed"
    );
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
    world.memory.deliver_late();
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
}

#[tokio::test]
async fn without_another_look_at_the_head_a_lost_answer_stays_unknown() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    a.client.plan(When::Every(world.put_head()), Fault::LoseAnswer);
    let hold = a.client.hold("put services/api/log/environment/00000001");
    let (written, ()) = together(a.upload(&[("A", "2")]), async {
        hold.reached().await;
        always(&a.client, "get ", ErrorKind::Unavailable);
        hold.release();
    })
    .await;
    assert!(matches!(written, Err(ItemError::Unknown { .. })));
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
}

#[tokio::test]
async fn a_definite_failure_is_no_unknown_outcome() {
    for (kind, retried) in [(denied(), 1), (ErrorKind::Throttled, 4), (ErrorKind::Unavailable, 4)] {
        let world = World::with_values(&["1"]).await;
        let a = world.process();
        always(&a.client, &world.put_head(), kind.clone());
        let error = a.upload(&[("A", "2")]).await.unwrap_err();
        assert!(
            matches!(&error, ItemError::Store(error) if error.kind == kind),
            "{error}"
        );
        assert_eq!(lines(&a, &world.put_head()), retried);
        assert_eq!(world.process().current().await.unwrap(), b"A=1");
    }
}

#[tokio::test]
async fn a_swap_that_failed_over_a_restored_head_is_unknown() {
    let world = World::with_values(&["1"]).await;
    let first = world.memory.object(HEAD).unwrap();
    world.process().upload(&[("A", "2")]).await.unwrap();
    let a = world.process();
    let (written, ()) = world
        .before_commit(&a, a.upload(&[("A", "3")]), async { world.memory.restore(HEAD, first) })
        .await;
    assert!(
        matches!(written, Err(ItemError::Unknown { .. })),
        "a head with a smaller number shows neither"
    );
}

#[tokio::test]
async fn an_edit_is_applied_a_hundred_times_at_most() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    let holds: Vec<_> = (0..100).map(|_| a.client.hold(&world.put_head())).collect();
    let (set, ()) = together(a.set("A", "a"), async {
        for (round, hold) in holds.iter().enumerate() {
            hold.reached().await;
            world.process().set("B", &round.to_string()).await.unwrap();
            hold.release();
        }
    })
    .await;
    let error = set.unwrap_err();
    assert_eq!(
        error.to_string(),
        "given up on the environment of api after 100 attempts: it keeps changing"
    );
    assert_eq!(world.process().current().await.unwrap(), b"A=1\nB=99");
}

#[tokio::test]
async fn each_attempt_has_a_nonce_of_its_own_and_its_retries_the_same() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    a.client
        .plan(When::Begins(world.put_head()), Fault::Fail(ErrorKind::Throttled));
    let (set, ()) = world
        .before_commit(&a, a.set("A", "a"), async {
            world.process().set("B", "b").await.unwrap();
        })
        .await;
    let set = set.unwrap();
    let nonces: Vec<_> = (1..=3)
        .map(|number| world.log(number).unwrap().record().nonce)
        .collect();
    assert_eq!(nonces[2], set.entry.record().nonce);
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2]);
}
