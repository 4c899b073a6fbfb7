//! The fake from behind: how tests set it up, look into it and make it fail.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::body::Stored;
use crate::digest::{ChecksumAlgorithm, Digests, base64};
use crate::fault::{Fault, FaultHandle};
use crate::iam::{Condition, Effect, Patterns, Principal, Statement};
use crate::kms::Kms;
use crate::log::{KmsUse, LoggedRequest};
use crate::object::{Bucket, Checksum, Object, Raw, Sse};
use crate::state::{self, Caller, EtagStyle, Session, Settings, Shared, StoredObject, Version, Versioning};
use crate::{policy, s3};

/// Everything a test can do to a fake and learn from it. [`StrictFake`](crate::StrictFake) dereferences to it; hooks
/// get one (see [`Fault::call`]).
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// Buckets and keys.
impl Handle {
    /// Adds a bucket, or replaces one with an empty one.
    pub fn add_bucket(&self, name: &str, bucket: Bucket) {
        let made = state::Bucket {
            owner: bucket.owner,
            region: bucket.region,
            enforced_ownership: bucket.enforced_ownership,
            versioning: if bucket.versioning {
                Versioning::Enabled
            } else {
                Versioning::Never
            },
            created: Some(self.shared.clock.now()),
            ..state::Bucket::default()
        };
        self.shared.state().buckets.insert(name.to_owned(), made);
    }

    /// The keys of the home account and region.
    pub fn kms(&self) -> Kms {
        let Settings { account, region, .. } = &self.shared.settings;
        self.kms_of(account, region)
    }

    /// The keys of another account or region.
    pub fn kms_of(&self, account: &str, region: &str) -> Kms {
        Kms::new(Arc::clone(&self.shared), account.to_owned(), region.to_owned())
    }
}

/// Callers and their rights.
impl Handle {
    /// A caller who may do nothing until [`allow`](Self::allow) or [`attach_policy`](Self::attach_policy).
    /// Its name is the access key in lower case.
    pub fn principal(&self, access_key: &str, secret_key: &str, account: &str) -> Principal {
        self.add_caller(access_key, secret_key, account, false)
    }

    /// A caller who may do everything that no statement denies.
    pub fn admin(&self, access_key: &str, secret_key: &str, account: &str) -> Principal {
        self.add_caller(access_key, secret_key, account, true)
    }

    fn add_caller(&self, access_key: &str, secret_key: &str, account: &str, admin: bool) -> Principal {
        let principal = Principal {
            name: access_key.to_ascii_lowercase(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            account: account.to_owned(),
        };
        let caller = Caller {
            principal: principal.clone(),
            admin,
            statements: vec![],
            session: Session::Permanent,
        };
        self.shared.state().callers.insert(access_key.to_owned(), caller);
        principal
    }

    /// Allows an action on a resource; both may have wildcards.
    pub fn allow(&self, principal: &Principal, action: &str, resource: &str) {
        self.allow_if(principal, action, resource, &[]);
    }

    /// Allows an action on a resource when all the conditions hold.
    pub fn allow_if(&self, principal: &Principal, action: &str, resource: &str, conditions: &[Condition]) {
        self.add_statement(principal, Effect::Allow, action, resource, conditions);
    }

    /// Denies an action on a resource, whatever else allows it.
    pub fn deny(&self, principal: &Principal, action: &str, resource: &str) {
        self.add_statement(principal, Effect::Deny, action, resource, &[]);
    }

    fn add_statement(&self, principal: &Principal, effect: Effect, action: &str, resource: &str, when: &[Condition]) {
        let (actions, resources) = (Patterns::one(action), Patterns::one(resource));
        let statement = Statement {
            effect,
            actions,
            resources,
            conditions: when.to_vec(),
        };
        self.change_caller(principal, |caller| caller.statements.push(statement));
    }

    /// Gives a caller the rights of an IAM policy document.
    ///
    /// # Errors
    /// What the fake doesn't understand in it: it evaluates everything or nothing.
    pub fn attach_policy(&self, principal: &Principal, document: &str) -> Result<(), String> {
        let statements = policy::parse(document)?;
        self.change_caller(principal, |caller| caller.statements.extend(statements));
        Ok(())
    }

    /// Takes all statements away from a caller.
    pub fn revoke_all(&self, principal: &Principal) {
        self.change_caller(principal, |caller| caller.statements.clear());
    }

    /// Makes the access key one of temporary credentials: requests must bring this token.
    pub fn set_session_token(&self, principal: &Principal, token: &str) {
        self.change_caller(principal, |caller| caller.session = Session::Token(token.to_owned()));
    }

    /// Lets the caller's temporary credentials expire.
    pub fn expire(&self, principal: &Principal) {
        self.change_caller(principal, |caller| caller.session = Session::Expired);
    }

    fn change_caller(&self, principal: &Principal, change: impl FnOnce(&mut Caller)) {
        let mut state = self.shared.state();
        let caller = state.callers.get_mut(&principal.access_key);
        change(caller.expect("the principal was made by this fake"));
    }
}

/// What happened.
impl Handle {
    /// All requests so far, in the order in which they were answered.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.log.requests()
    }

    /// The names of the operations so far, in the order in which they were answered.
    pub fn operations(&self) -> Vec<String> {
        self.requests().into_iter().map(|r| r.operation).collect()
    }

    /// All uses of keys so far, with their encryption contexts: what CloudTrail would show.
    pub fn kms_uses(&self) -> Vec<KmsUse> {
        self.shared.log.kms_uses()
    }

    /// Forgets the requests and uses of keys so far.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// Writes each further request to a file as a line of JSON. With `forget`, memory keeps none of them.
    pub fn log_to(&self, file: Option<File>, forget: bool) {
        self.shared.log.write_to(file, forget);
    }
}

/// Failures and time.
impl Handle {
    /// Orders a failure. Earlier orders go first.
    pub fn fail(&self, fault: Fault) -> FaultHandle {
        self.shared.faults.add(fault)
    }

    /// Takes all orders back.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Puts the fake's clock so many seconds ahead of the real one (or behind it).
    pub fn set_clock(&self, offset_seconds: i64) {
        self.shared.clock.set_offset(offset_seconds);
    }

    /// Stops the fake's clock.
    pub fn freeze_clock(&self, at: SystemTime) {
        self.shared.clock.freeze(at);
    }

    /// The fake's time, to the second.
    pub fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }
}

/// The bucket from behind: no request, no check, no log. The bucket must exist.
impl Handle {
    /// Puts an object; returns its version id (`null` where the bucket has no versioning).
    pub fn put_raw(&self, bucket: &str, key: &str, body: impl Into<Bytes>, raw: Raw) -> String {
        let body = body.into();
        let kms_only = self.shared.settings.etags == EtagStyle::Aws && matches!(raw.attributes.sse, Sse::Kms { .. });
        let mut digests = Digests::new(!kms_only && raw.etag.is_none(), vec![]);
        digests.update(&body);
        let finished = digests.finish();
        let etag = raw
            .etag
            .unwrap_or_else(|| s3::etag(self.shared.settings.etags, &raw.attributes.sse, &finished));
        let algorithm = ChecksumAlgorithm::Crc64nvme;
        let checksum = (!raw.no_checksum).then(|| Checksum {
            algorithm,
            value: finished.sum(algorithm).map(base64).unwrap_or_default(),
            composite: false,
        });
        let object = StoredObject {
            body: Stored::from(body),
            etag,
            checksum,
            attributes: raw.attributes,
            parts: vec![],
        };
        let id = s3::version_id(self.shared.next());
        let modified = raw.last_modified.unwrap_or_else(|| self.shared.clock.now());
        let version = Version {
            id,
            modified,
            object: Some(object),
        };
        self.with_bucket(bucket, |bucket| bucket.add(key, version))
            .unwrap_or_else(|| "null".into())
    }

    /// The current version of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.with_bucket(bucket, |bucket| {
            let (version, object) = bucket.current(key)?;
            Some(view(key, version, object))
        })
    }

    /// All versions of an object that have bytes, the oldest first.
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Object> {
        self.with_bucket(bucket, |bucket| {
            let versions = bucket.objects.get(key).into_iter().flatten();
            versions
                .filter_map(|v| Some(view(key, v, v.object.as_ref()?)))
                .collect()
        })
    }

    /// The keys of all objects that are there, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.with_bucket(bucket, |bucket| {
            bucket
                .objects
                .keys()
                .filter(|key| bucket.current(key).is_some())
                .cloned()
                .collect()
        })
    }

    /// Removes an object with all its versions; says whether there was one.
    pub fn remove(&self, bucket: &str, key: &str) -> bool {
        self.with_bucket(bucket, |bucket| bucket.objects.remove(key).is_some())
    }

    /// Removes the newest version (or delete marker) of an object; the one before it is current again.
    pub fn remove_newest(&self, bucket: &str, key: &str) -> bool {
        self.with_bucket(bucket, |bucket| {
            let id = bucket.objects.get(key).and_then(|v| v.last()).map(|v| v.id.clone());
            id.and_then(|id| bucket.remove_version(key, &id)).is_some()
        })
    }

    /// The keys of unfinished multipart uploads, sorted.
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        self.with_bucket(bucket, |bucket| {
            let mut keys: Vec<_> = bucket.uploads.values().map(|u| u.key.clone()).collect();
            keys.sort();
            keys
        })
    }

    /// The names of all buckets, sorted.
    pub fn buckets(&self) -> Vec<String> {
        self.shared.state().buckets.keys().cloned().collect()
    }

    pub(crate) fn with_bucket<T>(&self, name: &str, work: impl FnOnce(&mut state::Bucket) -> T) -> T {
        let mut state = self.shared.state();
        work(state.buckets.get_mut(name).expect("the bucket exists"))
    }
}

fn view(key: &str, version: &Version, object: &StoredObject) -> Object {
    Object {
        key: key.to_owned(),
        body: object.body.to_bytes().expect("the temporary file is readable"),
        etag: object.etag.clone(),
        version_id: version.id.clone(),
        last_modified: version.modified,
        attributes: object.attributes.clone(),
        checksum: object.checksum.clone(),
        parts: object.parts.len(),
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
