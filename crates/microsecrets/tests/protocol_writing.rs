//! Committing: names, the base, the store's word about conditions, lost answers.
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs)]

mod common;

use std::sync::atomic::Ordering;

use common::*;
use microsecrets::document::DocumentError;
use microsecrets::item::*;
use microsecrets::name::Number;
use microsecrets::record::{ChangeKind, MAX_RECORD, RecordError, VersionRef};
use microsecrets::secret::SecretBytes;
use microsecrets::store::memory::{Fault, When};
use microsecrets::store::{Condition, ETag, Encryption, ErrorKind, Get, Payload, Put, Store};
use microsecrets::trust::{Checks, Distrust, RequiredEncryption};

const HEAD: &str = "services/api/head/environment";

fn lines(process: &Process, begins: &str) -> usize {
    process
        .client
        .log()
        .iter()
        .filter(|line| line.starts_with(begins))
        .count()
}

// The requests of a commit.

#[tokio::test]
async fn a_commit_is_one_swap_between_four_puts() {
    let world = World::with_values(&["1"]).await;
    let base = world.version_keys().pop().unwrap();
    let a = world.process();
    let committed = a.upload(&[("A", "2")]).await.unwrap();
    let mut log = a.client.log();
    // What happens at once may happen in any order.
    for at_once in [1..3, 3..5, 6..9] {
        log[at_once].sort();
    }
    let expected = [
        &format!("get {HEAD}"),
        "list services/api/environment/",
        "list services/api/log/environment/",
        &format!("put {base}"),
        "put services/api/log/environment/00000001",
        &format!("put {HEAD}"),
        "list services/api/environment/",
        &format!("put {}", committed.key),
        "put services/api/log/environment/00000002",
    ];
    assert_eq!(log, expected);
}

#[tokio::test]
async fn the_bytes_say_whose_they_are() {
    let world = World::with_values(&["1"]).await;
    let kept = world.memory.object(&world.version_keys()[0]).unwrap();
    let nonce = world.log(1).unwrap().record().nonce;
    assert_eq!(kept.mark, Some(microsecrets::store::Mark::Ours(nonce)));
    assert_eq!(kept.bytes, world.head().unwrap().bytes().expose());
}

/// A head that carries its bytes is enough to keep it.
#[tokio::test]
async fn a_base_whose_copy_was_left_out_is_kept_all_the_same() {
    for world in [World::with_values(&["1"]).await, World::with_files(&[b"1"]).await] {
        world
            .version_keys()
            .iter()
            .for_each(|key| drop(world.memory.remove(key)));
        let a = world.process();
        let writer = a.writer();
        let kept = writer.write(OnConflict::Report, |base| {
            assert!(base.has_bytes());
            Ok(Decision::Keep)
        });
        assert!(matches!(kept.await.unwrap(), Outcome::Kept { .. }));
        assert_eq!(lines(&a, "put "), 0);
    }
}

#[tokio::test]
async fn keeping_the_base_writes_nothing() {
    let world = World::with_values(&["1"]).await;
    let a = world.process();
    let writer = a.writer();
    let kept = writer.write(OnConflict::Report, |base| {
        assert_eq!(base.record().unwrap().number, Number::FIRST);
        assert_eq!(base.document().unwrap().variables.value("A").unwrap().expose(), "1");
        Ok(Decision::Keep)
    });
    assert!(
        matches!(kept.await.unwrap(), Outcome::Kept { entry: Some(entry), .. } if entry.record().number == Number::FIRST)
    );
    assert_eq!(lines(&a, "put "), 0);
}

// Names and numbers.

#[tokio::test]
async fn versions_of_one_second_are_numbered_in_their_names() {
    let world = World::environment("api");
    for suffix in [".", "_000001.", "_000002."] {
        let committed = world.process().upload(&[("A", "1")]).await.unwrap();
        assert!(
            committed.key.contains(&format!("/2026-11-23.08-00-00{suffix}")),
            "{}",
            committed.key
        );
    }
    world.tick(1);
    let committed = world.process().upload(&[("A", "1")]).await.unwrap();
    assert!(committed.key.contains("/2026-11-23.08-00-01."), "{}", committed.key);
}

#[tokio::test]
async fn a_clock_that_goes_back_takes_no_name_with_it() {
    // Two of the store's machines differ by a second.
    let world = World::with_values(&["1"]).await;
    world.tick(-2);
    let committed = world.process().upload(&[("A", "2")]).await.unwrap();
    assert!(
        committed.key.contains("/2026-11-23.08-00-00_000001."),
        "{}",
        committed.key
    );
    assert_eq!(
        committed.entry.record().time.as_unix(),
        world.memory.now(),
        "the record says the store's time"
    );
}

#[tokio::test]
async fn what_0_3_4_reads_is_what_was_committed_last() {
    // 0.3.4 takes the greatest key: whatever the clock does, that is the head's after every commit that was completed.
    let contents = [b"a".to_vec(), b"b".to_vec(), b"".to_vec(), large(b'a'), large(b'b')];
    let world = World::file("api", "tls.pem");
    world.legacy_ahead(2, b"legacy");
    let mut ledger = Ledger::default();
    for (round, tick) in [0, 0, 1, -1, 0, 0, -3, 60, 0, 0, 1, 0, -59, 0, 0, 2]
        .into_iter()
        .enumerate()
    {
        world.tick(tick);
        let content = &contents[round * 7 % contents.len()];
        if round % 5 == 3 {
            world.legacy_ahead(1, b"legacy again");
        }
        world.process().upload_file(content).await.unwrap();
        assert_eq!(world.legacy_reads().unwrap(), *content, "round {round}");
        ledger.observe(&world);
    }
}

#[tokio::test]
async fn a_listed_version_that_is_ahead_of_the_clock_is_refused_and_named() {
    // The machines of a store may differ by seconds, and so may 0.3.4's.
    for (ahead, accepted) in [(5, true), (6, false)] {
        let world = World::with_values(&["1"]).await;
        let key = world.legacy_ahead(ahead, &legacy_document(&[("A", "l")]));
        match world.process().set("B", "1").await {
            Ok(committed) => {
                let name = &committed.entry.record().name;
                assert!(accepted && name.second().as_unix() <= world.memory.now() + ahead);
            }
            Err(ItemError::FutureDated { key: named, seconds: 6 }) => assert!(!accepted && named == key),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn names_that_are_no_further_ahead_than_the_head_stop_nobody() {
    // The store's clock was a day ahead once. A commit between B's GET and LIST, and an orphan, are dated like the head.
    let world = World::file("api", "tls.pem");
    world.tick(86_400);
    world.process().upload_file(b"1").await.unwrap();
    world.tick(-86_400);
    let b = world.process();
    let hold = b.client.hold("list services/api/files/tls.pem/");
    let (b_done, ()) = together(b.upload_file(b"b"), async {
        hold.reached().await;
        world.process().upload_file(b"2").await.unwrap();
        hold.release();
    })
    .await;
    assert_eq!(number(&b_done.unwrap()), 3);
    let killed = world.process();
    killed.client.plan(When::Begins(world.put_head()), Fault::CrashBefore);
    killed.upload_file(&large(b'x')).await.unwrap_err();
    assert_eq!(number(&world.process().upload_file(b"4").await.unwrap()), 4);
    // What would take it further is refused as ever.
    let key = world.legacy_ahead(86_401, b"further");
    let error = world.process().upload_file(b"5").await.unwrap_err();
    assert!(matches!(error, ItemError::FutureDated { key: named, .. } if named == key));
}

#[tokio::test]
async fn a_writer_refuses_a_greatest_key_outside_the_grammar() {
    let world = World::with_values(&["1"]).await;
    world.memory.put_raw("services/api/environment/zzz", b"", None);
    let before = world.memory.keys();
    let error = world.process().set("A", "2").await.unwrap_err();
    assert!(matches!(error, ItemError::OutsideGrammar { .. }), "{error}");
    assert_eq!(world.memory.keys(), before);
}

#[tokio::test]
async fn numbers_and_names_may_run_out() {
    let world = World::with_values(&["1"]).await;
    world.forge_head(|record, bytes| {
        let document = r#"{"environment": {}, "metadata": {}}"#;
        *bytes = document.as_bytes().to_vec();
        (record.number, record.size) = (Number::MAX, bytes.len() as u64);
        record.name = world.name_of(0, bytes);
    });
    let error = world.process().upload(&[("A", "2")]).await.unwrap_err();
    assert_eq!(error.to_string(), "the environment of api has no numbers left");

    let world = World::with_values(&["1"]).await;
    world.forge_head(|record, bytes| {
        let name = world.name_of(0, bytes).to_string();
        let (second, checksum) = name.rsplit_once('.').unwrap();
        record.name = format!("{second}_999999.{checksum}").parse().unwrap();
    });
    let error = world.process().upload(&[("A", "2")]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the environment of api has no names in this second left"
    );
    world.tick(1);
    world.process().upload(&[("A", "2")]).await.unwrap();
}

// What cannot be written.

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_before_anything_is_put() {
    let world = World::file("api", "tls.pem");
    for content in [b"1".to_vec(), large(b'x')] {
        let a = world.process();
        let message = "x".repeat(MAX_RECORD);
        let decide = |_: &Base<'_>| {
            let change = Change::new(ChangeKind::Upload, file_content(&content));
            Ok(Decision::Commit(change.message(Some(message.clone()))))
        };
        let error = a
            .writer()
            .write(OnConflict::Report, decide)
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(
                error,
                ItemError::NewRecord {
                    source: RecordError::TooLong { .. }
                }
            ),
            "{error}"
        );
        assert_eq!(lines(&a, "put "), 0);
    }
    assert_eq!(world.memory.keys(), [""; 0]);
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused_before_anything_is_put() {
    let world = World::environment("api");
    let error = world
        .process()
        .upload(&[("A", &"x".repeat(4 << 20))])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ItemError::NewDocument {
                source: DocumentError::TooLarge
            }
        ),
        "{error}"
    );
    assert_eq!(world.memory.keys(), [""; 0]);
}

#[tokio::test]
async fn content_that_does_not_fit_the_item_or_the_change_is_refused() {
    // Committed, it could be read by nobody, and written over by nobody.
    let (environment, file) = (World::environment("api"), World::file("api", "tls.pem"));
    let document = || Content::Environment(variables(&[("A", "1")]));
    for (world, kind, content) in [
        (
            &environment,
            ChangeKind::Upload,
            &(|| file_content(b"x")) as &dyn Fn() -> Content,
        ),
        (&environment, ChangeKind::Upload, &|| Content::Deletion),
        (&environment, ChangeKind::Delete, &document),
        (&file, ChangeKind::Upload, &document),
        (&file, ChangeKind::Upload, &|| Content::Deletion),
        (&file, ChangeKind::Delete, &|| file_content(b"x")),
        (&file, ChangeKind::Delete, &|| file_content(b"")),
    ] {
        let error = world.process().commit(kind, content).await.unwrap_err();
        assert!(
            matches!(
                error,
                ItemError::NewRecord {
                    source: RecordError::Field(_)
                }
            ),
            "{error}"
        );
        assert_eq!(world.memory.keys(), [""; 0]);
    }
}

// Keys and rights.

#[tokio::test]
async fn a_moved_alias_is_noticed_before_anything_is_written() {
    let world = World::environment("api");
    let checks = Checks::new(RequiredEncryption::Kms(None));
    let process = Process {
        checks,
        ..world.process()
    };
    let upload = async |keys: &OneKey, new_key| {
        let mut writer = Writer::new(process.access(), keys, "alias/microsecrets-api", "ann@test");
        writer.new_key = new_key;
        let change = || Change::new(ChangeKind::Upload, Content::Environment(variables(&[("A", "1")])));
        writer
            .write(OnConflict::Report, |_| Ok(Decision::Commit(change())))
            .await
            .map(|_| ())
    };
    upload(&OneKey::new(1), false).await.unwrap();
    let before = world.memory.keys();
    let error = upload(&OneKey::new(2), false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the environment of api is encrypted under {}, but would now be under {}",
            OneKey::arn(1),
            OneKey::arn(2)
        )
    );
    assert_eq!(world.memory.keys(), before);
    upload(&OneKey::new(2), true).await.unwrap();
    let sent = world.memory.object(HEAD).unwrap().encryption;
    assert_eq!(
        sent,
        Encryption::Kms(OneKey::arn(2)),
        "the ARN is sent, never the alias"
    );
}

#[tokio::test]
async fn a_key_that_is_not_the_pinned_one_is_noticed_before_anything_is_written() {
    let world = World::environment("api");
    let pin = OneKey::arn(1).parse().unwrap();
    let checks = Checks::new(RequiredEncryption::Kms(Some(pin)));
    let process = Process {
        checks,
        ..world.process()
    };
    let keys = OneKey::new(2);
    let mut writer = Writer::new(process.access(), &keys, "alias/microsecrets-api", "ann@test");
    writer.new_key = true;
    let change = || Change::new(ChangeKind::Upload, Content::Environment(variables(&[("A", "1")])));
    let error = writer
        .write(OnConflict::Report, |_| Ok(Decision::Commit(change())))
        .await;
    let error = error.map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            ItemError::Distrusted {
                source: Distrust::OtherKey { .. },
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(world.memory.keys(), [""; 0]);
}

#[tokio::test]
async fn an_alias_is_resolved_once_however_often_a_write_starts_again() {
    let world = World::environment("api");
    let key = world.legacy(&legacy_document(&[("A", "0")]));
    let kept = world.memory.object(&key).unwrap();
    world
        .memory
        .insert_raw(&key, &kept.bytes, None, Encryption::Kms(OneKey::arn(1)));
    world.tick(1);
    let checks = Checks::new(RequiredEncryption::Kms(None));
    let process = Process {
        checks,
        ..world.process()
    };
    let keys = OneKey::new(1);
    let writer = Writer::new(process.access(), &keys, "alias/microsecrets-api", "ann@test");
    let change = || Change::new(ChangeKind::Set, Content::Environment(variables(&[("A", "1")])));
    writer
        .write(OnConflict::Reapply, |_| Ok(Decision::Commit(change())))
        .await
        .unwrap();
    assert_eq!(world.head_number(), 2, "it was adopted first");
    assert_eq!(keys.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_right_to_list_that_is_bound_to_a_prefix_is_enough_for_a_first_write() {
    // S3 answers 403 for the missing head, and the listing says that it is missing.
    let world = World::environment("api");
    let a = world.process();
    a.client
        .plan(When::Begins(format!("get {HEAD}")), Fault::Fail(denied()));
    assert_eq!(number(&a.upload(&[("A", "1")]).await.unwrap()), 1);
}

#[tokio::test]
async fn a_writer_refuses_a_base_that_it_would_refuse_to_read() {
    let world = World::with_values(&["1"]).await;
    world.forge_head(|_, bytes| *bytes.last_mut().unwrap() ^= 1);
    let before = world.memory.keys();
    let error = world.process().upload(&[("A", "2")]).await.unwrap_err();
    assert!(matches!(error, ItemError::Distrusted { .. }), "{error}");
    assert_eq!(world.memory.keys(), before);
}

// The store's word about conditions.

#[tokio::test]
async fn a_store_that_ignores_conditions_is_found_out_at_the_first_write() {
    let world = World::environment("api");
    world.memory.ignore_conditions(true);
    let a = world.process();
    let error = a.upload(&[("A", "1")]).await.unwrap_err();
    assert!(matches!(error, ItemError::NoCompareAndSwap { .. }), "{error}");
    assert_eq!(lines(&a, &format!("put {HEAD}")), 3);
}

#[tokio::test]
async fn a_store_that_ignores_if_match_alone_is_found_out_at_the_first_write() {
    let world = World::environment("api");
    world.memory.ignore_etags(true);
    let error = world.process().upload(&[("A", "1")]).await.unwrap_err();
    assert!(matches!(error, ItemError::NoCompareAndSwap { .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_found_out_when_all_answers_were_lost() {
    let world = World::environment("api");
    world.memory.ignore_conditions(true);
    let a = world.process();
    for _ in 0..4 {
        a.client.plan(When::Begins(world.put_head()), Fault::LoseAnswer);
    }
    let error = a.upload(&[("A", "1")]).await.unwrap_err();
    assert!(matches!(error, ItemError::NoCompareAndSwap { .. }), "{error}");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_found_out_at_a_later_write() {
    let world = World::with_values(&["1"]).await;
    world.memory.ignore_conditions(true);
    let a = world.process();
    let error = a.upload(&[("A", "2")]).await.unwrap_err();
    assert!(matches!(error, ItemError::NoCompareAndSwap { .. }), "{error}");
    assert_eq!(lines(&a, &format!("put {HEAD}")), 0, "nothing is committed");
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
}

#[tokio::test]
async fn what_a_crash_left_out_is_put_twice_and_the_second_must_fail() {
    let world = World::with_values(&["1"]).await;
    let key = world.version_keys().pop().unwrap();
    world.memory.remove(&key);
    world.memory.remove(&world.item.log_key(nth(1)));
    let a = world.process();
    assert_eq!(number(&a.upload(&[("A", "2")]).await.unwrap()), 2);
    assert_eq!(lines(&a, &format!("put {key}")), 2);
    assert_eq!(lines(&a, "put services/api/log/environment/00000001"), 2);
    assert_eq!(world.process().at(1).await.unwrap(), b"A=1");
}

#[tokio::test]
async fn a_first_write_that_is_built_upon_at_once_is_no_false_alarm() {
    let world = World::environment("api");
    let a = world.process();
    let (first, again) = (a.client.hold(&world.put_head()), a.client.hold(&world.put_head()));
    let (committed, ()) = together(a.upload(&[("A", "1")]), async {
        first.reached().await;
        first.release();
        again.reached().await;
        world.process().upload(&[("A", "2")]).await.unwrap();
        again.release();
    })
    .await;
    assert_eq!(number(&committed.unwrap()), 1);
    assert_eq!(world.process().current().await.unwrap(), b"A=2");
}

#[tokio::test]
async fn equal_content_makes_heads_with_different_etags_and_a_stale_etag_never_wins() {
    for content in [None, Some(b"small".to_vec()), Some(b"".to_vec()), Some(large(b'x'))] {
        let world = match &content {
            None => World::environment("api"),
            Some(_) => World::file("api", "tls.pem"),
        };
        let publish = async |kind: ChangeKind| {
            let content = || match &content {
                None => Content::Environment(variables(&[("A", "1")])),
                Some(bytes) => file_content(bytes),
            };
            world.process().commit(kind, content).await.unwrap();
            let request = Get::attributes(world.item.head_key());
            world.process().client.get(request).await.unwrap().etag
        };
        let etags: Vec<ETag> = vec![
            publish(ChangeKind::Upload).await,
            publish(ChangeKind::Upload).await,
            publish(ChangeKind::Rollback(VersionRef::Number(Number::FIRST))).await,
        ];
        assert!(etags[0] != etags[1] && etags[1] != etags[2] && etags[0] != etags[2]);
        for stale in &etags[..2] {
            let payload = Payload::Bytes(SecretBytes::new(b"evil".to_vec()));
            let put = Put::new(
                world.item.head_key(),
                payload,
                Condition::Is(stale.clone()),
                Encryption::Store,
            );
            let error = world.process().client.put(put).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::PreconditionFailed);
        }
    }
}
