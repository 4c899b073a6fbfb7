//! The protocol on the store in memory: reading, committing, and who wins.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;

#[tokio::test]
async fn what_was_committed_is_read_in_one_request() {
    let world = World::environment("api");
    let writer = world.process();
    let committed = writer
        .upload(&[("DB_URL", "db://x"), ("PASSWORD", "hunter2")])
        .await
        .unwrap();
    assert_eq!(committed.entry.record().number.get(), 1);
    let reader = world.process();
    assert_eq!(
        reader.read().await.unwrap(),
        [("DB_URL", "db://x"), ("PASSWORD", "hunter2")].map(owned)
    );
    assert_eq!(reader.client.log(), ["get services/api/head/environment"]);
}

#[tokio::test]
async fn an_edit_is_applied_again_to_what_somebody_else_committed() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    let (ann, bob) = (world.process(), world.process());
    let hold = ann.client.hold("put services/api/head/environment");
    let (anns, bobs) = together(ann.set("B", "ann"), async {
        hold.reached().await;
        let set = bob.set("C", "bob").await;
        hold.release();
        set
    })
    .await;
    assert_eq!((number(&bobs.unwrap()), number(&anns.unwrap())), (2, 3));
    assert_eq!(
        world.process().read().await.unwrap(),
        [("A", "1"), ("C", "bob"), ("B", "ann")].map(owned)
    );
}

#[tokio::test]
async fn an_upload_that_lost_reports_who_won() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    let (ann, bob) = (world.process(), world.process());
    let hold = ann.client.hold("put services/api/head/environment");
    let (anns, bobs) = together(ann.upload(&[("A", "ann")]), async {
        hold.reached().await;
        let done = bob.upload(&[("A", "bob")]).await;
        hold.release();
        done
    })
    .await;
    assert_eq!(number(&bobs.unwrap()), 2);
    assert!(matches!(anns.unwrap_err(), ItemError::Conflict { by, .. } if by.number.get() == 2));
}
