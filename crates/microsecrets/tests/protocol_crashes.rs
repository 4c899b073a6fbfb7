//! Every crash point, every lost answer and every failure of a commit: for each kind of item, each base, each request.
//!
//! Whatever happens to one request of a write: others read the old version or the new one, whole; the next write works and
//! has the right number; a number never means another version; what was acknowledged is there; what failed is not; and
//! after the next write every committed version has its bytes and its log entry.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod common;

use std::fmt;

use common::*;
use microsecrets::item::*;
use microsecrets::record::ChangeKind;
use microsecrets::store::ErrorKind;
use microsecrets::store::memory::{Fault, MemoryClient, When};

/// What is written.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Environment,
    SmallFile,
    LargeFile,
    EmptyFile,
}

/// Over which base.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Base {
    /// None: the first write.
    Nothing,
    /// A version of ours.
    Ours,
    /// A version of ours of which a crash left everything out but the head.
    Crashed,
    /// A version of 0.3.4: it is adopted first.
    Legacy,
    /// A version of ours, in migration.
    Migration,
    /// A version of ours, in migration, with a newer one of 0.3.4.
    MigrationAndLegacy,
    /// A version of ours, which is deleted.
    Deleting,
}

const BASES: [Base; 7] = [
    Base::Nothing,
    Base::Ours,
    Base::Crashed,
    Base::Legacy,
    Base::Migration,
    Base::MigrationAndLegacy,
    Base::Deleting,
];

impl Kind {
    fn world(self) -> World {
        match self {
            Self::Environment => World::environment("api"),
            _ => World::file("api", "tls.pem"),
        }
    }

    /// What is read of the version with this tag. The one that is written under fault is `n`.
    fn content(self, tag: char) -> Vec<u8> {
        match self {
            Self::Environment => format!("A={tag}").into_bytes(),
            Self::EmptyFile if tag == 'n' => Vec::new(),
            // It is the last one: what it takes to write it is tried with `n`.
            Self::LargeFile if tag != 'x' => large(tag as u8),
            _ => format!("file {tag}").into_bytes(),
        }
    }

    /// The same as 0.3.4 writes it.
    fn legacy(self, tag: char) -> Vec<u8> {
        match self {
            Self::Environment => legacy_document(&[("A", &tag.to_string())]),
            _ => self.content(tag),
        }
    }

    async fn write(self, process: &Process, tag: char) -> Result<Committed, ItemError> {
        let content = || match self {
            Self::Environment => Content::Environment(variables(&[("A", &tag.to_string())])),
            _ => file_content(&self.content(tag)),
        };
        process.commit(ChangeKind::Upload, content).await
    }
}

/// A write that is tried again and again, with another fault each time.
struct Scene {
    kind: Kind,
    base: Base,
    world: World,
    /// The contents of all versions that will be committed, by number; `None` for a deletion.
    history: Vec<Option<Vec<u8>>>,
    /// How many of them are committed at the beginning.
    before: usize,
    /// What is read at the beginning.
    old: Option<Vec<u8>>,
    /// The requests of the write, when nothing happens to it.
    requests: Vec<String>,
}

impl Scene {
    async fn new(kind: Kind, base: Base) -> Self {
        let world = kind.world();
        let mut tags = Vec::new();
        if matches!(base, Base::Legacy | Base::Migration | Base::MigrationAndLegacy) {
            world.legacy(&kind.legacy('l'));
            world.tick(1);
            tags.push('l');
        }
        if !matches!(base, Base::Nothing | Base::Legacy) {
            let writer = world.process();
            if base == Base::Crashed {
                writer.client.plan(When::Begins(world.put_head()), Fault::CrashAfter);
            }
            kind.write(&writer, 'o').await.ok();
            world.tick(1);
            tags.push('o');
        }
        let before = world.head_number() as usize;
        if base == Base::MigrationAndLegacy {
            world.legacy(&kind.legacy('m'));
            world.tick(1);
            tags.push('m');
        }
        let old = tags.last().map(|tag| kind.content(*tag));
        let mut history: Vec<_> = tags.into_iter().map(|tag| Some(kind.content(tag))).collect();
        history.push((base != Base::Deleting).then(|| kind.content('n')));
        let mut scene = Self {
            kind,
            base,
            world,
            history,
            before,
            old,
            requests: Vec::new(),
        };
        let undisturbed = scene.world.fork().process();
        let committed = scene.act(&undisturbed).await.unwrap();
        assert_eq!(
            (number(&committed) as usize, &committed.notes[..]),
            (scene.history.len(), &[][..])
        );
        scene.requests = undisturbed.client.log();
        scene
    }

    async fn act(&self, process: &Process) -> Result<Committed, ItemError> {
        match self.base {
            Base::Deleting => process.delete().await,
            _ => self.kind.write(process, 'n').await,
        }
    }

    fn adopts(&self) -> bool {
        matches!(self.base, Base::Legacy | Base::MigrationAndLegacy)
    }

    /// One case: the write, and everything that must hold after it.
    async fn check(&self, mishap: &Mishap) {
        let world = self.world.fork();
        let mut ledger = Ledger::default();
        ledger.observe(&world);
        let process = world.process();
        mishap.plan(&process.client);
        let ended = self.act(&process).await;
        let ended = if process.client.crashed() { None } else { Some(ended) };
        self.after(&world, &mut ledger).await;
        match ended {
            None => {}
            Some(Ok(committed)) => {
                assert_eq!(number(&committed) as usize, self.history.len());
                assert_eq!(world.head_number() as usize, self.history.len());
            }
            Some(Err(ItemError::Unknown { .. })) => {
                let explained = mishap.explains_unknown(&self.requests, &world);
                assert!(explained && !self.adopts(), "the outcome could have been known");
            }
            Some(Err(error)) => {
                assert!(matches!(error, ItemError::Store(_)), "{error}");
                assert!(
                    (world.head_number() as usize) < self.history.len(),
                    "committed all the same: {error}"
                );
            }
        }
        if world.memory.deliver_late() > 0 {
            self.after(&world, &mut ledger).await;
        }
        self.next_write(&world, &mut ledger).await;
    }

    /// What others see: the old version or the new one, and every committed number.
    async fn after(&self, world: &World, ledger: &mut Ledger) {
        ledger.observe(world);
        let committed = world.head_number() as usize;
        let expected = match committed {
            _ if committed == self.before => self.old.as_ref(),
            _ => self.history[committed - 1].as_ref(),
        };
        match (world.process().current().await, expected) {
            (Ok(content), Some(expected)) => assert!(content == *expected, "torn"),
            (Err(ItemError::Absent { .. }), None) => assert_eq!(committed, 0),
            (Err(ItemError::Deleted { .. }), None) => assert!(committed > 0),
            // A large file of a first write, of which only the bytes are there.
            (Err(ItemError::HeadMissing { .. }), None) => assert_eq!((self.kind, committed), (Kind::LargeFile, 0)),
            (Ok(_), None) => panic!("something is read where there is nothing"),
            (Err(error), _) => panic!("unreadable: {error}"),
        }
        for (index, content) in self.history[..committed].iter().enumerate() {
            self.check_number(world, index as u64 + 1, content.as_deref()).await;
        }
    }

    async fn check_number(&self, world: &World, number: u64, expected: Option<&[u8]>) {
        match (world.process().at(number).await, expected) {
            (Ok(content), Some(expected)) => assert!(content == expected, "number {number} has other bytes"),
            (Err(ItemError::VersionDeleted { .. }), None) => {}
            (Ok(_), None) => panic!("number {number} is a deletion"),
            (Err(error), _) => panic!("number {number}: {error}"),
        }
    }

    /// Another process writes: it works, has the right number, and completes what was left out.
    async fn next_write(&self, world: &World, ledger: &mut Ledger) {
        world.tick(1);
        let committed = world.head_number() as usize;
        let adopted = usize::from(self.adopts() && committed == self.before);
        let next = self.kind.write(&world.process(), 'x').await.unwrap();
        assert_eq!(number(&next) as usize, committed + adopted + 1);
        ledger.observe(world);
        let mut history = self.history[..committed + adopted].to_vec();
        history.push(Some(self.kind.content('x')));
        for (index, content) in history.iter().enumerate() {
            let number = index as u64 + 1;
            if index + 1 >= committed {
                self.check_number(world, number, content.as_deref()).await;
            }
            assert!(world.log(number).is_some(), "number {number} is not logged");
            let bytes = world.memory.object(&world.item.version_key(ledger.name(number)));
            assert_eq!(bytes.is_some(), content.is_some(), "the bytes of number {number}");
        }
        assert!(world.process().current().await.unwrap() == self.kind.content('x'));
        assert!(world.legacy_reads() == world.memory.object(&next.key).map(|kept| kept.bytes.to_vec()));
    }
}

/// What happens to a write.
#[derive(Debug)]
enum Mishap {
    /// It is killed before its n-th request does anything.
    CrashBefore(usize),
    /// It is killed after its n-th request.
    CrashAfter(usize),
    /// It is killed, and of two requests on their way the later one arrives and the n-th does not.
    Overtaken(usize),
    /// The answer to its n-th request is lost.
    LostAnswer(usize),
    /// Its n-th request fails.
    Failure(usize, ErrorKind),
    /// Every answer to such requests is lost.
    AlwaysLost(String),
    /// Such requests never arrive, as far as it knows; then they do.
    AlwaysLate(String),
    /// Every such request fails.
    AlwaysFails(String, ErrorKind),
    /// Two of these.
    Both(Box<Self>, Box<Self>),
}

impl Mishap {
    fn plan(&self, client: &MemoryClient) {
        match self {
            Self::CrashBefore(n) => client.plan(When::Request(*n), Fault::CrashBefore),
            Self::CrashAfter(n) => client.plan(When::Request(*n), Fault::CrashAfter),
            Self::Overtaken(n) => {
                client.plan(When::Request(*n), Fault::Fail(ErrorKind::Crashed));
                client.plan(When::Request(*n + 1), Fault::CrashAfter);
            }
            Self::LostAnswer(n) => client.plan(When::Request(*n), Fault::LoseAnswer),
            Self::Failure(n, kind) => client.plan(When::Request(*n), Fault::Fail(kind.clone())),
            Self::AlwaysLost(line) => client.plan(When::Every(line.clone()), Fault::LoseAnswer),
            Self::AlwaysLate(line) => client.plan(When::Every(line.clone()), Fault::Late),
            Self::AlwaysFails(line, kind) => client.plan(When::Every(line.clone()), Fault::Fail(kind.clone())),
            Self::Both(one, other) => {
                one.plan(client);
                other.plan(client);
            }
        }
    }

    /// Whether it explains that the outcome of a commit is not known: the answer to the swap never came, or came too late
    /// and whoever asked again was not answered.
    fn explains_unknown(&self, requests: &[String], world: &World) -> bool {
        match self {
            Self::AlwaysLate(line) => *line == world.put_head(),
            Self::Both(one, _) => match **one {
                Self::LostAnswer(n) => requests[n - 1] == world.put_head(),
                _ => false,
            },
            _ => false,
        }
    }

    /// What can happen to the n-th request.
    fn of(n: usize) -> Vec<Self> {
        let mut mishaps = vec![
            Self::CrashBefore(n),
            Self::CrashAfter(n),
            Self::Overtaken(n),
            Self::LostAnswer(n),
        ];
        mishaps.extend(failures().map(|kind| Self::Failure(n, kind)));
        mishaps
    }

    /// An answer is lost, and then something happens to a later request, which may be one that asks how it ended.
    fn pairs(requests: &[String]) -> Vec<Self> {
        let mut mishaps = Vec::new();
        for n in 1..=requests.len() {
            for second in (n + 1..=requests.len() + 3).flat_map(Self::of) {
                mishaps.push(Self::Both(Box::new(Self::LostAnswer(n)), Box::new(second)));
            }
        }
        mishaps
    }

    /// All that can happen to these requests.
    fn all(requests: &[String], world: &World) -> Vec<Self> {
        let mut mishaps: Vec<_> = (1..=requests.len()).flat_map(Self::of).collect();
        let mut lines: Vec<_> = requests.iter().map(|line| without_checksum(line, world)).collect();
        lines.sort();
        lines.dedup();
        for line in lines {
            mishaps.extend([Self::AlwaysLost(line.clone()), Self::AlwaysLate(line.clone())]);
            mishaps.extend(failures().map(|kind| Self::AlwaysFails(line.clone(), kind)));
        }
        mishaps
    }
}

fn failures() -> impl Iterator<Item = ErrorKind> {
    [ErrorKind::Throttled, ErrorKind::Unavailable, denied()].into_iter()
}

/// A request without the part of its key that is another one in each run.
fn without_checksum(line: &str, world: &World) -> String {
    let name = line
        .find(&world.item.versions_prefix())
        .map(|at| at + world.item.versions_prefix().len());
    name.and_then(|name| line.get(..name + "2026-11-23.08-00-00".len()))
        .unwrap_or(line)
        .to_owned()
}

/// Says which case it was when a test panics.
struct Case<'c>(&'c Scene, &'c Mishap);

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} over {:?}: {:?}", self.0.kind, self.0.base, self.1)
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{self}");
        }
    }
}

async fn try_all(scene: &Scene, mishaps: &[Mishap]) {
    for mishap in mishaps {
        let _case = Case(scene, mishap);
        scene.check(mishap).await;
    }
    let (kind, base, requests) = (scene.kind, scene.base, scene.requests.len());
    eprintln!("{kind:?} over {base:?}: {requests} requests, {} cases", mishaps.len());
    assert!(requests > 5 && mishaps.len() > 7 * requests);
}

async fn every_mishap(kind: Kind, bases: &[Base]) {
    for base in bases {
        let scene = Scene::new(kind, *base).await;
        try_all(&scene, &Mishap::all(&scene.requests, &scene.world)).await;
    }
}

#[tokio::test]
async fn every_mishap_of_an_environment() {
    every_mishap(Kind::Environment, &BASES).await;
}

#[tokio::test]
async fn every_mishap_of_a_small_file() {
    every_mishap(Kind::SmallFile, &BASES).await;
}

#[tokio::test]
async fn every_mishap_of_an_empty_file() {
    every_mishap(Kind::EmptyFile, &BASES).await;
}

#[tokio::test]
async fn every_mishap_of_a_large_file() {
    every_mishap(Kind::LargeFile, &BASES[..4]).await;
}

#[tokio::test]
async fn every_mishap_of_a_large_file_in_migration() {
    every_mishap(Kind::LargeFile, &BASES[4..]).await;
}

#[tokio::test]
async fn every_lost_answer_with_a_second_mishap() {
    for (kind, base) in [(Kind::Environment, Base::Nothing), (Kind::SmallFile, Base::Ours)] {
        let scene = Scene::new(kind, base).await;
        try_all(&scene, &Mishap::pairs(&scene.requests)).await;
    }
}
