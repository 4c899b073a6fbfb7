//! Programs at a terminal, with somebody who reads what is asked before they type.

use super::{Outcome, Run, has, skip};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/terminal.py");

/// Whether there is a Python 3 to make terminals with; a test that returns when there is none says so.
pub fn is_there() -> bool {
    let found = has("python3");
    if !found {
        skip("there is no python3 to make a terminal with");
    }
    found
}

impl Run {
    /// Runs it at a terminal of its own: each second text is typed when the first one has been shown; when that begins
    /// with `hidden:`, only once the terminal no longer echoes. What the terminal showed is the standard output.
    #[track_caller]
    pub fn typed(self, steps: &[(&str, &str)]) -> Outcome {
        let steps = serde_json::to_string(steps).unwrap();
        let outcome = self.by_way_of("/usr/bin/python3", &["-I", SCRIPT, &steps]).run();
        assert_eq!(outcome.stderr, "", "{}", String::from_utf8_lossy(&outcome.stdout));
        outcome
    }
}

impl Outcome {
    /// What the terminal showed, with plain ends of lines.
    pub fn shown(&self) -> String {
        self.stdout().replace('\r', "")
    }
}
