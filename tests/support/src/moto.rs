//! A real moto server over HTTP: moto from PyPI, in a virtual environment below `target/`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::golden::Object;
use crate::python;

const REQUIREMENTS: &str = include_str!("../moto-requirements.txt");
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/moto_server.py");
/// Only a server that will never answer takes this long.
const PATIENCE: Duration = Duration::from_secs(300);

/// A moto server on loopback: S3 with any credentials, KMS beside it. It ends with the value, and with the test's
/// process if that ends first.
pub struct Moto {
    child: Child,
    endpoint: String,
    calls: Mutex<Calls>,
}

struct Calls {
    /// `None` when it is to end.
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Moto {
    /// The server that all tests of a binary share: it needs seconds to start. Buckets and services keep them apart.
    ///
    /// # Panics
    ///
    /// When there is no Python to run it with: these tests are never skipped in silence.
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Result<Moto, String>> = LazyLock::new(Moto::start);
        SHARED.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a server of its own, or says why it cannot.
    pub fn start() -> Result<Self, String> {
        let mut child = Command::new(environment()?.join("bin/python"))
            .args(["-I", SERVER])
            .env_clear()
            .envs(
                ["PATH", "TMPDIR"]
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs([
                ("AWS_CONFIG_FILE", "/dev/null"),
                ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
                ("NO_PROXY", "*"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the virtual environment has a python");
        let stdout = child.stdout.take().expect("its output is piped");
        let questions = child.stdin.take();
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let endpoint = answers
            .recv_timeout(PATIENCE)
            .expect("the moto server says where it answers");
        Ok(Self {
            child,
            endpoint,
            calls: Mutex::new(Calls { questions, answers }),
        })
    }

    /// Its URL, for `--endpoint` and `MICROSECRETS_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Calls a method of boto3's client for a service ("s3", "kms", "sts"); bytes are `{"$bytes": base64}`.
    pub fn try_call(&self, service: &str, call: &str, arguments: &Value) -> Result<Value, String> {
        let question = json!({"service": service, "call": call, "arguments": arguments});
        let calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut stdin = calls.questions.as_ref().expect("it runs");
        stdin
            .write_all(format!("{question}\n").as_bytes())
            .expect("the moto server reads");
        let line = calls.answers.recv_timeout(PATIENCE).expect("the moto server answers");
        let mut answer: Value = serde_json::from_str(&line).expect("it answers JSON");
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["result"].take()),
        }
    }

    /// The same, for a call that must succeed.
    pub fn call(&self, service: &str, call: &str, arguments: &Value) -> Value {
        self.try_call(service, call, arguments)
            .unwrap_or_else(|error| panic!("{service} {call} {arguments}: {error}"))
    }

    /// Makes a bucket.
    pub fn bucket(&self, name: &str) {
        self.call("s3", "create_bucket", &json!({"Bucket": name}));
    }

    /// The KMS key behind the default alias of a service, made where there is none; answers its ARN.
    pub fn key_for(&self, service: &str) -> String {
        let arn = self.key();
        let alias = format!("alias/microsecrets-{service}");
        let created = self.try_call("kms", "create_alias", &json!({"AliasName": alias, "TargetKeyId": arn}));
        match created {
            Ok(_) => arn,
            Err(error) if error.contains("AlreadyExists") => {
                arn_in(&self.call("kms", "describe_key", &json!({"KeyId": alias})))
            }
            Err(error) => panic!("{alias}: {error}"),
        }
    }

    /// Makes a KMS key; answers its ARN.
    pub fn key(&self) -> String {
        arn_in(&self.call("kms", "create_key", &json!({})))
    }

    /// Puts an object as 0.3.4 did, byte for byte.
    pub fn put(&self, bucket: &str, object: &Object, kms_key: &str) {
        let arguments = json!({
            "Bucket": bucket,
            "Key": object.key,
            "Body": {"$bytes": STANDARD.encode(&object.body)},
            "ACL": "private",
            "ContentType": object.content_type,
            "ServerSideEncryption": object.encryption,
            "SSEKMSKeyId": kms_key,
        });
        self.call("s3", "put_object", &arguments);
    }

    /// The bytes of an object.
    pub fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        let object = self.call("s3", "get_object", &json!({"Bucket": bucket, "Key": key}));
        let body = object["Body"]["$bytes"].as_str().expect("an object has bytes");
        STANDARD.decode(body).expect("they are in base64")
    }

    /// What S3 says of an object without its bytes, as boto3 names it.
    pub fn head(&self, bucket: &str, key: &str) -> Value {
        self.call("s3", "head_object", &json!({"Bucket": bucket, "Key": key}))
    }

    /// The keys below a prefix, at most a thousand, in order.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let listing = self.call("s3", "list_objects_v2", &json!({"Bucket": bucket, "Prefix": prefix}));
        let objects = listing["Contents"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        objects
            .iter()
            .filter_map(|object| object["Key"].as_str().map(ToOwned::to_owned))
            .collect()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Killing what has ended already is no problem.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn arn_in(key: &Value) -> String {
    key["KeyMetadata"]["Arn"].as_str().expect("a key has an ARN").to_owned()
}

/// The virtual environment with moto, made by the first test that needs it.
fn environment() -> Result<PathBuf, String> {
    let runs = |folder: &Path| python::has(&folder.join("bin/python"), (3, 10), "sys").is_ok();
    let version = REQUIREMENTS.lines().find_map(|line| line.strip_prefix("moto[s3]=="));
    let name = format!("moto-venv-{}", version.expect("moto is among the requirements"));
    python::filled(&name, REQUIREMENTS, runs, |folder| {
        let mut venv = Command::new(python3()?);
        python::step(venv.args(["-m", "venv"]).arg(folder), "make a virtual environment")?;
        let requirements = folder.join("requirements.txt");
        std::fs::write(&requirements, REQUIREMENTS).expect("target/ can be written");
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]);
        python::step(pip.arg(&requirements), "install moto from PyPI")
    })
}

/// A Python 3 that can make virtual environments.
fn python3() -> Result<PathBuf, String> {
    let others = (10..=14).rev().map(|minor| format!("python3.{minor}"));
    let mut causes = String::new();
    for name in std::iter::once("python3".to_owned()).chain(others) {
        match python::has(Path::new(&name), (3, 10), "venv, ensurepip") {
            Ok(()) => return Ok(name.into()),
            Err(error) if !error.contains("No such file") => {
                causes.push_str(&format!("  caused by: {name}: {error}\n"));
            }
            Err(_) => {}
        }
    }
    Err(format!(
        "tests against moto need Python 3.10 or newer with its venv and pip\n{causes}hint: apt-get install python3 python3-venv python3-pip"
    ))
}
