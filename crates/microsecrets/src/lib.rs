//! Microsecrets: a lightweight secrets manager powered by S3 + KMS.
//!
//! This library is all of Microsecrets but its terminal: it reads no environment variables of its own, prints nothing
//! and never ends the process. `docs/ARCHITECTURE.md` shows how a request flows through it.
//!
//! From the bottom up: names and checksums ([`name`], [`checksum`], [`time`]); what objects hold ([`document`],
//! [`record`], [`layout`]); where they live ([`store`], [`keys`]); what is believed of them ([`trust`]); and the protocol
//! that reads and commits versions ([`item`]).

pub mod aws;
pub mod checksum;
pub mod contract;
pub mod danger;
pub mod diff;
pub mod document;
pub mod dotenv;
pub mod freshness;
pub mod item;
pub mod keys;
pub mod layout;
pub mod name;
pub mod ownfile;
pub mod pairs;
pub mod record;
pub mod secret;
pub mod setup;
pub mod source;
pub mod spill;
pub mod store;
pub mod text;
pub mod time;
pub mod trust;
pub mod unnamed;
pub mod whitelist;
