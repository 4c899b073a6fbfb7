//! Checksums: SHA-256 of a version's bytes, and the pins that are compared with it.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// SHA-256 (FIPS 180-4) of a version's bytes, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// Hashes bytes that are in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The checksum of no bytes at all: a deletion's.
    pub fn of_nothing() -> Self {
        Self::of(&[])
    }

    /// The first 12 hex digits, enough for people to tell versions apart.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    /// Lower-case hex only: it is compared with a part of an object's key.
    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        if text.len() != 64 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ChecksumError);
        }
        let bytes = unhex(text).ok_or(ChecksumError)?;
        Ok(Self(bytes.try_into().map_err(|_| ChecksumError)?))
    }
}

/// Not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a checksum: 64 lower-case hex digits are needed")]
pub struct ChecksumError;

/// Computes a checksum piece by piece.
#[derive(Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces.
    pub fn finish(self) -> Checksum {
        Checksum(self.0.finalize().into())
    }
}

/// A digest that a caller pinned, as 0.3.4 allows it: its length says which function it is.
///
/// Upper-case digits are accepted, since pins are typed by people and compared, never looked up by their spelling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Digest {
    /// SHA-1 (40 hex digits): broken against an attacker who prepares content; warned of.
    Sha1([u8; 20]),
    /// SHA-256 (64 hex digits): what `upload` prints.
    Sha256(Checksum),
    /// SHA-384 (96 hex digits).
    Sha384(Box<[u8; 48]>),
    /// SHA-512 (128 hex digits).
    Sha512(Box<[u8; 64]>),
}

impl Digest {
    /// Whether these bytes have this digest.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish() == *self
    }

    /// A hasher of the same function.
    pub fn hasher(&self) -> DigestHasher {
        DigestHasher(match self {
            Self::Sha1(_) => AnyHasher::Sha1(sha1::Sha1::new()),
            Self::Sha256(_) => AnyHasher::Sha256(Hasher::new()),
            Self::Sha384(_) => AnyHasher::Sha384(sha2::Sha384::new()),
            Self::Sha512(_) => AnyHasher::Sha512(sha2::Sha512::new()),
        })
    }
}

/// Computes a [`Digest`] piece by piece.
pub struct DigestHasher(AnyHasher);

enum AnyHasher {
    Sha1(sha1::Sha1),
    Sha256(Hasher),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl DigestHasher {
    /// Hashes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            AnyHasher::Sha1(hasher) => hasher.update(bytes),
            AnyHasher::Sha256(hasher) => hasher.update(bytes),
            AnyHasher::Sha384(hasher) => hasher.update(bytes),
            AnyHasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        match self.0 {
            AnyHasher::Sha1(hasher) => Digest::Sha1(hasher.finalize().into()),
            AnyHasher::Sha256(hasher) => Digest::Sha256(hasher.finish()),
            AnyHasher::Sha384(hasher) => Digest::Sha384(Box::new(hasher.finalize().into())),
            AnyHasher::Sha512(hasher) => Digest::Sha512(Box::new(hasher.finalize().into())),
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bytes = unhex(&text.to_ascii_lowercase()).ok_or(DigestError)?;
        if let Ok(sha1) = <[u8; 20]>::try_from(bytes.as_slice()) {
            return Ok(Self::Sha1(sha1));
        }
        if let Ok(sha256) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Self::Sha256(Checksum(sha256)));
        }
        if let Ok(sha384) = <[u8; 48]>::try_from(bytes.as_slice()) {
            return Ok(Self::Sha384(Box::new(sha384)));
        }
        if let Ok(sha512) = <[u8; 64]>::try_from(bytes.as_slice()) {
            return Ok(Self::Sha512(Box::new(sha512)));
        }
        Err(DigestError)
    }
}

/// Neither SHA-1, SHA-256, SHA-384 nor SHA-512 in hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a checksum: 40, 64, 96 or 128 hex digits are needed (SHA-1, SHA-256, SHA-384, SHA-512)")]
pub struct DigestError;

/// Lower-case hex of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

/// Bytes of lower-case hex; `None` for anything else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn checksum_is_sha256_in_lower_case_hex() {
        assert_eq!(Checksum::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(Checksum::of(b"abc")));
        assert_eq!(Checksum::of(b"abc").short(), "ba7816bf8f01");
        assert_eq!(ABC.to_uppercase().parse::<Checksum>(), Err(ChecksumError));
        assert_eq!(ABC[1..].parse::<Checksum>(), Err(ChecksumError));
        assert_eq!("é".repeat(32).parse::<Checksum>(), Err(ChecksumError));
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), Checksum::of(b"abc"));
    }

    #[test]
    fn the_length_of_a_pin_says_which_function_it_is() {
        let pins = [
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            ABC,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
             454d4423643ce80e2a9ac94fa54ca49f",
        ];
        for pin in pins {
            let digest: Digest = pin.parse().expect("a digest");
            assert!(digest.matches(b"abc"), "{pin}");
            assert!(!digest.matches(b"abd"), "{pin}");
            assert_eq!(pin.to_uppercase().parse(), Ok(digest));
        }
        for bad in ["", "abc", "zz", &ABC[2..], "g".repeat(64).as_str()] {
            assert_eq!(bad.parse::<Digest>(), Err(DigestError), "{bad}");
        }
    }
}
