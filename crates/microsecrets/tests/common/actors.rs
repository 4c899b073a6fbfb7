//! Those who are not written yet, or only exist elsewhere, as the design describes them.

use microsecrets::record::MAX_INLINE_FILE;

use super::World;

/// `P`: reads the head first, then removes the bytes of numbers below it, oldest first, keeps their log entries, and
/// without a head refuses. `after_head` runs between the two.
pub(crate) async fn prune(world: &World, after_head: impl AsyncFnOnce()) {
    let head = world.head().expect("without a head prune refuses");
    after_head().await;
    for number in 1..head.record().number.get() {
        if let Some(entry) = world.log(number) {
            world.memory.remove(&world.item.version_key(&entry.record().name));
        }
    }
}

/// `D`: which marked bytes `doctor` offers to remove: those that neither the head nor a log entry names and that are
/// older than the head. `after_head` runs between reading the head and listing.
pub(crate) async fn doctor(world: &World, after_head: impl AsyncFnOnce()) -> Vec<String> {
    let head = world.head().expect("without a head doctor says so");
    let head_written = world.memory.object(&world.item.head_key()).unwrap().modified;
    after_head().await;
    let numbers = 1..head.record().number.get();
    let mut named: Vec<_> = numbers
        .filter_map(|number| world.log(number))
        .map(|entry| entry.record().name.clone())
        .collect();
    named.push(head.record().name.clone());
    let offered = |key: &String| {
        let kept = world.memory.object(key).unwrap();
        let is_named = named.iter().any(|name| world.item.version_key(name) == *key);
        kept.mark.is_some() && kept.bytes.len() as u64 > MAX_INLINE_FILE && !is_named && kept.modified < head_written
    };
    world.version_keys().into_iter().filter(offered).collect()
}
