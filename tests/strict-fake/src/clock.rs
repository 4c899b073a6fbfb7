//! The fake's clock: what `Date`, `LastModified` and the 15 minutes of allowed skew are measured with.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// How far a request's own time may be from the fake's, as at AWS.
pub(crate) const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

enum Mode {
    /// Real time plus so many seconds.
    Offset(i64),
    /// Standing still.
    Frozen(SystemTime),
}

/// A clock that tests may move, or stop.
pub(crate) struct Clock(Mutex<Mode>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Mode::Offset(0)))
    }

    pub(crate) fn set_offset(&self, seconds: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Mode::Offset(seconds);
    }

    pub(crate) fn freeze(&self, at: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Mode::Frozen(at);
    }

    /// The time, to the second: S3 knows no finer one.
    pub(crate) fn now(&self) -> SystemTime {
        let now = match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Mode::Offset(seconds) if seconds >= 0 => SystemTime::now() + Duration::from_secs(seconds.unsigned_abs()),
            Mode::Offset(seconds) => SystemTime::now() - Duration::from_secs(seconds.unsigned_abs()),
            Mode::Frozen(at) => at,
        };
        UNIX_EPOCH + Duration::from_secs(unix(now))
    }
}

/// Seconds since 1970; what lies before counts as 1970.
pub(crate) fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, for headers.
pub(crate) fn http_date(at: SystemTime) -> String {
    let t = OffsetDateTime::from(at);
    let weekday = &t.weekday().to_string()[..3];
    let month = &t.month().to_string()[..3];
    let (day, year) = (t.day(), t.year());
    format!(
        "{weekday}, {day:02} {month} {year} {:02}:{:02}:{:02} GMT",
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// `1994-11-06T08:49:37Z`, for error documents and the log.
pub(crate) fn iso_date(at: SystemTime) -> String {
    let t = OffsetDateTime::from(at);
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// Reads SigV4's `19941106T084937Z`.
pub(crate) fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let digits = |range: std::ops::Range<usize>| text.get(range)?.parse::<u16>().ok();
    let byte = |range| u8::try_from(digits(range)?).ok();
    if text.len() != 16 || text.get(8..9)? != "T" || text.get(15..)? != "Z" {
        return None;
    }
    let month = time::Month::try_from(byte(4..6)?).ok()?;
    let date = time::Date::from_calendar_date(i32::from(digits(0..4)?), month, byte(6..8)?).ok()?;
    let at = date.with_hms(byte(9..11)?, byte(11..13)?, byte(13..15)?).ok()?;
    Some(at.assume_utc().into())
}

/// The difference of two times, whichever is the later.
pub(crate) fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|e| e.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_aws_writes_them() {
        let at = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(iso_date(at), "1994-11-06T08:49:37Z");
        assert_eq!(parse_amz_date("19941106T084937Z"), Some(at));
        assert_eq!(parse_amz_date("19941306T084937Z"), None);
        assert_eq!(parse_amz_date("1994-11-06T08:49"), None);
    }

    #[test]
    fn a_frozen_clock_stands_still() {
        let clock = Clock::new();
        let at = UNIX_EPOCH + Duration::from_secs(1_000);
        clock.freeze(at);
        assert_eq!(clock.now(), at);
        clock.set_offset(-86_400);
        assert!(clock.now() < SystemTime::now());
    }
}
