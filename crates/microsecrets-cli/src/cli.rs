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
    pub(crate) async fn run(self) -> Result<(), CliError> {
        match self.with_contract()? {
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
            Self::Check(args) => check::run(&args).await,
            Self::Verify(args) => verify::run(&args).await,
            Self::ReSign(args) => re_sign::run(&args).await,
            Self::SigningKey(args) => signing_key::run(&args).await,
            Self::Migrate(args) => migrate::run(&args).await,
            Self::Setup(args) => setup::run(&args).await,
            Self::Policy(args) => policy::run(&args).await,
            Self::Doctor(args) => doctor::run(&args).await,
            Self::WhoAmI(args) => whoami::run(&args).await,
        }
    }
}
