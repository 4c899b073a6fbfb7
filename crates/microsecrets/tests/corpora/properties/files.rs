//! The files that a user's machine holds: contracts, and what was seen before.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use microsecrets::checksum::Checksum;
use microsecrets::contract::{Contract, ContractFault};
use microsecrets::document::Variables;
use microsecrets::freshness::{Seen, StateError, StateFile};
use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::pairs::is_exportable;
use serde_json::Value;
use tempfile::TempDir;

use super::json::says_a_key_twice;
use super::{is_lower_hex, says_one_of};

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a folder");
}

/// A file that is its owner's, with this content and nothing beside it.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = FOLDER.with(|folder| folder.path().join(name));
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    let written = options.open(&path).and_then(|mut file| file.write_all(content));
    written.expect("room for a file");
    path
}

/// A contract says what TOML says, and only what a contract may say; and each required variable is allowed.
pub(crate) fn contract(input: &[u8]) {
    let path = file("microsecrets.toml", input);
    let table = std::str::from_utf8(input).ok().map(str::parse::<toml::Table>);
    let contract = match Contract::read(&path) {
        Ok(contract) => contract,
        Err(error) => return says_what_is_wrong(&error.fault, table),
    };
    let table = table.expect("UTF-8").expect("TOML");
    let text = |key: &str| table.get(key).map(|value| value.as_str().expect("a text").to_owned());
    assert_eq!(contract.bucket, text("bucket"));
    assert_eq!(contract.service.as_ref().map(ToString::to_string), text("service"));
    assert_eq!(contract.region, text("region"));
    assert_eq!(contract.aws_profile, text("aws-profile"));
    assert_eq!(contract.kms_key, text("kms-key"));
    assert_eq!(contract.bucket_owner, text("bucket-owner"));
    assert_eq!(contract.sign_with, text("sign-with"));
    let least = table
        .get("min-version")
        .map(|value| value.as_integer().expect("a number"));
    assert_eq!(contract.min_version.map(|number| number.get().cast_signed()), least);

    let list = |key: &str| table.get(key).map(|value| value.as_array().expect("a list").clone());
    assert_eq!(contract.replicas.len(), list("replicas").unwrap_or_default().len());
    assert_eq!(
        contract.verify_keys.len(),
        list("verify-keys").unwrap_or_default().len()
    );
    let (required, optional) = (list("require"), list("optional"));
    assert_eq!(contract.variables.is_some(), required.is_some() || optional.is_some());
    let Some(expected) = contract.variables else { return };
    let required = required.unwrap_or_default();
    for name in required.iter().map(|value| value.as_str().expect("a text")) {
        assert!(is_exportable(name) && expected.requires(name) && expected.allowed().allows(name));
    }
    // An empty environment breaks it exactly by what is required.
    let missing = expected.breaches(&Variables::default());
    assert_eq!(missing.is_empty(), required.is_empty());
}

fn says_what_is_wrong(fault: &ContractFault, table: Option<Result<toml::Table, toml::de::Error>>) {
    match fault {
        ContractFault::NotUtf8 => assert!(table.is_none()),
        ContractFault::Syntax { .. } => {
            assert!(table.is_some_and(|table| table.is_err()));
            says_one_of(&["line 1 is not TOML"], fault);
        }
        ContractFault::UnknownKey { key, .. } => {
            // A key is shown, but never so that it writes on somebody's terminal.
            let said = fault.to_string();
            assert!(
                key.chars().count() <= 200 * "\\u{e0001}".len() + 1 && !said.chars().any(char::is_control),
                "{said:?}"
            );
        }
        _ => assert!(table.is_some_and(|table| table.is_ok()), "{fault:?}"),
    }
}

/// What is seen next after any file: it goes neither back nor sideways and forgets no other item; and a file that is not
/// as it was written is neither used nor touched.
pub(crate) fn state(input: &[u8]) {
    let path = file("state", input);
    let before = Remembered::of(input);
    let observed = observe(&path, 5);
    let after = fs::read(&path).expect("it is still there");
    match observed {
        Ok(()) => {
            let (before, after) = (
                before.expect("it was read"),
                Remembered::of(&after).expect("it was written"),
            );
            assert!(before.ours().is_none_or(|number| number <= 5), "it went back");
            assert_eq!(after.ours(), Some(5));
            assert!(before.others().eq(after.others()), "another item was forgotten");
            assert!(matches!(
                observe(&path, 4),
                Err(StateError::Back { found: 4, seen: 5, .. })
            ));
            assert!(observe(&path, 5).is_ok());
        }
        Err(error) => {
            assert!(after == input, "it was touched");
            let is_as_written = before.is_some();
            let ours = before.and_then(|before| before.ours());
            match error {
                StateError::Back { found: 5, seen, .. } => assert!(seen > 5 && ours == Some(seen)),
                StateError::Sideways { number: 5, .. } => assert_eq!(ours, Some(5)),
                StateError::Damaged { .. } => {
                    let said_twice = serde_json::from_slice(input).is_ok_and(|value| says_a_key_twice(&value, input));
                    assert!(!is_as_written || said_twice, "it is as it was written");
                }
                error => panic!("{error}"),
            }
        }
    }
}

/// Sees a version of the environment of `api`.
fn observe(path: &Path, number: u64) -> Result<(), StateError> {
    let item = Item::environment("api".parse().expect("a service"));
    let seen = [Seen::new("bucket", &item, Number::new(number), Checksum::of_nothing())];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let observed = StateFile::new(path);
    let observed = observed.observe(&seen, false, Duration::from_secs(60));
    runtime.expect("a runtime").block_on(observed)
}

/// What a file says that was seen, as serde_json reads it.
struct Remembered(BTreeMap<String, (u64, String)>);

impl Remembered {
    const OURS: &str = "bucket/api/environment";

    /// `None` when the file says something else than this program writes.
    fn of(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let [format, seen] = both(&value, ["format", "seen"])?;
        let entries = seen.as_object()?.iter().map(|(item, known)| {
            let [number, sum] = both(known, ["number", "sha256"])?;
            let (number, sum) = (number.as_u64()?, sum.as_str()?);
            let is_known = Number::new(number).is_some() && is_lower_hex(sum, 64);
            is_known.then(|| (item.clone(), (number, sum.to_owned())))
        });
        let entries = entries.collect::<Option<_>>()?;
        (format.as_u64() == Some(1)).then_some(Self(entries))
    }

    fn ours(&self) -> Option<u64> {
        self.0.get(Self::OURS).map(|(number, _)| *number)
    }

    fn others(&self) -> impl Iterator<Item = (&String, &(u64, String))> {
        self.0.iter().filter(|(item, _)| *item != Self::OURS)
    }
}

/// The two fields of an object; serde takes a list of two for the same.
fn both<'v>(value: &'v Value, names: [&str; 2]) -> Option<[&'v Value; 2]> {
    match value {
        Value::Object(object) if object.len() == 2 => Some([object.get(names[0])?, object.get(names[1])?]),
        Value::Array(list) => list.iter().collect::<Vec<_>>().try_into().ok(),
        _ => None,
    }
}
