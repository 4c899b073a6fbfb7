//! Failures on demand: which requests fail, how, and how often that happened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::exchange::Exchange;
use crate::handle::Handle;
use crate::iam::glob;
use crate::state::Shared;

/// What happens to a request that a [`Fault`] matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The operation isn't done; the answer is this status and error code.
    Status(u16, &'static str),
    /// The operation isn't done; the connection is reset (RST).
    Reset,
    /// The operation is done; then the connection is closed without an answer.
    LoseAnswer,
    /// The operation isn't done and no answer ever comes.
    Stall,
    /// The operation is done and no answer ever comes.
    StallAnswer,
    /// The answer's head and this many bytes of its body come, then nothing more.
    StallBody(usize),
    /// The answer's head and this many bytes of its body come, then the connection is closed.
    TruncateBody(usize),
    /// One bit of the body's byte at this place (counted from 0) is flipped.
    CorruptBody {
        /// Which byte, counted from 0.
        at: usize,
        /// Also take away `x-amz-checksum-*` and `ETag`, so that no header contradicts the body.
        strip_checksums: bool,
    },
    /// The operation isn't done; the answer is exactly this.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The `Content-Type`.
        content_type: &'static str,
        /// The body.
        body: Vec<u8>,
    },
    /// The operation is done as usual, after this long.
    Delay(Duration),
}

impl Failure {
    /// Whether the operation itself is left undone.
    pub(crate) fn comes_before(&self) -> bool {
        matches!(self, Self::Status(..) | Self::Reset | Self::Stall | Self::Answer { .. })
    }

    /// Its name in the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Status(..) => "Status",
            Self::Reset => "Reset",
            Self::LoseAnswer => "LoseAnswer",
            Self::Stall => "Stall",
            Self::StallAnswer => "StallAnswer",
            Self::StallBody(_) => "StallBody",
            Self::TruncateBody(_) => "TruncateBody",
            Self::CorruptBody { .. } => "CorruptBody",
            Self::Answer { .. } => "Answer",
            Self::Delay(_) => "Delay",
        }
    }
}

/// What a test does in the middle of things, see [`Fault::call`].
type Hook = Arc<dyn Fn(&Handle) + Send + Sync>;

#[derive(Clone)]
enum Action {
    Fail(Failure),
    Call(Hook),
}

/// Which requests fail: an operation, perhaps a key, from the nth match on, so many times.
///
/// Only requests with a good signature count as matches, but whether they would be allowed doesn't matter.
#[derive(Clone)]
pub struct Fault {
    operation: String,
    bucket: String,
    key: String,
    access_key: String,
    nth: usize,
    times: usize,
    action: Action,
}

impl Fault {
    /// The first request of `operation` fails, once. `operation` is AWS's name (`GetObject`), a glob like `*Object`,
    /// or `kms:*` for everything that goes to KMS.
    pub fn on(operation: impl Into<String>, failure: Failure) -> Self {
        Self::new(operation.into(), Action::Fail(failure))
    }

    /// No failure: this is called before the operation is done, once. So a test can let something happen between two
    /// requests of a program: another writer, a moved alias, a removed object.
    ///
    /// It runs on the thread that serves, so a request to the fake from within would wait for ever.
    pub fn call(operation: impl Into<String>, hook: impl Fn(&Handle) + Send + Sync + 'static) -> Self {
        Self::new(operation.into(), Action::Call(Arc::new(hook)))
    }

    fn new(operation: String, action: Action) -> Self {
        Self {
            operation,
            bucket: "*".into(),
            key: "*".into(),
            access_key: "*".into(),
            nth: 1,
            times: 1,
            action,
        }
    }

    /// Only of this bucket (a glob).
    #[must_use]
    pub fn bucket(mut self, bucket: impl Into<String>) -> Self {
        self.bucket = bucket.into();
        self
    }

    /// Only of this key (a glob). For `ListObjectsV2` the key is the prefix; for KMS the key id as it was sent.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Only with this access key.
    #[must_use]
    pub fn access_key(mut self, access_key: impl Into<String>) -> Self {
        self.access_key = access_key.into();
        self
    }

    /// Only from the nth match on, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: usize) -> Self {
        self.nth = nth.max(1);
        self
    }

    /// So many times (1 unless told otherwise).
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Every time.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let operation = if subject.kms {
            format!("kms:{}", subject.operation)
        } else {
            String::new()
        };
        (glob(&self.operation, subject.operation) || subject.kms && glob(&self.operation, &operation))
            && glob(&self.bucket, subject.bucket)
            && glob(&self.key, subject.key)
            && glob(&self.access_key, subject.access_key)
    }
}

/// What a fault is matched against.
pub(crate) struct Subject<'a> {
    pub(crate) kms: bool,
    pub(crate) operation: &'a str,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) access_key: &'a str,
}

/// How often a fault matched and fired. A test should look: a fault that never fired proves nothing.
#[derive(Clone, Debug)]
pub struct FaultHandle(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    matched: AtomicUsize,
    fired: AtomicUsize,
}

impl FaultHandle {
    /// How many requests failed by it.
    pub fn fired(&self) -> usize {
        self.0.fired.load(Ordering::SeqCst)
    }

    /// How many requests matched it, failed or not.
    pub fn matched(&self) -> usize {
        self.0.matched.load(Ordering::SeqCst)
    }
}

/// All faults in force, in the order they were given; the first that fires wins.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<(Fault, Arc<Counters>)>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> FaultHandle {
        let counters = Arc::new(Counters::default());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((fault, Arc::clone(&counters)));
        FaultHandle(counters)
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What is due: all hooks, and the first failure.
    pub(crate) fn fire(&self, subject: &Subject<'_>) -> Due {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Due::default();
        for (fault, counters) in all.iter().filter(|(fault, _)| fault.matches(subject)) {
            let matched = counters.matched.fetch_add(1, Ordering::SeqCst) + 1;
            if matched < fault.nth || matched - fault.nth >= fault.times {
                continue;
            }
            match &fault.action {
                Action::Call(hook) => due.hooks.push(Arc::clone(hook)),
                Action::Fail(failure) if due.failure.is_none() => due.failure = Some(failure.clone()),
                Action::Fail(_) => continue,
            }
            counters.fired.fetch_add(1, Ordering::SeqCst);
        }
        due
    }
}

/// What is to happen to a request.
#[derive(Default)]
pub(crate) struct Due {
    hooks: Vec<Hook>,
    pub(crate) failure: Option<Failure>,
}

/// Lets happen what is due to a request; true when its operation must not be done.
pub(crate) fn strike(shared: &Arc<Shared>, exchange: &Exchange, subject: &Subject<'_>) -> bool {
    // The lock on the faults is released by now, so hooks may order more of them.
    let due = shared.faults.fire(subject);
    for hook in due.hooks {
        let shared = Arc::clone(shared);
        hook(&Handle { shared });
    }
    exchange.order_failure(due.failure)
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Fault");
        debug
            .field("operation", &self.operation)
            .field("bucket", &self.bucket)
            .field("key", &self.key);
        debug
            .field("access_key", &self.access_key)
            .field("nth", &self.nth)
            .field("times", &self.times);
        match &self.action {
            Action::Fail(failure) => debug.field("failure", failure).finish(),
            Action::Call(_) => debug.finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject<'a>(operation: &'a str, key: &'a str) -> Subject<'a> {
        Subject {
            kms: operation == "Sign",
            operation,
            bucket: "b",
            key,
            access_key: "AKIA",
        }
    }

    #[test]
    fn the_nth_match_fails_so_many_times() {
        let faults = Faults::default();
        let fault = Fault::on("GetObject", Failure::Reset).key("services/*").nth(2).times(2);
        let handle = faults.add(fault);
        let fired: Vec<_> = (0..5)
            .map(|_| faults.fire(&subject("GetObject", "services/a")).failure.is_some())
            .collect();
        assert_eq!(fired, [false, true, true, false, false]);
        assert_eq!(faults.fire(&subject("GetObject", "other")).failure, None);
        assert_eq!(faults.fire(&subject("PutObject", "services/a")).failure, None);
        assert_eq!((handle.matched(), handle.fired()), (5, 2));
    }

    #[test]
    fn kms_is_matched_by_its_prefix() {
        let faults = Faults::default();
        let handle = faults.add(Fault::on("kms:*", Failure::Stall).always());
        assert_eq!(faults.fire(&subject("GetObject", "")).failure, None);
        assert_eq!(faults.fire(&subject("Sign", "")).failure, Some(Failure::Stall));
        assert_eq!(handle.fired(), 1);
    }
}
