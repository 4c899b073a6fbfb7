//! Retries: full jitter, for what may pass, and never without remembering that an answer may have been lost.

use std::future::Future;
use std::time::Duration;

use super::{ErrorKind, StoreError};

/// How often and how long to try.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The most attempts, the first included.
    pub attempts: u32,
    /// The longest wait before the second attempt; doubled for each one after it.
    pub base: Duration,
    /// The longest wait before any attempt.
    pub cap: Duration,
    /// How long one request may take, all its attempts and waits included.
    pub timeout: Duration,
}

impl Default for RetryPolicy {
    /// 8 attempts, waits of up to 50 ms doubling to 2 s, 30 s for all.
    fn default() -> Self {
        Self {
            attempts: 8,
            base: Duration::from_millis(50),
            cap: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The default with another time-out.
    pub fn with_timeout(timeout: Duration) -> Self {
        Self {
            timeout,
            ..Self::default()
        }
    }

    /// Runs a request until it succeeds, fails for good, or its time is up.
    ///
    /// `maybe_applied` of the error is set when any attempt may have reached the store without its answer reaching us,
    /// also when a later attempt got a definite answer: a 412 after a lost answer may be our own doing.
    pub(crate) async fn run<T, F>(&self, describe: StoreError, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut maybe_applied = false;
        let mut waiting_after = None;
        let tries = async {
            for tried in 1.. {
                let error = match attempt().await {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
                maybe_applied |= error.maybe_applied;
                if tried >= self.attempts || !may_pass(&error) {
                    return Err(error);
                }
                waiting_after = Some(error);
                tokio::time::sleep(self.wait(tried)).await;
                waiting_after = None;
            }
            unreachable!("the loop ends by returning")
        };
        let timed_out = StoreError {
            kind: ErrorKind::TimedOut {
                seconds: self.timeout.as_secs(),
            },
            ..describe
        };
        let result = tokio::time::timeout(self.timeout, tries).await;
        match (result, waiting_after) {
            (Ok(Ok(value)), _) => Ok(value),
            (Ok(Err(error)), _) => Err(StoreError { maybe_applied, ..error }),
            // The time is up, but the last answer says more than that there was none.
            (Err(_), Some(error)) => Err(StoreError { maybe_applied, ..error }),
            (Err(_), None) => Err(StoreError {
                maybe_applied: true,
                ..timed_out
            }),
        }
    }

    /// A random wait before the next attempt, between nothing and the (capped) double of the one before.
    fn wait(&self, tried: u32) -> Duration {
        let most = self.base.saturating_mul(1 << (tried - 1).min(16)).min(self.cap);
        let mut random = [0; 4];
        // Without random bytes the wait is the longest one, which is safe.
        let share =
            getrandom::fill(&mut random).map_or(1.0, |()| f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX));
        most.mul_f64(share)
    }
}

/// Whether a later attempt may end otherwise. 409 of a condition is `Unavailable` with its code.
fn may_pass(error: &StoreError) -> bool {
    matches!(error.kind, ErrorKind::Throttled | ErrorKind::Unavailable)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::store::Operation;

    fn error(kind: ErrorKind, maybe_applied: bool) -> StoreError {
        StoreError {
            maybe_applied,
            ..StoreError::new(Operation::Put, "key", kind)
        }
    }

    fn run(outcomes: &[Result<u8, (ErrorKind, bool)>]) -> (Result<u8, StoreError>, usize) {
        let policy = RetryPolicy {
            attempts: 4,
            base: Duration::ZERO,
            ..RetryPolicy::default()
        };
        let used = Cell::new(0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let result = runtime.block_on(policy.run(error(ErrorKind::Unavailable, false), || {
            let outcome = outcomes[used.get()].clone();
            used.set(used.get() + 1);
            async move { outcome.map_err(|(kind, maybe_applied)| error(kind, maybe_applied)) }
        }));
        (result, used.get())
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        let (result, used) = run(&[
            Err((ErrorKind::Throttled, false)),
            Err((ErrorKind::Unavailable, false)),
            Ok(7),
        ]);
        assert_eq!((result.expect("the third attempt"), used), (7, 3));
    }

    #[test]
    fn what_is_definite_is_not_tried_again() {
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::PreconditionFailed,
            ErrorKind::Denied(crate::store::Denial::default()),
        ] {
            let (result, used) = run(&[Err((kind.clone(), false)), Ok(7)]);
            let error = result.expect_err("a definite failure");
            assert_eq!((error.kind, error.maybe_applied, used), (kind, false, 1));
        }
    }

    #[test]
    fn attempts_are_counted() {
        let (result, used) = run(&vec![Err((ErrorKind::Unavailable, false)); 9]);
        assert_eq!((result.expect_err("no luck").kind, used), (ErrorKind::Unavailable, 4));
    }

    #[test]
    fn a_lost_answer_is_not_forgotten_when_the_next_one_is_definite() {
        let (result, _) = run(&[
            Err((ErrorKind::Unavailable, true)),
            Err((ErrorKind::PreconditionFailed, false)),
        ]);
        let error = result.expect_err("the second attempt's answer");
        assert_eq!((error.kind, error.maybe_applied), (ErrorKind::PreconditionFailed, true));
    }

    #[test]
    fn the_wait_is_at_most_doubled_and_capped() {
        let policy = RetryPolicy::default();
        for tried in 1..40 {
            let most = policy.base.saturating_mul(1 << (tried - 1).min(16)).min(policy.cap);
            assert!(policy.wait(tried) <= most);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_request_without_an_answer_ends_and_may_have_been_applied() {
        let policy = RetryPolicy {
            timeout: Duration::from_millis(5),
            ..RetryPolicy::default()
        };
        let result: Result<(), _> = policy
            .run(error(ErrorKind::Unavailable, false), std::future::pending)
            .await;
        let error = result.expect_err("it never answers");
        assert!(matches!(error.kind, ErrorKind::TimedOut { .. }));
        assert!(error.maybe_applied);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_time_that_is_up_while_waiting_ends_with_the_last_answer() {
        let policy = RetryPolicy {
            base: Duration::from_secs(60),
            cap: Duration::from_secs(60),
            timeout: Duration::from_millis(5),
            ..RetryPolicy::default()
        };
        for maybe_applied in [false, true] {
            let result: Result<(), _> = policy
                .run(error(ErrorKind::Unavailable, false), || async {
                    Err(error(ErrorKind::Throttled, maybe_applied))
                })
                .await;
            let error = result.expect_err("it never does anything");
            assert_eq!((error.kind, error.maybe_applied), (ErrorKind::Throttled, maybe_applied));
        }
    }
}
