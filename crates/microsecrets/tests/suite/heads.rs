//! No two heads have the same ETag, so a writer with an old one never wins: not when the content is the same, not when
//! it went back to what it was.

use microsecrets::item::{Content, ItemError};
use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::record::{ChangeKind, MAX_INLINE_FILE, VersionRef};
use microsecrets::store::{Condition, ETag, ErrorKind, Get, Put};

use crate::process::{Process, environment, file, in_memory, number, variables};
use crate::worlds::World;
use crate::{kind, meanwhile, payload};

on_every_store!(
    equal_environments_have_heads_of_their_own,
    equal_small_files_have_heads_of_their_own,
    equal_empty_files_have_heads_of_their_own,
    equal_large_files_have_heads_of_their_own,
    equal_deletions_have_heads_of_their_own,
);

async fn equal_environments_have_heads_of_their_own(world: &World) {
    check(world, &environment(), || Content::Environment(variables("A=1 B=2"))).await;
}

async fn equal_small_files_have_heads_of_their_own(world: &World) {
    check(world, &file("x"), || in_memory(b"the same bytes")).await;
}

async fn equal_empty_files_have_heads_of_their_own(world: &World) {
    check(world, &file("x"), || in_memory(b"")).await;
}

async fn equal_large_files_have_heads_of_their_own(world: &World) {
    let bytes = vec![7; MAX_INLINE_FILE as usize + 1];
    check(world, &file("x"), || in_memory(&bytes)).await;
}

async fn equal_deletions_have_heads_of_their_own(world: &World) {
    check(world, &file("x"), || Content::Deletion).await;
}

/// Publishes the same content over and over, and something else in between, and tries every ETag there ever was.
async fn check(world: &World, item: &Item, same: impl Fn() -> Content + Sync) {
    let process = world.process(item).await;
    let other = || match item.is_file() {
        true => in_memory(b"something else"),
        false => Content::Environment(variables("OTHER=1")),
    };
    let rollback = ChangeKind::Rollback(VersionRef::Number(Number::FIRST));
    let kind_of = |kind: ChangeKind| match same() {
        Content::Deletion => ChangeKind::Delete,
        _ => kind,
    };
    let mut etags = Vec::new();
    for (kind, again) in [
        (ChangeKind::Upload, true),
        (ChangeKind::Upload, true),
        (ChangeKind::Upload, false),
        // Back to the same bytes, as `rollback` republishes them.
        (rollback, true),
        (ChangeKind::Upload, true),
    ] {
        let committed = match again {
            true => process.commit(kind_of(kind), &same).await,
            false => process.commit(kind, other).await,
        };
        assert_eq!(number(&committed.unwrap()), etags.len() as u64 + 1);
        let etag = head(&process).await;
        assert!(!etags.contains(&etag), "{etag:?} is the ETag of two heads");
        for stale in &etags {
            try_stale(world, &process, stale).await;
        }
        assert_eq!(head(&process).await, etag);
        etags.push(etag);
    }
    // The same as a race of two writers: Bob commits the very same while Ann decides.
    let lost = process
        .commit_after(kind_of(ChangeKind::Upload), &same, || {
            meanwhile(async || {
                let bob = world.process(item).await;
                assert_eq!(
                    number(&bob.commit(kind_of(ChangeKind::Upload), &same).await.unwrap()),
                    6
                );
            });
        })
        .await;
    let lost = lost.unwrap_err();
    assert!(
        matches!(&lost, ItemError::Conflict { by, .. } if by.number.get() == 6),
        "{lost}"
    );
}

async fn head(process: &Process) -> ETag {
    let attributes = Get::attributes(process.item.head_key());
    process.store.get(attributes).await.unwrap().etag
}

async fn try_stale(world: &World, process: &Process, stale: &ETag) {
    let put = Put::new(
        process.item.head_key(),
        payload(b"an old writer's head"),
        Condition::Is(stale.clone()),
        world.encryption(),
    );
    assert_eq!(kind(process.store.put(put).await), ErrorKind::PreconditionFailed);
}
