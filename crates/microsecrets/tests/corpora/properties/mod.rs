//! What must hold of every input, whatever its bytes: one function for each target in `fuzz/`.
//!
//! The fuzzer calls them with what it makes up, on a nightly compiler; the test beside this calls them with what the
//! fuzzer has found worth keeping, on every compiler.

mod files;
mod json;
mod names;
mod records;
mod variables;

pub(crate) use files::{contract, state};
pub(crate) use json::document;
pub(crate) use names::{key, name, selector};
pub(crate) use records::{head, record, signature};
pub(crate) use variables::{dotenv, pairs};

/// A message is one of these sentences, numbers aside: so it cannot show anything of the input.
#[track_caller]
fn says_one_of(sentences: &[&str], said: impl ToString) {
    let said = said.to_string();
    let is_known = |sentence: &&str| without_numbers(sentence) == without_numbers(&said);
    assert!(sentences.iter().any(is_known), "not a sentence of ours: {said:?}");
}

fn without_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if kept.ends_with('#') => {}
            true => kept.push('#'),
            false => kept.push(c),
        }
    }
    kept
}

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
