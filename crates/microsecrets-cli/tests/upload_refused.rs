//! `microsecrets upload`: every input that is refused, and what is said about it.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::TestEnvironment;

/// Input, options, and everything that is said about it. Nothing of the input is ever shown.
const REFUSED: [(&[u8], &[&str], &str); 32] = [
    (
        b"A=1\nno equals sign here\n",
        &[],
        "standard input: line 2: no `=`\n\
         hint: write NAME=value; if this line is part of a value, use --json or --dotenv; to upload a whole file, use \
         -f LABEL",
    ),
    (
        b"A=1\n# comment\nB=2\nA=3\n",
        &[],
        "standard input: lines 1 and 4 give the same name: A\nhint: keep one of the two lines",
    ),
    (
        b"=x\n",
        &[],
        "standard input: line 1: no name before the `=`\n\
         hint: write NAME=value; if this line is part of a value, use --json",
    ),
    (
        b"export A=1\n",
        &[],
        "standard input: line 1: no shell can export the name before the `=`\n\
         hint: --dotenv reads lines that begin with `export `",
    ),
    (
        b"\xef\xbb\xbfA=1\n",
        &[],
        "standard input: line 1: no shell can export the name before the `=`\n\
         hint: the line begins with a byte order mark; save the input as UTF-8 without one",
    ),
    (
        b"A =1\n",
        &[],
        "standard input: line 1: no shell can export the name before the `=`\n\
         hint: remove the spaces around the `=`, or use --dotenv; --any-name keeps them in the name",
    ),
    (
        b"1A=1\n",
        &[],
        "standard input: line 1: no shell can export the name before the `=`\n\
         hint: a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; if this line is part of a value, use \
         --json; --any-name allows other names",
    ),
    (
        b"A=\xff\n",
        &[],
        "standard input: line 1: not UTF-8\nhint: save the input as UTF-8; to upload raw bytes, use -f LABEL",
    ),
    (
        b"A=1\nB=a\0b\n",
        &[],
        "standard input: line 2: a NUL byte\nhint: no environment can hold it; to upload raw bytes, use -f LABEL",
    ),
    // openssl rand -base64 32
    (
        b"q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=\n",
        &[],
        "standard input: line 1: this looks like a value in base64 without a name\n\
         hint: write NAME=value; --any-name takes the line as it stands, as a name",
    ),
    (
        b"7u/vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=\n",
        &[],
        "standard input: line 1: no shell can export the name before the `=`\n\
         hint: a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; if this line is part of a value, use \
         --json; --any-name allows other names",
    ),
    (
        b"",
        &[],
        "standard input holds no variables\n\
         hint: to publish an environment without variables, say so: {} with --json",
    ),
    (
        b"# nothing but a comment\n",
        &["--dotenv"],
        "standard input holds no variables\n\
         hint: to publish an environment without variables, say so: {} with --json",
    ),
    (
        b"A='never closed\n",
        &["--dotenv"],
        "standard input: line 1: the quote is never closed\n\
         hint: close it, or put the whole value into quotes that it does not hold",
    ),
    (
        b"A='x'y\n",
        &["--dotenv"],
        "standard input: line 1: text after the closing quote of the value that began on line 1\n\
         hint: put the whole value into quotes that it does not hold; a comment needs a space before its `#`",
    ),
    (
        b"A=1\nA=2\n",
        &["--dotenv"],
        "standard input: lines 1 and 2 give the same name: A\nhint: keep one of the two lines",
    ),
    (
        br#"{"A": 1}"#,
        &["--json"],
        "standard input: a value is not a string, at line 1, column 7\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        br#"{"A": null}"#,
        &["--json"],
        "standard input: a value is not a string, at line 1, column 10\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        br#"{"A": {"B": "1"}}"#,
        &["--json"],
        "standard input: a value is not a string, at line 1, column 6\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        br#"["A"]"#,
        &["--json"],
        "standard input: an object is needed at line 1, column 0\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        br#"{"A": "1", "A": "2"}"#,
        &["--json"],
        "standard input: a key is there twice, at line 1, column 20\nhint: keep one of the two",
    ),
    (
        br#"{"A": "1"} {"#,
        &["--json"],
        "standard input: not JSON at line 1, column 12\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        br#"{"A": "1""#,
        &["--json"],
        "standard input: it ends too early\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        b"",
        &["--json"],
        "standard input: it ends too early\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        b"A=1\n",
        &["--json"],
        "standard input: not JSON at line 1, column 1\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
    (
        b"{\"A\": \"\xff\"}",
        &["--json"],
        "standard input: not UTF-8\nhint: save the input as UTF-8; to upload raw bytes, use -f LABEL",
    ),
    (
        br#"{"": "1"}"#,
        &["--json", "--any-name"],
        "standard input: variable 1 has an empty name\n\
         hint: no environment can hold it",
    ),
    (
        br#"{"A=B": "1"}"#,
        &["--json", "--any-name"],
        "standard input: variable 1 has a name with = in it\n\
         hint: no environment can hold it",
    ),
    (
        br#"{"A\u0000": "1"}"#,
        &["--json", "--any-name"],
        "standard input: variable 1 has a name with NUL in it\n\
         hint: no environment can hold it",
    ),
    (
        br#"{"A": "\u0000"}"#,
        &["--json"],
        "standard input: variable 1 has a value with NUL in it\n\
         hint: no environment can hold it",
    ),
    (
        br#"{"A": "1", "with-dash": "2"}"#,
        &["--json"],
        "variable 2 has a name that no shell can export\n\
         hint: a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; --any-name allows others",
    ),
    (
        br#"{"A": "\ud800"}"#,
        &["--json"],
        "standard input: not JSON at line 1, column 14\n\
         hint: a flat object of strings is needed: {\"NAME\": \"value\"}",
    ),
];

#[test]
fn every_bad_input_is_refused_with_what_to_do() {
    let environment = TestEnvironment::new();
    for (input, options, said) in REFUSED {
        let arguments = [&["upload", "-s", "api"], options].concat();
        let upload = environment.microsecrets(&arguments).stdin(input).run();
        upload.fails(2, &format!("error: {said}\n"));
    }
    assert!(!environment.exists("store"));
}

#[test]
fn a_bad_file_is_named() {
    let environment = TestEnvironment::new();
    environment.write("env.txt", "A=1\nsecret\n");
    let upload = environment.microsecrets(&["upload", "-s", "api", "env.txt"]).run();
    upload.fails(
        2,
        "error: env.txt: line 2: no `=`\n\
         hint: write NAME=value; if this line is part of a value, use --json or --dotenv; to upload a whole file, use \
         -f LABEL\n",
    );
}

#[test]
fn more_than_4_mib_is_refused() {
    let environment = TestEnvironment::new();
    let line = format!("A={}\n", "x".repeat(4 << 20));
    let upload = environment.microsecrets(&["upload", "-s", "api"]).stdin(&line).run();
    upload.fails(
        2,
        "error: standard input has more than 4 MiB\n\
         hint: keep large values in a file: upload it with -f\n",
    );
    // Less than that, but not as the document that it would become.
    let line = format!("A={}\n", "\"".repeat(3 << 20));
    let upload = environment.microsecrets(&["upload", "-s", "api"]).stdin(&line).run();
    upload.fails(
        2,
        "warning: line 1: the quotes are part of the value; --dotenv removes them\n\
         warning: A has 3145731 bytes with its name: Linux starts no program with more than 131072\n\
         error: the new environment cannot be written\n\
         \x20 caused by: more than 4 MiB\n\
         hint: keep large values in a file: upload it with -f\n",
    );
}
