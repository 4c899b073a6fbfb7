//! A bucket with versioning on the strict fake of S3 and KMS, and a machine whose user may do everything.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![allow(unreachable_pub, missing_docs)]

use strict_fake::{Bucket, Principal, StrictFake, test_tls};

use crate::common::{Run, TestEnvironment};

pub const BUCKET: &str = "example-microsecrets";

pub struct Place {
    pub fake: StrictFake,
    pub machine: TestEnvironment,
    pub key: String,
    admin: Principal,
}

impl Place {
    pub fn new() -> Self {
        let builder = StrictFake::builder().bucket(BUCKET, Bucket::default());
        let fake = builder.tls(test_tls::CHAIN, test_tls::KEY).start();
        let machine = TestEnvironment::new();
        machine.write("ca.pem", test_tls::CA);
        let key = fake.kms().create_key("microsecrets-api");
        let admin = fake.admin("AKIAADMIN", "the administrator's secret", "111122223333");
        Self {
            fake,
            machine,
            key,
            admin,
        }
    }

    /// `microsecrets ARGUMENTS` with bucket and service set.
    pub fn microsecrets(&self, arguments: &[&str]) -> Run {
        self.microsecrets_as(&self.admin, arguments)
    }

    /// The same as somebody.
    pub fn microsecrets_as(&self, who: &Principal, arguments: &[&str]) -> Run {
        self.equip(self.machine.api(arguments), who)
    }

    /// A program with the credentials of somebody, and the way to the fake.
    pub fn equip(&self, run: Run, who: &Principal) -> Run {
        run.env("AWS_ACCESS_KEY_ID", &who.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &who.secret_key)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("MICROSECRETS_BUCKET", BUCKET)
            .env("MICROSECRETS_ENDPOINT", self.fake.endpoint())
            .env("MICROSECRETS_REGION", "us-east-1")
            .env("SSL_CERT_FILE", self.machine.path("ca.pem"))
    }

    /// Uploads pairs; answers the checksum.
    #[track_caller]
    pub fn upload(&self, pairs: &str) -> String {
        let outcome = self.microsecrets(&["upload", "-q"]).stdin(pairs).run();
        outcome.ends(0);
        outcome.raw_stdout().trim_end().to_owned()
    }
}
