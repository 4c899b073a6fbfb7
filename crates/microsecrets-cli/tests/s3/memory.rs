//! Memory does not grow with a file.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Write as _;

use crate::Place;
use crate::common::{self, Run};

const MIB: usize = 1 << 20;

/// The most memory that a program had at once that succeeds, in MiB.
#[track_caller]
fn peak(run: Run) -> u64 {
    let (peak, output) = common::peak::peak(run);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    peak
}

/// Far more than is allowed, and no two MiB alike.
#[test]
fn a_large_file_goes_up_and_comes_down_in_little_memory() {
    let place = Place::new();
    let path = place.machine.path("large");
    let mut file = File::create(&path).unwrap();
    let mut block = vec![0; MIB];
    for number in 0..200_u32 {
        block[..4].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).unwrap();
    }
    drop(file);
    let up = peak(place.microsecrets(&["upload", "-f", "large", "large"]));
    assert!(up <= 64, "{up} MiB to upload");
    let down = peak(place.microsecrets(&["download", "-f", "large:copy"]));
    assert!(down <= 64, "{down} MiB to download");
    assert!(fs::read(&path).unwrap() == place.machine.read("copy"));
}

/// Standard input cannot be read twice. What is too large for memory is kept in a file that only this process can read.
#[test]
fn a_large_file_from_a_pipe_needs_little_memory_too() {
    let place = Place::new();
    let bytes = vec![7; 40 * MIB];
    let up = peak(place.microsecrets(&["upload", "-f", "large"]).stdin(&bytes));
    assert!(up <= 64, "{up} MiB to upload");
    place.microsecrets(&["download", "-f", "large:copy"]).run().ends(0);
    assert!(place.machine.read("copy") == bytes);
}

#[test]
fn an_environment_needs_less() {
    let place = Place::new();
    let pairs: String = (0..200)
        .map(|number| format!("V{number}={}\n", "x".repeat(1_000)))
        .collect();
    place.upload(&pairs);
    let down = peak(place.microsecrets(&["download"]));
    assert!(down <= 32, "{down} MiB to download");
}
