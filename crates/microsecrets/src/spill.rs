//! Bytes to upload: from a file that is read twice, or from a stream that can be read only once.
//!
//! Their checksum has to be known before the first of them is sent, since it stands in the object's key. A regular file
//! is therefore read twice, hashed and then sent while hashed again ([`file_source`]); a stream is kept, in memory as
//! long as it is short, else in an encrypted temporary file ([`collect`]). Memory does not grow with the size.

use std::fs::{File, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::iter;
use std::os::unix::fs::PermissionsExt as _;

use age::stream::{StreamReader, StreamWriter};
use age::{Decryptor, Encryptor, x25519};
use zeroize::Zeroizing;

use crate::checksum::{Checksum, Hasher};
use crate::secret::SecretBytes;
use crate::store::{Payload, Source};

/// The most bytes of a stream that are kept in memory: 8 MiB.
pub const MEMORY_LIMIT: usize = 8 * 1024 * 1024;

const PIECE: usize = 64 * 1024;

/// Reads a stream to its end and keeps its bytes: in memory up to [`MEMORY_LIMIT`], beyond that in a temporary file.
///
/// The file has no name, is open to its owner only, lies in the system's folder for such files (`TMPDIR`), and is
/// encrypted under a key that only this process has: what is left on the disk nobody can read.
///
/// # Errors
///
/// Those of the reader and of the temporary file.
pub fn collect(mut reader: impl Read) -> io::Result<Collected> {
    let mut spool = Spool::new();
    let mut buffer = Zeroizing::new(vec![0; PIECE]);
    loop {
        match read_some(&mut reader, &mut buffer)? {
            0 => return spool.finish(),
            count => spool.write(&buffer[..count])?,
        }
    }
}

/// Bytes that come one piece after the other, kept as [`collect`] keeps them.
pub struct Spool {
    hasher: Hasher,
    size: u64,
    /// All of them, until they are too many.
    bytes: Zeroizing<Vec<u8>>,
    spill: Option<SpillWriter>,
}

impl Spool {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            hasher: Hasher::new(),
            size: 0,
            bytes: Zeroizing::new(Vec::with_capacity(PIECE)),
            spill: None,
        }
    }

    /// Keeps a piece.
    ///
    /// # Errors
    ///
    /// Those of the temporary file.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        if let Some(spill) = &mut self.spill {
            return spill.write(piece);
        }
        if self.bytes.len() + piece.len() > MEMORY_LIMIT {
            let mut spill = SpillWriter::create()?;
            spill.write(&self.bytes)?;
            spill.write(piece)?;
            self.bytes = Zeroizing::new(Vec::new());
            self.spill = Some(spill);
            return Ok(());
        }
        let at = self.bytes.len();
        grow(&mut self.bytes, at + piece.len());
        self.bytes[at..].copy_from_slice(piece);
        Ok(())
    }

    /// What was kept.
    ///
    /// # Errors
    ///
    /// Those of the temporary file.
    pub fn finish(mut self) -> io::Result<Collected> {
        let kept = match self.spill {
            Some(spill) => Kept::Spilled(Box::new(spill.finish(self.size)?)),
            None => Kept::Memory(SecretBytes::new(std::mem::take(&mut *self.bytes))),
        };
        Ok(Collected {
            size: self.size,
            checksum: self.hasher.finish(),
            kept,
        })
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self::new()
    }
}

/// A stream's bytes, and what is known of them.
pub struct Collected {
    size: u64,
    checksum: Checksum,
    kept: Kept,
}

enum Kept {
    Memory(SecretBytes),
    Spilled(Box<Spill>),
}

impl Collected {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Their checksum.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// The bytes, when they are in memory.
    pub fn in_memory(&self) -> Option<&SecretBytes> {
        match &self.kept {
            Kept::Memory(bytes) => Some(bytes),
            Kept::Spilled(_) => None,
        }
    }

    /// The bytes, to be put into a store.
    pub fn into_payload(self) -> Payload {
        match self.kept {
            Kept::Memory(bytes) => Payload::Bytes(bytes),
            Kept::Spilled(spill) => Payload::Source(spill),
        }
    }
}

/// A temporary file that is being filled.
struct SpillWriter {
    identity: x25519::Identity,
    writer: StreamWriter<BufWriter<File>>,
}

impl SpillWriter {
    fn create() -> io::Result<Self> {
        let identity = x25519::Identity::generate();
        let file = tempfile::tempfile()?;
        // It has no name by which others could open it, and no right either, should the system give it one.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let recipient = identity.to_public();
        let writer = Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient))
            .map_err(io::Error::other)?
            .wrap_output(BufWriter::new(file))?;
        Ok(Self { identity, writer })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    fn finish(self, size: u64) -> io::Result<Spill> {
        let file = self
            .writer
            .finish()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(Spill {
            file,
            identity: self.identity,
            size,
            reader: None,
        })
    }
}

/// A temporary file that is complete.
struct Spill {
    file: File,
    identity: x25519::Identity,
    size: u64,
    reader: Option<StreamReader<BufReader<File>>>,
}

impl Source for Spill {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                // The duplicate shares its position with the file, which nobody else reads.
                let mut file = self.file.try_clone()?;
                file.seek(SeekFrom::Start(0))?;
                let reader = Decryptor::new_buffered(BufReader::new(file))
                    .and_then(|decryptor| decryptor.decrypt(iter::once(&self.identity as &dyn age::Identity)))
                    .map_err(io::Error::other)?;
                none.insert(reader)
            }
        };
        reader.read(buffer)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.reader = None;
        Ok(())
    }
}

/// Reads a regular file once, from where it stands to its end, to be read a second time as a [`Source`].
///
/// The second reading fails when it finds other bytes than the first.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when it is no regular file; those of reading it.
pub fn file_source(mut file: File) -> io::Result<FileSource> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let start = file.stream_position()?;
    let mut hasher = Hasher::new();
    let mut size = 0;
    let mut buffer = Zeroizing::new(vec![0; PIECE]);
    loop {
        let count = read_some(&mut file, &mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    file.seek(SeekFrom::Start(start))?;
    Ok(FileSource {
        file,
        start,
        size,
        checksum: hasher.finish(),
        again: Hasher::new(),
        read: 0,
        outcome: None,
    })
}

/// A regular file that was read once, and says so when it is not the same the second time.
pub struct FileSource {
    file: File,
    start: u64,
    size: u64,
    checksum: Checksum,
    again: Hasher,
    read: u64,
    /// Once the second reading has ended: whether it found the same bytes.
    outcome: Option<bool>,
}

impl FileSource {
    /// The checksum of its bytes, from the first reading.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// How many bytes it has, from the first reading.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the reading.
    fn end(&mut self, same: bool) -> io::Result<usize> {
        self.outcome = Some(same);
        if same {
            Ok(0)
        } else {
            Err(io::Error::other("the file changed while it was being uploaded"))
        }
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(same) = self.outcome {
            return self.end(same);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = read_some(&mut self.file, buffer)?;
        self.read += count as u64;
        if count > 0 && self.read <= self.size {
            self.again.update(&buffer[..count]);
            return Ok(count);
        }
        let same = self.read == self.size && std::mem::take(&mut self.again).finish() == self.checksum;
        self.end(same)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.start))?;
        self.again = Hasher::new();
        self.read = 0;
        self.outcome = None;
        Ok(())
    }
}

/// Reads a source that is short enough for memory, to its end.
///
/// # Errors
///
/// Those of the source; [`io::ErrorKind::InvalidData`] when it has other than [`Source::size`] bytes.
pub fn into_memory(source: &mut dyn Source) -> io::Result<SecretBytes> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "other than the announced number of bytes");
    let size = usize::try_from(source.size()).map_err(|_| wrong())?;
    let mut bytes = Zeroizing::new(vec![0; size]);
    let mut filled = 0;
    while filled < size {
        match source.read(&mut bytes[filled..]) {
            Ok(0) => return Err(wrong()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // The end is where a source says that it is not what it announced.
    match source.read(&mut [0])? {
        0 => Ok(SecretBytes::new(std::mem::take(&mut *bytes))),
        _ => Err(wrong()),
    }
}

/// Lengthens a buffer, and wipes what it leaves behind when it has to move.
fn grow(bytes: &mut Zeroizing<Vec<u8>>, len: usize) {
    if len > bytes.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(len.max(2 * bytes.capacity())));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.resize(len, 0);
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Gives its bytes a few at a time, as a pipe does, and is interrupted now and then.
    struct Pipe {
        left: Cursor<Vec<u8>>,
        reads: usize,
    }

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            if self.reads.is_multiple_of(7) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = buffer.len().min(50_001);
            self.left.read(&mut buffer[..len])
        }
    }

    fn pipe(size: usize) -> (Vec<u8>, Pipe) {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 253) as u8).collect();
        let left = Cursor::new(bytes.clone());
        (bytes, Pipe { left, reads: 0 })
    }

    fn drain(source: &mut dyn Source) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 70_000];
        loop {
            match source.read(&mut buffer)? {
                0 => return Ok(all),
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn a_short_stream_stays_in_memory() {
        for size in [0, 1, PIECE, PIECE + 1, 1_000_000, MEMORY_LIMIT] {
            let (bytes, pipe) = pipe(size);
            let collected = collect(pipe).expect("it can be read");
            assert_eq!(collected.size(), size as u64);
            assert_eq!(collected.checksum(), Checksum::of(&bytes));
            assert!(collected.in_memory().expect("in memory").expose() == bytes);
            assert!(matches!(collected.into_payload(), Payload::Bytes(kept) if kept.expose() == bytes));
        }
    }

    #[test]
    fn a_long_stream_goes_to_a_file_and_comes_back_as_often_as_asked() {
        for size in [MEMORY_LIMIT + 1, MEMORY_LIMIT + 3 * PIECE] {
            let (bytes, pipe) = pipe(size);
            let collected = collect(pipe).expect("it can be read");
            assert_eq!(collected.size(), size as u64);
            assert_eq!(collected.checksum(), Checksum::of(&bytes));
            assert!(collected.in_memory().is_none());
            let Payload::Source(mut source) = collected.into_payload() else {
                panic!("it is too long for memory");
            };
            assert_eq!(source.size(), size as u64);
            assert!(drain(&mut *source).expect("it can be read") == bytes);
            assert_eq!(source.read(&mut [0; 8]).expect("its end"), 0);
            source.rewind().expect("it can be read again");
            source.read(&mut [0; 1000]).expect("its beginning");
            source.rewind().expect("it can be read again");
            assert!(drain(&mut *source).expect("it can be read") == bytes);
        }
    }

    #[test]
    fn the_temporary_file_is_unnamed_private_and_unreadable() {
        use std::os::unix::fs::{FileExt as _, MetadataExt as _};

        let mut spill = SpillWriter::create().expect("a file");
        spill.write(&b"canary ".repeat(20_000)).expect("room");
        let spill = spill.finish(140_000).expect("room");
        let metadata = spill.file.metadata().expect("it is open");
        assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (0, 0o600));
        let mut bytes = vec![0; usize::try_from(metadata.len()).expect("small")];
        spill.file.read_exact_at(&mut bytes, 0).expect("it can be read");
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let error = collect(Cursor::new(b"begun").chain(Broken))
            .err()
            .expect("it breaks off");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    fn written(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("room");
        file.seek(SeekFrom::Start(0)).expect("the beginning");
        file
    }

    #[test]
    fn a_file_is_read_twice() {
        for size in [0, 1, PIECE, 3 * PIECE + 5] {
            let (bytes, _) = pipe(size);
            let mut source = file_source(written(&bytes)).expect("a regular file");
            assert_eq!((source.size(), source.checksum()), (size as u64, Checksum::of(&bytes)));
            for _ in 0..2 {
                assert!(drain(&mut source).expect("unchanged") == bytes);
                assert_eq!(source.read(&mut [0; 8]).expect("still its end"), 0);
                source.rewind().expect("it can be read again");
            }
            assert!(into_memory(&mut source).expect("unchanged").expose() == bytes);
        }
    }

    #[test]
    fn a_file_is_read_from_where_it_stands() {
        let mut file = written(b"header\nbody");
        file.seek(SeekFrom::Start(7)).expect("the body");
        let mut source = file_source(file).expect("a regular file");
        assert_eq!(drain(&mut source).expect("unchanged"), b"body");
        source.rewind().expect("it can be read again");
        assert_eq!(drain(&mut source).expect("unchanged"), b"body");
    }

    #[test]
    fn a_file_that_changed_in_between_is_noticed_at_its_end_at_the_latest() {
        for what in ["other bytes", "shorter", "longer", "empty"] {
            let file = written(&[b'x'; 100_000]);
            let mut other = file.try_clone().expect("a second handle");
            let mut source = file_source(file).expect("a regular file");
            match what {
                "shorter" => other.set_len(99_999),
                "longer" => other.set_len(100_001),
                "empty" => other.set_len(0),
                _ => other.write_all(b"X"),
            }
            .expect("it is ours");
            source.rewind().expect("the beginning");
            for _ in 0..2 {
                let error = drain(&mut source).expect_err(what);
                assert_eq!(error.to_string(), "the file changed while it was being uploaded");
            }
            source.rewind().expect("it can be read again");
            assert!(into_memory(&mut source).is_err(), "{what}");
        }
    }

    #[test]
    fn only_a_regular_file_can_be_read_twice() {
        for path in ["/dev/null", "/"] {
            let file = File::open(path).expect("it is there");
            let error = file_source(file).err().expect("no regular file");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_source_that_is_not_as_long_as_it_says_is_refused() {
        struct Wrong(usize);
        impl Source for Wrong {
            fn size(&self) -> u64 {
                10
            }
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = buffer.len().min(self.0);
                self.0 -= count;
                Ok(count)
            }
            fn rewind(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(into_memory(&mut Wrong(10)).expect("as announced").len(), 10);
        for size in [0, 9, 11] {
            assert!(into_memory(&mut Wrong(size)).is_err(), "{size}");
        }
    }
}
