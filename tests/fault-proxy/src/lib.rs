//! What stands between a program and a server in tests and benchmarks: [`relay`] makes the way longer and counts bytes;
//! [`http`] lets one thing go wrong at one request.

pub mod fault;
pub mod http;
mod message;
pub mod relay;

pub use fault::{Counts, Fault, Plan, Seen};
pub use http::Proxy;
