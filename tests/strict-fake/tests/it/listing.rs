//! Lists.

use strict_fake::{Bucket, Raw, StrictFake};

use crate::common::*;

fn filled(keys: &[&str]) -> (StrictFake, S3) {
    let (fake, admin) = fake();
    for key in keys {
        fake.put_raw(BUCKET, key, "1", Raw::default());
    }
    let s3 = s3(&fake, &admin);
    (fake, s3)
}

fn keys(contents: &[aws_sdk_s3::types::Object]) -> Vec<&str> {
    contents.iter().filter_map(|o| o.key()).collect()
}

#[tokio::test]
async fn prefix_start_and_limit() {
    let (_fake, s3) = filled(&["a/1", "a/2", "a/3", "b/1", "ä/1"]);
    let list = || s3.list_objects_v2().bucket(BUCKET);
    let all = list().send().await.expect("list");
    assert_eq!(keys(all.contents()), ["a/1", "a/2", "a/3", "b/1", "ä/1"]);
    assert_eq!((all.key_count(), all.is_truncated()), (Some(5), Some(false)));
    let some = list().prefix("a/").start_after("a/1").send().await.expect("list");
    assert_eq!(keys(some.contents()), ["a/2", "a/3"]);
    let first = list().prefix("a/").max_keys(2).send().await.expect("list");
    assert_eq!(
        (keys(first.contents()), first.is_truncated()),
        (vec!["a/1", "a/2"], Some(true))
    );
    let token = first.next_continuation_token().expect("there is more");
    let rest = list()
        .prefix("a/")
        .max_keys(2)
        .continuation_token(token)
        .send()
        .await
        .expect("list");
    assert_eq!(
        (keys(rest.contents()), rest.next_continuation_token()),
        (vec!["a/3"], None)
    );
    assert_eq!(
        code(list().continuation_token("made up").send().await),
        "InvalidArgument"
    );
    let none = list().prefix("c/").send().await.expect("list");
    assert_eq!((none.key_count(), none.contents().len()), (Some(0), 0));
}

#[tokio::test]
async fn what_a_list_says_of_an_object() {
    let (fake, s3) = filled(&["a"]);
    let list = s3.list_objects_v2().bucket(BUCKET).send().await.expect("list");
    let (listed, object) = (&list.contents()[0], fake.object(BUCKET, "a").expect("there"));
    assert_eq!(listed.e_tag(), Some(format!("\"{}\"", object.etag).as_str()));
    assert_eq!(listed.size(), Some(1));
    let modified = object
        .last_modified
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    assert_eq!(listed.last_modified().map(|t| t.secs().unsigned_abs()), Some(modified));
}

#[tokio::test]
async fn delimiters_make_common_prefixes() {
    let (_fake, s3) = filled(&[
        "services/api/environment/1",
        "services/api/files/a/1",
        "services/web/head/a",
        "x",
    ]);
    let list = s3
        .list_objects_v2()
        .bucket(BUCKET)
        .prefix("services/")
        .delimiter("/")
        .send()
        .await
        .expect("list");
    let prefixes: Vec<_> = list.common_prefixes().iter().filter_map(|p| p.prefix()).collect();
    assert_eq!(prefixes, ["services/api/", "services/web/"]);
    assert_eq!((list.contents().len(), list.key_count()), (0, Some(2)));
}

#[tokio::test]
async fn deleted_objects_are_in_no_list_but_that_of_versions() {
    let (_fake, s3) = filled(&["a", "b"]);
    s3.delete_object().bucket(BUCKET).key("a").send().await.expect("delete");
    put(&s3, "b", b"2").await;
    let list = s3.list_objects_v2().bucket(BUCKET).send().await.expect("list");
    assert_eq!(keys(list.contents()), ["b"]);
    let list = s3.list_object_versions().bucket(BUCKET).send().await.expect("list");
    let versions: Vec<_> = list
        .versions()
        .iter()
        .map(|v| (v.key().unwrap(), v.is_latest().unwrap()))
        .collect();
    assert_eq!(versions, [("a", false), ("b", true), ("b", false)]);
    let markers: Vec<_> = list
        .delete_markers()
        .iter()
        .map(|v| (v.key().unwrap(), v.is_latest().unwrap()))
        .collect();
    assert_eq!(markers, [("a", true)]);
}

#[tokio::test]
async fn versions_come_in_pages() {
    let (_fake, s3) = filled(&["a", "a", "b", "a", "c"]);
    let (mut seen, mut key, mut version) = (vec![], None, None);
    loop {
        let list = s3.list_object_versions().bucket(BUCKET).max_keys(2);
        let list = list
            .set_key_marker(key)
            .set_version_id_marker(version)
            .send()
            .await
            .expect("list");
        seen.extend(list.versions().iter().map(|v| v.key().unwrap().to_owned()));
        if list.is_truncated() != Some(true) {
            break;
        }
        key = list.next_key_marker().map(str::to_owned);
        version = list.next_version_id_marker().map(str::to_owned);
    }
    assert_eq!(seen, ["a", "a", "a", "b", "c"]);
}

#[tokio::test]
async fn the_old_list_is_there_too() {
    let (_fake, s3) = filled(&["a/1", "a/2", "b c", "c"]);
    let list = s3
        .list_objects()
        .bucket(BUCKET)
        .delimiter("/")
        .max_keys(2)
        .encoding_type("url".into());
    let list = list.send().await.expect("list");
    assert_eq!(keys(list.contents()), ["b+c"]);
    assert_eq!(list.common_prefixes()[0].prefix(), Some("a/"));
    assert_eq!((list.is_truncated(), list.next_marker()), (Some(true), Some("b+c")));
    let list = s3
        .list_objects()
        .bucket(BUCKET)
        .marker("b c")
        .send()
        .await
        .expect("list");
    assert_eq!(keys(list.contents()), ["c"]);
}

#[tokio::test]
async fn a_hundred_thousand_keys_are_no_trouble() {
    let fake = StrictFake::builder().bucket(BUCKET, Bucket::default()).start();
    for n in 0..100_000 {
        fake.put_raw(BUCKET, &format!("services/api/environment/{n:06}"), "", Raw::default());
    }
    let s3 = s3(&fake, &fake.admin("AKIAADMIN", "secret", ACCOUNT));
    let list = || s3.list_objects_v2().bucket(BUCKET).prefix("services/");
    let last = list()
        .start_after("services/api/environment/099998")
        .send()
        .await
        .expect("list");
    assert_eq!(keys(last.contents()), ["services/api/environment/099999"]);
    let prefixes = list().delimiter("/").send().await.expect("list");
    assert_eq!((prefixes.key_count(), prefixes.is_truncated()), (Some(1), Some(false)));
    let mut pages = list().into_paginator().send();
    let (mut count, mut requests) = (0, 0);
    while let Some(page) = pages.next().await {
        count += page.expect("a page").contents().len();
        requests += 1;
    }
    assert_eq!((count, requests), (100_000, 100));
}
