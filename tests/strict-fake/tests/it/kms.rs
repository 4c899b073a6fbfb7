//! KMS itself.

use aws_sdk_kms::error::ProvideErrorMetadata as _;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeySpec, KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec, Tag};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use strict_fake::Condition;

use crate::common::*;

const ALIAS: &str = "alias/microsecrets-api";

#[tokio::test]
async fn a_key_is_described_by_each_of_its_names() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let kms = kms(&fake, &admin);
    let id = arn.rsplit('/').next().expect("an id");
    for name in [
        arn.as_str(),
        id,
        ALIAS,
        "arn:aws:kms:us-east-1:111122223333:alias/microsecrets-api",
    ] {
        let key = kms
            .describe_key()
            .key_id(name)
            .send()
            .await
            .expect("described")
            .key_metadata
            .expect("metadata");
        assert_eq!((key.arn(), key.key_id(), key.enabled()), (Some(arn.as_str()), id, true));
        assert_eq!(key.key_state(), Some(&KeyState::Enabled));
        assert_eq!(key.key_spec(), Some(&KeySpec::SymmetricDefault));
        assert_eq!(key.key_usage(), Some(&KeyUsageType::EncryptDecrypt));
        assert_eq!((key.multi_region(), key.aws_account_id()), (Some(false), Some(ACCOUNT)));
    }
    let missing = kms
        .describe_key()
        .key_id("alias/no-such")
        .send()
        .await
        .expect_err("not there");
    assert_eq!(missing.code(), Some("NotFoundException"));
    assert_eq!(
        missing.message(),
        Some("Alias arn:aws:kms:us-east-1:111122223333:alias/no-such is not found.")
    );
}

#[tokio::test]
async fn rights_are_per_key() {
    let (fake, _) = fake();
    let (mine, other) = (
        fake.kms().create_key("microsecrets-api"),
        fake.kms().create_key("microsecrets-web"),
    );
    let user = fake.principal("AKIAUSER", "secret", ACCOUNT);
    fake.allow(&user, "kms:DescribeKey", &mine);
    let kms = kms(&fake, &user);
    assert!(kms.describe_key().key_id(ALIAS).send().await.is_ok());
    let refused = refusal(kms.describe_key().key_id(&other).send().await);
    assert_eq!(refused.brief(), (400, "AccessDeniedException"));
    let expected = format!(
        "User: arn:aws:iam::111122223333:user/akiauser is not authorized to perform: kms:DescribeKey on resource: \
         {other} because no identity-based policy allows the kms:DescribeKey action"
    );
    assert_eq!(refused.message, expected);
    let by_alias = Condition::string_like("kms:ResourceAliases", &["alias/microsecrets-w*"]);
    fake.allow_if(&user, "kms:DescribeKey", "*", &[by_alias]);
    assert!(kms.describe_key().key_id(&other).send().await.is_ok());
}

#[tokio::test]
async fn a_key_is_made_and_configured() {
    let (fake, admin) = fake();
    let kms = kms(&fake, &admin);
    let tag = Tag::builder()
        .tag_key("service")
        .tag_value("api")
        .build()
        .expect("complete");
    let created = kms
        .create_key()
        .description("of api")
        .tags(tag)
        .send()
        .await
        .expect("created");
    let arn = created.key_metadata.and_then(|m| m.arn).expect("an ARN");
    kms.create_alias()
        .alias_name(ALIAS)
        .target_key_id(&arn)
        .send()
        .await
        .expect("created");
    assert_eq!(fake.kms().resolve("microsecrets-api"), Some(arn.clone()));

    let status = || kms.get_key_rotation_status().key_id(&arn).send();
    assert!(!status().await.expect("status").key_rotation_enabled());
    kms.enable_key_rotation()
        .key_id(&arn)
        .rotation_period_in_days(90)
        .send()
        .await
        .expect("enabled");
    let rotation = status().await.expect("status");
    assert_eq!(
        (rotation.key_rotation_enabled(), rotation.rotation_period_in_days()),
        (true, Some(90))
    );

    let policy = || kms.get_key_policy().key_id(&arn).send();
    assert!(
        policy()
            .await
            .expect("policy")
            .policy()
            .is_some_and(|p| p.contains("Enable IAM User Permissions"))
    );
    let put = |policy: &str| kms.put_key_policy().key_id(&arn).policy(policy).send();
    assert_eq!(code(put("no").await), "MalformedPolicyDocumentException");
    put("{\"Statement\":[]}").await.expect("put");
    assert_eq!(policy().await.expect("policy").policy(), Some("{\"Statement\":[]}"));

    let tag = Tag::builder()
        .tag_key("owner")
        .tag_value("me")
        .build()
        .expect("complete");
    kms.tag_resource().key_id(&arn).tags(tag).send().await.expect("tagged");
    let tags = kms.list_resource_tags().key_id(&arn).send().await.expect("tags");
    let tags: Vec<_> = tags.tags().iter().map(|t| (t.tag_key(), t.tag_value())).collect();
    assert_eq!(tags, [("owner", "me"), ("service", "api")]);
}

#[tokio::test]
async fn aliases() {
    let (fake, admin) = fake();
    let (first, second) = (fake.kms().create_key("a"), fake.kms().create_key("b"));
    let signing = fake.kms().create_signing_key("signing");
    let kms = kms(&fake, &admin);
    let create = |name: &str| kms.create_alias().alias_name(name).target_key_id(&first).send();
    create(ALIAS).await.expect("created");
    assert_eq!(code(create(ALIAS).await), "AlreadyExistsException");
    for name in ["microsecrets", "alias/", "alias/with.dot"] {
        assert_eq!(code(create(name).await), "InvalidAliasNameException", "{name}");
    }
    let update = |name: &str, key: &str| kms.update_alias().alias_name(name).target_key_id(key).send();
    update(ALIAS, &second).await.expect("updated");
    assert_eq!(fake.kms().resolve(ALIAS), Some(second.clone()));
    assert_eq!(code(update("alias/no-such", &second).await), "NotFoundException");
    assert_eq!(code(update(ALIAS, &signing).await), "ValidationException");
    let list = kms.list_aliases().key_id(&second).send().await.expect("list");
    assert_eq!(
        list.aliases().iter().filter_map(|a| a.alias_name()).collect::<Vec<_>>(),
        ["alias/b", ALIAS]
    );
    assert_eq!(kms.list_aliases().send().await.expect("list").aliases().len(), 4);
    kms.delete_alias().alias_name(ALIAS).send().await.expect("deleted");
    assert_eq!(fake.kms().resolve(ALIAS), None);
}

#[tokio::test]
async fn moving_an_alias_needs_three_rights() {
    let (fake, _) = fake();
    let (old, new) = (fake.kms().create_key("microsecrets-api"), fake.kms().create_key("b"));
    let user = fake.principal("AKIAUSER", "secret", ACCOUNT);
    let kms = kms(&fake, &user);
    let update = || kms.update_alias().alias_name(ALIAS).target_key_id(&new).send();
    for resource in ["arn:aws:kms:us-east-1:111122223333:alias/microsecrets-api", &old, &new] {
        assert!(refusal(update().await).message.contains(resource));
        fake.allow(&user, "kms:UpdateAlias", resource);
    }
    assert!(update().await.is_ok());
}

#[tokio::test]
async fn signatures_verify_offline() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_signing_key("microsecrets-signing/api");
    let kms = kms(&fake, &admin);
    let alias = "alias/microsecrets-signing/api";
    let public = kms.get_public_key().key_id(alias).send().await.expect("public key");
    assert_eq!(
        (public.key_id(), public.key_spec()),
        (Some(arn.as_str()), Some(&KeySpec::EccNistP256))
    );
    let spki = public.public_key().expect("a key").as_ref();
    assert_eq!(spki, fake.kms().public_key(&arn));
    let sign = |message: &[u8]| {
        let sign = kms
            .sign()
            .key_id(alias)
            .message(Blob::new(message))
            .message_type(MessageType::Raw);
        sign.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
    };
    let signed = sign(b"record").send().await.expect("signed");
    assert_eq!(signed.key_id(), Some(arn.as_str()));
    // The point is at the end of the SubjectPublicKeyInfo.
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki[26..]);
    assert!(
        key.verify(b"record", signed.signature().expect("a signature").as_ref())
            .is_ok()
    );
    assert!(key.verify(b"record", &fake.kms().sign(&arn, b"record")).is_ok());

    assert_eq!(
        code(sign(b"record").dry_run(true).send().await),
        "DryRunOperationException"
    );
    assert_eq!(code(sign(&[0; 4097]).send().await), "ValidationException");
    assert!(sign(&[0; 4096]).send().await.is_ok());
    let other = sign(b"record")
        .signing_algorithm(SigningAlgorithmSpec::EcdsaSha384)
        .send()
        .await;
    assert_eq!(code(other), "InvalidKeyUsageException");
    fake.kms().disable_key(&arn);
    assert_eq!(code(sign(b"record").send().await), "DisabledException");
    let symmetric = fake.kms().create_key("symmetric");
    assert_eq!(
        code(sign(b"record").key_id(&symmetric).send().await),
        "InvalidKeyUsageException"
    );
    assert_eq!(
        code(kms.get_public_key().key_id(symmetric).send().await),
        "UnsupportedOperationException"
    );
}

#[tokio::test]
async fn dry_runs_tell_rights() {
    let (fake, _) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let user = fake.principal("AKIAUSER", "secret", ACCOUNT);
    let kms = kms(&fake, &user);
    let generate = || {
        kms.generate_data_key()
            .key_id(&arn)
            .key_spec(DataKeySpec::Aes256)
            .dry_run(true)
            .send()
    };
    let encrypt = || {
        kms.encrypt()
            .key_id(&arn)
            .plaintext(Blob::new("x"))
            .dry_run(true)
            .send()
    };
    let decrypt = || {
        let decrypt = kms.decrypt().key_id(&arn).dry_run(true);
        decrypt
            .dry_run_modifiers(aws_sdk_kms::types::DryRunModifierType::IgnoreCiphertext)
            .send()
    };
    assert_eq!(code(generate().await), "AccessDeniedException");
    assert_eq!(code(encrypt().await), "AccessDeniedException");
    assert_eq!(code(decrypt().await), "AccessDeniedException");
    for action in ["kms:GenerateDataKey", "kms:Encrypt", "kms:Decrypt"] {
        fake.allow(&user, action, &arn);
    }
    assert_eq!(code(generate().await), "DryRunOperationException");
    assert_eq!(code(encrypt().await), "DryRunOperationException");
    assert_eq!(code(decrypt().await), "DryRunOperationException");
    fake.kms().disable_key(&arn);
    assert_eq!(code(encrypt().await), "DisabledException");
    assert!(fake.kms_uses().is_empty());
}

#[tokio::test]
async fn what_is_encrypted_is_decrypted_under_its_context() {
    let (fake, admin) = fake();
    let (arn, other) = (fake.kms().create_key("a"), fake.kms().create_key("b"));
    let kms = kms(&fake, &admin);
    let encrypted = kms
        .encrypt()
        .key_id(&arn)
        .plaintext(Blob::new("x"))
        .encryption_context("a", "b")
        .send()
        .await;
    let blob = encrypted.expect("encrypted").ciphertext_blob.expect("a blob");
    let decrypt = || kms.decrypt().ciphertext_blob(blob.clone());
    let decrypted = decrypt().encryption_context("a", "b").send().await.expect("decrypted");
    assert_eq!(
        (decrypted.key_id(), decrypted.plaintext()),
        (Some(arn.as_str()), Some(&Blob::new("x")))
    );
    assert_eq!(code(decrypt().send().await), "InvalidCiphertextException");
    let wrong_key = decrypt().encryption_context("a", "b").key_id(other).send().await;
    assert_eq!(code(wrong_key), "IncorrectKeyException");
    let too_long = kms.encrypt().key_id(&arn).plaintext(Blob::new([0; 4097])).send().await;
    assert_eq!(code(too_long), "ValidationException");
    let data_key = kms
        .generate_data_key()
        .key_id(&arn)
        .key_spec(DataKeySpec::Aes256)
        .send()
        .await
        .expect("made");
    let opened = kms
        .decrypt()
        .ciphertext_blob(data_key.ciphertext_blob.expect("a blob"))
        .send()
        .await;
    assert_eq!(opened.expect("decrypted").plaintext, data_key.plaintext);
}

#[tokio::test]
async fn the_life_of_a_key() {
    let (fake, admin) = fake();
    let arn = fake.kms().create_key("microsecrets-api");
    let kms = kms(&fake, &admin);
    let state = || async {
        let described = kms.describe_key().key_id(&arn).send().await.expect("described");
        described.key_metadata.and_then(|m| m.key_state).expect("a state")
    };
    kms.disable_key().key_id(&arn).send().await.expect("disabled");
    assert_eq!(state().await, KeyState::Disabled);
    kms.enable_key().key_id(&arn).send().await.expect("enabled");
    assert_eq!(state().await, KeyState::Enabled);
    let schedule = |days| {
        kms.schedule_key_deletion()
            .key_id(&arn)
            .pending_window_in_days(days)
            .send()
    };
    assert_eq!(code(schedule(6).await), "ValidationException");
    schedule(7).await.expect("scheduled");
    assert_eq!(state().await, KeyState::PendingDeletion);
    assert_eq!(
        code(kms.enable_key().key_id(&arn).send().await),
        "KMSInvalidStateException"
    );
    assert_eq!(code(schedule(7).await), "KMSInvalidStateException");
}

#[tokio::test]
async fn the_unknown_is_refused() {
    let (fake, admin) = fake();
    let kms = kms(&fake, &admin);
    assert_eq!(
        code(kms.list_grants().key_id("x").send().await),
        "UnsupportedOperationException"
    );
    assert_eq!(
        code(kms.create_key().key_spec(KeySpec::Rsa2048).send().await),
        "UnsupportedOperationException"
    );
}
