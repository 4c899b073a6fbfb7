//! Who signed what, as far as a store in memory can show it: what is said of a record that no pinned key signed, what a
//! writer refuses, and the chain of records. (`suite security` has the attackers.)
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs)]

mod common;

use common::examined::*;
use common::*;
use microsecrets::item::*;
use microsecrets::keys::FolderKeys;
use microsecrets::name::VersionName;
use microsecrets::trust::{Distrust, VerifyKey};
use tempfile::TempDir;

/// Two signed versions, the key that signed them, and another one.
async fn two_keys() -> (World, FolderKeys, VerifyKey, VerifyKey, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let keys = FolderKeys::new(folder.path(), "one");
    let (world, public) = signed(&keys).await;
    let (_, other) = signed(&FolderKeys::new(folder.path(), "two")).await;
    (world, keys, public, other, folder)
}

async fn refused(process: &Process) -> Distrust {
    match process.current().await {
        Err(ItemError::Distrusted { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn name(world: &World, number: u64) -> VersionName {
    world.log(number).unwrap().record().name.clone()
}

#[tokio::test]
async fn one_of_the_pinned_keys_must_have_signed() {
    let (world, _keys, public, other, _folder) = two_keys().await;
    let mut both = believer(&world, &other);
    both.checks.verify_keys.push(public.clone());
    assert_eq!(both.current().await.unwrap(), b"A=2");

    let why = refused(&believer(&world, &other)).await;
    let found = public.fingerprint();
    assert_eq!(why, Distrust::OtherSigner { found });
    assert!(why.is_of_signature());

    // A byte of the record is another one; it still says that the pinned key signed it.
    let head = head_of(&world);
    let forged = String::from_utf8_lossy(&head.bytes).replacen("ann@test", "eve@test", 1);
    world
        .memory
        .put_raw(&world.item.head_key(), forged.as_bytes(), head.mark);
    let why = refused(&believer(&world, &public)).await;
    assert!(why == Distrust::BadSignature && why.is_of_signature(), "{why}");

    world.process().upload(&[("A", "3")]).await.unwrap();
    let why = refused(&believer(&world, &public)).await;
    assert!(why == Distrust::Unsigned && why.is_of_signature(), "{why}");
}

#[tokio::test]
async fn a_version_that_is_too_old_is_said_by_its_number() {
    let world = World::with_values(&["1"]).await;
    let mut process = world.process();
    process.checks.min_version = Some(nth(2));
    let why = refused(&process).await;
    assert_eq!(why.to_string(), "it is version 1, but 2 is the least that is accepted");
    assert!(!why.is_of_signature());
}

/// What its own readers would refuse is not written.
#[tokio::test]
async fn who_pins_keys_signs_and_who_signs_pins_the_key() {
    let (world, keys, public, ..) = two_keys().await;
    let process = believer(&world, &public);
    let unsigned = process.upload(&[("A", "3")]).await;
    assert!(matches!(unsigned, Err(ItemError::SignatureNeeded { .. })));
    let process = world.process();
    let mut writer = Writer::new(process.access(), &keys, "", "ann@test");
    writer.sign_with = Some("the folder's".to_owned());
    let not_pinned = writer.write(OnConflict::Report, |_| Ok(Decision::Keep)).await;
    assert!(matches!(not_pinned, Err(ItemError::SignerNotPinned { .. })));
    assert_eq!(world.head_number(), 2);
}

// The chain.

/// The oldest link that does not hold, and what is said of it.
async fn broken(world: &World, first: u64) -> Option<(u64, String)> {
    let process = world.process();
    let verified = process.access().verify_chain(nth(first)).await.unwrap();
    verified.err().map(|bad| (bad.number.get(), bad.broken.to_string()))
}

#[tokio::test]
async fn each_way_in_which_a_link_does_not_hold_is_named() {
    type Damage = fn(&World);
    let ways: [(Damage, u64, &str); 6] = [
        (
            |world| drop(world.memory.remove(&world.item.log_key(nth(2)))),
            2,
            "it has no log entry",
        ),
        (
            |world| world.forge_log(3, |record| record.name = name(world, 1)),
            3,
            "its name does not come after that of the version before",
        ),
        (
            |world| world.forge_log(2, |record| record.parent = Some(name(world, 3))),
            2,
            "its parent is NAME, but the version before is NAME",
        ),
        (
            |world| world.forge_log(1, |record| record.parent = Some(name(world, 3))),
            1,
            "its parent is NAME, but the version before is none",
        ),
        (
            |world| world.forge_log(4, |record| record.user = Some("eve@test".to_owned())),
            4,
            "the head and the log say different things about it",
        ),
        (
            |world| world.memory.put_raw(&world.item.log_key(nth(6)), b"{}", None),
            6,
            "it is in the log, but the head is an older one",
        ),
    ];
    for (damage, number, words) in ways {
        let world = World::with_values(&["1", "2", "3", "4"]).await;
        assert_eq!(broken(&world, 1).await, None);
        damage(&world);
        let (found, said) = broken(&world, 1).await.unwrap();
        let said: Vec<_> = said.split(' ').collect();
        let said = said.iter().map(|word| match word.strip_suffix(',').unwrap_or(word) {
            name if name.starts_with("20") => word.replace(name, "NAME"),
            _ => (*word).to_owned(),
        });
        assert_eq!((found, said.collect::<Vec<_>>().join(" ")), (number, words.to_owned()));
    }
}

/// It is verified from any number on, with the one before it.
#[tokio::test]
async fn a_chain_is_verified_from_its_first_link_on() {
    let world = World::with_values(&["1", "2", "3", "4"]).await;
    let process = world.process();
    for first in 1..=4 {
        let chain = process.access().verify_chain(nth(first)).await.unwrap().unwrap();
        assert_eq!((chain.first, chain.last), (nth(first), nth(4)));
    }
    world.forge_log(2, |record| record.parent = Some(name(&world, 3)));
    let found = |first| {
        let process = &process;
        async move {
            process
                .access()
                .verify_chain(nth(first))
                .await
                .unwrap()
                .map_err(|bad| bad.number)
        }
    };
    assert_eq!(found(1).await.unwrap_err(), nth(2));
    assert_eq!(found(2).await.unwrap_err(), nth(2));
    assert!(found(3).await.is_ok());
}

/// What lies before the first link is not verified, and may be gone; a crash leaves out the newest one's log entry.
#[tokio::test]
async fn a_chain_may_lack_what_lies_before_it_and_its_newest_log_entry() {
    let world = World::with_values(&["1", "2", "3"]).await;
    for number in [1, 3] {
        world.memory.remove(&world.item.log_key(nth(number)));
    }
    assert_eq!(broken(&world, 2).await, None);
    let process = world.process();
    let beyond = process.access().verify_chain(nth(4)).await;
    assert!(matches!(beyond, Err(ItemError::NoSuchNumber { number, .. }) if number == nth(4)));
}

#[tokio::test]
async fn a_link_that_no_pinned_key_signed_does_not_hold() {
    let (world, _keys, public, ..) = two_keys().await;
    let process = believer(&world, &public);
    let chain = process.access().verify_chain(nth(1)).await.unwrap().unwrap();
    assert_eq!((chain.first, chain.last), (nth(1), nth(2)));
    world.forge_log(1, |_| ());
    let bad = process.access().verify_chain(nth(1)).await.unwrap().unwrap_err();
    assert_eq!(bad.number, nth(1));
    let Broken::Entry(error) = &bad.broken else {
        panic!("{}", bad.broken)
    };
    assert!(matches!(
        &**error,
        ItemError::Distrusted {
            source: Distrust::Unsigned,
            ..
        }
    ));
    assert_eq!(
        std::error::Error::source(&bad.broken).unwrap().to_string(),
        Distrust::Unsigned.to_string()
    );
}
