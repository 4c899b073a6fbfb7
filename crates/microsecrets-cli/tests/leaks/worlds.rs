//! A folder store and a bucket on the strict fake, each with secrets in all of its versions, and whoever looks for them.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use microsecrets::checksum::Checksum;
use serde_json::json;
use strict_fake::{Principal, Raw, Sse};
use tempfile::TempDir;

use crate::common::canary::Canary;
use crate::common::{Outcome, Run, TestEnvironment, wait_until};
use crate::fake::{BUCKET, Place};

/// A service `api` with three versions of its environment and two of the file `f`, a service `web`, and `old`, which
/// 0.3.4 wrote. Everything that is secret there is random.
///
/// What a test hands to the program is in `inputs`, and what the program is asked to place goes to `outputs`. Every other
/// file is searched.
pub(crate) struct World {
    pub(crate) place: Option<Place>,
    folder: Option<TestEnvironment>,
    who: Option<Principal>,
    /// Where there is memory for private files, if the system has any.
    memory: Option<TempDir>,
    /// The key under which 0.3.4 wrote, where there are several.
    old_key: Option<String>,
    /// The service's secret.
    pub(crate) secret: Canary,
    /// What no command ever has to show: what it is, and itself.
    pub(crate) hidden: Vec<(&'static str, Canary)>,
}

/// Where a program leads that is told to say all it can.
pub(crate) const TALKATIVE: [(&str, &str); 4] = [
    ("RUST_LOG", "trace"),
    ("RUST_BACKTRACE", "full"),
    ("AWS_LOG_LEVEL", "trace"),
    ("SMITHY_LOG", "trace"),
];

/// Tells all that can be told.
pub(crate) fn talkative(run: Run) -> Run {
    TALKATIVE.iter().fold(run, |run, (name, value)| run.env(name, value))
}

impl World {
    /// A folder, with an identity and a key that signs.
    pub(crate) fn folder() -> Self {
        let world = Self::unseeded(None, Some(TestEnvironment::new()), None);
        world.seed();
        world.did(&["signing-key", "create"], "");
        let mut world = world.with_public_key();
        let folder = world.machine().path("config/microsecrets");
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            world.hidden.push(private_part(&text));
        }
        assert_eq!(world.hidden.len(), 2, "an identity and a key");
        world
    }

    /// A bucket over TLS, with keys and temporary credentials.
    pub(crate) fn bucket() -> Self {
        let place = Place::new();
        place.fake.kms().create_key("microsecrets-web");
        let old_key = place.fake.kms().create_key("microsecrets-old");
        place.fake.kms().create_signing_key("microsecrets-signing/api");
        let (key, token) = (Canary::awkward(), Canary::new());
        let who = place.fake.admin("AKIAANN", &key.text, "111122223333");
        place.fake.set_session_token(&who, &token.text);
        let mut world = Self::unseeded(Some(place), None, Some(who));
        world.hidden = vec![("secret access key", key), ("session token", token)];
        world.old_key = Some(old_key);
        world.seed();
        world.with_public_key()
    }

    fn unseeded(place: Option<Place>, folder: Option<TestEnvironment>, who: Option<Principal>) -> Self {
        let world = Self {
            place,
            folder,
            who,
            memory: tempfile::tempdir_in("/dev/shm").ok(),
            old_key: None,
            secret: Canary::awkward(),
            hidden: vec![],
        };
        for folder in ["inputs", "outputs", "tmp", "home"] {
            fs::create_dir(world.machine().path(folder)).unwrap();
        }
        world
    }

    /// Writes what is read by the commands, and the versions that they find.
    fn seed(&self) {
        let secret = &self.secret.text;
        let machine = self.machine();
        machine.write("inputs/value", format!("{secret}v"));
        machine.write("inputs/file", secret.repeat(50));
        machine.write("inputs/large", secret.repeat(40_000));
        machine.write(
            "inputs/edited",
            json!({"A": format!("{secret}e"), "E": secret}).to_string(),
        );
        machine.write("inputs/dotenv", format!("export A={}\n", json!(secret)));
        machine.write("inputs/contract.toml", "require = [\"A\"]\noptional = [\"*\"]\n");
        machine.script("editor", "#!/bin/sh\ncat inputs/edited > \"$1\"\n");
        for environment in [
            json!({"A": secret, "B": format!("x{secret}y")}),
            json!({"A": "1", "C": format!("{secret}\n")}),
            json!({"A": format!("2{secret}"), "C": format!("{secret}\n"), "D": ""}),
        ] {
            self.did(&["upload", "-q", "--json"], &environment.to_string());
        }
        self.did(&["upload", "-q", "-s", "web"], &format!("A={secret}!\n"));
        self.did(&["upload", "-q", "-f", "f", "inputs/file"], "");
        self.did(&["upload", "-q", "-f", "f", "inputs/large"], "");
        let document = json!({"environment": {"A": secret}, "metadata": {"timestamp": 1.5, "user": "bob@old"}});
        let bytes = document.to_string().into_bytes();
        let checksum = Checksum::of(&bytes);
        self.put(
            &format!("services/old/environment/2016-05-04.03-02-01.{checksum}.json"),
            bytes,
        );
    }

    fn with_public_key(self) -> Self {
        let pem = self.did(&["signing-key", "export"], "");
        self.machine().write("inputs/key.pem", pem);
        self
    }

    /// Puts an object past all checks, encrypted as it should be, in place of what is there.
    pub(crate) fn put(&self, key: &str, bytes: Vec<u8>) {
        let Some(place) = &self.place else {
            let machine = self.machine();
            fs::remove_file(machine.path(&format!("store/{key}"))).ok();
            return machine.put(key, bytes);
        };
        let is_old = key.starts_with("services/old/");
        let old_key = self.old_key.clone().filter(|_| is_old);
        let raw = Raw::encrypted(Sse::kms(old_key.unwrap_or_else(|| place.key.clone())));
        place.fake.put_raw(BUCKET, key, bytes, raw);
    }

    pub(crate) fn machine(&self) -> &TestEnvironment {
        let bucket = self.place.as_ref().map(|place| &place.machine);
        self.folder.as_ref().or(bucket).unwrap()
    }

    /// `microsecrets ARGUMENTS`, or one of 0.3.4's commands when the first argument names it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let run = match arguments.split_first() {
            Some((command, rest)) if command.starts_with("microsecrets-") => self.launcher(command, rest),
            _ => self.machine().api(arguments),
        };
        let run = match (&self.place, &self.who, &self.hidden[..]) {
            (Some(place), Some(who), [_, (_, token), ..]) => {
                place.equip(run, who).env("AWS_SESSION_TOKEN", &token.text)
            }
            _ => run,
        };
        let run = match &self.memory {
            Some(memory) => run.env("XDG_RUNTIME_DIR", memory.path()),
            None => run,
        };
        run.env("EDITOR", "./editor").env("TMPDIR", self.machine().path("tmp"))
    }

    fn launcher(&self, name: &str, rest: &[&str]) -> Run {
        if self.place.is_none() {
            return self.machine().launcher(name, &[&["-s", "api"], rest].concat());
        }
        let programs = Path::new(env!("CARGO_BIN_EXE_microsecrets")).parent().unwrap();
        let arguments = [&["-b", BUCKET, "-s", "api"], rest].concat();
        self.machine().program(programs.join(name), &arguments)
    }

    /// The same for a command that succeeds; answers what it printed.
    #[track_caller]
    pub(crate) fn did(&self, arguments: &[&str], input: &str) -> String {
        self.run(arguments).stdin(input).run().ends(0).raw_stdout()
    }

    /// What was said has no secret in it; what was printed has the service's, if that is the result, and no other.
    #[track_caller]
    pub(crate) fn hides(&self, outcome: &Outcome, shows: bool, what: &dyn Display) {
        self.knows_nothing(outcome.stderr.as_bytes(), &[&self.secret], what);
        let service = [&self.secret];
        self.knows_nothing(&outcome.stdout, if shows { &[] } else { &service }, what);
        assert!(!outcome.stderr.contains("panicked"), "{what}: {}", outcome.stderr);
    }

    /// Bytes have none of these secrets, none of the hidden ones, and nothing of how requests are signed.
    #[track_caller]
    pub(crate) fn knows_nothing(&self, bytes: &[u8], secrets: &[&Canary], what: &dyn Display) {
        let text = String::from_utf8_lossy(bytes);
        for secret in secrets {
            assert!(!secret.is_in(bytes), "{what}: the service's secret is in: {text}");
        }
        for (name, canary) in &self.hidden {
            assert!(!canary.is_in(bytes), "{what}: the {name} is in: {text}");
        }
        for word in SIGNED {
            assert!(!text.to_lowercase().contains(word), "{what}: {word} is in: {text}");
        }
    }

    /// No file but those that were handed over or asked for has a secret, by content or by name, and no request that was
    /// not its body.
    #[track_caller]
    pub(crate) fn left_nothing(&self, what: &dyn Display) {
        let machine = self.machine();
        for (path, bytes) in files(&machine.path("")) {
            let name = path.strip_prefix(machine.path("")).unwrap();
            let is_key = name.starts_with("config/microsecrets");
            if is_key || name.starts_with("inputs") || name.starts_with("outputs") || name == Path::new("microsecrets")
            {
                continue;
            }
            let whole = [name.to_str().unwrap().as_bytes(), &b"\n"[..], &bytes].concat();
            assert!(!self.secret.is_in(&whole), "{what}: left in {}", name.display());
            for (hidden, canary) in &self.hidden {
                assert!(!canary.is_in(&whole), "{what}: the {hidden} is in {}", name.display());
            }
        }
        assert!(files(&machine.path("tmp")).is_empty(), "{what}: temporary files");
        if let Some(memory) = &self.memory {
            // An editor that was killed with its program may still be ending.
            wait_until("the private file is gone", || files(memory.path()).is_empty());
        }
        self.asked_nothing(what);
    }

    /// What lies in memory, for an editor.
    pub(crate) fn private_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.memory
            .as_ref()
            .map(|memory| files(memory.path()))
            .unwrap_or_default()
    }

    /// Neither the names of objects nor the addresses and headers of requests have a secret.
    #[track_caller]
    fn asked_nothing(&self, what: &dyn Display) {
        let Some(place) = &self.place else { return };
        let all = [&self.secret]
            .into_iter()
            .chain(self.hidden.iter().map(|(_, canary)| canary));
        let all: Vec<&Canary> = all.collect();
        let mut texts = place.fake.keys(BUCKET);
        let requests = place.fake.requests();
        texts.extend(requests.iter().flat_map(|request| {
            let headers = request.headers.iter().map(|(name, value)| format!("{name}: {value}"));
            headers.chain([request.target.clone()]).collect::<Vec<_>>()
        }));
        place.fake.clear_requests();
        let text = texts.join("\n");
        assert!(
            !all.iter().any(|canary| canary.is_in(text.as_bytes())),
            "{what}: {text}"
        );
        assert!(
            !requests.iter().any(|request| request.target.contains("X-Amz-")),
            "{what}: a signature is in an address"
        );
    }
}

/// How a request is signed, in lower case.
const SIGNED: [&str; 4] = [
    "aws4-hmac-sha256",
    "signature=",
    "x-amz-security-token",
    "authorization:",
];

/// What is private in an identity, or in a key that signs.
fn private_part(text: &str) -> (&'static str, Canary) {
    if let Some(line) = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")) {
        return ("identity", Canary::of(line.trim_start_matches("AGE-SECRET-KEY-1")));
    }
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = decoded(&base64);
    // PKCS #8: the number, as an octet string of 32 bytes, then the public key, which is shown.
    let start = der.windows(2).position(|bytes| bytes == [0x04, 0x20]).unwrap() + 2;
    ("key that signs", Canary::of_bytes(&der[start..start + 32]))
}

fn decoded(base64: &str) -> Vec<u8> {
    let alphabet: String = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .map(char::from)
        .collect();
    let alphabet = alphabet + "+/";
    let sextets: Vec<usize> = base64.chars().filter_map(|char| alphabet.find(char)).collect();
    let three = |four: &[usize]| {
        let bits = four.iter().fold(0, |bits, sextet| bits << 6 | sextet) << (6 * (4 - four.len()));
        [16, 8, 0].map(|shift| (bits >> shift & 255) as u8)
    };
    sextets.chunks(4).flat_map(three).collect()
}

/// Every regular file below a folder, with its content.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => found.extend(files(&path)),
            Ok(metadata) if metadata.is_file() => found.push((path.clone(), fs::read(&path).unwrap_or_default())),
            _ => {}
        }
    }
    found
}
