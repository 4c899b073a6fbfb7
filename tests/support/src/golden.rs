//! What microsecrets 0.3.4 wrote and printed on Python 2.7, recorded once.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The recording: a bucket's objects, and the command lines that wrote and read them.
pub struct Golden {
    /// The bucket.
    pub bucket: String,
    /// Its objects, by key.
    pub objects: Vec<Object>,
    /// The command lines in the order in which they were typed.
    pub transcript: Vec<Typed>,
}

/// An object as it was put.
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub body: Vec<u8>,
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its `x-amz-server-side-encryption`.
    pub encryption: String,
}

/// A command line, and what came of it.
pub struct Typed {
    /// The command: `microsecrets-upload` and so on.
    pub tool: String,
    /// What followed it; the bucket is left out.
    pub arguments: Vec<String>,
    /// What it read.
    pub stdin: Vec<u8>,
    /// What it ended with.
    pub status: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
}

impl Golden {
    /// Reads the recording.
    pub fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../crates/microsecrets-cli/tests/fixtures/microsecrets-0.3.4.json");
        let text = std::fs::read(path).expect("the recording is part of the repository");
        let recording: Value = serde_json::from_slice(&text).expect("it is JSON");
        Self {
            bucket: string(&recording["bucket"]),
            objects: list(&recording["objects"]).iter().map(Object::from_json).collect(),
            transcript: list(&recording["transcript"]).iter().map(Typed::from_json).collect(),
        }
    }

    /// The services that it has objects of.
    pub fn services(&self) -> Vec<&str> {
        let mut services: Vec<_> = self
            .objects
            .iter()
            .filter_map(|object| object.key.split('/').nth(1))
            .collect();
        services.dedup();
        services
    }

    /// The greatest key below a prefix: what 0.3.4 takes for the current version.
    pub fn current(&self, prefix: &str) -> &Object {
        let below = self.objects.iter().filter(|object| object.key.starts_with(prefix));
        below.max_by_key(|object| &object.key).expect("something lies there")
    }
}

impl Object {
    fn from_json(object: &Value) -> Self {
        Self {
            key: string(&object["key"]),
            body: bytes(&object["body"]),
            content_type: string(&object["content_type"]),
            encryption: string(&object["sse"]),
        }
    }

    /// The variables of an environment.
    pub fn variables(&self) -> Value {
        let document: Value = serde_json::from_slice(&self.body).expect("an environment is JSON");
        document["environment"].clone()
    }
}

impl Typed {
    fn from_json(typed: &Value) -> Self {
        Self {
            tool: string(&typed["tool"]),
            arguments: list(&typed["args"]).iter().map(string).collect(),
            stdin: bytes(&typed["stdin"]),
            status: typed["status"]
                .as_i64()
                .and_then(|status| status.try_into().ok())
                .expect("a status"),
            stdout: bytes(&typed["stdout"]),
        }
    }

    /// Whether it wrote something.
    pub fn is_upload(&self) -> bool {
        self.tool == "microsecrets-upload"
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn string(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD
        .decode(value.as_str().expect("a string"))
        .expect("bytes are in base64")
}
