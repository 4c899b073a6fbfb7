//! Many at once: 32 edits at the same time, and random walks of writers, a reader and 0.3.4 with random faults.
//!
//! A walk follows from its seed, which is printed when one fails.
#![allow(clippy::unwrap_used, clippy::result_large_err, clippy::print_stderr, missing_docs)]

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use common::*;
use futures_util::future::join_all;

use microsecrets::document::Variables;
use microsecrets::item::*;
use microsecrets::record::{ChangeKind, Record};
use microsecrets::store::ErrorKind;
use microsecrets::store::memory::{Fault, When};

/// Random numbers that follow from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// Prints the seed when a walk panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed is {}", self.0);
        }
    }
}

#[tokio::test]
async fn thirty_two_edits_at_once_are_all_there() {
    for seed in 0..4 {
        let _seed = Seed(seed);
        let world = World::with_values(&["1"]).await;
        let sets = (0..32).map(async |editor: u64| {
            let process = world.process();
            process.client.jitter(seed * 32 + editor);
            process.set(&format!("V{editor}"), "1").await.unwrap()
        });
        let committed = join_all(sets).await;
        let numbers: BTreeSet<_> = committed.iter().map(number).collect();
        assert_eq!(numbers, (2..=33).collect());
        let names: BTreeSet<_> = world
            .process()
            .read()
            .await
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let expected = (0..32)
            .map(|editor| format!("V{editor}"))
            .chain(["A".to_owned()])
            .collect();
        assert_eq!(names, expected);
        Ledger::default().observe(&world);
    }
}

/// What a walk remembers, to compare it in the end with what there is. A write is known by the message in its record.
#[derive(Default)]
struct Memories {
    /// Acknowledged versions: number and message.
    acknowledged: Vec<(u64, String)>,
    /// Writes that failed for certain.
    failed: Vec<String>,
    /// What each write wrote, except edits.
    written: BTreeMap<String, Vec<u8>>,
    /// What was read: number (none: 0.3.4's) and content.
    read: Vec<(Option<u64>, Vec<u8>)>,
    /// What 0.3.4 wrote.
    legacy: BTreeSet<Vec<u8>>,
}

/// A version, as somebody reads it in the end.
struct Seen {
    record: Record,
    content: Vec<u8>,
}

struct Walk {
    world: World,
    dice: RefCell<Dice>,
    memories: RefCell<Memories>,
}

impl Walk {
    fn new(world: World, seed: u64) -> Self {
        let mut dice = Dice(seed);
        world.memory.unique_etags(dice.below(2) == 0);
        world.memory.versioned(dice.below(2) == 0);
        Self {
            world,
            dice: RefCell::new(dice),
            memories: RefCell::default(),
        }
    }

    fn below(&self, most: u64) -> u64 {
        self.dice.borrow_mut().below(most)
    }

    /// A new process, and now and then what will happen to it.
    fn process(&self) -> Process {
        let process = self.world.process();
        process.client.jitter(self.below(1 << 32));
        while self.below(3) == 0 {
            let request = 1 + self.below(14) as usize;
            let fault = match self.below(7) {
                0 => Fault::CrashBefore,
                1 => Fault::CrashAfter,
                2 | 3 => Fault::LoseAnswer,
                4 => Fault::Late,
                5 => Fault::Fail(ErrorKind::Throttled),
                _ => Fault::Fail(denied()),
            };
            process.client.plan(When::Request(request), fault);
        }
        process
    }

    /// What somebody does.
    fn choice(&self, id: &str) -> ChangeKind {
        let (choice, is_file) = (self.below(8), self.world.item.is_file());
        let (kind, content) = match choice {
            0 => (ChangeKind::Delete, Vec::new()),
            // Files are equal more often than not, and one in four is large.
            _ if is_file => (
                ChangeKind::Upload,
                [large(b'x'), Vec::new(), b"a".to_vec(), b"b".to_vec()][choice as usize % 4].clone(),
            ),
            1..5 => (ChangeKind::Upload, format!("U={id}").into_bytes()),
            _ => return ChangeKind::Set,
        };
        self.memories.borrow_mut().written.insert(id.to_owned(), content);
        kind
    }

    /// What that comes to, on a base.
    fn change(&self, kind: &ChangeKind, id: &str, base: &Base<'_>) -> Change {
        let content = match kind {
            ChangeKind::Delete => Content::Deletion,
            ChangeKind::Set => {
                let base = base.document().map(|document| document.variables.duplicate());
                let mut pairs = base.unwrap_or_default().into_pairs();
                let name = format!("S{}", &id[1..]);
                pairs.retain(|(candidate, _)| *candidate != name);
                pairs.push((name, id.to_owned().into()));
                Content::Environment(Variables::new(pairs).unwrap())
            }
            _ if self.world.item.is_file() => file_content(&self.memories.borrow().written[id]),
            _ => Content::Environment(variables(&[("U", id)])),
        };
        Change::new(kind.clone(), content).message(Some(id.to_owned()))
    }

    async fn write(&self, id: String) {
        let (process, kind) = (self.process(), self.choice(&id));
        let on_conflict = if kind == ChangeKind::Set {
            OnConflict::Reapply
        } else {
            OnConflict::Report
        };
        let writer = process.writer();
        let written = match self.below(10) {
            0 => writer.finish_migration().await,
            _ => {
                writer
                    .write(on_conflict, |base| Ok(Decision::Commit(self.change(&kind, &id, base))))
                    .await
            }
        };
        let mut memories = self.memories.borrow_mut();
        match written {
            _ if process.client.crashed() => {}
            Ok(Outcome::Committed(committed)) if committed.entry.record().message.as_ref() == Some(&id) => {
                memories.acknowledged.push((number(&committed), id));
            }
            Ok(_) | Err(ItemError::Unknown { .. }) => {}
            Err(ItemError::Store(_) | ItemError::Conflict { .. } | ItemError::DeniedOrAbsent { .. }) => {
                memories.failed.push(id);
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn writer(&self, name: char) {
        for round in 0..4 {
            self.write(format!("{name}{round}")).await;
        }
    }

    async fn reader(&self) {
        let mut greatest = 0;
        for _ in 0..6 {
            let process = self.process();
            let reader = process.reader().scan(self.below(3) == 0);
            let version = match reader.read(&Selector::Current).await {
                Ok(version) => version,
                Err(ItemError::Store(_) | ItemError::Absent { .. } | ItemError::Deleted { .. }) => continue,
                Err(ItemError::DeniedOrAbsent { .. }) => continue,
                // The bytes of a large file whose first commit is still to come.
                Err(ItemError::HeadMissing { .. }) if self.world.item.is_file() => continue,
                Err(error) => panic!("{error}"),
            };
            let number = version.facts.number().map(|number| number.get());
            if let Some(number) = number {
                assert!(number >= greatest, "a reader went back from {greatest} to {number}");
                greatest = number;
            }
            let content = content_of(version.content).await.unwrap();
            self.memories.borrow_mut().read.push((number, content));
        }
    }

    async fn legacy(&self) {
        for round in 0..2 {
            for _ in 0..self.below(60) {
                tokio::task::yield_now().await;
            }
            let value = format!("l{round}");
            let (bytes, content) = match self.world.item.is_file() {
                true => (value.clone().into_bytes(), value.into_bytes()),
                false => (legacy_document(&[("L", &value)]), format!("L={value}").into_bytes()),
            };
            self.world.legacy_ahead(self.below(5) as i64 - 2, &bytes);
            self.memories.borrow_mut().legacy.insert(content);
        }
    }

    /// Time goes on, and what is late arrives.
    async fn time(&self) {
        for _ in 0..8 {
            for _ in 0..self.below(40) {
                tokio::task::yield_now().await;
            }
            self.world.tick(self.below(3) as i64);
            self.world.memory.deliver_late();
        }
    }

    async fn run(&self) {
        tokio::join!(
            self.writer('a'),
            self.writer('b'),
            self.writer('c'),
            self.reader(),
            self.legacy(),
            self.time()
        );
        self.world.memory.deliver_late();
        // Somebody who comes later completes what was left out.
        self.world.tick(10);
        let last = self.world.process();
        match self.world.item.is_file() {
            true => last.upload_file(b"end").await.unwrap(),
            false => last.set("END", "1").await.unwrap(),
        };
        self.check().await;
    }

    /// All versions there are, by number.
    async fn versions(&self) -> BTreeMap<u64, Seen> {
        let (process, head) = (self.world.process(), self.world.head_number());
        let mut versions = BTreeMap::new();
        for number in 1..=head {
            let seen = match process.reader().read(&Selector::Number(nth(number))).await {
                Ok(version) => Seen {
                    record: version.facts.entry.as_ref().unwrap().record().clone(),
                    content: content_of(version.content).await.unwrap(),
                },
                Err(ItemError::VersionDeleted { .. }) => Seen {
                    record: self.world.log(number).unwrap().record().clone(),
                    content: Vec::new(),
                },
                Err(error) => panic!("number {number}: {error}"),
            };
            versions.insert(number, seen);
        }
        let log = process.client.log();
        let heads = log.iter().filter(|line| line.contains("/head/"));
        assert_eq!(
            heads.count(),
            0,
            "every committed number is logged, and its bytes are there"
        );
        assert!(self.world.log(head + 1).is_none(), "what is logged was committed");
        versions
    }

    async fn check(&self) {
        let versions = self.versions().await;
        let memories = self.memories.borrow();
        for (number, id) in &memories.acknowledged {
            let message = versions[number].record.message.as_ref();
            assert_eq!(message, Some(id), "number {number} is not what was acknowledged");
        }
        let mut committed = BTreeSet::new();
        for (number, seen) in &versions {
            let Some(id) = &seen.record.message else { continue };
            assert!(committed.insert(id), "{id} was committed twice");
            assert!(!memories.failed.contains(id), "{id} failed, and is number {number}");
            if let Some(written) = memories.written.get(id) {
                assert!(*written == seen.content, "number {number} has other bytes");
            }
        }
        for (number, content) in &memories.read {
            match number {
                Some(number) => assert!(versions[number].content == *content, "number {number} was read"),
                None => assert!(memories.legacy.contains(content), "{content:?} was read"),
            }
        }
        if !self.world.item.is_file() {
            check_edits(&versions);
        }
    }
}

/// Each edit is of the version before it: all that was there is there, but for the one variable.
fn check_edits(versions: &BTreeMap<u64, Seen>) {
    let mut before = BTreeMap::new();
    for (number, seen) in versions {
        let text = String::from_utf8(seen.content.clone()).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('=')).map(owned);
        let after: BTreeMap<_, _> = pairs.collect();
        if seen.record.kind == ChangeKind::Set {
            let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
            assert_eq!(changed.count(), 1, "number {number} changes one variable");
            assert!(
                before.keys().all(|name| after.contains_key(name)),
                "number {number} loses variables"
            );
        }
        before = after;
    }
}

fn walk(world: impl Fn() -> World, seeds: impl Iterator<Item = u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (mut acknowledged, mut failed) = (0, 0);
    for seed in seeds {
        let _seed = Seed(seed);
        let walk = Walk::new(world(), seed);
        runtime.block_on(async {
            let limit = std::time::Duration::from_secs(20);
            tokio::time::timeout(limit, walk.run()).await.expect("it never ends");
        });
        let memories = walk.memories.borrow();
        acknowledged += memories.acknowledged.len();
        failed += memories.failed.len();
    }
    assert!(
        acknowledged > failed / 2 && failed > 0,
        "{acknowledged} acknowledged, {failed} failed"
    );
    eprintln!("{acknowledged} acknowledged, {failed} failed");
}

#[test]
fn random_walks_of_an_environment_with_even_seeds() {
    walk(|| World::environment("api"), (0..2_000).step_by(2));
}

#[test]
fn random_walks_of_an_environment_with_odd_seeds() {
    walk(|| World::environment("api"), (1..2_000).step_by(2));
}

#[test]
fn random_walks_of_a_file() {
    walk(|| World::file("api", "tls.pem"), 0..100);
}
