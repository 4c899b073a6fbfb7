//! DescribeKey and Sign.

use microsecrets::keys::{Keys as _, KmsKeys};
use microsecrets::store::ErrorKind;
use strict_fake::{Failure, Fault};

use super::*;

impl World {
    async fn keys(&self) -> KmsKeys {
        KmsKeys::new(self.aws().await)
    }
}

#[tokio::test]
async fn an_alias_is_resolved_to_the_arn_that_is_then_sent() {
    let world = World::new();
    let keys = world.keys().await;
    assert_eq!(
        keys.resolve("alias/microsecrets-api").await.unwrap(),
        world.encryption()
    );
    let id = world.key.rsplit('/').next().unwrap();
    assert_eq!(keys.resolve(id).await.unwrap(), world.encryption());
    assert_eq!(world.operations(), ["DescribeKey", "DescribeKey"]);
}

#[tokio::test]
async fn an_arn_is_resolved_without_a_request() {
    let world = World::new();
    assert_eq!(
        world.keys().await.resolve(&world.key).await.unwrap(),
        world.encryption()
    );
    assert!(world.operations().is_empty());
}

#[tokio::test]
async fn a_key_that_cannot_encrypt_is_refused() {
    let world = World::new();
    let keys = world.keys().await;
    world.fake.kms().create_signing_key("signing");
    let error = failed(keys.resolve("alias/signing").await);
    assert_eq!(error.kind, ErrorKind::KeyUnusable);
    assert_eq!(lines(&error)[1], "its state is Enabled, its use SIGN_VERIFY");
    world.fake.kms().disable_key(&world.key);
    let error = failed(keys.resolve("alias/microsecrets-api").await);
    assert_eq!(error.kind, ErrorKind::KeyUnusable);
    assert_eq!(lines(&error)[1], "its state is Disabled, its use ENCRYPT_DECRYPT");
}

#[tokio::test]
async fn a_key_that_is_not_there_is_not_found() {
    let world = World::new();
    let error = failed(world.keys().await.resolve("alias/microsecrets-web").await);
    assert_eq!(error.kind, ErrorKind::KeyNotFound);
    assert_eq!(error.code.as_deref(), Some("NotFoundException"));
}

#[tokio::test]
async fn a_right_to_the_key_that_is_missing_is_named() {
    let world = World::new();
    let writer = world.fake.principal("AKIAWRITER", "the writer's secret", ACCOUNT);
    let keys = KmsKeys::new(Aws::open(world.settings(&writer)).await.unwrap());
    let error = failed(keys.resolve("alias/microsecrets-api").await);
    let ErrorKind::Denied(denial) = &error.kind else {
        panic!("{error}")
    };
    assert_eq!(denial.action.as_deref(), Some("kms:DescribeKey"));
}

#[tokio::test]
async fn a_record_is_signed_as_it_is() {
    let world = World::new();
    let signing = world.fake.kms().create_signing_key("microsecrets-signing/api");
    let keys = world.keys().await;
    for name in ["alias/microsecrets-signing/api", &signing] {
        let signature = keys.sign(name, b"the record").await.unwrap();
        assert_eq!(signature[0], 0x30, "it is a DER sequence");
    }
    let uses = world.fake.kms_uses();
    assert!(
        uses.iter()
            .all(|key_use| key_use.operation == "Sign" && key_use.key_arn == signing),
        "{uses:?}"
    );
    let error = failed(keys.sign(&signing, &[0; 4_097]).await);
    assert!(matches!(error.kind, ErrorKind::InvalidSetting(_)));
}

#[tokio::test]
async fn a_key_of_another_region_is_asked_for_there() {
    let world = World::new();
    let signing = world.fake.kms_of(ACCOUNT, "eu-west-1").create_signing_key("signing");
    assert!(world.keys().await.sign(&signing, b"the record").await.is_ok());
    assert_eq!(world.fake.requests()[0].region.as_deref(), Some("eu-west-1"));
}

#[tokio::test]
async fn kms_is_asked_again_when_it_may_pass() {
    let world = World::new();
    let keys = world.keys().await;
    for (failure, kind) in [
        (Failure::Status(400, "ThrottlingException"), ErrorKind::Throttled),
        (Failure::Status(500, "KMSInternalException"), ErrorKind::Unavailable),
        (Failure::Reset, ErrorKind::Unavailable),
    ] {
        world.fake.clear_faults();
        let fault = world.fake.fail(Fault::on("kms:*", failure.clone()).times(2));
        assert!(keys.resolve("alias/microsecrets-api").await.is_ok(), "{failure:?}");
        assert_eq!(fault.fired(), 2, "{failure:?}");
        world.fake.clear_faults();
        world.fake.fail(Fault::on("kms:*", failure.clone()).always());
        let error = failed(keys.resolve("alias/microsecrets-api").await);
        assert_eq!((error.kind, error.maybe_applied), (kind, false), "{failure:?}");
    }
    for (code, kind) in [
        ("UnrecognizedClientException", ErrorKind::InvalidCredentials),
        ("InvalidSignatureException", ErrorKind::InvalidCredentials),
        ("ExpiredTokenException", ErrorKind::ExpiredCredentials),
        ("DisabledException", ErrorKind::KeyUnusable),
        ("KMSInvalidStateException", ErrorKind::KeyUnusable),
        ("NotFoundException", ErrorKind::KeyNotFound),
        ("ValidationException", ErrorKind::Unexpected { status: Some(400) }),
    ] {
        world.fake.clear_faults();
        let fault = world.fake.fail(Fault::on("kms:*", Failure::Status(400, code)).always());
        let error = failed(keys.resolve("alias/microsecrets-api").await);
        assert_eq!((error.kind, fault.fired()), (kind, 1), "{code}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_told_from_a_wrong_secret() {
    let world = World::new();
    world.fake.set_clock(3_600);
    assert_eq!(
        failed(world.keys().await.resolve("alias/microsecrets-api").await).kind,
        ErrorKind::ClockSkew
    );
    world.fake.set_clock(0);
    let mut settings = world.settings(&world.admin);
    settings.access_key.as_mut().unwrap().secret = SecretString::new("not the secret".to_owned());
    let keys = KmsKeys::new(Aws::open(settings).await.unwrap());
    let error = failed(keys.resolve("alias/microsecrets-api").await);
    assert_eq!(error.kind, ErrorKind::InvalidCredentials);
}
