//! The Big List of Naughty Strings as words of the command line: services, labels, variables, versions, globs, paths.

use microsecrets::item::VersionSpec;
use microsecrets::name::{Label, ServiceName};
use microsecrets::pairs::is_exportable;
use microsecrets::whitelist::Whitelist;

use crate::common::TestEnvironment;
use crate::naughty::strings;
use crate::{is_harmless, is_refused};

/// Runs a command with each string at a place; `expected` says the statuses that it may end with. Answers how often
/// something had to be escaped to be shown.
fn in_place_of(word: &str, arguments: &[&str], expected: impl Fn(&str) -> &'static [i32]) -> usize {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let before = environment.store();
    let mut escaped = 0;
    for text in strings() {
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace(word, &text)).collect();
        let outcome = environment.microsecrets(&arguments).stdin("x").run();
        let status = outcome.status.code().unwrap();
        assert!(
            expected(&text).contains(&status),
            "{arguments:?} ends with {status}: {}",
            outcome.stderr
        );
        is_harmless(&outcome.stderr);
        escaped += usize::from(outcome.stderr.contains("\\u{"));
        // Whose end is the message's end, where ours have no period.
        if status != 0 && !text.ends_with('.') {
            is_refused(&outcome, &text);
        }
    }
    assert!(environment.store() == before, "something was written");
    escaped
}

#[test]
fn a_service_is_in_the_grammar_or_refused() {
    let escaped = in_place_of("@", &["get", "--service=@", "A"], |text| {
        match text.parse::<ServiceName>() {
            Ok(_) => &[3],
            Err(_) => &[2],
        }
    });
    assert!(escaped > 15, "{escaped}");
}

#[test]
fn a_label_is_in_the_grammar_or_refused() {
    let escaped = in_place_of(
        "@",
        &["upload", "-s", "api", "--dry-run", "--file=@"],
        |text| match text.parse::<Label>() {
            Ok(_) => &[0],
            Err(_) => &[2],
        },
    );
    assert!(escaped > 15, "{escaped}");
}

#[test]
fn a_variable_that_no_shell_can_export_is_not_set() {
    let exportable = ["set", "-s", "api", "--if-version", "99", "--", "@"];
    in_place_of("@", &exportable, |text| match is_exportable(text) {
        true => &[4],
        false => &[2],
    });
}

#[test]
fn a_version_is_said_in_the_grammar_or_refused() {
    let escaped = in_place_of("@", &["get", "-s", "api", "A", "--at=@"], |text| {
        match text.parse::<VersionSpec>() {
            Ok(_) => &[0, 3],
            Err(_) => &[2],
        }
    });
    assert!(escaped > 15, "{escaped}");
}

#[test]
fn a_list_of_variables_that_is_not_theirs_starts_nothing() {
    in_place_of(
        "@",
        &["with-env", "-s", "api", "--whitelist=@", "--", "true"],
        |text| match Whitelist::parse([text]) {
            Ok(whitelist) if whitelist.allows("A") => &[0],
            Ok(_) => &[2, 122],
            Err(_) => &[125],
        },
    );
}

#[test]
fn a_path_that_is_not_there_is_not_read() {
    let escaped = in_place_of("@", &["upload", "-s", "api", "--", "@"], |_| &[1, 2]);
    assert!(escaped > 15, "{escaped}");
}
