//! The commands there are.

use clap::{Parser, Subcommand};

use crate::commands::{
    delete, diff, download, edit, get, history, list, migrate, promote, prune, rollback, set, show, upload, with_env,
};
use crate::error::CliError;

/// A lightweight secrets manager powered by S3 + KMS
#[derive(Parser)]
#[command(
    name = "microsecrets",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Put a service's secrets in, and start a program with them in its environment:
  echo DB_URL=db://example.com | microsecrets upload -b file:secrets -s api
  microsecrets with-env -b file:secrets -s api -w DB_URL -- printenv DB_URL

`microsecrets COMMAND --help` shows a command's options.";

#[derive(Subcommand)]
pub(crate) enum Command {
    Upload(upload::UploadArgs),
    #[command(visible_alias = "run")]
    WithEnv(with_env::WithEnvArgs),
    Download(download::DownloadArgs),
    Get(get::GetArgs),
    List(list::ListArgs),
    Set(set::SetArgs),
    Unset(set::UnsetArgs),
    Edit(edit::EditArgs),
    History(history::HistoryArgs),
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
    Rollback(rollback::RollbackArgs),
    Promote(promote::PromoteArgs),
    Delete(delete::DeleteArgs),
    Prune(prune::PruneArgs),
    Migrate(migrate::MigrateArgs),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Upload(args) => upload::run(args).await,
            Self::WithEnv(args) => with_env::run(&args).await,
            Self::Download(args) => download::run(&args).await,
            Self::Get(args) => get::run(&args).await,
            Self::List(args) => list::run(&args).await,
            Self::Set(args) => set::run(&args).await,
            Self::Unset(args) => set::unset(&args).await,
            Self::Edit(args) => edit::run(&args).await,
            Self::History(args) => history::run(&args).await,
            Self::Show(args) => show::run(&args).await,
            Self::Diff(args) => diff::run(&args).await,
            Self::Rollback(args) => rollback::run(&args).await,
            Self::Promote(args) => promote::run(&args).await,
            Self::Delete(args) => delete::run(&args).await,
            Self::Prune(args) => prune::run(&args).await,
            Self::Migrate(args) => migrate::run(&args).await,
        }
    }
}
