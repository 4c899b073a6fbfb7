//! How much memory a program takes.

use std::fs;
use std::process::Output;
use std::time::Duration;

use super::Run;

/// The most memory that a program had at once, in MiB, and how it ended. What it prints is not kept.
pub fn peak(run: Run) -> (u64, Output) {
    let mut child = run.spawn();
    // A full pipe would stop it.
    let mut stdout = child.stdout.take().unwrap();
    let drain = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()).unwrap());
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // The kernel keeps the peak, so it is enough to look now and then; when the program has ended, or become another, it
    // is gone.
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    drain.join().unwrap();
    (peak / 1024, child.wait_with_output().unwrap())
}
