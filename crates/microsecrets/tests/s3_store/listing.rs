//! ListObjectsV2.

use microsecrets::store::{ErrorKind, List, Store as _};
use strict_fake::Raw;

use super::*;

fn keys(page: &microsecrets::store::Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}

impl World {
    fn with_keys(keys: &[&str]) -> Self {
        let world = Self::new();
        for key in keys {
            world.fake.put_raw(BUCKET, key, "y", Raw::default());
        }
        world
    }
}

#[tokio::test]
async fn keys_are_listed_in_order_under_a_prefix_and_after_a_key() {
    let world = World::with_keys(&["a/1", "a/2", "a/3", "b/1"]);
    let store = world.store().await;
    let page = store.list(List::prefix("a/")).await.unwrap();
    assert_eq!(keys(&page), ["a/1", "a/2", "a/3"]);
    assert_eq!((page.entries[0].size, page.continuation.is_none()), (1, true));
    assert!((page.date.as_unix() - page.entries[0].modified.as_unix()).abs() < 5);
    let page = store.list(List::prefix("a/").start_after("a/1")).await.unwrap();
    assert_eq!(keys(&page), ["a/2", "a/3"]);
    let page = store.list(List::prefix("c/")).await.unwrap();
    assert!(page.entries.is_empty());
}

#[tokio::test]
async fn a_page_says_where_the_next_one_begins() {
    let world = World::with_keys(&["a/1", "a/2", "a/3"]);
    let store = world.store().await;
    let mut list = List::prefix("a/").start_after("a/0").limit(2);
    let page = store.list(list.clone()).await.unwrap();
    assert_eq!(keys(&page), ["a/1", "a/2"]);
    list.continuation = page.continuation;
    assert!(list.continuation.is_some());
    let page = store.list(list).await.unwrap();
    assert_eq!((keys(&page), page.continuation.is_none()), (vec!["a/3"], true));
}

#[tokio::test]
async fn groups_are_rolled_up_at_a_delimiter() {
    let world = World::with_keys(&["services/api/x", "services/api/y", "services/web/x", "services/z"]);
    let page = world
        .store()
        .await
        .list(List::prefix("services/").delimiter('/'))
        .await
        .unwrap();
    assert_eq!(page.groups, ["services/api/", "services/web/"]);
    assert_eq!(keys(&page), ["services/z"]);
}

#[tokio::test]
async fn odd_keys_are_listed_as_they_are() {
    let odd = ["a/\u{1}", "a/ +%2B", "a/<&>", "a/dots..", "a/ä€", "a/~"];
    let world = World::with_keys(&odd);
    let page = world.store().await.list(List::prefix("a/")).await.unwrap();
    let mut sorted = odd;
    sorted.sort_unstable();
    assert_eq!(keys(&page), sorted);
}

#[tokio::test]
async fn a_listing_that_is_denied_names_the_bucket() {
    let world = World::new();
    let reader = world.fake.principal("AKIAREADER", "the reader's secret", ACCOUNT);
    let error = failed(world.store_of(&reader).await.list(List::prefix("services/api/")).await);
    let ErrorKind::Denied(denial) = &error.kind else {
        panic!("{error}")
    };
    assert_eq!(denial.action.as_deref(), Some("s3:ListBucket"));
    assert_eq!(denial.resource.as_deref(), Some("arn:aws:s3:::example-microsecrets"));
}
