//! Answers that no S3 gives: whatever comes, it is an error that says so, and holds nothing of what came.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;

use microsecrets::keys::{Keys as _, KmsKeys};
use microsecrets::store::{Condition, ErrorKind, Get, List, Store as _};

use super::*;

/// A text that must never come out again.
const CANARY: &str = "xyzzy-canary-4711";

/// A server that answers every request with the same bytes, and closes the connection.
pub(super) struct Canned {
    pub(super) endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    pub(super) fn new(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 4_096];
                // The tests' bodies are small enough to come with the head, or soon.
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match connection.read(&mut piece) {
                        Ok(length) if length > 0 => request.extend_from_slice(&piece[..length]),
                        _ => break,
                    }
                }
                seen.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&request).into_owned());
                // Whoever gives up in between is right.
                if connection.write_all(&answer).is_ok() {
                    let _ended = connection.shutdown(std::net::Shutdown::Write);
                    let _rest = connection.read_to_end(&mut Vec::new());
                }
            }
        });
        Self { endpoint, requests }
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    async fn store(&self) -> S3Store {
        let aws = Aws::open(settings(&self.endpoint, &somebody())).await.unwrap();
        S3Store::new(aws, BUCKET, None)
    }
}

/// An answer with these lines in its head, besides a length.
pub(super) fn answer(status: &str, head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{head}\r\n{body}")
}

const DATE: &str = "Date: Mon, 23 Nov 2026 07:58:01 GMT\r\n";
const OBJECT: &str = "ETag: \"e\"\r\nLast-Modified: Mon, 23 Nov 2026 07:58:00 GMT\r\n";

/// Asks a server that answers so for an object, and expects a failure without anything of the answer in it.
async fn get(answer: impl Into<Vec<u8>>) -> (StoreError, usize) {
    let server = Canned::new(answer);
    let error = failed(server.store().await.get(Get::whole("x", 1_000)).await);
    checked(error, &server)
}

async fn list(request: List, answer: impl Into<Vec<u8>>) -> (StoreError, usize) {
    let server = Canned::new(answer);
    let error = failed(server.store().await.list(request).await);
    checked(error, &server)
}

fn checked(error: StoreError, server: &Canned) -> (StoreError, usize) {
    assert!(!lines(&error).concat().contains(CANARY), "{:?}", lines(&error));
    assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
    (error, server.requests())
}

fn malformed(what: &str) -> ErrorKind {
    ErrorKind::Malformed(what.to_owned())
}

#[tokio::test]
async fn a_page_of_html_is_no_object() {
    let html = format!("<html><body>{CANARY}</body></html>");
    let (error, requests) = get(answer("200 OK", DATE, &html)).await;
    assert_eq!((error.kind, requests), (malformed("it has no ETag"), 1));
    let (error, _) = get(answer("403 Forbidden", DATE, &html)).await;
    assert!(matches!(error.kind, ErrorKind::Denied(_)), "{error}");
    let (error, _) = get(answer("404 Not Found", DATE, &html)).await;
    assert_eq!(error.kind, ErrorKind::Unexpected { status: Some(404) });
    let (error, requests) = get(answer("503 Service Unavailable", DATE, &html)).await;
    assert_eq!((error.kind, requests), (ErrorKind::Unavailable, 4));
}

#[tokio::test]
async fn an_object_needs_a_date_an_etag_a_time_and_a_length() {
    for (head, what) in [
        (OBJECT.to_owned(), "it has no date"),
        (format!("Date: yesterday\r\n{OBJECT}"), "it has no date"),
        (
            format!("{DATE}Last-Modified: Mon, 23 Nov 2026 07:58:00 GMT\r\n"),
            "it has no ETag",
        ),
        (format!("{DATE}ETag: \"e\"\r\n"), "it has no Last-Modified"),
    ] {
        let (error, requests) = get(answer("200 OK", &head, CANARY)).await;
        assert_eq!((error.kind, requests), (malformed(what), 1));
    }
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{DATE}{OBJECT}\r\n1\r\nx\r\n0\r\n\r\n");
    assert_eq!(get(chunked).await.0.kind, malformed("it has no Content-Length"));
    // The very same, complete, is an object.
    let server = Canned::new(answer("200 OK", &format!("{DATE}{OBJECT}"), "x"));
    assert_eq!(
        bytes(&server.store().await.get(Get::whole("x", 1)).await.unwrap()),
        b"x"
    );
}

#[tokio::test]
async fn a_body_that_is_shorter_than_its_length_is_no_object() {
    let short = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n{DATE}{OBJECT}\r\n{CANARY}");
    let (error, requests) = get(short).await;
    assert_eq!((error.kind, requests), (ErrorKind::Unavailable, 4));
}

#[tokio::test]
async fn an_error_in_the_body_of_a_success_is_an_error() {
    let body = format!("<Error><Code>InternalError</Code><Message>{CANARY}</Message></Error>");
    let (error, _) = get(answer("200 OK", DATE, &body)).await;
    assert_eq!(error.kind, malformed("it has no ETag"));
    let (error, _) = list(List::prefix("a/"), answer("200 OK", DATE, &body)).await;
    assert!(
        matches!(error.kind, ErrorKind::Malformed(_) | ErrorKind::Unavailable),
        "{error}"
    );
}

#[tokio::test]
async fn a_region_that_is_none_is_not_gone_to() {
    let head = format!("{DATE}x-amz-bucket-region: evil.example/{CANARY}\r\n");
    let server = Canned::new(answer("301 Moved Permanently", &head, ""));
    let store = server.store().await;
    let error = failed(store.get(Get::whole("x", 1)).await);
    assert!(matches!(error.kind, ErrorKind::WrongRegion { .. }), "{error}");
    assert_eq!((server.requests(), store.region_followed()), (1, None));
}

#[tokio::test]
async fn what_is_no_http_at_all_is_unavailable() {
    let (error, _) = get(format!("SSH-2.0-{CANARY}\r\n")).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let (error, _) = get("").await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn texts_of_the_store_are_short_and_on_one_line() {
    let code = "Odd\t\n".repeat(200);
    let body = format!("<Error><Code>{code}</Code><Message>{CANARY}</Message></Error>");
    let (error, _) = get(answer("400 Bad Request", DATE, &body)).await;
    let code = error.code.unwrap();
    assert!(
        (1..=400).contains(&code.len()) && !code.contains(['\t', '\n']),
        "{code:?}"
    );
}

#[tokio::test]
async fn a_put_that_is_answered_with_nonsense_may_have_been_applied() {
    let server = Canned::new(answer("200 OK", DATE, ""));
    let world = World::new();
    let error = failed(server.store().await.put(world.put("x", b"1", Condition::Absent)).await);
    assert_eq!(error.kind, ErrorKind::WrongEncryption { used: Encryption::None });
    assert!(error.maybe_applied);

    let head = format!(
        "{DATE}x-amz-server-side-encryption: aws:kms\r\nx-amz-server-side-encryption-aws-kms-key-id: {}\r\n",
        world.key
    );
    let server = Canned::new(answer("200 OK", &head, CANARY));
    let error = failed(server.store().await.put(world.put("x", b"1", Condition::Absent)).await);
    assert_eq!((&error.kind, error.maybe_applied), (&malformed("it has no ETag"), true));
}

/// A page of a listing, with these elements in it.
fn page(elements: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name><EncodingType>url</EncodingType>{elements}\
         </ListBucketResult>"
    );
    answer("200 OK", DATE, &body)
}

fn entry(key: &str) -> String {
    let time = "<LastModified>2026-11-23T07:58:00.000Z</LastModified>";
    format!("<Contents><Key>{key}</Key>{time}<Size>1</Size></Contents>")
}

#[tokio::test]
async fn a_listing_that_is_not_one_is_malformed() {
    for body in [
        format!("<html>{CANARY}</html>"),
        format!("{{\"{CANARY}\": 1}}"),
        String::new(),
    ] {
        let (error, _) = list(List::prefix("a/"), answer("200 OK", DATE, &body)).await;
        assert!(matches!(error.kind, ErrorKind::Malformed(_)), "{error}");
    }
    let undated = page(&entry("a/1")).replace(DATE, "");
    assert_eq!(
        list(List::prefix("a/"), undated).await.0.kind,
        malformed("it has no date")
    );
}

/// The SDK's reader of XML takes what was cut off for a shorter list, wherever an element ends.
#[tokio::test]
async fn a_listing_that_was_cut_is_malformed() {
    let keys = "<ListBucketResult><EncodingType>url</EncodingType>".to_owned() + &entry("a/1") + &entry("a/2");
    let version = "<Version><Key>x</Key><VersionId>1</VersionId></Version>";
    let versions = format!("<ListVersionsResult>{version}{version}");
    for (body, of_versions) in [(keys, false), (versions, true)] {
        for (end, _) in body.match_indices('>') {
            let server = Canned::new(answer("200 OK", DATE, &body[..=end]));
            let store = server.store().await;
            let error = match of_versions {
                true => failed(store.versions("x").await),
                false => failed(store.list(List::prefix("a/")).await),
            };
            assert!(
                matches!(error.kind, ErrorKind::Malformed(_)),
                "{error}: {}",
                &body[..=end]
            );
        }
    }
}

#[tokio::test]
async fn a_listing_answers_what_was_asked() {
    let more = "<IsTruncated>true</IsTruncated>";
    let token = |token: &str| format!("{more}<NextContinuationToken>{token}</NextContinuationToken>");
    let after = || List::prefix("a/").start_after("a/2");
    let mut next = List::prefix("a/");
    next.continuation = Some("again".to_owned());
    let group = |group: &str| format!("<CommonPrefixes><Prefix>{group}</Prefix></CommonPrefixes>");
    for (request, elements, what) in [
        (List::prefix("a/"), entry("b/1"), "a key is outside the prefix"),
        (
            List::prefix("a/"),
            entry("a/2") + &entry("a/1"),
            "its keys are not in order",
        ),
        (
            List::prefix("a/"),
            entry("a/1") + &entry("a/1"),
            "its keys are not in order",
        ),
        (after(), entry("a/1"), "a key is not after the one to start after"),
        (after(), entry("a/2"), "a key is not after the one to start after"),
        (List::prefix("a/"), entry("a/%FF"), "a key is not URL-encoded UTF-8"),
        (
            List::prefix("a/").limit(1),
            entry("a/1") + &entry("a/2"),
            "it has more keys than were asked for",
        ),
        (
            List::prefix("a/"),
            "<Contents><Size>1</Size></Contents>".to_owned(),
            "an entry has no key",
        ),
        (
            List::prefix("a/"),
            "<Contents><Key>a/1</Key></Contents>".to_owned(),
            "an entry has no size or no time",
        ),
        (
            List::prefix("a/"),
            more.to_owned(),
            "it says that there is more, but not where",
        ),
        (
            List::prefix("a/"),
            token(""),
            "it says that there is more, but not where",
        ),
        (next, token("again"), "it says that there is more, but not where"),
        (List::prefix("a/"), group("a/b/"), "a group is outside the prefix"),
        (
            List::prefix("a/").delimiter('/'),
            group("b/b/"),
            "a group is outside the prefix",
        ),
        (
            List::prefix("a/").delimiter('/'),
            group("a/b"),
            "a group is outside the prefix",
        ),
        (
            List::prefix("a/").delimiter('/'),
            group("a/c/") + &group("a/b/"),
            "its groups are not in order",
        ),
    ] {
        let (error, requests) = list(request, page(&elements)).await;
        assert_eq!((error.kind, requests), (malformed(what), 1));
    }
}

#[tokio::test]
async fn an_answer_without_end_does_not_fill_the_memory() {
    let endless = page(&entry("a/1").repeat(120_000));
    assert!(endless.len() > 8 << 20);
    let (error, requests) = list(List::prefix("a/"), endless).await;
    assert!(matches!(error.kind, ErrorKind::Malformed(_)), "{error}");
    assert_eq!(requests, 1);
    let (error, _) = get(answer("500 Oops", DATE, &" ".repeat(9 << 20))).await;
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn kms_that_answers_nonsense_is_malformed() {
    for body in [
        "",
        "<html></html>",
        "{}",
        "{\"KeyMetadata\": {\"KeyId\": \"1\"}}",
        "{\"Signature\": \"\"}",
    ] {
        let server = Canned::new(answer("200 OK", DATE, body));
        let keys = KmsKeys::new(Aws::open(settings(&server.endpoint, &somebody())).await.unwrap());
        for error in [
            failed(keys.resolve("alias/x").await),
            failed(keys.sign("alias/x", b"record").await),
        ] {
            assert!(matches!(error.kind, ErrorKind::Malformed(_)), "{body} {error}");
        }
    }
}
