//! A real cfn-lint, from PyPI: whether CloudFormation would take a template.

use std::process::Command;

use serde_json::Value;

use crate::python;

const REQUIREMENTS: &str = include_str!("../cfn-lint-requirements.txt");

/// What it has to say of a template, warnings included; nothing when all is well.
///
/// # Panics
///
/// When there is no Python to run it with: these tests are never skipped in silence.
#[track_caller]
pub fn complaints(template: &Value) -> String {
    let version = REQUIREMENTS.lines().find_map(|line| line.strip_prefix("cfn-lint=="));
    let version = version
        .expect("it is among its requirements")
        .trim_end_matches([' ', '\\']);
    let folder = python::environment(&format!("cfn-lint-venv-{version}"), REQUIREMENTS, "cfn-lint");
    let folder = folder.unwrap_or_else(|error| panic!("{error}"));
    let home = tempfile::tempdir().expect("a folder can be made");
    let file = home.path().join("template.json");
    std::fs::write(&file, template.to_string()).expect("a file can be written");
    let output = Command::new(folder.join("bin/cfn-lint"))
        // Nobody's configuration.
        .env("HOME", home.path())
        .current_dir(home.path())
        .args(["--format", "parseable", "--non-zero-exit-code", "warning"])
        .args(["--regions", "us-east-1", "cn-north-1", "--template"])
        .arg(&file)
        .output()
        .expect("the virtual environment has cfn-lint");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(said.is_empty(), output.status.success(), "{}: {said}", output.status);
    said
}
