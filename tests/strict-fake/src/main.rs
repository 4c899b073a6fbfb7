//! The fake as a program, for benchmarks and scripts.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use strict_fake::{Bucket, DEFAULT_ACCOUNT, Raw, Sse, StrictFake};

const USAGE: &str = "\
usage: strict-fake [option ...]

  --listen 127.0.0.1:PORT    where to listen; port 0, the default, takes a free one
  --bucket NAME              a bucket, versioned (repeatable)
  --access-key K             the access key of an administrator, with
  --secret-key S             its secret, and, if they are temporary credentials,
  --session-token T          their token
  --account ID               the account that owns all this (111122223333)
  --region NAME              the region it is in (us-east-1)
  --key-alias NAME           a symmetric KMS key with this alias (repeatable)
  --signing-key-alias NAME   an ECC_NIST_P256 KMS key with this alias (repeatable)
  --tls-cert FILE            speak TLS with this certificate chain, and
  --tls-key FILE             this key (PEM)
  --history SERVICE=N        N old versions of a service's environment, in each bucket, under the first key
  --delay-ms N               wait so long before each answer
  --log FILE                 append each request as a line of JSON
  --until-stdin-closes       stop when standard input ends

The first line on standard output is `endpoint: URL`. A line `key: ALIAS ARN` for each key follows.
";

#[derive(Default)]
struct Options {
    port: u16,
    buckets: Vec<String>,
    access_key: Option<String>,
    secret_key: Option<String>,
    session_token: Option<String>,
    account: Option<String>,
    region: Option<String>,
    key_aliases: Vec<String>,
    signing_key_aliases: Vec<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    history: Option<(String, u32)>,
    delay_ms: u64,
    log: Option<String>,
    until_stdin_closes: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(name) = arguments.next() {
            if name == "--until-stdin-closes" {
                options.until_stdin_closes = true;
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} is unknown or wants a value"))?;
            match name.as_str() {
                "--listen" => options.port = port(&value)?,
                "--bucket" => options.buckets.push(value),
                "--access-key" => options.access_key = Some(value),
                "--secret-key" => options.secret_key = Some(value),
                "--session-token" => options.session_token = Some(value),
                "--account" => options.account = Some(value),
                "--region" => options.region = Some(value),
                "--key-alias" => options.key_aliases.push(value),
                "--signing-key-alias" => options.signing_key_aliases.push(value),
                "--tls-cert" => options.tls_cert = Some(value),
                "--tls-key" => options.tls_key = Some(value),
                "--history" => options.history = Some(history(&value)?),
                "--delay-ms" => options.delay_ms = value.parse().map_err(|_| format!("{value} is no number"))?,
                "--log" => options.log = Some(value),
                _ => return Err(format!("{name} is unknown")),
            }
        }
        Ok(options)
    }
}

/// Nothing but the loopback interface: this server lets whoever knows the secret do everything.
fn port(address: &str) -> Result<u16, String> {
    let port = address
        .strip_prefix("127.0.0.1:")
        .ok_or("--listen takes only 127.0.0.1:PORT")?;
    port.parse().map_err(|_| format!("{port} is no port"))
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))
}

fn run(options: Options) -> Result<(), String> {
    let account = options.account.unwrap_or_else(|| DEFAULT_ACCOUNT.into());
    let region = options.region.unwrap_or_else(|| strict_fake::DEFAULT_REGION.into());
    let mut builder = StrictFake::builder()
        .home(&account, &region)
        .port(options.port)
        .delay(Duration::from_millis(options.delay_ms));
    for name in &options.buckets {
        let bucket = Bucket {
            owner: account.clone(),
            region: region.clone(),
            ..Bucket::default()
        };
        builder = builder.bucket(name, bucket);
    }
    builder = match (options.tls_cert, options.tls_key) {
        (Some(cert), Some(key)) => builder.tls(&read(&cert)?, &read(&key)?),
        (None, None) => builder,
        _ => return Err("--tls-cert and --tls-key go together".into()),
    };
    let fake = builder.try_start().map_err(|e| format!("can't listen: {e}"))?;
    match (options.access_key, options.secret_key) {
        (Some(key), Some(secret)) => {
            let admin = fake.admin(&key, &secret, &account);
            if let Some(token) = &options.session_token {
                fake.set_session_token(&admin, token);
            }
        }
        (None, None) => {}
        _ => return Err("--access-key and --secret-key go together".into()),
    }
    let log = options.log.map(|path| {
        let file = File::options().create(true).append(true).open(&path);
        file.map_err(|e| format!("{path}: {e}"))
    });
    fake.log_to(log.transpose()?, true);
    let mut announcement = format!("endpoint: {}\n", fake.endpoint());
    for alias in &options.key_aliases {
        announcement += &format!("key: {alias} {}\n", fake.kms().create_key(alias));
    }
    for alias in &options.signing_key_aliases {
        announcement += &format!("key: {alias} {}\n", fake.kms().create_signing_key(alias));
    }
    if let Some((service, count)) = &options.history {
        let key = options.key_aliases.first().and_then(|alias| fake.kms().resolve(alias));
        for bucket in fake.buckets() {
            put_history(&fake, &bucket, service, *count, key.as_deref());
        }
    }
    let mut stdout = std::io::stdout();
    stdout
        .write_all(announcement.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|e| e.to_string())?;
    if options.until_stdin_closes {
        // Whatever comes is nothing to us; an error is an end too.
        let mut ignored = Vec::new();
        let _error = std::io::stdin().read_to_end(&mut ignored);
    } else {
        loop {
            std::thread::park();
        }
    }
    drop(fake);
    Ok(())
}

fn history(value: &str) -> Result<(String, u32), String> {
    let parsed = value
        .split_once('=')
        .and_then(|(service, count)| Some((service.to_owned(), count.parse().ok()?)));
    parsed.ok_or_else(|| "--history wants SERVICE=N".to_owned())
}

/// Old versions as microsecrets 0.3.4 named them, one a second from 2020 on, all of the same few bytes, under a key.
fn put_history(fake: &StrictFake, bucket: &str, service: &str, count: u32, key: Option<&str>) {
    const BODY: &[u8] = b"{\"environment\": {}, \"metadata\": {}}";
    const SHA256: &str = "f6b4a59a64c0fbbe049dd4ee25f1e7891fd03666682a8fb7413b2316bcdcb38f";
    let raw = Raw::encrypted(key.map_or(Sse::Aes256, Sse::kms));
    for n in 0..count {
        let (day, hour, minute, second) = (n / 86_400 + 1, n / 3_600 % 24, n / 60 % 60, n % 60);
        let key =
            format!("services/{service}/environment/2020-01-{day:02}.{hour:02}-{minute:02}-{second:02}.{SHA256}.json");
        fake.put_raw(bucket, &key, BODY, raw.clone());
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut stderr = std::io::stderr();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        return match std::io::stdout().write_all(USAGE.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    match Options::parse(arguments.into_iter()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody can read it there is nobody to tell.
            let _unread = writeln!(stderr, "error: {error}\nhint: strict-fake --help");
            ExitCode::from(2)
        }
    }
}
