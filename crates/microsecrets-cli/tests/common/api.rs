//! Shorthand for tests that work on the service `api`.

use serde_json::Value;

use super::{Outcome, Run, TestEnvironment};

impl TestEnvironment {
    /// `microsecrets ARGUMENTS` with the service `api`.
    pub fn api(&self, arguments: &[&str]) -> Run {
        self.microsecrets(arguments).env("MICROSECRETS_SERVICE", "api")
    }

    /// The same for a command that succeeds, whatever it says; answers what it printed.
    #[track_caller]
    pub fn did(&self, arguments: &[&str]) -> String {
        self.api(arguments).run().ends(0).raw_stdout()
    }

    /// Sets a variable.
    #[track_caller]
    pub fn set(&self, name: &str, value: &str) {
        self.api(&["set", "-q", name]).stdin(value).run().ends(0);
    }

    /// A variable's value.
    #[track_caller]
    pub fn value(&self, name: &str) -> String {
        self.did(&["get", name])
    }

    /// All variables, as `NAME=value` pairs on lines.
    #[track_caller]
    pub fn variables(&self) -> String {
        let all: Value = serde_json::from_str(&self.did(&["download"])).unwrap();
        let pairs = all.as_object().unwrap().iter();
        pairs
            .map(|(name, value)| format!("{name}={}\n", value.as_str().unwrap()))
            .collect()
    }

    /// The rows of `history --all --format json` with these arguments, newest first.
    #[track_caller]
    pub fn history(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [&["history", "--all", "--format", "json"], arguments].concat();
        rows(&self.did(&arguments))
    }

    /// The number of the current version.
    #[track_caller]
    pub fn number(&self) -> u64 {
        self.history(&[])[0]["version"].as_u64().unwrap()
    }
}

/// JSON, a value on each line.
pub fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Outcome {
    /// A table that was printed, with its cells parted by two blanks whatever their width. Short checksums are replaced,
    /// and sizes of three digits: an environment's tells how long this host's name is.
    pub fn table(&self) -> String {
        let row = |line: &str| {
            let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.map(|cell| size(short(cell))).collect::<Vec<_>>().join("  ") + "\n"
        };
        self.stdout().lines().map(row).collect()
    }

    /// What was told people, with short checksums replaced as well.
    pub fn told(&self) -> String {
        let text = self.stderr();
        let words = text.split_inclusive([' ', ',', '\n', ':']);
        let word = |word: &str| {
            let end = word.trim_end_matches([' ', ',', '\n', ':']).len();
            format!("{}{}", short(&word[..end]), &word[end..])
        };
        words.map(word).collect()
    }
}

fn short(word: &str) -> &str {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if word.len() == 12 && word.bytes().all(is_hex) {
        "[SHORT]"
    } else {
        word
    }
}

fn size(cell: &str) -> &str {
    if cell.len() == 3 && cell.bytes().all(|byte| byte.is_ascii_digit()) {
        "[SIZE]"
    } else {
        cell
    }
}
