//! A folder store with a key that signs, and a random secret in what is published there.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![allow(unreachable_pub, missing_docs)]

use std::fs;
use std::path::PathBuf;

use microsecrets::secret::SecretBytes;
use microsecrets::store::folder::{self, FolderSettings, FolderStore};
use microsecrets::store::{Body, Condition, Encryption, Get, Payload, Put, Store as _};
use microsecrets::trust::VerifyKey;

use crate::common::canary::Canary;
use crate::common::{Outcome, Run, TestEnvironment};

/// The head of the environment of `api`.
pub const HEAD: &str = "services/api/head/environment";

/// Signs, for readers who pin that.
pub const SIGN: [&str; 3] = ["--sign", "--verify-key", "key.pem"];
/// Believes only what is signed.
pub const PIN: [&str; 2] = ["--verify-key", "key.pem"];

/// A machine, and a secret that none of its failures may show.
pub struct Trust {
    pub machine: TestEnvironment,
    pub canary: Canary,
}

impl Trust {
    /// Nothing yet.
    pub fn empty() -> Self {
        Self {
            machine: TestEnvironment::new(),
            canary: Canary::new(),
        }
    }

    /// A store with a key, whose public half is in `key.pem`, and nothing else.
    pub fn with_key() -> Self {
        let trust = Self::empty();
        trust.make_key("key.pem");
        trust
    }

    /// The same with a signed environment: `A` is the secret.
    pub fn signed() -> Self {
        let trust = Self::with_key();
        trust.upload(&SIGN);
        trust
    }

    /// The pair that is published.
    pub fn pair(&self) -> String {
        format!("A={}\n", self.canary.text)
    }

    /// Uploads the pair with these options.
    #[track_caller]
    pub fn upload(&self, options: &[&str]) {
        self.does(&["upload", "-q", "--force"], options, &self.pair());
    }

    /// `microsecrets ARGUMENTS OPTIONS` for the service `api`.
    pub fn run(&self, arguments: &[&str], options: &[&str]) -> Run {
        self.machine.api(&[arguments, options].concat())
    }

    /// The same for a command that succeeds; answers how.
    #[track_caller]
    pub fn does(&self, arguments: &[&str], options: &[&str], input: &str) -> Outcome {
        let outcome = self.run(arguments, options).stdin(input).run();
        outcome.ends(0);
        outcome
    }

    /// `with-env OPTIONS`, of a command that shows that it was started.
    pub fn with_env(&self, options: &[&str]) -> Run {
        self.run(&[&["with-env"], options, &["--", "touch", "started"]].concat(), &[])
    }

    /// It fails with this status and these words, prints nothing, starts nothing, writes nothing, and shows no secret.
    #[track_caller]
    pub fn fails(&self, run: Run, status: i32, said: &str) {
        let before = self.machine.store();
        let outcome = run.run();
        outcome.fails(status, said);
        self.canary.is_not_in(&outcome);
        assert!(!self.machine.exists("started"), "the command was started");
        assert!(self.machine.store() == before, "something was written");
    }

    /// `get`, `download` and `with-env` fail with these words; not trusted is 6, and 122 of `with-env`.
    #[track_caller]
    pub fn is_not_used(&self, options: &[&str], said: &str) {
        self.fails(self.run(&["get", "A"], options), 6, said);
        self.fails(self.run(&["download"], options), 6, said);
        self.fails(self.with_env(&[&["-a"], options].concat()), 122, said);
    }

    /// Makes a key that signs, unless there is one, and writes its public half into a file.
    #[track_caller]
    pub fn make_key(&self, public: &str) {
        self.does(&["signing-key", "create"], &[], "");
        let exported = self.does(&["signing-key", "export"], &[], "");
        self.machine.write(public, exported.stdout);
    }

    /// Where the key that signs is.
    pub fn private_key(&self) -> PathBuf {
        let files = fs::read_dir(self.machine.path("config/microsecrets")).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        paths
            .find(|path| path.to_str().unwrap().ends_with(".signing-key.pem"))
            .unwrap()
    }

    /// Makes another key the one that signs, and puts the one before into `name`.
    #[track_caller]
    pub fn change_key(&self, name: &str, public: &str) {
        fs::rename(self.private_key(), self.machine.path(name)).unwrap();
        self.make_key(public);
    }

    /// A public key that was exported.
    pub fn public_key(&self, file: &str) -> VerifyKey {
        String::from_utf8(self.machine.read(file)).unwrap().parse().unwrap()
    }

    /// An object of the store, as the folder has it.
    pub fn sealed(&self, key: &str) -> Vec<u8> {
        self.machine.read(&format!("store/{key}"))
    }

    /// Puts an object back as it was: whoever can write to the folder can do that.
    pub fn put_back(&self, key: &str, sealed: &[u8]) {
        self.machine.write(&format!("store/{key}"), sealed);
    }

    /// Changes what is in an object: whoever has the identity can do that.
    #[track_caller]
    pub fn rewrite(&self, key: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let settings = FolderSettings::new(self.machine.path("store"), self.machine.path("config/microsecrets"));
            let store = FolderStore::open(settings, folder::Access::Write).await.unwrap();
            let object = store.get(Get::whole(key, 8 << 20)).await.unwrap();
            let Body::Whole(bytes) = object.body else {
                panic!("no bytes")
            };
            let changed = SecretBytes::new(change(bytes.expose().to_vec()));
            assert!(changed.expose() != bytes.expose(), "nothing to change");
            let condition = Condition::Is(object.etag);
            let put = Put::new(key, Payload::Bytes(changed), condition, Encryption::Store);
            store.put(put).await.unwrap();
        });
    }

    /// Replaces a text in an object.
    #[track_caller]
    pub fn replace(&self, key: &str, old: &str, new: &str) {
        self.rewrite(key, |bytes| {
            String::from_utf8(bytes).unwrap().replace(old, new).into_bytes()
        });
    }
}
