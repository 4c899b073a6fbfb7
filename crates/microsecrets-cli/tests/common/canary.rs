//! A random secret that must not be found in any output.

use std::collections::{BTreeSet, HashMap};

use super::{Outcome, Random};

/// A random secret, and what it must not be found as.
pub struct Canary {
    pub text: String,
    /// By their first two bytes: texts are long, forms are many.
    forms: HashMap<[u8; 2], Vec<String>>,
    /// Whether a form begins with two bytes.
    begins: Vec<bool>,
}

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// What quoting, URLs, JSON, XML and shells change.
const AWKWARD: &str = "\"\\ +/&<>%'?~=\u{e9}";

impl Canary {
    /// Letters and digits, which are themselves in URLs, JSON and quoted strings.
    pub fn new() -> Self {
        Self::of(&letters(32))
    }

    /// One in whose middle there is what encodings change, each with a letter after it.
    pub fn awkward() -> Self {
        let letters = letters(32);
        let (start, rest) = letters.split_at(8);
        let (between, end) = rest.split_at(AWKWARD.chars().count());
        let middle = AWKWARD
            .chars()
            .zip(between.chars())
            .flat_map(|(odd, letter)| [odd, letter]);
        Self::of(&format!("{start}{}{end}", middle.collect::<String>()))
    }

    /// A secret that is there already.
    pub fn of(text: &str) -> Self {
        let mut forms = forms_of_bytes(text.as_bytes());
        // A piece of it is as bad as the whole.
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.windows(8) {
            forms.extend(ENCODINGS.map(|encode| piece.iter().map(|char| encode(*char)).collect()));
        }
        forms.insert(text.chars().rev().collect());
        Self::found_as(text, forms)
    }

    /// A secret that is no text.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::found_as("", forms_of_bytes(bytes))
    }

    fn found_as(text: &str, all: BTreeSet<String>) -> Self {
        let mut forms: HashMap<[u8; 2], Vec<String>> = HashMap::new();
        let mut begins = vec![false; 1 << 16];
        for form in all {
            let start = [form.as_bytes()[0], form.as_bytes()[1]];
            begins[usize::from(u16::from_be_bytes(start))] = true;
            forms.entry(start).or_default().push(form);
        }
        Self {
            text: text.to_owned(),
            forms,
            begins,
        }
    }

    pub fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(2).enumerate().any(|(at, start)| {
            self.begins[usize::from(start[0]) << 8 | usize::from(start[1])]
                && self.forms[start]
                    .iter()
                    .any(|form| bytes[at..].starts_with(form.as_bytes()))
        })
    }

    /// Neither standard output nor standard error has it, nor the text that the test calls what was done.
    #[track_caller]
    pub fn is_not_in(&self, outcome: &Outcome) {
        let both = [&outcome.stdout[..], outcome.stderr.as_bytes()].concat();
        assert!(
            !self.is_in(&both),
            "{}\n{}",
            String::from_utf8_lossy(&outcome.stdout),
            outcome.stderr
        );
    }
}

fn letters(count: usize) -> String {
    let mut random = Random::seeded();
    let letter = |_| char::from(LETTERS[random.below(62) as usize]);
    (0..count).map(letter).collect()
}

/// How texts are written where they are not themselves, character by character.
const ENCODINGS: [fn(char) -> String; 8] = [
    |char| char.to_string(),
    |char| char.escape_debug().to_string(),
    |char| match char {
        '"' | '\\' | '/' => format!("\\{char}"),
        char => char.to_string(),
    },
    |char| format!("\\u{:04x}", u32::from(char)),
    |char| of_bytes(char, |byte| format!("%{byte:02X}")),
    |char| of_bytes(char, |byte| format!("%{byte:02x}")),
    |char| match char {
        ' ' => "+".to_owned(),
        char if char.is_ascii_alphanumeric() || "-._~".contains(char) => char.to_string(),
        char => of_bytes(char, |byte| format!("%{byte:02X}")),
    },
    |char| match char {
        '"' => "&quot;".to_owned(),
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '\'' => "&#39;".to_owned(),
        char => char.to_string(),
    },
];

fn of_bytes(char: char, encode: fn(u8) -> String) -> String {
    char.to_string().bytes().map(encode).collect()
}

/// Every 8 bytes in a row in hex and as a list of numbers; every 9, each of the three places among them, in base64.
fn forms_of_bytes(bytes: &[u8]) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for piece in bytes.windows(8) {
        let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        forms.insert(hex.to_uppercase());
        forms.insert(hex);
        let numbers: Vec<String> = piece.iter().map(ToString::to_string).collect();
        forms.insert(numbers.join(", "));
    }
    for piece in bytes.windows(9) {
        let base64 = base64(piece);
        forms.insert(base64.replace('+', "-").replace('/', "_"));
        forms.insert(base64);
    }
    forms
}

/// Base64 of as many whole groups of three bytes as there are.
pub fn base64(bytes: &[u8]) -> String {
    let sextets = bytes.chunks(3).flat_map(|three| {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| (bits >> shift & 63) as usize)
    });
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    sextets.map(|sextet| char::from(ALPHABET[sextet])).collect()
}
