//! Memory does not grow with a file.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Write as _;

use crate::Place;
use crate::common::Run;

const MIB: usize = 1 << 20;

/// The most memory that a program had at once, in MiB.
#[track_caller]
fn peak(run: Run) -> u64 {
    let mut child = run.spawn();
    // A full pipe would stop it.
    let mut stdout = child.stdout.take().unwrap();
    let drain = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()).unwrap());
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // The kernel keeps the peak, so it is enough to look now and then; when the program has ended, it is gone.
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = kib.unwrap_or(peak);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    drain.join().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    peak / 1024
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
