//! The real programs against the strict fake of S3 and KMS, over TLS.

#![allow(clippy::unwrap_used, reason = "a test ends where its expectation does")]

#[path = "../common/mod.rs"]
mod common;

mod canary;
mod failures;
mod faults;
mod golden;
mod hostile;
mod memory;
mod network;
mod requests;
mod rights;

use common::{Outcome, Run, TestEnvironment};
use microsecrets::record::Head;
use strict_fake::{Bucket, Principal, Raw, Sse, StrictFake, test_tls};

pub(crate) const BUCKET: &str = "example-microsecrets";
pub(crate) const ACCOUNT: &str = "111122223333";

/// What `with-env` is to start: it shows that it was started.
pub(crate) const WITH_ENV: [&str; 5] = ["with-env", "-a", "--", "touch", "started"];

/// A bucket and a service's key on the fake, and a machine whose user may do everything.
pub(crate) struct Place {
    pub(crate) fake: StrictFake,
    pub(crate) machine: TestEnvironment,
    pub(crate) key: String,
    pub(crate) admin: Principal,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(StrictFake::builder())
    }

    pub(crate) fn with(builder: strict_fake::Builder) -> Self {
        let builder = builder.bucket(BUCKET, Bucket::default());
        let fake = builder.tls(test_tls::CHAIN, test_tls::KEY).start();
        let machine = TestEnvironment::new();
        machine.write("ca.pem", test_tls::CA);
        let key = fake.kms().create_key("microsecrets-api");
        let admin = fake.admin("AKIAADMIN", "the administrator's secret", ACCOUNT);
        Self {
            fake,
            machine,
            key,
            admin,
        }
    }

    /// A place where the service has an environment: `A=1`.
    pub(crate) fn with_environment() -> Self {
        let place = Self::new();
        place.upload("A=1\n");
        place.fake.clear_requests();
        place
    }

    /// `microsecrets ARGUMENTS` of the administrator's, with bucket and service set.
    pub(crate) fn microsecrets(&self, arguments: &[&str]) -> Run {
        self.microsecrets_of(&self.admin, arguments)
    }

    /// The same as somebody.
    pub(crate) fn microsecrets_of(&self, who: &Principal, arguments: &[&str]) -> Run {
        self.equip(self.machine.microsecrets(arguments), who)
    }

    /// A program with the credentials of somebody, and the way to the fake.
    pub(crate) fn equip(&self, run: Run, who: &Principal) -> Run {
        run.env("AWS_ACCESS_KEY_ID", &who.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &who.secret_key)
            // Whoever runs the tests on an instance has credentials there.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("MICROSECRETS_BUCKET", BUCKET)
            .env("MICROSECRETS_ENDPOINT", self.fake.endpoint())
            .env("MICROSECRETS_REGION", "us-east-1")
            .env("MICROSECRETS_SERVICE", "api")
            .env("SSL_CERT_FILE", self.machine.path("ca.pem"))
    }

    /// Uploads pairs; answers the checksum.
    #[track_caller]
    pub(crate) fn upload(&self, pairs: &str) -> String {
        self.upload_with(&["upload", "-q"], pairs.as_bytes())
    }

    /// Uploads a file; answers the checksum.
    #[track_caller]
    pub(crate) fn upload_file(&self, label: &str, bytes: &[u8]) -> String {
        self.upload_with(&["upload", "-q", "-f", label], bytes)
    }

    #[track_caller]
    fn upload_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let outcome = self.microsecrets(arguments).stdin(input).run();
        outcome.ends(0);
        outcome.raw_stdout().trim_end().to_owned()
    }

    /// An item's head, as it lies in the bucket.
    pub(crate) fn head(&self, item: &str) -> Head {
        let head = self.fake.object(BUCKET, &format!("services/api/head/{item}")).unwrap();
        Head::parse(&head.body).unwrap()
    }

    /// The number of an item's current version; 0 when there is none.
    pub(crate) fn version(&self, item: &str) -> u64 {
        let is_there = self.fake.object(BUCKET, &format!("services/api/head/{item}")).is_some();
        if is_there {
            self.head(item).record().number.get()
        } else {
            0
        }
    }

    /// Somebody who may do exactly this: `action resource`, with `KEY` for the key's ARN and `BUCKET` for the bucket's.
    pub(crate) fn somebody(&self, rights: &[&str]) -> Principal {
        let who = self.fake.principal("AKIASOMEBODY", "somebody's secret", ACCOUNT);
        self.fake.revoke_all(&who);
        for right in rights {
            let (action, resource) = right.split_once(' ').unwrap();
            let resource = match resource {
                "KEY" => self.key.clone(),
                resource => resource.replace("BUCKET", &format!("arn:aws:s3:::{BUCKET}")),
            };
            self.fake.allow(&who, action, &resource);
        }
        who
    }

    /// Puts an object past all checks, encrypted under the service's key.
    pub(crate) fn put_raw(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let raw = Raw::encrypted(Sse::kms(&self.key));
        self.fake.put_raw(BUCKET, key, bytes.into(), raw);
    }

    /// It failed with this status, printed nothing and said exactly this.
    #[track_caller]
    pub(crate) fn assert_fails(&self, outcome: &Outcome, status: i32, said: &str) {
        assert_eq!(self.said(outcome), said);
        outcome.ends(status);
        assert_eq!(outcome.raw_stdout(), "");
    }

    /// What it said, with what differs between runs replaced: request ids, the endpoint, the key, durations, and what
    /// [`Outcome::stderr`] replaces.
    pub(crate) fn said(&self, outcome: &Outcome) -> String {
        let text = outcome.stderr().replace(&self.fake.endpoint(), "[ENDPOINT]");
        let text = text.replace(&self.key, "[KEY]");
        let words = text.split_inclusive(['\n', '(', ')', ',']);
        words.map(redact_word).collect()
    }

    /// What was started, if anything.
    pub(crate) fn started(&self) -> bool {
        self.machine.exists("started")
    }
}

fn redact_word(word: &str) -> &str {
    let is = |text: &str, digit: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| digit(&byte));
    let Some(inside) = word.strip_suffix(')') else {
        return word;
    };
    let id = inside
        .strip_prefix(" request ")
        .or_else(|| inside.strip_prefix("request "));
    if inside
        .strip_suffix(" ms")
        .is_some_and(|number| is(number, u8::is_ascii_digit))
    {
        return "[TIME])";
    }
    match id {
        Some(id) if id.len() == 16 && is(id, u8::is_ascii_hexdigit) => " request [REQUEST])",
        _ => word,
    }
}
