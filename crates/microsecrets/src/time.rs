//! Points in time to the second, in UTC: all that names, records and the store's clock need.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// How far a listed name may be ahead of the store's clock before a reader refuses it, in seconds.
///
/// S3 itself refuses requests whose clock is further off (RequestTimeTooSkewed), so an honest writer stays inside.
pub const MAX_AHEAD: i64 = 15 * 60;

/// Seconds since 1970-01-01T00:00:00Z, up to the last day but one of the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

impl Timestamp {
    const MAX: i64 = 253_402_207_200; // 9999-12-30T22:00:00Z, where the calendar library ends

    /// From Unix time; `None` outside the years 1970 to 9999.
    pub fn from_unix(seconds: i64) -> Option<Self> {
        (0..=Self::MAX).contains(&seconds).then_some(Self(seconds))
    }

    /// This machine's clock. Only for what the store's clock cannot say.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_second().clamp(0, Self::MAX))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn as_unix(self) -> i64 {
        self.0
    }

    /// Later by a number of seconds (earlier when negative), kept between 1970 and 9999.
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds).clamp(0, Self::MAX))
    }

    /// Parses `YYYY-MM-DD.HH-MM-SS`, the form in names. No leap seconds, no other spelling.
    pub(crate) fn parse_in_name(text: &str) -> Option<Self> {
        if text.len() != 19 {
            return None;
        }
        let civil = DateTime::strptime("%Y-%m-%d.%H-%M-%S", text).ok()?;
        let parsed = Self::from_civil(civil)?;
        (parsed.in_name() == text).then_some(parsed)
    }

    /// Writes `YYYY-MM-DD.HH-MM-SS`.
    pub(crate) fn in_name(self) -> String {
        self.civil().strftime("%Y-%m-%d.%H-%M-%S").to_string()
    }

    /// Parses `YYYY-MM-DDTHH:MM:SSZ`, the form in records (RFC 3339).
    pub(crate) fn parse_rfc3339(text: &str) -> Option<Self> {
        let civil = DateTime::strptime("%Y-%m-%dT%H:%M:%SZ", text).ok()?;
        let parsed = Self::from_civil(civil)?;
        (parsed.to_string() == text).then_some(parsed)
    }

    /// Parses a time as people write it: RFC 3339 in UTC, `2026-11-23T08:00:00Z`, also without seconds, and a date alone,
    /// which is its beginning.
    pub fn parse_loosely(text: &str) -> Option<Self> {
        let forms = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ"];
        let midnight = format!("{text}T00:00Z");
        let whole = if text.contains('T') { text } else { &midnight };
        let civil = forms.iter().find_map(|form| DateTime::strptime(form, whole).ok())?;
        Self::from_civil(civil)
    }

    /// Parses the `Date` header of an HTTP answer (RFC 9110, IMF-fixdate).
    pub(crate) fn parse_http_date(text: &str) -> Option<Self> {
        let civil = DateTime::strptime("%a, %d %b %Y %H:%M:%S GMT", text).ok()?;
        Self::from_civil(civil)
    }

    fn from_civil(civil: DateTime) -> Option<Self> {
        Self::from_unix(TimeZone::UTC.to_timestamp(civil).ok()?.as_second())
    }

    fn civil(self) -> DateTime {
        let at = jiff::Timestamp::from_second(self.0).expect("between 1970 and 9999 by construction");
        TimeZone::UTC.to_datetime(at)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.civil().strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_spellings_are_one_time() {
        let at = Timestamp::from_unix(1_795_420_681).expect("in range");
        assert_eq!(at.in_name(), "2026-11-23.07-58-01");
        assert_eq!(at.to_string(), "2026-11-23T07:58:01Z");
        assert_eq!(Timestamp::parse_in_name("2026-11-23.07-58-01"), Some(at));
        assert_eq!(Timestamp::parse_rfc3339("2026-11-23T07:58:01Z"), Some(at));
        assert_eq!(Timestamp::parse_http_date("Mon, 23 Nov 2026 07:58:01 GMT"), Some(at));
    }

    #[test]
    fn only_the_exact_spelling_is_a_time() {
        for bad in [
            "2026-11-23.07-58-1",
            "2026-02-29.00-00-00",
            "2026-11-23.07-58-60",
            "2026-11-23 07-58-01",
            "+026-11-23.07-58-01",
            "0000-01-01.00-00-00",
            "2026-11-23.24-00-00",
        ] {
            assert_eq!(Timestamp::parse_in_name(bad), None, "{bad}");
        }
        assert_eq!(Timestamp::parse_rfc3339("2026-11-23T07:58:01+00:00"), None);
    }

    #[test]
    fn people_may_leave_out_seconds_and_hours() {
        let at = |text| Timestamp::parse_loosely(text).map(|at| at.to_string());
        assert_eq!(at("2026-11-23T08:00:09Z").as_deref(), Some("2026-11-23T08:00:09Z"));
        assert_eq!(at("2026-11-23T08:00Z").as_deref(), Some("2026-11-23T08:00:00Z"));
        assert_eq!(at("2026-11-23").as_deref(), Some("2026-11-23T00:00:00Z"));
        for bad in [
            "2026-11-23T08:00",
            "08:00Z",
            "2026-11-23T",
            "yesterday",
            "",
            "2026-13-01",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_stay_between_1970_and_9999() {
        assert_eq!(Timestamp::from_unix(-1), None);
        let last = Timestamp::parse_in_name("9999-12-30.22-00-00").expect("the last second");
        assert_eq!(last.plus(1), last);
        assert_eq!(Timestamp::from_unix(last.as_unix() + 1), None);
    }
}
