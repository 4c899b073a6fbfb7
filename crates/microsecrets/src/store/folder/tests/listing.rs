//! Listings, compared with what they are by definition.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Names whose order as keys differs from their order as folders.
const NAMES: [&str; 8] = ["a", "a-b", "a.b", "a0", "ab", "b", "A", "é"];

fn any_key() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4).prop_map(|names| names.join("/"))
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        any_key(),
        any_key().prop_map(|key| key + "/"),
        any_key().prop_map(|mut key| {
            key.pop();
            key
        }),
        "[ab/.-]{1,4}",
    ]
}

/// Leaves out keys that are folders of others: in a folder both cannot be.
fn possible(keys: BTreeSet<String>) -> BTreeSet<String> {
    let is_folder = |key: &String| {
        let folder = format!("{key}/");
        keys.iter().any(|other| other.starts_with(&folder))
    };
    keys.iter().filter(|key| !is_folder(key)).cloned().collect()
}

/// What S3 defines: keys after the start and with the prefix, in order; what holds the delimiter is rolled up.
fn model(keys: &BTreeSet<String>, request: &List) -> (Vec<String>, Vec<String>) {
    let (mut single, mut groups) = (Vec::new(), Vec::new());
    for key in keys {
        let Some(rest) = key.strip_prefix(&request.prefix) else {
            continue;
        };
        if request.start_after.as_ref().is_some_and(|start| key <= start) {
            continue;
        }
        match request
            .delimiter
            .and_then(|delimiter| Some((rest.find(delimiter)?, delimiter)))
        {
            Some((at, delimiter)) => {
                let end = request.prefix.len() + at + delimiter.len_utf8();
                groups.push(key[..end].to_owned());
            }
            None => single.push(key.clone()),
        }
    }
    groups.dedup();
    (single, groups)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn pages_together_are_what_a_listing_is(
        keys in prop::collection::btree_set(any_key(), 0..24).prop_map(possible),
        prefix in any_text(),
        start_after in prop::option::of(any_text()),
        delimiter in prop::option::of(prop::sample::select(&['/', '-', 'b', 'é'][..])),
        limit in prop::option::of(1_u16..5),
    ) {
        let place = Place::new();
        let store = place.open();
        for key in &keys {
            let path = place.file(key);
            fs::create_dir_all(path.parent().expect("it has one")).expect("folders");
            fs::write(path, key).expect("a file");
        }
        let mut request = List::prefix(prefix);
        (request.start_after, request.delimiter, request.limit) = (start_after, delimiter, limit);
        let (single, groups) = model(&keys, &request);

        let mut listed = (Vec::new(), Vec::new());
        let mut last = String::new();
        loop {
            let page = run(store.list(request.clone())).expect("a page");
            let count = page.entries.len() + page.groups.len();
            prop_assert!(count <= usize::from(limit.unwrap_or(1000)));
            for key in page.entries.iter().map(|entry| &entry.key).chain(&page.groups) {
                prop_assert!(*key > last, "{} comes after {}", key, last);
            }
            last = page.entries.iter().map(|entry| &entry.key).chain(&page.groups).max().cloned().unwrap_or(last);
            listed.0.extend(page.entries.into_iter().map(|entry| entry.key));
            listed.1.extend(page.groups);
            request.continuation = page.continuation;
            if request.continuation.is_none() {
                break;
            }
            // A page that is not the last is full.
            prop_assert_eq!(count, usize::from(limit.unwrap_or(1000)));
        }
        prop_assert_eq!(listed, (single, groups));
    }
}

#[test]
fn an_entry_says_size_and_time_of_its_object() {
    let place = Place::new();
    let store = place.open();
    for size in [0, 1, CHUNK, CHUNK + 1, 200_000] {
        put(&store, &format!("x/{size:06}"), &vec![0; size]);
    }
    let page = run(store.list(List::prefix("x/"))).expect("a page");
    let sizes: Vec<_> = page.entries.iter().map(|entry| entry.size).collect();
    assert_eq!(sizes, [0, 1, CHUNK as u64, CHUNK as u64 + 1, 200_000]);
    for entry in &page.entries {
        assert!((0..60).contains(&(page.date.as_unix() - entry.modified.as_unix())));
    }
}

#[test]
fn the_stores_own_files_are_no_keys() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a", b"x");
    for prefix in ["", ".", ".microsecrets", ".microsecrets/", ".MICROSECRETS/"] {
        let page = run(store.list(List::prefix(prefix))).expect("a page");
        assert!(page.entries.iter().all(|entry| entry.key == "a"), "{prefix}");
    }
    put(&store, "services/.microsecrets", b"x");
    let page = run(store.list(List::prefix("services/."))).expect("a page");
    assert_eq!(keys(&page), ["services/.microsecrets"]);
}

#[test]
fn a_prefix_that_begins_no_key_has_an_empty_listing() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a/b", b"x");
    for prefix in ["/", "//", "../", "a//", "./", "a/../a/", "a/b/", "a/b/c", "b/"] {
        let page = run(store.list(List::prefix(prefix))).expect("a page");
        assert!(page.entries.is_empty() && page.groups.is_empty(), "{prefix}");
    }
}

#[test]
fn an_empty_folder_is_no_group() {
    let place = Place::new();
    let store = place.open();
    put(&store, "services/api/x", b"x");
    put(&store, "services/web/x", b"x");
    delete(&store, "services/api/x", Which::Any).expect("it is deleted");
    let page = run(store.list(List::prefix("services/").delimiter('/'))).expect("a page");
    assert_eq!(page.groups, ["services/web/"]);
}

#[test]
fn a_page_has_at_most_a_thousand_keys() {
    let place = Place::new();
    let store = place.open();
    for number in 0..1001 {
        fs::write(place.dir().join(format!("{number:04}")), "x").expect("a file");
    }
    let page = run(store.list(List::prefix("").limit(5000))).expect("a page");
    assert_eq!(page.entries.len(), 1000);
    assert_eq!(page.continuation.as_deref(), Some("0999"));
    let page = run(store.list(List::prefix("").start_after("0999"))).expect("a page");
    assert_eq!((keys(&page), &page.continuation), (vec!["1000"], &None));
    let page = run(store.list(List::prefix("").limit(0))).expect("a page");
    assert!(page.entries.is_empty() && page.continuation.is_none());
}
