//! Checksums, hashes and lengths that have to fit.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm as SdkAlgorithm;
use strict_fake::ChecksumAlgorithm;

use crate::common::*;
use crate::raw::RawRequest;

const TARGET: &str = "/example-microsecrets/a";

/// CRC-32 and CRC-64/NVME of `123456789`, in Base64.
const CRC32: &str = "y/Q5Jg==";
const CRC64NVME: &str = "rosUhgp5mIg=";

#[tokio::test]
async fn every_checksum_of_the_sdk_is_verified_and_stored() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    for (algorithm, stored) in [
        (SdkAlgorithm::Crc32, ChecksumAlgorithm::Crc32),
        (SdkAlgorithm::Crc32C, ChecksumAlgorithm::Crc32c),
        (SdkAlgorithm::Crc64Nvme, ChecksumAlgorithm::Crc64nvme),
        (SdkAlgorithm::Sha1, ChecksumAlgorithm::Sha1),
        (SdkAlgorithm::Sha256, ChecksumAlgorithm::Sha256),
    ] {
        let put = s3.put_object().bucket(BUCKET).key("a").checksum_algorithm(algorithm);
        put.body(ByteStream::from_static(b"123456789"))
            .send()
            .await
            .expect("put");
        let checksum = fake.object(BUCKET, "a").expect("there").checksum.expect("a checksum");
        assert_eq!(checksum.algorithm, stored);
    }
}

#[tokio::test]
async fn streams_bring_their_checksum_in_a_trailer() {
    let (fake, admin) = fake();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), b"123456789").expect("written");
    let body = ByteStream::from_path(file.path()).await;
    let Ok(body) = body else { panic!("the file is there") };
    s3(&fake, &admin)
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .body(body)
        .send()
        .await
        .expect("put");
    let request = fake.requests().pop().expect("a request");
    assert_eq!(request.header("x-amz-trailer"), Some("x-amz-checksum-crc32"));
    let object = fake.object(BUCKET, "a").expect("there");
    assert_eq!(object.body, &b"123456789"[..]);
    assert_eq!(object.checksum.map(|c| c.value).as_deref(), Some(CRC32));
    assert_eq!(object.attributes.content_encoding, None);
}

#[test]
fn trailers_are_verified() {
    let (fake, admin) = fake();
    let put = |trailer: &str, value| RawRequest::new("PUT", TARGET).chunked(b"123456789", trailer, value);
    assert_eq!(put("x-amz-checksum-crc32", Some(CRC32)).send(&fake, &admin).status, 200);
    assert_eq!(
        put("x-amz-checksum-crc64nvme", Some(CRC64NVME))
            .send(&fake, &admin)
            .status,
        200
    );
    let versions = fake.versions(BUCKET, "a").len();
    let wrong = put("x-amz-checksum-crc32", Some("AAAAAA==")).send(&fake, &admin);
    assert_eq!(wrong.brief(), (400, "BadDigest"));
    assert_eq!(
        wrong.element("Message"),
        "The CRC32 you specified did not match the calculated checksum."
    );
    let wrong = put("x-amz-checksum-crc64nvme", Some(CRC32)).send(&fake, &admin);
    assert_eq!(wrong.brief(), (400, "BadDigest"));
    let missing = put("x-amz-checksum-crc32", None).send(&fake, &admin);
    assert_eq!(missing.brief(), (400, "MalformedTrailerError"));
    assert_eq!(fake.versions(BUCKET, "a").len(), versions);
}

#[test]
fn checksum_headers_are_verified() {
    let (fake, admin) = fake();
    let put = |name: &str, value: &str| RawRequest::new("PUT", TARGET).header(name, value).body(b"123456789");
    assert_eq!(put("x-amz-checksum-crc32", CRC32).send(&fake, &admin).status, 200);
    assert_eq!(
        put("x-amz-checksum-crc32", "AAAAAA==").send(&fake, &admin).brief(),
        (400, "BadDigest")
    );
    assert_eq!(
        put("x-amz-checksum-sha256", CRC32).send(&fake, &admin).brief(),
        (400, "BadDigest")
    );
    assert_eq!(
        put("x-amz-checksum-crc32", "?").send(&fake, &admin).brief(),
        (400, "InvalidRequest")
    );
    let unknown = put("x-amz-checksum-md5", "AAAAAA==").send(&fake, &admin);
    assert_eq!(unknown.brief(), (400, "InvalidRequest"));
    let two = put("x-amz-checksum-crc32", CRC32)
        .header("x-amz-checksum-crc64nvme", CRC64NVME)
        .send(&fake, &admin);
    assert_eq!(two.brief(), (400, "InvalidRequest"));
    assert_eq!(fake.versions(BUCKET, "a").len(), 1);
}

#[test]
fn content_md5_is_verified() {
    let (fake, admin) = fake();
    let put = |md5: &str| {
        RawRequest::new("PUT", TARGET)
            .header("content-md5", md5)
            .body(b"123456789")
    };
    assert_eq!(put("JfnnlDI7RTiF9RgfG2JNCw==").send(&fake, &admin).status, 200);
    assert_eq!(
        put("AAAAAAAAAAAAAAAAAAAAAA==").send(&fake, &admin).brief(),
        (400, "BadDigest")
    );
    assert_eq!(put("AAAA").send(&fake, &admin).brief(), (400, "InvalidDigest"));
}

#[test]
fn the_payload_hash_is_verified() {
    let (fake, admin) = fake();
    let hash = "0000000000000000000000000000000000000000000000000000000000000000";
    let put = RawRequest::new("PUT", TARGET).body(b"123456789").payload_hash(hash);
    assert_eq!(put.send(&fake, &admin).brief(), (400, "XAmzContentSHA256Mismatch"));
    assert!(fake.keys(BUCKET).is_empty());
}

#[test]
fn the_decoded_length_is_verified() {
    let (fake, admin) = fake();
    let mut put = RawRequest::new("PUT", TARGET).chunked(b"123456789", "x-amz-checksum-crc32", Some(CRC32));
    for header in put
        .headers
        .iter_mut()
        .filter(|(name, _)| name == "x-amz-decoded-content-length")
    {
        header.1 = "10".into();
    }
    assert_eq!(put.send(&fake, &admin).brief(), (400, "IncompleteBody"));
    assert!(fake.keys(BUCKET).is_empty());
}

#[tokio::test]
async fn without_a_checksum_s3_computes_its_own() {
    let (fake, admin) = fake();
    RawRequest::new("PUT", TARGET).body(b"123456789").send(&fake, &admin);
    let checksum = fake.object(BUCKET, "a").expect("there").checksum.expect("a checksum");
    assert_eq!(
        (checksum.algorithm, checksum.value.as_str()),
        (ChecksumAlgorithm::Crc64nvme, CRC64NVME)
    );
}
