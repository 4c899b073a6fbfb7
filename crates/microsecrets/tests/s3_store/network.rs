//! Ways to the store: encryption, proxies, certificates.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Mutex;

use microsecrets::aws::Proxy;
use microsecrets::keys::{Keys as _, KmsKeys};
use microsecrets::store::{Condition, ErrorKind, Get, Store as _};
use strict_fake::{Raw, StrictFake, test_tls};

use super::*;

/// A certificate for AWS's own names, and who vouches for it.
const AWS_CA: &str = include_str!("tls/ca.pem");
const AWS_CHAIN: &str = include_str!("tls/server.pem");
const AWS_KEY: &str = include_str!("tls/server.key");

fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.pem");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// A proxy that takes every tunnel to one place, and notes where it should have gone.
struct Tunnels {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                seen.lock().unwrap().push(String::from_utf8(head).unwrap());
                let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                client
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .unwrap();
                let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || io::copy(&mut up, &mut server));
                std::thread::spawn(move || io::copy(&mut down, &mut client));
            }
        });
        Self { url, heads }
    }

    /// `HOST:PORT` of each tunnel.
    fn targets(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads
            .iter()
            .map(|head| head.split(' ').nth(1).unwrap().to_owned())
            .collect()
    }

    fn settings(&self) -> Option<Proxy> {
        Some(Proxy {
            url: self.url.clone(),
            exceptions: None,
        })
    }
}

#[tokio::test]
async fn an_endpoint_without_encryption_is_refused_before_anything_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    // This machine, by an address that does not say so.
    let endpoint = format!("http://0.0.0.0:{}", listener.local_addr().unwrap().port());
    let Err(error) = Aws::open(settings(&endpoint, &somebody())).await else {
        panic!("it was accepted")
    };
    assert_eq!(error.kind, ErrorKind::InsecureEndpoint);
    assert_eq!(
        error.to_string(),
        format!("open {endpoint}: the endpoint is neither https nor loopback")
    );
    assert!(listener.accept().is_err(), "somebody was connected");
}

#[tokio::test]
async fn an_endpoint_without_encryption_is_accepted_from_who_insists() {
    let world = World::new();
    world.fake.put_raw(BUCKET, "x", "y", Raw::default());
    let mut settings = settings(&format!("http://0.0.0.0:{}", world.fake.port()), &world.admin);
    settings.insecure_endpoint = true;
    let store = S3Store::new(Aws::open(settings).await.unwrap(), BUCKET, None);
    assert_eq!(bytes(&store.get(Get::whole("x", 9)).await.unwrap()), b"y");
}

#[tokio::test]
async fn a_certificate_is_trusted_by_a_bundle_alone() {
    let world = World::with(
        StrictFake::builder()
            .bucket(BUCKET, Bucket::default())
            .tls(test_tls::CHAIN, test_tls::KEY),
    );
    world.fake.put_raw(BUCKET, "x", "y", Raw::default());
    let open = |bundle: Option<PathBuf>| {
        let mut settings = world.settings(&world.admin);
        settings.ca_bundle = bundle;
        async { S3Store::new(Aws::open(settings).await.unwrap(), BUCKET, None) }
    };
    // Junk beside it does no harm: many an organisation's bundle has some.
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (_folder, right) = file(&format!("# ours\n{junk}{}", test_tls::CA));
    let (_folder, wrong) = file(AWS_CA);
    let store = open(Some(right)).await;
    assert_eq!(bytes(&store.get(Get::whole("x", 9)).await.unwrap()), b"y");
    for bundle in [Some(wrong), None] {
        let error = failed(open(bundle).await.put(world.put("x", b"1", Condition::Absent)).await);
        assert_eq!((&error.kind, error.maybe_applied), (&ErrorKind::UntrustedServer, false));
        assert!(
            lines(&error).iter().any(|line| line.contains("UnknownIssuer")),
            "{:?}",
            lines(&error)
        );
    }
}

#[tokio::test]
async fn a_bundle_that_holds_nothing_is_refused() {
    let (_folder, path) = file("no certificate");
    let mut settings = settings("https://127.0.0.1", &somebody());
    settings.ca_bundle = Some(path.clone());
    let Err(error) = Aws::open(settings).await else {
        panic!("it was accepted")
    };
    assert!(error.to_string().ends_with("holds none that can be used"), "{error}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut AwsSettings)| async move {
        let mut settings = settings("https://127.0.0.1", &somebody());
        change(&mut settings);
        let Err(error) = Aws::open(settings).await else {
            panic!("it was accepted")
        };
        assert!(matches!(error.kind, ErrorKind::InvalidSetting(_)), "{error}");
        error.to_string()
    };
    assert_eq!(
        refused(|settings| settings.region = Some("eu-west-1.evil.example/".to_owned())).await,
        "open region: a region's name has lower-case letters, digits and hyphens"
    );
    assert_eq!(
        refused(|settings| settings.endpoint = Some("s3.example.com".to_owned())).await,
        "open endpoint: it is not https://HOST or https://HOST:PORT"
    );
    let proxied = refused(|settings| {
        settings.proxy = Some(Proxy {
            url: "socks5://ann:hunter2@proxy:1080".to_owned(),
            exceptions: None,
        });
    });
    assert_eq!(
        proxied.await,
        "open proxy: its URL is not http://HOST:PORT or https://HOST:PORT"
    );
}

/// A fake under AWS's own names, which only the proxy knows to find.
fn behind_a_proxy() -> (World, Tunnels, tempfile::TempDir, AwsSettings) {
    let builder = StrictFake::builder().bucket(BUCKET, Bucket::default());
    let world = World::with(builder.tls(AWS_CHAIN, AWS_KEY));
    world.fake.put_raw(BUCKET, "x", "y", Raw::default());
    let proxy = Tunnels::to(world.fake.port());
    let (folder, bundle) = file(AWS_CA);
    let mut settings = world.settings(&world.admin);
    settings.endpoint = None;
    settings.ca_bundle = Some(bundle);
    settings.proxy = proxy.settings();
    (world, proxy, folder, settings)
}

#[tokio::test]
async fn requests_go_through_the_proxy_to_the_buckets_own_host() {
    let (_world, proxy, _folder, settings) = behind_a_proxy();
    let aws = Aws::open(settings).await.unwrap();
    let store = S3Store::new(aws.clone(), BUCKET, None);
    assert_eq!(bytes(&store.get(Get::whole("x", 9)).await.unwrap()), b"y");
    assert_eq!(proxy.targets(), ["example-microsecrets.s3.us-east-1.amazonaws.com:443"]);
    KmsKeys::new(aws).resolve("alias/microsecrets-api").await.unwrap();
    assert_eq!(proxy.targets()[1..], ["kms.us-east-1.amazonaws.com:443"]);
    // The second request finds the connection of the first.
    assert!(store.get(Get::attributes("x")).await.is_ok());
    assert_eq!(proxy.targets().len(), 2);
}

#[tokio::test]
async fn a_bucket_in_another_region_is_found_at_its_own_host() {
    let (world, proxy, _folder, settings) = behind_a_proxy();
    let bucket = Bucket {
        region: "eu-west-1".to_owned(),
        ..Bucket::default()
    };
    world.fake.add_bucket(BUCKET, bucket);
    world.fake.put_raw(BUCKET, "x", "y", Raw::default());
    let store = S3Store::new(Aws::open(settings).await.unwrap(), BUCKET, None);
    assert_eq!(bytes(&store.get(Get::whole("x", 9)).await.unwrap()), b"y");
    assert_eq!(
        proxy.targets()[1],
        "example-microsecrets.s3.eu-west-1.amazonaws.com:443"
    );
}

#[tokio::test]
async fn fips_and_dual_stack_have_their_own_hosts() {
    let (_world, proxy, _folder, mut settings) = behind_a_proxy();
    settings.fips = true;
    settings.dual_stack = true;
    let store = S3Store::new(Aws::open(settings).await.unwrap(), BUCKET, None);
    assert_eq!(bytes(&store.get(Get::whole("x", 9)).await.unwrap()), b"y");
    assert_eq!(
        proxy.targets(),
        ["example-microsecrets.s3-fips.dualstack.us-east-1.amazonaws.com:443"]
    );
}

#[tokio::test]
async fn a_proxy_is_told_its_password() {
    let (_world, proxy, _folder, mut settings) = behind_a_proxy();
    settings.proxy = Some(Proxy {
        url: proxy.url.replace("http://", "http://ann:pw@"),
        exceptions: None,
    });
    let store = S3Store::new(Aws::open(settings).await.unwrap(), BUCKET, None);
    assert!(store.get(Get::attributes("x")).await.is_ok());
    let heads = proxy.heads.lock().unwrap();
    assert!(
        heads[0].to_ascii_lowercase().contains("proxy-authorization: basic"),
        "{heads:?}"
    );
}

#[tokio::test]
async fn a_host_that_is_excepted_is_reached_without_the_proxy() {
    let builder = StrictFake::builder().bucket(BUCKET, Bucket::default());
    let world = World::with(builder.tls(test_tls::CHAIN, test_tls::KEY));
    world.fake.put_raw(BUCKET, "x", "y", Raw::default());
    let proxy = Tunnels::to(world.fake.port());
    let (_folder, bundle) = file(test_tls::CA);
    for (exceptions, tunnels) in [(None, 1), (Some("127.0.0.0/8,.example.com"), 0), (Some("*"), 0)] {
        let mut settings = world.settings(&world.admin);
        settings.ca_bundle = Some(bundle.clone());
        settings.proxy = Some(Proxy {
            url: proxy.url.clone(),
            exceptions: exceptions.map(str::to_owned),
        });
        let store = S3Store::new(Aws::open(settings).await.unwrap(), BUCKET, None);
        assert!(store.get(Get::attributes("x")).await.is_ok());
        assert_eq!(proxy.targets().len(), tunnels, "{exceptions:?}");
        proxy.heads.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn loopback_without_encryption_needs_no_proxy() {
    let world = World::new();
    let proxy = Tunnels::to(world.fake.port());
    let mut settings = world.settings(&world.admin);
    settings.proxy = proxy.settings();
    let store = S3Store::new(Aws::open(settings).await.unwrap(), BUCKET, None);
    assert_eq!(failed(store.get(Get::attributes("x")).await).kind, ErrorKind::NotFound);
    assert!(proxy.targets().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_got_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world = World::new();
    let aws = Aws::open(settings(&format!("http://127.0.0.1:{port}"), &somebody()))
        .await
        .unwrap();
    let error = failed(
        S3Store::new(aws, BUCKET, None)
            .put(world.put("x", b"1", Condition::Absent))
            .await,
    );
    assert_eq!((&error.kind, error.maybe_applied), (&ErrorKind::Unavailable, false));
    let lines = lines(&error);
    assert_eq!(lines[0], "put x: not reachable");
    assert!(lines.last().unwrap().contains("Connection refused"), "{lines:?}");
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named() {
    let aws = Aws::open(settings("https://no-such-host.invalid", &somebody()))
        .await
        .unwrap();
    let error = failed(S3Store::new(aws, BUCKET, None).get(Get::whole("x", 1)).await);
    assert!(
        matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let store = S3Store::new(Aws::open(settings(&endpoint, &somebody())).await.unwrap(), BUCKET, None);
    let began = std::time::Instant::now();
    let error = failed(store.get(Get::whole("x", 1)).await);
    assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3));
}

/// Takes a request slowly, a piece every few milliseconds, and answers it like S3.
fn slow_reader(key: &str) -> String {
    // A small buffer, or else the system would take most of it at once.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let encryption = format!(
        "x-amz-server-side-encryption: aws:kms\r\nx-amz-server-side-encryption-aws-kms-key-id: {key}\r\nETag: \"e\""
    );
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut seen = Vec::new();
            let mut piece = vec![0; 256 << 10];
            let mut expected = usize::MAX;
            while seen.len() < expected {
                let length = connection.read(&mut piece).unwrap_or(0);
                if length == 0 {
                    break;
                }
                seen.extend_from_slice(&piece[..length]);
                if expected == usize::MAX
                    && let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n")
                {
                    let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
                    let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                    expected = end + 4 + length.parse::<usize>().unwrap();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n";
            let _gone = connection.write_all(format!("{head}{encryption}\r\n\r\n").as_bytes());
        }
    });
    endpoint
}

#[tokio::test]
async fn a_file_has_all_the_time_it_needs_as_long_as_it_moves() {
    let world = World::new();
    let aws = Aws::open(settings(&slow_reader(&world.key), &somebody()))
        .await
        .unwrap();
    let store = S3Store::new(aws, BUCKET, None);
    let began = std::time::Instant::now();
    put(&store, world.upload("x", Announced::of(8 << 20))).await;
    assert!(
        began.elapsed() > impatient().timeout,
        "it was too quick to prove anything"
    );
    // What is in memory has the time of one request.
    let error = failed(store.put(world.put("x", &[0; 8 << 20], Condition::Absent)).await);
    assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
}
