//! What the answer says of encryption: only the demanded kind under the pinned key is believed, wherever bytes come from.

use microsecrets::item::Selector;
use microsecrets::layout::Item;
use microsecrets::trust::RequiredEncryption;

use super::{distrust, pinned, unpinned};
use crate::process::{environment, file, nth};
use crate::run;
use crate::worlds::{ACCOUNT, BUCKET, FakeAws};

/// Every algorithm, and whether it encrypts under a KMS key.
const ALGORITHMS: [(Option<&str>, bool); 5] = [
    (None, false),
    (Some("AES256"), false),
    (Some("aws:kms"), true),
    (Some("aws:kms:dsse"), true),
    (Some("rot13"), false),
];

/// Names of keys that are not the key's ARN.
fn other_keys(aws: &FakeAws) -> Vec<Option<String>> {
    let id = aws.key.rsplit('/').next().unwrap();
    let alias = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/microsecrets-api");
    vec![
        None,
        Some(String::new()),
        Some(aws.fake.kms().create_key("other")),
        Some(aws.key.replace(ACCOUNT, "999999999999")),
        Some(aws.key.replace("us-east-1", "eu-west-1")),
        Some(id.to_owned()),
        Some(alias),
        Some("alias/microsecrets-api".to_owned()),
        Some(aws.fake.kms().aws_s3_key()),
        Some(format!("{}0", aws.key)),
        Some(aws.key.to_ascii_uppercase()),
    ]
}

/// Everywhere that bytes are read from: an item, how it is read, and the key of the object.
async fn places(aws: &FakeAws) -> Vec<(Item, Selector, String)> {
    let large = vec![7; (1 << 20) + 1];
    let environment_is_at = aws.ann(&environment()).await.upload("A=1").await.unwrap().key;
    aws.ann(&file("small")).await.upload_file(b"small").await.unwrap();
    let large_is_at = aws.ann(&file("large")).await.upload_file(&large).await.unwrap().key;
    let log = environment().log_key(microsecrets::name::Number::FIRST);
    let (legacy, legacy_is_at) = aws.legacy();
    vec![
        (environment(), Selector::Current, environment().head_key()),
        (environment(), nth(1), log),
        (environment(), nth(1), environment_is_at),
        (file("small"), Selector::Current, file("small").head_key()),
        (file("large"), Selector::Current, file("large").head_key()),
        (file("large"), Selector::Current, large_is_at),
        (legacy, Selector::Current, legacy_is_at),
    ]
}

#[test]
fn only_the_pinned_key_is_believed() {
    run(async {
        let aws = FakeAws::new();
        for (item, selector, key) in places(&aws).await {
            let reader = aws.process(&aws.admin, pinned(&aws.key), &item).await;
            let mut believed = 0;
            for (algorithm, is_kms) in ALGORITHMS {
                for kms_key in other_keys(&aws) {
                    aws.forge(&key, algorithm, kms_key.as_deref());
                    let read = reader.read(&selector).await;
                    assert!(read.is_err(), "{key}: {algorithm:?} {kms_key:?}");
                    let why = distrust(read);
                    assert!(why.contains("is required") || why.contains("is pinned"), "{why}");
                }
                aws.forge(&key, algorithm, Some(&aws.key));
                let read = reader.read(&selector).await;
                assert_eq!(read.is_ok(), is_kms, "{key}: {algorithm:?}");
                believed += usize::from(read.is_ok());
            }
            // SSE-KMS and DSSE-KMS, of five algorithms under twelve names of keys.
            assert_eq!(believed, 2);
            aws.forge(&key, Some("aws:kms"), Some(&aws.key));
        }
    });
}

/// A multi-Region key is one key in several regions: a replica of the bucket is encrypted under the replica of the key.
#[test]
fn of_a_multi_region_key_the_region_may_be_another_and_nothing_else() {
    run(async {
        let aws = FakeAws::new();
        let id = "mrk-1234abcd12ab34cd56ef1234567890ab";
        let arn = |region: &str, account: &str, id: &str| format!("arn:aws:kms:{region}:{account}:key/{id}");
        let pin = arn("us-east-1", ACCOUNT, id);
        for (item, selector, key) in places(&aws).await {
            let reader = aws.process(&aws.admin, pinned(&pin), &item).await;
            // The other objects of the item are under it too.
            for other in aws.fake.keys(BUCKET) {
                aws.forge(&other, Some("aws:kms"), Some(&pin));
            }
            for region in ["us-east-1", "us-east-2", "eu-west-1"] {
                aws.forge(&key, Some("aws:kms"), Some(&arn(region, ACCOUNT, id)));
                reader.read(&selector).await.unwrap();
                for found in [
                    arn(region, "999999999999", id),
                    arn(region, ACCOUNT, "mrk-1234abcd12ab34cd56ef1234567890ac"),
                    arn(region, ACCOUNT, &id[4..]),
                    arn(region, ACCOUNT, id).replace(":key/", ":alias/"),
                    id.to_owned(),
                ] {
                    aws.forge(&key, Some("aws:kms"), Some(&found));
                    let why = distrust(reader.read(&selector).await);
                    assert_eq!(why, format!("it is encrypted under {found}, but {pin} is pinned"));
                }
            }
        }
    });
}

/// A writer refuses a base that it would refuse to read.
#[test]
fn nothing_is_built_on_what_is_not_believed() {
    run(async {
        let aws = FakeAws::new();
        for (item, _, key) in places(&aws).await {
            if key != item.head_key() && !item.service().as_str().contains("legacy") {
                continue;
            }
            for (algorithm, kms_key) in [
                (None, None),
                (Some("AES256"), None),
                (Some("aws:kms"), Some("arn:aws:kms:x")),
            ] {
                aws.forge(&key, algorithm, kms_key);
                let puts = aws.puts();
                let writer = aws.process(&aws.admin, pinned(&aws.key), &item).await;
                distrust(writer.delete().await);
                assert_eq!(aws.puts(), puts);
            }
        }
    });
}

/// Without a pin it is only known that some KMS key was used.
#[test]
fn without_a_pin_any_kms_key_is_believed_and_nothing_else() {
    run(async {
        let aws = FakeAws::new();
        for (item, selector, key) in places(&aws).await {
            let reader = aws.process(&aws.admin, unpinned(), &item).await;
            let any = aws.fake.kms().aws_s3_key();
            for (algorithm, is_kms) in ALGORITHMS {
                aws.forge(&key, algorithm, Some(&any));
                assert_eq!(reader.read(&selector).await.is_ok(), is_kms, "{key}: {algorithm:?}");
                // A key that is not said is none.
                aws.forge(&key, algorithm, None);
                distrust(reader.read(&selector).await);
            }
            aws.forge(&key, Some("aws:kms"), Some(&any));
        }
    });
}

/// The reader's setting decides, never the object.
#[test]
fn with_aes256_nothing_else_is_believed() {
    run(async {
        let aws = FakeAws::new();
        let places = places(&aws).await;
        for (_, _, key) in &places {
            aws.forge(key, Some("AES256"), None);
        }
        for (item, selector, key) in places {
            let reader = aws.process(&aws.admin, RequiredEncryption::Aes256, &item).await;
            for (algorithm, _) in ALGORITHMS {
                aws.forge(&key, algorithm, Some(&aws.key));
                let read = reader.read(&selector).await;
                assert_eq!(read.is_ok(), algorithm == Some("AES256"), "{key}: {algorithm:?}");
            }
            aws.forge(&key, Some("AES256"), None);
        }
    });
}
