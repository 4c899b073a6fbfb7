//! Records: one line of JSON that says everything about a version but its bytes; and what carries them, the log entry
//! (`record LF signature LF`) and the head (`record LF signature LF bytes`).
//!
//! A record's exact bytes are what gets signed, so they are kept as they were received.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::layout::{Item, ItemKind};
use crate::name::{Nonce, Number, ServiceName, VersionName};
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// The most bytes of a record: KMS signs messages of up to 4,096 bytes.
pub const MAX_RECORD: usize = 3_900;
/// The most bytes of a file that its head carries: 1 MiB.
pub const MAX_INLINE_FILE: u64 = 1 << 20;
/// The most characters of a signature line: base64 of a DER signature on P-256 has at most 96.
const MAX_SIGNATURE_LINE: usize = 128;
/// The most bytes of a head: record, signature and the largest environment.
pub const MAX_HEAD: u64 = (MAX_RECORD + MAX_SIGNATURE_LINE + 2) as u64 + crate::document::MAX_DOCUMENT;
/// The most bytes of a log entry.
pub const MAX_LOG_ENTRY: u64 = (MAX_RECORD + MAX_SIGNATURE_LINE + 2) as u64;
/// The format that this program writes, and the newest it reads.
const FORMAT: u64 = 1;

/// Everything about a version but its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a record is written out field by field where it is made"
)]
pub struct Record {
    /// The name of the store it was committed to.
    pub bucket: String,
    /// Whose version it is.
    pub item: Item,
    /// Its number.
    pub number: Number,
    /// Whether it can be read or is a deletion.
    pub state: State,
    /// Whether the head carries the bytes (a file may be empty).
    pub inline: bool,
    /// Its name, checksum included.
    pub name: VersionName,
    /// The name of the version before.
    pub parent: Option<VersionName>,
    /// How many bytes it has.
    pub size: u64,
    /// A file's permission bits where it was uploaded from.
    pub mode: Option<u32>,
    /// What made it.
    pub kind: ChangeKind,
    /// Who made it, `name@host`, as the writer's machine says.
    pub user: Option<String>,
    /// Why, in the writer's words.
    pub message: Option<String>,
    /// When it was committed, by the store's clock.
    pub time: Timestamp,
    /// When it ends being valid.
    pub expires: Option<Timestamp>,
    /// Whether 0.3.4 may still write the item.
    pub migration: bool,
    /// Which attempt to commit it belongs to.
    pub nonce: Nonce,
    /// The fingerprint of the public key that it is signed for. It is for people: a pinned key verifies, whatever is
    /// said here.
    pub signer: Option<Checksum>,
}

/// Whether a version can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::exhaustive_enums, reason = "a third state would be a newer format")]
pub enum State {
    /// It has content.
    Live,
    /// It is a deletion and has none.
    Deleted,
}

/// What made a version.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "another kind would be a newer format")]
pub enum ChangeKind {
    /// The first commit over what 0.3.4 wrote: its version, taken over.
    Adopted,
    /// `delete`.
    Delete,
    /// `edit`.
    Edit,
    /// `promote`, from a service's version.
    Promote(ServiceName, VersionRef),
    /// `rollback`, to a version.
    Rollback(VersionRef),
    /// `set`.
    Set,
    /// `unset`.
    Unset,
    /// `upload`.
    Upload,
}

/// An older version: by its number, or by its name when 0.3.4 wrote it and it was never given a number.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    clippy::exhaustive_enums,
    reason = "another way to say a version would be a newer format"
)]
pub enum VersionRef {
    /// By its number.
    Number(Number),
    /// By its name.
    Name(VersionName),
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for VersionRef {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let number = text.parse().ok().and_then(Number::new);
        if let Some(number) = number.filter(|number| number.to_string() == text) {
            return Ok(Self::Number(number));
        }
        text.parse().map(Self::Name).map_err(|_| RecordError::Field("kind"))
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted => f.write_str("adopted"),
            Self::Delete => f.write_str("delete"),
            Self::Edit => f.write_str("edit"),
            Self::Promote(service, version) => write!(f, "promote from {service}#{version}"),
            Self::Rollback(version) => write!(f, "rollback to {version}"),
            Self::Set => f.write_str("set"),
            Self::Unset => f.write_str("unset"),
            Self::Upload => f.write_str("upload"),
        }
    }
}

impl FromStr for ChangeKind {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        match text {
            "adopted" => return Ok(Self::Adopted),
            "delete" => return Ok(Self::Delete),
            "edit" => return Ok(Self::Edit),
            "set" => return Ok(Self::Set),
            "unset" => return Ok(Self::Unset),
            "upload" => return Ok(Self::Upload),
            _ => {}
        }
        if let Some(version) = text.strip_prefix("rollback to ") {
            return version.parse().map(Self::Rollback);
        }
        let promoted = text
            .strip_prefix("promote from ")
            .and_then(|source| source.split_once('#'));
        let (service, version) = promoted.ok_or(RecordError::Field("kind"))?;
        let service = service.parse().map_err(|_| RecordError::Field("kind"))?;
        Ok(Self::Promote(service, version.parse()?))
    }
}

/// A record as it is spelled. The order of the fields is the order they are written in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u64,
    bucket: String,
    service: String,
    item: String,
    number: u64,
    state: State,
    inline: bool,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    sha256: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    migration: bool,
    nonce: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
}

/// The one field that is read first, whatever else a newer format holds.
#[derive(Deserialize)]
struct FormatOnly {
    format: u64,
}

impl Record {
    /// The checksum of the version's bytes.
    pub fn checksum(&self) -> Checksum {
        self.name.checksum()
    }

    fn parse(line: &[u8]) -> Result<Self, RecordError> {
        let FormatOnly { format } = serde_json::from_slice(line).map_err(|_| RecordError::Malformed)?;
        if format > FORMAT {
            return Err(RecordError::Newer { format });
        } else if format != FORMAT {
            return Err(RecordError::Field("format"));
        }
        let wire: Wire = serde_json::from_slice(line).map_err(|_| RecordError::Malformed)?;
        let record = Self::from_wire(wire)?;
        record.check()?;
        Ok(record)
    }

    fn from_wire(wire: Wire) -> Result<Self, RecordError> {
        let field = |name| move || RecordError::Field(name);
        let time = |text: &str| Timestamp::parse_rfc3339(text);
        let service: ServiceName = wire.service.parse().map_err(|_| RecordError::Field("service"))?;
        let kind: ItemKind = wire.item.parse().map_err(|_| RecordError::Field("item"))?;
        let name: VersionName = wire.name.parse().map_err(|_| RecordError::Field("name"))?;
        if wire.sha256 != name.checksum().to_string() {
            return Err(RecordError::Field("sha256"));
        }
        Ok(Self {
            bucket: wire.bucket,
            item: Item::new(service, kind),
            number: Number::new(wire.number).ok_or_else(field("number"))?,
            state: wire.state,
            inline: wire.inline,
            name,
            parent: optional(wire.parent, |text| text.parse().ok()).ok_or_else(field("parent"))?,
            size: wire.size,
            mode: optional(wire.mode, parse_mode).ok_or_else(field("mode"))?,
            kind: wire.kind.parse()?,
            user: wire.user,
            message: wire.message,
            time: time(&wire.time).ok_or_else(field("time"))?,
            expires: optional(wire.expires, time).ok_or_else(field("expires"))?,
            migration: wire.migration,
            nonce: wire.nonce.parse().map_err(|_| RecordError::Field("nonce"))?,
            signer: optional(wire.signer, |text| text.parse().ok()).ok_or_else(field("signer"))?,
        })
    }

    fn to_wire(&self) -> Wire {
        Wire {
            format: FORMAT,
            bucket: self.bucket.clone(),
            service: self.item.service().to_string(),
            item: self.item.kind().to_string(),
            number: self.number.get(),
            state: self.state,
            inline: self.inline,
            name: self.name.to_string(),
            parent: self.parent.as_ref().map(ToString::to_string),
            sha256: self.checksum().to_string(),
            size: self.size,
            mode: self.mode.map(|mode| format!("{mode:04o}")),
            kind: self.kind.to_string(),
            user: self.user.clone(),
            message: self.message.clone(),
            time: self.time.to_string(),
            expires: self.expires.map(|expires| expires.to_string()),
            migration: self.migration,
            nonce: self.nonce.to_string(),
            signer: self.signer.map(|signer| signer.to_string()),
        }
    }

    /// What no record of ours says, whoever signed it.
    fn check(&self) -> Result<(), RecordError> {
        let deleted = self.state == State::Deleted;
        let inline_must_be = match self.item.kind() {
            _ if deleted => false,
            ItemKind::Environment => true,
            ItemKind::File(_) => self.size <= MAX_INLINE_FILE,
        };
        if self.inline != inline_must_be {
            Err(RecordError::Field("inline"))
        } else if deleted != (self.kind == ChangeKind::Delete) {
            Err(RecordError::Field("state"))
        } else if deleted && (self.size > 0 || self.checksum() != Checksum::of_nothing()) {
            Err(RecordError::Field("size"))
        } else {
            Ok(())
        }
    }
}

/// Parses what is there; `None` when it is malformed.
fn optional<T>(text: Option<String>, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    text.map_or(Some(None), |text| parse(&text).map(Some))
}

fn parse_mode(text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok()?;
    (mode <= 0o777 && text == format!("{mode:04o}")).then_some(mode)
}

/// A record with its signature, if any: a log entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRecord {
    record: Record,
    line: String,
    signature: Option<Signature>,
}

impl SignedRecord {
    /// Spells a record out; [`SignedRecord::signed`] adds a signature.
    pub fn new(record: Record) -> Result<Self, RecordError> {
        record.check()?;
        let line = serde_json::to_string(&record.to_wire()).map_err(|_| RecordError::Malformed)?;
        if line.len() > MAX_RECORD {
            return Err(RecordError::TooLong { length: line.len() });
        }
        Ok(Self {
            record,
            line,
            signature: None,
        })
    }

    /// The same record with a signature over [`SignedRecord::line`].
    pub fn signed(self, signature: Signature) -> Self {
        Self {
            signature: Some(signature),
            ..self
        }
    }

    /// What it says. Believe it only as far as it was checked.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The exact bytes that are signed.
    pub fn line(&self) -> &[u8] {
        self.line.as_bytes()
    }

    /// The signature, if there is one.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// The bytes of a log entry.
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n{}\n", self.line, SignatureLine(self.signature.as_ref())).into_bytes()
    }

    /// Reads a log entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let (entry, rest) = Self::parse_prefix(bytes)?;
        if rest.is_empty() {
            Ok(entry)
        } else {
            Err(RecordError::TrailingData)
        }
    }

    /// Reads record and signature from the beginning of `bytes` and answers what follows them.
    fn parse_prefix(bytes: &[u8]) -> Result<(Self, &[u8]), RecordError> {
        let (line, rest) = split_line(bytes, MAX_RECORD)?;
        // No white space around it: these bytes are what is signed.
        if !line.starts_with(b"{") || !line.ends_with(b"}") {
            return Err(RecordError::Malformed);
        }
        let (signature, rest) = split_line(rest, MAX_SIGNATURE_LINE).map_err(|error| match error {
            RecordError::TooLong { .. } => RecordError::SignatureEncoding,
            error => error,
        })?;
        let record = Record::parse(line)?;
        let signature = Signature::parse_line(signature)?;
        let line = String::from_utf8(line.to_vec()).map_err(|_| RecordError::Malformed)?;
        Ok((
            Self {
                record,
                line,
                signature,
            },
            rest,
        ))
    }
}

fn split_line(bytes: &[u8], most: usize) -> Result<(&[u8], &[u8]), RecordError> {
    let end = bytes.iter().take(most + 1).position(|byte| *byte == b'\n');
    match end {
        Some(end) => Ok((&bytes[..end], &bytes[end + 1..])),
        None if bytes.len() <= most => Err(RecordError::Truncated),
        None => Err(RecordError::TooLong { length: bytes.len() }),
    }
}

/// The small mutable object that carries the current version.
pub struct Head {
    entry: SignedRecord,
    bytes: SecretBytes,
}

impl Head {
    /// A head; `bytes` are there exactly when the record says so.
    pub fn new(entry: SignedRecord, bytes: SecretBytes) -> Result<Self, RecordError> {
        let expected = if entry.record.inline { entry.record.size } else { 0 };
        if bytes.len() as u64 != expected {
            return Err(RecordError::Field("size"));
        }
        Ok(Self { entry, bytes })
    }

    /// Reads a head. Neither its signature nor its checksum is checked here: see [`crate::trust`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let (entry, rest) = SignedRecord::parse_prefix(bytes)?;
        Self::new(entry, SecretBytes::new(rest.to_vec()))
    }

    /// Spells the head out.
    pub fn to_bytes(&self) -> SecretBytes {
        let entry = self.entry.to_bytes();
        let mut bytes = Vec::with_capacity(entry.len() + self.bytes.len());
        bytes.extend_from_slice(&entry);
        bytes.extend_from_slice(self.bytes.expose());
        SecretBytes::new(bytes)
    }

    /// Its record and signature.
    pub fn entry(&self) -> &SignedRecord {
        &self.entry
    }

    /// Its record.
    pub fn record(&self) -> &Record {
        &self.entry.record
    }

    /// The version's bytes, when the head carries them.
    pub fn bytes(&self) -> &SecretBytes {
        &self.bytes
    }

    /// Takes the parts out.
    pub fn into_parts(self) -> (SignedRecord, SecretBytes) {
        (self.entry, self.bytes)
    }
}

/// A signature over a record: ECDSA on P-256 with SHA-256, DER. Unverified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// A signature as a key service gave it.
    pub fn new(der: Vec<u8>) -> Self {
        Self(der)
    }

    /// The DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    fn parse_line(line: &[u8]) -> Result<Option<Self>, RecordError> {
        if line == b"-" {
            return Ok(None);
        }
        // Strict base64: one spelling per signature, so that nothing can be hidden in its padding bits.
        let der = BASE64.decode(line).map_err(|_| RecordError::SignatureEncoding)?;
        if der.is_empty() {
            Err(RecordError::SignatureEncoding)
        } else {
            Ok(Some(Self(der)))
        }
    }
}

struct SignatureLine<'a>(Option<&'a Signature>);

impl fmt::Display for SignatureLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(signature) => f.write_str(&BASE64.encode(&signature.0)),
            None => f.write_str("-"),
        }
    }
}

/// Why a record, log entry or head was refused, or cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// One field says what no version's record says.
    #[error("its field {0} is not valid")]
    Field(&'static str),
    /// Not a record.
    #[error("it is no record")]
    Malformed,
    /// Written by a newer microsecrets.
    #[error("its format is {format}, and this version reads up to 1")]
    Newer {
        /// The format it says.
        format: u64,
    },
    /// The signature is not base64.
    #[error("its signature is not base64")]
    SignatureEncoding,
    /// More than fits.
    #[error("its record has {length} bytes, and 3,900 are the most")]
    TooLong {
        /// How many bytes there are.
        length: usize,
    },
    /// Bytes after the end.
    #[error("bytes follow its end")]
    TrailingData,
    /// It ends too early.
    #[error("it ends too early")]
    Truncated,
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
