//! Keys are listed in the order of their bytes, all of them, each once.

use std::collections::{BTreeMap, BTreeSet};

use microsecrets::store::{Delete, List, Page, Store, Which};

use crate::put_new;
use crate::worlds::World;

on_every_store!(
    keys_are_listed_in_the_order_of_their_bytes,
    a_listing_begins_after_a_key_whether_it_is_there_or_not,
    an_entry_says_what_the_object_says,
    pages_hold_every_key_once,
    groups_are_rolled_up_at_a_delimiter,
    a_listing_shows_what_was_put_and_not_what_was_deleted,
    a_listing_is_what_a_sorted_map_would_answer,
);

async fn fill(world: &World, store: &dyn Store, keys: &[&str]) {
    for key in keys {
        put_new(store, key, key.as_bytes(), &world.encryption()).await.unwrap();
    }
}

/// All pages of a listing: their keys and groups.
async fn list(store: &dyn Store, request: List) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut groups, mut next) = (Vec::new(), Vec::new(), Some(request));
    while let Some(request) = next.take() {
        let Page {
            entries,
            groups: more,
            continuation,
            ..
        } = store.list(request.clone()).await.unwrap();
        keys.extend(entries.into_iter().map(|entry| entry.key));
        groups.extend(more);
        next = continuation.is_some().then(|| {
            let mut request = request;
            request.continuation = continuation;
            request
        });
    }
    (keys, groups)
}

async fn keys_are_listed_in_the_order_of_their_bytes(world: &World) {
    let store = world.open().await;
    let in_order = [
        "services/api/files/A/1",
        "services/api/files/a+b/1",
        "services/api/files/a-b/1",
        "services/api/files/a.b/1",
        "services/api/files/a/1",
        "services/api/files/a/10",
        "services/api/files/a/2",
        "services/api/files/a@b/1",
        "services/api/files/a_b/1",
        "services/api/files/b/1",
    ];
    let mut scrambled = in_order;
    scrambled.reverse();
    fill(world, &*store, &scrambled).await;
    fill(world, &*store, &["services/api/file", "services/api/filet/1"]).await;
    assert_eq!(list(&*store, List::prefix("services/api/files/")).await.0, in_order);
    assert_eq!(
        list(&*store, List::prefix("services/api/files/a/1")).await.0,
        in_order[4..6]
    );
    assert!(
        list(&*store, List::prefix("services/api/files/c")).await.0.is_empty(),
        "nothing begins so"
    );
}

async fn a_listing_begins_after_a_key_whether_it_is_there_or_not(world: &World) {
    let store = world.open().await;
    let keys = ["x/1", "x/2", "x/3"];
    fill(world, &*store, &keys).await;
    for (after, left) in [
        ("", 3),
        ("w", 3),
        ("x/", 3),
        ("x/1", 2),
        ("x/2-", 1),
        ("x/3", 0),
        ("y", 0),
    ] {
        let listed = list(&*store, List::prefix("x/").start_after(after)).await.0;
        assert_eq!(listed, keys[3 - left..], "after {after}");
    }
}

async fn an_entry_says_what_the_object_says(world: &World) {
    let store = world.open().await;
    put_new(&*store, "x/1", &[7; 70_000], &world.encryption())
        .await
        .unwrap();
    put_new(&*store, "x/2", b"", &world.encryption()).await.unwrap();
    let page = store.list(List::prefix("x/")).await.unwrap();
    for entry in &page.entries {
        let object = store
            .get(microsecrets::store::Get::attributes(&entry.key))
            .await
            .unwrap();
        assert_eq!((entry.size, entry.modified), (object.size, object.modified));
    }
    assert_eq!(page.entries[0].size, 70_000);
}

async fn pages_hold_every_key_once(world: &World) {
    let store = world.open().await;
    let keys: Vec<_> = (1..=7).map(|number| format!("x/{number}")).collect();
    fill(world, &*store, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for limit in [1, 2, 6, 7, 8, 1_000] {
        assert_eq!(list(&*store, List::prefix("x/").limit(limit)).await.0, keys);
        let after = List::prefix("x/").start_after("x/3").limit(limit);
        assert_eq!(list(&*store, after).await.0, keys[3..]);
    }
    let page = store.list(List::prefix("x/").limit(3)).await.unwrap();
    assert_eq!(page.entries.len(), 3);
    assert!(page.continuation.is_some());
    // A page that holds the rest says that there is no more.
    assert!(
        store
            .list(List::prefix("x/").limit(7))
            .await
            .unwrap()
            .continuation
            .is_none()
    );
}

async fn groups_are_rolled_up_at_a_delimiter(world: &World) {
    let store = world.open().await;
    fill(world, &*store, &["s/a/x/1", "s/a/y", "s/a-/z", "s/b", "s/c/1", "t/1"]).await;
    for limit in [1, 2, 1_000] {
        let (keys, groups) = list(&*store, List::prefix("s/").delimiter('/').limit(limit)).await;
        assert_eq!(keys, ["s/b"], "{limit} at once");
        assert_eq!(groups, ["s/a-/", "s/a/", "s/c/"], "{limit} at once");
    }
}

async fn a_listing_shows_what_was_put_and_not_what_was_deleted(world: &World) {
    let (ann, bob) = (world.open().await, world.open().await);
    for round in 0..5 {
        let key = format!("x/{round}");
        put_new(&*ann, &key, b"x", &world.encryption()).await.unwrap();
        assert_eq!(list(&*bob, List::prefix("x/")).await.0, std::slice::from_ref(&key));
        ann.delete(Delete::new(&key, Which::Any)).await.unwrap();
        assert!(list(&*bob, List::prefix("x/")).await.0.is_empty());
    }
}

async fn a_listing_is_what_a_sorted_map_would_answer(world: &World) {
    let mut random = Random::new();
    let store = world.open().await;
    let mut model = BTreeMap::new();
    for _ in 0..60 {
        // Never a key that would be a folder of another key: a folder store has no such two.
        let depth = 1 + random.below(3);
        let mut segments: Vec<_> = (0..depth).map(|_| random.pick(&["a", "a-", "b", "A.", "a+"])).collect();
        segments.push(random.pick(&["1", "2", "10", "9~"]));
        let key = segments.join("/");
        if model.insert(key.clone(), ()).is_none() {
            put_new(&*store, &key, b"x", &world.encryption()).await.unwrap();
        }
    }
    for _ in 0..80 {
        let some_key = model.keys().nth(random.below(model.len())).unwrap().clone();
        let prefix = &some_key[..random.below(some_key.len() + 1)];
        let mut request = List::prefix(prefix).limit(1 + random.below(9) as u16);
        let mut expected: Vec<_> = model.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
        let mut groups = BTreeSet::new();
        if random.below(2) == 0 {
            let after = model.keys().nth(random.below(model.len())).unwrap();
            expected.retain(|key| key > after);
            request = request.start_after(after);
        } else if random.below(2) == 0 {
            request = request.delimiter('/');
            expected.retain(|key| match key[prefix.len()..].split_once('/') {
                Some((name, _)) => {
                    groups.insert(format!("{prefix}{name}/"));
                    false
                }
                None => true,
            });
        }
        let listed = list(&*store, request.clone()).await;
        assert_eq!(
            listed,
            (expected, groups.into_iter().collect()),
            "{request:?}, seed {}",
            random.seed
        );
    }
}

/// Numbers that follow from a seed, which a failing test prints.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Self {
        let nonce = microsecrets::name::Nonce::random().to_string();
        let seed = u64::from_str_radix(&nonce[..16], 16).unwrap() | 1;
        Self { seed, state: seed }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as usize % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}
