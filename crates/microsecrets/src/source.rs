//! A source of bytes that several attempts to publish it can share.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::Source;

/// One source, lent to one attempt after the other: each rewinds it.
#[derive(Clone)]
pub struct SharedSource {
    source: Arc<Mutex<Box<dyn Source>>>,
    size: u64,
}

impl SharedSource {
    /// Shares a source.
    pub fn new(source: Box<dyn Source>) -> Self {
        let size = source.size();
        Self {
            source: Arc::new(Mutex::new(source)),
            size,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Source>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for SharedSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buffer)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.lock().rewind()
    }
}
