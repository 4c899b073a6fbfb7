//! Answers that are lost: the store did its work, and nobody heard of it. In memory and on the fake, where something is
//! between a process and its store.

use microsecrets::item::ItemError;
use microsecrets::layout::Item;
use microsecrets::record::MAX_INLINE_FILE;
use microsecrets::store::{Condition, ErrorKind, Put};

use crate::process::{Process, environment, file, nth, number};
use crate::worlds::World;
use crate::{HEAD, get, payload, put_new};

on_every_store!(
    a_put_whose_answer_was_lost_may_have_been_applied,
    a_commit_whose_answer_was_lost_is_no_conflict,
    the_bytes_of_a_large_file_whose_answer_was_lost_are_found,
    what_completes_a_commit_may_lose_its_answer,
);

async fn a_put_whose_answer_was_lost_may_have_been_applied(world: &World) {
    let Some(store) = world.open_losing_the_answer_to_put(HEAD).await else {
        return;
    };
    // It is sent again, and must not be refused as if somebody else had been first.
    let error = put_new(&*store, HEAD, b"first", &world.encryption()).await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (ErrorKind::PreconditionFailed, true));
    assert_eq!(get(&*store, HEAD).await.unwrap(), b"first");

    let store = world.open_losing_the_answer_to_put(HEAD).await.unwrap();
    let attributes = microsecrets::store::Get::attributes(HEAD);
    let etag = store.get(attributes).await.unwrap().etag;
    let put = Put::new(HEAD, payload(b"second"), Condition::Is(etag), world.encryption());
    let error = store.put(put).await.unwrap_err();
    assert_eq!((error.kind, error.maybe_applied), (ErrorKind::PreconditionFailed, true));
    assert_eq!(get(&*store, HEAD).await.unwrap(), b"second");
}

/// A process whose answer to the put of a key is lost; `None` where the store cannot do that.
async fn unlucky(world: &World, item: &Item, key: &str) -> Option<Process> {
    let store = world.open_losing_the_answer_to_put(key).await?;
    Some(world.process_over(store, item))
}

async fn publish(process: &Process, round: u64) -> Result<u64, ItemError> {
    let committed = match process.item.is_file() {
        true => process.upload_file(&bytes(process, round)).await,
        false => process.upload(&format!("ROUND={round}")).await,
    };
    committed.map(|committed| number(&committed))
}

fn bytes(process: &Process, round: u64) -> Vec<u8> {
    match process.item.to_string().contains("large") {
        true => vec![round as u8; MAX_INLINE_FILE as usize + 1],
        false => format!("ROUND={round}").into_bytes(),
    }
}

async fn a_commit_whose_answer_was_lost_is_no_conflict(world: &World) {
    for item in [environment(), file("small"), file("large")] {
        for round in 1..=3 {
            let Some(process) = unlucky(world, &item, &item.head_key()).await else {
                return;
            };
            assert_eq!(publish(&process, round).await.unwrap(), round);
            assert!(process.read(&nth(round)).await.unwrap() == bytes(&process, round));
        }
    }
}

async fn the_bytes_of_a_large_file_whose_answer_was_lost_are_found(world: &World) {
    let item = file("large");
    for round in 1..=2 {
        let Some(process) = unlucky(world, &item, "services/api/files/large/").await else {
            return;
        };
        assert_eq!(publish(&process, round).await.unwrap(), round);
        assert!(process.read(&nth(round)).await.unwrap() == bytes(&process, round));
        // Put once, and not once more under the next name.
        let prefix = microsecrets::store::List::prefix(item.versions_prefix());
        assert_eq!(process.store.list(prefix).await.unwrap().entries.len() as u64, round);
    }
}

async fn what_completes_a_commit_may_lose_its_answer(world: &World) {
    for item in [environment(), file("small"), file("large")] {
        for (round, key) in [item.log_prefix(), item.versions_prefix(), item.log_prefix()]
            .iter()
            .enumerate()
        {
            let round = round as u64 + 1;
            let Some(process) = unlucky(world, &item, key).await else {
                return;
            };
            assert_eq!(publish(&process, round).await.unwrap(), round);
            assert!(process.read(&nth(round)).await.unwrap() == bytes(&process, round));
        }
    }
}
