//! Lists of objects, versions and uploads: pages that cost what they hold, however many keys there are.

use std::ops::Bound;

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result};

use super::{Ask, answers, bucket, not_implemented};
use crate::digest::{base64, unbase64};
use crate::errors::s3_error;
use crate::state::{Bucket, StoredObject, Version};

/// S3 never lists more at once.
const MAX_KEYS: i32 = 1000;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    Beginning,
    /// After this key.
    AfterKey(String),
    /// After all keys with this prefix.
    AfterPrefix(String),
}

struct Page<'a> {
    contents: Vec<(&'a str, &'a Version, &'a StoredObject)>,
    prefixes: Vec<String>,
    /// Where the next page begins, if there is one.
    next: Option<Start>,
}

/// One page of the current objects.
fn page<'a>(bucket: &'a Bucket, prefix: &str, delimiter: Option<&str>, start: Start, max: usize) -> Page<'a> {
    let mut page = Page {
        contents: vec![],
        prefixes: vec![],
        next: None,
    };
    let mut start = start;
    let mut last = start.clone();
    'from: loop {
        for (key, versions) in bucket.objects.range((seek(&start, prefix), Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(prefix) else {
                return page;
            };
            if matches!(&start, Start::AfterPrefix(done) if key.starts_with(done.as_str())) {
                continue;
            }
            let Some((version, object)) = versions.last().and_then(|v| Some((v, v.object.as_ref()?))) else {
                continue;
            };
            if page.contents.len() + page.prefixes.len() == max {
                // With room for nothing there is no next page either: S3 says that it is complete.
                page.next = (max > 0).then_some(last);
                return page;
            }
            let cut = delimiter.and_then(|d| rest.find(d).map(|place| prefix.len() + place + d.len()));
            if let Some(cut) = cut {
                let common = key[..cut].to_owned();
                page.prefixes.push(common.clone());
                last = Start::AfterPrefix(common);
                start = last.clone();
                continue 'from;
            }
            page.contents.push((key, version, object));
            last = Start::AfterKey(key.clone());
        }
        return page;
    }
}

/// Where to look for the first key.
fn seek(start: &Start, prefix: &str) -> Bound<String> {
    match start {
        Start::AfterKey(key) if key.as_str() >= prefix => Bound::Excluded(key.clone()),
        // Hardly a key that begins with the prefix sorts after its last possible continuation.
        Start::AfterPrefix(done) if done.as_str() >= prefix => Bound::Included(format!("{done}\u{10FFFF}")),
        _ => Bound::Included(prefix.to_owned()),
    }
}

fn limit(max: Option<i32>) -> S3Result<i32> {
    match max.unwrap_or(MAX_KEYS) {
        max if max < 0 => Err(s3_error(
            400,
            "InvalidArgument",
            "Argument maxKeys must be an integer between 0 and",
        )),
        max => Ok(max.min(MAX_KEYS)),
    }
}

fn token(start: &Start) -> String {
    match start {
        Start::Beginning => base64(b"B"),
        Start::AfterKey(key) => base64(format!("K{key}").as_bytes()),
        Start::AfterPrefix(prefix) => base64(format!("P{prefix}").as_bytes()),
    }
}

fn read_token(token: &str) -> S3Result<Start> {
    let invalid = || s3_error(400, "InvalidArgument", "The continuation token provided is incorrect");
    let text = unbase64(token)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(invalid)?;
    match text.split_at_checked(1) {
        Some(("K", key)) => Ok(Start::AfterKey(key.to_owned())),
        Some(("P", prefix)) => Ok(Start::AfterPrefix(prefix.to_owned())),
        _ => Err(invalid()),
    }
}

/// Keys as the client wants them: as they are, or percent-encoded.
struct Encoder(bool);

impl Encoder {
    fn new(encoding: Option<&EncodingType>) -> Self {
        Self(encoding.is_some_and(|e| e.as_str() == EncodingType::URL))
    }

    fn encode(&self, text: &str) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.*/".contains(&b);
        let encode = |b: u8| match b {
            b' ' => "+".into(),
            b if plain(b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        };
        text.bytes().map(encode).collect()
    }
}

fn contents(page: &Page<'_>, encoder: &Encoder, owner: Option<&Owner>) -> Option<Vec<Object>> {
    let object = |(key, version, object): &(&str, &Version, &StoredObject)| Object {
        checksum_algorithm: object
            .checksum
            .as_ref()
            .map(|c| vec![ChecksumAlgorithm::from(c.algorithm.name().to_owned())]),
        e_tag: Some(answers::etag(&object.etag)),
        key: Some(encoder.encode(key)),
        last_modified: Some(Timestamp::from(version.modified)),
        owner: owner.cloned(),
        size: Some(i64::try_from(object.body.len()).unwrap_or(i64::MAX)),
        storage_class: Some(
            object
                .attributes
                .storage_class
                .clone()
                .unwrap_or_else(|| "STANDARD".into())
                .into(),
        ),
        ..Object::default()
    };
    (!page.contents.is_empty()).then(|| page.contents.iter().map(object).collect())
}

fn common_prefixes(page: &Page<'_>, encoder: &Encoder) -> Option<Vec<CommonPrefix>> {
    let prefix = |p: &String| CommonPrefix {
        prefix: Some(encoder.encode(p)),
    };
    (!page.prefixes.is_empty()).then(|| page.prefixes.iter().map(prefix).collect())
}

pub(super) fn owner(account: &str) -> Owner {
    // A canonical user id: 64 hexadecimal digits.
    Owner {
        id: Some(format!("{account:0>64}")),
        display_name: None,
    }
}

pub(super) async fn objects_v2(
    ask: &Ask,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let max = limit(input.max_keys)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|d| !d.is_empty());
    let start = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => read_token(token)?,
        (None, Some(key)) => Start::AfterKey(key.clone()),
        (None, None) => Start::Beginning,
    };
    let state = ask.shared.state();
    let bucket = bucket(&state, &input.bucket)?;
    let page = page(
        bucket,
        &prefix,
        delimiter,
        start,
        usize::try_from(max).unwrap_or_default(),
    );
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let owner = input.fetch_owner.unwrap_or_default().then(|| owner(&bucket.owner));
    let count = page.contents.len() + page.prefixes.len();
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket.clone()),
        prefix: Some(encoder.encode(&prefix)),
        max_keys: Some(max),
        key_count: i32::try_from(count).ok(),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().map(token),
        contents: contents(&page, &encoder, owner.as_ref()),
        common_prefixes: common_prefixes(&page, &encoder),
        delimiter: input.delimiter.map(|d| encoder.encode(&d)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|s| encoder.encode(&s)),
        ..ListObjectsV2Output::default()
    }))
}

/// The old one, which 0.3.4 may use.
pub(super) async fn objects(
    ask: &Ask,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = request.input;
    let max = limit(input.max_keys)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|d| !d.is_empty());
    let start = match &input.marker {
        // A marker may be a common prefix that was listed last.
        Some(marker) if delimiter.is_some_and(|d| marker.ends_with(d)) => Start::AfterPrefix(marker.clone()),
        Some(marker) => Start::AfterKey(marker.clone()),
        None => Start::Beginning,
    };
    let state = ask.shared.state();
    let bucket = bucket(&state, &input.bucket)?;
    let page = page(
        bucket,
        &prefix,
        delimiter,
        start,
        usize::try_from(max).unwrap_or_default(),
    );
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let next = page.next.as_ref().map(|next| match next {
        Start::AfterKey(text) | Start::AfterPrefix(text) => encoder.encode(text),
        Start::Beginning => String::new(),
    });
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket.clone()),
        prefix: Some(encoder.encode(&prefix)),
        marker: Some(encoder.encode(input.marker.as_deref().unwrap_or_default())),
        max_keys: Some(max),
        is_truncated: Some(page.next.is_some()),
        contents: contents(&page, &encoder, Some(&owner(&bucket.owner))),
        common_prefixes: common_prefixes(&page, &encoder),
        // Without a delimiter the client takes the last key.
        next_marker: next.filter(|_| delimiter.is_some()),
        delimiter: input.delimiter.map(|d| encoder.encode(&d)),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    }))
}

pub(super) async fn versions(
    ask: &Ask,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = request.input;
    if input.delimiter.as_ref().is_some_and(|d| !d.is_empty()) {
        return Err(not_implemented("a delimiter in ListObjectVersions"));
    }
    let max = limit(input.max_keys)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let state = ask.shared.state();
    let bucket = bucket(&state, &input.bucket)?;
    let mut output = ListObjectVersionsOutput {
        name: Some(input.bucket.clone()),
        prefix: Some(encoder.encode(&prefix)),
        key_marker: Some(encoder.encode(input.key_marker.as_deref().unwrap_or_default())),
        version_id_marker: input.version_id_marker.clone(),
        max_keys: Some(max),
        is_truncated: Some(false),
        encoding_type: input.encoding_type.clone(),
        ..ListObjectVersionsOutput::default()
    };
    let marker = (
        input.key_marker.as_deref().unwrap_or_default(),
        input.version_id_marker.as_deref(),
    );
    let max = usize::try_from(max).unwrap_or_default();
    let mut page: Vec<_> = all_versions(bucket, &prefix, marker).take(max + 1).collect();
    if page.len() > max {
        page.truncate(max);
        let last = page.last();
        output.is_truncated = Some(last.is_some());
        output.next_key_marker = last.map(|last| encoder.encode(last.key));
        output.next_version_id_marker = last.map(|last| last.version.id.clone());
    }
    let (listed, markers): (Vec<_>, Vec<_>) = page.iter().partition(|listed| listed.version.object.is_some());
    let listed = listed.into_iter().map(|listed| list_version(listed, &encoder));
    let markers = markers
        .into_iter()
        .map(|listed| list_marker(listed, &encoder, &bucket.owner));
    output.versions = Some(listed.collect());
    output.delete_markers = Some(markers.collect());
    Ok(S3Response::new(output))
}

/// A version or delete marker in a list.
struct Listed<'a> {
    key: &'a str,
    version: &'a Version,
    is_latest: bool,
}

/// All versions after a marker (a key, and one of its versions), of each key the newest first.
fn all_versions<'a>(
    bucket: &'a Bucket,
    prefix: &'a str,
    (marker, marker_id): (&'a str, Option<&'a str>),
) -> impl Iterator<Item = Listed<'a>> {
    let from = (Bound::Included(marker.max(prefix)), Bound::Unbounded);
    let keys = bucket
        .objects
        .range::<str, _>(from)
        .take_while(move |(key, _)| key.starts_with(prefix));
    keys.flat_map(move |(key, versions)| {
        let after = |id| versions.iter().rev().position(|v| v.id == id).map(|place| place + 1);
        let seen = if key == marker {
            marker_id.and_then(after).unwrap_or(versions.len())
        } else {
            0
        };
        let newest_first = versions.iter().rev().enumerate();
        let listed = newest_first.map(move |(place, version)| Listed {
            key,
            version,
            is_latest: place == 0,
        });
        listed.skip(seen)
    })
}

fn list_marker(listed: &Listed<'_>, encoder: &Encoder, account: &str) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(listed.is_latest),
        key: Some(encoder.encode(listed.key)),
        last_modified: Some(Timestamp::from(listed.version.modified)),
        owner: Some(owner(account)),
        version_id: Some(listed.version.id.clone()),
    }
}

fn list_version(listed: &Listed<'_>, encoder: &Encoder) -> ObjectVersion {
    let (version, object) = (listed.version, listed.version.object.as_ref());
    ObjectVersion {
        e_tag: object.map(|object| answers::etag(&object.etag)),
        is_latest: Some(listed.is_latest),
        key: Some(encoder.encode(listed.key)),
        last_modified: Some(Timestamp::from(version.modified)),
        size: object.and_then(|object| i64::try_from(object.body.len()).ok()),
        storage_class: Some(ObjectVersionStorageClass::from_static(
            ObjectVersionStorageClass::STANDARD,
        )),
        version_id: Some(version.id.clone()),
        ..ObjectVersion::default()
    }
}

pub(super) async fn uploads(
    ask: &Ask,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    if input.delimiter.as_ref().is_some_and(|d| !d.is_empty()) {
        return Err(not_implemented("a delimiter in ListMultipartUploads"));
    }
    let max = limit(input.max_uploads)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let encoder = Encoder::new(input.encoding_type.as_ref());
    let state = ask.shared.state();
    let bucket = bucket(&state, &input.bucket)?;
    let mut all: Vec<_> = bucket
        .uploads
        .iter()
        .filter(|(_, upload)| upload.key.starts_with(&prefix))
        .collect();
    all.sort_by(|(a_id, a), (b_id, b)| (&a.key, a.initiated, a_id).cmp(&(&b.key, b.initiated, b_id)));
    if let Some(marker) = &input.key_marker {
        let seen = input
            .upload_id_marker
            .as_ref()
            .and_then(|id| all.iter().position(|(i, _)| *i == id));
        match seen {
            Some(place) => all.drain(..=place),
            None => all.drain(..all.partition_point(|(_, upload)| upload.key <= *marker)),
        };
    }
    let truncated = all.len() > usize::try_from(max).unwrap_or_default();
    all.truncate(usize::try_from(max).unwrap_or_default());
    let last = all.last().filter(|_| truncated);
    let listed = all.iter().map(|(id, upload)| MultipartUpload {
        initiated: Some(Timestamp::from(upload.initiated)),
        initiator: Some(Initiator {
            id: Some(upload.initiator.clone()),
            display_name: None,
        }),
        key: Some(encoder.encode(&upload.key)),
        owner: Some(owner(&bucket.owner)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some((*id).clone()),
        ..MultipartUpload::default()
    });
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket.clone()),
        is_truncated: Some(truncated),
        key_marker: Some(encoder.encode(input.key_marker.as_deref().unwrap_or_default())),
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(max),
        next_key_marker: last.map(|(_, upload)| encoder.encode(&upload.key)),
        next_upload_id_marker: last.map(|(id, _)| (*id).clone()),
        prefix: Some(encoder.encode(&prefix)),
        uploads: Some(listed.collect()),
        encoding_type: input.encoding_type,
        ..ListMultipartUploadsOutput::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Attributes;

    fn filled(keys: &[&str]) -> Bucket {
        let mut bucket = Bucket::default();
        for key in keys {
            let object = StoredObject {
                body: crate::body::Stored::default(),
                etag: String::new(),
                checksum: None,
                attributes: Attributes::default(),
                parts: vec![],
            };
            let modified = std::time::SystemTime::UNIX_EPOCH;
            bucket.add(
                key,
                Version {
                    id: String::new(),
                    modified,
                    object: Some(object),
                },
            );
        }
        bucket
    }

    /// Everything, page by page.
    fn all(bucket: &Bucket, prefix: &str, delimiter: Option<&str>, max: usize) -> (Vec<String>, Vec<String>) {
        let (mut keys, mut prefixes, mut start) = (vec![], vec![], Start::Beginning);
        loop {
            let page = page(bucket, prefix, delimiter, start, max);
            keys.extend(page.contents.iter().map(|(key, ..)| (*key).to_owned()));
            prefixes.extend(page.prefixes);
            match page.next {
                Some(next) => start = read_token(&token(&next)).expect("its own token"),
                None => return (keys, prefixes),
            }
        }
    }

    #[test]
    fn pages_of_every_size_say_the_same() {
        let bucket = filled(&["a", "b/1", "b/2", "b/c/3", "b0", "c/1", "d"]);
        for max in 1..9 {
            let (keys, prefixes) = all(&bucket, "", Some("/"), max);
            assert_eq!(
                (keys.join(" "), prefixes.join(" ")),
                ("a b0 d".into(), "b/ c/".into()),
                "{max}"
            );
            let (keys, prefixes) = all(&bucket, "b/", Some("/"), max);
            assert_eq!(
                (keys.join(" "), prefixes.join(" ")),
                ("b/1 b/2".into(), "b/c/".into()),
                "{max}"
            );
            assert_eq!(all(&bucket, "", None, max).0.len(), 7, "{max}");
        }
    }

    #[test]
    fn a_start_before_the_prefix_changes_nothing() {
        let bucket = filled(&["a", "b/1", "b/2"]);
        let first = |start| {
            page(&bucket, "b/", None, start, 1)
                .contents
                .first()
                .map(|(key, ..)| (*key).to_owned())
        };
        assert_eq!(first(Start::AfterKey("a".into())).as_deref(), Some("b/1"));
        assert_eq!(first(Start::AfterKey("b/1".into())).as_deref(), Some("b/2"));
        assert_eq!(first(Start::AfterKey("c".into())), None);
    }
}
