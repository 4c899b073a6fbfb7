//! Files of every size: in the head, and too large for it.

use microsecrets::checksum::Checksum;
use microsecrets::item::{ItemError, Note, Selector, VersionContent};
use microsecrets::record::{ChangeKind, Head, MAX_INLINE_FILE};
use microsecrets::store::ErrorKind;

use crate::process::{file, from_source, in_memory, nth, number};
use crate::sources::Generated;
use crate::worlds::World;
use crate::{get, kind, meanwhile};

on_every_store!(
    a_file_of_any_size_is_read_as_it_was_published,
    the_largest_file_that_a_head_carries_is_read_in_one_request,
    a_large_file_comes_from_a_source_and_goes_in_pieces,
    a_small_file_comes_from_a_source_too,
    a_file_that_changed_while_it_was_read_is_not_published,
    a_large_file_that_lost_leaves_no_version,
    a_name_that_is_taken_is_left_to_its_owner,
    a_large_file_is_replaced_by_a_small_one_and_back,
    files_of_equal_bytes_are_versions_of_their_own,
);

const INLINE: usize = MAX_INLINE_FILE as usize;

async fn a_file_of_any_size_is_read_as_it_was_published(world: &World) {
    let process = world.process(&file("a+b@c")).await;
    let sizes = [0, 1, 63, INLINE - 1, INLINE, INLINE + 1];
    for (count, size) in sizes.into_iter().enumerate() {
        let bytes = Generated::new(size as u64, count as u8).bytes();
        let committed = process.upload_file(&bytes).await.unwrap();
        let record = committed.entry.record();
        assert_eq!((record.number.get(), record.size), (count as u64 + 1, size as u64));
        assert_eq!((record.mode, record.checksum()), (Some(0o600), Checksum::of(&bytes)));
        assert_eq!(record.inline, size <= INLINE, "{size} bytes");
        assert!(process.current().await.unwrap() == bytes, "{size} bytes");
        // 0.3.4 finds them in its place.
        assert!(
            get(&*process.store, &committed.key).await.unwrap() == bytes,
            "{size} bytes"
        );
    }
    for (count, size) in sizes.into_iter().enumerate() {
        let bytes = process.read(&nth(count as u64 + 1)).await.unwrap();
        assert!(
            bytes == Generated::new(size as u64, count as u8).bytes(),
            "{size} bytes"
        );
    }
}

async fn the_largest_file_that_a_head_carries_is_read_in_one_request(world: &World) {
    let process = world.process(&file("x")).await;
    for (size, carried) in [(INLINE, INLINE), (INLINE + 1, 0)] {
        process.upload_file(&vec![7; size]).await.unwrap();
        let head = Head::parse(&get(&*process.store, &process.item.head_key()).await.unwrap());
        assert_eq!(head.unwrap().bytes().len(), carried);
    }
}

async fn a_large_file_comes_from_a_source_and_goes_in_pieces(world: &World) {
    let process = world.process(&file("x")).await;
    let large = || from_source(Generated::new(20 << 20, 5));
    let committed = process.commit(ChangeKind::Upload, large).await.unwrap();
    assert_eq!((number(&committed), committed.entry.record().size), (1, 20 << 20));
    let version = process.version(&Selector::Current).await.unwrap();
    let VersionContent::Stream(mut stream) = version.content else {
        panic!("twenty MiB are not collected");
    };
    let (wanted, mut at) = (Generated::new(20 << 20, 5).bytes(), 0);
    while let Some(piece) = stream.next().await.unwrap() {
        assert!(piece[..] == wanted[at..at + piece.len()], "at {at}");
        at += piece.len();
    }
    assert_eq!(at, wanted.len());
}

async fn a_small_file_comes_from_a_source_too(world: &World) {
    let process = world.process(&file("x")).await;
    for size in [0, 1, 1 << 20] {
        let small = || from_source(Generated::new(size, 1));
        process.commit(ChangeKind::Upload, small).await.unwrap();
        assert!(
            process.current().await.unwrap() == Generated::new(size, 1).bytes(),
            "{size} bytes"
        );
    }
}

async fn a_file_that_changed_while_it_was_read_is_not_published(world: &World) {
    let process = world.process(&file("x")).await;
    process.upload_file(b"before").await.unwrap();
    for size in [10, INLINE as u64 + 1, 9 << 20] {
        let changed = || from_source(Generated::new(size, 0).failing("it changed"));
        let error = process.commit(ChangeKind::Upload, changed).await.unwrap_err();
        let ItemError::Store(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind, ErrorKind::UnreadableSource);
        assert_eq!(process.current().await.unwrap(), b"before");
    }
    // Nothing is left that would stand in the way.
    assert_eq!(number(&process.upload_file(b"after").await.unwrap()), 2);
}

async fn a_large_file_that_lost_leaves_no_version(world: &World) {
    let item = file("x");
    let (ann, bytes) = (world.process(&item).await, vec![1; INLINE + 1]);
    ann.upload_file(b"base").await.unwrap();
    let bob_commits = || {
        meanwhile(async || {
            let bob = world.process(&item).await;
            bob.upload_file(b"bob").await.unwrap();
        });
    };
    let upload = || in_memory(&bytes);
    ann.commit_after(ChangeKind::Upload, upload, bob_commits)
        .await
        .unwrap_err();
    assert_eq!(ann.current().await.unwrap(), b"bob");
    // What it put, if it is still there, is no version, and stands in nobody's way.
    let digest = microsecrets::checksum::Digest::Sha256(Checksum::of(&bytes));
    if ann.read(&Selector::Digest(digest)).await.is_ok() {
        assert!(world.backing().keeps_the_bytes_of_losers());
    }
    assert_eq!(number(&ann.upload_file(&bytes).await.unwrap()), 3);
    assert!(ann.current().await.unwrap() == bytes);
}

/// Two who upload the same bytes in the same second begin with the same name. The second takes the next one, and reads
/// its source from the beginning again.
async fn a_name_that_is_taken_is_left_to_its_owner(world: &World) {
    world.stop_the_clock();
    for size in [INLINE as u64 + 1, 9 << 20] {
        let item = file(&format!("size-{size}"));
        let same = || from_source(Generated::new(size, 0));
        let ann = world.process(&item).await;
        let bob_commits = || {
            meanwhile(async || {
                let bob = world.process(&item).await;
                bob.commit(ChangeKind::Upload, same).await.unwrap();
            });
        };
        let lost = ann
            .commit_after(ChangeKind::Upload, same, bob_commits)
            .await
            .unwrap_err();
        assert!(matches!(lost, ItemError::Conflict { .. }), "{lost}");
        let right = Generated::new(size, 0).bytes();
        assert!(ann.current().await.unwrap() == right, "bob's is not there any more");
        assert_eq!(number(&ann.commit(ChangeKind::Upload, same).await.unwrap()), 2);
        assert!(ann.current().await.unwrap() == right);
    }
}

async fn a_large_file_is_replaced_by_a_small_one_and_back(world: &World) {
    let process = world.process(&file("x")).await;
    let (large, small) = (vec![1; INLINE + 1], b"small".to_vec());
    for bytes in [&large, &small, &large, &large, &small, &small] {
        let committed = process.upload_file(bytes).await.unwrap();
        assert!(committed.notes.is_empty(), "{:?}", committed.notes);
        assert!(process.current().await.unwrap() == *bytes);
    }
    for (number, bytes) in [&large, &small, &large, &large, &small, &small].into_iter().enumerate() {
        assert!(process.read(&nth(number as u64 + 1)).await.unwrap() == *bytes);
    }
}

/// Their checksum proves nothing about who wrote them.
async fn files_of_equal_bytes_are_versions_of_their_own(world: &World) {
    let process = world.process(&file("x")).await;
    for bytes in [b"equal".to_vec(), vec![7; INLINE + 1]] {
        let first = process.upload_file(&bytes).await.unwrap();
        let second = process.upload_file(&bytes).await.unwrap();
        assert_eq!(first.entry.record().checksum(), second.entry.record().checksum());
        assert_ne!(first.key, second.key);
        assert_ne!(first.entry.record().nonce, second.entry.record().nonce);
        let pinned = Selector::Digest(microsecrets::checksum::Digest::Sha256(Checksum::of(&bytes)));
        let version = process.version(&pinned).await.unwrap();
        assert!(
            !version
                .notes
                .iter()
                .any(|note| matches!(note, Note::NewerExists { .. }))
        );
        assert_eq!(version.facts.key, second.key);
    }
    assert_eq!(
        kind(get(&*process.store, "services/api/files/x/0").await),
        ErrorKind::NotFound
    );
}
