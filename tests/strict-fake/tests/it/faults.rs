//! Failures on demand.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use strict_fake::{Failure, Fault, Raw, StrictFake};

use crate::common::*;

fn filled() -> (StrictFake, S3) {
    let (fake, admin) = fake();
    fake.put_raw(BUCKET, "a", "0123456789", Raw::default());
    let s3 = s3(&fake, &admin);
    (fake, s3)
}

fn get_a(s3: &S3) -> aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder {
    s3.get_object().bucket(BUCKET).key("a")
}

fn put_b(s3: &S3) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
    s3.put_object()
        .bucket(BUCKET)
        .key("b")
        .if_none_match("*")
        .body(ByteStream::from_static(b"1"))
}

#[tokio::test]
async fn a_status_instead_of_the_work() {
    let (fake, s3) = filled();
    let fault = fake.fail(Fault::on("PutObject", Failure::Status(503, "SlowDown")));
    assert_eq!(refusal(put_b(&s3).send().await).brief(), (503, "SlowDown"));
    assert_eq!((fault.fired(), fake.keys(BUCKET).len()), (1, 1));
    assert!(put_b(&s3).send().await.is_ok());
    assert_eq!((fault.fired(), fault.matched()), (1, 2));
    let log = fake.requests();
    assert_eq!((log[0].status, log[0].failure), (503, Some("Status")));
    assert_eq!((log[1].status, log[1].failure), (200, None));
}

#[tokio::test]
async fn resets_and_lost_answers() {
    let (fake, s3) = filled();
    fake.fail(Fault::on("PutObject", Failure::Reset));
    assert!(unanswered(put_b(&s3).send().await));
    assert_eq!(fake.keys(BUCKET), ["a"]);
    fake.fail(Fault::on("PutObject", Failure::LoseAnswer));
    assert!(unanswered(put_b(&s3).send().await));
    // It was done all the same: the retry finds its own work.
    assert_eq!(fake.keys(BUCKET), ["a", "b"]);
    assert_eq!(code(put_b(&s3).send().await), "PreconditionFailed");
    let failures: Vec<_> = fake.requests().iter().map(|r| (r.status, r.failure)).collect();
    assert_eq!(failures, [(0, Some("Reset")), (200, Some("LoseAnswer")), (412, None)]);
}

#[test]
fn a_reset_is_one() {
    let (fake, admin) = fake();
    fake.fail(Fault::on("GetObject", Failure::Reset));
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", fake.port())).expect("the fake listens");
    let request = crate::raw::RawRequest::new("GET", "/example-microsecrets/a").sign(&fake, &admin);
    std::io::Write::write_all(&mut stream, &request).expect("sent");
    let error = std::io::Read::read_to_end(&mut stream, &mut Vec::new()).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn stalls_wait_for_ever() {
    let (fake, s3) = filled();
    let stall = fake.fail(Fault::on("PutObject", Failure::Stall));
    let after = fake.fail(Fault::on("GetObject", Failure::StallAnswer));
    let stalled_body = fake.fail(Fault::on("GetObject", Failure::StallBody(4)).nth(2));
    let patience = Duration::from_millis(200);
    assert!(tokio::time::timeout(patience, put_b(&s3).send()).await.is_err());
    assert!(tokio::time::timeout(patience, get_a(&s3).send()).await.is_err());
    assert_eq!((stall.fired(), after.fired()), (1, 1));
    assert_eq!(fake.keys(BUCKET), ["a"]);
    let mut got = get_a(&s3).send().await.expect("the head comes");
    let first = got.body.next().await.expect("some bytes").expect("whole");
    assert_eq!(first, &b"0123"[..]);
    assert!(tokio::time::timeout(patience, got.body.next()).await.is_err());
    assert_eq!(stalled_body.fired(), 1);
    // Dropping the fake drops the stalled connections.
    drop(fake);
}

#[tokio::test]
async fn bodies_are_cut_and_changed() {
    let (fake, s3) = filled();
    fake.fail(Fault::on("GetObject", Failure::TruncateBody(4)));
    let got = get_a(&s3).send().await.expect("the head comes");
    assert!(got.body.collect().await.is_err());
    fake.clear_faults();
    fake.fail(Fault::on(
        "GetObject",
        Failure::CorruptBody {
            at: 3,
            strip_checksums: false,
        },
    ));
    let got = get_a(&s3)
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .expect("the head comes");
    assert!(got.body.collect().await.is_err());
    fake.clear_faults();
    fake.fail(Fault::on(
        "GetObject",
        Failure::CorruptBody {
            at: 3,
            strip_checksums: true,
        },
    ));
    let got = get_a(&s3)
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .expect("the head comes");
    assert_eq!(got.e_tag(), None);
    assert_eq!(
        got.body.collect().await.expect("nothing contradicts").to_vec(),
        b"0122456789"
    );
    assert_eq!(get(&s3, "a").await, b"0123456789");
}

#[tokio::test]
async fn an_answer_may_be_anything() {
    let (fake, s3) = filled();
    let page = Failure::Answer {
        status: 200,
        content_type: "text/html",
        body: b"<html>welcome</html>".to_vec(),
    };
    fake.fail(Fault::on("GetObject", page).key("a"));
    let got = get_a(&s3).send().await.expect("200");
    assert_eq!(
        got.body.collect().await.expect("a body").to_vec(),
        b"<html>welcome</html>"
    );
    let missing = s3.get_object().bucket(BUCKET).key("b").send().await;
    assert_eq!(code(missing), "NoSuchKey");
}

#[tokio::test]
async fn a_delay_is_at_least_that_long() {
    let (fake, s3) = filled();
    fake.fail(Fault::on("GetObject", Failure::Delay(Duration::from_millis(50))));
    let start = std::time::Instant::now();
    get(&s3, "a").await;
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn faults_choose_by_operation_key_and_caller() {
    let (fake, s3) = filled();
    let other = fake.admin("AKIAOTHER", "secret", ACCOUNT);
    let fault = Fault::on("*Object", Failure::Status(500, "InternalError"))
        .key("a*")
        .access_key("AKIAOTHER");
    let fault = fake.fail(fault.bucket(BUCKET).always());
    get(&s3, "a").await;
    let others = crate::common::s3(&fake, &other);
    assert_eq!(code(get_a(&others).send().await), "InternalError");
    assert!(put_b(&others).send().await.is_ok());
    assert_eq!(
        refusal(others.head_object().bucket(BUCKET).key("a").send().await).status,
        500
    );
    assert_eq!(fault.fired(), 2);
}

#[tokio::test]
async fn something_happens_between_two_requests() {
    let (fake, admin) = fake();
    let (old, new) = (
        fake.kms().create_key("microsecrets-api"),
        fake.kms().create_key("other"),
    );
    let s3 = s3(&fake, &admin);
    let etag = put(&s3, "head", b"1").await;
    // Another writer comes first.
    let raced = fake.fail(Fault::call("PutObject", |fake| {
        fake.put_raw(BUCKET, "head", "2", Raw::default());
    }));
    let swap = || {
        s3.put_object()
            .bucket(BUCKET)
            .key("head")
            .if_match(&etag)
            .body(ByteStream::from_static(b"3"))
    };
    assert_eq!(code(swap().send().await), "PreconditionFailed");
    assert_eq!(
        (raced.fired(), fake.object(BUCKET, "head").expect("there").body),
        (1, "2".into())
    );
    // An alias moves before it is used; and a hook may order a failure.
    fake.fail(Fault::call("DescribeKey", move |fake| {
        fake.kms().set_alias("microsecrets-api", &new);
        fake.fail(Fault::on("GetObject", Failure::Status(503, "SlowDown")));
    }));
    let described = kms(&fake, &admin)
        .describe_key()
        .key_id("alias/microsecrets-api")
        .send()
        .await;
    assert_ne!(
        described.expect("described").key_metadata.and_then(|m| m.arn),
        Some(old)
    );
    assert_eq!(
        code(s3.get_object().bucket(BUCKET).key("head").send().await),
        "SlowDown"
    );
}

#[tokio::test]
async fn kms_and_sts_fail_too() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("a");
    let throttled = fake.fail(Fault::on("kms:*", Failure::Status(400, "ThrottlingException")));
    let reset = fake.fail(Fault::on("DescribeKey", Failure::LoseAnswer).nth(2));
    let describe = || kms(&fake, &admin).describe_key().key_id(&arn).send();
    assert_eq!(code(describe().await), "ThrottlingException");
    assert!(unanswered(describe().await));
    assert!(describe().await.is_ok());
    assert_eq!((throttled.fired(), reset.fired()), (1, 1));
    fake.fail(Fault::on(
        "GetCallerIdentity",
        Failure::Status(503, "ServiceUnavailable"),
    ));
    let identity = sts(&fake, &admin).get_caller_identity().send().await;
    assert_eq!(refusal(identity).brief(), (503, "ServiceUnavailable"));
}
