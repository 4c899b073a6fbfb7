//! One file for each command.

pub(crate) mod download;
pub(crate) mod list;
pub(crate) mod migrate;
pub(crate) mod upload;
pub(crate) mod with_env;
