//! One module a command.

pub(crate) mod check;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod edit;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod migrate;
pub(crate) mod policy;
pub(crate) mod promote;
pub(crate) mod prune;
pub(crate) mod re_sign;
pub(crate) mod rollback;
pub(crate) mod set;
pub(crate) mod setup;
pub(crate) mod show;
pub(crate) mod signing_key;
pub(crate) mod upload;
pub(crate) mod verify;
pub(crate) mod whoami;
pub(crate) mod with_env;
