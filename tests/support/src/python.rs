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
