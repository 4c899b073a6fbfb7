//! GetObject and HeadObject.

use std::collections::BTreeMap;

use microsecrets::store::{Body, Condition, ETag, Encryption, ErrorKind, Get, Mark, Store as _};
use strict_fake::{Attributes, Bucket, Failure, Fault, Raw, Sse, StrictFake, WrongRegion};

use super::*;

#[tokio::test]
async fn an_object_is_read_with_all_that_the_store_says_of_it() {
    let world = World::new();
    let store = world.store().await;
    let stored = put(
        &store,
        world.put("services/api/x", b"secret", Condition::Absent).marked(NONCE),
    )
    .await;
    world.fake.clear_requests();
    let object = store.get(Get::whole("services/api/x", 6)).await.unwrap();
    assert_eq!(bytes(&object), b"secret");
    assert_eq!(object.size, 6);
    assert_eq!(object.etag, stored.etag);
    assert_eq!(object.encryption, world.encryption());
    assert_eq!(object.mark, Some(Mark::Ours(NONCE)));
    assert!((0..5).contains(&(object.date.as_unix() - object.modified.as_unix())));
    assert_eq!(world.operations(), ["GetObject"]);
}

#[tokio::test]
async fn attributes_are_read_without_the_bytes_or_the_key() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"secret", Condition::Absent)).await;
    let uses = world.fake.kms_uses().len();
    let object = store.get(Get::attributes("x")).await.unwrap();
    assert!(matches!(object.body, Body::None));
    assert_eq!((object.size, object.mark), (6, None));
    assert_eq!(world.fake.kms_uses().len(), uses);
}

#[tokio::test]
async fn a_stream_hands_over_each_piece() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.upload("x", Announced::of(3_000_000))).await;
    let object = store.get(Get::stream("x")).await.unwrap();
    let Body::Stream(mut pieces) = object.body else {
        panic!("no stream")
    };
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert_eq!(all, Announced::all(3_000_000));
}

#[tokio::test]
async fn an_object_that_is_as_it_was_is_not_modified() {
    let world = World::new();
    let store = world.store().await;
    let stored = put(&store, world.put("x", b"1", Condition::Absent)).await;
    for get in [Get::whole("x", 9), Get::attributes("x")] {
        assert_eq!(
            failed(store.get(get.clone().if_none_match(stored.etag.clone())).await).kind,
            ErrorKind::NotModified
        );
        assert!(store.get(get.if_none_match(ETag::new("\"other\""))).await.is_ok());
    }
}

#[tokio::test]
async fn an_object_beyond_the_limit_is_refused_before_it_is_read() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", &[0; 1_000], Condition::Absent)).await;
    let error = failed(store.get(Get::whole("x", 999)).await);
    assert_eq!(error.kind, ErrorKind::TooLarge { limit: 999 });
    assert_eq!(error.to_string(), "get x: more than 999 bytes");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new();
    let store = world.store().await;
    for get in [Get::whole("x", 9), Get::stream("x"), Get::attributes("x")] {
        assert_eq!(failed(store.get(get).await).kind, ErrorKind::NotFound);
    }
    let store = S3Store::new(world.aws().await, "no-such-bucket", None);
    assert_eq!(
        failed(store.get(Get::whole("x", 9)).await).kind,
        ErrorKind::NoSuchBucket
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_read_again_as_a_whole() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"secret", Condition::Absent)).await;
    let broken = world.fake.fail(Fault::on("GetObject", Failure::TruncateBody(3)));
    let object = store.get(Get::whole("x", 6)).await.unwrap();
    assert_eq!((bytes(&object), broken.fired()), (b"secret".as_slice(), 1));
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_an_error() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"secret", Condition::Absent)).await;
    world
        .fake
        .fail(Fault::on("GetObject", Failure::TruncateBody(3)).always());
    // The reset may overtake the head of the answer.
    let error = match store.get(Get::stream("x")).await {
        Err(error) => error,
        Ok(Object {
            body: Body::Stream(mut pieces),
            ..
        }) => loop {
            match pieces.next().await {
                Ok(piece) => assert!(piece.is_some(), "it ended as if it were whole"),
                Err(error) => break error,
            }
        },
        Ok(_) => panic!("no stream"),
    };
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_body_that_stalls_ends_with_the_time_out() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"secret", Condition::Absent)).await;
    let stalls = world.fake.fail(Fault::on("GetObject", Failure::StallBody(3)).always());
    let error = failed(store.get(Get::whole("x", 6)).await);
    assert!(matches!(error.kind, ErrorKind::TimedOut { .. }), "{error}");
    let Body::Stream(mut pieces) = store.get(Get::stream("x")).await.unwrap().body else {
        panic!("no stream")
    };
    assert_eq!(pieces.next().await.unwrap().unwrap().len(), 3);
    assert!(matches!(failed(pieces.next().await).kind, ErrorKind::TimedOut { .. }));
    assert_eq!(stalls.fired(), 2);
}

#[tokio::test]
async fn a_mark_that_is_no_nonce_is_said_to_be_malformed() {
    let world = World::new();
    let metadata = BTreeMap::from([("microsecrets".to_owned(), "0123".to_owned())]);
    let attributes = Attributes {
        metadata,
        ..Attributes::default()
    };
    world.fake.put_raw(
        BUCKET,
        "x",
        "y",
        Raw {
            attributes,
            ..Raw::default()
        },
    );
    let object = world.store().await.get(Get::attributes("x")).await.unwrap();
    assert_eq!(object.mark, Some(Mark::Malformed));
}

#[tokio::test]
async fn encryption_is_reported_as_the_store_says_it() {
    let world = World::new();
    let store = world.store().await;
    let forged = |algorithm: &str, key: Option<&str>| Sse::Forged {
        algorithm: algorithm.to_owned(),
        key: key.map(str::to_owned),
    };
    for (sse, encryption) in [
        (Sse::Aes256, Encryption::Aes256),
        (Sse::Absent, Encryption::None),
        (
            Sse::Kms {
                key: world.key.clone(),
                bucket_key: false,
                dsse: true,
            },
            Encryption::KmsDsse(world.key.clone()),
        ),
        (
            forged("aws:kms", Some("alias/x")),
            Encryption::Kms("alias/x".to_owned()),
        ),
        (forged("rot13", None), Encryption::Other("rot13".to_owned())),
    ] {
        let attributes = Attributes {
            sse,
            ..Attributes::default()
        };
        world.fake.put_raw(
            BUCKET,
            "x",
            "y",
            Raw {
                attributes,
                ..Raw::default()
            },
        );
        for get in [Get::whole("x", 9), Get::attributes("x")] {
            assert_eq!(store.get(get).await.unwrap().encryption, encryption);
        }
    }
}

#[tokio::test]
async fn a_bucket_of_another_owner_is_denied() {
    let world = World::with(StrictFake::builder().bucket(
        BUCKET,
        Bucket {
            owner: "999999999999".to_owned(),
            ..Bucket::default()
        },
    ));
    let error = failed(world.store().await.get(Get::whole("x", 9)).await);
    assert!(matches!(error.kind, ErrorKind::Denied(_)), "{error}");
    assert_eq!(
        world.fake.requests()[0].header("x-amz-expected-bucket-owner"),
        Some(ACCOUNT)
    );
}

#[tokio::test]
async fn a_denial_says_which_right_is_missing_on_what() {
    let world = World::new();
    let reader = world.fake.principal("AKIAREADER", "the reader's secret", ACCOUNT);
    put(
        &world.store().await,
        world.put("services/api/x", b"secret", Condition::Absent),
    )
    .await;
    let store = world.store_of(&reader).await;

    let error = failed(store.get(Get::whole("services/api/x", 9)).await);
    let ErrorKind::Denied(denial) = &error.kind else {
        panic!("{error}")
    };
    assert_eq!(denial.action.as_deref(), Some("s3:GetObject"));
    assert_eq!(
        denial.resource.as_deref(),
        Some("arn:aws:s3:::example-microsecrets/services/api/x")
    );
    assert_eq!(denial.principal.as_deref(), Some(reader.arn().as_str()));
    assert_eq!(
        denial.reason.as_deref(),
        Some("no identity-based policy allows the s3:GetObject action")
    );
    assert_eq!(error.code.as_deref(), Some("AccessDenied"));
    assert_eq!(
        error.request_id,
        Some(world.fake.requests().last().unwrap().request_id.clone())
    );

    world
        .fake
        .allow(&reader, "s3:GetObject", "arn:aws:s3:::example-microsecrets/*");
    let error = failed(store.get(Get::whole("services/api/x", 9)).await);
    let ErrorKind::Denied(denial) = &error.kind else {
        panic!("{error}")
    };
    assert_eq!(denial.action.as_deref(), Some("kms:Decrypt"));
    assert_eq!(denial.resource.as_deref(), Some(world.key.as_str()));

    // A HEAD has no body that could say it.
    world.fake.revoke_all(&reader);
    let error = failed(store.get(Get::attributes("services/api/x")).await);
    let ErrorKind::Denied(denial) = &error.kind else {
        panic!("{error}")
    };
    assert_eq!(denial.action, None);
}

#[tokio::test]
async fn a_disabled_key_is_named_as_the_cause() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"secret", Condition::Absent)).await;
    world.fake.kms().disable_key(&world.key);
    assert_eq!(failed(store.get(Get::whole("x", 9)).await).kind, ErrorKind::KeyUnusable);
    world.fake.kms().schedule_key_deletion(&world.key);
    assert_eq!(failed(store.get(Get::whole("x", 9)).await).kind, ErrorKind::KeyUnusable);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let world = World::new();
    let store = world.store().await;
    put(&store, world.put("x", b"secret", Condition::Absent)).await;
    for (failure, kind) in [
        (Failure::Status(503, "SlowDown"), ErrorKind::Throttled),
        (Failure::Status(429, "TooManyRequests"), ErrorKind::Throttled),
        (Failure::Status(500, "InternalError"), ErrorKind::Unavailable),
        (Failure::Status(502, "BadGateway"), ErrorKind::Unavailable),
        (Failure::Status(503, "ServiceUnavailable"), ErrorKind::Unavailable),
        (Failure::Status(504, "GatewayTimeout"), ErrorKind::Unavailable),
        (Failure::Status(400, "RequestTimeout"), ErrorKind::Unavailable),
        (Failure::Reset, ErrorKind::Unavailable),
        (Failure::LoseAnswer, ErrorKind::Unavailable),
    ] {
        world.fake.clear_faults();
        let fault = world.fake.fail(Fault::on("GetObject", failure.clone()).times(2));
        assert!(store.get(Get::whole("x", 9)).await.is_ok(), "{failure:?}");
        assert_eq!(fault.fired(), 2, "{failure:?}");
        world.fake.clear_faults();
        let fault = world.fake.fail(Fault::on("GetObject", failure.clone()).always());
        assert_eq!(failed(store.get(Get::whole("x", 9)).await).kind, kind, "{failure:?}");
        assert_eq!(fault.fired(), 4, "{failure:?}");
    }
    for (failure, kind) in [
        (
            Failure::Status(403, "InvalidAccessKeyId"),
            ErrorKind::InvalidCredentials,
        ),
        (
            Failure::Status(403, "SignatureDoesNotMatch"),
            ErrorKind::InvalidCredentials,
        ),
        (Failure::Status(400, "InvalidToken"), ErrorKind::InvalidCredentials),
        (Failure::Status(400, "ExpiredToken"), ErrorKind::ExpiredCredentials),
        (Failure::Status(403, "RequestTimeTooSkewed"), ErrorKind::ClockSkew),
        (Failure::Status(400, "KMS.NotFoundException"), ErrorKind::KeyNotFound),
        (Failure::Status(400, "KMS.DisabledException"), ErrorKind::KeyUnusable),
        (
            Failure::Status(400, "InvalidBucketName"),
            ErrorKind::Unexpected { status: Some(400) },
        ),
        (
            Failure::Status(501, "NotImplemented"),
            ErrorKind::Unexpected { status: Some(501) },
        ),
    ] {
        world.fake.clear_faults();
        let fault = world.fake.fail(Fault::on("GetObject", failure.clone()).always());
        let error = failed(store.get(Get::whole("x", 9)).await);
        assert_eq!((error.kind, fault.fired()), (kind, 1), "{failure:?}");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_said_to_be() {
    let world = World::new();
    world.fake.set_clock(3_600);
    assert_eq!(
        failed(world.store().await.get(Get::whole("x", 9)).await).kind,
        ErrorKind::ClockSkew
    );
}

#[tokio::test]
async fn a_bucket_in_another_region_is_read_there_and_named() {
    for answer in [
        WrongRegion::PermanentRedirect,
        WrongRegion::AuthorizationHeaderMalformed,
    ] {
        let bucket = Bucket {
            region: "eu-west-1".to_owned(),
            ..Bucket::default()
        };
        let world = World::with(StrictFake::builder().bucket(BUCKET, bucket).wrong_region(answer));
        world.fake.put_raw(BUCKET, "x", "y", Raw::default());
        let store = world.store().await;
        assert_eq!(store.region_followed(), None);
        assert_eq!(bytes(&store.get(Get::whole("x", 9)).await.unwrap()), b"y");
        assert_eq!(store.region_followed().as_deref(), Some("eu-west-1"));
        // The next one goes there at once.
        world.fake.clear_requests();
        assert!(store.get(Get::attributes("x")).await.is_ok());
        assert_eq!(
            store
                .list(microsecrets::store::List::prefix(""))
                .await
                .unwrap()
                .entries
                .len(),
            1
        );
        let regions: Vec<_> = world
            .fake
            .requests()
            .into_iter()
            .map(|request| request.region)
            .collect();
        assert_eq!(regions, [Some("eu-west-1".to_owned()), Some("eu-west-1".to_owned())]);
    }
}

#[tokio::test]
async fn nothing_is_written_to_a_bucket_in_another_region() {
    let bucket = Bucket {
        region: "eu-west-1".to_owned(),
        ..Bucket::default()
    };
    let world = World::with(StrictFake::builder().bucket(BUCKET, bucket));
    let store = world.store().await;
    assert_eq!(failed(store.get(Get::whole("x", 9)).await).kind, ErrorKind::NotFound);
    let error = failed(store.put(world.put("x", b"1", Condition::Absent)).await);
    assert_eq!(
        error.kind,
        ErrorKind::WrongRegion {
            region: Some("eu-west-1".to_owned())
        }
    );
    assert!(!error.maybe_applied);
    let error = failed(
        store
            .delete(microsecrets::store::Delete::new("x", microsecrets::store::Which::Any))
            .await,
    );
    assert_eq!(
        error.kind,
        ErrorKind::WrongRegion {
            region: Some("eu-west-1".to_owned())
        }
    );
}
