//! The corpora of the fuzzer (`fuzz/corpus/`), held to the same properties on every compiler and in every run: what was
//! once found stays found.

#![allow(clippy::unwrap_used, missing_docs)]

mod properties;

use std::fs;
use std::path::{Path, PathBuf};

type Property = fn(&[u8]);

/// Every target that there is, as its file in `fuzz/targets` calls it.
const TARGETS: [(&str, Property); 11] = [
    ("contract", properties::contract),
    ("document", properties::document),
    ("dotenv", properties::dotenv),
    ("head", properties::head),
    ("key", properties::key),
    ("name", properties::name),
    ("pairs", properties::pairs),
    ("record", properties::record),
    ("selector", properties::selector),
    ("signature", properties::signature),
    ("state", properties::state),
];

fn below(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder);
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

#[test]
fn what_the_fuzzer_has_found_keeps_every_property() {
    for (target, property) in TARGETS {
        let inputs = below(&format!("corpus/{target}"));
        assert!(inputs.len() > 9, "{target} has {} inputs", inputs.len());
        for path in inputs {
            let input = fs::read(&path).unwrap();
            let kept = std::panic::catch_unwind(|| property(&input));
            assert!(kept.is_ok(), "{target}: {}", path.display());
        }
    }
}

#[test]
fn every_target_is_held_to_its_corpus() {
    let names = TARGETS.map(|(name, _)| name);
    let stems = |folder| {
        below(folder)
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(stems("targets"), names);
    assert_eq!(stems("corpus"), names);
}
