//! The program against a real moto server over HTTP: S3 and KMS as somebody else understands them.

use std::path::Path;

use serde_json::{Value, json};
use test_support::machine::{self, Machine, Ran, variables};
use test_support::moto::Moto;

const BUCKET: &str = "example-microsecrets";

/// A service with a KMS key of its own, on a server and in a bucket that it shares with the other tests'.
struct Service {
    moto: &'static Moto,
    name: &'static str,
    key: String,
    machine: Machine,
}

impl Service {
    fn new(name: &'static str) -> Self {
        let moto = Moto::shared();
        moto.bucket(BUCKET);
        let mut machine = Machine::with(moto);
        machine.set("MICROSECRETS_BUCKET", BUCKET);
        machine.set("MICROSECRETS_SERVICE", name);
        Self {
            moto,
            name,
            key: moto.key_for(name),
            machine,
        }
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> Ran {
        self.machine.run(program(), arguments, stdin.as_bytes())
    }

    /// Uploads pairs; answers the checksum.
    fn upload(&self, pairs: &str) -> String {
        self.run(&["upload", "--quiet"], pairs).text().trim_end().to_owned()
    }

    /// What `env -0` sees.
    fn environment(&self, flags: &[&str]) -> std::collections::BTreeMap<String, String> {
        let arguments = [&["with-env"], flags, &["--", "env", "-0"]].concat();
        variables(&self.run(&arguments, "").ok())
    }

    fn keys(&self) -> Vec<String> {
        self.moto.keys(BUCKET, &format!("services/{}/", self.name))
    }

    /// The items as `list --format json` has them.
    fn items(&self) -> Value {
        let text = self.run(&["list", self.name, "--format", "json"], "").text();
        serde_json::from_str(&text).expect("JSON")
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_microsecrets"))
}

#[test]
fn an_environment_goes_up_and_into_a_command() {
    let service = Service::new("shop");
    let printed = service
        .run(&["upload"], "DB_URL=db://example.com\n  PASSWORD= a=b \n")
        .text();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(
        lines[..2],
        ["Successfully uploaded data to S3:", "  bucket: example-microsecrets"]
    );
    assert_eq!(lines[4..], ["  version: 1"]);
    let path = lines[2].strip_prefix("  path: ").expect("a path");
    let checksum = lines[3].strip_prefix("  checksum: ").expect("a checksum");
    assert!(
        path.starts_with("services/shop/environment/20") && path.ends_with(&format!(".{checksum}.json")),
        "{path}"
    );

    let mut seen = service.environment(&["-w", "DB_URL PASSWORD"]);
    assert_eq!(seen.remove("DB_URL").as_deref(), Some("db://example.com"));
    assert_eq!(seen.remove("PASSWORD").as_deref(), Some(" a=b"));
    assert_eq!(seen.remove("MICROSECRETS_SOURCE").as_deref(), Some(path));
    let metadata: Value = serde_json::from_str(&seen["MICROSECRETS_METADATA"]).expect("metadata is JSON");
    assert_eq!((&metadata["service"], &metadata["number"]), (&json!("shop"), &json!(1)));
}

#[test]
fn everything_lies_where_it_should_under_the_services_key() {
    let service = Service::new("layout");
    service.upload("A=1\n");
    service.upload("A=2\n");
    service.machine.write("cert.pem", &[b'x'; 100]);
    service.run(&["upload", "-f", "cert", "cert.pem"], "").ok();
    let keys = service.keys();
    let folders: Vec<String> = keys
        .iter()
        .map(|key| key.rsplit_once('/').expect("a folder").0.to_owned())
        .collect();
    let below = |folder: &str| format!("services/layout/{folder}");
    let wanted = [
        "environment",
        "environment",
        "files/cert",
        "head",
        "head/file",
        "log/environment",
        "log/environment",
    ];
    assert_eq!(folders[..7], wanted.map(below));
    assert_eq!(keys[7..], [below("log/file/cert/00000001")]);
    for key in keys {
        let head = service.moto.head(BUCKET, &key);
        assert_eq!(head["ServerSideEncryption"], "aws:kms", "{key}");
        assert_eq!(head["SSEKMSKeyId"], *service.key, "{key}");
    }
}

#[test]
fn what_is_current_already_is_not_uploaded_again() {
    let service = Service::new("same");
    let checksum = service.upload("A=1\nB=2\n");
    let before = service.keys();
    let again = service.run(&["upload"], "B=2\nA=1\n").text();
    assert!(
        again.starts_with("Nothing uploaded, this is the current version already:\n"),
        "{again}"
    );
    assert!(again.contains(&checksum), "{again}");
    assert_eq!(service.keys(), before);
}

#[test]
fn older_versions_are_found_by_number_and_by_checksum() {
    let service = Service::new("older");
    let first = service.upload("A=1\n");
    service.upload("A=2\n");
    assert_eq!(service.environment(&["-a"])["A"], "2");
    assert_eq!(service.environment(&["-a", "--at", "1"])["A"], "1");
    let pinned = service.run(&["with-env", "-c", &first, "--", "sh", "-c", "echo $A"], "");
    assert!(
        pinned
            .stderr
            .starts_with("warning: the pinned version is not the current one, which is 2, ")
    );
    assert_eq!(pinned.text(), "1\n");
}

#[test]
fn nothing_starts_without_a_right_environment() {
    let service = Service::new("refused");
    service.upload("A=1\nLD_PRELOAD=/tmp/evil.so\n");
    let starts = |flags: &[&str]| {
        let ran = service.run(&[&["with-env"], flags, &["--", "touch", "started"]].concat(), "");
        assert!(!service.machine.path("started").exists());
        ran
    };
    let message = starts(&["-w", "A"]).fails(122);
    assert!(
        message.starts_with("error: the environment has a variable that is not allowed: LD_PRELOAD\n"),
        "{message}"
    );
    let message = starts(&["-w", "*"]).fails(122);
    assert!(
        message.starts_with("error: LD_PRELOAD is matched by * only"),
        "{message}"
    );
    let message = starts(&["-s", "nobody", "-a"]).fails(123);
    assert!(message.contains("nobody"), "{message}");
    let message = starts(&["-c", &"0".repeat(64)]).fails(123);
    assert!(message.contains(&"0".repeat(64)), "{message}");
    let message = starts(&["-b", "no-such-bucket", "-a"]).fails(123);
    assert!(message.contains("no such bucket"), "{message}");
    starts(&["--sse", "AES256", "-a"]).fails(122);
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let service = Service::new("keyless");
    let ran = service.run(&["upload", "-s", "no-key"], "A=1\n");
    let message = ran.fails(3);
    assert!(message.contains("alias/microsecrets-no-key"), "{message}");
    assert_eq!(service.moto.keys(BUCKET, "services/no-key/"), [""; 0]);
}

#[test]
fn an_alias_that_was_moved_is_noticed_before_anything_is_written() {
    let service = Service::new("moved");
    service.upload("A=1\n");
    let before = service.keys();
    let other = service.moto.key();
    let alias = json!({"AliasName": "alias/microsecrets-moved", "TargetKeyId": other});
    service.moto.call("kms", "update_alias", &alias);
    let message = service.run(&["upload"], "A=2\n").fails(6);
    assert!(message.contains(&other) && message.contains("--new-key"), "{message}");
    assert_eq!(service.keys(), before);
    service.run(&["upload", "--new-key"], "A=2\n").ok();
    assert_eq!(service.environment(&["-a", "--kms-key", &other])["A"], "2");
    service
        .run(&["with-env", "-a", "--kms-key", &service.key, "--", "true"], "")
        .fails(122);
}

#[test]
fn a_large_file_goes_up_in_parts_and_comes_back_whole() {
    let service = Service::new("large");
    let bytes: Vec<u8> = (0..20 << 20_u32)
        .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    service.machine.write("large.bin", &bytes);
    service.run(&["upload", "-f", "data", "large.bin"], "").ok();
    let key = service
        .keys()
        .into_iter()
        .find(|key| key.contains("/files/data/"))
        .expect("its bytes");
    let head = service.moto.head(BUCKET, &key);
    assert_eq!(head["ContentLength"], bytes.len());
    assert_eq!(
        (&head["ServerSideEncryption"], &head["SSEKMSKeyId"]),
        (&json!("aws:kms"), &json!(service.key))
    );
    let tag = head["ETag"].as_str().expect("an ETag");
    assert!(tag.contains('-'), "a multipart upload has parts: {tag}");

    service.run(&["download", "-f", "data:copy.bin"], "").ok();
    assert!(service.machine.read("copy.bin") == bytes);
    assert!(service.run(&["download", "-f", "data", "--stream"], "").ok() == bytes);
    let message = service.run(&["download", "-f", "data"], "").fails(1);
    assert!(
        message.starts_with("error: the file data has more than 8 MiB"),
        "{message}"
    );

    service.run(&["upload", "--force", "-f", "data", "large.bin"], "").ok();
    let message = service.run(&["upload", "-f", "data", "large.bin"], "").text();
    assert!(message.starts_with("Nothing uploaded"), "{message}");
    assert_eq!(service.items()[0]["version"], 2);
}

#[test]
fn files_are_placed_beside_the_environment() {
    let service = Service::new("placed");
    service.upload("A=1\n");
    let pem = "-----BEGIN X-----\nAAAA\n-----END X-----\n".repeat(3);
    service.run(&["upload", "-f", "tls.pem"], &pem).ok();
    let flags = [
        "with-env",
        "-w",
        "A",
        "-f",
        "tls.pem:here.pem",
        "--",
        "sh",
        "-c",
        "stat -c %a here.pem; cat here.pem",
    ];
    assert_eq!(service.run(&flags, "").text(), format!("600\n{pem}"));
    let message = service.run(&flags, "").fails(125);
    assert!(message.contains("here.pem"), "{message}");
}

#[test]
fn lists_say_what_there_is() {
    let service = Service::new("listed");
    service.upload("A=1\n");
    service.upload("A=2\n");
    service.run(&["upload", "-f", "b.bin"], &"x".repeat(70)).ok();
    let services = service.run(&["list"], "").text();
    assert!(services.lines().any(|line| line == "listed"), "{services}");
    let items = service.items();
    let rows: Vec<_> = items
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| (&item["item"], &item["version"]))
        .collect();
    assert_eq!(
        rows,
        [(&json!("environment"), &json!(2)), (&json!("file/b.bin"), &json!(1))]
    );
    let keys = service.run(&["download", "--list"], "").text();
    assert_eq!(keys.lines().count(), 2, "{keys}");
}

/// Starts one upload each of these at once, and waits for all.
fn at_once(service: &Service, flags: &[&str], inputs: &[String]) -> Vec<Ran> {
    let arguments = [&["upload", "--format", "json"], flags].concat();
    let start = |input: &String| {
        let mut command = service.machine.command(program());
        machine::start(command.args(&arguments), input.as_bytes())
    };
    let children: Vec<_> = inputs.iter().map(start).collect();
    children.into_iter().map(machine::finish).collect()
}

/// Several processes write one item again and again. Whoever is told of a success was committed, under a number that
/// nobody else has; whoever is told of a conflict was not; and no number is missing.
fn race(service: &Service, flags: &[&str], size: usize) {
    let mut committed: Vec<(u64, String)> = Vec::new();
    for round in 0..3 {
        let inputs: Vec<String> = (0..8)
            .map(|writer| format!("WINNER={round}.{writer}.{}\n", "x".repeat(size)))
            .collect();
        let all = at_once(service, flags, &inputs);
        let before = committed.len();
        for (ran, input) in all.into_iter().zip(inputs) {
            if ran.status == 0 {
                let result: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
                committed.push((result["version"].as_u64().expect("a number"), input));
            } else {
                ran.fails(4);
            }
        }
        assert!(committed.len() > before, "somebody wins each round");
        committed.sort();
    }
    let numbers: Vec<u64> = committed.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=committed.len() as u64).collect::<Vec<_>>());
    for (number, input) in &committed {
        let at = number.to_string();
        let got = if flags.is_empty() {
            let environment = service.environment(&["-w", "WINNER", "--at", &at]);
            format!("WINNER={}\n", environment["WINNER"])
        } else {
            service.run(&["download", "-f", "raced", "--at", &at], "").text()
        };
        assert_eq!(got, *input, "version {number}");
    }
}

#[test]
fn of_eight_that_write_an_environment_each_success_is_kept() {
    race(&Service::new("race"), &[], 0);
}

#[test]
fn of_eight_that_write_a_small_file_each_success_is_kept() {
    race(&Service::new("race-small"), &["-f", "raced"], 100);
}

#[test]
fn of_eight_that_write_a_large_file_each_success_is_kept() {
    race(&Service::new("race-large"), &["-f", "raced"], (1 << 20) + 1);
}
