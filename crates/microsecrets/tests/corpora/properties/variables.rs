//! Pairs and dotenv files.

use std::collections::HashSet;

use microsecrets::document::Variables;
use microsecrets::dotenv::{self, DotenvError};
use microsecrets::pairs::{self, Options, PairsError, Parsed, is_exportable};

use super::says_one_of;

const STRICT: Options = Options { any_name: false };
const ANY_NAME: Options = Options { any_name: true };

/// All that may be said of a list of pairs, but for a name given twice.
const SAID: &[&str] = &[
    "line 1: no name before the `=`",
    "line 1: this looks like a value in base64 without a name",
    "line 1: no `=`",
    "line 1: no shell can export the name before the `=`",
    "line 1: not UTF-8",
    "line 1: a NUL byte",
    "lines 1 and 2 give the same name",
];
const SAID_OF_QUOTES: &[&str] = &[
    "line 1: text after the closing quote of the value that began on line 2",
    "line 1: the quote is never closed",
];

type Pair = (String, String);

/// Pairs are read as 0.3.4 reads them or refused; and what is written is read again.
pub(crate) fn pairs(input: &[u8]) {
    let strict = pairs::parse(input, STRICT).map(exposed);
    let any = pairs::parse(input, ANY_NAME).map(exposed);
    for error in strict.as_ref().err().into_iter().chain(any.as_ref().err()) {
        say_nothing(input, error);
    }
    match (&strict, &any) {
        (Ok(strict), Ok(any)) => assert_eq!(strict, any, "another name is no other content"),
        (Ok(_), Err(error)) => panic!("--any-name refuses more: {error}"),
        (Err(PairsError::NotExportable { .. } | PairsError::Encoded(_)), _) => {}
        (Err(error), Ok(_)) => panic!("--any-name accepts what is no name: {error}"),
        (Err(_), Err(_)) => {}
    }
    for (variables, options) in [(strict, STRICT), (any, ANY_NAME)] {
        let Ok(variables) = variables else { continue };
        assert_eq!(variables, as_0_3_4_reads(input));
        are_variables(&variables, options);
        assert!(variables.iter().all(|(_, value)| !value.contains('\n')));

        let written = pairs::write(borrowed(&variables)).expect("what was read can be written");
        let Ok(again) = pairs::parse(written.expose(), options) else {
            panic!("what was written is refused")
        };
        assert_eq!(exposed(again), variables);
    }
}

/// A dotenv file holds variables, and any of them can be said in double quotes.
pub(crate) fn dotenv(input: &[u8]) {
    for options in [STRICT, ANY_NAME] {
        let variables = match dotenv::parse(input, options) {
            Ok(parsed) => exposed(parsed),
            Err(DotenvError::Pair(error)) => {
                say_nothing(input, &error);
                continue;
            }
            Err(error) => {
                says_one_of(SAID_OF_QUOTES, &error);
                continue;
            }
        };
        are_variables(&variables, options);
        let lines = variables.iter().map(|(name, value)| {
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('$', r"\$")
                .replace('\r', r"\r");
            format!("export {name}=\"{value}\" # a comment\r\n")
        });
        let Ok(again) = dotenv::parse(lines.collect::<String>().as_bytes(), options) else {
            panic!("what was quoted is refused")
        };
        assert_eq!(exposed(again), variables);
    }
}

/// A refusal names a line that is there, and nothing of it but an exportable name that is there twice.
fn say_nothing(input: &[u8], error: &PairsError) {
    let lines = input.split(|byte| *byte == b'\n').count();
    let PairsError::DuplicateName { name, first, line } = error else {
        says_one_of(SAID, error);
        let said = error.to_string();
        let line = said.strip_prefix("line ").and_then(|rest| rest.split(':').next());
        let line: usize = line.and_then(|line| line.parse().ok()).expect("a line");
        assert!((1..=lines).contains(&line), "{said}");
        return;
    };
    assert!(first <= line && *line <= lines);
    match name {
        Some(name) => assert!(is_exportable(name) && error.to_string().ends_with(&format!("the same name: {name}"))),
        None => says_one_of(SAID, error),
    }
}

/// What an environment can hold.
fn are_variables(variables: &[Pair], options: Options) {
    let names: HashSet<_> = variables.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), variables.len(), "a name is there twice");
    assert!(options.any_name || names.iter().all(|name| is_exportable(name)));
    let secret = variables
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()));
    assert!(Variables::new(secret.collect()).is_ok(), "no document holds it");
}

/// 0.3.4's own reading, `line.strip()` and `line.split('=', 1)` on the lines of Python 2, without its mistakes: this is
/// asked only about what is accepted.
fn as_0_3_4_reads(input: &[u8]) -> Vec<Pair> {
    let is_space = |c: char| " \t\n\x0b\x0c\r".contains(c);
    let text = String::from_utf8_lossy(input);
    let lines = text.split('\n').map(|line| line.trim_matches(is_space));
    let pairs = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = pairs.map(|line| line.split_once('=').expect("an accepted line has a `=`"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn exposed(parsed: Parsed) -> Vec<Pair> {
    let variables = parsed.variables.into_iter();
    variables
        .map(|(name, value)| (name, value.expose().to_owned()))
        .collect()
}

fn borrowed(variables: &[Pair]) -> impl Iterator<Item = (&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}
