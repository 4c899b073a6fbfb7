//! Objects as age files: what is in them, and what can be told of them without opening them.
//!
//! A file is an age file ([age-encryption.org/v1](https://age-encryption.org/v1), binary) to the store's one X25519
//! recipient, and what it encrypts is exactly the object's bytes, so that `age -d -i IDENTITY FILE` prints them. What
//! else there is to know stands in one more stanza of its header, which other programs pass over, as age's format asks:
//!
//! ```text
//! -> microsecrets 1 <the mark: a nonce, or "-">
//! <SHA-256 of the store's id and the object's key>
//! ```
//!
//! The header is authenticated with the file's key. A file that was moved to another key is therefore noticed, as it is
//! in S3, whose encryption context holds the object's ARN.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read, Write};
use std::iter;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, EncryptError, Encryptor, x25519};
use age_core::format::{FileKey, Stanza};
use sha2::Digest as _;

use super::FolderError;
use super::error::Fault;
use crate::checksum::Checksum;
use crate::name::Nonce;
use crate::secret::SecretBytes;
use crate::store::{ETag, ErrorKind, Mark};
use crate::time::Timestamp;

/// How many bytes at the beginning of a file must hold age's header. Ours take less than 800.
const HEAD_LIMIT: usize = 4096;
/// Of age's format: the first line, the line that ends the header, and what follows it.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";
const MAC_LINE: &[u8] = b"\n--- ";
const MAC_LEN: usize = 43;
const PAYLOAD_NONCE_LEN: usize = 16;
/// Of age's format: the bytes are encrypted in chunks, each with a tag.
pub(super) const CHUNK: usize = 64 * 1024;
const TAG: u64 = 16;

const STANZA: &str = "microsecrets";
const FORMAT: &str = "1";
const UNMARKED: &str = "-";

/// Binds a file to its place: a store and a key in it.
#[derive(Clone, Copy)]
pub(super) struct Binding([u8; 32]);

impl Binding {
    pub(super) fn new(store: &str, key: &str) -> Self {
        Self(sha2::Sha256::digest(format!("{store}\n{key}")).into())
    }
}

/// Begins an age file. It is complete only after [`StreamWriter::finish`].
pub(super) fn seal<W: Write>(
    output: W,
    recipient: &x25519::Recipient,
    binding: Binding,
    mark: Option<Nonce>,
) -> io::Result<StreamWriter<W>> {
    let attributes = Attributes {
        binding,
        mark: mark.map_or_else(|| UNMARKED.to_owned(), |nonce| nonce.to_string()),
    };
    let recipients: [&dyn age::Recipient; 2] = [recipient, &attributes];
    Encryptor::with_recipients(recipients.into_iter())
        .map_err(io::Error::other)?
        .wrap_output(output)
}

/// Our stanza. To age it is a recipient, though nobody can open the file by it.
struct Attributes {
    binding: Binding,
    mark: String,
}

impl age::Recipient for Attributes {
    fn wrap_file_key(&self, _: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let stanza = Stanza {
            tag: STANZA.to_owned(),
            args: vec![FORMAT.to_owned(), self.mark.clone()],
            body: self.binding.0.to_vec(),
        };
        // An X25519 recipient has no labels, and all recipients of a file must have the same.
        Ok((vec![stanza], HashSet::new()))
    }
}

/// An age file that is open but not decrypted.
pub(super) struct Sealed {
    file: File,
    path: PathBuf,
    head: Vec<u8>,
    /// What its header says of it.
    ///
    /// The header holds a fresh key, and its authentication code; together with the nonce that the bytes are encrypted
    /// under, it is different for each file that is written, and nobody without that key can put other bytes behind it.
    pub(super) etag: ETag,
    /// How many bytes its object has, from the file's length. Whether they are there is seen when they are decrypted.
    pub(super) size: u64,
    /// When it was written.
    pub(super) modified: Timestamp,
}

impl Sealed {
    /// Reads the header of a file.
    pub(super) fn read(file: File, path: PathBuf) -> Result<Self, Fault> {
        let failed = |source| FolderError::Io {
            action: "read",
            path: path.clone(),
            source,
        };
        let head = head(&file).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let header = header_of(&head)?;
        Ok(Self {
            size: plaintext_size(metadata.len(), header.len())?,
            etag: etag_of(header),
            modified: modified(&metadata),
            file,
            path,
            head,
        })
    }

    /// Decrypts the header, and checks that the file is the object of this key.
    pub(super) fn open(self, identity: &x25519::Identity, binding: Binding) -> Result<Opened, Fault> {
        let Self {
            mut file,
            path,
            head,
            size,
            ..
        } = self;
        let failed = |source| FolderError::Io {
            action: "read",
            path: path.clone(),
            source,
        };
        io::Seek::seek(&mut file, io::SeekFrom::Start(head.len() as u64)).map_err(failed)?;
        let reading = Reading {
            identity,
            found: Cell::new(Found::Nothing),
        };
        let reader = Decryptor::new_buffered(Cursor::new(head).chain(BufReader::new(file)))
            .and_then(|decryptor| decryptor.decrypt(iter::once(&reading as &dyn age::Identity)))
            .map_err(|error| match error {
                DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => failed(error).into(),
                error => not_opened(error),
            })?;
        let mark = match reading.found.into_inner() {
            Found::Attributes { binding: found, mark } if found == binding.0 => mark,
            Found::Attributes { .. } => {
                return Err(Fault::malformed(
                    "the file is the object of another key: it was moved, copied or renamed",
                ));
            }
            Found::Newer => return Err(ErrorKind::NewerFormat.into()),
            Found::Nothing => return Err(Fault::malformed("the file was not written by this program")),
        };
        Ok(Opened {
            mark,
            reader,
            left: size,
            path,
        })
    }
}

/// A store's identity that also reads our stanza.
struct Reading<'a> {
    identity: &'a x25519::Identity,
    found: Cell<Found>,
}

enum Found {
    Attributes { binding: Vec<u8>, mark: Option<Mark> },
    Newer,
    Nothing,
}

impl age::Identity for Reading<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.identity.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let mut ours = stanzas.iter().filter(|stanza| stanza.tag == STANZA);
        self.found.set(match (ours.next(), ours.next()) {
            (Some(stanza), None) => Found::of(stanza),
            _ => Found::Nothing,
        });
        self.identity.unwrap_stanzas(stanzas)
    }
}

impl Found {
    fn of(stanza: &Stanza) -> Self {
        match stanza.args.as_slice() {
            [format, mark] if format == FORMAT => Self::Attributes {
                binding: stanza.body.clone(),
                mark: match mark.as_str() {
                    UNMARKED => None,
                    mark => Some(mark.parse().map_or(Mark::Malformed, Mark::Ours)),
                },
            },
            [format, ..] if format.parse::<u64>().is_ok_and(|format| format > 1) => Self::Newer,
            _ => Self::Nothing,
        }
    }
}

/// An object whose header is decrypted and authentic.
pub(super) struct Opened {
    /// Who wrote it.
    pub(super) mark: Option<Mark>,
    reader: StreamReader<Chain<Cursor<Vec<u8>>, BufReader<File>>>,
    left: u64,
    path: PathBuf,
}

impl Opened {
    /// All bytes, of which the file's length says how many there are.
    pub(super) fn whole(mut self) -> Result<SecretBytes, Fault> {
        let size = usize::try_from(self.left).map_err(|_| ErrorKind::TooLarge {
            limit: usize::MAX as u64,
        })?;
        let bytes = self.take(size)?;
        self.end()?;
        Ok(bytes)
    }

    /// The next bytes; `None` after the last.
    pub(super) fn piece(&mut self) -> Result<Option<SecretBytes>, Fault> {
        if self.left == 0 {
            self.end()?;
            return Ok(None);
        }
        let size = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
        self.take(size).map(Some)
    }

    fn take(&mut self, size: usize) -> Result<SecretBytes, Fault> {
        let mut bytes = zeroize::Zeroizing::new(vec![0; size]);
        self.reader
            .read_exact(&mut bytes)
            .map_err(|error| self.not_read(error))?;
        self.left -= size as u64;
        Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
    }

    /// The end is authenticated too: without this, a file could be cut between two chunks.
    fn end(&mut self) -> Result<(), Fault> {
        match self.reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Fault::malformed("the file grew while it was read")),
            Err(error) => Err(self.not_read(error)),
        }
    }

    fn not_read(&self, source: io::Error) -> Fault {
        match source.kind() {
            // What age's reader answers; the system's own errors have other kinds.
            io::ErrorKind::InvalidData => {
                Fault::malformed("the file is cut off, damaged or tampered with").because(source)
            }
            io::ErrorKind::UnexpectedEof => Fault::malformed("the file is cut off").because(source),
            _ => FolderError::Io {
                action: "read",
                path: self.path.clone(),
                source,
            }
            .into(),
        }
    }
}

/// What a file's header says of it, without decrypting it.
pub(super) fn etag(file: &File, path: PathBuf) -> Result<ETag, Fault> {
    let head = head(file).map_err(|source| FolderError::Io {
        action: "read",
        path,
        source,
    })?;
    Ok(etag_of(header_of(&head)?))
}

fn etag_of(header: &[u8]) -> ETag {
    let mut digest = Checksum::of(header).to_string();
    digest.truncate(32);
    ETag::new(format!("\"{digest}\""))
}

/// When a file was last written.
pub(super) fn modified(metadata: &std::fs::Metadata) -> Timestamp {
    Timestamp::from_unix(0).map_or_else(Timestamp::now, |epoch| epoch.plus(metadata.mtime()))
}

fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_LIMIT];
    let mut filled = 0;
    while filled < HEAD_LIMIT {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// The header of an age file and the nonce after it, which its chunks are encrypted under.
fn header_of(head: &[u8]) -> Result<&[u8], Fault> {
    if !head.starts_with(MAGIC) {
        return Err(Fault::malformed("the file is not encrypted with age"));
    }
    // No line of a stanza begins with dashes but for the arrow, so this is the header's last line.
    head.windows(MAC_LINE.len())
        .position(|window| window == MAC_LINE)
        .and_then(|at| head.get(..at + MAC_LINE.len() + MAC_LEN + 1 + PAYLOAD_NONCE_LEN))
        .ok_or_else(|| Fault::malformed("the file's header is cut off or too long"))
}

/// How many bytes are encrypted in a file of this length.
fn plaintext_size(file: u64, header: usize) -> Result<u64, Fault> {
    let encrypted = file.saturating_sub(header as u64);
    let chunks = encrypted.div_ceil(CHUNK as u64 + TAG);
    let last = encrypted.checked_sub(chunks.saturating_sub(1) * (CHUNK as u64 + TAG));
    match last {
        // Only the one chunk of an empty object is empty.
        Some(last) if last > TAG || (last == TAG && chunks == 1) => Ok(encrypted - chunks * TAG),
        _ => Err(Fault::malformed("the file is cut off")),
    }
}

fn not_opened(error: DecryptError) -> Fault {
    let what = match error {
        DecryptError::NoMatchingKeys => "the file is not encrypted to this store's identity, or its header is damaged",
        DecryptError::Io(_) => "the file's header is cut off",
        _ => "the file's header is damaged or tampered with",
    };
    Fault::malformed(what).because(error)
}
