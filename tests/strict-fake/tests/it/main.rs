//! The fake against AWS's own clients, and against requests that those would never send.

#![allow(clippy::unwrap_used, reason = "tests")]

mod auth;
mod buckets;
mod common;
mod encryption;
mod faults;
mod integrity;
mod kms;
mod listing;
mod multipart;
mod objects;
mod program;
mod raw;
mod requests;
mod rights;
