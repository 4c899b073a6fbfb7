//! What is deleted is exactly what was meant.

use microsecrets::store::{Condition, Delete, ETag, ErrorKind, Put, Which};

use crate::worlds::{Backing, World};
use crate::{HEAD, get, kind, payload, put_new};

on_every_store!(
    an_object_is_deleted_whatever_it_is,
    what_is_not_there_is_deleted_already,
    an_object_is_deleted_only_as_it_was_put,
);

async fn an_object_is_deleted_whatever_it_is(world: &World) {
    let store = world.open().await;
    for key in [HEAD, "services/api/head/file/a+b"] {
        put_new(&*store, key, b"x", &world.encryption()).await.unwrap();
    }
    store.delete(Delete::new(HEAD, Which::Any)).await.unwrap();
    assert_eq!(kind(get(&*store, HEAD).await), ErrorKind::NotFound);
    assert_eq!(get(&*store, "services/api/head/file/a+b").await.unwrap(), b"x");
}

async fn what_is_not_there_is_deleted_already(world: &World) {
    let store = world.open().await;
    let stored = put_new(&*store, HEAD, b"x", &world.encryption()).await.unwrap();
    store.delete(Delete::new(HEAD, Which::Any)).await.unwrap();
    for key in [HEAD, "services/web/head/environment"] {
        store.delete(Delete::new(key, Which::Any)).await.unwrap();
        let as_it_was = Which::WithETag(stored.etag.clone());
        store.delete(Delete::new(key, as_it_was)).await.unwrap();
    }
}

/// A loser may delete its own bytes, and nobody else's that lie at the same key since.
async fn an_object_is_deleted_only_as_it_was_put(world: &World) {
    let store = world.open().await;
    let old = put_new(&*store, HEAD, b"old", &world.encryption()).await.unwrap();
    let put = Put::new(
        HEAD,
        payload(b"new"),
        Condition::Is(old.etag.clone()),
        world.encryption(),
    );
    let new = store.put(put).await.unwrap();
    // Moto deletes whatever the condition is; but nothing is deleted by ETag where ETags are not unique.
    if !matches!(world.backing(), Backing::Moto { .. }) {
        for etag in [old.etag, ETag::new("\"0123456789abcdef0123456789abcdef\"")] {
            let deleted = store.delete(Delete::new(HEAD, Which::WithETag(etag))).await;
            assert_eq!(kind(deleted), ErrorKind::PreconditionFailed);
            assert_eq!(get(&*store, HEAD).await.unwrap(), b"new");
        }
    }
    if let Some(version_id) = old.version_id {
        store
            .delete(Delete::new(HEAD, Which::WithVersionId(version_id)))
            .await
            .unwrap();
        assert_eq!(get(&*store, HEAD).await.unwrap(), b"new");
    }
    let which = new.version_id.map_or(Which::WithETag(new.etag), Which::WithVersionId);
    store.delete(Delete::new(HEAD, which)).await.unwrap();
    assert_eq!(kind(get(&*store, HEAD).await), ErrorKind::NotFound);
}
