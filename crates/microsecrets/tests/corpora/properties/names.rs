//! Names, keys and the ways to say a version, each beside its grammar written another way.

use microsecrets::checksum::Checksum;
use microsecrets::item::VersionSpec;
use microsecrets::layout::{Item, ItemKind, SERVICES};
use microsecrets::name::{Label, Nonce, Number, ServiceName, VersionName};
use microsecrets::record::{ChangeKind, VersionRef};
use microsecrets::time::Timestamp;

use super::{is_lower_hex, says_one_of};

/// Every line is a service, a label, a version's name and so on exactly when its grammar says so.
pub(crate) fn name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut names: Vec<VersionName> = Vec::new();
    for line in text.split('\n') {
        is_service_or_not(line);
        is_label_or_not(line);
        assert_eq!(line.parse::<Nonce>().is_ok(), is_lower_hex(line, 32));
        assert_eq!(line.parse::<Checksum>().is_ok(), is_lower_hex(line, 64));
        let name = line.parse::<VersionName>();
        assert_eq!(name.is_ok(), is_version_name(line), "{line:?}");
        names.extend(name.inspect(|name| assert_eq!(name.to_string(), line)));
    }
    for pair in names.windows(2) {
        let (one, other) = (pair[0].to_string(), pair[1].to_string());
        assert_eq!(pair[0].cmp(&pair[1]), one.cmp(&other), "names sort as their text does");
        if let Some(next) = VersionName::after(Some(&pair[0]), pair[1].second(), pair[1].checksum()) {
            assert!(next > pair[0] && next.to_string() > one);
            assert!(next.second() == pair[0].second().max(pair[1].second()), "it runs ahead");
        }
    }
}

fn is_service_or_not(text: &str) {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let bytes = text.as_bytes();
    let is_service =
        (1..=63).contains(&bytes.len()) && bytes[0].is_ascii_alphanumeric() && bytes.iter().all(|byte| is_inner(*byte));
    let parsed = text.parse::<ServiceName>();
    assert_eq!(parsed.is_ok(), is_service, "{text:?}");
    match parsed {
        Ok(service) => {
            assert_eq!(service.to_string(), text);
            assert_eq!(service.default_key_alias().is_none(), text.contains('.'));
        }
        Err(error) => says_one_of(
            &[
                "a service's name must not be empty",
                "a service's name has at most 63 characters",
                "a service's name begins with a letter or digit and may hold A-Z, a-z, 0-9 and . _ -",
            ],
            error,
        ),
    }
}

fn is_label_or_not(text: &str) {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte);
    let is_label = (1..=128).contains(&text.len()) && text.bytes().all(is_inner) && !matches!(text, "." | "..");
    let parsed = text.parse::<Label>();
    assert_eq!(parsed.is_ok(), is_label, "{text:?}");
    match parsed {
        Ok(label) => assert_eq!(label.to_string(), text),
        Err(error) => says_one_of(
            &[
                "a label must not be . or ..",
                "a label must not be empty",
                "a label may hold A-Z, a-z, 0-9 and . _ @ + -",
                "a label has at most 128 characters",
            ],
            error,
        ),
    }
}

/// `YYYY-MM-DD.HH-MM-SS[_NNNNNN].<checksum>`, a day of the calendar from 1970 on.
fn is_version_name(text: &str) -> bool {
    let Some((time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let (sequence, checksum) = match rest.split_at_checked(7) {
        Some((sequence, rest)) if sequence.starts_with('_') => (Some(&sequence[1..]), rest),
        _ => (None, rest),
    };
    let is_sequence = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()) && digits != "000000";
    is_time(time)
        && sequence.is_none_or(is_sequence)
        && checksum.strip_prefix('.').is_some_and(|sum| is_lower_hex(sum, 64))
}

fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00.00-00-00" {
        return false;
    }
    let part = |from: usize, to: usize| text[from..to].parse::<u32>().expect("digits");
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    let is_before_the_end = text <= "9999-12-30.22-00-00";
    year >= 1970
        && (1..=days).contains(&day)
        && part(11, 13) < 24
        && part(14, 16) < 60
        && part(17, 19) < 60
        && is_before_the_end
}

/// A key belongs to one item at most, in one role, and is spelled in one way. The first line is the service that is
/// asked about, the others are keys.
pub(crate) fn key(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.split('\n');
    let Some(Ok(service)) = lines.next().map(str::parse::<ServiceName>) else {
        return;
    };
    for key in lines {
        let labels = key.split('/').filter_map(|segment| segment.parse::<Label>().ok());
        let mut items: Vec<Item> = labels.map(|label| Item::file(service.clone(), label)).collect();
        items.push(Item::environment(service.clone()));
        items.sort();
        items.dedup();
        let at = Item::at(&service, key);
        assert!(at.is_none() || key.starts_with(&format!("{SERVICES}{service}/")));
        let roles = items.iter().map(|item| roles(item, key, at.as_ref())).sum::<usize>();
        assert!(roles <= 1, "{key:?} is {roles} things");
        for item in &items {
            keys_of(item);
        }
    }
}

/// How many things of an item a key is.
fn roles(item: &Item, key: &str, at: Option<&Item>) -> usize {
    let version = item
        .version_at(key)
        .inspect(|name| assert_eq!(item.version_key(name), key));
    let number = item
        .number_at(key)
        .inspect(|number| assert_eq!(item.log_key(*number), key));
    let roles = [version.is_some(), number.is_some(), item.head_key() == key];
    let roles = roles.iter().filter(|is| **is).count();
    assert!(roles == 0 || at == Some(item), "{key:?}");
    roles
}

/// What an item's keys are is told from them; heads and log entries are nothing that 0.3.4 sees, not even through a
/// policy whose `*` crosses slashes.
fn keys_of(item: &Item) {
    let name: VersionName = format!("2026-11-23.07-58-01_000002.{}", Checksum::of_nothing())
        .parse()
        .expect("a name");
    let (version, head, log) = (item.version_key(&name), item.head_key(), item.log_key(Number::MAX));
    for key in [&version, &head, &log] {
        assert_eq!(Item::at(item.service(), key).as_ref(), Some(item));
        assert!(key.len() <= 1024, "S3 has no longer keys");
    }
    // But the log of a file that is called so. It holds no secret, and is written on the same condition as bytes are.
    let logged = log.replace("/log/file/files/", "/log/file/-/");
    for key in [head, logged] {
        assert!(
            !(key.contains("/files/") || key.contains("/environment/") && key.ends_with(".json")),
            "{key}"
        );
    }
    assert_eq!(item.kind().to_string().parse::<ItemKind>().as_ref(), Ok(item.kind()));
}

/// What says a version, or a change, says it again when it is shown.
pub(crate) fn selector(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<VersionSpec>() {
        Ok(spec) => assert_eq!(spec.to_string().parse(), Ok(spec), "{text:?}"),
        Err(error) => says_one_of(
            &[
                "sha: needs 8 to 64 lower-case hex digits",
                "@ needs a time in UTC, like 2026-11-23T08:00Z",
                "a version is a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME",
            ],
            error,
        ),
    }
    // In a record there is one spelling.
    if let Ok(version) = text.parse::<VersionRef>() {
        assert_eq!(version.to_string(), text);
    }
    if let Ok(kind) = text.parse::<ChangeKind>() {
        assert_eq!(kind.to_string(), text);
    }
    if let Some(time) = Timestamp::parse_loosely(text) {
        assert_eq!(Timestamp::parse_loosely(&time.to_string()), Some(time));
        assert_eq!(Timestamp::from_unix(time.as_unix()), Some(time));
    }
}
