#![no_main]

#[path = "../../crates/microsecrets/tests/corpora/properties/mod.rs"]
#[allow(dead_code, unused_imports, reason = "every target uses one of them")]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::head(input));
