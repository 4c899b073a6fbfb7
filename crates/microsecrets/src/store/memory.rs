//! The store in memory: for tests, with faults, delays, lost answers and crashes at every call.
//!
//! One [`Memory`] is what everybody shares; each [`MemoryClient`] is one process's view of it, with its own faults.
//! Nothing happens but what the test says: requests of a client are counted from 1, and a fault is tied to a request by
//! its number or by what it asks. The clock stands still until it is set. Who runs first among several clients on one
//! thread follows from a seed ([`MemoryClient::jitter`]).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    Body, Condition, Delete, Deleted, ETag, Encryption, Entry, ErrorKind, Get, HeldVersion, List, Mark, Object,
    Operation, Page, Payload, Pieces, Put, RetryPolicy, Store, StoreError, Stored, Want, Which,
};
use crate::secret::SecretBytes;
use crate::spill::into_memory;
use crate::time::Timestamp;

/// How many keys a page of a listing has, as on S3, unless told otherwise.
const PAGE: usize = 1_000;

/// Objects in memory, shared by all clients.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    bucket: String,
    objects: BTreeMap<String, Kept>,
    now: i64,
    page: usize,
    ignores_conditions: bool,
    ignores_etags: bool,
    unique_etags: bool,
    versioned: bool,
    writes: u64,
    late: Vec<LateWork>,
}

/// A request that is still on its way, though nobody waits for its answer any more.
type LateWork = Box<dyn FnOnce(&mut Shared) + Send>;

/// An object, as it is kept.
#[derive(Clone)]
#[non_exhaustive]
pub struct Kept {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its mark.
    pub mark: Option<Mark>,
    /// What the store says of its encryption.
    pub encryption: Encryption,
    /// When it was written.
    pub modified: i64,
    etag: ETag,
    version_id: Option<String>,
}

impl Memory {
    /// An empty store, its clock at 2026-11-23T08:00:00Z.
    pub fn new(bucket: &str) -> Self {
        let shared = Shared {
            bucket: bucket.to_owned(),
            objects: BTreeMap::new(),
            now: 1_795_420_800,
            page: PAGE,
            ignores_conditions: false,
            ignores_etags: false,
            unique_etags: false,
            versioned: false,
            writes: 0,
            late: Vec::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// A new client: one process's view, with no faults.
    pub fn client(&self) -> MemoryClient {
        let policy = RetryPolicy {
            base: Duration::ZERO,
            attempts: 4,
            ..RetryPolicy::default()
        };
        let plan = Arc::new(Mutex::new(Plan::default()));
        let bucket = self.lock().bucket.clone();
        MemoryClient {
            memory: self.clone(),
            plan,
            policy,
            bucket,
        }
    }

    /// The store's clock, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.lock().now
    }

    /// Sets the store's clock.
    pub fn set_now(&self, seconds: i64) {
        self.lock().now = seconds;
    }

    /// Sets how many keys a page of a listing has.
    pub fn set_page(&self, keys: usize) {
        self.lock().page = keys;
    }

    /// Makes the store answer 200 to every put, whatever its condition: it cannot compare-and-swap.
    pub fn ignore_conditions(&self, ignore: bool) {
        self.lock().ignores_conditions = ignore;
    }

    /// Makes the store ignore `If-Match` alone.
    pub fn ignore_etags(&self, ignore: bool) {
        self.lock().ignores_etags = ignore;
    }

    /// Gives every write an ETag of its own, as S3 does under SSE-KMS. Without it an ETag is a digest of the bytes, as at
    /// stores at their worst.
    pub fn unique_etags(&self, unique: bool) {
        self.lock().unique_etags = unique;
    }

    /// Gives every write a version id, as in a bucket with versioning. (Older versions are not kept.)
    pub fn versioned(&self, versioned: bool) {
        self.lock().versioned = versioned;
    }

    /// Lets the requests arrive that [`Fault::Late`] held up; answers how many there were.
    pub fn deliver_late(&self) -> usize {
        let mut shared = self.lock();
        let late = std::mem::take(&mut shared.late);
        late.into_iter().map(|work| work(&mut shared)).count()
    }

    /// Puts an object as somebody else would: 0.3.4, an operator, an enemy.
    pub fn put_raw(&self, key: &str, bytes: &[u8], mark: Option<Mark>) {
        self.insert_raw(key, bytes, mark, Encryption::Store);
    }

    /// The same, with what the store shall say of its encryption.
    pub fn insert_raw(&self, key: &str, bytes: &[u8], mark: Option<Mark>, encryption: Encryption) {
        self.lock().insert(key, Bytes::copy_from_slice(bytes), mark, encryption);
    }

    /// Removes an object, as somebody else would.
    pub fn remove(&self, key: &str) -> Option<Kept> {
        self.lock().objects.remove(key)
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<Kept> {
        self.lock().objects.get(key).cloned()
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// All objects, to be put back later: a restored bucket.
    pub fn snapshot(&self) -> BTreeMap<String, Kept> {
        self.lock().objects.clone()
    }

    /// Puts an object back as it was.
    pub fn restore(&self, key: &str, kept: Kept) {
        self.lock().objects.insert(key.to_owned(), kept);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's view of a [`Memory`].
#[derive(Clone)]
pub struct MemoryClient {
    memory: Memory,
    plan: Arc<Mutex<Plan>>,
    policy: RetryPolicy,
    bucket: String,
}

#[derive(Default)]
struct Plan {
    faults: Vec<(When, Fault)>,
    log: Vec<String>,
    crashed: bool,
    jitter: u64,
}

/// Which request a fault is for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum When {
    /// The n-th request of this client, from 1; attempts are counted, so a retry is a request of its own.
    Request(usize),
    /// The next request whose line in [`MemoryClient::log`] begins so.
    Begins(String),
    /// Every request whose line begins so, also those after a hit.
    Every(String),
}

/// What happens to a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It fails before it does anything.
    Fail(ErrorKind),
    /// It does its work, but the answer is lost.
    LoseAnswer,
    /// It is lost on its way, as far as its sender knows, and arrives at [`Memory::deliver_late`], if ever.
    Late,
    /// The process is killed before the request does anything: this and every later request fails.
    CrashBefore,
    /// The process is killed after the request did its work.
    CrashAfter,
    /// It waits, before it does anything, until it is let go.
    Hold(Hold),
}

/// Holds a request until it is let go.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

impl Hold {
    /// A new hold.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until the request is there.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets the request go on.
    pub fn release(&self) {
        self.go.notify_one();
    }
}

impl MemoryClient {
    /// Lets others run a random number of times before each request, from this seed.
    pub fn jitter(&self, seed: u64) {
        // Of xorshift, which must not begin with 0.
        self.plan_lock().jitter = seed.wrapping_mul(2).wrapping_add(1);
    }

    /// Adds a fault: for one request, or for every one that [`When::Every`] names.
    pub fn plan(&self, when: When, fault: Fault) {
        self.plan_lock().faults.push((when, fault));
    }

    /// Holds the next request that begins so; see [`MemoryClient::log`] for how requests are spelled.
    pub fn hold(&self, begins: &str) -> Hold {
        let hold = Hold::new();
        self.plan(When::Begins(begins.to_owned()), Fault::Hold(hold.clone()));
        hold
    }

    /// The requests so far, one line each: `get KEY`, `head KEY`, `put KEY`, `list PREFIX`, `delete KEY`.
    pub fn log(&self) -> Vec<String> {
        self.plan_lock().log.clone()
    }

    /// Whether a fault killed this client's process.
    pub fn crashed(&self) -> bool {
        self.plan_lock().crashed
    }

    fn plan_lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request and finds out what shall happen to it.
    fn next_fault(&self, line: &str) -> Option<Fault> {
        let mut plan = self.plan_lock();
        if plan.crashed {
            return Some(Fault::CrashBefore);
        }
        plan.log.push(line.to_owned());
        let number = plan.log.len();
        let hit = plan.faults.iter().position(|(when, _)| match when {
            When::Request(n) => *n == number,
            When::Begins(start) | When::Every(start) => line.starts_with(start.as_str()),
        })?;
        match &plan.faults[hit] {
            (When::Every(_), fault) => Some(fault.clone()),
            _ => Some(plan.faults.remove(hit).1),
        }
    }

    /// How often others run before the next request: once, or up to four times with jitter.
    fn yields(&self) -> u64 {
        let jitter = &mut self.plan_lock().jitter;
        *jitter ^= *jitter << 13;
        *jitter ^= *jitter >> 7;
        *jitter ^= *jitter << 17;
        1 + (*jitter >> 32) % 4
    }

    /// One attempt of a request, with what the plan does to it.
    async fn attempt<T>(
        &self,
        operation: Operation,
        subject: &str,
        work: impl FnOnce(&mut Shared) -> Result<T, ErrorKind> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Every request is a point where others may run.
        for _ in 0..self.yields() {
            tokio::task::yield_now().await;
        }
        let fail = |kind, maybe_applied| StoreError {
            maybe_applied,
            ..StoreError::new(operation, subject, kind)
        };
        let fault = self.next_fault(&format!("{operation} {subject}"));
        match &fault {
            Some(Fault::Fail(kind)) => return Err(fail(kind.clone(), false)),
            Some(Fault::CrashBefore) => {
                self.plan_lock().crashed = true;
                return Err(fail(ErrorKind::Crashed, false));
            }
            Some(Fault::Late) => {
                let late = Box::new(|shared: &mut Shared| drop(work(shared)));
                self.memory.lock().late.push(late);
                return Err(fail(ErrorKind::Unavailable, true));
            }
            Some(Fault::Hold(hold)) => {
                hold.reached.notify_one();
                hold.go.notified().await;
            }
            _ => {}
        }
        let result = work(&mut self.memory.lock());
        match fault {
            Some(Fault::LoseAnswer) => Err(fail(ErrorKind::Unavailable, true)),
            Some(Fault::CrashAfter) => {
                self.plan_lock().crashed = true;
                Err(fail(ErrorKind::Crashed, true))
            }
            _ => result.map_err(|kind| fail(kind, false)),
        }
    }
}

impl MemoryClient {
    /// A request with its retries.
    async fn request<T>(
        &self,
        operation: Operation,
        subject: &str,
        work: impl Fn(&mut Shared) -> Result<T, ErrorKind> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let work = Arc::new(work);
        let described = StoreError::new(operation, subject, ErrorKind::Unavailable);
        let attempt = || {
            let work = work.clone();
            self.attempt(operation, subject, move |shared| work(shared))
        };
        self.policy.run(described, attempt).await
    }
}

impl Shared {
    fn date(&self) -> Timestamp {
        timestamp(self.now)
    }

    fn insert(&mut self, key: &str, bytes: Bytes, mark: Option<Mark>, encryption: Encryption) -> Stored {
        self.writes += 1;
        let etag = if self.unique_etags {
            format!("\"write-{}\"", self.writes)
        } else {
            format!("\"{:016x}\"", digest(&bytes))
        };
        let stored = Stored {
            etag: ETag::new(etag),
            version_id: self.versioned.then(|| format!("version-{}", self.writes)),
            etag_is_unique: self.unique_etags,
        };
        let kept = Kept {
            bytes,
            mark,
            encryption,
            modified: self.now,
            etag: stored.etag.clone(),
            version_id: stored.version_id.clone(),
        };
        self.objects.insert(key.to_owned(), kept);
        stored
    }

    fn delete(&mut self, request: &Delete) -> Result<Deleted, ErrorKind> {
        let Some(kept) = self.objects.get(&request.key) else {
            return Ok(Deleted::default());
        };
        let is_meant = match &request.which {
            Which::Any => true,
            Which::WithETag(etag) if kept.etag == *etag => true,
            Which::WithETag(_) => return Err(ErrorKind::PreconditionFailed),
            Which::WithVersionId(id) => kept.version_id.as_ref() == Some(id),
        };
        if is_meant {
            self.objects.remove(&request.key);
        }
        let marker = self.versioned && !matches!(request.which, Which::WithVersionId(_));
        Ok(Deleted { marker })
    }

    fn get(&self, request: &Get) -> Result<Object, ErrorKind> {
        let kept = self.objects.get(&request.key).ok_or(ErrorKind::NotFound)?;
        let (etag, size) = (kept.etag.clone(), kept.bytes.len() as u64);
        if request.if_none_match.as_ref() == Some(&etag) {
            return Err(ErrorKind::NotModified);
        }
        let body = match request.want {
            Want::Attributes => Body::None,
            Want::Stream => Body::Stream(Box::new(KeptPieces(kept.bytes.clone()))),
            Want::Whole { limit } if size > limit => return Err(ErrorKind::TooLarge { limit }),
            Want::Whole { .. } => Body::Whole(SecretBytes::new(kept.bytes.to_vec())),
        };
        let (mark, encryption) = (kept.mark, kept.encryption.clone());
        Ok(Object {
            etag,
            size,
            encryption,
            mark,
            modified: timestamp(kept.modified),
            date: self.date(),
            body,
        })
    }

    fn allows(&self, key: &str, condition: &Condition) -> Result<(), ErrorKind> {
        match (self.objects.get(key), condition) {
            _ if self.ignores_conditions => Ok(()),
            (Some(_), Condition::Is(_)) if self.ignores_etags => Ok(()),
            (None, Condition::Absent) => Ok(()),
            (Some(kept), Condition::Is(etag)) if kept.etag == *etag => Ok(()),
            // As S3 does: If-Match on a key that is not there is no 412.
            (None, Condition::Is(_)) => Err(ErrorKind::NotFound),
            _ => Err(ErrorKind::PreconditionFailed),
        }
    }

    fn list(&self, request: &List) -> Page {
        let after = request.continuation.as_ref().max(request.start_after.as_ref());
        let most = request.limit.map_or(self.page, usize::from).min(self.page);
        let (mut entries, mut groups): (Vec<Entry>, Vec<String>) = (Vec::new(), Vec::new());
        let mut last = None;
        for (key, kept) in self.objects.range(request.prefix.clone()..) {
            let Some(rest) = key.strip_prefix(&request.prefix) else {
                break;
            };
            if after.is_some_and(|after| key <= after) {
                continue;
            }
            let group = request
                .delimiter
                .and_then(|delimiter| rest.split_once(delimiter))
                .map(|(name, _)| name);
            let group = group.map(|name| format!("{}{name}{}", request.prefix, request.delimiter.unwrap_or('/')));
            let repeated = group.is_some() && groups.last() == group.as_ref();
            if !repeated && entries.len() + groups.len() == most {
                return Page {
                    entries,
                    groups,
                    continuation: last,
                    date: self.date(),
                };
            }
            last = Some(key.clone());
            match group {
                Some(_) if repeated => {}
                Some(group) => groups.push(group),
                None => entries.push(Entry {
                    key: key.clone(),
                    size: kept.bytes.len() as u64,
                    modified: timestamp(kept.modified),
                }),
            }
        }
        Page {
            entries,
            groups,
            continuation: None,
            date: self.date(),
        }
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds).unwrap_or_else(Timestamp::now)
}

struct KeptPieces(Bytes);

#[async_trait]
impl Pieces for KeptPieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let piece = self.0.split_to(self.0.len().min(64 << 10));
        Ok((!piece.is_empty()).then_some(piece))
    }
}

#[async_trait]
impl Store for MemoryClient {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    fn location(&self) -> String {
        format!("memory:{}", self.bucket)
    }

    async fn get(&self, request: Get) -> Result<Object, StoreError> {
        let operation = if request.want == Want::Attributes {
            Operation::Head
        } else {
            Operation::Get
        };
        let key = request.key.clone();
        self.request(operation, &key, move |shared| shared.get(&request)).await
    }

    async fn put(&self, request: Put) -> Result<Stored, StoreError> {
        let Put {
            key,
            payload,
            condition,
            encryption,
            mark,
            ..
        } = request;
        let bytes = read_payload(payload)
            .map_err(|error| StoreError::new(Operation::Put, &key, ErrorKind::UnreadableSource).with_source(error))?;
        let (subject, mark) = (key.clone(), mark.map(Mark::Ours));
        self.request(Operation::Put, &subject, move |shared| {
            shared.allows(&key, &condition)?;
            Ok(shared.insert(&key, bytes.clone(), mark, encryption.clone()))
        })
        .await
    }

    async fn list(&self, request: List) -> Result<Page, StoreError> {
        let prefix = request.prefix.clone();
        self.request(Operation::List, &prefix, move |shared| Ok(shared.list(&request)))
            .await
    }

    async fn delete(&self, request: Delete) -> Result<Deleted, StoreError> {
        let key = request.key.clone();
        self.request(Operation::Delete, &key, move |shared| shared.delete(&request))
            .await
    }

    /// Only the current one: what was overwritten or deleted is not kept here.
    async fn versions(&self, key: &str) -> Result<Vec<HeldVersion>, StoreError> {
        let wanted = key.to_owned();
        let id = move |shared: &mut Shared| Ok(shared.objects.get(&wanted).and_then(|kept| kept.version_id.clone()));
        let id: Option<String> = self.request(Operation::ListVersions, key, id).await?;
        let held = id.map(|id| HeldVersion { id, marker: false });
        Ok(Vec::from_iter(held))
    }
}

/// A digest of an object's bytes, good enough for an ETag here, and fast.
fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn read_payload(payload: Payload) -> std::io::Result<Bytes> {
    match payload {
        Payload::Bytes(bytes) => Ok(Bytes::from_owner(bytes)),
        Payload::Source(mut source) => {
            source.rewind()?;
            into_memory(&mut *source).map(Bytes::from_owner)
        }
    }
}
