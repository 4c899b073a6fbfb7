//! A bucket with a history behind a proxy that lets things go wrong, and put back as it was for every run.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use fault_proxy::Proxy;
use microsecrets::checksum::Checksum;
use microsecrets::document::Document;
use microsecrets::record::Head;
use strict_fake::{Bucket, Object, Principal, Raw, Sse, StrictFake};

use crate::commands::Command;
use crate::common::{Outcome, Run, TestEnvironment};

pub(crate) const BUCKET: &str = "example-microsecrets";

/// The files that commands write in the machine's folder.
const WRITTEN: [&str; 4] = ["started", "placed", "microsecrets.toml", "state"];

/// Services `api`, `web`, `signed`, and `old` as 0.3.4 left it.
pub(crate) struct World {
    pub(crate) fake: StrictFake,
    pub(crate) proxy: Proxy,
    pub(crate) machine: TestEnvironment,
    admin: Principal,
    /// What is random about this world, and what stands for it.
    random: Vec<(String, &'static str)>,
    objects: Vec<Object>,
    /// Tells the buckets apart that are set up in it.
    runs: std::cell::Cell<usize>,
}

impl World {
    pub(crate) fn new() -> Self {
        let fake = StrictFake::builder().bucket(BUCKET, Bucket::default()).start();
        let machine = TestEnvironment::new();
        let kms = fake.kms();
        let mut random: Vec<_> = ["api", "web", "signed", "old"]
            .map(|service| (kms.create_key(&format!("microsecrets-{service}")), "[KEY]"))
            .into();
        random.push((kms.create_signing_key("microsecrets-signing/signed"), "[SIGNING]"));
        let admin = fake.admin("AKIAADMIN", "the administrator's secret", "111122223333");
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], fake.port()))).unwrap();
        random.push((proxy.address().to_string(), "[PROXY]"));
        let mut world = Self {
            fake,
            proxy,
            machine,
            admin,
            random,
            objects: vec![],
            runs: std::cell::Cell::default(),
        };
        world.seed();
        let keys = world.fake.keys(BUCKET);
        world.objects = keys.iter().map(|key| world.fake.object(BUCKET, key).unwrap()).collect();
        world
    }

    fn seed(&self) {
        self.machine.write("small", vec![7; 2_000]);
        self.machine.write("large", vec![7; (1 << 20) + 1]);
        self.machine.write("larger", vec![8; (1 << 20) + 2]);
        let value = "v".repeat(1_000);
        self.did(&["upload", "-q"], "A=1\n");
        self.did(&["upload", "-q"], "A=1\nB=2\n");
        self.did(&["upload", "-q"], &format!("A={value}\nB=2\n"));
        self.did(&["upload", "-q", "-f", "small", "small"], "");
        self.did(&["upload", "-q", "-f", "large", "large"], "");
        self.did(&["upload", "-q", "-s", "web"], "A=0\n");
        let pem = self.did(&["signing-key", "export", "-s", "signed"], "");
        self.machine.write("key.pem", pem);
        for pairs in ["A=1\n", "A=2\n"] {
            self.did(
                &["upload", "-q", "-s", "signed", "--sign", "--verify-key", "key.pem"],
                pairs,
            );
        }
        let document = br#"{"environment": {"A": "old"}, "metadata": {"timestamp": 1.5, "user": "bob@old"}}"#;
        let key = format!(
            "services/old/environment/2016-05-04.03-02-01.{}.json",
            Checksum::of(document)
        );
        let raw = Raw::encrypted(Sse::kms(&self.random[3].0));
        self.fake.put_raw(BUCKET, &key, document.to_vec(), raw);
    }

    fn did(&self, arguments: &[&str], input: &str) -> String {
        let run = self.equip(self.machine.api(arguments), &self.proxy);
        run.stdin(input).run().ends(0).raw_stdout()
    }

    /// A program with the administrator's credentials, and the way to the fake through a proxy.
    fn equip(&self, run: Run, proxy: &Proxy) -> Run {
        run.env("AWS_ACCESS_KEY_ID", &self.admin.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.admin.secret_key)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("MICROSECRETS_BUCKET", BUCKET)
            .env("MICROSECRETS_ENDPOINT", format!("http://{}", proxy.address()))
            .env("MICROSECRETS_REGION", "us-east-1")
    }

    /// Everything as it was in the beginning.
    pub(crate) fn put_back(&self) {
        for key in self.fake.keys(BUCKET) {
            self.fake.remove(BUCKET, &key);
        }
        for object in &self.objects {
            let raw = Raw {
                attributes: object.attributes.clone(),
                etag: Some(object.etag.clone()),
                last_modified: Some(object.last_modified),
                no_checksum: object.checksum.is_none(),
            };
            self.fake.put_raw(BUCKET, &object.key, object.body.clone(), raw);
        }
        for name in WRITTEN {
            let path = self.machine.path(name);
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).ok();
        }
        fs::create_dir(self.machine.path("placed")).unwrap();
        self.runs.set(self.runs.get() + 1);
    }

    /// Runs a command. What doesn't end is killed after a minute, and has then a status of 137.
    pub(crate) fn run(&self, command: &Command, options: &[&str]) -> Outcome {
        let run = self.prepare(command, options);
        run.by_way_of("timeout", &["-s", "KILL", "60"]).run()
    }

    /// A command that is about to be run through the proxy.
    pub(crate) fn prepare(&self, command: &Command, options: &[&str]) -> Run {
        let (name, rest) = command.arguments.split_first().unwrap();
        // What is set up is another bucket and service in every world, and the same one when it is set up again.
        let (bucket, service) = (self.set_up_bucket(), format!("new{}", self.runs.get()));
        let words: Vec<&str> = rest.iter().map(|word| word_of(word, &bucket, &service)).collect();
        let arguments = [&[*name], options, &words].concat();
        let run = self.equip(self.machine.api(&arguments), &self.proxy);
        run.stdin(command.input)
    }

    fn set_up_bucket(&self) -> String {
        format!("new-bucket-{}", self.runs.get())
    }

    /// What is random about the world replaced.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = self
            .random
            .iter()
            .fold(text.to_owned(), |text, (random, name)| text.replace(random, name));
        let text = text.replace(&self.set_up_bucket(), "[NEW]");
        text.replace(&format!("new{}", self.runs.get()), "[NEW]")
    }

    /// What is in the bucket: the heads with their content, and how many objects there are beside them.
    pub(crate) fn effect(&self) -> Effect {
        let mut effect = Effect::default();
        for key in self.fake.keys(BUCKET) {
            let object = self.fake.object(BUCKET, &key).unwrap();
            if key.contains("/head/") {
                let head = Head::parse(&object.body).unwrap();
                let content = self.content(&key, &head);
                effect.heads.insert(key, content);
            } else {
                let (folder, _) = key.rsplit_once('/').unwrap();
                *effect.others.entry(folder.to_owned()).or_default() += 1;
            }
        }
        let made = self.set_up_bucket();
        effect.set_up = self.fake.buckets().contains(&made) && self.fake.bucket_policy(&made).is_some();
        effect
    }

    /// The number of a head's version, whether it is signed, and its content, which must be all there.
    fn content(&self, key: &str, head: &Head) -> (u64, String) {
        let record = head.record();
        let number = record.number.get();
        let (folder, item) = key.split_once("/head/").unwrap();
        let signed = if head.entry().signature().is_some() {
            "signed"
        } else {
            ""
        };
        let content = match item.strip_prefix("file/") {
            _ if !record.inline && item == "environment" => "deleted".to_owned(),
            None => {
                let document = Document::parse(head.bytes().expose()).unwrap();
                let pairs = document.variables.iter();
                pairs
                    .map(|(name, value)| format!("{name}={} ", value.expose()))
                    .collect()
            }
            Some(label) => {
                let key = format!("{folder}/files/{label}/{}", record.name);
                let bytes = match record.inline {
                    true => head.bytes().expose().to_vec(),
                    false => self.fake.object(BUCKET, &key).unwrap().body.to_vec(),
                };
                assert_eq!(Checksum::of(&bytes), record.checksum(), "{item}");
                format!("{} bytes", bytes.len())
            }
        };
        (number, format!("{signed} {content}"))
    }
}

/// What commands change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Of each head the number of its version and the content.
    pub(crate) heads: BTreeMap<String, (u64, String)>,
    /// How many other objects are in each folder.
    pub(crate) others: BTreeMap<String, usize>,
    /// Whether a bucket was set up.
    pub(crate) set_up: bool,
}

fn word_of<'a>(word: &'a str, bucket: &'a str, service: &'a str) -> &'a str {
    match word {
        "NEW-BUCKET" => bucket,
        "NEW-SERVICE" => service,
        word => word,
    }
}
