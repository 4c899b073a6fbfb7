//! Committing files: large ones put their bytes before the commit, and no two writers share an object.
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs)]

mod common;

use std::io;

use common::*;
use microsecrets::checksum::Checksum;
use microsecrets::item::*;
use microsecrets::record::{ChangeKind, MAX_INLINE_FILE};
use microsecrets::secret::SecretBytes;
use microsecrets::store::memory::{Fault, When};
use microsecrets::store::{ErrorKind, Mark, Source};

/// A source that is read more than once, and may be another one each time.
struct Readings {
    announced: u64,
    readings: Vec<Vec<u8>>,
    position: usize,
    fails: bool,
}

impl Readings {
    /// `announced` bytes, which then are these, at the first, the second ... reading.
    fn new(announced: usize, readings: &[&[u8]]) -> Self {
        Self {
            announced: announced as u64,
            readings: readings.iter().map(|reading| reading.to_vec()).collect(),
            position: usize::MAX,
            fails: false,
        }
    }
}

impl Source for Readings {
    fn size(&self) -> u64 {
        self.announced
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.readings[0][self.position.min(self.readings[0].len())..];
        if rest.is_empty() && self.fails {
            return Err(io::Error::other("gone"));
        }
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(length)
    }

    fn rewind(&mut self) -> io::Result<()> {
        if self.position != usize::MAX && self.readings.len() > 1 {
            self.readings.remove(0);
        }
        self.position = 0;
        Ok(())
    }
}

/// Publishes a source that was announced as these bytes.
async fn publish(process: &Process, announced: &[u8], mut source: Option<Readings>) -> Result<Committed, ItemError> {
    let decide = |_: &Base<'_>| {
        let content = Content::File {
            bytes: FileBytes::Source(Box::new(source.take().expect("one attempt"))),
            checksum: Checksum::of(announced),
            mode: None,
        };
        Ok(Decision::Commit(Change::new(ChangeKind::Upload, content)))
    };
    match process.writer().write(OnConflict::Report, decide).await? {
        Outcome::Committed(committed) => Ok(committed),
        _ => panic!("this always commits"),
    }
}

#[tokio::test]
async fn a_file_up_to_a_mebibyte_is_in_its_head() {
    for (size, inline) in [(0, true), (MAX_INLINE_FILE as usize, true), (LARGE, false)] {
        let world = World::file("api", "tls.pem");
        let a = world.process();
        let bytes = vec![b'x'; size];
        let committed = publish(&a, &bytes, Some(Readings::new(size, &[&bytes]))).await.unwrap();
        assert_eq!(committed.entry.record().inline, inline);
        let position = |line: &str| a.client.log().iter().position(|found| found.starts_with(line)).unwrap();
        assert_eq!(position(&world.put_head()) < position(&world.put_bytes()), inline);
        let kept = world.memory.object(&committed.key).unwrap();
        assert_eq!(
            (kept.bytes.len(), kept.mark),
            (size, Some(Mark::Ours(committed.entry.record().nonce)))
        );
        assert_eq!(world.process().current().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_source_that_changes_under_the_read_commits_nothing() {
    for announced in [b"announced".to_vec(), large(b'a')] {
        let (mut other, mut longer) = (announced.clone(), announced.clone());
        *other.last_mut().unwrap() = b'!';
        longer.push(b'!');
        for changed in [&other, &longer, &announced[1..], &b""[..]] {
            let world = World::with_files(&[b"1"]).await;
            let a = world.process();
            let before = world.memory.keys();
            let source = Readings::new(announced.len(), &[changed]);
            let error = publish(&a, &announced, Some(source)).await.unwrap_err();
            let unreadable = matches!(&error, ItemError::Store(error) if error.kind == ErrorKind::UnreadableSource);
            assert!(unreadable, "{error}");
            assert_eq!(world.memory.keys(), before);
            assert_eq!(world.process().current().await.unwrap(), b"1");
        }
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_read_to_its_end_commits_nothing() {
    for announced in [b"announced".to_vec(), large(b'a')] {
        let world = World::with_files(&[b"1"]).await;
        let mut source = Readings::new(announced.len(), &[&announced]);
        source.fails = true;
        let error = publish(&world.process(), &announced, Some(source)).await.unwrap_err();
        assert!(matches!(&error, ItemError::Store(error) if error.kind == ErrorKind::UnreadableSource));
        assert_eq!(world.head_number(), 1);
    }
}

#[tokio::test]
async fn bytes_in_memory_must_be_what_they_are_said_to_be() {
    for bytes in [b"small".to_vec(), large(b'x')] {
        let world = World::file("api", "tls.pem");
        let content = || Content::File {
            bytes: FileBytes::Memory(SecretBytes::new(bytes.clone())),
            checksum: Checksum::of(b"other"),
            mode: None,
        };
        let error = world.process().commit(ChangeKind::Upload, content).await.unwrap_err();
        assert!(matches!(&error, ItemError::Store(error) if error.kind == ErrorKind::UnreadableSource));
        assert_eq!(world.memory.keys(), [""; 0]);
    }
}

#[tokio::test]
async fn bytes_that_are_put_under_a_second_name_are_read_again_and_checked_again() {
    let world = World::with_files(&[b"1"]).await;
    let bytes = large(b'x');
    world.memory.put_raw(&world.key_of(0, &bytes), &bytes, our_mark());
    let source = Readings::new(LARGE, &[&bytes, &bytes]);
    let committed = publish(&world.process(), &bytes, Some(source)).await.unwrap();
    assert_eq!(world.process().current().await.unwrap(), bytes);
    assert_eq!(number(&committed), 2);

    let world = World::with_files(&[b"1"]).await;
    world.memory.put_raw(&world.key_of(0, &bytes), &bytes, our_mark());
    let source = Readings::new(LARGE, &[&bytes, &large(b'y')]);
    publish(&world.process(), &bytes, Some(source)).await.unwrap_err();
    assert_eq!(world.head_number(), 1);
}

#[tokio::test]
async fn an_equal_name_of_anothers_object_is_left_alone() {
    let bytes = large(b'x');
    // An orphan that is listed; and two that appear only after the listing: of ours, and of 0.3.4's.
    let world = World::with_files(&[b"1"]).await;
    let orphan = world.key_of(0, &bytes);
    world.memory.put_raw(&orphan, &bytes, our_mark());
    let committed = world.process().upload_file(&bytes).await.unwrap();
    assert!(committed.key.contains("08-00-01_000001."), "{}", committed.key);
    for mark in [our_mark(), None] {
        let world = World::with_files(&[b"1"]).await;
        let a = world.process();
        let hold = a.client.hold(&format!("{}2026-11-23.08-00-01.", world.put_bytes()));
        let (committed, ()) = together(a.upload_file(&bytes), async {
            hold.reached().await;
            world.memory.put_raw(&world.key_of(0, &bytes), &bytes, mark);
            hold.release();
        })
        .await;
        let committed = committed.unwrap();
        assert!(committed.key.contains("08-00-01_000001."), "{}", committed.key);
        assert_eq!(world.memory.object(&world.key_of(0, &bytes)).unwrap().mark, mark);
        assert_eq!(world.process().current().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn names_are_not_tried_for_ever() {
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    let large_bytes = format!("{}2026-11-23.08-00-01", world.put_bytes());
    always(&a.client, &large_bytes, ErrorKind::PreconditionFailed);
    let error = a.upload_file(&large(b'x')).await.unwrap_err();
    assert!(matches!(error, ItemError::Busy { attempts: 100, .. }), "{error}");
}

#[tokio::test]
async fn large_bytes_whose_answer_was_lost_are_recognised_by_their_nonce() {
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    a.client.plan(
        When::Begins(format!("{}2026-11-23.08-00-01.", world.put_bytes())),
        Fault::LoseAnswer,
    );
    let committed = a.upload_file(&large(b'x')).await.unwrap();
    assert!(committed.key.contains("08-00-01."), "{}", committed.key);
    assert_eq!(world.version_keys().len(), 2);
}

/// Whose bytes lie there must be known before others are put.
#[tokio::test]
async fn large_bytes_whose_answer_was_lost_and_that_cannot_be_looked_at_end_the_write() {
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    let puts = format!("{}2026-11-23.08-00-01.", world.put_bytes());
    always(&a.client, &puts.replacen("put", "head", 1), denied());
    a.client.plan(When::Begins(puts), Fault::LoseAnswer);
    let error = a.upload_file(&large(b'x')).await.unwrap_err();
    assert!(
        matches!(&error, ItemError::Store(error) if error.kind == denied()),
        "{error}"
    );
    assert_eq!((world.head_number(), world.version_keys().len()), (1, 2));
}

/// A head does not carry them, so that nothing can be put in their place.
#[tokio::test]
async fn large_bytes_that_were_lost_are_not_completed() {
    let world = World::file("api", "tls.pem");
    let lost = world.process().upload_file(&large(b'x')).await.unwrap().key;
    world.memory.remove(&lost);
    world.process().upload_file(b"2").await.unwrap();
    assert!(world.memory.object(&lost).is_none());
}

#[tokio::test]
async fn a_certain_loser_deletes_its_object_where_the_store_can_say_which_one() {
    for (unique_etags, versioned, left) in [(false, false, 3), (true, false, 2), (false, true, 2)] {
        let world = World::with_files(&[b"1"]).await;
        world.memory.unique_etags(unique_etags);
        world.memory.versioned(versioned);
        let a = world.process();
        let (lost, ()) = world
            .before_commit(&a, a.upload_file(&large(b'a')), async {
                world.process().upload_file(b"2").await.unwrap();
            })
            .await;
        is_conflict_with(&lost.unwrap_err(), 2);
        assert_eq!(world.version_keys().len(), left);
    }
}

#[tokio::test]
async fn whoever_failed_for_certain_deletes_its_object_too() {
    let world = World::with_files(&[b"1"]).await;
    world.memory.unique_etags(true);
    let a = world.process();
    always(&a.client, &world.put_head(), denied());
    a.upload_file(&large(b'a')).await.unwrap_err();
    assert_eq!(world.version_keys().len(), 1);
}

#[tokio::test]
async fn whoever_does_not_know_deletes_nothing() {
    let world = World::with_files(&[b"1"]).await;
    world.memory.unique_etags(true);
    let a = world.process();
    a.client.plan(When::Every(world.put_head()), Fault::Late);
    let error = a.upload_file(&large(b'a')).await.unwrap_err();
    assert!(matches!(error, ItemError::Unknown { .. }), "{error}");
    assert_eq!(world.version_keys().len(), 2);
    assert!(!a.client.log().iter().any(|line| line.starts_with("delete ")));
}

#[tokio::test]
async fn a_large_file_that_cannot_be_put_commits_nothing() {
    for kind in [ErrorKind::Unavailable, denied()] {
        let world = World::with_files(&[b"1"]).await;
        let a = world.process();
        always(
            &a.client,
            &format!("{}2026-11-23.08-00-01.", world.put_bytes()),
            kind.clone(),
        );
        let error = a.upload_file(&large(b'a')).await.unwrap_err();
        assert!(
            matches!(&error, ItemError::Store(error) if error.kind == kind),
            "{error}"
        );
        assert!(!a.client.log().contains(&world.put_head()));
    }
}

#[tokio::test]
async fn a_deletion_of_an_empty_file_has_a_name_of_its_own() {
    let world = World::with_files(&[b""]).await;
    world.tick(-1);
    let deleted = world.process().delete().await.unwrap();
    assert!(deleted.key.contains("08-00-00_000001."), "{}", deleted.key);
    assert!(world.memory.object(&deleted.key).is_none());
    assert_eq!(world.process().at(1).await.unwrap(), b"");
}
