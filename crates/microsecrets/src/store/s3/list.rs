//! ListObjectsV2, one page, checked: a store that answers other keys than were asked for, or in another order, would
//! decide what is latest.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;

use super::whole::Whole;
use super::{Clock, S3Store, timestamp};
use crate::aws::{Asked, from_sdk};
use crate::store::{Entry, List, Operation, Page, StoreError};
use crate::time::Timestamp;

impl S3Store {
    pub(super) async fn list_page(&self, request: List) -> Result<Page, StoreError> {
        let asked = Asked::new(Operation::List, request.prefix.as_str());
        let (request, asked) = (&request, &asked);
        self.read(asked, |client| async move { self.page(asked, &client, request).await })
            .await
    }

    async fn page(&self, asked: &Asked, client: &Client, request: &List) -> Result<Page, StoreError> {
        let (clock, whole) = (Clock::default(), Whole::ending_with("ListBucketResult"));
        let output = client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(&request.prefix)
            .set_start_after(request.start_after.clone())
            .set_delimiter(request.delimiter.map(String::from))
            .set_continuation_token(request.continuation.clone())
            .set_max_keys(request.limit.map(i32::from))
            // XML has no way to say every key.
            .encoding_type(EncodingType::Url)
            .set_expected_bucket_owner(self.owner.clone())
            .customize()
            .interceptor(clock.clone())
            .interceptor(whole.clone())
            .send()
            .await
            .map_err(|error| from_sdk(asked, error))?;
        whole.check(asked)?;
        checked(asked, request, output, clock.read(asked)?)
    }
}

fn checked(asked: &Asked, request: &List, output: ListObjectsV2Output, date: Timestamp) -> Result<Page, StoreError> {
    let encoded = output.encoding_type() == Some(&EncodingType::Url);
    let text = |text: Option<String>| {
        let text = text.ok_or_else(|| asked.malformed("an entry has no key"))?;
        if encoded {
            decode(&text).ok_or_else(|| asked.malformed("a key is not URL-encoded UTF-8"))
        } else {
            Ok(text)
        }
    };
    let mut entries: Vec<Entry> = Vec::new();
    for object in output.contents.unwrap_or_default() {
        let key = text(object.key)?;
        let size = object.size.and_then(|size| u64::try_from(size).ok());
        let modified = timestamp(object.last_modified.as_ref());
        let (Some(size), Some(modified)) = (size, modified) else {
            return Err(asked.malformed("an entry has no size or no time"));
        };
        if !key.starts_with(&request.prefix) {
            return Err(asked.malformed("a key is outside the prefix"));
        }
        if request.start_after.as_ref().is_some_and(|after| key <= *after) {
            return Err(asked.malformed("a key is not after the one to start after"));
        }
        if entries.last().is_some_and(|last| key <= last.key) {
            return Err(asked.malformed("its keys are not in order"));
        }
        entries.push(Entry { key, size, modified });
    }
    let mut groups: Vec<String> = Vec::new();
    for group in output.common_prefixes.unwrap_or_default() {
        let group = text(group.prefix)?;
        let within = group.starts_with(&request.prefix)
            && group.len() > request.prefix.len()
            && request.delimiter.is_some_and(|delimiter| group.ends_with(delimiter));
        if !within {
            return Err(asked.malformed("a group is outside the prefix"));
        }
        if groups.last().is_some_and(|last| group <= *last) {
            return Err(asked.malformed("its groups are not in order"));
        }
        groups.push(group);
    }
    let most = usize::from(request.limit.unwrap_or(1_000));
    if entries.len() + groups.len() > most {
        return Err(asked.malformed("it has more keys than were asked for"));
    }
    let continuation = match (output.is_truncated.unwrap_or(false), output.next_continuation_token) {
        (false, _) => None,
        (true, Some(token)) if !token.is_empty() && request.continuation.as_ref() != Some(&token) => Some(token),
        (true, _) => return Err(asked.malformed("it says that there is more, but not where")),
    };
    Ok(Page {
        entries,
        groups,
        continuation,
        date,
    })
}

/// Decodes a key as S3 encodes it: like a query, so that a space is `+`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_as_s3_encodes_them() {
        for (encoded, key) in [
            ("services/api/head", Some("services/api/head")),
            ("a+b%2Bc%20d", Some("a b+c d")),
            ("%01%C3%A4", Some("\u{1}ä")),
            ("100%", None),
            ("%zz", None),
            ("%+1", None),
            ("%FF", None),
        ] {
            assert_eq!(decode(encoded).as_deref(), key, "{encoded}");
        }
    }
}
