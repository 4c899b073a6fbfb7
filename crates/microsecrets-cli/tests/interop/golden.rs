//! What 0.3.4 wrote and printed, recorded on Python 2.7.

use serde_json::Value;
use test_support::golden::{Golden, Object};
use test_support::machine::variables;

use crate::Place;

/// A place with all that 0.3.4 wrote, byte for byte.
fn place(bucket: &str, golden: &Golden) -> Place {
    let place = Place::new(bucket, &golden.services());
    for object in &golden.objects {
        let key = place.moto.key_for(service_of(object));
        place.moto.put(bucket, object, &key);
    }
    place
}

fn service_of(object: &Object) -> &str {
    object.key.split('/').nth(1).expect("services/SERVICE/...")
}

/// The last part of a key, as `-c` takes it.
fn name_of(object: &Object) -> &str {
    object.key.rsplit('/').next().expect("a last part")
}

#[test]
fn every_environment_is_read() {
    let golden = Golden::load();
    let place = place("golden-environments", &golden);
    let environments = golden
        .objects
        .iter()
        .filter(|object| object.key.contains("/environment/"));
    for object in environments {
        let pin = ["-s", service_of(object), "-c", name_of(object)];
        let json = place.ours(&[&["download"], &pin[..]].concat(), b"").text();
        assert_eq!(
            serde_json::from_str::<Value>(&json).expect("JSON"),
            object.variables(),
            "{}",
            object.key
        );

        let command = [&["with-env", "--pristine"], &pin[..], &["--", "/usr/bin/env", "-0"]].concat();
        let mut seen = variables(&place.ours(&command, b"").ok());
        assert_eq!(seen.remove("MICROSECRETS_SOURCE").as_ref(), Some(&object.key));
        let document: Value = serde_json::from_slice(&object.body).expect("JSON");
        let metadata = seen.remove("MICROSECRETS_METADATA").expect("its metadata");
        assert_eq!(
            serde_json::from_str::<Value>(&metadata).expect("JSON"),
            document["metadata"]
        );
        assert_eq!(serde_json::json!(seen), object.variables(), "{}", object.key);
    }
}

#[test]
fn the_current_environment_is_the_greatest_key() {
    let golden = Golden::load();
    let place = place("golden-current", &golden);
    for service in golden.services() {
        let current = golden.current(&format!("services/{service}/environment/"));
        let json = place.ours(&["download", "-s", service], b"").text();
        assert_eq!(
            serde_json::from_str::<Value>(&json).expect("JSON"),
            current.variables(),
            "{service}"
        );
    }
}

#[test]
fn every_file_is_read() {
    let golden = Golden::load();
    let place = place("golden-files", &golden);
    for object in golden.objects.iter().filter(|object| object.key.contains("/files/")) {
        let label = object.key.split('/').nth(3).expect("a label");
        let spec = format!("{label}:copy:{}", name_of(object));
        let arguments = ["download", "--force", "-s", service_of(object), "-f", &spec];
        place.ours(&arguments, b"").ok();
        assert!(place.machine.read("copy") == object.body, "{}", object.key);
    }
    let current = &golden.current("services/web/files/tls.pem/").body;
    assert_eq!(
        &place.ours(&["download", "-s", "web", "-f", "tls.pem"], b"").ok(),
        current
    );
}

#[test]
fn its_reading_command_lines_print_what_they_printed() {
    let golden = Golden::load();
    let place = place("golden-commands", &golden);
    for typed in golden.transcript.iter().filter(|typed| !typed.is_upload()) {
        let arguments: Vec<&str> = typed.arguments.iter().map(String::as_str).collect();
        let ran = place.launcher(&typed.tool, &arguments, &typed.stdin);
        assert_eq!(ran.status, typed.status, "{} {arguments:?}: {}", typed.tool, ran.stderr);
        assert_eq!(text(&ran.stdout), text(&typed.stdout), "{} {arguments:?}", typed.tool);
        assert_eq!(ran.status != 0, ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
}

/// From an empty bucket, so that what is read is what was written by the lines before.
#[test]
fn all_its_command_lines_in_their_order_end_and_print_as_they_did() {
    let golden = Golden::load();
    let place = Place::new(&golden.bucket, &golden.services());
    for file in ["cert.pem", "blob.bin"] {
        place.machine.write(file, uploaded_as(&golden, file));
    }
    for typed in &golden.transcript {
        let arguments: Vec<&str> = typed.arguments.iter().map(String::as_str).collect();
        let ran = place.launcher(&typed.tool, &arguments, &typed.stdin);
        let line = format!("{} {arguments:?}", typed.tool);
        assert_eq!(ran.status, typed.status, "{line}: {}", ran.stderr);
        assert_eq!(
            ran.status != 0,
            ran.stderr.starts_with("error: "),
            "{line}: {}",
            ran.stderr
        );
        assert_eq!(comparable(&ran.stdout), comparable(&typed.stdout), "{line}");
    }
}

/// What was in the file that a command line of the transcript uploaded: the next object under its label.
fn uploaded_as<'g>(golden: &'g Golden, file: &str) -> &'g [u8] {
    let typed = golden
        .transcript
        .iter()
        .find(|typed| typed.arguments.iter().any(|argument| argument == file));
    let printed = text(&typed.expect("the transcript uploads it").stdout);
    let path = printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("path: "))
        .expect("a path");
    let object = golden.objects.iter().find(|object| object.key == path);
    &object.expect("the recording has it").body
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The text without what differs in each run: the time in names, and the checksums of environments, which are salted
/// here. Checksums of files stay: the same bytes have the same.
fn comparable(bytes: &[u8]) -> String {
    let printed = text(bytes);
    let is_environment = printed
        .lines()
        .any(|line| line.contains("path: ") && line.contains("/environment/"));
    let lines = printed.split_inclusive('\n').map(|line| {
        let line = without_time(line);
        if is_environment || line.contains("/environment/") {
            without_checksum(&line)
        } else {
            line
        }
    });
    lines.collect()
}

/// Replaces the digits of `2026-11-23.07-58-01` (and a `_NNNNNN` behind them) in a line that has a key.
fn without_time(line: &str) -> String {
    let Some(slash) = line.rfind('/') else {
        return line.to_owned();
    };
    let (folder, name) = line.split_at(slash + 1);
    match name.split_once('.').and_then(|(_, rest)| rest.split_once('.')) {
        Some((_, checksum)) => format!("{folder}TIME.{checksum}"),
        None => line.to_owned(),
    }
}

/// Replaces 64 hexadecimal digits.
fn without_checksum(line: &str) -> String {
    let is_hex = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let at = (0..line.len().saturating_sub(63)).find(|at| line.get(*at..at + 64).as_ref().is_some_and(is_hex));
    match at {
        Some(at) => format!("{}CHECKSUM{}", &line[..at], &line[at + 64..]),
        None => line.to_owned(),
    }
}

#[test]
fn a_migration_gives_each_item_a_head_and_moves_nothing() {
    let golden = Golden::load();
    let place = place("golden-migration", &golden);
    let keys = || place.moto.keys("golden-migration", "services/web/");
    let recorded = keys();
    let items = ["environment", "file/blob", "file/tls.pem"];

    let dry = place.ours(&["migrate", "-s", "web"], b"");
    assert!(dry.stderr.starts_with("note: nothing was changed"), "{}", dry.stderr);
    let table = dry.text();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect())
        .collect();
    for (row, item) in rows.iter().zip(items) {
        let current = golden.current(&format!("services/web/{}/", item.replace("file/", "files/")));
        // 2026-11-23.07-58-13 in a key is 2026-11-23T07:58:13Z here.
        let (day, time) = name_of(current).split_once('.').expect("DAY.TIME.CHECKSUM");
        let second = format!("{day}T{}Z", time[..8].replace('-', ":"));
        assert_eq!(row[..], [item, "none", &second]);
    }
    assert_eq!(keys(), recorded);

    // A second time finds nothing to do.
    for _ in 0..2 {
        place.ours(&["migrate", "-s", "web", "--apply"], b"").ok();
        let ours = |item: &str| {
            [
                format!("services/web/head/{item}"),
                format!("services/web/log/{item}/00000001"),
            ]
        };
        let mut wanted: Vec<String> = items
            .iter()
            .flat_map(|item| ours(item))
            .chain(recorded.clone())
            .collect();
        wanted.sort();
        assert_eq!(keys(), wanted);
    }
    let list = place.ours(&["list", "web", "--format", "json"], b"").text();
    let list: Value = serde_json::from_str(&list).expect("JSON");
    for (row, item) in list.as_array().expect("a list").iter().zip(items) {
        let current = golden.current(&format!("services/web/{}/", item.replace("file/", "files/")));
        assert_eq!((&row["item"], &row["version"]), (&item.into(), &1.into()));
        assert!(
            current.key.contains(row["checksum"].as_str().expect("a checksum")),
            "{row}"
        );
        assert_eq!(row["size"], current.body.len());
    }
    let migrate = |flags: &[&str]| place.ours(&[&["migrate", "-s", "web"], flags].concat(), b"").text();
    assert_eq!(migrate(&[]).matches("version 1, in migration").count(), items.len());
    assert_eq!(
        migrate(&["--finish", "--yes"])
            .matches("version 1, in migration")
            .count(),
        items.len()
    );
    assert_eq!(migrate(&[]).matches("in migration").count(), 0);
    for typed in golden
        .transcript
        .iter()
        .filter(|typed| typed.arguments.iter().any(|argument| argument == "web"))
    {
        let arguments: Vec<&str> = typed.arguments.iter().map(String::as_str).collect();
        if !typed.is_upload() && typed.arguments.iter().all(|argument| argument != "--list") {
            assert_eq!(
                text(&place.launcher(&typed.tool, &arguments, b"").ok()),
                text(&typed.stdout)
            );
        }
    }
}
