//! Pythons, and folders below `target/` that pip has filled.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a Python runs, is recent enough and has these modules.
pub(crate) fn has(python: &Path, least: (u8, u8), modules: &str) -> Result<(), String> {
    let script = format!(
        "import sys\nassert sys.version_info >= {least:?}, 'it is Python %d.%d' % sys.version_info[:2]\nimport {modules}"
    );
    let output = Command::new(python).arg("-c").arg(script).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(last_line(&output.stderr)),
        Err(error) => Err(error.to_string()),
    }
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end().lines().last().unwrap_or("it says nothing").to_owned()
}

/// The folder that cargo builds into, by the place of the running test.
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        Path::to_path_buf,
    )
}

/// A folder `target/NAME`, filled once for all test binaries that ask for it at the same time: `fill` gets it empty.
/// What it is filled with is told by `recipe`: another recipe, or a Python that went away, fills it anew.
pub(crate) fn filled(
    name: &str,
    recipe: &str,
    still_runs: impl Fn(&Path) -> bool,
    fill: impl Fn(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let folder = target().join(name);
    let lock = File::create(target().join(format!("{name}.lock"))).expect("target/ can be written");
    lock.lock().expect("target/ can be locked");
    let done = folder.join("filled-with.txt");
    if fs::read_to_string(&done).is_ok_and(|text| text == recipe) && still_runs(&folder) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old folder below target/ can be removed");
    }
    fill(&folder)?;
    fs::write(done, recipe).expect("target/ can be written");
    Ok(folder)
}

/// Runs a step that fills a folder.
pub(crate) fn step(command: &mut Command, what: &str) -> Result<(), String> {
    command
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_NO_INPUT", "1");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "cannot {what}\n  caused by: {command:?} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        )),
        Err(error) => Err(format!("cannot {what}\n  caused by: {error}")),
    }
}

/// A virtual environment `target/NAME` with what a requirements file pins by hashes, made by the first test that needs
/// it.
pub(crate) fn environment(name: &str, requirements: &str, what: &str) -> Result<PathBuf, String> {
    let runs = |folder: &Path| has(&folder.join("bin/python"), (3, 10), "sys").is_ok();
    filled(name, requirements, runs, |folder| {
        let mut venv = Command::new(python3(what)?);
        step(venv.args(["-m", "venv"]).arg(folder), "make a virtual environment")?;
        let file = folder.join("requirements.txt");
        fs::write(&file, requirements).expect("target/ can be written");
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
        pip.args(["--require-hashes", "--requirement"]).arg(&file);
        step(&mut pip, &format!("install {what} from PyPI"))
    })
}

/// A Python 3 that can make virtual environments.
fn python3(what: &str) -> Result<PathBuf, String> {
    let others = (10..=14).rev().map(|minor| format!("python3.{minor}"));
    let mut causes = String::new();
    for name in std::iter::once("python3".to_owned()).chain(others) {
        match has(Path::new(&name), (3, 10), "venv, ensurepip") {
            Ok(()) => return Ok(name.into()),
            Err(error) => causes.push_str(&format!("  caused by: {name}: {error}\n")),
        }
    }
    Err(format!(
        "tests with {what} need Python 3.10 or newer with its venv and pip\n{causes}hint: apt-get install python3 python3-venv python3-pip"
    ))
}
