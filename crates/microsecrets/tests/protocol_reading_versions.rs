//! Reading a version that is asked for: by number, by checksum, by name.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::checksum::{Checksum, Digest};
use microsecrets::item::*;
use microsecrets::name::VersionName;
use microsecrets::store::memory::{Fault, When};

const HEAD: &str = "services/api/head/environment";
/// Digests of `abc`, by the other functions that 0.3.4 allows.
const ABC: [&str; 3] = [
    "a9993e364706816aba3e25717850c26c9cd0d89d",
    "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
     454d4423643ce80e2a9ac94fa54ca49f",
];

fn digest(text: &str) -> Selector {
    Selector::Digest(text.parse().unwrap())
}

fn sha256(committed: &Committed) -> Selector {
    Selector::Digest(Digest::Sha256(committed.entry.record().checksum()))
}

fn name(committed: &Committed) -> Selector {
    Selector::Name(committed.entry.record().name.clone())
}

fn newer(committed: &Committed) -> Note {
    Note::NewerExists {
        number: Some(committed.entry.record().number),
        name: committed.entry.record().name.clone(),
    }
}

/// An environment with three versions, `A=1` to `A=3`.
async fn three() -> (World, [Committed; 3]) {
    let world = World::environment("api");
    let mut committed = Vec::new();
    for value in ["1", "2", "3"] {
        committed.push(world.process().upload(&[("A", value)]).await.unwrap());
        world.tick(1);
    }
    (world, committed.try_into().unwrap())
}

async fn read(process: &Process, selector: &Selector) -> Result<(Vec<u8>, Vec<Note>), ItemError> {
    let version = process.reader().read(selector).await?;
    Ok((content_of(version.content).await?, version.notes))
}

// By checksum.

#[tokio::test]
async fn the_current_checksum_costs_one_request() {
    let (world, [_, _, third]) = three().await;
    let reader = world.process();
    assert_eq!(read(&reader, &sha256(&third)).await.unwrap(), (b"A=3".to_vec(), vec![]));
    assert_eq!(reader.client.log(), [format!("get {HEAD}")]);
}

#[tokio::test]
async fn an_older_checksum_is_found_in_the_listing_and_says_that_there_is_a_newer_version() {
    let (world, [first, _, third]) = three().await;
    world.memory.set_page(1);
    let reader = world.process();
    let expected = (b"A=1".to_vec(), vec![newer(&third)]);
    assert_eq!(read(&reader, &sha256(&first)).await.unwrap(), expected);
    assert_eq!(reader.client.log().last(), Some(&format!("get {}", first.key)));
}

#[tokio::test]
async fn an_older_version_of_0_3_4_from_the_future_is_refused_but_not_one_of_ours() {
    let world = World::with_values(&["1"]).await;
    let content = legacy_document(&[("A", "ahead")]);
    world.legacy_ahead(15 * 60 + 1, &content);
    let pin = Selector::Digest(Digest::Sha256(Checksum::of(&content)));
    let error = read(&world.process(), &pin).await.unwrap_err();
    assert!(matches!(error, ItemError::FutureDated { seconds: 901, .. }), "{error}");
    // The store's clock was wrong when this was committed; the order of ours does not come from clocks.
    let (world, [first, _, third]) = three().await;
    world.tick(-86_400);
    let expected = (b"A=1".to_vec(), vec![newer(&third)]);
    assert_eq!(read(&world.process(), &sha256(&first)).await.unwrap(), expected);
}

#[tokio::test]
async fn who_insists_on_the_current_version_gets_no_older_one() {
    let (world, [first, _, third]) = three().await;
    let current_with =
        |committed: &Committed| Selector::CurrentWith(Digest::Sha256(committed.entry.record().checksum()));
    assert_eq!(read(&world.process(), &current_with(&third)).await.unwrap().0, b"A=3");
    let error = read(&world.process(), &current_with(&first)).await.unwrap_err();
    assert!(matches!(error, ItemError::PinMismatch { .. }), "{error}");
}

#[tokio::test]
async fn an_unknown_checksum_is_not_found() {
    let (world, _) = three().await;
    let unknown = Checksum::of(b"unknown");
    let error = read(&world.process(), &Selector::Digest(Digest::Sha256(unknown)))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the environment of api has no version with checksum {unknown}")
    );
}

#[tokio::test]
async fn an_older_checksum_is_still_checked() {
    let (world, [first, second, _]) = three().await;
    let evil = world.memory.object(&second.key).unwrap();
    world.memory.restore(&first.key, evil);
    let error = read(&world.process(), &sha256(&first)).await.unwrap_err();
    assert!(matches!(error, ItemError::Distrusted { .. }), "{error}");
}

#[tokio::test]
async fn a_pin_on_what_only_0_3_4_wrote_finds_older_versions_too() {
    let world = World::environment("api");
    let (old, new) = (legacy_document(&[("A", "1")]), legacy_document(&[("A", "2")]));
    world.legacy(&old);
    let old_name = world.name_of(0, &old);
    world.tick(1);
    world.legacy(&new);
    let (content, notes) = read(&world.process(), &Selector::Digest(Digest::Sha256(Checksum::of(&old))))
        .await
        .unwrap();
    let number = None;
    assert_eq!(
        (content, notes),
        (
            b"A=1".to_vec(),
            vec![Note::NewerExists {
                number,
                name: world.name_of(0, &new)
            }]
        )
    );
    assert_eq!(
        read(&world.process(), &Selector::Name(old_name)).await.unwrap().0,
        b"A=1"
    );
}

#[tokio::test]
async fn what_is_newer_than_the_head_is_not_said_to_be_older() {
    // 0.3.4 wrote after us, unseen by default readers; a deploy that pins exactly that version is not out of date.
    let (world, _) = three().await;
    let content = legacy_document(&[("A", "4")]);
    world.legacy(&content);
    for selector in [
        Selector::Digest(Digest::Sha256(Checksum::of(&content))),
        Selector::Name(world.name_of(0, &content)),
    ] {
        let found = read(&world.process(), &selector).await.unwrap();
        assert_eq!(found, (b"A=4".to_vec(), vec![]), "{selector:?}");
    }
}

#[tokio::test]
async fn other_digests_are_compared_with_the_current_version_only() {
    for content in [b"abc".to_vec(), large(b'x')] {
        let world = World::file("api", "tls.pem");
        world.process().upload_file(&content).await.unwrap();
        let is_abc = content == b"abc";
        for (pin, note) in ABC.iter().zip([Some(Note::Sha1Pin), None, None]) {
            match read(&world.process(), &digest(pin)).await {
                Ok((found, notes)) => assert!(is_abc && found == b"abc" && notes == Vec::from_iter(note)),
                Err(ItemError::PinMismatch { .. }) => assert!(!is_abc),
                Err(error) => panic!("{error}"),
            }
        }
        // Once it is not current any more, the checksum would find it; these do not.
        world.process().upload_file(b"newer").await.unwrap();
        for pin in ABC {
            let error = read(&world.process(), &digest(pin)).await.unwrap_err();
            assert!(matches!(error, ItemError::PinMismatch { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_large_file_is_compared_with_a_sha_512_pin_while_it_is_read() {
    let world = World::file("api", "tls.pem");
    world.process().upload_file(&large(b'x')).await.unwrap();
    let hash = |function: &Digest| {
        let mut hasher = function.hasher();
        hasher.update(&large(b'x'));
        hasher.finish()
    };
    for pin in ABC {
        let right = Selector::Digest(hash(&pin.parse().unwrap()));
        assert_eq!(read(&world.process(), &right).await.unwrap().0, large(b'x'));
    }
}

// By name.

#[tokio::test]
async fn a_name_needs_no_listing() {
    let (world, [first, _, third]) = three().await;
    let reader = world.process();
    assert_eq!(read(&reader, &name(&third)).await.unwrap(), (b"A=3".to_vec(), vec![]));
    assert_eq!(reader.client.log(), [format!("get {HEAD}")]);
    let reader = world.process();
    assert_eq!(
        read(&reader, &name(&first)).await.unwrap(),
        (b"A=1".to_vec(), vec![newer(&third)])
    );
    assert_eq!(
        reader.client.log(),
        [format!("get {HEAD}"), format!("get {}", first.key)]
    );
}

#[tokio::test]
async fn an_unknown_name_is_not_found() {
    let (world, _) = three().await;
    let unknown: VersionName = world.name_of(0, b"unknown");
    let error = read(&world.process(), &Selector::Name(unknown.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the environment of api has no version with the name {unknown}")
    );
    // Who may not list is told 403, and neither absence nor denial can be shown.
    let reader = world.process();
    always(&reader.client, "get services/api/environment/", denied());
    let error = read(&reader, &Selector::Name(unknown)).await.unwrap_err();
    assert!(matches!(error, ItemError::DeniedOrAbsent { .. }), "{error}");
}

// By number.

#[tokio::test]
async fn a_number_is_found_by_its_log_entry() {
    let (world, [first, ..]) = three().await;
    let reader = world.process();
    assert_eq!(reader.at(1).await.unwrap(), b"A=1");
    let log = "get services/api/log/environment/00000001".to_owned();
    assert_eq!(reader.client.log(), [log, format!("get {}", first.key)]);
    assert_eq!(world.process().at(2).await.unwrap(), b"A=2");
    assert_eq!(world.process().at(3).await.unwrap(), b"A=3");
}

#[tokio::test]
async fn the_current_number_is_found_in_the_head_when_a_crash_left_the_rest_out() {
    for (left_out, kept) in [(&["log", "bytes"][..], ""), (&["log"], "bytes"), (&["bytes"], "log")] {
        let (world, [_, _, third]) = three().await;
        for object in left_out {
            let log = world.item.log_key(nth(3));
            world.memory.remove(if *object == "log" { &log } else { &third.key });
        }
        assert_eq!(world.process().at(3).await.unwrap(), b"A=3", "kept {kept:?}");
        // Also for who has no right but s3:GetObject, whom S3 tells 403 for what is missing.
        let reader = world.process();
        always(&reader.client, "list", denied());
        always(
            &reader.client,
            if kept == "log" {
                "get services/api/environment"
            } else {
                "get services/api/log"
            },
            denied(),
        );
        assert_eq!(reader.at(3).await.unwrap(), b"A=3", "kept {kept:?}");
    }
}

#[tokio::test]
async fn a_pruned_number_says_so() {
    let (world, _) = three().await;
    prune(&world, async || {}).await;
    let reader = world.process();
    let error = reader.at(1).await.unwrap_err();
    assert_eq!(error.to_string(), "version 1 of the environment of api was pruned");
    assert_eq!(reader.client.log().len(), 6, "log, bytes, head; and once more");
    assert_eq!(world.process().at(3).await.unwrap(), b"A=3");
}

/// Whoever needs the record of a version that is said by its name is told the same as who says its number.
#[tokio::test]
async fn a_pruned_name_says_so_to_who_needs_its_record() {
    let (world, [first, ..]) = three().await;
    prune(&world, async || {}).await;
    let reader = world.process();
    let error = reader.reader().with_record(true).read(&name(&first)).await;
    assert!(matches!(error, Err(ItemError::Pruned { number, .. }) if number == nth(1)));
    // Who needs no record is told what the key says.
    assert!(matches!(
        read(&reader, &name(&first)).await,
        Err(ItemError::NoSuchVersion { .. })
    ));
}

#[tokio::test]
async fn a_number_that_is_completed_meanwhile_is_found_at_the_second_look() {
    let (world, _) = three().await;
    world.memory.remove(&world.item.log_key(nth(3)));
    let reader = world.process();
    let hold = reader.client.hold(&format!("get {HEAD}"));
    let (read, ()) = together(reader.at(3), async {
        hold.reached().await;
        // The next write completes version 3, and is version 4.
        world.process().upload(&[("A", "4")]).await.unwrap();
        hold.release();
    })
    .await;
    assert_eq!(read.unwrap(), b"A=3");
}

#[tokio::test]
async fn a_number_that_was_never_given_is_not_found() {
    let (world, _) = three().await;
    let error = world.process().at(4).await.unwrap_err();
    assert_eq!(error.to_string(), "the environment of api has no version 4");
    let empty = World::environment("api");
    let error = empty.process().at(1).await.unwrap_err();
    assert!(matches!(error, ItemError::NoSuchNumber { .. }), "{error}");
}

#[tokio::test]
async fn a_deletion_has_a_number_but_no_content() {
    let (world, _) = three().await;
    world.process().delete().await.unwrap();
    for _ in ["by its log entry", "by the head"] {
        let error = world.process().at(4).await.unwrap_err();
        assert_eq!(error.to_string(), "version 4 of the environment of api is a deletion");
        assert_eq!(
            world.process().at(3).await.unwrap(),
            b"A=3",
            "what was deleted can be read"
        );
        world.memory.remove(&world.item.log_key(nth(4)));
    }
}

#[tokio::test]
async fn an_adopted_version_has_a_number_too() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    world.tick(1);
    world.process().upload(&[("A", "1")]).await.unwrap();
    assert_eq!(world.process().at(1).await.unwrap(), b"A=0");
    assert_eq!(world.process().at(2).await.unwrap(), b"A=1");
}

#[tokio::test]
async fn a_number_is_not_guessed_when_the_store_does_not_answer() {
    let (world, _) = three().await;
    for line in ["get services/api/log", "get services/api/environment"] {
        let reader = world.process();
        reader.client.plan(When::Every(line.to_owned()), Fault::LoseAnswer);
        let error = reader.at(3).await.unwrap_err();
        assert!(matches!(error, ItemError::Store(_)), "{error}");
    }
}

#[tokio::test]
async fn a_denied_number_that_is_not_current_is_denied_or_absent() {
    let (world, _) = three().await;
    for line in ["get services/api/log", "get services/api/environment"] {
        let reader = world.process();
        always(&reader.client, line, denied());
        let error = reader.at(1).await.unwrap_err();
        assert!(matches!(error, ItemError::DeniedOrAbsent { .. }), "{error}");
    }
}
