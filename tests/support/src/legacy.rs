//! The real microsecrets 0.3.4 from PyPI, where a Python 2.7 is found.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::machine::{Machine, Ran};
use crate::python;

const REQUIREMENTS: &str = include_str!("../legacy/requirements.txt");
const SITE: &str = include_str!("../legacy/sitecustomize.py");

/// An installed 0.3.4.
pub struct Legacy {
    python: PathBuf,
    packages: PathBuf,
}

impl Legacy {
    /// Finds it; says so plainly where there is none.
    ///
    /// # Panics
    ///
    /// When there is a Python 2.7 and 0.3.4 cannot be installed for it.
    pub fn find() -> Option<&'static Self> {
        static FOUND: LazyLock<Result<Option<Legacy>, String>> = LazyLock::new(Legacy::install);
        FOUND.as_ref().unwrap_or_else(|error| panic!("{error}")).as_ref()
    }

    fn install() -> Result<Option<Self>, String> {
        let Some(python) = python2() else {
            let text = "no Python 2.7 with pip was found: microsecrets 0.3.4 itself was NOT run, only its recorded objects and command lines\n";
            // Past the test runner, which would keep it to itself.
            std::io::stderr().write_all(text.as_bytes()).ok();
            return Ok(None);
        };
        let recipe = format!("{}\n{REQUIREMENTS}{SITE}", python.display());
        let fill = |folder: &Path| {
            std::fs::create_dir_all(folder).expect("target/ can be written");
            let requirements = folder.join("requirements.txt");
            std::fs::write(&requirements, REQUIREMENTS).expect("target/ can be written");
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
            pip.arg(folder).arg("--requirement").arg(&requirements);
            python::step(&mut pip, "install microsecrets 0.3.4 from PyPI")?;
            std::fs::write(folder.join("sitecustomize.py"), SITE).expect("target/ can be written");
            Ok(())
        };
        let packages = python::filled("microsecrets-0.3.4", &recipe, |_| true, fill)?;
        Ok(Some(Self { python, packages }))
    }

    /// Runs one of its commands on a machine.
    pub fn run(&self, machine: &Machine, tool: &str, arguments: &[&str], stdin: &[u8]) -> Ran {
        let mut command = machine.command(&self.python);
        command
            .env("PYTHONPATH", &self.packages)
            .arg(self.packages.join("bin").join(tool))
            .args(arguments);
        crate::machine::finish(crate::machine::start(&mut command, stdin))
    }
}

/// A Python 2.7 that runs and has pip: on PATH, else among those of pyenv.
fn python2() -> Option<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
    let of_pyenv = versions.into_iter().flatten().flatten().filter_map(|entry| {
        let is_2_7 = entry.file_name().to_string_lossy().starts_with("2.7");
        is_2_7.then(|| entry.path().join("bin/python2.7"))
    });
    std::iter::once(PathBuf::from("python2.7"))
        .chain(of_pyenv)
        .find(|python| python::has(python, (2, 7), "pip, setuptools").is_ok())
}
