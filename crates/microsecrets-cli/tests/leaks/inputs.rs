//! What is uploaded, most of it refused, with the secret at every place of it; and what becomes of it.

use std::fs;

use crate::common::TestEnvironment;
use crate::common::canary::{Canary, base64};
use crate::worlds::talkative;

#[test]
fn the_forms_find_what_they_shall() {
    let canary = Canary::new();
    let text = &canary.text;
    for shift in 0..3 {
        let padded = format!("{}{text}xx", "a".repeat(shift));
        let padded = &padded.as_bytes()[..padded.len() - padded.len() % 3];
        assert!(canary.is_in(base64(padded).as_bytes()), "base64");
    }
    assert!(canary.is_in(format!("\"{text}\"").as_bytes()) && canary.is_in(&text.as_bytes()[5..14]));
    assert!(!canary.is_in(b"something else"));
    assert_eq!(
        base64(b"any carnal pleas"),
        "YW55IGNhcm5hbCBwbGVhAABz",
        "whole groups of three only"
    );
}

/// Also when it has what quoting and encodings change in it.
#[test]
fn an_awkward_one_is_found_however_it_is_written() {
    let canary = Canary::awkward();
    let text = &canary.text;
    let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let middle: String = text.chars().skip(12).take(12).collect();
    for form in [
        text.clone(),
        serde_json::json!(middle).to_string(),
        format!("{middle:?}"),
        format!("{:?}", text.as_bytes()),
        middle.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        percent,
        hex,
        text.chars().rev().collect(),
    ] {
        assert!(canary.is_in(form.as_bytes()), "{form}");
    }
    assert!(!canary.is_in(Canary::awkward().text.as_bytes()));
}

/// Options of `upload`, and what it reads.
type Input = (&'static [&'static str], Vec<u8>);

/// Inputs of `upload`, most of them refused, with the secret at every place of them.
///
/// A name that a shell can export is shown by design, so as a name it stands with a character that such names lack.
fn inputs(secret: &str) -> Vec<Input> {
    let pairs = [
        format!("A={secret}"),
        secret.to_owned(),
        format!("{secret}=\n"),
        format!("{secret}/=x\n{secret}/=y\n"),
        format!("A=1\nA={secret}\n"),
        format!("{secret}==\n"),
        format!("={secret}"),
        format!("export A={secret}"),
        format!("export {secret}=1"),
        format!("A =  {secret}"),
        format!("A=\"{secret}\""),
        format!("A=`{secret}`$({secret})${{{secret}}}"),
        format!("A={secret}\0"),
        format!("{secret}/+=\n"),
        format!("-----BEGIN {secret}\n{secret}\n"),
        format!("\u{feff}A={secret}"),
        format!("A='{secret}"),
        format!("A='{secret}'{secret}"),
        format!("A={}{secret}", "x".repeat(131_072)),
        format!("{secret}/{}=x", "x".repeat(131_072)),
        format!("A={}{secret}", "x".repeat(4 << 20)),
    ];
    let json = [
        format!(r#"{{"A": "{secret}"}}"#),
        format!(r#"{{"{secret}/": 1}}"#),
        format!(r#"{{"A": ["{secret}"]}}"#),
        format!(r#"{{"A": {{"{secret}": "{secret}"}}}}"#),
        format!(r#"{{"{secret}/": "1", "{secret}/": "2"}}"#),
        format!(r#"{{"{secret}=": "1"}}"#),
        format!(r#"{{"{secret}\u0000": "1"}}"#),
        format!(r#"{{"A": "{secret}\u0000"}}"#),
        format!(r#"{{"A": "{secret}"#),
        format!(r#"{{"A": {secret}}}"#),
        format!(r#"{{"A": "{secret}"}} {secret}"#),
        format!(r#""{secret}""#),
        format!(r#"["{secret}"]"#),
        secret.to_owned(),
        format!("A={secret}"),
        format!(r#"{{"A": "{secret}\q"}}"#),
        format!(r#"{{"with-dash {secret}": "1"}}"#),
    ];
    let mut inputs: Vec<Input> = Vec::new();
    for text in pairs {
        for options in [&[][..], &["--any-name"], &["--dotenv"], &["--dotenv", "--any-name"]] {
            inputs.push((options, text.clone().into_bytes()));
        }
        inputs.push((&["-f", "label"], text.into_bytes()));
    }
    for text in json {
        for options in [&["--json"][..], &["--json", "--any-name"]] {
            inputs.push((options, text.clone().into_bytes()));
        }
    }
    inputs.push((&[], [b"A=\xff", secret.as_bytes()].concat()));
    inputs.push((&["--json"], [b"{\"A\": \"\xff", secret.as_bytes(), b"\"}"].concat()));
    inputs
}

#[test]
fn an_upload_never_shows_it() {
    let canary = Canary::new();
    let environment = TestEnvironment::new();
    let mut refused = 0;
    for (options, input) in inputs(&canary.text) {
        let arguments = [&["upload", "-s", "api", "-v", "-d"], options].concat();
        let outcome = talkative(environment.microsecrets(&arguments)).stdin(&input).run();
        canary.is_not_in(&outcome);
        refused += usize::from(!outcome.status.success());
    }
    assert!(refused > 50, "only {refused} were refused");
}

#[test]
fn an_upload_from_a_file_never_shows_it() {
    let canary = Canary::new();
    let environment = TestEnvironment::new();
    for (number, (options, input)) in inputs(&canary.text).into_iter().enumerate().step_by(7) {
        environment.write("input", input);
        let arguments = [&["upload", "-s", "api", "-v"], options, &["input"]].concat();
        let outcome = talkative(environment.microsecrets(&arguments)).run();
        canary.is_not_in(&outcome);
        // 0.3.4's command neither.
        if !options.contains(&"--dotenv") && !options.contains(&"--any-name") && number % 2 == 0 {
            let arguments = [&["-s", "api", "-vd"], options, &["input"]].concat();
            canary.is_not_in(&talkative(environment.launcher("microsecrets-upload", &arguments)).run());
        }
    }
}

#[test]
fn reading_shows_it_only_where_it_is_the_result() {
    let canary = Canary::new();
    let secret = &canary.text;
    let environment = TestEnvironment::new();
    let json =
        format!(r#"{{"A": "{secret}", "{secret}/": "1", "LD_{secret}/": "2", "PATH": "/{secret}:/usr/bin:/bin"}}"#);
    let checksum = environment.upload_with(&["-s", "api", "--json", "--any-name"], &json);
    environment.upload_file("blob", secret.repeat(100));
    environment.upload_file("big", secret.repeat(1 << 16));

    // The result of these is the secret, or its variable's name.
    let read = |arguments: &[&str]| talkative(environment.microsecrets(arguments)).run();
    for arguments in [
        &["download", "-s", "api", "-v", "-d"][..],
        &["download", "-s", "api", "-v", "-f", "blob"],
        &["download", "-s", "api", "-v", "-f", "big"],
        &["with-env", "-s", "api", "-v", "-d", "-c", &checksum, "--", "env"],
    ] {
        let outcome = read(arguments);
        assert!(
            canary.is_in(&outcome.stdout) && outcome.status.success(),
            "{arguments:?} {}",
            outcome.stderr
        );
        assert!(!canary.is_in(outcome.stderr.as_bytes()), "{}", outcome.stderr);
    }
    for arguments in [
        &["list", "-v", "-d"][..],
        &["list", "api", "-v"],
        &["list", "api", "--format", "json"],
        &["migrate", "-s", "api", "-v"],
        &["migrate", "-s", "api", "-v", "--apply"],
        &["download", "-s", "api", "-v", "--list"],
        &["download", "-s", "api", "-v", "-f", "blob:here"],
        &["download", "-s", "api", "-v", "-f", "blob:here"],
        &["download", "-s", "api", "-v", "-f", "big:nosuch/here"],
        &[
            "with-env",
            "-s",
            "api",
            "-v",
            "-d",
            "-c",
            &checksum,
            "--",
            "cat",
            "/proc/self/cmdline",
        ],
        &["with-env", "-s", "api", "-v", "-c", &checksum, "--", "nosuch"],
        &["with-env", "-s", "api", "-v", "-w", "A", "--", "true"],
        &["with-env", "-s", "api", "-v", "-w", "A", "-i", "--", "true"],
        &["with-env", "-s", "api", "-v", "-w", "*", "--", "true"],
        &["with-env", "-s", "api", "-v", "-a", "--", "true"],
        &[
            "with-env",
            "-s",
            "api",
            "-v",
            "-c",
            &checksum,
            "-f",
            "blob:here",
            "--",
            "true",
        ],
        &[
            "with-env",
            "-s",
            "api",
            "-v",
            "-c",
            &checksum,
            "-f",
            "nosuch:here2",
            "--",
            "true",
        ],
    ] {
        let outcome = read(arguments);
        canary.is_not_in(&outcome);
    }
}

#[test]
fn a_command_that_cannot_be_started_does_not_show_it() {
    let canary = Canary::new();
    let secret = &canary.text;
    let environment = TestEnvironment::new();
    let big = format!("{secret}{}", "x".repeat(100_000));
    for json in [
        format!(r#"{{"A": "{secret}{}"}}"#, "x".repeat(131_072)),
        format!(r#"{{"A/{secret}": "{}"}}"#, "x".repeat(131_072)),
        format!(r#"{{"A": "{big}", "B/{secret}": "{big}x"}}"#),
        format!(r#"{{"A/{secret}": "1"}}"#),
        format!(r#"{{"LD_/{secret}": "1"}}"#),
    ] {
        environment.upload_with(&["-s", "api", "--json", "--any-name"], json);
        for options in [&["-a"][..], &["-w", "A"], &["-w", "*"], &["-w", "", "-i"]] {
            let arguments = [&["with-env", "-s", "api", "-v"], options, &["--", "/nosuch"]].concat();
            let run = talkative(environment.microsecrets(&arguments))
                .through("ulimit -s 512; exec \"$@\"")
                .run();
            assert!(!run.status.success());
            canary.is_not_in(&run);
        }
    }
}

#[test]
fn damaged_objects_do_not_show_it() {
    let canary = Canary::new();
    let environment = TestEnvironment::new();
    let secret = &canary.text;
    for document in [
        format!(r#"{{"environment": {{"A": {{"{secret}": 1}}}}, "metadata": {{}}}}"#),
        format!(r#"{{"environment": {{"{secret}": 48151623}}, "metadata": {{}}}}"#),
        format!(r#"{{"environment": {{"A": "{secret}"#),
        format!(r#"{{"environment": {{"A": "{secret}", "A": "{secret}"}}, "metadata": {{}}}}"#),
        format!(r#"{{"environment": {{}}, "metadata": {{"{secret}": ["{secret}"]}}}}"#),
        format!(r#"{{"environment": {{}}, "metadata": {{}}, "{secret}": "{secret}"}}"#),
        secret.clone(),
    ] {
        for key in [
            "environment/2016-05-04.03-02-01.CHECKSUM.json",
            "head/environment",
            "head/file/blob",
            "log/environment/00000001",
        ] {
            let checksum = microsecrets::checksum::Checksum::of(document.as_bytes()).to_string();
            let key = format!("services/api/{}", key.replace("CHECKSUM", &checksum));
            environment.put(&key, document.clone().into_bytes());
            for arguments in [
                &["download", "-s", "api", "-v"][..],
                &["download", "-s", "api", "-v", "-f", "blob"],
                &["download", "-s", "api", "-v", "--at", "1"],
                &["with-env", "-s", "api", "-a", "-v", "--", "true"],
                &["upload", "-s", "api", "-v"],
                &["list", "api", "-v"],
                &["migrate", "-s", "api", "-v"],
            ] {
                canary.is_not_in(&talkative(environment.microsecrets(arguments)).stdin("A=1\n").run());
            }
            fs::remove_dir_all(environment.path("store/services/api")).unwrap();
        }
    }
}

#[test]
fn the_store_and_its_names_do_not_have_it() {
    let canary = Canary::new();
    let environment = TestEnvironment::new();
    environment.upload(&format!("A={}\n", canary.text));
    environment.upload_file("blob", canary.text.repeat(50_000));
    for (path, bytes) in environment.store() {
        assert!(
            !canary.is_in(path.to_str().unwrap().as_bytes()) && !canary.is_in(&bytes),
            "{}",
            path.display()
        );
    }
}
