//! `-v`: one line on standard error for each request to the store. Keys and sizes, never contents.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use microsecrets::store::s3::S3Store;
use microsecrets::store::{
    Condition, Delete, Deleted, ErrorKind, Get, HeldVersion, List, Object, Page, Put, Store, StoreError, Stored, Want,
};
use microsecrets::text::escaped;

use crate::args::StoreArgs;

/// A store whose requests are told.
pub(crate) struct Traced {
    store: Arc<dyn Store>,
    /// The same store, when it is a bucket, which may turn out to be in another region.
    bucket: Option<Arc<S3Store>>,
    region_told: AtomicBool,
}

impl Traced {
    /// Wraps a store, if it was asked for.
    pub(crate) fn wrap(store: impl Store + 'static, args: &StoreArgs) -> Box<dyn Store> {
        match args.verbose || args.debug {
            true => Box::new(Self::new(Arc::new(store), None)),
            false => Box::new(store),
        }
    }

    /// Wraps a bucket, if it was asked for.
    pub(crate) fn wrap_bucket(bucket: S3Store, args: &StoreArgs) -> Box<dyn Store> {
        match args.verbose || args.debug {
            true => {
                let bucket = Arc::new(bucket);
                Box::new(Self::new(Arc::clone(&bucket) as Arc<dyn Store>, Some(bucket)))
            }
            false => Box::new(bucket),
        }
    }

    fn new(store: Arc<dyn Store>, bucket: Option<Arc<S3Store>>) -> Self {
        Self {
            store,
            bucket,
            region_told: AtomicBool::new(false),
        }
    }

    fn tell(&self, what: &str, key: &str, started: Instant, outcome: &str) {
        let milliseconds = started.elapsed().as_millis();
        say(&format!(
            "{what} {key} in {}: {outcome} ({milliseconds} ms)",
            self.location()
        ));
        let region = self.bucket.as_ref().and_then(|bucket| bucket.region_followed());
        if let Some(region) = region
            && !self.region_told.swap(true, Ordering::Relaxed)
        {
            say(&format!(
                "the bucket is in region {region}: -r {region} saves a request"
            ));
        }
    }
}

fn say(line: &str) {
    // There is nowhere to report a failing standard error to.
    writeln!(std::io::stderr(), "{}", escaped(line)).ok();
}

fn outcome<T>(result: &Result<T, StoreError>) -> String {
    match result.as_ref().map_err(|error| &error.kind) {
        Ok(_) => "ok".to_owned(),
        // The usual answer to most of them, and no problem.
        Err(ErrorKind::PreconditionFailed) => "not done, since the condition does not hold".to_owned(),
        Err(kind) => kind.to_string(),
    }
}

#[async_trait]
impl Store for Traced {
    fn bucket(&self) -> &str {
        self.store.bucket()
    }

    fn location(&self) -> String {
        self.store.location()
    }

    async fn get(&self, request: Get) -> Result<Object, StoreError> {
        let what = if request.want == Want::Attributes {
            "head"
        } else {
            "get"
        };
        let (key, started) = (request.key.clone(), Instant::now());
        let result = self.store.get(request).await;
        self.tell(what, &key, started, &outcome(&result));
        result
    }

    async fn put(&self, request: Put) -> Result<Stored, StoreError> {
        let (key, started) = (request.key.clone(), Instant::now());
        let only_if_absent = request.condition == Condition::Absent;
        let result = self.store.put(request).await;
        let outcome = match &result {
            // The normal answer for what completes the version before.
            Err(error) if only_if_absent && error.kind == ErrorKind::PreconditionFailed => "there already".to_owned(),
            result => outcome(result),
        };
        self.tell("put", &key, started, &outcome);
        result
    }

    async fn list(&self, request: List) -> Result<Page, StoreError> {
        let (prefix, started) = (request.prefix.clone(), Instant::now());
        let result = self.store.list(request).await;
        self.tell("list", &prefix, started, &outcome(&result));
        result
    }

    async fn delete(&self, request: Delete) -> Result<Deleted, StoreError> {
        let (key, started) = (request.key.clone(), Instant::now());
        let result = self.store.delete(request).await;
        self.tell("delete", &key, started, &outcome(&result));
        result
    }

    async fn versions(&self, key: &str) -> Result<Vec<HeldVersion>, StoreError> {
        let started = Instant::now();
        let result = self.store.versions(key).await;
        self.tell("list versions of", key, started, &outcome(&result));
        result
    }
}
