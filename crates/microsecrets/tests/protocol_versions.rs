//! History, the ways to say a version, changes of single variables, and pruning: what they find and what they leave.
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::name::VersionName;
use microsecrets::secret::SecretString;
use microsecrets::store::memory::{Fault, When};
use microsecrets::trust::Distrust;

/// A row as `number or -, presence, kind`.
fn told(row: &Row) -> String {
    let number = row.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let kind = row.record().map(|record| record.kind.to_string());
    format!("{number} {:?} {}", row.bytes, kind.unwrap_or_default())
        .trim_end()
        .to_owned()
}

/// All rows, some at a time.
async fn history(world: &World, limit: usize) -> Vec<String> {
    let process = world.process();
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = process.access().history(cursor, limit).await.unwrap();
        assert!(page.rows.len() <= limit);
        rows.extend(page.rows.iter().map(told));
        cursor = page.next;
        if cursor.is_none() {
            return rows;
        }
    }
}

async fn resolve(world: &World, said: &str) -> Result<Selector, ItemError> {
    world.process().access().resolve(&said.parse().unwrap()).await
}

/// What a version is, however it is said.
async fn said(world: &World, said: &str) -> String {
    let content = world
        .process()
        .content(&resolve(world, said).await.unwrap())
        .await
        .unwrap();
    String::from_utf8(content).unwrap()
}

fn name_of(world: &World, number: u64) -> VersionName {
    world.log(number).unwrap().record().name.clone()
}

/// 0.3.4 wrote twice; ours took the second over, and 0.3.4 wrote between ours.
async fn mixed() -> World {
    let world = World::environment("api");
    for value in ["legacy 1", "legacy 2"] {
        world.legacy(&legacy_document(&[("A", value)]));
        world.tick(10);
    }
    world.process().upload(&[("A", "3")]).await.unwrap();
    for value in ["legacy 4", "legacy 5"] {
        world.tick(10);
        world.legacy(&legacy_document(&[("A", value)]));
    }
    world.tick(10);
    world.process().upload(&[("A", "6")]).await.unwrap();
    world.tick(10);
    world
}

// History.

#[tokio::test]
async fn a_history_is_whole_whatever_the_size_of_its_pages() {
    let world = mixed().await;
    let whole = [
        "4 Current upload",
        "3 Kept adopted",
        "- Kept",
        "2 Kept upload",
        "1 Kept adopted",
        "- Kept",
    ];
    for limit in 1..8 {
        assert_eq!(history(&world, limit).await, whole, "{limit} at a time");
    }
}

#[tokio::test]
async fn deletions_pruned_versions_and_lost_records_are_told() {
    let world = World::with_values(&["1", "2", "3"]).await;
    world.process().delete().await.unwrap();
    world.memory.remove(&world.item.version_key(&name_of(&world, 1)));
    world.memory.remove(&world.item.log_key(nth(2)));
    let expected = ["4 Deletion delete", "3 Kept upload", "2 Unknown", "1 Pruned upload"];
    for limit in 1..6 {
        assert_eq!(history(&world, limit).await, expected, "{limit} at a time");
    }
}

#[tokio::test]
async fn what_was_never_committed_is_no_part_of_a_history() {
    let world = World::with_files(&[b"1", b"2"]).await;
    world
        .memory
        .put_raw(&world.key_of(5, &large(b'x')), &large(b'x'), our_mark());
    assert_eq!(history(&world, 10).await, ["2 Current upload", "1 Kept upload"]);
}

#[tokio::test]
async fn the_history_of_what_only_0_3_4_wrote_needs_no_head() {
    let world = World::environment("api");
    for value in 0..5 {
        world.legacy(&legacy_document(&[("A", &value.to_string())]));
        world.tick(100_000);
    }
    world.memory.set_page(2);
    assert_eq!(history(&world, 2).await, ["- Kept"; 5]);
    assert_eq!(said(&world, "previous").await, "A=3");
}

#[tokio::test]
async fn a_history_without_a_head_but_with_our_bytes_is_refused() {
    let world = World::with_values(&["1"]).await;
    world.memory.remove(&world.item.head_key());
    let error = world.process().access().history(None, 5).await.unwrap_err();
    assert!(matches!(error, ItemError::HeadMissing { .. }), "{error}");
    let error = World::environment("api")
        .process()
        .access()
        .history(None, 5)
        .await
        .unwrap_err();
    assert!(matches!(error, ItemError::Absent { .. }), "{error}");
}

/// A page costs the head, its records, and one listing.
#[tokio::test]
async fn a_page_costs_the_same_after_ten_versions_and_after_a_thousand() {
    let mut costs = Vec::new();
    for versions in [10, 1_200] {
        let world = World::environment("api");
        for version in 0..versions {
            world.tick(3);
            world.process().upload(&[("A", &version.to_string())]).await.unwrap();
        }
        let process = world.process();
        let page = process.access().history(None, 10).await.unwrap();
        assert_eq!(page.rows.len(), 10);
        costs.push(process.client.log().len());
    }
    assert_eq!(costs, [11, 11]);
}

// Saying a version.

#[tokio::test]
async fn every_way_to_say_a_version_finds_it() {
    let world = mixed().await;
    let (first, second) = (name_of(&world, 2), name_of(&world, 3));
    for (way, content) in [
        ("current".to_owned(), "A=6"),
        ("2".to_owned(), "A=3"),
        ("previous".to_owned(), "A=legacy 5"),
        (format!("sha:{:.8}", first.checksum().to_string()), "A=3"),
        (first.checksum().to_string(), "A=3"),
        (first.to_string(), "A=3"),
        (second.to_string(), "A=legacy 5"),
        (format!("@{}", first.second()), "A=3"),
        (format!("@{}", first.second().plus(9)), "A=3"),
        (format!("@{}", second.second().plus(-1)), "A=legacy 4"),
        (format!("@{}", second.second()), "A=legacy 5"),
    ] {
        assert_eq!(said(&world, &way).await, content, "{way}");
    }
    assert_eq!(
        resolve(&world, &first.to_string()).await.unwrap(),
        Selector::Number(nth(2))
    );
}

/// In a migration, 0.3.4's version beyond the head is the current one.
#[tokio::test]
async fn the_previous_version_in_a_migration_may_be_the_heads() {
    let world = mixed().await;
    world.legacy(&legacy_document(&[("A", "legacy 7")]));
    assert_eq!(said(&world, "current").await, "A=legacy 7");
    assert_eq!(said(&world, "previous").await, "A=6");
    world.tick(1);
    world.legacy(&legacy_document(&[("A", "legacy 8")]));
    assert_eq!(said(&world, "previous").await, "A=legacy 7");
}

#[tokio::test]
async fn the_version_before_our_first_is_0_3_4s() {
    let world = World::environment("api");
    for value in ["1", "2"] {
        world.legacy(&legacy_document(&[("A", value)]));
        world.tick(1);
    }
    world
        .process()
        .writer()
        .write(OnConflict::Report, |_| Ok(Decision::Keep))
        .await
        .unwrap();
    assert_eq!(said(&world, "previous").await, "A=1");
    let alone = World::with_values(&["1"]).await;
    let error = resolve(&alone, "previous").await.unwrap_err();
    assert!(matches!(error, ItemError::NoPrevious { .. }), "{error}");
}

#[tokio::test]
async fn a_checksum_finds_the_version_and_not_what_was_never_committed() {
    let world = World::with_files(&[b"other", &large(b'z')]).await;
    let name = name_of(&world, 2);
    world.process().upload_file(b"newest").await.unwrap();
    world.tick(5);
    // The same bytes were put again by a writer that lost.
    world
        .memory
        .put_raw(&world.key_of(0, &large(b'z')), &large(b'z'), our_mark());
    let way = format!("sha:{}", name.checksum());
    assert_eq!(resolve(&world, &way).await.unwrap(), Selector::Number(nth(2)));
    world.memory.put_raw(&world.key_of(1, b"orphan"), b"orphan", our_mark());
    let orphan = world.name_of(1, b"orphan").checksum();
    let error = resolve(&world, &orphan.to_string()).await.unwrap_err();
    assert!(matches!(error, ItemError::NoSuchVersion { .. }), "{error}");
}

#[tokio::test]
async fn a_search_survives_lost_records() {
    let values: Vec<String> = (1..=20).map(|value| value.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let world = World::with_values(&values).await;
    let name = name_of(&world, 7);
    for number in [5, 8, 9, 10, 11, 15] {
        world.memory.remove(&world.item.log_key(nth(number)));
    }
    assert_eq!(
        resolve(&world, &name.to_string()).await.unwrap(),
        Selector::Number(nth(7))
    );
    let before_all = format!("@{}", name_of(&world, 1).second().plus(-1));
    assert!(matches!(
        resolve(&world, &before_all).await,
        Err(ItemError::NoSuchVersion { .. })
    ));
}

// Single variables.

fn edits(world: &World, wanted: &[(&str, Option<&str>)]) -> Edits {
    let owned = |(name, value): &(&str, Option<&str>)| {
        let value = value.map(|value| SecretString::new(value.to_owned()));
        ((*name).to_owned(), value)
    };
    Edits::new(world.item.clone(), wanted.iter().map(owned).collect())
}

#[tokio::test]
async fn a_change_is_applied_again_to_what_somebody_else_left() {
    let world = World::with_values(&["1"]).await;
    let (ann, bob) = (world.process(), world.process());
    let work = ann.apply(edits(&world, &[("B", Some("ann")), ("A", None)]));
    let (outcome, _) = world
        .before_commit(&ann, work, async { bob.set("C", "bob").await.unwrap() })
        .await;
    assert!(matches!(outcome.unwrap(), Outcome::Committed(_)));
    assert_eq!(said(&world, "current").await, "C=bob\nB=ann");
}

#[tokio::test]
async fn the_same_variable_with_two_values_is_a_clash() {
    let world = World::with_values(&["1"]).await;
    let (ann, bob) = (world.process(), world.process());
    let work = ann.apply(edits(&world, &[("A", Some("ann"))]));
    let (outcome, _) = world
        .before_commit(&ann, work, async { bob.set("A", "bob").await.unwrap() })
        .await;
    let Err(ItemError::Clash { name, by: Some(by), .. }) = outcome else {
        panic!("no clash")
    };
    assert_eq!((name.as_str(), by.number), ("A", nth(2)));
    assert_eq!(said(&world, "current").await, "A=bob");
}

#[tokio::test]
async fn the_same_value_from_both_is_no_clash() {
    let world = World::with_values(&["1"]).await;
    let (ann, bob) = (world.process(), world.process());
    let work = ann.apply(edits(&world, &[("A", Some("same"))]));
    let (outcome, _) = world
        .before_commit(&ann, work, async { bob.set("A", "same").await.unwrap() })
        .await;
    assert!(matches!(outcome.unwrap(), Outcome::Kept { .. }));
    assert_eq!(world.head_number(), 2);
}

#[tokio::test]
async fn what_was_deleted_meanwhile_stays_deleted() {
    let world = World::with_values(&["1"]).await;
    let (ann, bob) = (world.process(), world.process());
    let work = ann.apply(edits(&world, &[("B", Some("ann"))]));
    let (outcome, _) = world
        .before_commit(&ann, work, async { bob.delete().await.unwrap() })
        .await;
    is_conflict_with(&outcome.err().unwrap(), 2);
    // With an editor no race is needed: somebody saw the environment long ago.
    let (before, after) = (variables(&[("A", "1")]), variables(&[("A", "1"), ("B", "2")]));
    let edits = Edits::between(world.item.clone(), Some(&before), &after);
    is_conflict_with(&world.process().apply(edits).await.err().unwrap(), 2);
}

#[tokio::test]
async fn a_lost_answer_does_not_apply_a_change_twice() {
    let world = World::with_values(&["1"]).await;
    let (ann, bob) = (world.process(), world.process());
    let work = ann.apply(edits(&world, &[("B", Some("ann"))]));
    let (outcome, _) = world
        .after_lost_commit(&ann, work, async { bob.set("B", "bob").await.unwrap() })
        .await;
    assert!(matches!(outcome.unwrap(), Outcome::Committed(committed) if number(&committed) == 2));
    assert_eq!(
        said(&world, "current").await,
        "A=1\nB=bob",
        "bob came later, and knew it"
    );
}

// Pruning.

fn keep(versions: u64) -> PrunePolicy {
    let mut policy = PrunePolicy::default();
    policy.keep = Some(versions);
    policy
}

async fn prune(world: &World, policy: &PrunePolicy) -> Vec<u64> {
    let process = world.process();
    let records = process.access().prunable(policy).await.unwrap();
    for record in &records {
        process.access().remove_bytes(record).await.unwrap();
    }
    records.iter().map(|record| record.number.get()).collect()
}

#[tokio::test]
async fn pruning_removes_the_oldest_and_leaves_records_and_the_current_version() {
    let world = World::with_values(&["1", "2", "3", "4", "5"]).await;
    assert_eq!(prune(&world, &keep(3)).await, [1, 2]);
    assert_eq!(prune(&world, &keep(3)).await, [0; 0], "they are gone already");
    assert_eq!(prune(&world, &keep(1)).await, [3, 4]);
    assert_eq!(said(&world, "current").await, "A=5");
    let error = world.process().at(2).await.unwrap_err();
    assert!(matches!(error, ItemError::Pruned { .. }), "{error}");
    let rows = history(&world, 10).await;
    assert_eq!(
        rows[1..],
        [
            "4 Pruned upload",
            "3 Pruned upload",
            "2 Pruned upload",
            "1 Pruned upload"
        ]
    );
}

#[tokio::test]
async fn age_protection_and_one_number_limit_what_goes() {
    let world = World::with_values(&["1", "2", "3", "4"]).await;
    let mut old = PrunePolicy::default();
    old.older_than = Some(name_of(&world, 3).second());
    old.protect = vec![name_of(&world, 1).checksum()];
    assert_eq!(prune(&world, &old).await, [2]);
    let mut one = PrunePolicy::default();
    one.only = Some(nth(3));
    assert_eq!(prune(&world, &one).await, [3]);
    one.only = Some(nth(4));
    let error = world.process().access().prunable(&one).await.unwrap_err();
    assert!(matches!(error, ItemError::CurrentVersion { .. }), "{error}");
    one.only = Some(nth(5));
    let error = world.process().access().prunable(&one).await.unwrap_err();
    assert!(matches!(error, ItemError::NoSuchNumber { .. }), "{error}");
}

#[tokio::test]
async fn what_a_rollback_brings_back_after_a_deletion_stays() {
    let world = World::with_values(&["1", "2"]).await;
    world.process().delete().await.unwrap();
    assert_eq!(prune(&world, &keep(1)).await, [1]);
    assert_eq!(said(&world, "previous").await, "A=2");
}

#[tokio::test]
async fn only_the_bytes_of_numbers_are_removed() {
    let world = mixed().await;
    let unadopted = world.key_of(-30, &legacy_document(&[("A", "legacy 4")]));
    assert!(world.memory.object(&unadopted).is_some());
    assert_eq!(prune(&world, &keep(1)).await, [1, 2, 3]);
    assert!(world.memory.object(&unadopted).is_some(), "nobody adopted it");
    let legacy = World::environment("api");
    legacy.legacy(&legacy_document(&[("A", "1")]));
    let error = legacy.process().access().prunable(&keep(1)).await.unwrap_err();
    assert!(matches!(error, ItemError::NeverAdopted { .. }), "{error}");
}

/// Who may put log entries, and not delete bytes, must not have them deleted by us.
#[tokio::test]
async fn a_forged_log_entry_costs_no_version_that_should_stay() {
    for (forged, named) in [(2, 3), (2, 4), (1, 3)] {
        let world = World::with_values(&["1", "2", "3", "4"]).await;
        let name = name_of(&world, named);
        world.forge_log(forged, |record| record.name = name.clone());
        let process = world.process();
        for record in process.access().prunable(&keep(2)).await.unwrap() {
            drop(process.access().remove_bytes(&record).await);
        }
        for number in [3, 4] {
            assert!(
                world
                    .memory
                    .object(&world.item.version_key(&name_of(&world, number)))
                    .is_some()
            );
        }
    }
}

#[tokio::test]
async fn bytes_of_another_commit_than_the_records_are_not_removed() {
    let world = World::with_values(&["1", "2", "3"]).await;
    world.forge_log(1, |record| {
        record.nonce = microsecrets::name::Nonce::from_bytes([7; 16]);
    });
    let process = world.process();
    let records = process.access().prunable(&keep(1)).await.unwrap();
    let error = process.access().remove_bytes(&records[0]).await.unwrap_err();
    let source = Distrust::OtherCommit;
    assert!(matches!(error, ItemError::Distrusted { source: found, .. } if found == source));
}

/// 0.3.4 may upload the same file in the same second: the same name, and no mark.
#[tokio::test]
async fn a_files_bytes_that_0_3_4_put_once_more_are_still_that_versions() {
    let world = World::with_files(&[b"1", b"2", b"3"]).await;
    let bytes = world.item.version_key(&name_of(&world, 1));
    world.memory.put_raw(&bytes, b"1", None);
    examined::is_healthy(&world).await;
    assert_eq!(prune(&world, &keep(1)).await, [1, 2]);
}

/// A reader that got the head before a prune starts again, and a prune that is cut off goes on the next time.
#[tokio::test]
async fn a_prune_that_dies_is_finished_by_the_next() {
    let world = World::with_values(&["1", "2", "3", "4"]).await;
    let killed = world.process();
    killed
        .client
        .plan(When::Begins("delete ".to_owned()), Fault::CrashAfter);
    let records = killed.access().prunable(&keep(1)).await.unwrap();
    killed.access().remove_bytes(&records[0]).await.unwrap_err();
    assert_eq!(prune(&world, &keep(1)).await, [2, 3]);
}

/// A bucket with versioning may still hold what was removed already.
#[tokio::test]
async fn what_was_removed_already_is_pruned_again_when_that_is_asked_for() {
    let world = World::with_values(&["1", "2", "3"]).await;
    assert_eq!(prune(&world, &keep(2)).await, [1]);
    let process = world.process();
    let mut policy = keep(1);
    for (removed_too, expected) in [(false, vec![2]), (true, vec![1, 2])] {
        policy.removed_too = removed_too;
        let found = process.access().prunable(&policy).await.unwrap();
        let numbers: Vec<_> = found.iter().map(|record| record.number.get()).collect();
        assert_eq!(numbers, expected);
    }
}

// Bytes that were lost.

#[tokio::test]
async fn a_large_file_whose_bytes_were_lost_is_known_to_who_uploads_it_again() {
    let world = World::with_files(&[b"1", &large(b'z')]).await;
    let seen = std::cell::Cell::new(None);
    let look = |base: &Base<'_>| {
        seen.set(Some(base.has_bytes()));
        Ok(Decision::Keep)
    };
    world.process().writer().write(OnConflict::Report, look).await.unwrap();
    assert_eq!(seen.get(), Some(true));
    world
        .memory
        .remove(&world.item.version_key(&world.head().unwrap().record().name));
    world.process().writer().write(OnConflict::Report, look).await.unwrap();
    assert_eq!(seen.get(), Some(false));
}
