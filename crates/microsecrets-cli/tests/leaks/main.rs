//! Random secrets go in at every place: what is stored, AWS's credentials, the keys. No output of any command has one of
//! them in any encoding, however it ends and however much it is asked to tell; nor has a file that it leaves, an argument,
//! a core file, or what another process of the same user can read.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fake.rs"]
mod fake;

mod calls;
mod commands;
mod credentials;
mod endings;
mod failures;
mod hostile;
mod inputs;
mod traces;
mod types;
mod versions;
mod watched;
mod worlds;
