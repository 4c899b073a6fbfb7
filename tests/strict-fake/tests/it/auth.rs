//! Who asks, when, from where, and of whom.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use ring::hmac;
use strict_fake::{Bucket, Principal, StrictFake, WrongRegion};

use crate::common::*;
use crate::raw::RawRequest;

const TARGET: &str = "/example-microsecrets/a";

fn stranger(access_key: &str, secret_key: &str) -> Principal {
    Principal {
        name: "stranger".into(),
        access_key: access_key.into(),
        secret_key: secret_key.into(),
        account: ACCOUNT.into(),
    }
}

#[tokio::test]
async fn unknown_keys_and_wrong_secrets() {
    let (fake, _) = fake();
    let get = |who: Principal| s3(&fake, &who).get_object().bucket(BUCKET).key("a").send();
    let refused = refusal(get(stranger("AKIANOBODY", "x")).await);
    assert_eq!(refused.brief(), (403, "InvalidAccessKeyId"));
    let refused = refusal(get(stranger("AKIAADMIN", "not the secret")).await);
    assert_eq!(refused.brief(), (403, "SignatureDoesNotMatch"));
    let describe = |who: Principal| kms(&fake, &who).describe_key().key_id("alias/a").send();
    assert_eq!(
        code(describe(stranger("AKIANOBODY", "x")).await),
        "UnrecognizedClientException"
    );
    assert_eq!(
        code(describe(stranger("AKIAADMIN", "x")).await),
        "InvalidSignatureException"
    );
    let identity = |who: Principal| sts(&fake, &who).get_caller_identity().send();
    assert_eq!(
        refusal(identity(stranger("AKIANOBODY", "x")).await).brief(),
        (403, "InvalidClientTokenId")
    );
    assert_eq!(
        refusal(identity(stranger("AKIAADMIN", "x")).await).brief(),
        (403, "SignatureDoesNotMatch")
    );
}

#[test]
fn nobody_is_refused() {
    let (fake, _) = fake();
    let refused = RawRequest::new("GET", TARGET).send_anonymously(&fake);
    assert_eq!(refused.brief(), (403, "AccessDenied"));
}

#[test]
fn a_signature_is_of_everything() {
    let (fake, admin) = fake();
    let signed = RawRequest::new("GET", TARGET).sign(&fake, &admin);
    let changed = String::from_utf8(signed)
        .expect("text")
        .replacen(TARGET, "/example-microsecrets/b", 1);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", fake.port())).expect("the fake listens");
    std::io::Write::write_all(&mut stream, changed.as_bytes()).expect("sent");
    let refused = crate::raw::read_answer(&mut stream, false);
    assert_eq!(refused.brief(), (403, "SignatureDoesNotMatch"));
}

#[test]
fn amz_headers_have_to_be_signed() {
    let (fake, admin) = fake();
    let put = RawRequest::new("PUT", TARGET)
        .body(b"1")
        .unsigned("x-amz-meta-microsecrets", "smuggled");
    let refused = put.send(&fake, &admin);
    assert_eq!(refused.brief(), (403, "AccessDenied"));
    assert!(
        refused
            .element("Message")
            .starts_with("There were headers present in the request which were not signed")
    );
}

#[test]
fn the_old_signature_is_not_supported() {
    let (fake, admin) = fake();
    let date = "Tue, 14 Nov 2023 22:13:20 GMT";
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, admin.secret_key.as_bytes());
    let signature = hmac::sign(&key, format!("GET\n\n\n{date}\n{TARGET}").as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    let request = format!(
        "GET {TARGET} HTTP/1.1\r\nhost: 127.0.0.1:1\r\ndate: {date}\r\nauthorization: AWS {}:{signature}\r\n\
         connection: close\r\n\r\n",
        admin.access_key
    );
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", fake.port())).expect("the fake listens");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    let refused = crate::raw::read_answer(&mut stream, false);
    assert_eq!(refused.brief(), (400, "InvalidRequest"));
    assert!(refused.element("Message").ends_with("Please use AWS4-HMAC-SHA256."));
}

#[tokio::test]
async fn clocks_may_differ_by_fifteen_minutes() {
    let (fake, admin) = fake();
    let at = fake.now();
    fake.freeze_clock(at);
    for (seconds, status) in [(900, 404), (901, 403)] {
        for time in [at + Duration::from_secs(seconds), at - Duration::from_secs(seconds)] {
            let get = RawRequest {
                time: Some(time),
                ..RawRequest::new("GET", TARGET)
            };
            let answer = get.send(&fake, &admin);
            assert_eq!(answer.status, status);
            if status == 403 {
                assert_eq!(answer.element("Code"), "RequestTimeTooSkewed");
                assert_eq!(answer.element("MaxAllowedSkewMilliseconds"), "900000");
            }
        }
    }
    fake.set_clock(-86_400);
    assert_eq!(
        code(kms(&fake, &admin).list_aliases().send().await),
        "InvalidSignatureException"
    );
}

#[tokio::test]
async fn a_bucket_answers_in_its_region() {
    let europe = Bucket {
        region: "eu-west-1".into(),
        ..Bucket::default()
    };
    let fake = StrictFake::builder().bucket(BUCKET, europe.clone()).start();
    let admin = fake.admin("AKIAADMIN", "secret", ACCOUNT);
    let error = s3(&fake, &admin)
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .expect_err("another region");
    let answer = error.raw_response().expect("an answer");
    assert_eq!(answer.headers().get("x-amz-bucket-region"), Some("eu-west-1"));
    let refused = refusal::<(), _>(Err(error));
    assert_eq!(refused.brief(), (301, "PermanentRedirect"));
    let there = s3_in(&fake, &admin, "eu-west-1")
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await;
    assert_eq!(code(there), "NoSuchKey");
    let head = RawRequest::new("HEAD", TARGET).send(&fake, &admin);
    assert_eq!(
        (head.status, head.header("x-amz-bucket-region")),
        (301, Some("eu-west-1"))
    );

    let fake = StrictFake::builder()
        .bucket(BUCKET, europe)
        .wrong_region(WrongRegion::AuthorizationHeaderMalformed);
    let fake = fake.start();
    let admin = fake.admin("AKIAADMIN", "secret", ACCOUNT);
    let answer = RawRequest::new("GET", TARGET).send(&fake, &admin);
    assert_eq!(answer.brief(), (400, "AuthorizationHeaderMalformed"));
    assert_eq!(answer.header("x-amz-bucket-region"), Some("eu-west-1"));
    assert_eq!(answer.element("Region"), "eu-west-1");
}

#[test]
fn a_bucket_may_be_named_by_the_host() {
    let (fake, admin) = fake();
    fake.put_raw(BUCKET, "a", "secret", strict_fake::Raw::default());
    let host = "example-microsecrets.s3.us-east-1.amazonaws.com";
    let got = RawRequest::new("GET", "/a").header("host", host).send(&fake, &admin);
    assert_eq!((got.status, got.body.as_str()), (200, "secret"));
    let other = RawRequest {
        region: "eu-west-1",
        ..RawRequest::new("GET", "/a").header("host", host)
    };
    assert_eq!(other.send(&fake, &admin).brief(), (400, "AuthorizationHeaderMalformed"));
}

#[tokio::test]
async fn temporary_credentials() {
    let (fake, _) = fake();
    let session = fake.admin("ASIASESSION", "secret", ACCOUNT);
    fake.set_session_token(&session, "the token");
    let list = |s3: S3| s3.list_objects_v2().bucket(BUCKET).send();
    assert!(list(s3_with_token(&fake, &session, "the token")).await.is_ok());
    let refused = refusal(list(s3_with_token(&fake, &session, "another")).await);
    assert_eq!(refused.brief(), (400, "InvalidToken"));
    assert_eq!(code(list(s3(&fake, &session)).await), "InvalidToken");
    assert_eq!(
        code(kms(&fake, &session).list_aliases().send().await),
        "UnrecognizedClientException"
    );
    fake.expire(&session);
    let refused = refusal(list(s3_with_token(&fake, &session, "the token")).await);
    assert_eq!(refused.brief(), (400, "ExpiredToken"));
    assert_eq!(
        code(kms(&fake, &session).list_aliases().send().await),
        "ExpiredTokenException"
    );
    let log = fake.requests();
    assert!(
        log.iter()
            .all(|r| r.header("x-amz-security-token").is_none() && r.header("authorization").is_none())
    );
}

#[tokio::test]
async fn the_expected_owner_is_checked_on_every_operation() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let etag = put(&s3, "a", b"1").await;
    let created = s3
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("m")
        .send()
        .await
        .expect("created");
    let upload = created.upload_id().expect("an id");
    macro_rules! check {
        ($($call:ident($($set:ident($value:expr)),*)),* $(,)?) => {$(
            let call = || s3.$call().bucket(BUCKET)$(.$set($value))*;
            let refused = refusal(call().expected_bucket_owner("999988887777").send().await);
            assert_eq!(refused.status, 403, "{}", stringify!($call));
            // What isn't configured is 404, but nothing is 403.
            let allowed = call().expected_bucket_owner(ACCOUNT).send().await;
            assert!(allowed.is_ok() || refusal(allowed).status == 404, "{}", stringify!($call));
        )*};
    }
    let one = || ByteStream::from_static(b"1");
    check! {
        put_object(key("a"), body(one())), get_object(key("a")), head_object(key("a")),
        list_objects_v2(), list_objects(), list_object_versions(), list_multipart_uploads(), head_bucket(),
        upload_part(key("m"), upload_id(upload), part_number(1), body(one())),
        abort_multipart_upload(key("m"), upload_id(upload)),
        create_multipart_upload(key("n")),
        get_bucket_location(), get_bucket_versioning(), get_public_access_block(), get_bucket_ownership_controls(),
        get_bucket_encryption(), get_bucket_lifecycle_configuration(), get_bucket_policy(), get_bucket_tagging(),
        get_bucket_acl(),
        put_bucket_policy(policy("{\"Statement\":[]}")),
        delete_object(key("a"), if_match(&etag)),
    };
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("n").upload_id("x");
    let refused = refusal(complete.expected_bucket_owner("999988887777").send().await);
    assert_eq!(refused.brief(), (403, "AccessDenied"));
}

#[tokio::test]
async fn sts_says_who() {
    let (fake, admin) = fake();
    let identity = sts(&fake, &admin).get_caller_identity().send().await.expect("known");
    assert_eq!(identity.account(), Some(ACCOUNT));
    assert_eq!(identity.arn(), Some("arn:aws:iam::111122223333:user/akiaadmin"));
    let request = fake.requests().pop().expect("a request");
    assert_eq!(
        (request.service, request.operation.as_str()),
        ("sts", "GetCallerIdentity")
    );
}
