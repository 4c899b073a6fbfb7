//! One suite for all stores: what every store promises, and what the protocol makes of it.
//!
//! Each law is one function. [`on_every_store`] runs it in memory, in a folder, on the strict fake of S3 and on a real
//! moto server; `liars` shows that a store which breaks its word is found out; `security` has the rules that only S3 and
//! KMS have, on the strict fake.
#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "a test ends where its expectation does"
)]

/// Makes a test of each law for each store.
macro_rules! on_every_store {
    ($($law:ident),+ $(,)?) => {
        mod in_memory {
            $(#[test] fn $law() { crate::run(super::$law(&crate::worlds::World::in_memory())); })+
        }
        mod in_a_folder {
            $(#[test] fn $law() { crate::run(super::$law(&crate::worlds::World::in_a_folder())); })+
        }
        mod on_the_fake {
            $(#[test] fn $law() { crate::run(super::$law(&crate::worlds::World::on_the_fake())); })+
        }
        mod on_moto {
            $(#[test] fn $law() { crate::run(super::$law(&crate::worlds::World::on_moto())); })+
        }
    };
}

mod commits;
mod deletions;
#[path = "../simulation/dice.rs"]
mod dice;
mod files;
mod heads;
mod liars;
mod listings;
mod lost;
mod objects;
mod process;
mod races;
mod security;
mod sources;
mod worlds;

use std::future::Future;

use microsecrets::secret::SecretBytes;
use microsecrets::store::{
    Body, Condition, Encryption, ErrorKind, Get, Object, Payload, Put, Source, Store, StoreError, Stored,
};

pub(crate) const HEAD: &str = "services/api/head/environment";

/// Runs a process: one thread, its own runtime.
pub(crate) fn run<T>(process: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(process)
}

/// Runs a process from its beginning to its end while another one stands still.
pub(crate) fn meanwhile<T: Send>(process: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| run(process())).join().unwrap())
}

/// Runs so many processes at the same time.
pub(crate) fn together<T: Send>(count: usize, process: impl AsyncFn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(count);
    let (process, barrier) = (&process, &barrier);
    std::thread::scope(|scope| {
        let start = |number| {
            scope.spawn(move || {
                barrier.wait();
                run(process(number))
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

pub(crate) fn payload(bytes: &[u8]) -> Payload {
    Payload::Bytes(SecretBytes::new(bytes.to_vec()))
}

/// Puts where there must be nothing yet.
pub(crate) async fn put_new(
    store: &dyn Store,
    key: &str,
    bytes: &[u8],
    encryption: &Encryption,
) -> Result<Stored, StoreError> {
    let put = Put::new(key, payload(bytes), Condition::Absent, encryption.clone());
    store.put(put).await
}

/// Puts a source where there must be nothing yet.
pub(crate) async fn put_source(
    store: &dyn Store,
    key: &str,
    source: impl Source + 'static,
    encryption: &Encryption,
) -> Result<Stored, StoreError> {
    let put = Put::new(
        key,
        Payload::Source(Box::new(source)),
        Condition::Absent,
        encryption.clone(),
    );
    store.put(put).await
}

/// Reads an object of at most 64 MiB.
pub(crate) async fn get(store: &dyn Store, key: &str) -> Result<Vec<u8>, StoreError> {
    store.get(Get::whole(key, 64 << 20)).await.map(|object| whole(&object))
}

/// The bytes of an object that was read whole.
pub(crate) fn whole(object: &Object) -> Vec<u8> {
    match &object.body {
        Body::Whole(bytes) => bytes.expose().to_vec(),
        _ => panic!("it was to be read whole"),
    }
}

/// The bytes of an object that was read piece by piece; none of the pieces is empty.
pub(crate) async fn streamed(object: Object) -> Result<Vec<u8>, StoreError> {
    let Body::Stream(mut pieces) = object.body else {
        panic!("it was to be read piece by piece");
    };
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await? {
        assert!(!piece.is_empty());
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// How something failed.
#[track_caller]
pub(crate) fn kind<T>(result: Result<T, StoreError>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind,
    }
}
