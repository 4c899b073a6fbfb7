//! What is put is what is read, and conditions are decided by the store.

use microsecrets::name::Nonce;
use microsecrets::store::{Condition, Delete, ETag, ErrorKind, Get, Mark, Put, Store, Which};
use microsecrets::time::Timestamp;

use crate::sources::Generated;
use crate::worlds::World;
use crate::{HEAD, get, kind, payload, put_new, put_source, streamed, whole};

on_every_store!(
    an_object_is_read_as_it_was_put,
    an_object_of_any_size_is_whole_or_in_pieces,
    every_key_of_the_layout_is_kept_apart,
    no_more_bytes_are_read_than_are_wanted,
    what_is_not_there_is_not_found,
    what_is_as_it_was_is_not_read_again,
    a_mark_stays_with_its_object,
    what_must_be_absent_is_not_replaced,
    what_must_be_as_it_was_is_replaced_only_then,
    a_condition_on_what_is_not_there_fails,
    a_source_is_put_whole,
    a_source_that_fails_leaves_nothing,
    a_source_does_not_replace_what_must_be_absent,
    the_stores_clock_goes_on_and_dates_what_is_written,
);

async fn an_object_is_read_as_it_was_put(world: &World) {
    let store = world.open().await;
    let stored = put_new(&*store, HEAD, b"bytes\0\xff", &world.encryption())
        .await
        .unwrap();
    // Everybody sees it at once, and sees the same.
    for store in [store, world.open().await] {
        let object = store.get(Get::whole(HEAD, 100)).await.unwrap();
        assert_eq!(whole(&object), b"bytes\0\xff");
        assert_eq!((&object.etag, object.size), (&stored.etag, 7));
        assert_eq!((object.mark, object.encryption), (None, world.encryption()));
        let attributes = store.get(Get::attributes(HEAD)).await.unwrap();
        assert!(matches!(attributes.body, microsecrets::store::Body::None));
        assert_eq!((&attributes.etag, attributes.size), (&stored.etag, 7));
        assert_eq!((attributes.mark, attributes.modified), (None, object.modified));
    }
}

async fn an_object_of_any_size_is_whole_or_in_pieces(world: &World) {
    let store = world.open().await;
    for size in [0, 1, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 3_000_000] {
        let (key, bytes) = (format!("services/api/files/x/{size}"), Generated::new(size, 1).bytes());
        put_new(&*store, &key, &bytes, &world.encryption()).await.unwrap();
        assert!(get(&*store, &key).await.unwrap() == bytes, "{size} bytes, whole");
        let object = store.get(Get::stream(&key)).await.unwrap();
        assert_eq!(object.size, size);
        assert!(streamed(object).await.unwrap() == bytes, "{size} bytes, in pieces");
    }
}

async fn every_key_of_the_layout_is_kept_apart(world: &World) {
    let store = world.open().await;
    let longest = format!("services/{}/head/file/{}", "s".repeat(63), "l".repeat(128));
    let keys = [
        "services/api/environment/2026-11-23.08-00-00.00.json",
        "services/api/files/a+b@c-d_e.f/2026-11-23.08-00-00_000001.00",
        "services/api/files/a%2Bb/x",
        "services/api/head/environment",
        "services/api/head/file/a+b",
        "services/api/head/file/a-b",
        "services/api/head/file/A+B",
        "services/api/log/environment/00000001",
        "services/a.b/log/environment/00000001",
        &longest,
    ];
    for key in keys {
        put_new(&*store, key, key.as_bytes(), &world.encryption())
            .await
            .unwrap();
    }
    for key in keys {
        assert_eq!(get(&*store, key).await.unwrap(), key.as_bytes());
    }
}

async fn no_more_bytes_are_read_than_are_wanted(world: &World) {
    let store = world.open().await;
    put_new(&*store, HEAD, b"12345", &world.encryption()).await.unwrap();
    assert_eq!(whole(&store.get(Get::whole(HEAD, 5)).await.unwrap()), b"12345");
    assert_eq!(
        kind(store.get(Get::whole(HEAD, 4)).await),
        ErrorKind::TooLarge { limit: 4 }
    );
}

async fn what_is_not_there_is_not_found(world: &World) {
    let store = world.open().await;
    put_new(&*store, HEAD, b"x", &world.encryption()).await.unwrap();
    for key in [
        "services/api/head/environmen",
        "services/api/head/environment2",
        "services/web/head/environment",
    ] {
        for request in [Get::whole(key, 9), Get::stream(key), Get::attributes(key)] {
            assert_eq!(kind(store.get(request.clone()).await), ErrorKind::NotFound);
            let conditional = request.if_none_match(ETag::new("\"0123456789abcdef0123456789abcdef\""));
            assert_eq!(kind(store.get(conditional).await), ErrorKind::NotFound);
        }
    }
}

async fn what_is_as_it_was_is_not_read_again(world: &World) {
    let store = world.open().await;
    let old = put_new(&*store, HEAD, b"old", &world.encryption()).await.unwrap();
    for request in [Get::whole(HEAD, 9), Get::stream(HEAD), Get::attributes(HEAD)] {
        let request = request.if_none_match(old.etag.clone());
        assert_eq!(kind(store.get(request).await), ErrorKind::NotModified);
    }
    replace(&*store, world, &old.etag, b"new").await.unwrap();
    let request = Get::whole(HEAD, 9).if_none_match(old.etag);
    assert_eq!(whole(&store.get(request).await.unwrap()), b"new");
}

async fn a_mark_stays_with_its_object(world: &World) {
    let store = world.open().await;
    let (small, large) = ("services/api/files/x/small", "services/api/files/x/large");
    let put = |key, payload| Put::new(key, payload, Condition::Absent, world.encryption());
    let nonces = [[0; 16], [255; 16]].map(Nonce::from_bytes);
    store.put(put(small, payload(b"x")).marked(nonces[0])).await.unwrap();
    let source = microsecrets::store::Payload::Source(Box::new(Generated::new(9 << 20, 1)));
    store.put(put(large, source).marked(nonces[1])).await.unwrap();
    for (key, nonce) in [small, large].into_iter().zip(nonces) {
        for request in [Get::attributes(key), Get::stream(key)] {
            assert_eq!(store.get(request).await.unwrap().mark, Some(Mark::Ours(nonce)), "{key}");
        }
    }
}

async fn what_must_be_absent_is_not_replaced(world: &World) {
    let (ann, bob) = (world.open().await, world.open().await);
    let first = put_new(&*ann, HEAD, b"ann", &world.encryption()).await.unwrap();
    for bytes in [b"bob".as_slice(), b"ann", b""] {
        let second = put_new(&*bob, HEAD, bytes, &world.encryption()).await.unwrap_err();
        assert_eq!(
            (second.kind, second.maybe_applied),
            (ErrorKind::PreconditionFailed, false)
        );
    }
    let object = ann.get(Get::whole(HEAD, 9)).await.unwrap();
    assert_eq!((whole(&object), object.etag), (b"ann".to_vec(), first.etag));
    // What was deleted is absent.
    ann.delete(Delete::new(HEAD, Which::Any)).await.unwrap();
    put_new(&*bob, HEAD, b"bob", &world.encryption()).await.unwrap();
    assert_eq!(get(&*ann, HEAD).await.unwrap(), b"bob");
}

async fn what_must_be_as_it_was_is_replaced_only_then(world: &World) {
    let store = world.open().await;
    let first = put_new(&*store, HEAD, b"first", &world.encryption()).await.unwrap();
    let second = replace(&*store, world, &first.etag, b"second").await.unwrap();
    assert_ne!(first.etag, second.etag);
    let stale = replace(&*store, world, &first.etag, b"third").await.unwrap_err();
    assert_eq!(
        (stale.kind, stale.maybe_applied),
        (ErrorKind::PreconditionFailed, false)
    );
    assert_eq!(get(&*store, HEAD).await.unwrap(), b"second");
    // The ETag that a reader sees is the one that a writer was told.
    let read = store.get(Get::attributes(HEAD)).await.unwrap().etag;
    replace(&*store, world, &read, b"third").await.unwrap();
    assert_eq!(get(&*store, HEAD).await.unwrap(), b"third");
}

async fn a_condition_on_what_is_not_there_fails(world: &World) {
    let store = world.open().await;
    let first = put_new(&*store, HEAD, b"first", &world.encryption()).await.unwrap();
    store.delete(Delete::new(HEAD, Which::Any)).await.unwrap();
    let failed = kind(replace(&*store, world, &first.etag, b"second").await);
    // S3 says 404, other stores 412.
    assert!(
        matches!(failed, ErrorKind::NotFound | ErrorKind::PreconditionFailed),
        "{failed}"
    );
    assert_eq!(kind(get(&*store, HEAD).await), ErrorKind::NotFound);
}

async fn a_source_is_put_whole(world: &World) {
    let store = world.open().await;
    // Around what fits into one request to S3, and three parts.
    for size in [0, 1, 8 << 20, (8 << 20) + 1, 20 << 20] {
        let (key, source) = (format!("services/api/files/x/{size}"), Generated::new(size, 3));
        let stored = put_source(&*store, &key, source, &world.encryption()).await.unwrap();
        let object = store.get(Get::stream(&key)).await.unwrap();
        assert_eq!(
            (&object.etag, object.size, &object.encryption),
            (&stored.etag, size, &world.encryption())
        );
        assert!(
            streamed(object).await.unwrap() == Generated::new(size, 3).bytes(),
            "{size} bytes"
        );
    }
}

async fn a_source_that_fails_leaves_nothing(world: &World) {
    let store = world.open().await;
    for size in [0, 100, (8 << 20) + 1] {
        let source = Generated::new(size, 0).failing("it changed while it was read");
        let error = put_source(&*store, HEAD, source, &world.encryption())
            .await
            .unwrap_err();
        assert_eq!(
            (&error.kind, error.maybe_applied),
            (&ErrorKind::UnreadableSource, false)
        );
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(why, "it changed while it was read");
        assert_eq!(kind(get(&*store, HEAD).await), ErrorKind::NotFound);
    }
}

async fn a_source_does_not_replace_what_must_be_absent(world: &World) {
    let store = world.open().await;
    put_new(&*store, HEAD, b"first", &world.encryption()).await.unwrap();
    for size in [5, (8 << 20) + 1] {
        let put = put_source(&*store, HEAD, Generated::new(size, 0), &world.encryption()).await;
        assert_eq!(kind(put), ErrorKind::PreconditionFailed);
        assert_eq!(get(&*store, HEAD).await.unwrap(), b"first");
    }
}

async fn the_stores_clock_goes_on_and_dates_what_is_written(world: &World) {
    let store = world.open().await;
    let mut clock = Timestamp::from_unix(0).unwrap();
    for number in 0..3 {
        let key = format!("services/api/log/environment/0000000{number}");
        put_new(&*store, &key, b"x", &world.encryption()).await.unwrap();
        let object = store.get(Get::attributes(&key)).await.unwrap();
        // A second is S3's own precision.
        assert!(clock <= object.modified.plus(1) && object.modified <= object.date.plus(1));
        let page = store
            .list(microsecrets::store::List::prefix("services/"))
            .await
            .unwrap();
        assert!(object.date <= page.date.plus(1));
        clock = object.modified;
    }
}

/// Replaces the head, if it still has this ETag.
async fn replace(
    store: &dyn Store,
    world: &World,
    etag: &ETag,
    bytes: &[u8],
) -> Result<microsecrets::store::Stored, microsecrets::store::StoreError> {
    let condition = Condition::Is(etag.clone());
    store
        .put(Put::new(HEAD, payload(bytes), condition, world.encryption()))
        .await
}
