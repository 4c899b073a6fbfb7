//! What the SDK finds by itself: region, credentials, endpoints and certificates. Each case is a process of its own, for
//! its environment.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

use microsecrets::store::{Get, Store as _};
use strict_fake::{Raw, test_tls};

use super::malformed::{Canned, answer};
use super::*;

const CHILD: &str = "MICROSECRETS_TEST_CHILD";

/// The process that the other tests start: opens the store as a program would that was told nothing, and reads one
/// object. By itself it does nothing.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut settings = AwsSettings::default();
    settings.retry = impatient();
    if let Ok(seconds) = std::env::var("TEST_SECONDS") {
        settings.retry.timeout = Duration::from_secs(seconds.parse().unwrap());
    }
    settings.profile = std::env::var("TEST_PROFILE").ok();
    let began = Instant::now();
    let aws = match Aws::open(settings).await {
        Ok(aws) => aws,
        Err(error) => return say("error", &lines(&error).join(" | ")),
    };
    say("region", aws.region());
    say("opened", &began.elapsed().as_millis().to_string());
    match S3Store::new(aws, BUCKET, None).get(Get::whole("x", 9)).await {
        Ok(object) => say("read", &String::from_utf8_lossy(bytes(&object))),
        Err(error) => {
            say("ended", &began.elapsed().as_millis().to_string());
            say("kind", &format!("{:?}", error.kind));
            say("error", &lines(&error).join(" | "));
        }
    }
}

#[allow(clippy::print_stdout, reason = "it is what the parent reads")]
fn say(what: &str, text: &str) {
    println!("SAYS {what}={text}");
}

/// Runs the child with an environment and files in its home; gives what it said.
fn run(files: &[(&str, &str)], environment: &[(&str, &str)]) -> HashMap<String, String> {
    let home = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["environment::child", "--exact", "--nocapture", "--quiet"]);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home.path())
        .env(CHILD, "1");
    // Whoever runs the tests on an instance has credentials there.
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said: HashMap<String, String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("SAYS ")?.split_once('='))
        .map(|(what, text)| (what.to_owned(), text.to_owned()))
        .collect();
    assert!(!said.is_empty(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    said
}

fn world() -> World {
    let world = World::new();
    world.fake.put_raw(BUCKET, "x", "y", Raw::default());
    world
}

const ID: (&str, &str) = ("AWS_ACCESS_KEY_ID", "AKIAADMIN");
const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "the administrator's secret");

#[test]
fn credentials_region_and_endpoint_of_the_environment_are_used() {
    let world = world();
    let endpoint = world.fake.endpoint();
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let said = run(&[], &[ID, SECRET, ("AWS_REGION", "us-east-1"), (name, &endpoint)]);
        assert_eq!((said["read"].as_str(), said["region"].as_str()), ("y", "us-east-1"));
    }
    assert_eq!(world.fake.requests()[0].access_key.as_deref(), Some("AKIAADMIN"));
}

#[test]
fn an_endpoint_of_the_environment_is_as_safe_as_any() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = format!("http://0.0.0.0:{}", listener.local_addr().unwrap().port());
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let said = run(&[], &[ID, SECRET, (name, &endpoint)]);
        assert_eq!(said["kind"], "InsecureEndpoint");
        assert_eq!(
            said["error"],
            "get x: the endpoint is neither https nor loopback | 0.0.0.0 would be reached without encryption"
        );
    }
    assert!(listener.accept().is_err(), "somebody was connected");
}

#[test]
fn without_any_region_it_is_us_east_1_as_ever() {
    assert_eq!(
        run(&[], &[ID, SECRET, ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")])["region"],
        "us-east-1"
    );
}

#[test]
fn a_machine_that_is_no_instance_is_not_waited_for() {
    // It takes connections and says nothing, as a firewall makes of 169.254.169.254.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", silent.local_addr().unwrap());
    let said = run(
        &[],
        &[
            ID,
            SECRET,
            ("AWS_EC2_METADATA_DISABLED", "false"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ],
    );
    assert_eq!(said["region"], "us-east-1");
    let waited: u64 = said["opened"].parse().unwrap();
    assert!(waited < 1_900, "{waited} ms");
}

#[test]
fn an_instance_says_its_region_and_gives_its_credentials() {
    let world = world();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4_096];
            let length = connection.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap();
            let body = match path {
                "/latest/api/token" => "token",
                "/latest/meta-data/placement/region" => "us-east-1",
                path if path.trim_end_matches('/').ends_with("security-credentials") => "a-role",
                _ => {
                    r#"{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "AKIAADMIN", "Token": "t",
                        "SecretAccessKey": "the administrator's secret", "Expiration": "2120-01-01T00:00:00Z",
                        "LastUpdated": "2026-01-01T00:00:00Z"}"#
                }
            };
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n");
            let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n";
            connection
                .write_all(format!("{head}{ttl}\r\n{body}").as_bytes())
                .unwrap();
        }
    });
    world.fake.set_session_token(&world.admin, "t");
    let said = run(
        &[],
        &[
            ("AWS_EC2_METADATA_DISABLED", "false"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata),
            ("AWS_ENDPOINT_URL", &world.fake.endpoint()),
        ],
    );
    assert_eq!(said.get("read").map(String::as_str), Some("y"), "{said:?}");
}

#[test]
fn without_credentials_it_says_who_was_asked() {
    let said = run(
        &[],
        &[("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")],
    );
    assert_eq!(said["kind"], "NoCredentials");
    let error = &said["error"];
    assert!(error.starts_with("get x: no AWS credentials found | "), "{error}");
    for provider in [
        "Environment",
        "Profile",
        "WebIdentityToken",
        "EcsContainer",
        "Ec2InstanceMetadata",
    ] {
        assert!(error.contains(provider), "{provider}: {error}");
    }
}

#[test]
fn a_profile_says_region_endpoint_and_credentials() {
    let world = world();
    let config = format!(
        "[profile team]\nregion = us-east-1\nendpoint_url = {}\naws_access_key_id = AKIAADMIN\n\
         aws_secret_access_key = the administrator's secret\n",
        world.fake.endpoint()
    );
    let files = [(".aws/config", config.as_str())];
    assert_eq!(run(&files, &[("AWS_PROFILE", "team")])["read"], "y");
    // A profile that was asked for is used even beside other credentials.
    let other = [
        ("AWS_ACCESS_KEY_ID", "AKIAOTHER"),
        ("AWS_SECRET_ACCESS_KEY", "other"),
        ("TEST_PROFILE", "team"),
    ];
    assert_eq!(run(&files, &other)["read"], "y");
    let said = run(
        &files,
        &[("TEST_PROFILE", "nobody"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")],
    );
    assert_eq!(said["kind"], "NoCredentials");
    assert!(said["error"].contains("nobody"), "{said:?}");
}

/// More than half of a request's time, which then is still all there.
#[test]
fn a_process_that_waits_for_a_person_has_the_time_of_a_request() {
    let world = world();
    let credentials =
        r#"{"Version": 1, "AccessKeyId": "AKIAADMIN", "SecretAccessKey": "the administrator\u0027s secret"}"#;
    let config = "[default]\nregion = us-east-1\ncredential_process = sh -c \"sleep 0.5; cat $HOME/credentials\"\n";
    let files = [(".aws/config", config), ("credentials", credentials)];
    let said = run(&files, &[("AWS_ENDPOINT_URL", &world.fake.endpoint())]);
    assert_eq!(said.get("read").map(String::as_str), Some("y"), "{said:?}");
}

/// It did not end with credentials before the time of a request was over, nor much later.
#[track_caller]
fn waited_in_vain(said: &HashMap<String, String>) {
    assert_eq!(said["kind"], "TimedOut { seconds: 0 }", "{said:?}");
    assert_eq!(said["error"], "get x: no answer for 0 s | credentials were waited for");
    let waited: u64 = said["ended"].parse().unwrap();
    assert!((900..1_900).contains(&waited), "{waited} ms");
}

#[test]
fn a_process_that_does_not_end_is_not_waited_for() {
    let config = "[default]\nregion = us-east-1\ncredential_process = exec sleep 6\n";
    let files = [(".aws/config", config)];
    waited_in_vain(&run(&files, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]));
}

#[test]
fn endpoints_of_credentials_that_say_nothing_are_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", silent.local_addr().unwrap());
    let common = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
    ];
    let container = [common[0], common[1], ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &endpoint)];
    waited_in_vain(&run(&[], &container));
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "a-token").unwrap();
    let identity = [
        common[0],
        common[1],
        ("AWS_ENDPOINT_URL_STS", &endpoint),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/app"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.path().to_str().unwrap()),
    ];
    waited_in_vain(&run(&[], &identity));
}

#[test]
fn a_process_that_fails_is_not_quoted() {
    let of = |script: &str| {
        let config = format!("[default]\nregion = us-east-1\ncredential_process = {script}\n");
        let files = [(".aws/config", config.as_str())];
        let said = run(&files, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
        assert!(!format!("{said:?}").contains("canary"), "{said:?}");
        said
    };
    let said = of("sh -c \"echo 'the-canary. Stderr: canary' >&2; exit 3\"");
    assert_eq!(said["kind"], "NoCredentials");
    assert!(said["error"].ends_with("exited with code exit status: 3"), "{said:?}");
    for output in ["the-canary", r#"{\"Version\": [\"canary\"]}"#, r#"[\"the-canary\"]"#] {
        assert_eq!(of(&format!("echo '{output}'"))["kind"], "NoCredentials");
    }
    // What it says still tells what is the matter.
    let said = of("sh -c \"echo 'the session of canary has expired' >&2; exit 3\"");
    assert_eq!(said["kind"], "ExpiredCredentials");
}

#[test]
fn credentials_that_cannot_be_sent_are_not_tried() {
    let token = |token| ("AWS_SESSION_TOKEN", token);
    for (wrong, fault) in [
        (
            vec![("AWS_ACCESS_KEY_ID", "AKIACANARY\r"), SECRET],
            "access key holds a character that no header can carry",
        ),
        (
            vec![ID, SECRET, token("canary\ncanary")],
            "session token holds a character that no header can carry",
        ),
        (
            vec![ID, ("AWS_SECRET_ACCESS_KEY", "canary\r")],
            "secret access key holds a character that none ever has",
        ),
    ] {
        let mut environment = wrong;
        environment.extend([("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
        let said = run(&[], &environment);
        assert_eq!(said["kind"], "InvalidCredentials", "{fault}: {said:?}");
        assert_eq!(
            said["error"],
            format!("get x: the credentials are not valid | the {fault}")
        );
    }
}

#[test]
fn a_region_that_is_none_is_refused_wherever_it_comes_from() {
    let refused = |files: &[(&str, &str)], environment: &[(&str, &str)], whence: &str| {
        let said = run(files, environment);
        let why = "a region's name has lower-case letters, digits and hyphens";
        assert_eq!(said["error"], format!("open region of {whence}: {why}"));
    };
    for region in ["us-east-1\r", "x/y", "\u{e9}", ""] {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            refused(&[], &[ID, SECRET, (name, region)], "AWS_REGION or AWS_DEFAULT_REGION");
        }
    }
    let files = [(".aws/config", "[default]\nregion = x/y\n")];
    refused(&files, &[ID, SECRET], "the profile");
}

#[test]
fn a_session_that_has_ended_is_told_from_none() {
    let config = "[default]\nsso_session = team\nsso_account_id = 111122223333\nsso_role_name = reader\n\
                  region = us-east-1\n[sso-session team]\nsso_region = us-east-1\n\
                  sso_start_url = https://team.awsapps.com/start\n";
    let token = r#"{"startUrl": "https://team.awsapps.com/start", "region": "us-east-1", "accessToken": "a-token",
                    "expiresAt": "2020-01-01T00:00:00Z"}"#;
    // The file's name is the SHA-1 of the session's.
    let cache = ".aws/sso/cache/d25187dc137f35c88bc80ec8c3ffbdb17b5eb873.json";
    let files = [(".aws/config", config), (cache, token)];
    let said = run(&files, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
    assert_eq!(said["kind"], "ExpiredCredentials", "{said:?}");
    assert!(!said["error"].contains("a-token"));
}

#[test]
fn a_role_that_may_not_be_assumed_is_said_in_awss_words() {
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: ann is not \
                  authorized to perform: sts:AssumeRole on resource: app</Message></Error></ErrorResponse>";
    let sts = Canned::new(answer("403 Forbidden", "", denied));
    let config = "[default]\nregion = us-east-1\nrole_arn = arn:aws:iam::111122223333:role/app\n\
                  source_profile = ann\n[profile ann]\naws_access_key_id = AKIAANN\naws_secret_access_key = s\n";
    let said = run(
        &[(".aws/config", config)],
        &[
            ("AWS_ENDPOINT_URL_STS", &sts.endpoint),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ],
    );
    assert_eq!(said["kind"], "NoCredentials");
    assert_eq!(
        said["error"],
        "get x: no AWS credentials found | an error occurred while loading credentials | AccessDenied: User: ann is \
         not authorized to perform: sts:AssumeRole on resource: app"
    );
    // And nobody's secret is sent to anybody without encryption, for credentials neither.
    let said = run(
        &[(".aws/config", config)],
        &[
            ("AWS_ENDPOINT_URL_STS", "http://0.0.0.0:9"),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ],
    );
    assert_eq!(said["kind"], "InsecureEndpoint");
    assert!(
        said["error"].ends_with("0.0.0.0 would be reached without encryption"),
        "{said:?}"
    );
    let said = run(
        &[(".aws/config", config)],
        &[
            // The SDK tries it more than once.
            ("TEST_SECONDS", "20"),
            ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ],
    );
    assert_eq!(said["kind"], "Unavailable", "{said:?}");
}

#[test]
fn the_systems_certificates_are_found_by_ssl_cert_file() {
    let builder = StrictFake::builder().bucket(BUCKET, Bucket::default());
    let world = World::with(builder.tls(test_tls::CHAIN, test_tls::KEY));
    world.fake.put_raw(BUCKET, "x", "y", Raw::default());
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, test_tls::CA).unwrap();
    let endpoint = world.fake.endpoint();
    let environment = [ID, SECRET, ("AWS_ENDPOINT_URL", endpoint.as_str())];
    assert_eq!(run(&[], &environment)["kind"], "UntrustedServer");
    let mut trusting = environment.to_vec();
    trusting.push(("SSL_CERT_FILE", bundle.to_str().unwrap()));
    assert_eq!(run(&[], &trusting)["read"], "y");
}
