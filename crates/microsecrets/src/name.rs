//! Names: of services, labels, versions and commits; parsed once, at the edge.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::checksum::{Checksum, hex, unhex};
use crate::time::Timestamp;

/// A service: whose secrets these are. Decides the prefix of its keys and its default KMS alias.
///
/// `[A-Za-z0-9][A-Za-z0-9_-]{0,62}`; dots too, but then no alias follows from it (KMS allows none in an alias), so a KMS
/// key must be named explicitly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceName(String);

impl ServiceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `alias/microsecrets-<service>`, unless a dot in the name forbids it.
    pub fn default_key_alias(&self) -> Option<String> {
        (!self.0.contains('.')).then(|| format!("alias/microsecrets-{}", self.0))
    }

    /// `alias/microsecrets-signing/<service>`, unless a dot in the name forbids it.
    pub fn default_signing_alias(&self) -> Option<String> {
        (!self.0.contains('.')).then(|| format!("alias/microsecrets-signing/{}", self.0))
    }
}

impl FromStr for ServiceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        let all_allowed = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if text.is_empty() {
            Err(NameError::EmptyService)
        } else if text.len() > 63 {
            Err(NameError::LongService)
        } else if starts_well && all_allowed {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Service)
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The label that a service's file is kept under: `[A-Za-z0-9._@+-]{1,128}`, but not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label(String);

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '+' | '-');
        match text {
            "" => Err(NameError::EmptyLabel),
            "." | ".." => Err(NameError::DotLabel),
            _ if text.len() > 128 => Err(NameError::LongLabel),
            _ if text.chars().all(allowed) => Ok(Self(text.to_owned())),
            _ => Err(NameError::Label),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a service's name or a label was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A label is `.` or `..`.
    #[error("a label must not be . or ..")]
    DotLabel,
    /// A label has no characters.
    #[error("a label must not be empty")]
    EmptyLabel,
    /// A service's name has no characters.
    #[error("a service's name must not be empty")]
    EmptyService,
    /// A label has a character outside the grammar.
    #[error("a label may hold A-Z, a-z, 0-9 and . _ @ + -")]
    Label,
    /// A label has more than 128 characters.
    #[error("a label has at most 128 characters")]
    LongLabel,
    /// A service's name has more than 63 characters.
    #[error("a service's name has at most 63 characters")]
    LongService,
    /// A service's name has a character outside the grammar.
    #[error("a service's name begins with a letter or digit and may hold A-Z, a-z, 0-9 and . _ -")]
    Service,
}

/// The name of a version: `<YYYY-MM-DD.HH-MM-SS>[_NNNNNN].<checksum>`, the last part of its key.
///
/// Names sort as their text does, because 0.3.4 takes the greatest key for the latest version.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VersionName {
    second: Timestamp,
    sequence: u32,
    checksum: Checksum,
}

impl VersionName {
    /// The largest sequence number inside one second.
    pub const MAX_SEQUENCE: u32 = 999_999;

    /// The name of a version made at `now` after `greatest`, the greatest name there is.
    ///
    /// It sorts after `greatest` even when that one is in the same second or ahead of `now`, and never runs ahead of
    /// both. `None` when a second holds a million names.
    pub fn after(greatest: Option<&Self>, now: Timestamp, checksum: Checksum) -> Option<Self> {
        match greatest {
            Some(last) if last.second >= now => {
                let sequence = last.sequence + 1;
                (sequence <= Self::MAX_SEQUENCE).then_some(Self {
                    second: last.second,
                    sequence,
                    checksum,
                })
            }
            _ => Some(Self {
                second: now,
                sequence: 0,
                checksum,
            }),
        }
    }

    /// The second that the name says the version was made in.
    pub fn second(&self) -> Timestamp {
        self.second
    }

    /// The checksum of the version's bytes.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.second.in_name())?;
        if self.sequence > 0 {
            write!(f, "_{:06}", self.sequence)?;
        }
        write!(f, ".{}", self.checksum)
    }
}

impl FromStr for VersionName {
    type Err = VersionNameError;

    fn from_str(text: &str) -> Result<Self, VersionNameError> {
        let parse = || {
            let second = Timestamp::parse_in_name(text.get(..19)?)?;
            let (sequence, checksum) = match text.get(19..)?.strip_prefix('_') {
                None => (0, text.get(19..)?.strip_prefix('.')?),
                Some(rest) => (parse_sequence(rest.get(..6)?)?, rest.get(6..)?.strip_prefix('.')?),
            };
            Some(Self {
                second,
                sequence,
                checksum: checksum.parse().ok()?,
            })
        };
        parse().ok_or(VersionNameError)
    }
}

fn parse_sequence(digits: &str) -> Option<u32> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    // 000000 is not written: the first name of a second has no sequence number.
    digits.parse().ok().filter(|sequence| all_digits && *sequence > 0)
}

impl Ord for VersionName {
    fn cmp(&self, other: &Self) -> Ordering {
        // As text: '_' sorts after '.', so a name with a sequence number sorts after the one without.
        (self.second, self.sequence, self.checksum).cmp(&(other.second, other.sequence, other.checksum))
    }
}

impl PartialOrd for VersionName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Outside the grammar of version names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version's name: YYYY-MM-DD.HH-MM-SS.<checksum> is needed")]
pub struct VersionNameError;

/// The number of a version: 1, 2, 3 ..., given by the commit and stored, never derived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Number(u32);

impl Number {
    /// The number of an item's first version.
    pub const FIRST: Self = Self(1);
    /// The greatest number: a log entry's key has eight digits.
    pub const MAX: Self = Self(99_999_999);

    /// From an integer; `None` outside 1 to 99,999,999.
    pub fn new(number: u64) -> Option<Self> {
        u32::try_from(number)
            .ok()
            .filter(|number| (Self::FIRST.0..=Self::MAX.0).contains(number))
            .map(Self)
    }

    /// As an integer.
    pub fn get(self) -> u64 {
        self.0.into()
    }

    /// The number after this one; `None` after the last.
    pub fn next(self) -> Option<Self> {
        Self::new(self.get() + 1)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 128 random bits: new for every attempt to commit, the same in the retries of one request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A nonce from the operating system's random number generator.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system always has random bytes once it has started");
        Self(bytes)
    }

    /// A given nonce, for tests that must be repeatable.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, NonceError> {
        unhex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(NonceError)
    }
}

/// Not 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a nonce: 32 lower-case hex digits are needed")]
pub struct NonceError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_service_is_a_short_plain_word() {
        for good in ["api", "0", "a_b-c", "a.b", &"x".repeat(63)] {
            assert_eq!(
                good.parse::<ServiceName>().map(|name| name.to_string()),
                Ok(good.to_owned())
            );
        }
        for (bad, error) in [
            ("", NameError::EmptyService),
            ("..", NameError::Service),
            ("a/b", NameError::Service),
            ("-a", NameError::Service),
            ("é", NameError::Service),
            ("a\n", NameError::Service),
            (&"x".repeat(64), NameError::LongService),
        ] {
            assert_eq!(bad.parse::<ServiceName>(), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn no_alias_follows_from_a_service_with_a_dot() {
        let alias = |name: &str| name.parse::<ServiceName>().expect("a service").default_key_alias();
        assert_eq!(alias("api").as_deref(), Some("alias/microsecrets-api"));
        assert_eq!(alias("api.v2"), None);
    }

    #[test]
    fn a_label_is_no_path() {
        for good in ["tls.pem", "a@b+c-d_e", "...", &"x".repeat(128)] {
            assert_eq!(
                good.parse::<Label>().map(|label| label.to_string()),
                Ok(good.to_owned())
            );
        }
        for (bad, error) in [
            ("", NameError::EmptyLabel),
            (".", NameError::DotLabel),
            ("..", NameError::DotLabel),
            ("a/b", NameError::Label),
            ("a:b", NameError::Label),
            ("a b", NameError::Label),
            (&"x".repeat(129), NameError::LongLabel),
        ] {
            assert_eq!(bad.parse::<Label>(), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        let sum = Checksum::of(b"");
        assert!(format!("2026-11-23.07-58-01.{sum}").parse::<VersionName>().is_ok());
        assert!(
            format!("2026-11-23.07-58-01_000001.{sum}")
                .parse::<VersionName>()
                .is_ok()
        );
        for bad in [
            String::new(),
            format!("2026-11-23.07-58-01{sum}"),
            format!("2026-11-23.07-58-01.{sum}.json"),
            format!("2026-11-23.07-58-01_000000.{sum}"),
            format!("2026-11-23.07-58-01_1.{sum}"),
            format!("2026-11-23.07-58-01_+00001.{sum}"),
            format!("2026-13-23.07-58-01.{sum}"),
            format!("2026-11-23.07-58-01.{}", sum.to_string().to_uppercase()),
            format!("2026-11-23.07-58-0é.{sum}"),
        ] {
            assert_eq!(bad.parse::<VersionName>(), Err(VersionNameError), "{bad}");
        }
    }

    #[test]
    fn a_new_name_sorts_after_the_greatest_and_does_not_run_ahead() {
        let at = |second| Timestamp::from_unix(second).expect("in range");
        let sum = Checksum::of(b"x");
        let first = VersionName::after(None, at(100), sum).expect("a name");
        assert_eq!(first.to_string(), format!("1970-01-01.00-01-40.{sum}"));
        let same_second = VersionName::after(Some(&first), at(100), Checksum::of(b"y")).expect("a name");
        assert_eq!(
            same_second.to_string(),
            format!("1970-01-01.00-01-40_000001.{}", Checksum::of(b"y"))
        );
        let clock_behind = VersionName::after(Some(&same_second), at(90), sum).expect("a name");
        assert_eq!(clock_behind.second(), at(100));
        assert!(first < same_second && same_second < clock_behind);
        assert_eq!(
            VersionName::after(Some(&clock_behind), at(101), sum)
                .expect("a name")
                .second(),
            at(101)
        );
    }

    #[test]
    fn a_second_holds_a_million_names() {
        let last = format!("2026-11-23.07-58-01_999999.{}", Checksum::of(b""))
            .parse()
            .expect("a name");
        let now = Timestamp::from_unix(0).expect("in range");
        assert_eq!(VersionName::after(Some(&last), now, Checksum::of(b"")), None);
    }

    fn any_name() -> impl Strategy<Value = VersionName> {
        (0..3i64, 0..3u32, any::<[u8; 2]>()).prop_map(|(second, sequence, content)| VersionName {
            second: Timestamp::from_unix(1_795_420_681 + second).expect("in range"),
            sequence,
            checksum: Checksum::of(&content),
        })
    }

    proptest! {
        #[test]
        fn names_sort_as_their_text_does(a in any_name(), b in any_name()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn names_survive_being_written_and_read(name in any_name()) {
            prop_assert_eq!(name.to_string().parse::<VersionName>(), Ok(name));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,100}") {
            drop::<Result<VersionName, _>>(text.parse());
            drop::<Result<ServiceName, _>>(text.parse());
            drop::<Result<Label, _>>(text.parse());
        }
    }
}
