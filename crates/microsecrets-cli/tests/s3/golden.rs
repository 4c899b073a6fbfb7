//! What microsecrets 0.3.4 wrote and printed, recorded once, put into the fake: read, listed, taken over, built upon.

use serde_json::Value;
use strict_fake::Bucket;
use test_support::golden::{Golden, Object};

use crate::Place;
use crate::common::Run;
use crate::common::redact::redact;

/// A bucket with all that 0.3.4 wrote, each service under a key of its own.
struct Recorded {
    golden: Golden,
    place: Place,
}

impl Recorded {
    fn new() -> Self {
        let recorded = Self::empty();
        for object in &recorded.golden.objects {
            recorded.put(object);
        }
        recorded
    }

    /// The bucket and the keys, before anybody wrote anything.
    fn empty() -> Self {
        let golden = Golden::load();
        let place = Place::with(strict_fake::StrictFake::builder().bucket(&golden.bucket, Bucket::default()));
        for service in golden.services() {
            if service != "api" {
                place.fake.kms().create_key(&format!("microsecrets-{service}"));
            }
        }
        Self { golden, place }
    }

    fn put(&self, object: &Object) {
        let service = object.key.split('/').nth(1).unwrap();
        let key = self
            .place
            .fake
            .kms()
            .resolve(&format!("microsecrets-{service}"))
            .unwrap();
        let mut raw = strict_fake::Raw::encrypted(strict_fake::Sse::kms(key));
        raw.attributes.content_type = Some(object.content_type.clone());
        self.place
            .fake
            .put_raw(&self.golden.bucket, &object.key, object.body.clone(), raw);
    }

    fn microsecrets(&self, arguments: &[&str]) -> Run {
        let run = self.place.microsecrets(arguments);
        run.env("MICROSECRETS_BUCKET", &self.golden.bucket)
            .without_env("MICROSECRETS_SERVICE")
    }

    /// One of 0.3.4's commands, with the bucket.
    fn launcher(&self, tool: &str, arguments: &[String]) -> Run {
        let mut line = vec!["-b", self.golden.bucket.as_str()];
        line.extend(arguments.iter().map(String::as_str));
        self.place
            .equip(self.place.machine.launcher(tool, &line), &self.place.admin)
    }

    /// The variables that the service's environment has now.
    fn variables(&self, service: &str) -> Value {
        let outcome = self.microsecrets(&["download", "-s", service]).run();
        serde_json::from_slice(&outcome.ends(0).stdout).unwrap()
    }

    fn services(&self) -> Vec<String> {
        self.golden.services().into_iter().map(ToOwned::to_owned).collect()
    }
}

#[test]
fn every_current_environment_is_read() {
    let recorded = Recorded::new();
    for service in recorded.services() {
        let current = recorded.golden.current(&format!("services/{service}/environment/"));
        assert_eq!(recorded.variables(&service), current.variables(), "{service}");
    }
}

#[test]
fn every_version_is_read_by_its_name_and_by_its_checksum() {
    let recorded = Recorded::new();
    for object in &recorded.golden.objects {
        let parts: Vec<_> = object.key.split('/').collect();
        let name = parts[parts.len() - 1];
        let checksum = name.trim_end_matches(".json").rsplit('.').next().unwrap();
        for pin in [name, checksum] {
            let outcome = match parts[2] {
                "environment" => recorded.microsecrets(&["download", "-s", parts[1], "-c", pin]).run(),
                _ => recorded
                    .microsecrets(&[
                        "download",
                        "-s",
                        parts[1],
                        "-f",
                        &format!("{}:file:{pin}", parts[3]),
                        "--force",
                    ])
                    .run(),
            };
            outcome.ends(0);
            match parts[2] {
                "environment" => {
                    let variables: Value = serde_json::from_slice(&outcome.stdout).unwrap();
                    assert_eq!(variables, object.variables(), "{}", object.key);
                }
                _ => assert_eq!(recorded.place.machine.read("file"), object.body, "{}", object.key),
            }
        }
    }
}

#[test]
fn what_is_there_is_listed() {
    let recorded = Recorded::new();
    recorded.microsecrets(&["list"]).run().prints("api\nunicode\nweb\n");
    let listed = recorded.microsecrets(&["list", "web", "--format", "json"]).run();
    let rows: Value = serde_json::from_slice(&listed.ends(0).stdout).unwrap();
    for (row, item) in rows
        .as_array()
        .unwrap()
        .iter()
        .zip(["environment", "file/blob", "file/tls.pem"])
    {
        let place = item.replace("file/", "files/");
        let current = recorded.golden.current(&format!("services/web/{place}/"));
        assert_eq!(row["item"], item);
        assert_eq!(
            (&row["version"], &row["size"]),
            (&Value::Null, &Value::from(current.body.len()))
        );
        assert!(current.key.contains(row["checksum"].as_str().unwrap()));
    }
}

#[test]
fn what_is_there_is_taken_over_and_released() {
    let recorded = Recorded::new();
    let keys = || recorded.place.fake.keys(&recorded.golden.bucket);
    let before = keys();
    for service in recorded.services() {
        recorded.microsecrets(&["migrate", "-s", &service]).run().ends(0);
        assert_eq!(keys(), before, "only shown");
    }
    for service in recorded.services() {
        recorded
            .microsecrets(&["migrate", "-s", &service, "--apply"])
            .run()
            .ends(0);
        let current = recorded.golden.current(&format!("services/{service}/environment/"));
        assert_eq!(recorded.variables(&service), current.variables());
    }
    // What 0.3.4 wrote lies where it lay, and nothing new is where it would look.
    let is_of_034 = |key: &String| key.contains("/environment/20") || key.contains("/files/");
    assert_eq!(keys().into_iter().filter(is_of_034).collect::<Vec<_>>(), before);
    for object in &recorded.golden.objects {
        let kept = recorded
            .place
            .fake
            .object(&recorded.golden.bucket, &object.key)
            .unwrap();
        assert_eq!(kept.body, object.body);
    }
    for service in recorded.services() {
        recorded
            .microsecrets(&["migrate", "-s", &service, "--finish", "--yes"])
            .run()
            .ends(0);
        recorded.place.fake.clear_requests();
        recorded.variables(&service);
        assert_eq!(recorded.place.fake.operations(), ["GetObject"]);
    }
}

/// The first write takes over what 0.3.4 wrote last, as version 1, and is version 2.
#[test]
fn what_is_there_is_built_upon() {
    let recorded = Recorded::new();
    for service in recorded.services() {
        let current = recorded.golden.current(&format!("services/{service}/environment/"));
        let upload = recorded
            .microsecrets(&["upload", "-s", &service, "--format", "json"])
            .stdin("NEW=1\n")
            .run();
        let uploaded: Value = serde_json::from_slice(&upload.ends(0).stdout).unwrap();
        assert_eq!(uploaded["version"], 2, "{service}");
        assert!(
            uploaded["path"].as_str().unwrap() > current.key.as_str(),
            "0.3.4 reads it too"
        );
        assert_eq!(recorded.variables(&service), serde_json::json!({"NEW": "1"}));
        let first = recorded.microsecrets(&["download", "-s", &service, "--at", "1"]).run();
        let first: Value = serde_json::from_slice(&first.ends(0).stdout).unwrap();
        assert_eq!(first, current.variables());
    }
}

/// Each command line that was typed, in its order: the same status and the same output. Times and, of environments,
/// checksums differ, as they did between two runs of 0.3.4.
#[test]
fn every_command_line_does_what_it_did() {
    let recorded = Recorded::empty();
    let file = |part: &str| {
        let mut objects = recorded.golden.objects.iter();
        objects.find(|object| object.key.contains(part)).unwrap()
    };
    recorded.place.machine.write("cert.pem", &file("/files/tls.pem/").body);
    recorded.place.machine.write("blob.bin", &file("/files/blob/").body);
    let folder = recorded.place.machine.path("");
    let redacted = |text: &[u8]| redact(std::str::from_utf8(text).unwrap(), &folder);
    for typed in &recorded.golden.transcript {
        let outcome = recorded
            .launcher(&typed.tool, &typed.arguments)
            .stdin(&typed.stdin)
            .run();
        let line = format!("{} {:?}: {}", typed.tool, typed.arguments, outcome.stderr);
        assert_eq!(outcome.status.code(), Some(typed.status), "{line}");
        assert_eq!(redacted(&outcome.stdout), redacted(&typed.stdout), "{line}");
        if typed.arguments.iter().any(|argument| argument == "-f") {
            // Files have no salt.
            let checksum = |text: &[u8]| String::from_utf8_lossy(text).lines().nth(3).map(ToOwned::to_owned);
            assert_eq!(checksum(&outcome.stdout), checksum(&typed.stdout), "{line}");
        }
    }
}
