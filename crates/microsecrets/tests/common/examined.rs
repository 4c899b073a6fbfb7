//! What an examination found, and the repairs of it.

use microsecrets::item::*;
use microsecrets::keys::{FolderKeys, Keys as _};
use microsecrets::record::ChangeKind;
use microsecrets::store::Mark;
use microsecrets::store::memory::{Fault, Kept, When};
use microsecrets::trust::VerifyKey;

use super::{Process, World, large, variables};

/// Everything that is wrong, as the debugger shows it without what is in the variants' parts.
pub(crate) async fn ailments(world: &World) -> Vec<Ailment> {
    world.process().access().examine().await.unwrap().ailments
}

/// The names of the ailments.
pub(crate) async fn names(world: &World) -> Vec<String> {
    let ailments = ailments(world).await;
    let name = |ailment: &Ailment| format!("{ailment:?}").split([' ', '{']).next().unwrap().to_owned();
    ailments.iter().map(name).collect()
}

pub(crate) async fn is_healthy(world: &World) {
    let found = ailments(world).await;
    assert!(found.is_empty(), "{found:?}");
}

/// The one ailment there is.
pub(crate) async fn only(world: &World) -> Ailment {
    let mut found = ailments(world).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Why the one object that is not believed is not. What it says of others is then not known.
pub(crate) async fn distrusted(world: &World, wanted: &str) -> ItemError {
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

pub(crate) async fn complete(world: &World) {
    assert!(world.process().writer().complete_interrupted().await.unwrap());
}

/// Puts back what can be; the number that is current then.
pub(crate) async fn restored(world: &World) -> Option<u64> {
    let process = world.process();
    let restorable = process.access().restorable().await.unwrap()?;
    assert!(process.access().put_back(&restorable).await.unwrap());
    assert_eq!(world.head_number(), restorable.record().number.get());
    Some(world.head_number())
}

/// All objects, with their bytes and marks.
pub(crate) fn objects(world: &World) -> Vec<(String, Vec<u8>, Option<Mark>)> {
    let objects = world.memory.snapshot().into_iter();
    objects
        .map(|(key, kept)| (key, kept.bytes.to_vec(), kept.mark))
        .collect()
}

pub(crate) fn head_of(world: &World) -> Kept {
    world.memory.object(&world.item.head_key()).unwrap()
}

/// The bytes of a file whose writer died before it committed them; and what was committed since, later.
pub(crate) async fn with_orphan() -> (World, String) {
    let world = World::with_files(&[b"1"]).await;
    let dead = world.process();
    dead.client.plan(When::Begins(world.put_head()), Fault::CrashBefore);
    dead.upload_file(&large(b'x')).await.unwrap_err();
    let orphan = world.version_keys().pop().unwrap();
    (world, orphan)
}

/// A world whose environment has two signed versions, and the key that its readers pin.
pub(crate) async fn signed(keys: &FolderKeys) -> (World, VerifyKey) {
    keys.create_signing_key().unwrap();
    let public = VerifyKey::from_spki(&keys.public_key("").await.unwrap()).unwrap();
    let world = World::environment("api");
    for value in ["1", "2"] {
        sign(&world, keys, &public, value).await;
        world.tick(1);
    }
    (world, public)
}

pub(crate) async fn sign(world: &World, keys: &FolderKeys, public: &VerifyKey, value: &str) {
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

pub(crate) fn believer(world: &World, public: &VerifyKey) -> Process {
    let mut process = world.process();
    process.checks.verify_keys = vec![public.clone()];
    process
}
