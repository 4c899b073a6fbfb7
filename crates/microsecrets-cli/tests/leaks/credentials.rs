//! AWS's credentials, from each provider, good ones and bad ones; what gets them; and the password of a proxy.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::common::Run;
use crate::common::canary::Canary;
use crate::worlds::{World, talkative};

/// A server that answers every request alike.
struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn answering(status: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                serve(stream, &answer);
            }
        });
        Self { url, asked }
    }
}

/// Answers when the head of the request and what it says of a body have come.
fn serve(mut stream: TcpStream, answer: &str) {
    let mut request = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0usize) {
                break;
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => request.extend(&piece[..count]),
            _ => break,
        }
    }
    stream.write_all(answer.as_bytes()).ok();
}

/// A way to have credentials, and whether they are good. A server that is there must have been asked.
struct Way {
    name: &'static str,
    equip: Box<dyn Fn(Run) -> Run>,
    works: bool,
    server: Option<Server>,
}

/// The texts that must not be seen.
struct Texts {
    key: String,
    token: String,
    /// Of a container's authorization, or a web identity.
    bearer: String,
    password: String,
}

fn without_credentials(run: Run) -> Run {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    names.iter().fold(run, |run, name| run.without_env(name))
}

fn way(name: &'static str, works: bool, equip: impl Fn(Run) -> Run + 'static) -> Way {
    Way {
        name,
        works,
        equip: Box::new(equip),
        server: None,
    }
}

fn json_of(texts: &Texts) -> String {
    json!({"Version": 1, "AccessKeyId": "AKIAANN", "SecretAccessKey": texts.key, "SessionToken": texts.token,
        "Token": texts.token, "Expiration": "2100-01-01T00:00:00Z"})
    .to_string()
}

/// What configuration files say, and programs that they name.
fn files(world: &World, texts: &Texts) -> Vec<Way> {
    let machine = world.machine();
    let Texts { key, token, bearer, .. } = texts;
    machine.write("inputs/good.json", json_of(texts));
    machine.write(
        "inputs/bad.json",
        json_of(texts).replace(r#""Version":1"#, r#""Version":[1]"#),
    );
    machine.write(
        "inputs/nested.json",
        json!({"Version": 1, "SecretAccessKey": [key], "AccessKeyId": {"x": token}}).to_string(),
    );
    let keys = |key: &str, token: &str| {
        format!("[default]\naws_access_key_id = AKIAANN\naws_secret_access_key = {key}\naws_session_token = {token}\n")
    };
    let process = |command: String| format!("[default]\ncredential_process = {command}\n");
    let all = [
        ("a profile", true, keys(key, token)),
        ("a profile with another token", false, keys(key, bearer)),
        ("a profile with another key", false, keys(bearer, token)),
        (
            "a file with a mistake",
            false,
            format!("[default\naws_secret_access_key = {key}\n"),
        ),
        (
            "a file with half a line",
            false,
            format!("[default]\naws_access_key_id = AKIAANN\n{key}\n"),
        ),
        (
            "a file without keys",
            false,
            format!("[default]\naws_secret_access_key = {key}\n"),
        ),
        ("a process", true, process("cat inputs/good.json".to_owned())),
        (
            "a process of another version",
            false,
            process("cat inputs/bad.json".to_owned()),
        ),
        (
            "a process that nests",
            false,
            process("cat inputs/nested.json".to_owned()),
        ),
        ("a process that prints none", false, process(format!("echo {bearer}"))),
        (
            "a process that fails",
            false,
            process(format!("sh -c \"echo {bearer} >&2; exit 3\"")),
        ),
        (
            "a process that is not there",
            false,
            process(format!("./nosuch --token {bearer}")),
        ),
    ];
    let ways = all.into_iter().enumerate().map(|(number, (name, works, text))| {
        let file = machine.write(&format!("inputs/config{number}"), text);
        way(name, works, move |run| {
            let run = without_credentials(run).env("AWS_CONFIG_FILE", &file);
            run.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        })
    });
    ways.collect()
}

/// What services answer.
fn services(world: &World, texts: &Texts) -> Vec<Way> {
    let Texts { key, token, bearer, .. } = texts;
    let escaped = key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let session = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIAANN</AccessKeyId>\
         <SecretAccessKey>{escaped}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    );
    let error = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>Incorrect token audience</Message>\
         <Detail>{bearer}</Detail></Error><Token>{bearer}</Token>\
         </ErrorResponse>"
    );
    let file = world.machine().write("inputs/identity", bearer);
    let role = "arn:aws:iam::111122223333:role/app";
    let mut ways = Vec::new();
    for (name, works, status, body) in [
        ("a web identity", true, "200 OK", session),
        ("a web identity that is refused", false, "400 Bad Request", error),
        (
            "a web identity with a strange answer",
            false,
            "200 OK",
            format!("{bearer} {escaped}"),
        ),
    ] {
        let (server, file) = (Server::answering(status, &body), file.clone());
        let url = server.url.clone();
        let equip = move |run| {
            let run = without_credentials(run).env("AWS_ENDPOINT_URL_STS", &url);
            run.env("AWS_WEB_IDENTITY_TOKEN_FILE", &file).env("AWS_ROLE_ARN", role)
        };
        let server = Some(server);
        ways.push(Way {
            server,
            ..way(name, works, equip)
        });
    }
    let refusal = json!({"Code": "AccessDenied", "Message": bearer, "code": bearer, "message": bearer}).to_string();
    let nested = json!({"AccessKeyId": "AKIAANN", "SecretAccessKey": [key], "Token": token}).to_string();
    for (name, works, status, body) in [
        ("a container", true, "200 OK", json_of(texts)),
        ("a container that refuses", false, "403 Forbidden", refusal),
        (
            "a container with a strange answer",
            false,
            "200 OK",
            format!("{bearer} {key}"),
        ),
        ("a container that nests", false, "200 OK", nested),
    ] {
        let server = Server::answering(status, &body);
        let (url, bearer) = (server.url.clone(), bearer.clone());
        let equip = move |run| {
            let run = without_credentials(run).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
            run.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", &bearer)
        };
        let server = Some(server);
        ways.push(Way {
            server,
            ..way(name, works, equip)
        });
    }
    ways
}

/// Proxies with a password that do not work, and variables that are as wrong.
fn proxies(texts: &Texts) -> Vec<Way> {
    let password = texts.password.clone();
    let refuses = Server::answering("407 Proxy Authentication Required", &password);
    let through = |address: &str| format!("http://ann:{password}@{address}");
    let address = refuses.url.replace("http://", "");
    let urls = [
        ("a proxy that is not there", through("127.0.0.1:1"), None),
        ("a proxy that refuses", through(&address), Some(refuses)),
        (
            "a proxy of another kind",
            format!("socks5://ann:{password}@127.0.0.1:1"),
            None,
        ),
        ("a proxy without an address", format!("http://ann:{password}@"), None),
        (
            "a proxy with a strange port",
            format!("http://ann:{password}@127.0.0.1:x"),
            None,
        ),
    ];
    let ways = urls.into_iter().map(|(name, url, server)| Way {
        server,
        ..way(name, false, move |run| run.env("HTTPS_PROXY", &url))
    });
    ways.collect()
}

fn others(texts: &Texts) -> Vec<Way> {
    let (key, bearer) = (texts.key.clone(), texts.bearer.clone());
    let token = texts.token.clone();
    let changed = bearer.clone();
    vec![
        way("the environment", true, |run| run),
        way("another key", false, move |run| {
            run.env("AWS_SECRET_ACCESS_KEY", &bearer)
        }),
        way("another token", false, move |run| {
            run.env("AWS_SESSION_TOKEN", &changed)
        }),
        way("a key with a line's end", false, move |run| {
            run.env("AWS_SECRET_ACCESS_KEY", format!("{key}\r{key}"))
        }),
        way("a token with a line's end", false, move |run| {
            run.env("AWS_SESSION_TOKEN", format!("{token}\r{token}"))
        }),
    ]
}

const COMMANDS: [&[&str]; 6] = [
    &["get", "A"],
    &["whoami"],
    &["with-env", "-a", "--", "true"],
    &["list"],
    &["doctor"],
    &["set", "X", "--generate", "20"],
];

#[test]
#[allow(clippy::print_stderr)]
fn of_aws_are_shown_by_nothing() {
    let mut world = World::bucket();
    let (bearer, password) = (Canary::new(), Canary::new());
    let texts = Texts {
        key: world.hidden[0].1.text.clone(),
        token: world.hidden[1].1.text.clone(),
        bearer: bearer.text.clone(),
        password: password.text.clone(),
    };
    world.hidden.push(("bearer's token", bearer));
    world.hidden.push(("proxy's password", password));
    let mut ways = others(&texts);
    ways.extend(files(&world, &texts));
    ways.extend(services(&world, &texts));
    ways.extend(proxies(&texts));
    let mut runs = 0;
    for Way {
        name,
        equip,
        works,
        server,
    } in &ways
    {
        // A proxy is tried until the time is over.
        let commands = if name.starts_with("a proxy") {
            &COMMANDS[..2]
        } else {
            &COMMANDS[..]
        };
        for command in commands {
            let silently: &[&[&str]] = if command[0] == "get" { &[&[]] } else { &[] };
            for options in silently.iter().chain([&&["-v", "-d"][..]]) {
                let arguments = [&command[..1], options, &["--timeout", "1"], &command[1..]].concat();
                let run = world.run(&arguments);
                let run = if options.is_empty() { run } else { talkative(run) };
                let outcome = equip(run).run();
                let what = format!("{name}: {arguments:?}");
                world.hides(&outcome, command[0] == "get", &what);
                if command[0] != "doctor" {
                    assert_eq!(outcome.status.success(), *works, "{what}: {}", outcome.stderr);
                }
                runs += 1;
            }
        }
        let asked = server
            .as_ref()
            .is_none_or(|server| server.asked.load(Ordering::SeqCst) > 1);
        assert!(asked, "{name} was never asked");
        world.left_nothing(name);
    }
    eprintln!("{runs} runs, {} ways", ways.len());
}
