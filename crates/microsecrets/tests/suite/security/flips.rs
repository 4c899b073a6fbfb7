//! Every bit counts: of what is signed nothing can be changed, cut off or added, and of what is not signed no byte of
//! the content.

use microsecrets::item::{ItemError, Selector};
use microsecrets::name::Number;
use microsecrets::record::Head;
use microsecrets::trust::VerifyKey;

use super::SIGNING;
use super::attacker::{copy_all, overwrite};
use crate::process::{environment, nth};
use crate::worlds::{BUCKET, FakeAws};
use crate::{run, together};

/// How many threads read what was damaged, each in a bucket of its own.
const THREADS: usize = 2;

/// Reads a version as often as there are ways to damage an object, each of which must be noticed.
fn none_is_accepted(
    aws: &FakeAws,
    keys: &[VerifyKey],
    selector: &Selector,
    key: &str,
    ways: usize,
    damage: impl Fn(&mut Vec<u8>, usize) + Sync,
) {
    let original = aws.fake.object(BUCKET, key).unwrap().body;
    let counts = together(THREADS, async |thread| {
        let own = FakeAws::new();
        copy_all(&aws.fake, &own.fake);
        own.fake.log_to(None, true);
        let reader = own.believer(keys, &environment()).await;
        reader.read(selector).await.unwrap();
        let mut count = 0;
        for way in (thread..ways).step_by(THREADS) {
            let mut damaged = original.to_vec();
            damage(&mut damaged, way);
            assert_ne!(damaged, original, "way {way} changes nothing");
            overwrite(&own.fake, key, damaged);
            match reader.read(selector).await {
                Err(ItemError::Record { .. } | ItemError::Distrusted { .. } | ItemError::Document { .. }) => count += 1,
                Err(error) => panic!("way {way}: {error}"),
                Ok(_) => panic!("way {way} is accepted"),
            }
        }
        count
    });
    assert_eq!(counts.iter().sum::<usize>(), ways);
}

/// An environment whose second version is signed and about 2 KB long, and the key that signs.
fn signed_environment() -> (FakeAws, [VerifyKey; 1]) {
    let aws = FakeAws::new();
    run(async {
        let ann = aws.signer(&environment()).await;
        ann.upload("A=1").await.unwrap();
        let text = format!("LONG={} B=two", "0123456789abcdef".repeat(76));
        ann.upload(&text).await.unwrap();
    });
    let length = aws.fake.object(BUCKET, &environment().head_key()).unwrap().body.len();
    assert!((2_000..2_200).contains(&length), "{length}");
    let (_, key) = aws.signing_key(SIGNING);
    (aws, [key])
}

/// How many bytes an object has, and how many of them come before the content.
fn lengths(aws: &FakeAws, key: &str) -> (usize, usize) {
    let body = aws.fake.object(BUCKET, key).unwrap().body;
    let content = Head::parse(&body).map_or(0, |head| head.bytes().len());
    (body.len(), body.len() - content)
}

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

#[test]
fn no_flipped_bit_of_a_signed_environment_is_accepted() {
    let (aws, keys) = signed_environment();
    let head = environment().head_key();
    let (length, _) = lengths(&aws, &head);
    none_is_accepted(&aws, &keys, &Selector::Current, &head, 8 * length, |bytes, bit| {
        flip(bytes, bit);
    });
}

#[test]
fn no_signed_environment_that_ends_early_is_accepted() {
    let (aws, keys) = signed_environment();
    let head = environment().head_key();
    let (length, _) = lengths(&aws, &head);
    none_is_accepted(&aws, &keys, &Selector::Current, &head, length, |bytes, at| {
        bytes.truncate(at);
    });
}

#[test]
fn no_signed_environment_that_goes_on_is_accepted() {
    let (aws, keys) = signed_environment();
    let head = environment().head_key();
    none_is_accepted(&aws, &keys, &Selector::Current, &head, 256, |bytes, byte| {
        bytes.push(byte as u8);
    });
}

/// Six ways for each byte of the two lines before the content: four other values, once too few, once too many.
#[test]
fn no_other_byte_in_record_or_signature_is_accepted() {
    let (aws, keys) = signed_environment();
    let head = environment().head_key();
    let (_, lines) = lengths(&aws, &head);
    none_is_accepted(&aws, &keys, &Selector::Current, &head, 6 * lines, |bytes, way| {
        let (at, byte) = (way / 6, bytes[way / 6]);
        match way % 6 {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte),
            value => {
                let others = b"\n A0\xff".iter().filter(|other| **other != byte);
                bytes[at] = others.copied().nth(value - 2).unwrap();
            }
        }
    });
}

/// Read by its number, an older version stands on two objects: its log entry and its bytes.
#[test]
fn no_changed_byte_of_an_older_version_is_accepted() {
    let (aws, keys) = signed_environment();
    let log = environment().log_key(Number::FIRST);
    let prefix = environment().versions_prefix();
    let keys_there = aws.fake.keys(BUCKET).into_iter();
    let bytes = keys_there.filter(|key| key.starts_with(&prefix)).min().unwrap();
    for key in [log, bytes] {
        let length = aws.fake.object(BUCKET, &key).unwrap().body.len();
        none_is_accepted(&aws, &keys, &nth(1), &key, 2 * length, |bytes, way| match way % 2 {
            0 => flip(bytes, 4 * way + way / 2 % 8),
            _ => bytes.truncate(way / 2),
        });
    }
}

/// Where nothing is signed, the lines before the content may say something else, but not of the content.
#[test]
fn without_signatures_no_flipped_bit_of_the_content_is_accepted() {
    let aws = FakeAws::new();
    run(async { aws.ann(&environment()).await.upload("A=1 B=two").await.unwrap() });
    let head = environment().head_key();
    let (length, lines) = lengths(&aws, &head);
    let bits = 8 * (length - lines);
    none_is_accepted(&aws, &[], &Selector::Current, &head, bits, |bytes, bit| {
        flip(bytes, 8 * lines + bit);
    });
}
