//! Secrets in places of objects and of files where they have no business: what is not understood is not quoted.

use serde_json::{Value, json};

use crate::fake::BUCKET;
use crate::worlds::{World, talkative};

const HEAD: &str = "services/api/head/environment";
const LOG: &str = "services/api/log/environment/00000002";

/// What a record says that nobody has to be shown. The others (who, when, why, of what kind) are there to be told.
const FIELDS: [&str; 10] = [
    "format", "number", "state", "inline", "name", "parent", "sha256", "size", "expires", "nonce",
];

/// A head or a log entry, with the secret at each place of it.
fn variants(bytes: &[u8], secret: &str) -> Vec<(String, Vec<u8>)> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.splitn(3, '\n');
    let record: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let (signature, body) = (lines.next().unwrap(), lines.next().unwrap_or_default());
    let whole = |record: String, signature: &str, body: &str| format!("{record}\n{signature}\n{body}").into_bytes();
    let mut all = Vec::new();
    for field in FIELDS {
        for value in [json!(secret), json!({secret: secret})] {
            let mut record = record.clone();
            record[field] = value;
            all.push((field.to_owned(), whole(record.to_string(), signature, body)));
        }
    }
    let mut more = record.clone();
    more[secret] = json!(secret);
    let record = record.to_string();
    all.extend([
        ("another field".to_owned(), whole(more.to_string(), signature, body)),
        ("no record".to_owned(), whole(secret.to_owned(), signature, body)),
        (
            "half a record".to_owned(),
            whole(format!("{}{secret}", &record[..record.len() / 2]), signature, body),
        ),
        ("the signature".to_owned(), whole(record.clone(), secret, body)),
        ("the bytes".to_owned(), whole(record.clone(), signature, secret)),
        (
            "more bytes".to_owned(),
            whole(record, signature, &format!("{body}{secret}")),
        ),
        ("all".to_owned(), secret.as_bytes().to_vec()),
    ]);
    all
}

const READERS: [&[&str]; 12] = [
    &["with-env", "-v", "-d", "-a", "--", "true"],
    &["get", "-v", "-d", "NOSUCH"],
    &["show", "-v", "-d"],
    &["show", "-v", "-d", "--at", "2"],
    &["history", "-v", "-d", "--all"],
    &["history", "-v", "--format", "json"],
    &["diff", "-v", "1", "2"],
    &["verify", "-v", "--all", "--verify-key", "inputs/key.pem"],
    &["list", "-v", "api"],
    &["prune", "-v", "--keep", "1", "--dry-run"],
    &["doctor", "-v", "--format", "json"],
    &["set", "-v", "X", "--generate", "20"],
];

#[test]
#[allow(clippy::print_stderr)]
fn of_heads_and_logs_are_not_quoted() {
    let world = World::bucket();
    let fake = &world.place.as_ref().unwrap().fake;
    let (mut runs, mut failed) = (0, 0);
    for key in [HEAD, LOG] {
        let good = fake.object(BUCKET, key).unwrap().body.to_vec();
        for (at, (field, bytes)) in variants(&good, &world.secret.text).into_iter().enumerate() {
            world.put(key, bytes);
            // Half of the commands for each, the other half for the next.
            for arguments in READERS.iter().skip(at % 2).step_by(2) {
                let outcome = talkative(world.run(arguments)).run();
                let what = format!("{field} of {key}: {arguments:?}");
                world.hides(&outcome, false, &what);
                runs += 1;
                failed += usize::from(!outcome.status.success());
            }
            world.put(key, good.clone());
        }
    }
    world.left_nothing(&"hostile objects");
    assert!(failed > runs / 3, "{failed} of {runs} failed");
    eprintln!("{runs} runs, {failed} of them failed");
}

/// What is configured, and files that are named, each with the secret in it. Not as the name of a setting or of a file: those
/// are told.
fn files(secret: &str) -> Vec<(&'static str, Vec<String>)> {
    let quoted = json!(secret);
    vec![
        (
            "--config",
            vec![
                secret.to_owned(),
                format!("require = [{quoted}"),
                format!("require = {quoted}"),
                format!("require = [[{quoted}]]"),
                format!("nosuch = {quoted}"),
                format!("min-version = {quoted}"),
                format!("kms-key = {quoted}"),
                format!("bucket-owner = {quoted}"),
                format!("require = [\"A\"]\nrequire = [{quoted}]"),
            ],
        ),
        (
            "--verify-key",
            vec![
                secret.to_owned(),
                format!("-----BEGIN PUBLIC KEY-----\n{secret}\n-----END PUBLIC KEY-----\n"),
                format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"),
                format!("-----BEGIN {secret}-----\n"),
            ],
        ),
        (
            "--state",
            vec![
                secret.to_owned(),
                json!({"format": 1, "items": secret}).to_string(),
                json!({"format": secret}).to_string(),
                json!({secret: secret}).to_string(),
                json!([secret]).to_string(),
                format!("{{\"format\": 1, \"x\": {quoted}"),
            ],
        ),
    ]
}

#[test]
#[allow(clippy::print_stderr)]
fn of_files_that_are_named_are_not_quoted() {
    let world = World::folder();
    let (mut runs, mut failed) = (0, 0);
    for (option, contents) in files(&world.secret.text) {
        for content in contents {
            for arguments in [
                &["with-env", "-v", "-d", "-a"][..],
                &["get", "-v", "-d", "NOSUCH"],
                &["check", "-v", "-d"],
                &["show", "-v", "-d"],
                &["whoami", "-v", "-d"],
                &["doctor", "-v", "-d"],
                &["set", "-v", "-d", "X", "--generate", "20"],
            ] {
                if option == "--state" && arguments[0] != "with-env" {
                    continue;
                }
                world.machine().write("inputs/named", &content);
                let then: &[&str] = if arguments[0] == "with-env" {
                    &["--", "true"]
                } else {
                    &[]
                };
                let arguments = [arguments, &[option, "inputs/named"], then].concat();
                let outcome = talkative(world.run(&arguments)).run();
                world.hides(&outcome, false, &format!("{content}: {arguments:?}"));
                failed += usize::from(!outcome.status.success());
                runs += 1;
            }
        }
    }
    assert!(failed > runs / 2, "{failed} of {runs} failed");
    // A private key in place of the public one.
    let keys = std::fs::read_dir(world.machine().path("config/microsecrets")).unwrap();
    for key in keys.map(|entry| entry.unwrap().path()) {
        let path = key.to_str().unwrap();
        for arguments in [
            &["get", "-v", "A", "--verify-key", path][..],
            &["verify", "-v", "--verify-key", path],
        ] {
            let outcome = talkative(world.run(arguments)).run();
            world.hides(&outcome, false, &format!("{arguments:?}"));
            assert!(!outcome.status.success(), "{arguments:?}");
        }
    }
    world.left_nothing(&"hostile files");
    eprintln!("{runs} runs, {failed} of them failed");
}
