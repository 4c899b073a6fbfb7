//! Microsecrets 0.3.4 and this program over the same bucket of a real moto server: what 0.3.4 once wrote is read as it
//! is, its command lines do what they did, and the real 0.3.4 (where a Python 2.7 is found) reads and writes beside us.

mod fleet;
mod golden;

use std::path::{Path, PathBuf};

use test_support::machine::{Machine, Ran};
use test_support::moto::Moto;

/// A bucket with keys for some services, and a machine that knows where it is.
struct Place {
    moto: &'static Moto,
    bucket: String,
    machine: Machine,
}

impl Place {
    fn new(bucket: &str, services: &[&str]) -> Self {
        let moto = Moto::shared();
        moto.bucket(bucket);
        for service in services {
            moto.key_for(service);
        }
        let mut machine = Machine::with(moto);
        machine.set("MICROSECRETS_BUCKET", bucket);
        Self {
            moto,
            bucket: bucket.to_owned(),
            machine,
        }
    }

    /// Runs this program.
    fn ours(&self, arguments: &[&str], stdin: &[u8]) -> Ran {
        self.machine.run(program("microsecrets").as_path(), arguments, stdin)
    }

    /// Runs one of its commands for people of 0.3.4.
    fn launcher(&self, tool: &str, arguments: &[&str], stdin: &[u8]) -> Ran {
        let arguments = [&["-b", &self.bucket], arguments].concat();
        self.machine.run(program(tool).as_path(), &arguments, stdin)
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_microsecrets")).with_file_name(name)
}
