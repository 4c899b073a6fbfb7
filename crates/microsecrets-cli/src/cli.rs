//! The commands there are.

use clap::{Parser, Subcommand};

use crate::commands::{
    check, delete, diff, doctor, download, edit, get, history, list, migrate, policy, promote, prune, re_sign,
    rollback, set, setup, show, signing_key, upload, verify, whoami, with_env,
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
    Check(check::CheckArgs),
    Verify(verify::VerifyArgs),
    ReSign(re_sign::ReSignArgs),
    SigningKey(signing_key::SigningKeyArgs),
    Migrate(migrate::MigrateArgs),
    Setup(setup::SetupArgs),
    Policy(policy::PolicyArgs),
    Doctor(doctor::DoctorArgs),
    #[command(name = "whoami")]
    WhoAmI(whoami::WhoAmIArgs),
}

impl Command {
    /// Runs it. Each command is on the heap, so that the stack need not hold the largest of them, several times over.
    pub(crate) async fn run(self) -> Result<(), CliError> {
        match self.with_contract()? {
            Self::Upload(args) => Box::pin(upload::run(args)).await,
            Self::WithEnv(args) => Box::pin(with_env::run(&args)).await,
            Self::Download(args) => Box::pin(download::run(&args)).await,
            Self::Get(args) => Box::pin(get::run(&args)).await,
            Self::List(args) => Box::pin(list::run(&args)).await,
            Self::Set(args) => Box::pin(set::run(&args)).await,
            Self::Unset(args) => Box::pin(set::unset(&args)).await,
            Self::Edit(args) => Box::pin(edit::run(&args)).await,
            Self::History(args) => Box::pin(history::run(&args)).await,
            Self::Show(args) => Box::pin(show::run(&args)).await,
            Self::Diff(args) => Box::pin(diff::run(&args)).await,
            Self::Rollback(args) => Box::pin(rollback::run(&args)).await,
            Self::Promote(args) => Box::pin(promote::run(&args)).await,
            Self::Delete(args) => Box::pin(delete::run(&args)).await,
            Self::Prune(args) => Box::pin(prune::run(&args)).await,
            Self::Check(args) => Box::pin(check::run(&args)).await,
            Self::Verify(args) => Box::pin(verify::run(&args)).await,
            Self::ReSign(args) => Box::pin(re_sign::run(&args)).await,
            Self::SigningKey(args) => Box::pin(signing_key::run(&args)).await,
            Self::Migrate(args) => Box::pin(migrate::run(&args)).await,
            Self::Setup(args) => Box::pin(setup::run(&args)).await,
            Self::Policy(args) => Box::pin(policy::run(&args)).await,
            Self::Doctor(args) => Box::pin(doctor::run(&args)).await,
            Self::WhoAmI(args) => Box::pin(whoami::run(&args)).await,
        }
    }
}
