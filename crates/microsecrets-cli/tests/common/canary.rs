//! A random secret that must not be found in any output.

use super::{Outcome, Random};

/// A random secret, and what it must not be found as.
pub struct Canary {
    pub text: String,
    forms: Vec<String>,
}

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Canary {
    pub fn new() -> Self {
        let mut random = Random::seeded();
        // Letters and digits are themselves in URLs, JSON and quoted strings: those encodings need no form of their own.
        let letter = |_| char::from(LETTERS[random.below(62) as usize]);
        let text: String = (0..32).map(letter).collect();
        let mut forms = Vec::new();
        // A piece of it is as bad as the whole: every 8 characters in a row, as they are and in hex.
        for piece in text.as_bytes().windows(8) {
            forms.push(String::from_utf8(piece.to_vec()).unwrap());
            let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            forms.push(hex.to_uppercase());
            forms.push(hex);
            forms.push(piece.iter().map(|byte| format!("%{byte:02X}")).collect());
            forms.push(piece.iter().map(|byte| format!("\\u{byte:04x}")).collect());
        }
        // Every 9 bytes in a row at each of the three places they can have in base64.
        for piece in text.as_bytes().windows(9) {
            forms.push(base64(piece));
        }
        forms.push(text.chars().rev().collect());
        Self { text, forms }
    }

    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        self.forms.iter().any(|form| text.contains(form.as_str()))
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

/// Base64 of as many whole groups of three bytes as there are.
pub fn base64(bytes: &[u8]) -> String {
    let sextets = bytes.chunks(3).flat_map(|three| {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| (bits >> shift & 63) as usize)
    });
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    sextets.map(|sextet| char::from(ALPHABET[sextet])).collect()
}
