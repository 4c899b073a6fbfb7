//! What `doctor` finds in an item's objects.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::examined::*;
use common::*;
use microsecrets::item::*;
use microsecrets::keys::{FolderKeys, Keys as _};
use microsecrets::name::Nonce;
use microsecrets::record::{ChangeKind, Record, SignedRecord};
use microsecrets::store::{Encryption, ErrorKind, Mark};
use microsecrets::trust::{Distrust, VerifyKey};

const HEAD: &str = "services/api/head/environment";

// Nothing is wrong.

#[tokio::test]
async fn nothing_is_wrong_with_a_healthy_item_of_any_kind() {
    let environment = World::with_values(&["1", "2", "3"]).await;
    let examination = environment.process().access().examine().await.unwrap();
    assert_eq!((examination.records, examination.versions), (3, 3));
    assert_eq!(examination.current.unwrap().number, nth(3));
    assert_eq!(examination.encryption, Some(Encryption::Store));
    assert!(examination.ailments.is_empty(), "{:?}", examination.ailments);
    for contents in [vec![&b"1"[..], b"", b"3"], vec![b""]] {
        is_healthy(&World::with_files(&contents).await).await;
    }
    let large = World::with_files(&[&large(b'a'), b"2", &large(b'c')]).await;
    is_healthy(&large).await;
    prune(&large, async || {}).await;
    is_healthy(&large).await;
    for world in [environment, large] {
        world.process().delete().await.unwrap();
        is_healthy(&world).await;
        // What a deletion has is a record.
        assert!(world.process().access().restorable().await.unwrap().is_none());
    }
    is_healthy(&World::environment("api")).await;
}

#[tokio::test]
async fn only_that_it_is_in_migration_is_said_of_what_0_3_4_wrote() {
    let world = World::environment("api");
    world.legacy(&legacy_document(&[("A", "0")]));
    is_healthy(&world).await;
    let written = world.memory.now();
    world.tick(60);
    world.process().upload(&[("A", "1")]).await.unwrap();
    world.tick(86_400);
    match only(&world).await {
        Ailment::Migration { last, now } => {
            assert_eq!(last.unwrap().as_unix(), written);
            assert_eq!(now.as_unix(), world.memory.now());
        }
        other => panic!("{other:?}"),
    }
    world.process().writer().finish_migration().await.unwrap();
    is_healthy(&world).await;
}

#[tokio::test]
async fn what_is_not_signed_is_told_apart_by_whether_it_is_current() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FolderKeys::new(folder.path(), "one");
    let (world, public) = signed(&keys).await;
    let examine = async || believer(&world, &public).access().examine().await.unwrap().ailments;
    assert!(examine().await.is_empty());

    // Somebody commits without signing, and somebody signs on top of it.
    world.process().upload(&[("A", "3")]).await.unwrap();
    let found = examine().await;
    assert!(matches!(&found[..], [Ailment::NotSigned { .. }]), "{found:?}");
    let other = FolderKeys::new(folder.path(), "other");
    other.create_signing_key().unwrap();
    let other_public = VerifyKey::from_spki(&other.public_key("").await.unwrap()).unwrap();
    let mut both = believer(&world, &public);
    both.checks.verify_keys.push(other_public.clone());
    let mut writer = Writer::new(both.access(), &other, "", "ann@test");
    writer.sign_with = Some("the other's".to_owned());
    writer.adopt = both.access().unsigned().await.unwrap().unwrap().accepts;
    writer.re_sign().await.unwrap();
    let found = both.access().examine().await.unwrap().ailments;
    assert!(found.is_empty(), "the log keeps the signature of the commit: {found:?}");

    // Once it is not current any more, that matters.
    sign(&world, &other, &other_public, "4").await;
    match &both.access().examine().await.unwrap().ailments[..] {
        [Ailment::LogNotSigned { first, last, count, .. }] => {
            assert_eq!((*first, *last, *count), (nth(3), nth(3), 1));
        }
        found => panic!("{found:?}"),
    }
}

#[tokio::test]
async fn what_was_written_before_signing_began_is_no_ailment() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FolderKeys::new(folder.path(), "one");
    keys.create_signing_key().unwrap();
    let public = VerifyKey::from_spki(&keys.public_key("").await.unwrap()).unwrap();
    let world = World::with_values(&["1", "2"]).await;
    let process = believer(&world, &public);
    let examine = async || process.access().examine().await.unwrap();
    let examination = examine().await;
    assert!(matches!(&examination.ailments[..], [Ailment::NotSigned { .. }]));
    assert_eq!(examination.signed_since, None);
    // The head is signed, and its log entry stays as it was.
    let mut writer = Writer::new(process.access(), &keys, "", "ann@test");
    writer.sign_with = Some("the folder's".to_owned());
    writer.adopt = process.access().unsigned().await.unwrap().unwrap().accepts;
    writer.re_sign().await.unwrap();
    let examination = examine().await;
    assert!(examination.ailments.is_empty(), "{:?}", examination.ailments);
    assert_eq!(examination.signed_since, Some(nth(2)));
    sign(&world, &keys, &public, "3").await;
    let examination = examine().await;
    assert!(examination.ailments.is_empty(), "{:?}", examination.ailments);
    assert_eq!(examination.signed_since, Some(nth(3)));
    // Whoever pins nothing is told nothing.
    assert_eq!(world.process().access().examine().await.unwrap().signed_since, None);
}

#[tokio::test]
async fn a_commit_during_the_examination_is_no_ailment() {
    let begins = |world: &World| {
        let (log, versions) = (world.item.log_prefix(), world.item.versions_prefix());
        [
            format!("get {}", world.item.head_key()),
            format!("list {log}"),
            format!("get {log}"),
            format!("list {versions}"),
            format!("head {versions}"),
        ]
    };
    let environment = World::with_values(&["1"]).await;
    let file = World::with_files(&[&large(b'1')]).await;
    for world in [environment, file] {
        for line in begins(&world) {
            let doctor = world.process();
            let hold = doctor.client.hold(&line);
            let access = doctor.access();
            let (examined, ()) = together(access.examine(), async {
                hold.reached().await;
                world.tick(60);
                match world.item.is_file() {
                    true => drop(world.process().upload_file(&large(b'n')).await.unwrap()),
                    false => drop(world.process().upload(&[("A", "n")]).await.unwrap()),
                }
                hold.release();
            })
            .await;
            let examined = examined.unwrap();
            assert!(examined.ailments.is_empty(), "{line}: {:?}", examined.ailments);
            assert_eq!(examined.current.unwrap().number.get(), world.head_number());
        }
    }
    // One that never stops changing is given up.
    let world = World::with_values(&["1"]).await;
    let doctor = world.process();
    let changes = async {
        for _ in 0..100 {
            let hold = doctor.client.hold(&format!("list {}", world.item.log_prefix()));
            hold.reached().await;
            world.process().upload(&[("A", "n")]).await.unwrap();
            world.tick(1);
            hold.release();
        }
    };
    let (examined, ()) = together(async { doctor.access().examine().await.err() }, changes).await;
    assert!(matches!(examined, Some(ItemError::Busy { why: Why::Changed, .. })));
}

#[tokio::test]
async fn what_lies_beyond_the_head_is_found_whatever_it_is() {
    let world = World::with_values(&["1"]).await;
    for key in [world.item.log_key(nth(2)), format!("{}zzz", world.item.log_prefix())] {
        world.memory.put_raw(&key, b"garbage", None);
        let found = names(&world).await;
        assert!(found.contains(&"HeadOutdated".to_owned()), "{found:?}");
        assert!(found.contains(&"Distrusted".to_owned()), "{found:?}");
        assert_eq!(restored(&world).await, None);
        world.memory.remove(&key);
    }
    let bytes = world.key_of(1, b"ours");
    world.memory.put_raw(&bytes, b"ours", our_mark());
    assert_eq!(names(&world).await, ["HeadOutdated", "Unnamed"]);
    assert!(matches!(
        world.process().upload(&[("A", "2")]).await,
        Err(ItemError::HeadOutdated { key, .. }) if key == bytes
    ));
}

// The log, and single objects.

#[tokio::test]
async fn gaps_of_the_log_are_counted() {
    let world = World::with_values(&["1", "2", "3", "4", "5"]).await;
    let all = world.memory.snapshot();
    for (removed, expected) in [
        (vec![1], (1, 1)),
        (vec![2], (2, 1)),
        (vec![4], (4, 1)),
        (vec![1, 2], (1, 2)),
        (vec![2, 4], (2, 2)),
        (vec![3, 4], (3, 2)),
        (vec![1, 2, 3, 4], (1, 4)),
    ] {
        removed
            .iter()
            .for_each(|number| drop(world.memory.remove(&world.item.log_key(nth(*number)))));
        let found = ailments(&world).await;
        let gap = found.iter().find_map(|ailment| match ailment {
            Ailment::LogGap { first, count } => Some((first.get(), *count)),
            _ => None,
        });
        assert_eq!(gap, Some(expected), "{removed:?}");
        all.iter()
            .for_each(|(key, kept)| world.memory.restore(key, kept.clone()));
    }
    is_healthy(&world).await;
}

#[tokio::test]
async fn a_forged_number_costs_no_more_than_what_is_there() {
    let world = World::with_files(&[b"1"]).await;
    world.forge_head(|record, _| record.number = nth(99_999_999));
    let gap = ailments(&world).await.into_iter().find_map(|ailment| match ailment {
        Ailment::LogGap { first, count } => Some((first.get(), count)),
        _ => None,
    });
    assert_eq!(gap, Some((2, 99_999_997)));
}

#[tokio::test]
async fn each_object_that_is_not_as_it_shall_be_is_found() {
    let world = World::with_values(&["1", "2"]).await;
    let healthy = world.memory.snapshot();
    let first = world.version_keys().remove(0);
    let log = world.item.log_key(nth(1));
    let kept = |key: &str| healthy[key].clone();
    let again = || {
        world
            .memory
            .keys()
            .iter()
            .for_each(|key| drop(world.memory.remove(key)));
        healthy
            .iter()
            .for_each(|(key, kept)| world.memory.restore(key, kept.clone()));
    };

    world
        .memory
        .insert_raw(&first, &kept(&first).bytes, kept(&first).mark, Encryption::None);
    let why = distrust(distrusted(&world, &first).await);
    assert!(matches!(why, Distrust::Encryption { .. }), "{why}");
    again();
    for mark in [None, our_mark(), Some(Mark::Malformed)] {
        world.memory.put_raw(&first, &kept(&first).bytes, mark);
        let why = distrust(distrusted(&world, &first).await);
        assert!(matches!(why, Distrust::OtherCommit), "{why}");
    }
    world.memory.put_raw(&first, b"shorter", kept(&first).mark);
    let why = distrust(distrusted(&world, &first).await);
    assert!(matches!(why, Distrust::Checksum { .. }), "{why}");
    again();
    let odd = format!("{}notes.txt", world.item.versions_prefix());
    world.memory.put_raw(&odd, b"x", None);
    assert!(matches!(
        distrusted(&world, &odd).await,
        ItemError::OutsideGrammar { .. }
    ));
    again();
    let future = world.legacy_ahead(3_600, &legacy_document(&[]));
    assert_eq!(names(&world).await, ["Distrusted", "Unseen"]);
    world.memory.remove(&future);
    let unseen = world.legacy_ahead(600, &legacy_document(&[]));
    match only(&world).await {
        Ailment::Unseen { key } => assert_eq!(key, unseen),
        other => panic!("{other:?}"),
    }
    again();
    world.memory.put_raw(&log, b"garbage", None);
    assert!(matches!(distrusted(&world, &log).await, ItemError::Record { .. }));
    world
        .memory
        .put_raw(&log, &kept(&world.item.log_key(nth(2))).bytes, None);
    let why = distrust(distrusted(&world, &log).await);
    assert!(matches!(why, Distrust::OtherNumber { .. }), "{why}");
    world.memory.insert_raw(&log, &kept(&log).bytes, None, Encryption::None);
    let why = distrust(distrusted(&world, &log).await);
    assert!(matches!(why, Distrust::Encryption { .. }), "{why}");
    again();
    let odd = format!("{}0", world.item.log_prefix());
    world.memory.put_raw(&odd, b"x", None);
    assert!(matches!(
        distrusted(&world, &odd).await,
        ItemError::OutsideGrammar { .. }
    ));
    again();
    is_healthy(&world).await;
}

/// Why an object is not believed.
#[track_caller]
fn distrust(error: ItemError) -> Distrust {
    match error {
        ItemError::Distrusted { source, .. } => source,
        error => panic!("{error}"),
    }
}

/// Puts another record in the place of a log entry.
fn forge_log(world: &World, number: u64, change: impl FnOnce(&mut Record)) {
    let mut record = world.log(number).unwrap().record().clone();
    change(&mut record);
    let entry = SignedRecord::new(record).unwrap();
    world
        .memory
        .put_raw(&world.item.log_key(nth(number)), &entry.to_bytes(), None);
}

#[tokio::test]
async fn records_that_disagree_are_found() {
    let inconsistent = async |world: &World| {
        let found = ailments(world).await.into_iter();
        let mut found = found.filter_map(|ailment| match ailment {
            Ailment::Inconsistent { number, broken } => Some((number.get(), broken)),
            _ => None,
        });
        let first = found.next();
        assert!(found.next().is_none());
        first.unwrap()
    };
    let other = "2020-01-01.00-00-00.e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let other = || Some(other.parse().unwrap());
    let world = World::with_values(&["1", "2", "3"]).await;
    let healthy = world.fork();
    forge_log(&world, 2, |record| record.parent = other());
    assert!(matches!(inconsistent(&world).await, (2, Broken::Parent { .. })));
    let world = healthy.fork();
    forge_log(&world, 3, |record| record.nonce = Nonce::from_bytes([7; 16]));
    assert!(matches!(inconsistent(&world).await, (3, Broken::Head)));
    // The head is the last link where its log entry is missing.
    let world = healthy.fork();
    world.memory.remove(&world.item.log_key(nth(3)));
    world.forge_head(|record, _| record.parent = other());
    assert!(matches!(inconsistent(&world).await, (3, Broken::Parent { .. })));
    let world = healthy.fork();
    let name = world.log(1).unwrap().record().name.clone();
    forge_log(&world, 2, |record| record.name = name.clone());
    forge_log(&world, 3, |record| record.parent = Some(name.clone()));
    world.forge_head(|record, _| record.parent = Some(name.clone()));
    assert!(matches!(inconsistent(&world).await, (2, Broken::Order)));
    is_healthy(&healthy).await;
}

#[tokio::test]
async fn a_large_file_whose_bytes_are_gone_is_lost() {
    let world = World::with_files(&[b"1", &large(b'2')]).await;
    let key = world.version_keys().pop().unwrap();
    world.memory.remove(&key);
    match only(&world).await {
        Ailment::BytesLost { key: lost } => assert_eq!(lost, key),
        other => panic!("{other:?}"),
    }
    // The head is not what is wrong with it.
    assert_eq!(restored(&world).await, None);
}

#[tokio::test]
async fn a_head_from_the_future_is_only_told_of() {
    let world = World::with_values(&["1"]).await;
    world.tick(-3_600);
    match only(&world).await {
        Ailment::HeadAhead { seconds } => assert_eq!(seconds, 3_599),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_life_that_ends_is_told_of_by_the_stores_clock() {
    let world = World::environment("api");
    let process = world.process();
    let pairs = [("A", "1")];
    let change = || Change::new(ChangeKind::Upload, Content::Environment(variables(&pairs))).lifetime(Some(1_000));
    let writer = process.writer();
    let written = writer.write(OnConflict::Report, |_| Ok(Decision::Commit(change())));
    assert!(matches!(written.await, Ok(Outcome::Committed(_))));
    let ends = world.memory.now() + 1_000;
    world.tick(799);
    is_healthy(&world).await;
    for (seconds, expected) in [(1, false), (199, false), (1, true), (86_400, true)] {
        world.tick(seconds);
        match only(&world).await {
            Ailment::Expires { at, is_over } => assert_eq!((at.as_unix(), is_over), (ends, expected)),
            other => panic!("{other:?}"),
        }
    }
    process.upload(&[("A", "2")]).await.unwrap();
    is_healthy(&world).await;
}

#[tokio::test]
async fn a_head_below_the_least_number_is_told_of() {
    let world = World::with_values(&["1", "2"]).await;
    let mut process = world.process();
    process.checks.min_version = Some(nth(2));
    assert!(process.access().examine().await.unwrap().ailments.is_empty());
    process.checks.min_version = Some(nth(3));
    let found = process.access().examine().await.unwrap().ailments;
    match &found[..] {
        [Ailment::Distrusted { key, source }] => {
            assert_eq!(key, HEAD);
            let is_too_old = matches!(
                &**source,
                ItemError::Distrusted {
                    source: Distrust::TooOld { .. },
                    ..
                }
            );
            assert!(is_too_old, "{source}");
        }
        _ => panic!("{found:?}"),
    }
}

#[tokio::test]
async fn what_may_not_be_read_does_not_hide_the_rest() {
    let world = World::with_values(&["1", "2", "3"]).await;
    world.memory.remove(&world.item.log_key(nth(3)));
    let reader = world.process();
    for begins in ["get services/api/log/", "head services/api/environment/"] {
        always(&reader.client, begins, denied());
    }
    let found = reader.access().examine().await.unwrap().ailments;
    match &found[..] {
        [
            Ailment::Interrupted { what: "log entry", .. },
            ..,
            Ailment::Unreadable { .. },
        ]
        | [Ailment::Unreadable { .. }, ..] => {}
        _ => panic!("{found:?}"),
    }
    let unreadable = found.iter().find_map(|ailment| match ailment {
        Ailment::Unreadable { key, count, source } => Some((key.clone(), *count, source)),
        _ => None,
    });
    let (key, count, source) = unreadable.unwrap();
    assert_eq!((key, count), (world.item.log_key(nth(1)), 5));
    assert!(matches!(**source, ItemError::Store(_)));
    // What may not be listed, or fails, ends it.
    for (begins, kind) in [("list ", denied()), ("get services/api/log/", ErrorKind::Unavailable)] {
        let reader = world.process();
        always(&reader.client, begins, kind);
        assert!(reader.access().examine().await.is_err(), "{begins}");
    }
}

#[tokio::test]
async fn what_belongs_to_no_item_is_foreign() {
    let world = World::with_values(&["1"]).await;
    let store = &world.memory;
    let foreign = [
        "services/api/README",
        "services/api/files/a b/2026",
        "services/api/head/other",
        "services/api/log/other/00000001",
    ];
    for key in foreign
        .iter()
        .chain(&["services/web/README", "services/api/files/x.pem/2026"])
    {
        store.put_raw(key, b"x", None);
    }
    // An item of which only the log is left is one all the same.
    store.put_raw("services/api/log/file/gone.pem/00000001", b"x", None);
    let (items, found) = survey(&store.client(), world.item.service()).await.unwrap();
    let items: Vec<_> = items.iter().map(|item| item.kind().to_string()).collect();
    assert_eq!(items, ["environment", "file/gone.pem", "file/x.pem"]);
    assert_eq!(found, foreign);
    let (items, found) = survey(&store.client(), &"none".parse().unwrap()).await.unwrap();
    assert!(items.is_empty() && found.is_empty());
}
