//! Bodies at rest and on their way: small ones in memory, large ones in an unlinked temporary file.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use s3s::StdError;

use crate::digest::{Digests, Finished};

/// How much of a file is read at a time.
const CHUNK: u64 = 256 * 1024;

#[derive(Clone)]
enum Piece {
    Memory(Bytes),
    /// A part of a file; several pieces may share one.
    Disk {
        file: Arc<File>,
        offset: u64,
        len: u64,
    },
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk { len, .. } => *len,
        }
    }

    /// The bytes from `start` on, at most `CHUNK` of them when they come from a file.
    fn read(&self, start: u64, len: u64) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(start).map_err(io::Error::other)?;
                let len = usize::try_from(len).map_err(io::Error::other)?;
                Ok(bytes.slice(start..start + len))
            }
            Self::Disk { file, offset, .. } => {
                let mut chunk = vec![0; usize::try_from(len.min(CHUNK)).map_err(io::Error::other)?];
                file.read_exact_at(&mut chunk, offset + start)?;
                Ok(chunk.into())
            }
        }
    }
}

/// A body as it is stored. Cloning copies no bytes.
#[derive(Clone, Default)]
pub(crate) struct Stored {
    pieces: Vec<Piece>,
    len: u64,
}

impl Stored {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Several bodies one after another, as in a multipart upload.
    pub(crate) fn join(parts: impl IntoIterator<Item = Self>) -> Self {
        let pieces: Vec<_> = parts.into_iter().flat_map(|p| p.pieces).collect();
        let len = pieces.iter().map(Piece::len).sum();
        Self { pieces, len }
    }

    /// Everything in one piece.
    pub(crate) fn to_bytes(&self) -> io::Result<Bytes> {
        if let [Piece::Memory(bytes)] = self.pieces.as_slice() {
            return Ok(bytes.clone());
        }
        let mut all = Vec::new();
        let mut reader = self.reader(0, self.len);
        while let Some(chunk) = reader.next_chunk()? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// A part of it, for an answer.
    pub(crate) fn reader(&self, start: u64, len: u64) -> Reader {
        Reader {
            stored: self.clone(),
            position: start,
            end: start + len,
        }
    }

    /// A part of it as s3s wants it.
    pub(crate) fn to_answer(&self, start: u64, len: u64) -> s3s::Body {
        match self.pieces.as_slice() {
            [piece @ Piece::Memory(_)] => piece.read(start, len).unwrap_or_default().into(),
            _ => s3s::Body::http_body(self.reader(start, len)),
        }
    }
}

impl From<Bytes> for Stored {
    fn from(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self {
            pieces: vec![Piece::Memory(bytes)],
            len,
        }
    }
}

/// One file for the many parts of an upload: a file for each would be too many files.
#[derive(Default)]
pub(crate) struct Spool {
    file: Option<Arc<File>>,
    len: u64,
    /// How much is kept in memory.
    memory: u64,
}

impl Spool {
    /// Keeps a part: in memory as long as all parts together are no longer than `spill_over`.
    pub(crate) fn keep(&mut self, part: Stored, spill_over: u64) -> io::Result<Stored> {
        let len = part.len();
        let [Piece::Memory(bytes)] = part.pieces.as_slice() else {
            return Ok(part);
        };
        if self.memory + len <= spill_over {
            self.memory += len;
            return Ok(part);
        }
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(tempfile::tempfile()?))),
        };
        let offset = self.len;
        file.write_all_at(bytes, offset)?;
        self.len += len;
        Ok(Stored {
            pieces: vec![Piece::Disk { file, offset, len }],
            len,
        })
    }
}

/// Reads a stored body piece by piece.
pub(crate) struct Reader {
    stored: Stored,
    position: u64,
    end: u64,
}

impl Reader {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut start = self.position;
        for piece in &self.stored.pieces {
            if start < piece.len() {
                let len = (piece.len() - start).min(self.end - self.position);
                if len == 0 {
                    return Ok(None);
                }
                let chunk = piece.read(start, len)?;
                self.position += chunk.len() as u64;
                return Ok(Some(chunk));
            }
            start -= piece.len();
        }
        Ok(None)
    }
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.next_chunk().map(|chunk| chunk.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.position == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.position)
    }
}

/// Takes a body in: hashes it, and keeps it in memory until it is too long for that.
pub(crate) struct Intake {
    digests: Digests,
    spill_over: u64,
    memory: Vec<Bytes>,
    disk: Option<File>,
    len: u64,
}

impl Intake {
    pub(crate) fn new(digests: Digests, spill_over: u64) -> Self {
        Self {
            digests,
            spill_over,
            memory: Vec::new(),
            disk: None,
            len: 0,
        }
    }

    fn push(&mut self, bytes: Bytes) -> io::Result<()> {
        self.digests.update(&bytes);
        self.len += bytes.len() as u64;
        if self.disk.is_none() && self.len > self.spill_over {
            let mut file = tempfile::tempfile()?;
            for chunk in self.memory.drain(..) {
                file.write_all(&chunk)?;
            }
            self.disk = Some(file);
        }
        match &mut self.disk {
            Some(file) => file.write_all(&bytes),
            None => {
                self.memory.push(bytes);
                Ok(())
            }
        }
    }

    fn finish(mut self) -> (Stored, Finished) {
        let len = self.len;
        let piece = match (self.disk, self.memory.len()) {
            (Some(file), _) => Piece::Disk {
                file: Arc::new(file),
                offset: 0,
                len,
            },
            (None, 1) => Piece::Memory(self.memory.swap_remove(0)),
            (None, _) => Piece::Memory(self.memory.concat().into()),
        };
        (
            Stored {
                pieces: vec![piece],
                len,
            },
            self.digests.finish(),
        )
    }

    /// Reads the body to its end.
    pub(crate) async fn read(mut self, mut body: s3s::Body) -> Result<(Stored, Finished), StdError> {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                self.push(data)?;
            }
        }
        Ok(self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(chunks: &[&'static [u8]], spill_over: u64) -> Stored {
        let mut intake = Intake::new(Digests::new(true, vec![]), spill_over);
        for &chunk in chunks {
            intake
                .push(Bytes::from_static(chunk))
                .expect("the temporary folder is writable");
        }
        intake.finish().0
    }

    #[test]
    fn memory_and_disk_read_alike() {
        let chunks: [&[u8]; 3] = [b"abc", b"defg", b"h"];
        for spill_over in [0, 3, 5, 100] {
            let stored = intake(&chunks, spill_over);
            assert_eq!(stored.to_bytes().expect("readable"), &b"abcdefgh"[..]);
            let joined = Stored::join([stored.clone(), Stored::default(), stored]);
            assert_eq!(joined.len(), 16);
            assert_eq!(joined.to_bytes().expect("readable"), &b"abcdefghabcdefgh"[..]);
            let mut reader = joined.reader(6, 4);
            let mut part = Vec::new();
            while let Some(chunk) = reader.next_chunk().expect("readable") {
                part.extend_from_slice(&chunk);
            }
            assert_eq!(part, b"ghab");
        }
    }

    #[test]
    fn parts_share_a_file() {
        let mut spool = Spool::default();
        let mut keep = |chunk| {
            spool
                .keep(intake(&[chunk], 100), 4)
                .expect("the temporary folder is writable")
        };
        let parts = [keep(b"abc"), keep(b"defg"), keep(b"hi")];
        assert!(matches!(parts[2].pieces[..], [Piece::Disk { offset: 4, len: 2, .. }]));
        assert_eq!(Stored::join(parts).to_bytes().expect("readable"), &b"abcdefghi"[..]);
    }

    #[test]
    fn nothing_is_a_body_too() {
        assert_eq!(intake(&[], 5).to_bytes().expect("readable").len(), 0);
    }
}
