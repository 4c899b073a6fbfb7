//! ETags and the checksums that S3 verifies, computed in one pass over a body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::{CrcAlgorithm, checksum_combine};
use hyper::HeaderMap;
use ring::digest;
use s3s::crypto::{Checksum as _, Md5};

/// A checksum algorithm that S3 stores with objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChecksumAlgorithm {
    /// `x-amz-checksum-crc32`
    Crc32,
    /// `x-amz-checksum-crc32c`
    Crc32c,
    /// `x-amz-checksum-crc64nvme`: what S3 computes by itself when a PUT brings none.
    Crc64nvme,
    /// `x-amz-checksum-sha1`
    Sha1,
    /// `x-amz-checksum-sha256`
    Sha256,
}

impl ChecksumAlgorithm {
    /// All that the fake verifies.
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64nvme, Self::Sha1, Self::Sha256];

    /// The header that carries it.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// AWS's name for it, as in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether the checksum of a whole can be computed from those of its parts.
    pub(crate) fn combines(self) -> bool {
        self.crc().is_some()
    }

    /// The checksum of a whole from that of its parts and their lengths.
    pub(crate) fn combine(self, parts: impl Iterator<Item = (Vec<u8>, u64)>) -> Option<Vec<u8>> {
        let algorithm = self.crc()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
        let whole = parts.fold(None, |whole, (part, len)| match whole {
            None => Some(number(&part)),
            Some(whole) => Some(checksum_combine(algorithm, whole, number(&part), len)),
        });
        Some(self.crc_bytes(whole.unwrap_or_default()))
    }

    fn crc_bytes(self, value: u64) -> Vec<u8> {
        let width = if self == Self::Crc64nvme { 8 } else { 4 };
        value.to_be_bytes()[8 - width..].to_vec()
    }

    /// The checksum of some bytes.
    pub(crate) fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut running = Running::new(self);
        running.update(bytes);
        running.finish()
    }
}

enum State {
    Crc(crc_fast::Digest),
    Ring(digest::Context),
}

/// One checksum in the making.
pub(crate) struct Running {
    algorithm: ChecksumAlgorithm,
    state: State,
}

impl Running {
    pub(crate) fn new(algorithm: ChecksumAlgorithm) -> Self {
        let state = match algorithm.crc() {
            Some(crc) => State::Crc(crc_fast::Digest::new(crc)),
            None if algorithm == ChecksumAlgorithm::Sha1 => {
                State::Ring(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY))
            }
            None => State::Ring(digest::Context::new(&digest::SHA256)),
        };
        Self { algorithm, state }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(crc) => crc.update(bytes),
            State::Ring(context) => context.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self.state {
            State::Crc(crc) => self.algorithm.crc_bytes(crc.finalize()),
            State::Ring(context) => context.finish().as_ref().to_vec(),
        }
    }
}

/// All digests of one body.
pub(crate) struct Digests {
    sha256: digest::Context,
    /// Slow, so only where an ETag or a `Content-MD5` asks for it.
    md5: Option<Md5>,
    sums: Vec<Running>,
}

/// The digests when the body is over.
pub(crate) struct Finished {
    pub(crate) sha256: Vec<u8>,
    pub(crate) md5: Option<Vec<u8>>,
    pub(crate) sums: Vec<(ChecksumAlgorithm, Vec<u8>)>,
}

impl Digests {
    pub(crate) fn new(md5: bool, mut algorithms: Vec<ChecksumAlgorithm>) -> Self {
        // S3's own, which it stores when nothing else came, and from which a multipart upload's is combined.
        algorithms.push(ChecksumAlgorithm::Crc64nvme);
        algorithms.sort_unstable();
        algorithms.dedup();
        Self {
            sha256: digest::Context::new(&digest::SHA256),
            md5: md5.then(Md5::new),
            sums: algorithms.into_iter().map(Running::new).collect(),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        for sum in &mut self.sums {
            sum.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Finished {
        Finished {
            sha256: self.sha256.finish().as_ref().to_vec(),
            md5: self.md5.map(|md5| md5.finalize().to_vec()),
            sums: self.sums.into_iter().map(|s| (s.algorithm, s.finish())).collect(),
        }
    }
}

impl Finished {
    pub(crate) fn sum(&self, algorithm: ChecksumAlgorithm) -> Option<&[u8]> {
        self.sums
            .iter()
            .find(|(a, _)| *a == algorithm)
            .map(|(_, sum)| sum.as_slice())
    }
}

/// The checksums that a request announces: `x-amz-checksum-*` headers, and those that its trailer will bring.
pub(crate) fn announced(headers: &HeaderMap) -> Vec<ChecksumAlgorithm> {
    let trailers: Vec<String> = headers
        .get_all("x-amz-trailer")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|v| v.trim().to_ascii_lowercase())
        .collect();
    ChecksumAlgorithm::ALL
        .into_iter()
        .filter(|a| headers.contains_key(a.header()) || trailers.iter().any(|t| t == a.header()))
        .collect()
}

/// The checksums that headers or trailers state, in Base64.
pub(crate) fn stated(headers: &HeaderMap) -> Vec<(ChecksumAlgorithm, String)> {
    ChecksumAlgorithm::ALL
        .into_iter()
        .filter_map(|a| Some((a, headers.get(a.header())?.to_str().ok()?.to_owned())))
        .collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        // The check values of the catalogue of CRCs, and FIPS 180's.
        assert_eq!(hex(&ChecksumAlgorithm::Crc32.of(b"123456789")), "cbf43926");
        assert_eq!(hex(&ChecksumAlgorithm::Crc32c.of(b"123456789")), "e3069283");
        assert_eq!(hex(&ChecksumAlgorithm::Crc64nvme.of(b"123456789")), "ae8b14860a799888");
        assert_eq!(
            hex(&ChecksumAlgorithm::Sha1.of(b"abc")),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(&hex(&ChecksumAlgorithm::Sha256.of(b"abc"))[..8], "ba7816bf");
    }

    #[test]
    fn a_whole_from_its_parts() {
        for algorithm in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32c,
            ChecksumAlgorithm::Crc64nvme,
        ] {
            let parts = [&b"1234"[..], b"567", b"89"].map(|p| (algorithm.of(p), p.len() as u64));
            assert_eq!(algorithm.combine(parts.into_iter()), Some(algorithm.of(b"123456789")));
        }
    }
}
