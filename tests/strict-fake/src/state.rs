//! What the fake remembers: principals, buckets with their objects and uploads, and keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use s3s::dto;

use crate::body::{Spool, Stored};
use crate::clock::Clock;
use crate::digest::ChecksumAlgorithm;
use crate::fault::Faults;
use crate::iam::{Decision, PolicyKind, Principal, Statement};
use crate::kms::Keys;
use crate::log::Log;
use crate::object::{Attributes, Checksum};

/// What ETags are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EtagStyle {
    /// As at AWS: the MD5 of what isn't encrypted under KMS; otherwise something else that still depends on nothing
    /// but the bytes, so that equal bytes have equal ETags. Code that relies on more than AWS promises fails here.
    #[default]
    Aws,
    /// Always the MD5, as many S3-compatible stores do.
    Md5,
}

/// How S3 answers a request that was signed for another region than the bucket's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WrongRegion {
    /// 301 `PermanentRedirect`: what the endpoint of another region answers.
    #[default]
    PermanentRedirect,
    /// 400 `AuthorizationHeaderMalformed`: what the bucket's own region answers.
    AuthorizationHeaderMalformed,
}

/// Settings that don't change while the fake runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) delay: Duration,
    pub(crate) etags: EtagStyle,
    pub(crate) wrong_region: WrongRegion,
    /// Bodies longer than this are kept in a temporary file.
    pub(crate) spill_over: u64,
    pub(crate) tls: bool,
}

/// Everything the handlers of requests share with the test that started the fake.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) faults: Faults,
    state: Mutex<State>,
    counter: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            clock: Clock::new(),
            log: Log::default(),
            faults: Faults::default(),
            state: Mutex::new(State::default()),
            counter: AtomicU64::new(1),
        }
    }

    /// The state, for as short a time as possible and never across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that this fake hands out once.
    pub(crate) fn next(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct State {
    /// By access key.
    pub(crate) callers: HashMap<String, Caller>,
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) keys: Keys,
}

/// A principal and its rights.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) admin: bool,
    pub(crate) statements: Vec<Statement>,
    pub(crate) session: Session,
}

/// Whether the access key belongs to temporary credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    Permanent,
    Token(String),
    Expired,
}

impl Caller {
    /// Asks the identity-based policies only.
    pub(crate) fn may(&self, action: &str, resource: &str, context: &crate::iam::Context) -> (Decision, PolicyKind) {
        let decision = match crate::iam::decide(&self.statements, action, resource, context) {
            Decision::NotAllowed if self.admin => Decision::Allowed,
            decision => decision,
        };
        (decision, PolicyKind::Identity)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Versioning {
    #[default]
    Never,
    Enabled,
    Suspended,
}

/// A bucket: its configuration, objects and unfinished uploads.
#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) owner: String,
    pub(crate) region: String,
    pub(crate) enforced_ownership: bool,
    pub(crate) versioning: Versioning,
    pub(crate) created: Option<SystemTime>,
    pub(crate) config: Config,
    /// By key; of each key all versions, the current one last. Never an empty list.
    pub(crate) objects: BTreeMap<String, Vec<Version>>,
    /// By upload id.
    pub(crate) uploads: BTreeMap<String, Upload>,
}

/// Configuration that is stored and given back.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) public_access_block: Option<dto::PublicAccessBlockConfiguration>,
    pub(crate) ownership: Option<dto::OwnershipControls>,
    pub(crate) encryption: Option<dto::ServerSideEncryptionConfiguration>,
    pub(crate) lifecycle: Option<Vec<dto::LifecycleRule>>,
    pub(crate) policy: Option<String>,
    pub(crate) policy_statements: Vec<Statement>,
    pub(crate) tags: Option<Vec<dto::Tag>>,
}

/// One version of an object, or a delete marker.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) modified: SystemTime,
    /// `None` is a delete marker.
    pub(crate) object: Option<StoredObject>,
}

#[derive(Clone)]
pub(crate) struct StoredObject {
    pub(crate) body: Stored,
    pub(crate) etag: String,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) attributes: Attributes,
    /// The sizes of its parts, if it came in parts.
    pub(crate) parts: Vec<u64>,
}

impl Bucket {
    /// The current version, unless that is a delete marker.
    pub(crate) fn current(&self, key: &str) -> Option<(&Version, &StoredObject)> {
        let version = self.objects.get(key)?.last()?;
        Some((version, version.object.as_ref()?))
    }

    /// Adds a version the way the bucket's versioning wants it; returns its id, if there are ids.
    pub(crate) fn add(&mut self, key: &str, mut version: Version) -> Option<String> {
        let versions = self.objects.entry(key.to_owned()).or_default();
        if self.versioning != Versioning::Enabled {
            version.id = "null".into();
            versions.retain(|v| v.id != "null");
        }
        let id = version.id.clone();
        versions.push(version);
        (self.versioning != Versioning::Never).then_some(id)
    }

    /// Removes one version for good.
    pub(crate) fn remove_version(&mut self, key: &str, id: &str) -> Option<Version> {
        let versions = self.objects.get_mut(key)?;
        let place = versions.iter().position(|v| v.id == id)?;
        let version = versions.remove(place);
        if versions.is_empty() {
            self.objects.remove(key);
        }
        Some(version)
    }
}

/// A multipart upload that is neither complete nor aborted.
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) initiated: SystemTime,
    pub(crate) initiator: String,
    pub(crate) attributes: Attributes,
    pub(crate) algorithm: Option<ChecksumAlgorithm>,
    pub(crate) full_object: bool,
    pub(crate) parts: BTreeMap<i32, Part>,
    /// Where its parts are kept when they are too many for memory.
    pub(crate) spool: Spool,
}

pub(crate) struct Part {
    pub(crate) body: Stored,
    pub(crate) etag: String,
    /// What the ETag of the whole is computed from.
    pub(crate) digest: Vec<u8>,
    pub(crate) sums: Vec<(ChecksumAlgorithm, Vec<u8>)>,
}
