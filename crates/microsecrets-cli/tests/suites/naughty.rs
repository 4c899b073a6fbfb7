//! The Big List of Naughty Strings as values and as variables' names, by every way in.

use std::collections::BTreeMap;

use microsecrets::pairs::is_exportable;
use serde_json::json;

use crate::common::TestEnvironment;
use crate::{is_harmless, is_refused, shows_nothing_of, started_with};

const LIST: &str = include_str!("../fixtures/naughty-strings/blns.json");

pub(crate) fn strings() -> Vec<String> {
    let strings: Vec<String> = serde_json::from_str(LIST).unwrap();
    assert_eq!(strings.len(), 515);
    strings
}

/// Each as the value of a variable `V1`, `V2` ...
fn variables() -> BTreeMap<String, String> {
    let named = strings().into_iter().zip(1..);
    named.map(|(value, number)| (format!("V{number}"), value)).collect()
}

/// Uploads, and compares what a command is started with; a value is said by no one on the way.
#[track_caller]
fn comes_out(format: &[&str], input: &str, expected: &BTreeMap<String, String>) {
    let environment = TestEnvironment::new();
    let arguments = [&["upload", "-q", "-s", "api"], format].concat();
    let upload = environment.microsecrets(&arguments).stdin(input).run();
    upload.ends(0);
    is_harmless(&upload.stderr);
    for value in expected.values() {
        shows_nothing_of(value.as_bytes(), &upload.stderr);
    }
    assert_eq!(&started_with(&environment, "api"), expected);
}

#[test]
fn as_json_every_string_is_a_value() {
    let variables = variables();
    comes_out(&["--json"], &json!(variables).to_string(), &variables);
}

#[test]
fn as_pairs_every_string_is_a_value_but_for_the_white_space_at_its_end() {
    let mut variables = variables();
    let lines: String = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    for value in variables.values_mut() {
        let kept = value.trim_end_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']).len();
        value.truncate(kept);
    }
    comes_out(&[], &lines, &variables);
}

#[test]
fn as_dotenv_every_string_is_a_value_in_quotes_that_it_does_not_hold() {
    let escaped = |value: &str| {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\r', "\\r")
            .replace('$', "\\$")
    };
    let double: String = variables()
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"\n", escaped(value)))
        .collect();
    comes_out(&["--dotenv"], &double, &variables());
    for quote in ['\'', '`'] {
        let mut fitting = variables();
        fitting.retain(|_, value| !value.contains(quote));
        assert!(fitting.len() > 400);
        let lines = fitting
            .iter()
            .map(|(name, value)| format!("export {name} = {quote}{value}{quote} # no comment\n"));
        comes_out(&["--dotenv"], &lines.collect::<String>(), &fitting);
    }
}

#[test]
fn set_takes_every_string_from_pairs_at_once_and_the_odd_ones_one_by_one() {
    let environment = TestEnvironment::new();
    let mut variables = variables();
    variables.retain(|_, value| value.trim_end() == value);
    let lines: String = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    let set = environment
        .microsecrets(&["set", "-q", "-s", "api", "--pairs"])
        .stdin(lines)
        .run();
    set.ends(0);
    is_harmless(&set.stderr);

    // What terminals, shells and text files treat specially.
    let is_odd = |c: char| c.is_control() || c.is_whitespace() && c != ' ' || c > '\u{ffff}' || c == '\u{feff}';
    let odd: Vec<String> = strings()
        .into_iter()
        .filter(|text| text.is_empty() || text.contains(is_odd))
        .collect();
    assert!(odd.len() > 25, "{}", odd.len());
    for (value, number) in odd.into_iter().zip(1..) {
        let name = format!("ODD_{number}");
        let set = environment
            .microsecrets(&["set", "-q", "-s", "api", "--exact", &name])
            .stdin(&value)
            .run();
        set.ends(0);
        is_harmless(&set.stderr);
        shows_nothing_of(value.as_bytes(), &set.stderr);
        variables.insert(name, value);
    }
    assert_eq!(started_with(&environment, "api"), variables);
}

#[test]
fn as_a_name_a_string_is_exportable_or_refused_and_never_shown() {
    let environment = TestEnvironment::new();
    let mut exportable = BTreeMap::new();
    for name in strings() {
        if is_exportable(&name) {
            exportable.insert(name, "x".to_owned());
            continue;
        }
        let input = json!({"A": "1", &name: "x"}).to_string();
        let upload = environment
            .microsecrets(&["upload", "-s", "api", "--json"])
            .stdin(input)
            .run();
        is_refused(&upload, &name);
        upload.ends(2);
        shows_nothing_of(name.as_bytes(), &upload.stderr);
        assert!(!environment.exists("store"), "{name}: something was written");
    }
    assert!(exportable.len() > 20, "{}", exportable.len());
    comes_out(&["--json"], &json!(exportable).to_string(), &exportable);
}

#[test]
fn any_name_is_told_by_no_message_and_reaches_the_command_if_an_environment_can_hold_it() {
    let names = strings()
        .into_iter()
        .filter(|name| !name.is_empty() && !name.contains('='));
    let inherited = ["HOME", "LOGNAME", "PATH"];
    let names = names.filter(|name| !inherited.contains(&name.as_str()));
    let variables: BTreeMap<String, String> = names.map(|name| (name, "x".to_owned())).collect();
    comes_out(&["--json", "--any-name"], &json!(variables).to_string(), &variables);
}
