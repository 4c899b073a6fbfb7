//! Files of this machine that decide something: whose they are, and who else may read or write them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Finding, word};
use crate::args::StoreArgs;
use crate::error::CliError;
use crate::{config, ui};

/// The files that the options and the contract name, which nobody else may write. (What others could have written, no
/// command has read.)
pub(crate) fn trusted(store: &StoreArgs) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(contract) = &store.contract {
        findings.extend(file("contract", &contract.path, 0o022));
    }
    for key in &store.verify_key {
        let path = Path::new(key.trim());
        if path.is_file() {
            findings.extend(file("verify-key", path, 0o022));
        }
    }
    findings
}

/// The identities of this user's folders and the keys that sign there, which nobody else may read.
pub(crate) fn secrets() -> Result<Vec<Finding>, CliError> {
    let folder = config::identities()?;
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let mut findings = Vec::new();
    for path in paths {
        let name = path.to_string_lossy();
        let check = match () {
            () if name.ends_with(".age-identity") => "identity",
            () if name.ends_with(".signing-key.pem") => "signing-key",
            () => continue,
        };
        findings.extend(file(check, &path, 0o077));
    }
    Ok(findings)
}

/// Looks at a file that must not be open to others; `None` when it is gone.
fn file(check: &'static str, path: &Path, others: u32) -> Option<Finding> {
    let metadata = fs::metadata(path).ok()?;
    let (shown, subject) = (ui::shown_path(path), path.to_string_lossy().into_owned());
    let (mode, owner) = (metadata.mode() & 0o777, whose(&metadata));
    let is_secret = others == 0o077;
    if let Some(other) = owner {
        let says = format!("{shown} belongs to the user with the number {other}");
        let why = "whoever owns it can change what is believed here";
        return Some(Finding::failure(check, subject, says, why).mend(format!(
            "sudo chown {} {}",
            uid(),
            quoted(path)
        )));
    }
    if mode & others == 0 {
        let says = format!("{shown} is this user's or root's alone (mode {mode:03o})");
        return Some(Finding::ok(check, subject, says));
    }
    let says = format!("{shown} is open to others (mode {mode:03o})");
    let (why, chmod) = match is_secret {
        true => (
            "whoever reads it can do what this user can; if somebody may have, make another, and publish other \
                  secrets",
            "600",
        ),
        false => ("whoever can write it decides what is believed here", "go-w"),
    };
    Some(Finding::failure(check, subject, says, why).mend(format!("chmod {chmod} {}", quoted(path))))
}

/// The number of the user whose it is, if that is neither this one nor root.
fn whose(metadata: &Metadata) -> Option<u32> {
    let owner = metadata.uid();
    (owner != 0 && owner != uid()).then_some(owner)
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn quoted(path: &Path) -> String {
    word(&path.to_string_lossy())
}
