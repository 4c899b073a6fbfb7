//! Replaces what differs between runs, so that outputs can be compared whole.

use std::path::Path;

/// The text with the temporary folder, times and names of versions, checksums, ids and this host replaced.
pub fn redact(text: &str, folder: &Path) -> String {
    let text = text.replace(folder.to_str().unwrap(), "[DIR]");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let text = text.replace(&format!("ann@{host}"), "ann@[HOST]");
    let text = timestamp(&text);
    let mut redacted = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        // A word begins where the character before is of no word.
        let starts = !redacted.ends_with(|c: char| c.is_ascii_alphanumeric());
        match placeholder(rest).filter(|_| starts) {
            Some((length, name)) => {
                redacted.push_str(name);
                rest = &rest[length..];
            }
            None => {
                redacted.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    redacted
}

/// Replaces the seconds in a document's metadata.
fn timestamp(text: &str) -> String {
    const KEY: &str = "\"timestamp\": ";
    let mut parts = text.split(KEY);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        format!("{text}{KEY}[NUMBER]{rest}")
    })
}

/// What stands at the beginning of the text, and how long it is.
fn placeholder(text: &str) -> Option<(usize, &'static str)> {
    for pattern in [
        "dddd-dd-dd.dd-dd-dd_dddddd",
        "dddd-dd-dd.dd-dd-dd",
        "dddd-dd-ddTdd:dd:ddZ",
    ] {
        if matches(text, pattern) {
            return Some((pattern.len(), "[TIME]"));
        }
    }
    let digits = |text: &str| {
        text.bytes()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            .count()
    };
    if text.strip_prefix("sha:").map(digits) == Some(12) {
        return Some((16, "sha:[SHORT]"));
    }
    let hex = digits(text);
    match hex {
        40 | 64 | 96 | 128 => Some((hex, "[CHECKSUM]")),
        32 => Some((hex, "[ID]")),
        _ => None,
    }
}

/// Whether the text begins with the pattern, in which d stands for a digit.
fn matches(text: &str, pattern: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= pattern.len()
        && pattern.bytes().zip(bytes).all(|(wanted, byte)| match wanted {
            b'd' => byte.is_ascii_digit(),
            other => *byte == other,
        })
}
