//! What the protocol says when it does not do what was asked: which error it is, and the words of it.
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::secret::SecretString;
use microsecrets::store::ErrorKind;

fn edits(world: &World, name: &str, value: Option<&str>) -> Edits {
    let value = value.map(|value| SecretString::new(value.to_owned()));
    Edits::new(world.item.clone(), vec![(name.to_owned(), value)])
}

#[track_caller]
fn says<T>(result: Result<T, ItemError>, words: &str) {
    let error = result.err().expect("it was refused").to_string();
    // Times differ.
    let shown: Vec<_> = error.split(' ').filter(|word| !word.starts_with("20")).collect();
    assert_eq!(shown.join(" "), words);
}

#[tokio::test]
async fn a_variable_that_must_be_there_is_missed() {
    let world = World::with_values(&["1"]).await;
    let process = world.process();
    let missing = edits(&world, "NOPE", None).must_exist();
    says(
        process.apply(missing).await,
        "the environment of api has no variable NOPE",
    );
    // Nothing that may be a secret in the place of a name is shown.
    let secret = edits(&world, "c2VjcmV0/+", None).must_exist();
    says(
        process.apply(secret).await,
        "the environment of api does not have that variable, whose name no shell can export",
    );
    // One that is there is removed, and one that only has to go may be gone already.
    assert!(matches!(
        process.apply(edits(&world, "A", None).must_exist()).await,
        Ok(Outcome::Committed(_))
    ));
    let gone = process.apply(edits(&world, "A", None)).await;
    assert!(matches!(gone, Ok(Outcome::Kept { .. })));
}

#[tokio::test]
async fn a_variable_of_a_deleted_environment_is_not_there() {
    let world = World::with_values(&["1"]).await;
    let process = world.process();
    process.delete().await.unwrap();
    says(
        process.apply(edits(&world, "A", None).must_exist()).await,
        "the environment of api was deleted at by ann@test",
    );
}

#[tokio::test]
async fn no_edits_are_empty_and_one_is_not() {
    let world = World::with_values(&["1"]).await;
    assert!(Edits::new(world.item.clone(), Vec::new()).is_empty());
    assert!(!edits(&world, "A", None).is_empty());
}

#[tokio::test]
async fn a_clash_names_the_variable_and_who_was_first() {
    for (name, shown) in [("A", "A"), ("c2VjcmV0/+", "a variable whose name no shell can export")] {
        let world = World::with_values(&["1"]).await;
        let (ann, bob) = (world.process(), world.process());
        let work = ann.apply(edits(&world, name, Some("ann")));
        let (outcome, _) = world
            .before_commit(&ann, work, async { bob.set(name, "bob").await.unwrap() })
            .await;
        let words = format!(
            "{shown} of the environment of api was changed by this command and, to another value, by somebody else; \
             the last change is version 2 by ann@test at (set)"
        );
        says(outcome, &words);
    }
}

#[test]
fn an_unexpected_version_is_said_as_what_it_is() {
    let world = World::environment("api");
    let other = |current, deleted| -> Result<(), _> {
        let item = world.item.clone();
        let wanted = 3;
        Err(ItemError::OtherVersion {
            item,
            wanted,
            current,
            deleted,
        })
    };
    let begins = "the environment of api is expected at version 3, but";
    says(other(0, false), &format!("{begins} there is none"));
    says(other(4, false), &format!("{begins} version 4 is current"));
    says(other(4, true), &format!("{begins} version 4, a deletion, is current"));
}

#[tokio::test]
async fn a_denied_head_is_absent_only_when_the_listing_says_so() {
    let world = World::with_values(&["1"]).await;
    let read = async |listing: Option<ErrorKind>| {
        let process = world.process();
        always(&process.client, "get services/api/head/", denied());
        if let Some(kind) = listing {
            always(&process.client, "list ", kind);
        }
        process.read().await.unwrap_err()
    };
    // The head is listed: the refusal means what it says.
    assert!(matches!(read(None).await, ItemError::Store(error) if error.kind == denied()));
    // Nobody may list: S3 does not say.
    assert!(matches!(read(Some(denied())).await, ItemError::DeniedOrAbsent { .. }));
    // A listing that fails for another reason is that reason: it passes, and the right to list may well be there.
    let failed = read(Some(ErrorKind::Unavailable)).await;
    assert!(matches!(failed, ItemError::Store(error) if error.kind == ErrorKind::Unavailable));
}

/// Where a later version is known to have been, all was removed, or this is another place.
#[tokio::test]
async fn nothing_is_begun_where_a_later_version_was() {
    for (least, begins) in [(1, true), (2, false)] {
        let world = World::environment("api");
        let mut process = world.process();
        process.checks.min_version = Some(nth(least));
        match process.upload(&[("A", "1")]).await {
            Ok(_) => assert!(begins, "{least}"),
            Err(ItemError::NoSuchNumber { number, .. }) => assert!(!begins && number == nth(least), "{least}"),
            Err(error) => panic!("{error}"),
        }
    }
}
