//! What was written for one place is believed in no other, signed or not, though the same key signs and encrypts for all.

use std::slice;

use microsecrets::item::ItemError;
use microsecrets::layout::Item;
use microsecrets::name::Number;

use super::attacker::{copy, plant};
use super::{SIGNING, distrust};
use crate::process::{Process, nth};
use crate::run;
use crate::worlds::{BUCKET, FakeAws};

const SERVICES: usize = 10;

/// An item of each service, and who reads it: one who demands signatures and one who does not.
struct Place {
    item: Item,
    readers: [Process; 2],
    /// Where the bytes of its first version lie.
    bytes: String,
}

/// Ten services, each with two signed versions of the same kind of item.
async fn places(aws: &FakeAws, kind: &str) -> Vec<Place> {
    let (_, key) = aws.signing_key(SIGNING);
    let mut places = Vec::new();
    for number in 0..SERVICES {
        let item = Item::new(format!("service-{number}").parse().unwrap(), kind.parse().unwrap());
        let ann = aws.signer(&item).await;
        let mut bytes = String::new();
        for version in ["2", "1"] {
            let text = format!("OWN={number}{version}");
            let committed = match item.is_file() {
                true => ann.upload_file(text.as_bytes()).await,
                false => ann.upload(&text).await,
            };
            if bytes.is_empty() {
                bytes = committed.unwrap().key;
            }
        }
        let readers = [aws.believer(slice::from_ref(&key), &item).await, aws.ann(&item).await];
        places.push(Place { item, readers, bytes });
    }
    places
}

/// Every two places, the second of which is the other's; how many there were.
async fn each_pair(places: &[Place], mut swap: impl AsyncFnMut(&Place, &Place)) {
    let mut pairs = 0;
    for to in places {
        for from in places.iter().filter(|from| from.item != to.item) {
            swap(from, to).await;
            pairs += 1;
        }
        for reader in &to.readers {
            reader.current().await.unwrap();
            reader.read(&nth(1)).await.unwrap();
        }
    }
    assert_eq!(pairs, SERVICES * (SERVICES - 1));
}

#[test]
fn the_head_of_one_service_is_no_head_of_another() {
    for kind in ["environment", "file/small"] {
        run(async {
            let aws = FakeAws::new();
            let places = places(&aws, kind).await;
            each_pair(&places, async |from, to| {
                copy(&aws.fake, &from.item.head_key(), &to.item.head_key());
                for reader in &to.readers {
                    let why = distrust(reader.current().await);
                    assert_eq!(why, format!("it is the {}, not the {}", from.item, to.item));
                }
                aws.fake.remove_newest(BUCKET, &to.item.head_key());
            })
            .await;
        });
    }
}

#[test]
fn the_head_of_one_item_is_no_head_of_another_of_the_same_service() {
    run(async {
        let aws = FakeAws::new();
        let mut items = Vec::new();
        for kind in ["environment", "file/a", "file/b"] {
            items.extend(places(&aws, kind).await.into_iter().take(1));
        }
        for from in &items {
            for to in items.iter().filter(|to| to.item != from.item) {
                copy(&aws.fake, &from.item.head_key(), &to.item.head_key());
                for reader in &to.readers {
                    let why = distrust(reader.current().await);
                    assert_eq!(why, format!("it is the {}, not the {}", from.item, to.item));
                }
                aws.fake.remove_newest(BUCKET, &to.item.head_key());
            }
        }
    });
}

#[test]
fn the_log_entry_of_one_service_is_no_log_entry_of_another() {
    for kind in ["environment", "file/small"] {
        run(async {
            let aws = FakeAws::new();
            let places = places(&aws, kind).await;
            each_pair(&places, async |from, to| {
                let key = to.item.log_key(Number::FIRST);
                copy(&aws.fake, &from.item.log_key(Number::FIRST), &key);
                for reader in &to.readers {
                    let why = distrust(reader.read(&nth(1)).await);
                    assert_eq!(why, format!("it is the {}, not the {}", from.item, to.item));
                }
                aws.fake.remove_newest(BUCKET, &key);
            })
            .await;
        });
    }
}

#[test]
fn the_bytes_of_one_service_are_no_bytes_of_another() {
    for kind in ["environment", "file/small"] {
        run(async {
            let aws = FakeAws::new();
            let places = places(&aws, kind).await;
            each_pair(&places, async |from, to| {
                copy(&aws.fake, &from.bytes, &to.bytes);
                for reader in &to.readers {
                    let why = distrust(reader.read(&nth(1)).await);
                    assert!(why.starts_with("its bytes do not match their checksum "), "{why}");
                }
                aws.fake.remove_newest(BUCKET, &to.bytes);
            })
            .await;
        });
    }
}

/// All that makes a version, in the other's place, and nothing of its own left.
#[test]
fn a_whole_version_of_one_service_is_no_version_of_another() {
    for kind in ["environment", "file/small"] {
        run(async {
            let aws = FakeAws::new();
            let places = places(&aws, kind).await;
            each_pair(&places, async |from, to| {
                let bytes = from
                    .bytes
                    .replace(from.item.service().as_str(), to.item.service().as_str());
                let log = to.item.log_key(Number::FIRST);
                copy(&aws.fake, &from.bytes, &bytes);
                copy(&aws.fake, &from.item.log_key(Number::FIRST), &log);
                for reader in &to.readers {
                    let why = distrust(reader.read(&nth(1)).await);
                    assert_eq!(why, format!("it is the {}, not the {}", from.item, to.item));
                }
                aws.fake.remove_newest(BUCKET, &bytes);
                aws.fake.remove_newest(BUCKET, &log);
            })
            .await;
        });
    }
}

/// The document says whose it is, and a signature is over a record that says it: an environment without a head is no
/// way around them, even if nothing says that this tool wrote it.
#[test]
fn bytes_of_one_service_without_a_head_are_no_environment_of_another() {
    run(async {
        let aws = FakeAws::new();
        let places = places(&aws, "environment").await;
        for from in &places {
            let item = Item::environment("empty".parse().unwrap());
            let bytes = from.bytes.replace(from.item.service().as_str(), "empty");
            copy(&aws.fake, &from.bytes, &bytes);
            let missing = aws.ann(&item).await.current().await.unwrap_err();
            assert!(matches!(missing, ItemError::HeadMissing { .. }), "{missing}");
            let object = aws.fake.object(BUCKET, &bytes).unwrap().body;
            plant(&aws.fake, &aws.key, &bytes, object.clone(), None);
            let foreign = aws.ann(&item).await.current().await.unwrap_err();
            assert!(matches!(foreign, ItemError::Document { .. }), "{foreign}");
            let unsigned = aws.signer(&item).await.current().await.unwrap_err();
            assert!(matches!(unsigned, ItemError::NeverSigned { .. }), "{unsigned}");
            aws.fake.remove(BUCKET, &bytes);
        }
    });
}
