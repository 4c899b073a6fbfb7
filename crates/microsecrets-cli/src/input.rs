//! What is handed over to be written: all of it at once, as far as an environment can hold it.

use std::io::{self, Read};
use std::path::Path;

use microsecrets::document::MAX_DOCUMENT;
use microsecrets::secret::SecretBytes;
use microsecrets::spill;
use microsecrets::store::Payload;

use crate::ui::shown_path;

/// Reads to the end; `None` when there is more than an environment's document may have.
pub(crate) fn read_whole(reader: impl Read) -> io::Result<Option<SecretBytes>> {
    let collected = spill::collect(reader.take(MAX_DOCUMENT + 1))?;
    match collected.size() {
        0..=MAX_DOCUMENT => match collected.into_payload() {
            Payload::Bytes(bytes) => Ok(Some(bytes)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// How an input is called: its path, or standard input.
pub(crate) fn name_of(path: Option<&Path>) -> String {
    path.map_or_else(|| "standard input".to_owned(), shown_path)
}
