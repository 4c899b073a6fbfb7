//! `microsecrets doctor` on a bucket: account, bucket, keys, rights and objects.

#![allow(clippy::unwrap_used, missing_docs)]

mod account;
mod bucket;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fake.rs"]
mod fake;
#[path = "../common/findings.rs"]
mod findings;
mod keys;
mod objects;
mod rights;

use std::time::{Duration, SystemTime};

use common::canary::Canary;
use common::{Outcome, Run};
use fake::{BUCKET, Place};
use findings::Findings;
use serde_json::Value;
use strict_fake::{Principal, Raw, Sse};

const READER: &str = "arn:aws:iam::111122223333:user/reader";
const WRITER: &str = "arn:aws:iam::111122223333:user/writer";
const HEAD: &str = "services/api/head/environment";
const LOG: &str = "services/api/log/environment/";
const VERSIONS: &str = "services/api/environment/";

/// A bucket that was set up, with a service in it, and a contract that says so.
struct Ward {
    place: Place,
    canary: Canary,
    /// The service's key.
    key: String,
}

impl Ward {
    #[track_caller]
    fn healthy() -> Self {
        let place = Place::new();
        // The key that is there was not made by `setup`.
        place.fake.kms().remove_alias("microsecrets-api");
        let ward = Self {
            key: String::new(),
            canary: Canary::new(),
            place,
        };
        ward.setup(&[]);
        let key = ward.place.fake.kms().resolve("microsecrets-api").unwrap();
        let ward = Self { key, ..ward };
        ward.upload(1);
        ward.upload(2);
        ward
    }

    #[track_caller]
    fn setup(&self, options: &[&str]) {
        let setup = ["setup", "--reader", READER, "--writer", WRITER, "--yes"];
        self.place.microsecrets(&[&setup, options].concat()).run().ends(0);
    }

    #[track_caller]
    fn upload(&self, number: u32) {
        self.place.upload(&format!("A={}\nN={number}\n", self.canary.text));
    }

    fn objects(&self) -> Vec<(String, Vec<u8>, String)> {
        let keys = self.place.fake.keys(BUCKET).into_iter();
        let objects = keys.filter_map(|key| self.place.fake.object(BUCKET, &key));
        objects
            .map(|object| (object.key, object.body.to_vec(), object.version_id))
            .collect()
    }

    /// Runs it as somebody: nothing is written, and no secret shown.
    #[track_caller]
    fn run(&self, run: Run) -> Outcome {
        let before = self.objects();
        self.place.fake.clear_requests();
        let outcome = run.run();
        self.canary.is_not_in(&outcome);
        assert!(self.objects() == before, "something was written");
        let changes = [
            "Create",
            "Delete",
            "Update",
            "Enable",
            "PutBucket",
            "PutKey",
            "PutPublic",
        ];
        for request in self.place.fake.requests() {
            let operation = &request.operation;
            let is_tried = operation == "DeleteObject" && matches!(request.status, 403 | 404);
            assert!(
                is_tried || !changes.iter().any(|change| operation.starts_with(change)),
                "{operation}"
            );
        }
        outcome
    }

    #[track_caller]
    fn look(&self, options: &[&str]) -> Findings {
        let arguments = [&["doctor", "--format", "json"], options].concat();
        Findings::of(&self.run(self.place.microsecrets(&arguments)))
    }

    #[track_caller]
    fn look_as(&self, who: &Principal, options: &[&str]) -> Findings {
        let arguments = [&["doctor", "--format", "json"], options].concat();
        Findings::of(&self.run(self.place.microsecrets_as(who, &arguments)))
    }

    /// Runs it with `--fix`.
    #[track_caller]
    fn fix(&self, options: &[&str]) -> Findings {
        let arguments = [&["doctor", "--format", "json", "--fix", "--yes"], options].concat();
        let outcome = self.place.microsecrets(&arguments).run();
        self.canary.is_not_in(&outcome);
        Findings::of(&outcome)
    }

    /// Runs the command of this program that a finding says.
    #[track_caller]
    fn does(&self, mend: &str) {
        let command = mend.strip_prefix("microsecrets ").unwrap_or_else(|| panic!("{mend}"));
        let mut words: Vec<&str> = command.split(' ').collect();
        words.push("--yes");
        self.place.microsecrets(&words).run().ends(0);
    }

    /// Somebody with the rights that `policy` prints for a role.
    #[track_caller]
    fn somebody(&self, role: &str) -> Principal {
        let printed = self.place.microsecrets(&["policy", "--role", role]).run();
        let policy: Value = serde_json::from_str(&printed.ends(0).raw_stdout()).unwrap();
        let somebody = self
            .place
            .fake
            .principal("AKIASOMEBODY", "somebody's secret", "111122223333");
        let policy = policy["identity-policy"].to_string();
        self.place.fake.attach_policy(&somebody, &policy).unwrap();
        somebody
    }

    /// Removes every object.
    fn remove_all(&self) {
        let keys = self.place.fake.keys(BUCKET);
        assert!(keys.iter().all(|key| self.place.fake.remove(BUCKET, key)));
    }

    fn newest(&self, prefix: &str) -> String {
        let keys = self.place.fake.keys(BUCKET);
        keys.into_iter().rfind(|key| key.starts_with(prefix)).unwrap()
    }

    /// Under the service's key, and with the mark of somebody's commit.
    fn raw(&self, mark: Option<&str>) -> Raw {
        let mut raw = Raw::encrypted(Sse::kms(&self.key));
        raw.attributes
            .metadata
            .extend(mark.map(|mark| ("microsecrets".to_owned(), mark.to_owned())));
        raw
    }
}

impl Ward {
    /// Takes a line out of the contract; answers it.
    fn without_line(&self, key: &str) -> String {
        let contract = String::from_utf8(self.place.machine.read("microsecrets.toml")).unwrap();
        let (gone, kept): (Vec<_>, Vec<_>) = contract.lines().partition(|line| line.starts_with(&format!("{key} =")));
        self.place.machine.write("microsecrets.toml", kept.join("\n"));
        gone.concat()
    }

    fn add_line(&self, line: &str) {
        let contract = String::from_utf8(self.place.machine.read("microsecrets.toml")).unwrap();
        self.place
            .machine
            .write("microsecrets.toml", format!("{contract}\n{line}\n"));
    }
}

/// The name that 0.3.4 gave to bytes so many seconds ago.
fn name_of(age: u64, bytes: &[u8]) -> String {
    let at = humane(SystemTime::now() - Duration::from_secs(age));
    let (date, time) = at.trim_end_matches('Z').split_once('T').unwrap();
    let checksum = microsecrets::checksum::Checksum::of(bytes);
    format!("{date}.{}.{checksum}", time.replace(':', "-"))
}

/// `2026-11-23T07:58:01Z`
fn humane(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = microsecrets::time::Timestamp::from_unix(i64::try_from(seconds).unwrap());
    at.unwrap().to_string()
}

#[test]
fn a_bucket_and_a_service_that_are_set_up_are_healthy() {
    let ward = Ward::healthy();
    for role in ["reader", "lister", "writer", "pruner"] {
        ward.look(&["--role", role]).are_ok();
    }
    assert_eq!(
        ward.look(&["--role", "writer"]).checks(),
        [
            "endpoint",
            "clock",
            "caller",
            "credentials",
            "region",
            "bucket-owner",
            "versioning",
            "public-access",
            "ownership",
            "encryption",
            "lifecycle",
            "bucket-policy",
            "key-pin",
            "key",
            "alias",
            "key-rotation",
            "key-policy",
            "right-get",
            "right-decrypt",
            "right-list",
            "right-put",
            "right-generate-data-key",
            "right-describe-key",
            "head",
            "log",
            "signatures",
            "contract"
        ]
    );
}

#[test]
fn without_a_service_only_account_and_bucket_are_looked_at() {
    let ward = Ward::healthy();
    ward.place
        .machine
        .write("other.toml", "bucket-owner = \"111122223333\"\n");
    let mut run = ward
        .place
        .microsecrets(&["doctor", "--format", "json", "--config", "other.toml"]);
    run.command.env_remove("MICROSECRETS_SERVICE");
    let findings = Findings::of(&ward.run(run));
    findings.are_ok();
    assert!(!findings.checks().contains(&"head") && !findings.checks().contains(&"key"));
    findings.is_ok("bucket-policy").is_ok("clock");
    for flags in [&["--fix"][..], &["-f", "tls.pem"]] {
        let mut run = ward
            .place
            .microsecrets(&[&["doctor", "--config", "other.toml"], flags].concat());
        run.command.env_remove("MICROSECRETS_SERVICE");
        run.run().fails(
            2,
            "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n",
        );
    }
}
