//! What a reader refuses to believe: every part of what a store answers is checked, at no extra request.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::checksum::Checksum;
use microsecrets::document::DocumentError;
use microsecrets::item::*;
use microsecrets::layout::Item;
use microsecrets::record::{RecordError, SignedRecord};
use microsecrets::store::Encryption;
use microsecrets::trust::{Checks, Distrust, RequiredEncryption};

const HEAD: &str = "services/api/head/environment";

async fn world() -> World {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    world.process().upload(&[("A", "2")]).await.unwrap();
    world
}

async fn distrusted(process: &Process, selector: &Selector) -> Distrust {
    match process.content(selector).await.unwrap_err() {
        ItemError::Distrusted { source, .. } => source,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_its_record_says_is_not_trusted() {
    let world = World::file("api", "tls.pem");
    world.process().upload_file(&large(b'x')).await.unwrap();
    world.forge_head(|record, _| record.size += 1);
    let found = distrusted(&world.process(), &Selector::Current).await;
    assert!(matches!(found, Distrust::Checksum { .. }), "{found}");
}

#[tokio::test]
async fn bytes_that_do_not_have_the_records_checksum_are_not_trusted() {
    let world = world().await;
    world.forge_head(|_, bytes| *bytes.last_mut().unwrap() ^= 1);
    let found = distrusted(&world.process(), &Selector::Current).await;
    assert!(matches!(found, Distrust::Checksum { .. }), "{found}");

    let file = World::file("api", "tls.pem");
    let committed = file.process().upload_file(&large(b'x')).await.unwrap();
    let (mut changed, mut longer) = (large(b'x'), large(b'x'));
    changed[LARGE / 2] = b'y';
    longer.push(b'x');
    for evil in [&changed, &longer, &large(b'x')[1..], &b""[..]] {
        file.memory.put_raw(&committed.key, evil, our_mark());
        let found = distrusted(&file.process(), &Selector::Current).await;
        assert!(matches!(found, Distrust::Checksum { .. }), "{found}");
    }
}

#[tokio::test]
async fn a_large_file_that_is_wrong_ends_with_an_error_and_not_with_an_end() {
    let world = World::file("api", "tls.pem");
    let committed = world.process().upload_file(&large(b'x')).await.unwrap();
    let mut changed = large(b'x');
    changed[0] = b'y';
    world.memory.put_raw(&committed.key, &changed, our_mark());
    let process = world.process();
    let version = process.reader().read(&Selector::Current).await.unwrap();
    let VersionContent::Stream(mut stream) = version.content else {
        panic!("a large file is a stream")
    };
    let mut bytes = 0;
    let error = loop {
        match stream.next().await {
            Ok(Some(piece)) => bytes += piece.len(),
            Ok(None) => panic!("the end must not be reached"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (bytes, error.to_string()),
        (LARGE, format!("{} is not trusted", committed.key))
    );
}

#[tokio::test]
async fn a_large_file_of_another_size_is_refused_before_its_first_byte() {
    let world = World::file("api", "tls.pem");
    let committed = world.process().upload_file(&large(b'x')).await.unwrap();
    world.memory.put_raw(&committed.key, &vec![b'x'; 2 * LARGE], our_mark());
    let process = world.process();
    let error = process.reader().read(&Selector::Current).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ItemError::Distrusted { .. }), "{error}");
}

#[tokio::test]
async fn a_head_of_another_bucket_service_or_item_is_not_trusted() {
    let web = Item::environment("web".parse().unwrap());
    let bucket = world().await;
    bucket.forge_head(|record, _| record.bucket = "other-bucket".to_owned());
    let found = distrusted(&bucket.process(), &Selector::Current).await;
    assert!(matches!(found, Distrust::OtherBucket { .. }), "{found}");
    let service = world().await;
    service.forge_head(|record, _| record.item = web);
    let found = distrusted(&service.process(), &Selector::Current).await;
    assert!(matches!(found, Distrust::OtherItem { .. }), "{found}");
    // A file's head in another file's place.
    let world = World::file("api", "tls.pem");
    world.process().upload_file(b"tls").await.unwrap();
    let head = world.memory.object("services/api/head/file/tls.pem").unwrap();
    world.memory.restore("services/api/head/file/ssh.pem", head);
    let other = World {
        memory: world.memory.clone(),
        ..World::file("api", "ssh.pem")
    };
    let found = distrusted(&other.process(), &Selector::Current).await;
    assert!(matches!(found, Distrust::OtherItem { .. }), "{found}");
}

#[tokio::test]
async fn a_replica_is_believed_when_the_reader_names_it_and_is_never_written() {
    let world = world().await;
    world.forge_head(|record, _| record.bucket = "primary".to_owned());
    let mut process = world.process();
    process.checks.replicas = vec!["primary".to_owned()];
    assert_eq!(process.current().await.unwrap(), b"A=2");
    let before = world.memory.keys();
    let error = process.set("A", "3").await.unwrap_err();
    assert!(
        matches!(
            error,
            ItemError::Distrusted {
                source: Distrust::OtherBucket { .. },
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(world.memory.keys(), before);
}

#[tokio::test]
async fn a_log_entry_is_checked_like_a_head() {
    let log = |number| format!("services/api/log/environment/{number:08}");
    let world = world().await;
    let second = world.memory.object(&log(2)).unwrap();
    world.memory.restore(&log(1), second);
    let found = distrusted(&world.process(), &Selector::Number(nth(1))).await;
    let (found, wanted) = match found {
        Distrust::OtherNumber { found, wanted } => (found, wanted),
        other => panic!("{other}"),
    };
    assert_eq!((found, wanted), (nth(2), nth(1)));

    let mut record = world.log(2).unwrap().record().clone();
    record.bucket = "other-bucket".to_owned();
    world
        .memory
        .put_raw(&log(2), &SignedRecord::new(record).unwrap().to_bytes(), None);
    let found = distrusted(&world.process(), &Selector::Number(nth(2))).await;
    assert!(matches!(found, Distrust::OtherBucket { .. }), "{found}");
}

#[tokio::test]
async fn what_is_not_encrypted_as_demanded_is_not_trusted() {
    let pin = |digit| RequiredEncryption::Kms(Some(OneKey::arn(digit).parse().unwrap()));
    let kms = |digit| Encryption::Kms(OneKey::arn(digit));
    let file = World::file("api", "tls.pem");
    let committed = file.process().upload_file(&large(b'x')).await.unwrap();
    let keys = [file.item.head_key(), file.item.log_key(nth(1)), committed.key];
    let set = |key: &str, encryption| {
        let kept = file.memory.object(key).unwrap();
        file.memory.insert_raw(key, &kept.bytes, kept.mark, encryption);
    };
    for (demanded, right, wrongs) in [
        (
            RequiredEncryption::Kms(None),
            kms(1),
            vec![Encryption::Aes256, Encryption::None, Encryption::Store],
        ),
        (pin(1), kms(1), vec![kms(2), Encryption::Aes256, Encryption::None]),
        (
            RequiredEncryption::Aes256,
            Encryption::Aes256,
            vec![Encryption::None, kms(1)],
        ),
    ] {
        keys.iter().for_each(|key| set(key, right.clone()));
        let process = Process {
            checks: Checks::new(demanded),
            ..file.process()
        };
        assert_eq!(process.current().await.unwrap(), large(b'x'));
        assert_eq!(process.at(1).await.unwrap(), large(b'x'));
        for wrong in wrongs {
            for (key, selector) in keys
                .iter()
                .zip([Selector::Current, Selector::Number(nth(1)), Selector::Current])
            {
                set(key, wrong.clone());
                let found = distrusted(&process, &selector).await;
                assert!(
                    matches!(found, Distrust::Encryption { .. } | Distrust::OtherKey { .. }),
                    "{key} {found}"
                );
                set(key, right.clone());
            }
        }
    }
}

#[tokio::test]
async fn an_environment_that_says_another_service_or_number_is_refused() {
    let error = |document: &str, error: DocumentError| {
        let document = document.as_bytes().to_vec();
        async move {
            let world = world().await;
            world.forge_head(|record, bytes| {
                record.size = document.len() as u64;
                record.name = world.name_of(0, &document);
                *bytes = document;
            });
            let found = world.process().read().await.unwrap_err();
            assert!(
                matches!(&found, ItemError::Document { source, .. } if *source == error),
                "{found}"
            );
        }
    };
    error(
        r#"{"environment": {}, "metadata": {"service": "web"}}"#,
        DocumentError::OtherService,
    )
    .await;
    error(
        r#"{"environment": {}, "metadata": {"number": 1}}"#,
        DocumentError::OtherNumber,
    )
    .await;
    error(r#"{"environment": {}}"#, DocumentError::MissingPart("metadata")).await;
    error("", DocumentError::Truncated).await;
}

#[tokio::test]
async fn a_newer_format_is_told_as_such() {
    let world = world().await;
    let newer = b"{\"format\":2,\"what\":\"nobody knows\"}\n-\n";
    for (key, selector) in [
        (HEAD.to_owned(), Selector::Current),
        (world.item.log_key(nth(1)), Selector::Number(nth(1))),
    ] {
        world.memory.put_raw(&key, newer, None);
        let error = world.process().content(&selector).await.unwrap_err();
        assert!(
            matches!(
                error,
                ItemError::Record {
                    source: RecordError::Newer { format: 2 },
                    ..
                }
            ),
            "{error}"
        );
    }
    // Nor is it written over.
    let error = world.process().upload(&[("A", "3")]).await.unwrap_err();
    assert!(
        matches!(
            error,
            ItemError::Record {
                source: RecordError::Newer { .. },
                ..
            }
        ),
        "{error}"
    );
    let error = world.process().set("A", "3").await.unwrap_err();
    assert!(matches!(error, ItemError::Record { .. }), "{error}");
}

/// A head of about 2 KB.
async fn two_kilobytes(world: &World) -> (Vec<u8>, String) {
    let committed = world.process().upload(&[("A", &"x".repeat(1_450))]).await.unwrap();
    assert_eq!(number(&committed), 1);
    let head = world.memory.object(&world.item.head_key()).unwrap().bytes.to_vec();
    assert!((1_900..2_300).contains(&head.len()), "{}", head.len());
    (head, String::from_utf8(committed.entry.line().to_vec()).unwrap())
}

#[tokio::test]
async fn no_flipped_bit_changes_what_is_read() {
    // Without a signature nothing vouches for what a record says beside its bytes; these fields may be changed unseen,
    // and no others.
    const UNSIGNED: [&str; 6] = ["number", "name", "user", "time", "nonce", "kind"];
    let world = World::environment("api");
    let (head, line) = two_kilobytes(&world).await;
    let (mut refused, mut unseen) = (0, Vec::new());
    for bit in 0..head.len() * 8 {
        let mut flipped = head.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        world.memory.put_raw(HEAD, &flipped, None);
        match world.process().read().await {
            Err(ItemError::Record { .. } | ItemError::Distrusted { .. } | ItemError::Document { .. }) => refused += 1,
            Err(error) => panic!("bit {bit}: {error}"),
            Ok(read) => {
                assert!(read == [("A".to_owned(), "x".repeat(1_450))], "bit {bit}");
                unseen.push(bit / 8);
            }
        }
    }
    for position in unseen {
        assert!(position < line.len(), "a flipped bit at {position} was not seen");
        let field = line[..position]
            .rsplit(",\"")
            .next()
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert!(UNSIGNED.contains(&field), "{field} was changed unseen");
    }
    assert!(refused > head.len() * 7, "{refused}");
}

#[tokio::test]
async fn every_truncation_is_refused() {
    let world = World::environment("api");
    let (head, _) = two_kilobytes(&world).await;
    for length in 0..head.len() {
        world.memory.put_raw(HEAD, &head[..length], None);
        let error = world.process().read().await.unwrap_err();
        assert!(matches!(error, ItemError::Record { .. }), "{length}: {error}");
    }
    world.memory.put_raw(HEAD, &[&head[..], b" "].concat(), None);
    assert!(world.process().read().await.is_err(), "nor is anything added");
}

#[tokio::test]
async fn the_pin_is_of_the_bytes_and_not_of_what_the_record_says() {
    let world = world().await;
    let wanted = world.head().unwrap().record().checksum();
    world.forge_head(|_, bytes| *bytes.last_mut().unwrap() ^= 1);
    let pin = Selector::Digest(microsecrets::checksum::Digest::Sha256(wanted));
    let found = distrusted(&world.process(), &pin).await;
    assert!(matches!(found, Distrust::Checksum { .. }), "{found}");
    assert_ne!(wanted, Checksum::of_nothing());
}
