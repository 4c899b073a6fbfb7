//! Who writes: `name@host`, as this machine says. It is a note for people, not a proof.

use std::fs;

/// The user's name and the host's.
pub(crate) fn name_at_host() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", name())
}

/// As Python's `getpass.getuser` finds it: the environment, then the password database.
fn name() -> String {
    let named = ["LOGNAME", "USER", "LNAME", "USERNAME"]
        .iter()
        .filter_map(|name| std::env::var(name).ok());
    let uid = rustix::process::getuid().as_raw();
    named
        .into_iter()
        .find(|name| !name.is_empty())
        .or_else(|| in_passwd(uid))
        .unwrap_or_else(|| format!("uid-{uid}"))
}

/// `name:password:uid:...`, one user a line.
fn in_passwd(uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().map(ToOwned::to_owned)
}
