//! Node, and a package from npm that evaluates IAM policies as AWS documents it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use crate::python;

const PACKAGE: &str = include_str!("../npm/package.json");
/// By hashes; it names no host.
const LOCK: &str = include_str!("../npm/package-lock.json");
const SETTINGS: &str = include_str!("../npm/.npmrc");
const PROGRAM: &str = include_str!("../npm/simulate.js");
/// The oldest that is tried; Debian 12 has it.
const OLDEST: u64 = 18;

/// An installed [`@cloud-copilot/iam-simulate`]: it shares no code with the policies that it judges.
///
/// [`@cloud-copilot/iam-simulate`]: https://github.com/cloud-copilot/iam-simulate
pub struct Simulator {
    folder: PathBuf,
}

impl Simulator {
    /// Finds it; says so plainly where there is no node with npm.
    ///
    /// # Panics
    ///
    /// When there are both and it cannot be installed.
    pub fn find() -> Option<&'static Self> {
        static FOUND: LazyLock<Result<Option<Simulator>, String>> = LazyLock::new(Simulator::install);
        FOUND.as_ref().unwrap_or_else(|error| panic!("{error}")).as_ref()
    }

    fn install() -> Result<Option<Self>, String> {
        if let Err(why) = version("node", OLDEST).and_then(|_| version("npm", 0)) {
            let text = format!("skipped: {why}; the policies were NOT put to a simulator of IAM\n");
            // Past the test runner, which would keep it to itself.
            std::io::stderr().write_all(text.as_bytes()).ok();
            return Ok(None);
        }
        let recipe = [PACKAGE, LOCK, SETTINGS, PROGRAM].concat();
        let folder = python::filled(
            "iam-simulate",
            &recipe,
            |_| true,
            |folder| {
                fs::create_dir_all(folder).expect("target/ can be written");
                for (name, text) in [
                    ("package.json", PACKAGE),
                    ("package-lock.json", LOCK),
                    (".npmrc", SETTINGS),
                    ("simulate.js", PROGRAM),
                ] {
                    fs::write(folder.join(name), text).expect("target/ can be written");
                }
                let mut npm = Command::new("npm");
                npm.args(["ci", "--silent", "--ignore-scripts"]).current_dir(folder);
                python::step(&mut npm, "install @cloud-copilot/iam-simulate from npm")
            },
        )?;
        Ok(Some(Self { folder }))
    }

    /// The verdicts on simulations, as the package has them: `Allowed`, `ImplicitlyDenied`, `ExplicitlyDenied`. A
    /// principal that is `null` is nobody, who signs nothing.
    ///
    /// # Panics
    ///
    /// When one of them is not what the package takes: an unknown action, a condition key that the action does not
    /// have.
    #[track_caller]
    pub fn verdicts(&self, simulations: &[Value]) -> Vec<String> {
        let mut child = self.program().spawn().expect("node runs, as it did before");
        let mut stdin = child.stdin.take().expect("its input is piped");
        let questions = serde_json::to_vec(simulations).expect("JSON can be written");
        std::thread::spawn(move || stdin.write_all(&questions).ok());
        let output = child.wait_with_output().expect("it can be waited for");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let verdicts: Vec<String> = serde_json::from_slice(&output.stdout).expect("it answers JSON");
        assert_eq!(verdicts.len(), simulations.len());
        verdicts
    }

    fn program(&self) -> Command {
        let mut program = Command::new("node");
        program
            .arg(self.folder.join("simulate.js"))
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        program
    }
}

/// The version of a program that runs and is recent enough, else why it is none.
fn version(program: &str, oldest: u64) -> Result<u64, String> {
    let output = Command::new(Path::new(program)).arg("--version").output();
    let output = output.map_err(|_| format!("there is no {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let major = text.trim().trim_start_matches('v').split('.').next();
    match major.and_then(|major| major.parse().ok()) {
        Some(major) if output.status.success() && major >= oldest => Ok(major),
        Some(major) => Err(format!("{program} {major} is older than {oldest}")),
        None => Err(format!("{program} does not say its version")),
    }
}
