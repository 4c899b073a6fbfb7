//! What `doctor` finds in an item's objects, and how it mends it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::keys::{FolderKeys, Keys as _};
use microsecrets::name::Nonce;
use microsecrets::record::{ChangeKind, Record, RecordError, SignedRecord};
use microsecrets::store::memory::{Fault, Kept, When};
use microsecrets::store::{Encryption, ErrorKind, Mark};
use microsecrets::trust::{Distrust, VerifyKey};
use tokio::sync::Notify;

const HEAD: &str = "services/api/head/environment";

/// Everything that is wrong, as the debugger shows it without what is in the variants' parts.
async fn ailments(world: &World) -> Vec<Ailment> {
    world.process().access().examine().await.unwrap().ailments
}

/// The names of the ailments.
async fn names(world: &World) -> Vec<String> {
    let ailments = ailments(world).await;
    let name = |ailment: &Ailment| format!("{ailment:?}").split([' ', '{']).next().unwrap().to_owned();
    ailments.iter().map(name).collect()
}

async fn is_healthy(world: &World) {
    let found = ailments(world).await;
    assert!(found.is_empty(), "{found:?}");
}

/// The one ailment there is.
async fn only(world: &World) -> Ailment {
    let mut found = ailments(world).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Why the one object that is not believed is not. What it says of others is then not known.
async fn distrusted(world: &World, wanted: &str) -> ItemError {
    let mut found = ailments(world).await;
    found.retain(|ailment| !matches!(ailment, Ailment::Unnamed { .. }));
    match found.pop() {
        Some(Ailment::Distrusted { key, source }) if found.is_empty() => {
            assert_eq!(key, wanted);
            *source
        }
        other => panic!("{found:?} {other:?}"),
    }
}

async fn complete(world: &World) {
    assert!(world.process().writer().complete_interrupted().await.unwrap());
}

/// Puts back what can be; the number that is current then.
async fn restored(world: &World) -> Option<u64> {
    let process = world.process();
    let restorable = process.access().restorable().await.unwrap()?;
    assert!(process.access().put_back(&restorable).await.unwrap());
    assert_eq!(world.head_number(), restorable.record().number.get());
    Some(world.head_number())
}

/// All objects, with their bytes and marks.
fn objects(world: &World) -> Vec<(String, Vec<u8>, Option<Mark>)> {
    let objects = world.memory.snapshot().into_iter();
    objects
        .map(|(key, kept)| (key, kept.bytes.to_vec(), kept.mark))
        .collect()
}

fn head_of(world: &World) -> Kept {
    world.memory.object(&world.item.head_key()).unwrap()
}

/// The bytes of a file whose writer died before it committed them; and what was committed since, later.
async fn with_orphan() -> (World, String) {
    let world = World::with_files(&[b"1"]).await;
    let dead = world.process();
    dead.client.plan(When::Begins(world.put_head()), Fault::CrashBefore);
    dead.upload_file(&large(b'x')).await.unwrap_err();
    let orphan = world.version_keys().pop().unwrap();
    (world, orphan)
}

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

/// A world whose environment has two signed versions, and the key that its readers pin.
async fn signed(keys: &FolderKeys) -> (World, VerifyKey) {
    keys.create_signing_key().unwrap();
    let public = VerifyKey::from_spki(&keys.public_key("").await.unwrap()).unwrap();
    let world = World::environment("api");
    for value in ["1", "2"] {
        sign(&world, keys, &public, value).await;
        world.tick(1);
    }
    (world, public)
}

async fn sign(world: &World, keys: &FolderKeys, public: &VerifyKey, value: &str) {
    let mut process = world.process();
    process.checks.verify_keys = vec![public.clone()];
    let mut writer = Writer::new(process.access(), keys, "", "ann@test");
    writer.sign_with = Some("the folder's".to_owned());
    let pairs = [("A", value)];
    let change = || Change::new(ChangeKind::Upload, Content::Environment(variables(&pairs)));
    let written = writer
        .write(OnConflict::Report, |_| Ok(Decision::Commit(change())))
        .await;
    assert!(matches!(written, Ok(Outcome::Committed(_))));
}

fn believer(world: &World, public: &VerifyKey) -> Process {
    let mut process = world.process();
    process.checks.verify_keys = vec![public.clone()];
    process
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
async fn a_forged_head_gives_way_to_the_record_that_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FolderKeys::new(folder.path(), "one");
    let (world, public) = signed(&keys).await;
    let before = head_of(&world);
    let process = believer(&world, &public);
    assert!(process.access().restorable().await.unwrap().is_none());
    // The forger's head says the same number.
    world.forge_head(|record, _| record.user = Some("eve@evil".to_owned()));
    let restorable = process.access().restorable().await.unwrap().unwrap();
    assert!(process.access().put_back(&restorable).await.unwrap());
    assert_eq!(head_of(&world).bytes, before.bytes);
    assert!(process.access().examine().await.unwrap().ailments.is_empty());
    // A commit that was not signed is not taken back: the log has it.
    world.process().upload(&[("A", "3")]).await.unwrap();
    assert!(process.access().restorable().await.unwrap().is_none());
    // Nor is it put back when the head is gone; what is signed is, though the log goes further.
    world.memory.remove(HEAD);
    let restorable = process.access().restorable().await.unwrap().unwrap();
    assert_eq!(restorable.record().number, nth(2));
}

// Interrupted writes.

#[derive(Clone, Copy, Debug)]
enum Kind {
    Environment,
    File(usize),
}

impl Kind {
    fn world(self) -> World {
        match self {
            Self::Environment => World::environment("api"),
            Self::File(_) => World::file("api", "tls.pem"),
        }
    }

    async fn write(self, process: &Process, tag: u8) -> Result<Committed, ItemError> {
        match self {
            Self::Environment => process.upload(&[("A", &tag.to_string())]).await,
            Self::File(size) => process.upload_file(&vec![tag; size]).await,
        }
    }
}

#[tokio::test]
async fn every_interrupted_write_can_be_completed() {
    for kind in [Kind::Environment, Kind::File(0), Kind::File(9), Kind::File(LARGE)] {
        for versions in 0..2 {
            let world = kind.world();
            for tag in 0..versions {
                kind.write(&world.process(), tag).await.unwrap();
                world.tick(1);
            }
            let undisturbed = world.fork().process();
            kind.write(&undisturbed, 7).await.unwrap();
            let mut interrupted = 0;
            for request in 1..=undisturbed.client.log().len() {
                for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                    let world = world.fork();
                    let process = world.process();
                    process.client.plan(When::Request(request), fault);
                    kind.write(&process, 7).await.ok();
                    interrupted += usize::from(completes(kind, &world).await);
                }
            }
            assert!(interrupted > 2, "{kind:?}: {interrupted}");
        }
    }
}

/// Completes what was interrupted, which changes nothing that is there; whether anything was.
async fn completes(kind: Kind, world: &World) -> bool {
    let (before, number) = (objects(world), world.head_number());
    let found = names(world).await;
    let interrupted = found.iter().any(|name| name == "Interrupted");
    // The bytes of a large file are put first; without a head nobody knows more.
    let may_be = |name: &String| match name.as_str() {
        "Interrupted" => number > 0,
        "Unnamed" => matches!(kind, Kind::File(LARGE)),
        "HeadRefused" => matches!(kind, Kind::File(LARGE)) && number == 0,
        _ => false,
    };
    assert!(found.iter().all(may_be), "{kind:?} {found:?}");
    assert_eq!(objects(world), before, "something was written");
    assert_eq!(
        world.process().writer().complete_interrupted().await.unwrap(),
        number > 0
    );
    let after = objects(world);
    assert!(before.iter().all(|object| after.contains(object)));
    assert_eq!(after.len() > before.len(), interrupted);
    let found = names(world).await;
    assert!(!found.iter().any(|name| name == "Interrupted"), "{found:?}");
    if number > 0 {
        assert!(world.log(number).is_some());
        world.process().current().await.unwrap();
    }
    interrupted
}

#[tokio::test]
async fn completing_adopts_nothing_and_signs_nothing() {
    let world = World::with_values(&["1"]).await;
    world.memory.remove(&world.item.log_key(nth(1)));
    let legacy = world.legacy_ahead(1, &legacy_document(&[("A", "0")]));
    let found = names(&world).await;
    assert_eq!(found, ["Interrupted", "Unseen"]);
    complete(&world).await;
    assert_eq!(world.head_number(), 1);
    match only(&world).await {
        Ailment::Unseen { key } => assert_eq!(key, legacy),
        other => panic!("{other:?}"),
    }
    world.process().upload(&[("A", "2")]).await.unwrap();
    assert_eq!(names(&world).await, ["Migration"]);
    // Nor is anything put for a head that no pinned key has signed: what the log says is for ever.
    world.memory.remove(&world.item.log_key(nth(3)));
    let folder = tempfile::tempdir().unwrap();
    let keys = FolderKeys::new(folder.path(), "one");
    keys.create_signing_key().unwrap();
    let public = VerifyKey::from_spki(&keys.public_key("").await.unwrap()).unwrap();
    let completed = believer(&world, &public).writer().complete_interrupted().await;
    assert!(matches!(
        completed,
        Err(ItemError::Distrusted {
            source: Distrust::Unsigned,
            ..
        })
    ));
    assert!(world.log(3).is_none());
}

#[tokio::test]
async fn completing_beside_a_writer_loses_nothing() {
    for is_log in [true, false] {
        let world = World::with_values(&["1"]).await;
        let key = match is_log {
            true => world.item.log_key(nth(1)),
            false => world.version_keys().remove(0),
        };
        world.memory.remove(&key);
        let doctor = world.process();
        let hold = doctor.client.hold(&format!("put {key}"));
        let (completed, uploaded) = together(doctor.writer().complete_interrupted(), async {
            hold.reached().await;
            let done = world.process().set("B", "2").await;
            hold.release();
            done
        })
        .await;
        (completed.unwrap(), uploaded.unwrap());
        is_healthy(&world).await;
    }
}

// The head.

#[tokio::test]
async fn a_head_that_is_gone_or_refused_is_put_back_exactly() {
    let folder = World::with_files(&[b"1", &large(b'2')]).await;
    let deleted = World::with_values(&["1", "2"]).await;
    deleted.process().delete().await.unwrap();
    let adopted = World::environment("api");
    adopted.legacy(&legacy_document(&[("A", "0")]));
    adopted.process().set("A", "0").await.ok();
    for world in [
        World::with_values(&["1"]).await,
        World::with_values(&["1", "2", "3"]).await,
        World::with_files(&[b"1", b""]).await,
        folder,
        deleted,
        adopted,
    ] {
        let (key, before) = (world.item.head_key(), head_of(&world));
        let number = world.head_number();
        let healthy = names(&world).await;
        let garbage = |bytes: &[u8]| world.memory.put_raw(&key, bytes, None);
        let other_item = World::environment("other");
        other_item.process().upload(&[("A", "evil")]).await.unwrap();
        let foreign = head_of(&other_item).bytes;
        let damages: [&dyn Fn(); 6] = [
            &|| drop(world.memory.remove(&key)),
            &|| garbage(b""),
            &|| garbage(b"garbage\n-\n"),
            &|| garbage(&foreign),
            &|| world.memory.insert_raw(&key, &before.bytes, None, Encryption::None),
            &|| {
                let mut bytes = before.bytes.to_vec();
                bytes.push(b'x');
                garbage(&bytes);
            },
        ];
        for damage in damages {
            damage();
            let found = names(&world).await;
            assert!(found.contains(&"HeadRefused".to_owned()), "{found:?}");
            assert!(world.process().current().await.is_err());
            assert_eq!(restored(&world).await, Some(number));
            assert_eq!(head_of(&world).bytes, before.bytes);
            assert_eq!(names(&world).await, healthy);
        }
    }
}

#[tokio::test]
async fn the_newest_version_that_is_whole_is_put_back() {
    let world = World::with_values(&["1", "2", "3", "4"]).await;
    let keys = world.version_keys();
    world.memory.remove(HEAD);
    // The bytes of 4 are gone, those of 3 are others, those of 2 were put by somebody else.
    world.memory.remove(&keys[3]);
    let third = world.memory.object(&keys[2]).unwrap();
    world.memory.put_raw(&keys[2], b"evil", third.mark);
    let second = world.memory.object(&keys[1]).unwrap();
    world.memory.put_raw(&keys[1], &second.bytes, our_mark());
    assert_eq!(restored(&world).await, Some(1));
    assert_eq!(world.process().current().await.unwrap(), b"A=1");
    // Writers still refuse, since the log goes on: that is for a person.
    assert!(names(&world).await.contains(&"HeadOutdated".to_owned()));
    assert!(matches!(
        world.process().upload(&[("A", "5")]).await,
        Err(ItemError::HeadOutdated { .. })
    ));
    assert_eq!(restored(&world).await, None);
    // Without any bytes there is nothing to put back.
    world.memory.remove(HEAD);
    keys.iter().for_each(|key| drop(world.memory.remove(key)));
    assert_eq!(restored(&world).await, None);
    assert_eq!(names(&world).await, ["HeadRefused"]);
}

#[tokio::test]
async fn a_head_that_is_older_than_the_log_is_brought_forward() {
    for world in [World::with_values(&["1"]).await, World::with_files(&[b"1"]).await] {
        let old = head_of(&world);
        for tag in 2..4 {
            match world.item.is_file() {
                true => drop(world.process().upload_file(&large(tag)).await.unwrap()),
                false => drop(world.process().upload(&[("A", "2")]).await.unwrap()),
            }
            world.tick(1);
        }
        let new = head_of(&world);
        world.memory.restore(&world.item.head_key(), old);
        assert!(names(&world).await.contains(&"HeadOutdated".to_owned()));
        assert_eq!(restored(&world).await, Some(3));
        assert_eq!(head_of(&world).bytes, new.bytes);
        is_healthy(&world).await;
    }
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

#[tokio::test]
async fn a_repair_of_the_head_loses_to_whoever_was_first() {
    for gone in [true, false] {
        let world = World::with_values(&["1", "2"]).await;
        let good = head_of(&world);
        match gone {
            true => drop(world.memory.remove(HEAD)),
            false => world.memory.put_raw(HEAD, b"garbage", None),
        }
        let (one, other) = (world.process(), world.process());
        let ones = one.access().restorable().await.unwrap().unwrap();
        // Somebody puts it back by hand, and somebody commits.
        world.memory.restore(HEAD, good);
        other.upload(&[("A", "3")]).await.unwrap();
        let before = objects(&world);
        assert!(!one.access().put_back(&ones).await.unwrap());
        assert_eq!(objects(&world), before);
        assert!(one.access().restorable().await.unwrap().is_none());
        // Two doctors: the second finds what the first has put.
        world.memory.remove(HEAD);
        let (ones, others) = (one.access(), other.access());
        let (ones, others) = (ones.restorable().await.unwrap(), others.restorable().await.unwrap());
        for (process, restorable) in [(&one, ones), (&other, others)] {
            assert!(process.access().put_back(&restorable.unwrap()).await.unwrap());
        }
        is_healthy(&world).await;
        assert_eq!(world.head_number(), 3);
    }
}

#[tokio::test]
async fn a_repair_whose_answer_is_lost_is_found_to_be_done() {
    let world = World::with_values(&["1", "2"]).await;
    world.memory.remove(HEAD);
    let doctor = world.process();
    doctor.client.plan(When::Begins(world.put_head()), Fault::LoseAnswer);
    let restorable = doctor.access().restorable().await.unwrap().unwrap();
    assert!(doctor.access().put_back(&restorable).await.unwrap());
    is_healthy(&world).await;
    // A head that nobody can read since is no success.
    world.memory.put_raw(HEAD, b"garbage", None);
    assert!(!doctor.access().put_back(&restorable).await.unwrap());
}

#[tokio::test]
async fn what_is_committed_between_the_look_and_the_repair_stays() {
    let world = World::with_values(&["1", "2"]).await;
    let good = head_of(&world);
    world.memory.put_raw(HEAD, b"garbage", None);
    let doctor = world.process();
    // When the log was read, the head is put back and a third version is committed, whose record the doctor does not have.
    let hold = doctor.client.hold(&format!("list {}", world.item.versions_prefix()));
    let access = doctor.access();
    let (restorable, ()) = together(access.restorable(), async {
        hold.reached().await;
        world.memory.restore(HEAD, good);
        world.process().upload(&[("A", "3")]).await.unwrap();
        hold.release();
    })
    .await;
    assert!(restorable.unwrap().is_none());
    assert_eq!(world.process().current().await.unwrap(), b"A=3");
}

#[tokio::test]
async fn what_a_newer_program_wrote_is_left_to_it() {
    let newer = |kept: &Kept| {
        String::from_utf8(kept.bytes.to_vec())
            .unwrap()
            .replacen("\"format\":1", "\"format\":2", 1)
    };
    let world = World::with_values(&["1", "2"]).await;
    for key in [HEAD.to_owned(), world.item.log_key(nth(2))] {
        let before = world.memory.object(&key).unwrap();
        let text = newer(&before);
        assert!(text.contains("\"format\":2"), "{text}");
        world.memory.put_raw(&key, text.as_bytes(), None);
        let process = world.process();
        let is_newer = |error: &ItemError| {
            matches!(
                error,
                ItemError::Record {
                    source: RecordError::Newer { .. },
                    ..
                }
            )
        };
        assert!(is_newer(&process.access().examine().await.unwrap_err()));
        assert!(process.access().restorable().await.is_err_and(|error| is_newer(&error)));
        world.memory.restore(&key, before);
    }
    is_healthy(&world).await;
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

// Orphans.

#[tokio::test]
async fn the_bytes_of_a_dead_writer_are_found_and_removed() {
    let (world, orphan) = with_orphan().await;
    match only(&world).await {
        Ailment::Unnamed { key, .. } => assert_eq!(key, orphan, "it may still be committed"),
        other => panic!("{other:?}"),
    }
    assert!(!world.process().access().remove_orphan(&orphan).await.unwrap());
    world.tick(60);
    world.process().upload_file(b"2").await.unwrap();
    match only(&world).await {
        Ailment::Orphan { key, size } => assert_eq!((&key, size), (&orphan, LARGE as u64)),
        other => panic!("{other:?}"),
    }
    let others: Vec<_> = world.version_keys().into_iter().filter(|key| *key != orphan).collect();
    for other in &others {
        assert!(!world.process().access().remove_orphan(other).await.unwrap(), "{other}");
    }
    assert!(world.process().access().remove_orphan(&orphan).await.unwrap());
    assert_eq!(world.version_keys(), others);
    is_healthy(&world).await;
    assert!(!world.process().access().remove_orphan(&orphan).await.unwrap());
}

#[tokio::test]
async fn bytes_that_may_still_be_committed_are_no_orphan() {
    let world = World::with_files(&[b"1"]).await;
    let a = world.process();
    let (done, found) = world
        .before_commit(&a, a.upload_file(&large(b'a')), async {
            world.tick(86_400);
            let found = names(&world).await;
            assert!(
                !world
                    .process()
                    .access()
                    .remove_orphan(&world.version_keys()[1])
                    .await
                    .unwrap()
            );
            found
        })
        .await;
    assert_eq!(found, ["Unnamed"]);
    assert_eq!(number(&done.unwrap()), 2);
    assert_eq!(world.process().current().await.unwrap(), large(b'a'));
}

#[tokio::test]
async fn bytes_that_are_committed_while_they_are_looked_at_stay() {
    let world = World::with_files(&[b"1"]).await;
    let prefix = world.item.versions_prefix();
    for line in [format!("list {prefix}"), format!("head {prefix}")] {
        world.tick(60);
        let (a, doctor) = (world.process(), world.process());
        let (commit, looking) = (a.client.hold(&world.put_head()), doctor.client.hold(&line));
        let (committed, bytes) = (Notify::new(), large(b'a'));
        let upload = async {
            let done = a.upload_file(&bytes).await.unwrap();
            committed.notify_one();
            done
        };
        let (done, removed) = together(upload, async {
            commit.reached().await;
            // The head is older than these bytes; when it is read anew it is younger, and names them.
            world.tick(60);
            let key = world.version_keys().pop().unwrap();
            let access = doctor.access();
            let meanwhile = async {
                looking.reached().await;
                commit.release();
                committed.notified().await;
                looking.release();
            };
            together(access.remove_orphan(&key), meanwhile).await.0.unwrap()
        })
        .await;
        assert!(!removed);
        assert_eq!(world.head_number(), number(&done));
        assert_eq!(
            world.process().current().await.unwrap(),
            bytes,
            "{line}: the current version is gone"
        );
    }
}

#[tokio::test]
async fn without_every_record_nothing_is_an_orphan() {
    let (world, _) = with_orphan().await;
    world.tick(60);
    for content in [b"2", b"3"] {
        world.process().upload_file(content).await.unwrap();
        world.tick(60);
    }
    assert_eq!(names(&world).await, ["Orphan"]);
    for number in [1, 2] {
        let key = world.item.log_key(nth(number));
        let before = world.memory.remove(&key).unwrap();
        assert_eq!(names(&world).await.iter().filter(|name| *name == "Orphan").count(), 0);
        world.memory.put_raw(&key, b"garbage", None);
        assert_eq!(names(&world).await.iter().filter(|name| *name == "Orphan").count(), 0);
        world.memory.restore(&key, before);
    }
    // The newest record is the head's own.
    world.memory.remove(&world.item.log_key(nth(3)));
    assert_eq!(names(&world).await, ["Interrupted", "Orphan"]);
    // A head that was put back is younger than its commit.
    let (world, orphan) = with_orphan().await;
    world.tick(60);
    let head = head_of(&world).bytes;
    world.memory.put_raw(&world.item.head_key(), &head, None);
    match only(&world).await {
        Ailment::Unnamed { key, .. } => assert_eq!(key, orphan),
        other => panic!("{other:?}"),
    }
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
    let error = distrusted(&world, &first).await;
    assert!(
        matches!(
            error,
            ItemError::Distrusted {
                source: Distrust::Encryption { .. },
                ..
            }
        ),
        "{error}"
    );
    again();
    for mark in [None, our_mark(), Some(Mark::Malformed)] {
        world.memory.put_raw(&first, &kept(&first).bytes, mark);
        let error = distrusted(&world, &first).await;
        assert!(
            matches!(
                error,
                ItemError::Distrusted {
                    source: Distrust::OtherCommit,
                    ..
                }
            ),
            "{error}"
        );
    }
    world.memory.put_raw(&first, b"shorter", kept(&first).mark);
    let error = distrusted(&world, &first).await;
    assert!(
        matches!(
            error,
            ItemError::Distrusted {
                source: Distrust::Checksum { .. },
                ..
            }
        ),
        "{error}"
    );
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
    let error = distrusted(&world, &log).await;
    assert!(
        matches!(
            error,
            ItemError::Distrusted {
                source: Distrust::OtherNumber { .. },
                ..
            }
        ),
        "{error}"
    );
    world.memory.insert_raw(&log, &kept(&log).bytes, None, Encryption::None);
    let error = distrusted(&world, &log).await;
    assert!(
        matches!(
            error,
            ItemError::Distrusted {
                source: Distrust::Encryption { .. },
                ..
            }
        ),
        "{error}"
    );
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

// What is tried.

#[tokio::test]
async fn the_right_to_write_is_tried_without_writing() {
    let world = World::with_values(&["1", "2"]).await;
    let before = objects(&world);
    let may = async |process: &Process| process.access().may_write().await;
    assert_eq!(may(&world.process()).await.unwrap(), MayWrite::Yes);
    let reader = world.process();
    always(&reader.client, "put ", denied());
    let error = may(&reader).await.unwrap_err();
    assert!(matches!(error, ItemError::Store(error) if matches!(error.kind, ErrorKind::Denied(_))));
    assert_eq!(objects(&world), before);
    world.memory.ignore_conditions(true);
    assert_eq!(may(&world.process()).await.unwrap(), MayWrite::ConditionIgnored);
    assert_eq!(objects(&world), before);
    assert_eq!(
        may(&World::environment("web").process()).await.unwrap(),
        MayWrite::NoHead
    );
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
