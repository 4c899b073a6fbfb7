//! The relay as a program, for benchmarks.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fault_proxy::relay::{self, Tell};

const USAGE: &str = "\
usage: fault-proxy --upstream 127.0.0.1:PORT [option ...]

  --round-trip-ms N        make the way to the upstream so much longer (0)
  --count FILE             append a line of JSON for each connection that has ended: its bytes up and down
  --until-stdin-closes     stop when standard input ends

The first line on standard output is `listening: 127.0.0.1:PORT`.
";

#[derive(Default)]
struct Options {
    upstream: Option<SocketAddr>,
    round_trip: Duration,
    count: Option<String>,
    until_stdin_closes: bool,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(name) = arguments.next() {
        if name == "--until-stdin-closes" {
            options.until_stdin_closes = true;
            continue;
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} is unknown or wants a value"))?;
        let wrong = |_| format!("{name} cannot be {value}");
        match name.as_str() {
            "--upstream" => options.upstream = Some(value.parse().map_err(|_| wrong(()))?),
            "--round-trip-ms" => options.round_trip = Duration::from_millis(value.parse().map_err(|_| wrong(()))?),
            "--count" => options.count = Some(value),
            _ => return Err(format!("{name} is unknown")),
        }
    }
    Ok(options)
}

/// Writes what a connection has carried as a line of JSON.
fn teller(path: Option<String>) -> Result<Arc<Tell>, String> {
    let Some(path) = path else { return Ok(Arc::new(|_| ())) };
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| format!("{path}: {error}"))?;
    let file = Mutex::new(file);
    Ok(Arc::new(move |carried| {
        let line = format!("{{\"up\": {}, \"down\": {}}}\n", carried.up, carried.down);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever counts will miss it.
        file.write_all(line.as_bytes()).ok();
    }))
}

fn run(options: Options) -> Result<(), String> {
    let upstream = options.upstream.ok_or("--upstream is missing")?;
    if !upstream.ip().is_loopback() {
        return Err("the upstream must be on loopback".into());
    }
    let tell = teller(options.count)?;
    let address = relay::start(upstream, options.round_trip, tell).map_err(|error| format!("can't listen: {error}"))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening: {address}")
        .and_then(|()| stdout.flush())
        .map_err(|error| error.to_string())?;
    if options.until_stdin_closes {
        // Whatever comes is nothing to us; an error is an end too.
        std::io::stdin().read_to_end(&mut Vec::new()).ok();
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let result = parse(arguments.into_iter()).and_then(run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody can read it there is nobody to tell.
            write!(std::io::stderr(), "error: {error}\n\n{USAGE}").ok();
            ExitCode::from(2)
        }
    }
}
