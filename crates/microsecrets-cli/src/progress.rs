//! A progress bar for large files, where a person can see it.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};
use microsecrets::store::Source;

/// Smaller files are sent before anybody has read a bar.
const WORTH_A_BAR: u64 = 8 << 20;

/// A source that shows how far it was read.
pub(crate) fn shown(source: Box<dyn Source>) -> Box<dyn Source> {
    if source.size() < WORTH_A_BAR || !io::stderr().is_terminal() {
        return source;
    }
    let bar = bar(source.size());
    Box::new(Shown { source, bar })
}

/// A bar for this many bytes.
fn bar(size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Shown {
    source: Box<dyn Source>,
    bar: ProgressBar,
}

impl Source for Shown {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.bar.inc(length as u64);
        if length == 0 {
            self.bar.finish_and_clear();
        }
        Ok(length)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.bar.reset();
        self.source.rewind()
    }
}
