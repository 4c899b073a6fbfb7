//! What a command costs does not depend on how long the history is.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use fake::{BUCKET, Place};
use microsecrets::document::Variables;
use microsecrets::item::{Access, Base, Change, Content, Decision, OnConflict, Writer};
use microsecrets::keys::FolderKeys;
use microsecrets::layout::Item;
use microsecrets::record::ChangeKind;
use microsecrets::secret::SecretString;
use microsecrets::store::Mark;
use microsecrets::store::memory::Memory;
use microsecrets::trust::{Checks, RequiredEncryption};
use strict_fake::{Raw, Sse};

const FEW: u32 = 10;
const MANY: u32 = 10_000;

/// A place where the environment of `api` has so many versions. They are committed to memory, one a second until now,
/// and put into the bucket as they are: over the network that would take minutes.
fn with_versions(count: u32) -> Place {
    let place = Place::new();
    let memory = Memory::new(BUCKET);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(commit(&memory, count, &place));
    for key in memory.keys() {
        let object = memory.object(&key).unwrap();
        let mut raw = Raw::encrypted(Sse::kms(&place.key));
        if let Some(Mark::Ours(nonce)) = object.mark {
            let metadata = &mut raw.attributes.metadata;
            metadata.insert("microsecrets".to_owned(), nonce.to_string());
        }
        place.fake.put_raw(BUCKET, &key, object.bytes.to_vec(), raw);
    }
    place
}

async fn commit(memory: &Memory, count: u32, place: &Place) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let (client, checks) = (memory.client(), Checks::new(RequiredEncryption::Store));
    let item = Item::environment("api".parse().unwrap());
    let access = Access {
        store: &client,
        checks: &checks,
        item: &item,
    };
    let keys = FolderKeys::new(&place.machine.path("config"), BUCKET);
    let writer = Writer::new(access, &keys, "", "ann@example");
    for number in 1..=count {
        memory.set_now(now - i64::from(count - number) - 10);
        let decide = |_: &Base<'_>| {
            let value = SecretString::new(number.to_string());
            let variables = Variables::new(vec![("A".to_owned(), value)]).unwrap();
            Ok(Decision::Commit(Change::new(
                ChangeKind::Set,
                Content::Environment(variables),
            )))
        };
        writer.write(OnConflict::Report, decide).await.unwrap();
    }
}

/// How often each operation was asked for by a command that succeeds, and how many bytes were answered at most.
#[track_caller]
fn cost(place: &Place, arguments: &[&str], input: &str) -> (BTreeMap<String, usize>, u64) {
    place.fake.clear_requests();
    let run = place.microsecrets(arguments).stdin(input).run();
    run.ends(0);
    let mut counts = BTreeMap::new();
    let requests = place.fake.requests();
    for request in &requests {
        *counts.entry(request.operation.clone()).or_default() += 1;
    }
    (counts, requests.iter().map(|request| request.bytes_out).max().unwrap())
}

/// Each of these in its turn, with ten versions and with ten thousand.
const COMMANDS: [(&[&str], &str); 10] = [
    (&["get", "A"], ""),
    (&["show"], ""),
    (&["history", "--limit", "10"], ""),
    (&["history", "--limit", "10", "--format", "json"], ""),
    (&["get", "A", "--at", "5"], ""),
    (&["get", "A", "--at", "previous"], ""),
    (&["diff"], ""),
    (&["set", "B"], "2"),
    (&["unset", "B"], ""),
    (&["rollback", "7", "--yes"], ""),
];

#[test]
fn with_ten_thousand_versions_are_as_many_as_with_ten() {
    let (few, many) = std::thread::scope(|scope| {
        let many = scope.spawn(|| with_versions(MANY));
        (with_versions(FEW), many.join().unwrap())
    });
    // It is what it shall be: the newest and the oldest of them can be read.
    for (place, count) in [(&few, FEW), (&many, MANY)] {
        place.microsecrets(&["get", "A"]).run().prints(&count.to_string());
        place.microsecrets(&["get", "A", "--at", "1"]).run().prints("1");
        let history = place.microsecrets(&["history", "--limit", "10"]).run();
        assert_eq!(history.raw_stdout().lines().count(), 11);
        let newest = format!("\n{count} ");
        assert!(history.raw_stdout().contains(&newest), "{}", history.raw_stdout());
    }
    for (arguments, input) in COMMANDS {
        let (with_few, _) = cost(&few, arguments, input);
        let (with_many, largest) = cost(&many, arguments, input);
        let total = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
        assert_eq!(
            with_few,
            with_many,
            "{arguments:?}: {} requests with {FEW} versions, {} with {MANY}",
            total(&with_few),
            total(&with_many)
        );
        // No answer is large either, as a page of a listing is.
        let listing = 200_000;
        assert!(largest < listing, "{arguments:?}: an answer of {largest} bytes");
    }
}

/// What a page costs is a request for each of its versions, one for the head and one listing.
#[test]
fn of_a_page_of_history_grow_with_the_page_only() {
    let place = with_versions(30);
    for limit in ["1", "10", "20"] {
        let (counts, _) = cost(&place, &["history", "--limit", limit], "");
        let versions: usize = limit.parse().unwrap();
        // The newest record is the head's.
        assert_eq!(counts["GetObject"], versions, "{counts:?}");
        assert_eq!(counts["ListObjectsV2"], 1, "{counts:?}");
        assert_eq!(counts.len(), 2, "{counts:?}");
    }
}
