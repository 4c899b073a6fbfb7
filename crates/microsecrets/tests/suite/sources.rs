//! Bytes that nobody keeps in memory.

use std::io;

use microsecrets::checksum::{Checksum, Hasher};
use microsecrets::store::Source;

const BLOCK: usize = 64 << 10;

/// So many bytes that follow from a seed: one block over and over, but each begins with its number.
pub(crate) struct Generated {
    size: u64,
    at: u64,
    block: Vec<u8>,
    /// The end fails, and says this.
    fails: Option<&'static str>,
}

impl Generated {
    pub(crate) fn new(size: u64, seed: u8) -> Self {
        let block = (0..BLOCK).map(|at| (at % 251) as u8 ^ seed).collect();
        Self {
            size,
            at: 0,
            block,
            fails: None,
        }
    }

    /// The same, but the end of it fails.
    pub(crate) fn failing(self, why: &'static str) -> Self {
        Self {
            fails: Some(why),
            ..self
        }
    }

    /// All of its bytes.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read(&mut bytes[filled..]).unwrap();
        }
        bytes
    }

    /// The checksum of its bytes, whether its end fails or not.
    pub(crate) fn checksum(&mut self) -> Checksum {
        let fails = self.fails.take();
        let (mut hasher, mut buffer) = (Hasher::new(), vec![0; BLOCK]);
        loop {
            match self.read(&mut buffer).unwrap() {
                0 => break,
                length => hasher.update(&buffer[..length]),
            }
        }
        self.rewind().unwrap();
        self.fails = fails;
        hasher.finish()
    }
}

impl Source for Generated {
    fn size(&self) -> u64 {
        self.size
    }

    /// As much as fits, of one block.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (number, begin) = (self.at / BLOCK as u64, self.at as usize % BLOCK);
        let length = buffer.len().min(BLOCK - begin).min((self.size - self.at) as usize);
        match (length, self.fails) {
            (0, Some(why)) if !buffer.is_empty() => return Err(io::Error::other(why)),
            _ => {}
        }
        self.block[..8].copy_from_slice(&number.to_le_bytes());
        buffer[..length].copy_from_slice(&self.block[begin..begin + length]);
        self.at += length as u64;
        Ok(length)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.at = 0;
        Ok(())
    }
}
