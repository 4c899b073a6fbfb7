//! Requests by hand: signed like the SDK's, but with whatever mistake a test wants.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use ring::{digest, hmac};
use strict_fake::{Principal, StrictFake};

/// A request before it is signed. Path and query have to be percent-encoded already.
pub(crate) struct RawRequest {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Headers that are sent but not signed.
    pub(crate) unsigned: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) region: &'static str,
    /// `x-amz-content-sha256`; the body's own hash unless it is given.
    pub(crate) payload_hash: Option<String>,
    pub(crate) time: Option<std::time::SystemTime>,
}

/// An answer.
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl RawAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|l| l.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// Status and error code.
    pub(crate) fn brief(&self) -> (u16, &str) {
        (self.status, self.element("Code"))
    }

    /// The text of an element of the XML.
    pub(crate) fn element(&self, name: &str) -> &str {
        let rest = self.body.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
        rest.split_once(&format!("</{name}>")).map_or("", |(text, _)| text)
    }
}

impl RawRequest {
    pub(crate) fn new(method: &'static str, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            headers: vec![],
            unsigned: vec![],
            body: vec![],
            region: "us-east-1",
            payload_hash: None,
            time: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn unsigned(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    pub(crate) fn payload_hash(mut self, hash: &str) -> Self {
        self.payload_hash = Some(hash.to_owned());
        self
    }

    /// A body in one unsigned chunk with a trailer, as the SDK sends streams.
    pub(crate) fn chunked(self, body: &[u8], trailer: &str, value: Option<&str>) -> Self {
        let mut coded = format!("{:x}\r\n", body.len()).into_bytes();
        coded.extend_from_slice(body);
        coded.extend_from_slice(b"\r\n0\r\n");
        if let Some(value) = value {
            coded.extend_from_slice(format!("{trailer}:{value}\r\n").as_bytes());
        }
        coded.extend_from_slice(b"\r\n");
        self.header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &body.len().to_string())
            .header("x-amz-trailer", trailer)
            .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .body(&coded)
    }

    /// Signs it as this principal, sends it on a connection of its own, and reads the answer.
    pub(crate) fn send(&self, fake: &StrictFake, who: &Principal) -> RawAnswer {
        let mut stream = TcpStream::connect(("127.0.0.1", fake.port())).expect("the fake listens");
        let request = self.sign(fake, who);
        stream.write_all(&request).expect("sent");
        read_answer(&mut stream, self.method == "HEAD")
    }

    /// Sends it without any credentials.
    pub(crate) fn send_anonymously(&self, fake: &StrictFake) -> RawAnswer {
        let mut stream = TcpStream::connect(("127.0.0.1", fake.port())).expect("the fake listens");
        let host = format!("127.0.0.1:{}", fake.port());
        let request = format!(
            "{} {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n",
            self.method, self.target
        );
        stream.write_all(request.as_bytes()).expect("sent");
        read_answer(&mut stream, self.method == "HEAD")
    }

    /// The whole request as bytes.
    pub(crate) fn sign(&self, fake: &StrictFake, who: &Principal) -> Vec<u8> {
        let date = amz_date(self.time.unwrap_or_else(|| fake.now()));
        let payload = self.payload_hash.clone().unwrap_or_else(|| hex(&sha256(&self.body)));
        let mut headers = self.headers.clone();
        if !headers.iter().any(|(name, _)| name == "host") {
            headers.push(("host".into(), format!("127.0.0.1:{}", fake.port())));
        }
        headers.push(("x-amz-date".into(), date.clone()));
        headers.push(("x-amz-content-sha256".into(), payload.clone()));
        headers.sort();
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let names = headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{payload}", self.method);
        let scope = format!("{}/{}/s3/aws4_request", &date[..8], self.region);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            hex(&sha256(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{}", who.secret_key).into_bytes();
        for part in [&date[..8], self.region, "s3", "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &to_sign));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            who.access_key
        );
        let mut request = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in headers.iter().chain(&self.unsigned) {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!(
            "authorization: {authorization}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.body.len()
        );
        [request.as_bytes(), &self.body].concat()
    }
}

/// Reads until the connection closes.
pub(crate) fn read_answer(stream: &mut TcpStream, is_head: bool) -> RawAnswer {
    let mut bytes = Vec::new();
    // A reset ends the answer too; what came before it counts.
    let _reset = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
    assert!(!is_head || body.is_empty(), "an answer to HEAD has no body: {body}");
    RawAnswer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn amz_date(at: std::time::SystemTime) -> String {
    let at = time::OffsetDateTime::from(at);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        at.hour(),
        at.minute(),
        at.second()
    )
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
