//! A world with one item in memory, and processes that read and write it.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::result_large_err,
    missing_docs
)]

mod actors;
pub(crate) mod examined;
mod ledger;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use microsecrets::checksum::Checksum;
use microsecrets::document::Variables;
use microsecrets::item::*;
use microsecrets::keys::Keys;
use microsecrets::layout::Item;
use microsecrets::name::{Number, VersionName};
use microsecrets::record::{ChangeKind, Head, Record, SignedRecord};
use microsecrets::secret::{SecretBytes, SecretString};
use microsecrets::store::memory::{Fault, Memory, MemoryClient, When};
use microsecrets::store::{Denial, Encryption, ErrorKind, Mark, Source, StoreError};
use microsecrets::time::Timestamp;
use microsecrets::trust::{Checks, RequiredEncryption};

pub(crate) use self::actors::{doctor, prune};
pub(crate) use self::ledger::Ledger;

/// One byte more than a head carries.
pub(crate) const LARGE: usize = (1 << 20) + 1;

/// What everybody shares: a store and one item in it.
pub(crate) struct World {
    pub(crate) memory: Memory,
    pub(crate) item: Item,
}

impl World {
    pub(crate) fn environment(service: &str) -> Self {
        Self::of(Item::environment(service.parse().unwrap()))
    }

    pub(crate) fn file(service: &str, label: &str) -> Self {
        Self::of(Item::file(service.parse().unwrap(), label.parse().unwrap()))
    }

    pub(crate) fn of(item: Item) -> Self {
        Self {
            memory: Memory::new("test-bucket"),
            item,
        }
    }

    /// An environment with one version for each value of `A`, a second apart.
    pub(crate) async fn with_values(values: &[&str]) -> Self {
        let world = Self::environment("api");
        for value in values {
            world.process().upload(&[("A", value)]).await.unwrap();
            world.tick(1);
        }
        world
    }

    /// A file with one version for each content, a second apart.
    pub(crate) async fn with_files(contents: &[&[u8]]) -> Self {
        let world = Self::file("api", "tls.pem");
        for content in contents {
            world.process().upload_file(content).await.unwrap();
            world.tick(1);
        }
        world
    }

    /// Another world in which everything is as it is here.
    pub(crate) fn fork(&self) -> Self {
        let memory = Memory::new("test-bucket");
        memory.set_now(self.memory.now());
        for (key, kept) in self.memory.snapshot() {
            memory.restore(&key, kept);
        }
        Self {
            memory,
            item: self.item.clone(),
        }
    }

    /// A new process, with no faults.
    pub(crate) fn process(&self) -> Process {
        Process {
            client: self.memory.client(),
            item: self.item.clone(),
            checks: Checks::new(RequiredEncryption::Store),
        }
    }

    /// Lets the store's clock go on.
    pub(crate) fn tick(&self, seconds: i64) {
        self.memory.set_now(self.memory.now() + seconds);
    }

    /// `L`: 0.3.4 uploads, blindly, and names its version by a clock that is so many seconds ahead of the store's.
    pub(crate) fn legacy_ahead(&self, seconds: i64, content: &[u8]) -> String {
        let key = self.key_of(seconds, content);
        self.memory.put_raw(&key, content, None);
        key
    }

    /// `L`: 0.3.4 uploads, with a right clock.
    pub(crate) fn legacy(&self, content: &[u8]) -> String {
        self.legacy_ahead(0, content)
    }

    /// The key that 0.3.4 would give to content, by a clock that is so many seconds ahead of the store's.
    pub(crate) fn key_of(&self, seconds: i64, content: &[u8]) -> String {
        self.item.version_key(&self.name_of(seconds, content))
    }

    pub(crate) fn name_of(&self, seconds: i64, content: &[u8]) -> VersionName {
        let at = Timestamp::from_unix(self.memory.now() + seconds).unwrap();
        VersionName::after(None, at, Checksum::of(content)).unwrap()
    }

    /// What 0.3.4 reads: the bytes at the greatest key, whatever it is.
    pub(crate) fn legacy_reads(&self) -> Option<Vec<u8>> {
        let prefix = self.item.versions_prefix();
        let keys = self.memory.keys();
        let greatest = keys.iter().rfind(|key| key.starts_with(&prefix))?;
        Some(self.memory.object(greatest).unwrap().bytes.to_vec())
    }

    /// The head, as it lies in the store.
    pub(crate) fn head(&self) -> Option<Head> {
        let kept = self.memory.object(&self.item.head_key())?;
        Some(Head::parse(&kept.bytes).unwrap())
    }

    pub(crate) fn head_number(&self) -> u64 {
        self.head().map_or(0, |head| head.record().number.get())
    }

    /// A log entry, as it lies in the store.
    pub(crate) fn log(&self, number: u64) -> Option<SignedRecord> {
        let kept = self.memory.object(&self.item.log_key(nth(number)))?;
        Some(SignedRecord::parse(&kept.bytes).unwrap())
    }

    /// Puts a head as an enemy would: the one there is, with its record or bytes changed.
    pub(crate) fn forge_head(&self, change: impl FnOnce(&mut Record, &mut Vec<u8>)) {
        let (entry, bytes) = self.head().unwrap().into_parts();
        let (mut record, mut bytes) = (entry.record().clone(), bytes.expose().to_vec());
        change(&mut record, &mut bytes);
        let entry = SignedRecord::new(record).unwrap();
        let forged = [entry.to_bytes(), bytes].concat();
        self.memory.put_raw(&self.item.head_key(), &forged, None);
    }

    /// Puts another record in the place of a log entry, unsigned.
    pub(crate) fn forge_log(&self, number: u64, change: impl FnOnce(&mut Record)) {
        let mut record = self.log(number).unwrap().record().clone();
        change(&mut record);
        let forged = SignedRecord::new(record).unwrap().to_bytes();
        self.memory.put_raw(&self.item.log_key(nth(number)), &forged, None);
    }

    /// How the request that commits is spelled.
    pub(crate) fn put_head(&self) -> String {
        format!("put {}", self.item.head_key())
    }

    /// `process` does `work`; when it is about to commit, `meanwhile` happens.
    pub(crate) async fn before_commit<A, B>(
        &self,
        process: &Process,
        work: impl Future<Output = A>,
        meanwhile: impl Future<Output = B>,
    ) -> (A, B) {
        let hold = process.client.hold(&self.put_head());
        let held = async {
            hold.reached().await;
            let done = meanwhile.await;
            hold.release();
            done
        };
        together(work, held).await
    }

    /// `process` does `work`; its commit happens, but the answer is lost; before it asks again `meanwhile` happens.
    pub(crate) async fn after_lost_commit<A, B>(
        &self,
        process: &Process,
        work: impl Future<Output = A>,
        meanwhile: impl Future<Output = B>,
    ) -> (A, B) {
        process.client.plan(When::Begins(self.put_head()), Fault::LoseAnswer);
        self.before_commit(process, work, meanwhile).await
    }

    /// How the request that puts a version's bytes is spelled, without its name.
    pub(crate) fn put_bytes(&self) -> String {
        format!("put {}", self.item.versions_prefix())
    }

    /// The keys of versions.
    pub(crate) fn version_keys(&self) -> Vec<String> {
        let prefix = self.item.versions_prefix();
        let keys = self.memory.keys().into_iter();
        keys.filter(|key| key.starts_with(&prefix)).collect()
    }
}

/// A document as 0.3.4 writes it.
pub(crate) fn legacy_document(pairs: &[(&str, &str)]) -> Vec<u8> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("\"{name}\": \"{value}\""))
        .collect();
    let metadata = r#"{"timestamp": 1795420681.791665, "user": "root@vm"}"#;
    format!(
        "{{\"environment\": {{{}}}, \"metadata\": {metadata}}}",
        pairs.join(", ")
    )
    .into_bytes()
}

/// One process: its own view of the store, its own faults.
pub(crate) struct Process {
    pub(crate) client: MemoryClient,
    pub(crate) item: Item,
    pub(crate) checks: Checks,
}

/// The keys of a store that needs none.
pub(crate) struct NoKeys;

#[async_trait]
impl Keys for NoKeys {
    async fn resolve(&self, _: &str) -> Result<Encryption, StoreError> {
        Ok(Encryption::Store)
    }

    async fn sign(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, StoreError> {
        unreachable!("nothing is signed here")
    }

    async fn public_key(&self, _: &str) -> Result<Vec<u8>, StoreError> {
        unreachable!("nothing is signed here")
    }
}

/// Runs two sides of an interleaving; a side that waits for what never comes fails the test.
pub(crate) async fn together<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let both = async { tokio::join!(one, other) };
    let both = tokio::time::timeout(Duration::from_secs(20), both).await;
    both.expect("one side waits for what never comes")
}

/// Whether somebody else's version came first.
#[track_caller]
pub(crate) fn is_conflict_with(error: &ItemError, number: u64) {
    match error {
        ItemError::Conflict { by, .. } => assert_eq!(by.number.get(), number, "{error}"),
        _ => panic!("no conflict: {error}"),
    }
}

/// Lets every request fail that begins so.
pub(crate) fn always(client: &MemoryClient, begins: &str, kind: ErrorKind) {
    client.plan(When::Every(begins.to_owned()), Fault::Fail(kind));
}

/// Keys that know one KMS key, and count how often they are asked.
pub(crate) struct OneKey {
    pub(crate) arn: String,
    pub(crate) asked: AtomicUsize,
}

impl OneKey {
    /// The ARN of a key, told by one digit.
    pub(crate) fn arn(digit: u8) -> String {
        format!("arn:aws:kms:us-east-1:111122223333:key/{digit}d5eb2d7-0000-4000-8000-6f1d3f7c1a11")
    }

    pub(crate) fn new(digit: u8) -> Self {
        let asked = AtomicUsize::new(0);
        Self {
            arn: Self::arn(digit),
            asked,
        }
    }
}

#[async_trait]
impl Keys for OneKey {
    async fn resolve(&self, _: &str) -> Result<Encryption, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Encryption::Kms(self.arn.clone()))
    }

    async fn sign(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, StoreError> {
        unreachable!("nothing is signed here")
    }

    async fn public_key(&self, _: &str) -> Result<Vec<u8>, StoreError> {
        unreachable!("nothing is signed here")
    }
}

pub(crate) fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

pub(crate) fn number(committed: &Committed) -> u64 {
    committed.entry.record().number.get()
}

pub(crate) fn nth(number: u64) -> Number {
    Number::new(number).unwrap()
}

pub(crate) fn denied() -> ErrorKind {
    ErrorKind::Denied(Denial::default())
}

/// A mark of ours, of a commit that nobody knows.
pub(crate) fn our_mark() -> Option<Mark> {
    Some(Mark::Ours(microsecrets::name::Nonce::from_bytes([9; 16])))
}

pub(crate) fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), SecretString::new((*value).to_owned())));
    Variables::new(pairs.collect()).unwrap()
}

/// A large file: one byte, over and over.
pub(crate) fn large(byte: u8) -> Vec<u8> {
    vec![byte; LARGE]
}

/// Content as bytes: an environment as `A=1` lines.
pub(crate) async fn content_of(content: VersionContent) -> Result<Vec<u8>, ItemError> {
    match content {
        VersionContent::Environment(document) => {
            let lines = document.variables.iter();
            let lines: Vec<_> = lines
                .map(|(name, value)| format!("{name}={}", value.expose()))
                .collect();
            Ok(lines.join("\n").into_bytes())
        }
        VersionContent::File(bytes) => Ok(bytes.expose().to_vec()),
        VersionContent::Stream(mut stream) => {
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        }
        _ => unreachable!("there is no fourth kind of content"),
    }
}

impl Process {
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            store: &self.client,
            checks: &self.checks,
            item: &self.item,
        }
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(self.access())
    }

    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer::new(self.access(), &NoKeys, "alias/none", "ann@test")
    }

    /// The current environment.
    pub(crate) async fn read(&self) -> Result<Vec<(String, String)>, ItemError> {
        let version = self.reader().read(&Selector::Current).await?;
        let VersionContent::Environment(document) = version.content else {
            panic!("no environment")
        };
        Ok(document
            .variables
            .iter()
            .map(|(name, value)| (name.to_owned(), value.expose().to_owned()))
            .collect())
    }

    /// The content of a version, as bytes.
    pub(crate) async fn content(&self, selector: &Selector) -> Result<Vec<u8>, ItemError> {
        content_of(self.reader().read(selector).await?.content).await
    }

    pub(crate) async fn current(&self) -> Result<Vec<u8>, ItemError> {
        self.content(&Selector::Current).await
    }

    pub(crate) async fn at(&self, number: u64) -> Result<Vec<u8>, ItemError> {
        self.content(&Selector::Number(nth(number))).await
    }

    /// Commits one change, whatever the base is.
    pub(crate) async fn commit(&self, kind: ChangeKind, content: impl Fn() -> Content) -> Result<Committed, ItemError> {
        let decide = |_: &Base<'_>| Ok(Decision::Commit(Change::new(kind.clone(), content())));
        match self.writer().write(OnConflict::Report, decide).await? {
            Outcome::Committed(committed) => Ok(committed),
            _ => panic!("this always commits"),
        }
    }

    pub(crate) async fn upload(&self, pairs: &[(&str, &str)]) -> Result<Committed, ItemError> {
        self.commit(ChangeKind::Upload, || Content::Environment(variables(pairs)))
            .await
    }

    pub(crate) async fn upload_file(&self, bytes: &[u8]) -> Result<Committed, ItemError> {
        self.commit(ChangeKind::Upload, || file_content(bytes)).await
    }

    pub(crate) async fn delete(&self) -> Result<Committed, ItemError> {
        self.commit(ChangeKind::Delete, || Content::Deletion).await
    }

    /// Changes single variables, again and again until that is committed.
    pub(crate) async fn apply(&self, mut edits: Edits) -> Result<Outcome, ItemError> {
        let decide = |base: &Base<'_>| match edits.apply(base)? {
            Applied::Variables(variables) => {
                let change = Change::new(ChangeKind::Set, Content::Environment(variables));
                Ok(Decision::Commit(change))
            }
            _ => Ok(Decision::Keep),
        };
        self.writer().write(OnConflict::Reapply, decide).await
    }

    pub(crate) async fn set(&self, name: &str, value: &str) -> Result<Committed, ItemError> {
        let decide = |base: &Base<'_>| {
            let mut pairs = base
                .document()
                .map(|document| document.variables.duplicate().into_pairs())
                .unwrap_or_default();
            pairs.retain(|(candidate, _)| candidate != name);
            pairs.push((name.to_owned(), SecretString::new(value.to_owned())));
            let content = Content::Environment(Variables::new(pairs).unwrap());
            Ok(Decision::Commit(Change::new(ChangeKind::Set, content)))
        };
        match self.writer().write(OnConflict::Reapply, decide).await? {
            Outcome::Committed(committed) => Ok(committed),
            _ => panic!("a set always commits here"),
        }
    }
}

/// A file: a small one in memory, a large one as a source.
pub(crate) fn file_content(bytes: &[u8]) -> Content {
    let (checksum, owned) = (Checksum::of(bytes), bytes.to_vec());
    let bytes = if bytes.len() < LARGE {
        FileBytes::Memory(SecretBytes::new(owned))
    } else {
        FileBytes::Source(Box::new(Whole(io::Cursor::new(owned))))
    };
    let mode = Some(0o600);
    Content::File { bytes, checksum, mode }
}

/// A source that is all there.
struct Whole(io::Cursor<Vec<u8>>);

impl Source for Whole {
    fn size(&self) -> u64 {
        self.0.get_ref().len() as u64
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0, buffer)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.0.set_position(0);
        Ok(())
    }
}
