//! `--state`: remembering which versions were used, so that none goes back unnoticed.

use std::path::PathBuf;

use clap::Args;
use microsecrets::checksum::Checksum;
use microsecrets::freshness::{Seen, StateFile};
use microsecrets::item::{Facts, Version};
use microsecrets::layout::Item;

use crate::config::Opened;
use crate::error::CliError;
use crate::exec;

/// Options of commands that use a service's secrets.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Freshness")]
pub(crate) struct StateArgs {
    /// Remember in this file which versions were used, and refuse to go back: by number, or to another content of the
    /// same number
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Accept an older version this time, and remember that one
    #[arg(long, requires = "state")]
    allow_rollback: bool,
}

impl StateArgs {
    /// Whether versions are remembered.
    pub(crate) fn remembers(&self) -> bool {
        self.state.is_some()
    }

    /// A version that was read: compared and remembered. A deletion is remembered too, so that what was deleted is not
    /// taken for new when it is put back.
    pub(crate) async fn seen(
        &self,
        opened: &Opened,
        item: &Item,
        read: Result<Version, CliError>,
    ) -> Result<Version, CliError> {
        match read {
            Ok(version) => {
                self.observe(opened, &[(item, &version.facts)]).await?;
                Ok(version)
            }
            Err(error) => {
                if let Some(number) = error.deletion() {
                    let seen = Seen::new(opened.store.bucket(), item, Some(number), Checksum::of_nothing());
                    self.remember(opened, &[seen]).await?;
                }
                Err(error)
            }
        }
    }

    /// Versions that are about to be used together: all are remembered, or none.
    pub(crate) async fn observe(&self, opened: &Opened, versions: &[(&Item, &Facts)]) -> Result<(), CliError> {
        let bucket = opened.store.bucket();
        let seen = versions
            .iter()
            .map(|(item, facts)| Seen::new(bucket, item, facts.number(), facts.name.checksum()));
        self.remember(opened, &seen.collect::<Vec<_>>()).await
    }

    async fn remember(&self, opened: &Opened, seen: &[Seen]) -> Result<(), CliError> {
        let Some(path) = &self.state else { return Ok(()) };
        exec::survive_full_files();
        let state = StateFile::new(path);
        Ok(state.observe(seen, self.allow_rollback, opened.patience).await?)
    }
}
