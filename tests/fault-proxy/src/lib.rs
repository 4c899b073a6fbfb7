//! What stands between a program and a server in tests and benchmarks: [`relay`] makes the way longer and counts bytes.

pub mod relay;
