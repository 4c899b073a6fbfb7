//! The log, connections, and TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use strict_fake::{Bucket, StrictFake, test_tls};

use crate::common::*;
use crate::raw::RawRequest;

#[tokio::test]
async fn every_request_is_logged() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let s3 = s3(&fake, &admin);
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("services/api/a")
        .if_none_match("*")
        .metadata("microsecrets", "n");
    put.expected_bucket_owner(ACCOUNT)
        .body(ByteStream::from_static(b"12345"))
        .send()
        .await
        .expect("put");
    get(&s3, "services/api/a").await;
    s3.list_objects_v2()
        .bucket(BUCKET)
        .prefix("services/")
        .send()
        .await
        .expect("list");
    kms(&fake, &admin)
        .describe_key()
        .key_id(&arn)
        .send()
        .await
        .expect("described");
    let missing = s3.get_object().bucket(BUCKET).key("b").send().await;
    assert!(missing.is_err());

    assert_eq!(
        fake.operations(),
        ["PutObject", "GetObject", "ListObjectsV2", "DescribeKey", "GetObject"]
    );
    let log = fake.requests();
    let put = &log[0];
    assert_eq!((put.method.as_str(), put.service, put.status), ("PUT", "s3", 200));
    assert_eq!(
        (put.bucket.as_deref(), put.key.as_deref()),
        (Some(BUCKET), Some("services/api/a"))
    );
    assert_eq!(
        (put.access_key.as_deref(), put.region.as_deref()),
        (Some("AKIAADMIN"), Some("us-east-1"))
    );
    assert_eq!(put.header("if-none-match"), Some("*"));
    assert_eq!(put.header("x-amz-expected-bucket-owner"), Some(ACCOUNT));
    assert_eq!(put.header("x-amz-meta-microsecrets"), Some("n"));
    assert_eq!(put.header("authorization"), None);
    assert_eq!((put.bytes_in, put.bytes_out), (5, 0));
    assert_eq!((log[1].bytes_in, log[1].bytes_out), (0, 5));
    assert_eq!(log[2].key.as_deref(), Some("services/"));
    assert_eq!((log[3].service, log[3].key.as_deref()), ("kms", Some(arn.as_str())));
    assert_eq!((log[4].status, log[4].error.as_deref()), (404, Some("NoSuchKey")));
    let mut ids: Vec<_> = log.iter().map(|r| r.request_id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 5);

    fake.clear_requests();
    assert!(fake.requests().is_empty() && fake.kms_uses().is_empty());
}

#[tokio::test]
async fn every_answer_has_its_id_and_date() {
    let (fake, admin) = fake();
    let at = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fake.freeze_clock(at);
    let answer = RawRequest::new("GET", "/example-microsecrets/a").send(&fake, &admin);
    let id = fake.requests().pop().expect("a request").request_id;
    assert_eq!(answer.header("x-amz-request-id"), Some(id.as_str()));
    assert_eq!(answer.element("RequestId"), id);
    assert_eq!(answer.header("date"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
    assert!(answer.header("x-amz-id-2").is_some());
    fake.set_clock(0);
    let error = kms(&fake, &admin)
        .describe_key()
        .key_id("alias/no-such")
        .send()
        .await
        .expect_err("not there");
    let headers = error.raw_response().expect("an answer").headers();
    let id = fake.requests().pop().expect("a request").request_id;
    assert_eq!(
        (headers.get("x-amzn-requestid"), headers.get("x-amz-request-id")),
        (Some(id.as_str()), Some(id.as_str()))
    );
}

#[test]
fn a_log_in_a_file_has_a_line_a_request() {
    let (fake, admin) = fake();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fake.log_to(Some(file.reopen().expect("it is there")), true);
    RawRequest::new("GET", "/example-microsecrets/a").send(&fake, &admin);
    RawRequest::new("GET", "/example-microsecrets?list-type=2").send(&fake, &admin);
    let text = std::fs::read_to_string(file.path()).expect("readable");
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(
        (lines[0]["operation"].as_str(), lines[0]["status"].as_u64()),
        (Some("GetObject"), Some(404))
    );
    assert_eq!(lines[1]["operation"], "ListObjectsV2");
    assert!(lines[1].get("failure").is_none());
    assert!(fake.requests().is_empty());
}

#[test]
fn connections_are_kept() {
    let (fake, admin) = fake();
    let mut stream = TcpStream::connect(("127.0.0.1", fake.port())).expect("the fake listens");
    for _ in 0..3 {
        let request = RawRequest::new("HEAD", "/example-microsecrets").sign(&fake, &admin);
        let request = String::from_utf8(request)
            .expect("text")
            .replace("connection: close\r\n", "");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.extend(byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    }
}

#[test]
fn a_refused_upload_gets_its_answer() {
    let (fake, _) = fake();
    let nobody = fake.principal("AKIANOBODY", "secret", ACCOUNT);
    let put = RawRequest::new("PUT", "/example-microsecrets/a").body(&vec![0; 8 * 1024 * 1024]);
    let refused = put.send(&fake, &nobody);
    assert_eq!(refused.brief(), (403, "AccessDenied"));
}

#[tokio::test]
async fn the_sdk_sees_why_its_upload_was_refused() {
    let (fake, _) = fake();
    let nobody = fake.principal("AKIANOBODY", "secret", ACCOUNT);
    let body = ByteStream::from(vec![0; 8 * 1024 * 1024]);
    let put = s3(&fake, &nobody)
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .body(body)
        .send()
        .await;
    assert_eq!(refusal(put).brief(), (403, "AccessDenied"));
}

#[test]
fn dropping_stops_it() {
    let (fake, _) = fake();
    let port = fake.port();
    let mut idle = TcpStream::connect(("127.0.0.1", port)).expect("the fake listens");
    drop(fake);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    // An end or a reset, as the connection had been accepted or not.
    assert!(!matches!(idle.read(&mut [0]), Ok(1..)));
}

#[test]
fn a_fake_can_be_shared_by_threads() {
    fn shareable<T: Send + Sync>(_: &T) {}
    shareable(&fake().0);
}

#[tokio::test]
async fn a_fake_can_be_slow() {
    let fake = StrictFake::builder()
        .bucket(BUCKET, Bucket::default())
        .delay(Duration::from_millis(30))
        .start();
    let s3 = s3(&fake, &fake.admin("AKIAADMIN", "secret", ACCOUNT));
    let start = std::time::Instant::now();
    put(&s3, "a", b"1").await;
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn tls_is_spoken_to_who_trusts_the_authority() {
    let fake = StrictFake::builder()
        .bucket(BUCKET, Bucket::default())
        .tls(test_tls::CHAIN, test_tls::KEY)
        .start();
    assert!(fake.endpoint().starts_with("https://127.0.0.1:"));
    let admin = fake.admin("AKIAADMIN", "secret", ACCOUNT);
    let client = |trusted: bool| {
        let mut store = TrustStore::empty();
        if trusted {
            store = store.with_pem_certificate(test_tls::CA);
        }
        let context = TlsContext::builder()
            .with_trust_store(store.with_native_roots(!trusted))
            .build();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.expect("a context"))
            .build_https();
        let credentials =
            aws_sdk_s3::config::Credentials::new(&admin.access_key, &admin.secret_key, None, None, "test");
        S3::from_conf(s3_config(&fake, credentials, "us-east-1").http_client(http).build())
    };
    let s3 = client(true);
    put(&s3, "a", b"1").await;
    assert_eq!(get(&s3, "a").await, b"1");
    assert!(unanswered(
        client(false).get_object().bucket(BUCKET).key("a").send().await
    ));
    // Policies can tell.
    let policy = r#"{ "Statement": { "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*",
        "Condition": { "Bool": { "aws:SecureTransport": "true" } } } }"#;
    s3.put_bucket_policy()
        .bucket(BUCKET)
        .policy(policy)
        .send()
        .await
        .expect("put");
    assert_eq!(
        code(s3.get_object().bucket(BUCKET).key("a").send().await),
        "AccessDenied"
    );
}
