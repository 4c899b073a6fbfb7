//! The real microsecrets 0.3.4 beside this program: both ways, and a fleet of which half is migrated.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use test_support::legacy::Legacy;
use test_support::machine::{Ran, variables};

use crate::Place;

/// A service that the real 0.3.4 and this program share.
struct Shared {
    place: Place,
    legacy: &'static Legacy,
    service: &'static str,
}

impl Shared {
    /// `None` where there is no Python 2.7, which has been said then.
    fn new(service: &'static str) -> Option<Self> {
        let legacy = Legacy::find()?;
        let bucket = format!("fleet-{service}");
        let place = Place::new(&bucket, &[service]);
        Some(Self { place, legacy, service })
    }

    /// Runs a command of 0.3.4.
    fn legacy(&self, tool: &str, arguments: &[&str], stdin: &[u8]) -> Ran {
        let arguments = [&["-b", &self.place.bucket, "-s", self.service], arguments].concat();
        self.legacy.run(&self.place.machine, tool, &arguments, stdin)
    }

    /// Uploads by 0.3.4. Its names know only seconds, and of one second the greatest checksum is its current version: so
    /// it is called in a second that has no version yet.
    fn legacy_upload(&self, pairs: &str) -> String {
        let now = second();
        while second() == now {
            std::thread::sleep(Duration::from_millis(10));
        }
        path_in(&self.legacy("microsecrets-upload", &[], pairs.as_bytes()).text())
    }

    /// Runs a command of this program.
    fn ours(&self, arguments: &[&str], stdin: &[u8]) -> Ran {
        let (verb, rest) = arguments.split_first().expect("a verb");
        self.place.ours(&[&[*verb, "-s", self.service], rest].concat(), stdin)
    }

    fn our_upload(&self, pairs: &str) -> String {
        path_in(&self.ours(&["upload"], pairs.as_bytes()).text())
    }

    /// What a command started by 0.3.4 sees.
    fn seen_by_legacy(&self) -> Environment {
        Environment::from(self.legacy("microsecrets-with-env", &["-a", "--", "env", "-0"], b""))
    }

    /// What a command started by this program sees.
    fn seen_by_us(&self, flags: &[&str]) -> Environment {
        Environment::from(self.ours(&[&["with-env", "-a"], flags, &["--", "env", "-0"]].concat(), b""))
    }

    /// The checksum in a key pins it for both, and nothing else does.
    #[track_caller]
    fn pins(&self, key: &str) {
        let checksum = key.rsplit('.').nth(1).expect("TIME.CHECKSUM.json");
        let other = "0".repeat(checksum.len());
        for (pin, status) in [(checksum, 0), (&other, 1)] {
            let arguments = ["-c", pin, "--", "true"];
            let theirs = self.legacy("microsecrets-with-env", &arguments, b"");
            assert_eq!(theirs.status, status, "{}", theirs.stderr);
            let arguments = [&["-s", self.service], &arguments[..]].concat();
            let ours = self.place.launcher("microsecrets-with-env", &arguments, b"");
            assert_eq!(ours.status, status, "{}", ours.stderr);
        }
    }

    /// What both see; it must be the same.
    #[track_caller]
    fn seen_by_both(&self) -> Environment {
        let seen = self.seen_by_us(&[]);
        assert_eq!(self.seen_by_legacy(), seen);
        seen
    }
}

/// The secrets in an environment, and where they came from.
#[derive(PartialEq, Debug)]
struct Environment {
    source: String,
    metadata: Value,
    secrets: BTreeMap<String, String>,
}

impl From<Ran> for Environment {
    #[track_caller]
    fn from(ran: Ran) -> Self {
        let mut all = variables(&ran.ok());
        let source = all.remove("MICROSECRETS_SOURCE").expect("a source");
        let metadata = all.remove("MICROSECRETS_METADATA").expect("metadata");
        // Secrets of these tests begin so, to be told from the machine's own variables.
        all.retain(|name, _| name.starts_with("S_"));
        let metadata = serde_json::from_str(&metadata).expect("JSON");
        Self {
            source,
            metadata,
            secrets: all,
        }
    }
}

fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn second() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("the clock is right").as_secs()
}

/// The key that an upload printed.
#[track_caller]
fn path_in(printed: &str) -> String {
    let path = printed.lines().find_map(|line| line.trim().strip_prefix("path: "));
    path.unwrap_or_else(|| panic!("no path in {printed:?}")).to_owned()
}

const AWKWARD: &str = "# comment\n\n S_URL=db://user:pass@example.com:123/?a=b#c \nS_EMPTY=\nS_QUOTED=\"it's\"\nS_DOLLAR=$2a$10$x`y`\\n\nS_INNER=a \t b\n";

fn awkward() -> BTreeMap<String, String> {
    secrets(&[
        ("S_URL", "db://user:pass@example.com:123/?a=b#c"),
        ("S_EMPTY", ""),
        ("S_QUOTED", "\"it's\""),
        ("S_DOLLAR", "$2a$10$x`y`\\n"),
        ("S_INNER", "a \t b"),
    ])
}

/// Bytes that no text has.
fn raw() -> Vec<u8> {
    (0..=255).cycle().take(3000).collect()
}

#[test]
fn what_legacy_uploads_we_read() {
    let Some(shared) = Shared::new("from-legacy") else {
        return;
    };
    let path = shared.legacy_upload(AWKWARD);
    let seen = shared.seen_by_both();
    assert_eq!((seen.source, seen.secrets), (path.clone(), awkward()));
    shared.pins(&path);

    shared.place.machine.write("raw.bin", &raw());
    shared
        .legacy("microsecrets-upload", &["-f", "raw", "raw.bin"], b"")
        .ok();
    assert!(shared.ours(&["download", "-f", "raw"], b"").ok() == raw());
    shared.ours(&["download", "-f", "raw:copy.bin"], b"").ok();
    assert!(shared.place.machine.read("copy.bin") == raw());
}

#[test]
fn what_we_upload_legacy_reads() {
    let Some(shared) = Shared::new("from-us") else { return };
    let path = shared.our_upload(AWKWARD);
    let seen = shared.seen_by_both();
    assert_eq!((seen.source, seen.secrets), (path.clone(), awkward()));
    shared.pins(&path);

    shared.place.machine.write("raw.bin", &raw());
    let printed = shared.ours(&["upload", "-f", "raw", "raw.bin"], b"").text();
    shared
        .legacy("microsecrets-download", &["-f", "raw:copy.bin"], b"")
        .ok();
    assert!(shared.place.machine.read("copy.bin") == raw());
    let checksum = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("checksum: "))
        .expect("a checksum");
    let pinned = format!("raw:again.bin:{checksum}");
    shared.legacy("microsecrets-download", &["-f", &pinned], b"").ok();
}

#[test]
fn a_large_file_of_ours_is_whole_for_legacy() {
    let Some(shared) = Shared::new("large-from-us") else {
        return;
    };
    shared.our_upload("S_A=1\n");
    let bytes: Vec<u8> = raw().into_iter().cycle().take(9 << 20).collect();
    shared.place.machine.write("large.bin", &bytes);
    shared.ours(&["upload", "-f", "large", "large.bin"], b"").ok();
    shared
        .legacy("microsecrets-download", &["-f", "large:copy.bin"], b"")
        .ok();
    assert!(shared.place.machine.read("copy.bin") == bytes);
}

#[test]
fn text_in_any_language_is_the_same_to_both() {
    let Some(shared) = Shared::new("languages") else { return };
    let json = r#"{"S_GREETING": "grüß dich", "S_EMOJI": "🔑", "S_LINES": "a\nb"}"#;
    let wanted: Value = serde_json::from_str(json).expect("JSON");
    shared.ours(&["upload", "--json"], json.as_bytes()).ok();
    let both = |shared: &Shared| {
        let theirs = shared.legacy("microsecrets-download", &[], b"").text();
        let ours = shared
            .place
            .launcher("microsecrets-download", &["-s", shared.service], b"")
            .text();
        assert_eq!(ours, theirs);
        serde_json::from_str::<Value>(&theirs).expect("JSON")
    };
    assert_eq!(both(&shared), wanted);
    shared.legacy("microsecrets-upload", &["-j"], json.as_bytes()).ok();
    assert_eq!(both(&shared), wanted);
}

#[test]
fn both_say_the_same_of_one_bucket() {
    let Some(shared) = Shared::new("same-words") else {
        return;
    };
    shared.our_upload("S_A=1\nS_B=2\nS_LONG_NAME=3\nS_Z=4\nS_LAST=5\nS_MORE=6\nS_YET=7\n");
    for label in ["tls.pem", "blob", "a", "z.key"] {
        shared.ours(&["upload", "-f", label], &raw()).ok();
    }
    for (tool, arguments) in [
        ("microsecrets-download", &[] as &[&str]),
        ("microsecrets-download", &["--list"]),
        ("microsecrets-download", &["-f", "tls.pem"]),
        (
            "microsecrets-with-env",
            &["--whitelist-all", "--", "sh", "-c", "echo $S_A"],
        ),
        (
            "microsecrets-with-env",
            &["-w", "S_A", "-i", "--", "sh", "-c", "echo $S_A$S_B; exit 3"],
        ),
        ("microsecrets-with-env", &["-w", "S_A", "--", "true"]),
        ("microsecrets-with-env", &["-c", "0000", "--", "true"]),
        ("microsecrets-with-env", &["--", "true"]),
        ("microsecrets-with-env", &["-a", "-w", "S_A", "--", "true"]),
        ("microsecrets-with-env", &["--no-such-option"]),
        ("microsecrets-upload", &["-f", "x", "no-such-file"]),
    ] {
        let theirs = shared.legacy(tool, arguments, b"");
        let ours = shared
            .place
            .launcher(tool, &[&["-s", shared.service], arguments].concat(), b"");
        assert_eq!(
            ours.status, theirs.status,
            "{tool} {arguments:?}\n{}\n{}",
            ours.stderr, theirs.stderr
        );
        // Where it failed, 0.3.4 printed its help.
        if theirs.status == 0 || theirs.status == 3 {
            assert!(ours.stdout == theirs.stdout, "{tool} {arguments:?}");
        }
    }
}

/// From a service that only 0.3.4 has written to one that it may no longer write.
#[test]
fn a_fleet_moves_over_in_any_order() {
    let Some(shared) = Shared::new("moving") else { return };
    let secret = |value: &str| secrets(&[("S_A", value)]);
    shared.legacy_upload("S_A=legacy 1\n");
    shared.legacy_upload("S_A=legacy 2\n");
    assert_eq!(shared.seen_by_both().secrets, secret("legacy 2"));

    // Our first write takes over what is there, and 0.3.4 reads what we wrote.
    shared.our_upload("S_A=ours 1\n");
    assert_eq!(shared.seen_by_both().secrets, secret("ours 1"));
    assert_eq!(shared.seen_by_us(&["--at", "1"]).secrets, secret("legacy 2"));
    assert_eq!(shared.seen_by_us(&["--at", "2"]).secrets, secret("ours 1"));

    // 0.3.4 writes over our head: while the migration lasts our readers see it.
    let path = shared.legacy_upload("S_A=legacy 3\n");
    let seen = shared.seen_by_both();
    assert_eq!((seen.source, seen.secrets), (path, secret("legacy 3")));

    // Our next write adopts it first, and both read each of ours.
    for (value, number) in [("ours 2", "4"), ("ours 3", "5")] {
        shared.our_upload(&format!("S_A={value}\n"));
        assert_eq!(shared.seen_by_both().secrets, secret(value));
        assert_eq!(shared.seen_by_us(&["--at", number]).secrets, secret(value));
    }
    assert_eq!(shared.seen_by_us(&["--at", "3"]).secrets, secret("legacy 3"));

    // The end: what 0.3.4 wrote before it is not lost, what it writes after it is not seen but by who looks for it.
    shared.legacy_upload("S_A=legacy 4\n");
    let ended = shared.ours(&["migrate", "--finish", "--yes"], b"");
    assert!(
        ended.stderr.contains("note: environment: its migration has ended\n"),
        "{}",
        ended.stderr
    );
    ended.ok();
    assert_eq!(shared.seen_by_both().secrets, secret("legacy 4"));
    shared.legacy_upload("S_A=too late\n");
    assert_eq!(shared.seen_by_us(&[]).secrets, secret("legacy 4"));
    assert_eq!(shared.seen_by_us(&["--scan"]).secrets, secret("too late"));
    assert_eq!(shared.seen_by_legacy().secrets, secret("too late"));

    // Nor is that lost when we write again.
    shared.our_upload("S_A=ours 4\n");
    assert_eq!(shared.seen_by_both().secrets, secret("ours 4"));
}

#[test]
fn migrate_takes_over_all_items_at_once() {
    let Some(shared) = Shared::new("migrated") else { return };
    let path = shared.legacy_upload("S_A=1\n");
    shared.legacy("microsecrets-upload", &["-f", "raw"], &raw()).ok();
    let keys = || shared.place.moto.keys(&shared.place.bucket, "");
    let before = keys();

    let dry = shared.ours(&["migrate"], b"");
    assert!(dry.stderr.contains("nothing was changed"), "{}", dry.stderr);
    let table = dry.text();
    let heads: Vec<_> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>())
        .collect();
    assert_eq!(heads, [["environment", "none"], ["file/raw", "none"]]);
    assert_eq!(keys(), before);

    shared.ours(&["migrate", "--apply"], b"").ok();
    let made: Vec<_> = keys().into_iter().filter(|key| !before.contains(key)).collect();
    let ours = [
        "head/environment",
        "head/file/raw",
        "log/environment/00000001",
        "log/file/raw/00000001",
    ];
    assert_eq!(made, ours.map(|key| format!("services/migrated/{key}")));
    let seen = shared.seen_by_both();
    assert_eq!((seen.source, seen.secrets), (path, secrets(&[("S_A", "1")])));
    assert!(shared.ours(&["download", "-f", "raw"], b"").ok() == raw());

    shared.ours(&["migrate", "--apply"], b"").ok();
    assert_eq!(keys().len(), before.len() + made.len(), "a second time changes nothing");
    shared.ours(&["migrate", "--finish", "--yes"], b"").ok();
    let table = shared.ours(&["migrate"], b"").text();
    assert!(!table.contains("in migration"), "{table}");
    assert_eq!(shared.seen_by_both().secrets, secrets(&[("S_A", "1")]));
}
