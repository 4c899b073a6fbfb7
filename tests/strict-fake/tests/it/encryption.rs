//! Server-side encryption: keys, who may use them, and what S3 says of them.

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption as SdkSse};
use strict_fake::{Bucket, Condition, StrictFake};

use crate::common::*;

const STRANGER: &str = "999988887777";
const OBJECTS: &str = "arn:aws:s3:::example-microsecrets/*";

fn put_under(s3: &S3, key: &str) -> PutObjectFluentBuilder {
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("services/api/a")
        .body(ByteStream::from_static(b"secret"));
    put.server_side_encryption(SdkSse::AwsKms).ssekms_key_id(key)
}

fn get(s3: &S3) -> aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder {
    s3.get_object().bucket(BUCKET).key("services/api/a")
}

#[tokio::test]
async fn whatever_name_was_sent_the_arn_is_answered() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let s3 = s3(&fake, &admin);
    let id = arn.rsplit('/').next().expect("an id");
    let alias_arn = "arn:aws:kms:us-east-1:111122223333:alias/microsecrets-api";
    for name in [arn.as_str(), id, "alias/microsecrets-api", alias_arn] {
        let put = put_under(&s3, name).send().await.expect("put");
        assert_eq!(put.ssekms_key_id(), Some(arn.as_str()));
        let got = get(&s3).send().await.expect("get");
        assert_eq!(got.ssekms_key_id(), Some(arn.as_str()));
        assert_eq!(got.server_side_encryption(), Some(&SdkSse::AwsKms));
        assert_eq!(got.bucket_key_enabled(), None);
    }
}

#[tokio::test]
async fn names_resolve_in_the_callers_account() {
    let (fake, _) = fake();
    let own = fake.kms().create_key("microsecrets-api");
    let theirs = fake.kms_of(STRANGER, "us-east-1").create_key("microsecrets-api");
    let stranger = s3(&fake, &fake.admin("AKIASTRANGER", "secret", STRANGER));
    let put = put_under(&stranger, "alias/microsecrets-api")
        .send()
        .await
        .expect("put");
    assert_eq!(put.ssekms_key_id(), Some(theirs.as_str()));
    let put = put_under(&stranger, &own).send().await.expect("an ARN is an ARN");
    assert_eq!(put.ssekms_key_id(), Some(own.as_str()));
    let bare = own.rsplit('/').next().expect("an id");
    assert_eq!(code(put_under(&stranger, bare).send().await), "KMS.NotFoundException");
}

#[tokio::test]
async fn a_key_has_to_be_there_and_enabled() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let signing = fake.kms().create_signing_key("microsecrets-signing/api");
    let s3 = s3(&fake, &admin);
    put_under(&s3, &arn).send().await.expect("put");
    let refused = refusal(put_under(&s3, "alias/no-such").send().await);
    assert_eq!(refused.brief(), (400, "KMS.NotFoundException"));
    assert_eq!(
        code(put_under(&s3, &signing).send().await),
        "KMS.InvalidKeyUsageException"
    );
    fake.kms().disable_key(&arn);
    assert_eq!(
        refusal(put_under(&s3, &arn).send().await).brief(),
        (400, "KMS.DisabledException")
    );
    assert_eq!(refusal(get(&s3).send().await).brief(), (400, "KMS.DisabledException"));
    fake.kms().schedule_key_deletion(&arn);
    assert_eq!(
        refusal(get(&s3).send().await).brief(),
        (400, "KMS.KMSInvalidStateException")
    );
    fake.kms().enable_key(&arn);
    assert!(get(&s3).send().await.is_ok());
}

#[tokio::test]
async fn a_key_of_another_region_is_none() {
    let (fake, admin) = fake();
    let arn = fake.kms_of(ACCOUNT, "eu-west-1").create_key("microsecrets-api");
    assert_eq!(
        code(put_under(&s3(&fake, &admin), &arn).send().await),
        "KMS.NotFoundException"
    );
}

#[tokio::test]
async fn writing_needs_generate_data_key_and_reading_decrypt() {
    let (fake, _) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let writer = fake.principal("AKIAWRITER", "secret", ACCOUNT);
    fake.allow(&writer, "s3:PutObject", OBJECTS);
    fake.allow(&writer, "s3:GetObject", OBJECTS);
    let s3 = s3(&fake, &writer);
    let refused = refusal(put_under(&s3, &arn).send().await);
    assert_eq!(refused.brief(), (403, "AccessDenied"));
    let expected = format!(
        "User: arn:aws:iam::111122223333:user/akiawriter is not authorized to perform: kms:GenerateDataKey on \
         resource: {arn} because no identity-based policy allows the kms:GenerateDataKey action"
    );
    assert_eq!(refused.message, expected);
    fake.allow(&writer, "kms:GenerateDataKey", &arn);
    put_under(&s3, &arn).send().await.expect("allowed");
    assert_eq!(refusal(get(&s3).send().await).brief(), (403, "AccessDenied"));
    // Metadata isn't encrypted, but the checksum is.
    let head = || s3.head_object().bucket(BUCKET).key("services/api/a");
    assert!(head().send().await.is_ok());
    assert_eq!(
        refusal(head().checksum_mode(ChecksumMode::Enabled).send().await).status,
        403
    );
    fake.allow(&writer, "kms:Decrypt", &arn);
    assert!(get(&s3).send().await.is_ok());
    assert!(head().checksum_mode(ChecksumMode::Enabled).send().await.is_ok());
}

#[tokio::test]
async fn s3_decrypts_under_the_objects_arn() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    put_under(&s3(&fake, &admin), &arn).send().await.expect("put");
    let reader = fake.principal("AKIAREADER", "secret", ACCOUNT);
    fake.allow(&reader, "s3:GetObject", OBJECTS);
    let services = |pattern| Condition::string_like("kms:EncryptionContext:aws:s3:arn", &[pattern]);
    let via = Condition::string_equals("kms:ViaService", &["s3.us-east-1.amazonaws.com"]);
    let web = services("arn:aws:s3:::example-microsecrets/services/web/*");
    fake.allow_if(&reader, "kms:Decrypt", &arn, &[web]);
    assert_eq!(refusal(get(&s3(&fake, &reader)).send().await).status, 403);
    let api = services("arn:aws:s3:::example-microsecrets/services/api/*");
    fake.allow_if(&reader, "kms:Decrypt", &arn, &[api, via]);
    get(&s3(&fake, &reader)).send().await.expect("the context fits");

    let uses = fake.kms_uses();
    let operations: Vec<_> = uses.iter().map(|u| u.operation.as_str()).collect();
    assert_eq!(operations, ["GenerateDataKey", "Decrypt"]);
    let context = (
        "aws:s3:arn".to_owned(),
        "arn:aws:s3:::example-microsecrets/services/api/a".to_owned(),
    );
    assert!(
        uses.iter()
            .all(|u| u.encryption_context == [context.clone()] && u.key_arn == arn)
    );
    assert_eq!(uses[1].principal, "arn:aws:iam::111122223333:user/akiareader");
    assert_eq!(uses[1].via.as_deref(), Some("s3.us-east-1.amazonaws.com"));
}

#[tokio::test]
async fn with_a_bucket_key_the_context_is_the_buckets() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let s3 = s3(&fake, &admin);
    let put = put_under(&s3, &arn).bucket_key_enabled(true).send().await.expect("put");
    assert_eq!(put.bucket_key_enabled(), Some(true));
    assert_eq!(get(&s3).send().await.expect("get").bucket_key_enabled(), Some(true));
    let context = &fake.kms_uses()[0].encryption_context;
    assert_eq!(
        context[..],
        [("aws:s3:arn".to_owned(), "arn:aws:s3:::example-microsecrets".to_owned())]
    );
    put_under(&s3, &arn)
        .bucket_key_enabled(false)
        .send()
        .await
        .expect("put");
    assert_eq!(
        fake.requests()
            .pop()
            .expect("a request")
            .header("x-amz-server-side-encryption-bucket-key-enabled"),
        Some("false")
    );
}

#[tokio::test]
async fn a_context_of_ones_own_is_added() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    // {"team":"a"}
    put_under(&s3(&fake, &admin), &arn)
        .ssekms_encryption_context("eyJ0ZWFtIjoiYSJ9")
        .send()
        .await
        .expect("put");
    assert!(
        fake.kms_uses()[0]
            .encryption_context
            .contains(&("team".to_owned(), "a".to_owned()))
    );
    let broken = put_under(&s3(&fake, &admin), &arn)
        .ssekms_encryption_context("?")
        .send()
        .await;
    assert_eq!(code(broken), "InvalidArgument");
}

#[tokio::test]
async fn without_a_key_it_is_the_accounts_own() {
    let (fake, _) = fake();
    // No right on any key, and none is needed: that is why an unpinned reader can't rely on aws:kms alone.
    let writer = fake.principal("AKIAWRITER", "secret", ACCOUNT);
    fake.allow(&writer, "s3:*", "*");
    let s3 = s3(&fake, &writer);
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("services/api/a")
        .server_side_encryption(SdkSse::AwsKms);
    let put = put.body(ByteStream::from_static(b"1")).send().await.expect("put");
    assert_eq!(put.ssekms_key_id(), Some(fake.kms().aws_s3_key().as_str()));
    assert!(get(&s3).send().await.is_ok());
    // Nobody from another account can read that.
    let stranger = fake.principal("AKIASTRANGER", "secret", STRANGER);
    fake.allow(&stranger, "*", "*");
    assert_eq!(
        refusal(get(&crate::common::s3(&fake, &stranger)).send().await).status,
        403
    );
}

#[tokio::test]
async fn the_buckets_default_is_for_who_says_nothing() {
    use aws_sdk_s3::types::{
        ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    };
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let s3 = s3(&fake, &admin);
    let put = || {
        s3.put_object()
            .bucket(BUCKET)
            .key("a")
            .body(ByteStream::from_static(b"1"))
    };
    let before = put().send().await.expect("put");
    assert_eq!(
        (before.server_side_encryption(), before.ssekms_key_id()),
        (Some(&SdkSse::Aes256), None)
    );
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(SdkSse::AwsKms)
        .kms_master_key_id(&arn);
    let default = default.build().expect("complete");
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()
        .expect("complete");
    let call = s3
        .put_bucket_encryption()
        .bucket(BUCKET)
        .server_side_encryption_configuration(configuration);
    call.send().await.expect("put");
    assert_eq!(put().send().await.expect("put").ssekms_key_id(), Some(arn.as_str()));
    let explicit = put().server_side_encryption(SdkSse::Aes256).send().await.expect("put");
    assert_eq!(explicit.server_side_encryption(), Some(&SdkSse::Aes256));
    s3.delete_bucket_encryption().bucket(BUCKET).send().await.expect("done");
    let after = put().send().await.expect("put");
    assert_eq!(after.server_side_encryption(), Some(&SdkSse::Aes256));
}

#[tokio::test]
async fn headers_have_to_go_together() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let s3 = s3(&fake, &admin);
    let aes = put_under(&s3, &arn).server_side_encryption(SdkSse::Aes256).send().await;
    assert_eq!(code(aes), "InvalidArgument");
    let odd = put_under(&s3, &arn).server_side_encryption("rot13".into()).send().await;
    assert_eq!(code(odd), "InvalidEncryptionAlgorithmError");
    let alone = s3.put_object().bucket(BUCKET).key("a").ssekms_key_id(&arn).send().await;
    assert_eq!(code(alone), "InvalidArgument");
    let customer = s3
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .sse_customer_algorithm("AES256")
        .sse_customer_key("a2V5");
    assert_eq!(refusal(customer.sse_customer_key_md5("a2V5").send().await).status, 403);
    let dsse = put_under(&s3, &arn)
        .server_side_encryption(SdkSse::AwsKmsDsse)
        .send()
        .await
        .expect("put");
    assert_eq!(dsse.server_side_encryption(), Some(&SdkSse::AwsKmsDsse));
}

#[tokio::test]
async fn keys_are_looked_up_in_the_buckets_region() {
    let europe = Bucket {
        region: "eu-west-1".into(),
        ..Bucket::default()
    };
    let fake = StrictFake::builder().bucket(BUCKET, europe).start();
    let admin = fake.admin("AKIAADMIN", "secret", ACCOUNT);
    let arn = fake.kms_of(ACCOUNT, "eu-west-1").create_key("microsecrets-api");
    let put = put_under(&s3_in(&fake, &admin, "eu-west-1"), "alias/microsecrets-api")
        .send()
        .await
        .expect("put");
    assert_eq!(put.ssekms_key_id(), Some(arn.as_str()));
    assert_eq!(fake.kms_uses()[0].via.as_deref(), Some("s3.eu-west-1.amazonaws.com"));
}
