//! The program around the fake.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

fn start(arguments: &[&str]) -> (Child, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_strict-fake"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = child.stdout.take().expect("piped");
    // The endpoint and one line for each key.
    let keys = arguments.iter().filter(|a| a.ends_with("key-alias")).count();
    let lines = BufReader::new(stdout)
        .lines()
        .take(1 + keys)
        .map(|l| l.expect("text"))
        .collect();
    (child, lines)
}

#[test]
fn it_says_where_it_is_and_stops_with_its_input() {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("text");
    let (mut child, lines) = start(&[
        "--listen",
        "127.0.0.1:0",
        "--bucket",
        "example-microsecrets",
        "--access-key",
        "AKIA",
        "--secret-key",
        "s",
        "--key-alias",
        "microsecrets-api",
        "--signing-key-alias",
        "microsecrets-signing/api",
        "--delay-ms",
        "1",
        "--log",
        path,
        "--until-stdin-closes",
    ]);
    let address = lines[0].strip_prefix("endpoint: http://").expect("an endpoint");
    assert!(
        lines[1].starts_with("key: microsecrets-api arn:aws:kms:us-east-1:111122223333:key/"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].starts_with("key: microsecrets-signing/api arn:aws:kms:"),
        "{}",
        lines[2]
    );
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(b"GET /example-microsecrets/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("sent");
    assert_eq!(
        crate::raw::read_answer(&mut stream, false).brief(),
        (403, "AccessDenied")
    );
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
    let log = std::fs::read_to_string(path).expect("readable");
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn it_speaks_tls() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tls/");
    let (cert, key) = (format!("{folder}server.pem"), format!("{folder}server.key"));
    let (mut child, lines) = start(&["--tls-cert", &cert, "--tls-key", &key, "--until-stdin-closes"]);
    assert!(lines[0].starts_with("endpoint: https://127.0.0.1:"), "{}", lines[0]);
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn it_says_what_it_does_not_understand() {
    for (arguments, error) in [
        (vec!["--frobnicate", "1"], "error: --frobnicate is unknown"),
        (
            vec!["--listen", "0.0.0.0:1"],
            "error: --listen takes only 127.0.0.1:PORT",
        ),
        (
            vec!["--access-key", "AKIA"],
            "error: --access-key and --secret-key go together",
        ),
        (vec!["--bucket"], "error: --bucket is unknown or wants a value"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_strict-fake"))
            .args(arguments)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(error));
    }
}
