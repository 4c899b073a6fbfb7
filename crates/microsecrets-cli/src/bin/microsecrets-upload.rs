//! `microsecrets-upload` as 0.3.4 had it.

#[path = "../launch.rs"]
mod launch;

fn main() -> std::process::ExitCode {
    launch::launch("upload")
}
