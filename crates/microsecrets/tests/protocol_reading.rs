//! Reading the current version: the rules of the design's third section, one after the other.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::store::memory::{Fault, When};
use microsecrets::store::{Denial, ErrorKind};

const HEAD: &str = "services/api/head/environment";
const PEM: &str = "services/api/head/file/tls.pem";

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().copied().map(owned).collect()
}

/// An item that only 0.3.4 has written, twice.
fn legacy_world() -> World {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(1);
    world.legacy(&legacy_document(&[("A", "1")]));
    world
}

/// An item in migration: 0.3.4's version is adopted, and ours is on top.
async fn migrating_world() -> World {
    let world = legacy_world();
    world.tick(60);
    world.process().upload(&[("A", "2")]).await.unwrap();
    assert!(world.head().unwrap().record().migration);
    world.tick(60);
    world
}

// Rule 1: the head.

#[tokio::test]
async fn what_is_read_says_which_object_it_is_and_how_it_was_encrypted() {
    let world = World::with_values(&["1", "2"]).await;
    let process = world.process();
    for selector in [Selector::Current, Selector::Number(nth(1))] {
        let facts = process.reader().read(&selector).await.unwrap().facts;
        let kept = world.memory.object(&facts.key).unwrap();
        assert_eq!(
            (facts.encryption, facts.size),
            (kept.encryption, kept.bytes.len() as u64)
        );
    }
}

#[tokio::test]
async fn an_environment_is_read_in_one_request() {
    let world = World::environment("api");
    for value in 0..20 {
        world.process().set("A", &value.to_string()).await.unwrap();
    }
    let reader = world.process();
    assert_eq!(reader.read().await.unwrap(), pairs(&[("A", "19")]));
    assert_eq!(reader.client.log(), [format!("get {HEAD}")]);
}

#[tokio::test]
async fn a_small_file_is_read_in_one_request() {
    for bytes in [&b"certificate"[..], b"", &vec![7; 1 << 20]] {
        let world = World::file("api", "tls.pem");
        world.process().upload_file(bytes).await.unwrap();
        let reader = world.process();
        assert_eq!(reader.current().await.unwrap(), bytes);
        assert_eq!(reader.client.log(), [format!("get {PEM}")]);
    }
}

#[tokio::test]
async fn a_large_file_is_read_in_two_requests() {
    let world = World::file("api", "tls.pem");
    let committed = world.process().upload_file(&large(b'x')).await.unwrap();
    let reader = world.process();
    let version = reader.reader().read(&Selector::Current).await.unwrap();
    assert!(matches!(version.content, VersionContent::Stream(_)));
    assert_eq!(version.facts.size, LARGE as u64);
    assert_eq!(content_of(version.content).await.unwrap(), large(b'x'));
    assert_eq!(
        reader.client.log(),
        [format!("get {PEM}"), format!("get {}", committed.key)]
    );
}

#[tokio::test]
async fn a_deletion_says_when_and_by_whom() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    world.process().delete().await.unwrap();
    let reader = world.process();
    let error = reader.read().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the environment of api was deleted at 2026-11-23T08:00:00Z by ann@test"
    );
    assert_eq!(reader.client.log(), [format!("get {HEAD}")]);
}

#[tokio::test]
async fn large_bytes_that_were_pruned_under_a_reader_make_it_start_again() {
    let world = World::file("api", "tls.pem");
    let pruned = world.process().upload_file(&large(b'1')).await.unwrap();
    let reader = world.process();
    let hold = reader.client.hold(&format!("get {}", pruned.key));
    let (read, ()) = together(reader.current(), async {
        hold.reached().await;
        world.process().upload_file(&large(b'2')).await.unwrap();
        prune(&world, async || {}).await;
        hold.release();
    })
    .await;
    assert_eq!(read.unwrap(), large(b'2'));
}

#[tokio::test]
async fn large_bytes_that_stay_away_are_looked_for_four_times() {
    let world = World::file("api", "tls.pem");
    let committed = world.process().upload_file(&large(b'x')).await.unwrap();
    world.memory.remove(&committed.key);
    let reader = world.process();
    let error = reader.current().await.unwrap_err();
    let once = [format!("get {PEM}"), format!("get {}", committed.key)];
    let four_times: Vec<_> = once.iter().cycle().take(8).cloned().collect();
    assert_eq!(reader.client.log(), four_times, "once, and three times again");
    assert_eq!(
        error.to_string(),
        "given up on the file tls.pem of api after 4 attempts: the bytes of its current version are missing"
    );
}

#[tokio::test]
async fn a_head_that_is_ahead_of_the_clock_is_believed_and_mentioned() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    for (behind, note) in [(15 * 60, None), (1, Some(Note::HeadAhead { seconds: 901 }))] {
        world.tick(-behind);
        let process = world.process();
        let version = process.reader().read(&Selector::Current).await.unwrap();
        assert_eq!(version.notes, Vec::from_iter(note));
    }
}

// Rule 2: an item that only 0.3.4 has written.

#[tokio::test]
async fn what_only_0_3_4_wrote_is_found_by_its_key() {
    let world = legacy_world();
    let reader = world.process();
    assert_eq!(reader.read().await.unwrap(), pairs(&[("A", "1")]));
    let [_, greatest] = &world.version_keys()[..] else {
        panic!("two versions")
    };
    assert_eq!(
        reader.client.log(),
        [
            format!("get {HEAD}"),
            "list services/api/environment/".to_owned(),
            format!("get {greatest}"),
            format!("head {HEAD}"),
        ]
    );
}

#[tokio::test]
async fn the_greatest_key_is_found_on_the_last_page() {
    let world = World::environment("api");
    world.memory.set_page(3);
    for value in ["0", "1", "2", "3", "4", "5", "6"] {
        world.tick(1);
        world.legacy(&legacy_document(&[("A", value)]));
        assert_eq!(world.process().read().await.unwrap(), pairs(&[("A", value)]));
    }
}

#[tokio::test]
async fn a_head_that_appears_while_0_3_4s_version_is_read_is_read_instead() {
    let world = legacy_world();
    let reader = world.process();
    let hold = reader.client.hold(&format!("head {HEAD}"));
    let (read, ()) = together(reader.read(), async {
        hold.reached().await;
        world.process().upload(&[("A", "2")]).await.unwrap();
        hold.release();
    })
    .await;
    assert_eq!(read.unwrap(), pairs(&[("A", "2")]));
}

#[tokio::test]
async fn nothing_at_all_is_absent() {
    let world = World::environment("api");
    let error = world.process().read().await.unwrap_err();
    assert!(matches!(error, ItemError::Absent { .. }));
    assert_eq!(
        error.to_string(),
        "there is no environment of api in memory:test-bucket"
    );
}

#[tokio::test]
async fn a_greatest_key_outside_the_grammar_is_refused() {
    for stray in ["zzz", "2099-99-99.json", "latest/2026-11-23.08-00-00.json"] {
        let world = legacy_world();
        let key = format!("services/api/environment/{stray}");
        world.memory.put_raw(&key, &legacy_document(&[("A", "evil")]), None);
        let error = world.process().read().await.unwrap_err();
        assert!(matches!(error, ItemError::OutsideGrammar { key: found } if found == key));
    }
    // 0.3.4 does not take a lesser one, so it is no more than litter.
    let world = legacy_world();
    world.memory.put_raw("services/api/environment/0-readme.txt", b"", None);
    assert_eq!(world.process().read().await.unwrap(), pairs(&[("A", "1")]));
}

#[tokio::test]
async fn our_bytes_without_a_head_are_refused() {
    let world = World::environment("api");
    let committed = world.process().upload(&[("A", "1")]).await.unwrap();
    world.memory.remove(HEAD);
    let error = world.process().read().await.unwrap_err();
    assert!(matches!(error, ItemError::HeadMissing { key, .. } if key == committed.key));
    // So are large ones that may never have been committed.
    let world = World::file("api", "tls.pem");
    let key = world.key_of(0, &large(b'x'));
    world.memory.put_raw(&key, &large(b'x'), our_mark());
    let error = world.process().current().await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ItemError::HeadMissing { .. }));
}

#[tokio::test]
async fn a_listed_name_may_be_fifteen_minutes_ahead_of_the_stores_clock() {
    for (ahead, accepted) in [(15 * 60, true), (15 * 60 + 1, false)] {
        let world = legacy_world();
        world.legacy_ahead(ahead, &legacy_document(&[("A", "ahead")]));
        match world.process().read().await {
            Ok(read) => assert!(accepted && read == pairs(&[("A", "ahead")]), "{ahead}"),
            Err(ItemError::FutureDated { seconds, .. }) => assert!(!accepted && seconds == ahead),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn what_0_3_4_wrote_is_checked_too() {
    let world = World::environment("api");
    let (content, other) = (legacy_document(&[("A", "1")]), legacy_document(&[("A", "2")]));
    world.memory.put_raw(&world.key_of(0, &content), &other, None);
    let error = world.process().read().await.unwrap_err();
    assert!(matches!(error, ItemError::Distrusted { .. }), "{error}");
    let nested = br#"{"environment": {"A": {"B": "1"}}, "metadata": {}}"#;
    world.tick(1);
    world.legacy(nested);
    let error = world.process().read().await.unwrap_err();
    assert!(matches!(error, ItemError::Document { .. }), "{error}");
}

// Rule 3: S3 answers 403 for a missing object to who may not list.

#[tokio::test]
async fn a_403_for_a_head_that_is_there_is_a_denial() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    let reader = world.process();
    always(&reader.client, "get ", denied());
    let error = reader.read().await.unwrap_err();
    assert!(
        matches!(&error, ItemError::Store(error) if error.kind == denied()),
        "{error}"
    );
    assert_eq!(reader.client.log(), [format!("get {HEAD}"), format!("list {HEAD}")]);
}

#[tokio::test]
async fn a_403_for_a_head_that_the_listing_lacks_is_an_absence() {
    // A right to list that is bound to a prefix: S3 answers 403 for what is missing all the same.
    let world = legacy_world();
    let reader = world.process();
    for line in ["get services/api/head", "head services/api/head"] {
        always(&reader.client, line, denied());
    }
    assert_eq!(reader.read().await.unwrap(), pairs(&[("A", "1")]));
}

#[tokio::test]
async fn a_403_where_nothing_may_be_listed_is_a_denial_or_an_absence() {
    let world = legacy_world();
    let reader = world.process();
    always(&reader.client, "", denied());
    let error = reader.read().await.unwrap_err();
    assert_eq!(error.to_string(), "the environment of api is denied, or not there");
    assert!(matches!(error, ItemError::DeniedOrAbsent { .. }));
}

#[tokio::test]
async fn kms_denies_only_what_is_there() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    let reader = world.process();
    let mut denial = Denial::default();
    denial.action = Some("kms:Decrypt".to_owned());
    always(&reader.client, "get ", ErrorKind::Denied(denial));
    always(&reader.client, "list ", denied());
    let error = reader.read().await.unwrap_err();
    assert!(matches!(error, ItemError::Store(_)), "{error}");
}

#[tokio::test]
async fn a_403_alone_never_opens_what_lies_there_without_a_head() {
    // An enemy replaces the head by one that the reader cannot decrypt, and puts an older version where 0.3.4 would.
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    world.tick(60);
    world.legacy(&legacy_document(&[("A", "evil")]));
    let faults = [ErrorKind::Unavailable, ErrorKind::Throttled, denied()];
    for fault in faults {
        let reader = world.process();
        always(&reader.client, "get services/api/head", denied());
        always(&reader.client, "list services/api/head", fault);
        assert!(reader.read().await.is_err());
        assert!(
            !reader
                .client
                .log()
                .iter()
                .any(|line| line == "list services/api/environment/")
        );
    }
}

#[tokio::test]
async fn unavailable_is_neither_denied_nor_absent() {
    let world = legacy_world();
    for line in [
        "get services/api/head",
        "list ",
        "get services/api/environment",
        "head services/api/head",
    ] {
        let reader = world.process();
        always(&reader.client, line, ErrorKind::Unavailable);
        let error = reader.read().await.unwrap_err();
        assert!(
            matches!(&error, ItemError::Store(error) if error.kind == ErrorKind::Unavailable),
            "{line}: {error}"
        );
    }
}

// Rule 4: an item in migration, or a reader that is told to look.

#[tokio::test]
async fn in_migration_a_newer_version_of_0_3_4_is_read() {
    let world = migrating_world().await;
    let reader = world.process();
    assert_eq!(reader.read().await.unwrap(), pairs(&[("A", "2")]));
    let listing = "list services/api/environment/".to_owned();
    assert_eq!(reader.client.log(), [format!("get {HEAD}"), listing.clone()]);

    let key = world.legacy(&legacy_document(&[("A", "3")]));
    let reader = world.process();
    assert_eq!(reader.read().await.unwrap(), pairs(&[("A", "3")]));
    let expected = [
        format!("get {HEAD}"),
        listing,
        format!("head {key}"),
        format!("head {HEAD}"),
        format!("get {key}"),
    ];
    assert_eq!(reader.client.log(), expected);
}

#[tokio::test]
async fn without_migration_only_a_scan_sees_what_0_3_4_wrote() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    world.tick(60);
    world.legacy(&legacy_document(&[("A", "2")]));
    let process = world.process();
    assert_eq!(process.read().await.unwrap(), pairs(&[("A", "1")]));
    let version = process.reader().scan(true).read(&Selector::Current).await.unwrap();
    assert_eq!(content_of(version.content).await.unwrap(), b"A=2");
    assert!(version.facts.number().is_none(), "0.3.4's versions have no number");
}

#[tokio::test]
async fn in_migration_the_greatest_version_of_0_3_4_wins_and_ours_are_skipped() {
    let world = World::file("api", "tls.pem");
    world.legacy(b"0");
    world.tick(60);
    world.process().upload_file(b"1").await.unwrap();
    world.tick(60);
    world.legacy(b"older");
    world.tick(1);
    world.legacy(b"newest");
    world.tick(1);
    let orphan = world.key_of(0, &large(b'x'));
    world.memory.put_raw(&orphan, &large(b'x'), our_mark());
    assert_eq!(world.process().current().await.unwrap(), b"newest");
}

#[tokio::test]
async fn in_migration_the_greatest_key_of_0_3_4_has_to_be_in_the_grammar_and_not_from_the_future() {
    let world = migrating_world().await;
    world.memory.put_raw("services/api/environment/zzz", b"", None);
    let error = world.process().read().await.unwrap_err();
    assert!(matches!(error, ItemError::OutsideGrammar { .. }), "{error}");

    for (ahead, accepted) in [(15 * 60, true), (15 * 60 + 1, false)] {
        let world = migrating_world().await;
        world.legacy_ahead(ahead, &legacy_document(&[("A", "ahead")]));
        let read = world.process().read().await;
        assert_eq!(read.is_ok(), accepted, "{ahead}");
        assert!(accepted || matches!(read, Err(ItemError::FutureDated { seconds: 901, .. })));
    }
}

#[tokio::test]
async fn in_migration_a_head_that_changed_meanwhile_is_read_again() {
    let world = migrating_world().await;
    let reader = world.process();
    let hold = reader.client.hold("list services/api/environment/");
    let (read, ()) = together(reader.read(), async {
        hold.reached().await;
        // 0.3.4's upload is buried by a commit that has seen it: it is not the current version any more.
        world.legacy(&legacy_document(&[("A", "3")]));
        world.process().upload(&[("A", "4")]).await.unwrap();
        hold.release();
    })
    .await;
    assert_eq!(read.unwrap(), pairs(&[("A", "4")]));
}

#[tokio::test]
async fn in_migration_a_head_that_vanished_meanwhile_is_not_answered() {
    let world = World::file("api", "tls.pem");
    world.legacy(b"0");
    world.tick(60);
    world.process().upload_file(b"1").await.unwrap();
    world.tick(60);
    world
        .memory
        .put_raw(&world.key_of(0, &large(b'x')), &large(b'x'), our_mark());
    let reader = world.process();
    let hold = reader.client.hold(&format!("head {PEM}"));
    let (read, ()) = together(reader.current(), async {
        hold.reached().await;
        world.memory.remove(PEM);
        hold.release();
    })
    .await;
    assert!(matches!(read.unwrap_err(), ItemError::HeadMissing { .. }));
}

#[tokio::test]
async fn in_migration_0_3_4_may_write_over_a_deletion() {
    let world = migrating_world().await;
    world.process().delete().await.unwrap();
    assert!(matches!(
        world.process().read().await.unwrap_err(),
        ItemError::Deleted { .. }
    ));
    world.tick(1);
    world.legacy(&legacy_document(&[("A", "again")]));
    assert_eq!(world.process().read().await.unwrap(), pairs(&[("A", "again")]));
}

#[tokio::test]
async fn a_reader_outlasts_many_commits() {
    // Rule 4 sets no limit: somebody commits between head and listing, and again, and again.
    let world = migrating_world().await;
    let reader = world.process();
    let holds: Vec<_> = (0..10)
        .map(|_| reader.client.hold("list services/api/environment/"))
        .collect();
    let (read, ()) = together(reader.read(), async {
        for (round, hold) in holds.iter().enumerate() {
            hold.reached().await;
            world.tick(1);
            world.process().upload(&[("A", &round.to_string())]).await.unwrap();
            hold.release();
        }
    })
    .await;
    assert_eq!(read.unwrap(), pairs(&[("A", "9")]));
}

#[tokio::test]
async fn ten_thousand_versions_cost_a_reader_nothing() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    let (log, base) = (world.item.log_prefix(), world.memory.now());
    for older in 0..10_000 {
        let name = world.name_of(older - 20_000, format!("{older}").as_bytes());
        world.memory.put_raw(&world.item.version_key(&name), b"{}", our_mark());
        world.memory.put_raw(&format!("{log}{older:08}"), b"", None);
    }
    assert_eq!(world.memory.now(), base);
    let reader = world.process();
    assert_eq!(reader.read().await.unwrap(), pairs(&[("A", "1")]));
    assert_eq!(reader.client.log().len(), 1);
    // The same for a scan: it begins at the head.
    let reader = world.process();
    reader.reader().scan(true).read(&Selector::Current).await.unwrap();
    assert_eq!(reader.client.log().len(), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again() {
    let world = World::environment("api");
    world.process().upload(&[("A", "1")]).await.unwrap();
    for fault in [
        Fault::LoseAnswer,
        Fault::Fail(ErrorKind::Throttled),
        Fault::Fail(ErrorKind::Unavailable),
    ] {
        let reader = world.process();
        reader.client.plan(When::Request(1), fault);
        assert_eq!(reader.read().await.unwrap(), pairs(&[("A", "1")]));
        assert_eq!(reader.client.log().len(), 2);
    }
}
