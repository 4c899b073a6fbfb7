//! `set` and `unset`: change single variables, whoever else changes others at the same time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use microsecrets::document::{VariableFault, Variables};
use microsecrets::item::Edits;
use microsecrets::layout::Item;
use microsecrets::pairs::is_exportable;
use microsecrets::record::ChangeKind;
use microsecrets::secret::{SecretBytes, SecretString};

use crate::args::{ServiceArgs, StoreArgs};
use crate::error::{CliError, Status};
use crate::publish::{self, PublishArgs};
use crate::{exec, input, ui};

const DETAILS: &str = "\
The value is read from standard input, without the newline at its end, or asked for at a terminal without being shown. \
It is never taken from the command line unless --insecure-argv says so.

Whoever else changes other variables at the same time loses nothing: the change is applied again to what they left. \
Only when somebody else gave the same variable another value, nothing is written.

Examples:
  pass show api-token | microsecrets set -b my-bucket -s api API_TOKEN
  microsecrets set -b my-bucket -s api --generate 40 SESSION_KEY
  microsecrets set -b my-bucket -s api --pairs < more.env";

/// Set a variable, from standard input
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct SetArgs {
    /// The variable; NAME=VALUE (several) with --insecure-argv
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Take exactly what is read: a newline at the end, or nothing at all
    #[arg(long)]
    exact: bool,
    /// Read the value from a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generate", "pairs"])]
    from_file: Option<PathBuf>,
    /// Make a random value of so many letters and digits
    #[arg(long, value_name = "LENGTH", conflicts_with = "pairs", value_parser = clap::value_parser!(u16).range(8..=4096))]
    generate: Option<u16>,
    /// Set several variables, from `NAME=value` pairs on standard input
    #[arg(long, conflicts_with = "names")]
    pairs: bool,
    /// Take NAME=VALUE from the command line, where others see it and the shell's history keeps it
    #[arg(long, conflicts_with_all = ["from_file", "generate", "pairs", "exact"])]
    insecure_argv: bool,
    /// Allow names that no shell can export
    #[arg(long)]
    any_name: bool,
    #[command(flatten)]
    publish: PublishArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Remove variables
#[derive(Args)]
pub(crate) struct UnsetArgs {
    /// The variables
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    #[command(flatten)]
    publish: PublishArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Sets variables.
pub(crate) async fn run(args: &SetArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = Item::environment(args.service.named()?.clone());
    let wanted = Variables::new(wanted(args)?).map_err(|error| {
        let hint = match error.fault {
            VariableFault::Duplicate => "leave one of them out",
            _ => "no environment can hold it; bytes are uploaded as a file with -f",
        };
        CliError::usage(error.to_string()).hint(hint)
    })?;
    let wanted = wanted.into_pairs().into_iter();
    let edits = Edits::new(item.clone(), wanted.map(|(name, value)| (name, Some(value))).collect());
    publish::edits(&args.store, &args.publish, &item, ChangeKind::Set, edits).await
}

/// Removes variables. One that is not there is an error: it may be a slip of the keyboard.
pub(crate) async fn unset(args: &UnsetArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = Item::environment(args.service.named()?.clone());
    let wanted = args.names.iter().map(|name| (name.clone(), None)).collect();
    let edits = Edits::new(item.clone(), wanted).must_exist();
    publish::edits(&args.store, &args.publish, &item, ChangeKind::Unset, edits).await
}

fn wanted(args: &SetArgs) -> Result<Vec<(String, SecretString)>, CliError> {
    if args.pairs {
        let parsed = publish::parse_pairs(read(None)?.expose(), "standard input", args.any_name)?;
        for warning in &parsed.warnings {
            let text = warning.to_string();
            ui::warn(text.split("; --dotenv").next().unwrap_or(&text));
        }
        return match parsed.variables.is_empty() {
            true => Err(CliError::usage("standard input holds no variables").hint("a line is NAME=value")),
            false => Ok(parsed.variables),
        };
    }
    if args.insecure_argv {
        if args.names.is_empty() {
            return Err(no_pair());
        }
        return args
            .names
            .iter()
            .map(|pair| from_argument(pair, args.any_name))
            .collect();
    }
    let [name] = &args.names[..] else {
        return Err(CliError::usage("one variable is needed").hint("several are set with --pairs, from standard input"));
    };
    if name.contains('=') {
        return Err(
            CliError::usage("a value on the command line is seen by others and kept in the shell's history")
                .hint("pipe it in: printf %s \"$VALUE\" | microsecrets set NAME; or say --insecure-argv"),
        );
    }
    check_name(name, args.any_name)?;
    Ok(vec![(name.clone(), value(args, name)?)])
}

fn no_pair() -> CliError {
    CliError::usage("--insecure-argv needs NAME=VALUE")
        .hint("without it, the value is read from standard input or asked for: microsecrets set NAME")
}

fn from_argument(pair: &str, any_name: bool) -> Result<(String, SecretString), CliError> {
    let (name, value) = pair.split_once('=').ok_or_else(no_pair)?;
    check_name(name, any_name)?;
    Ok((name.to_owned(), SecretString::new(value.to_owned())))
}

fn check_name(name: &str, any_name: bool) -> Result<(), CliError> {
    if any_name || is_exportable(name) {
        return Ok(());
    }
    Err(CliError::usage("the variable has a name that no shell can export").hint(publish::NAME_HINT))
}

fn value(args: &SetArgs, name: &str) -> Result<SecretString, CliError> {
    if let Some(length) = args.generate {
        return Ok(generate(length));
    }
    if args.from_file.is_none() && ui::stdin_is_terminal() {
        return hidden(&format!("value of {}: ", ui::variable(name)));
    }
    let bytes = read(args.from_file.as_deref())?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| {
        CliError::usage("the value is not UTF-8").hint("upload bytes as a file: microsecrets upload -f LABEL")
    })?;
    if args.exact {
        return Ok(SecretString::new(text.to_owned()));
    }
    let value = text.strip_suffix('\n').unwrap_or(text);
    if value.is_empty() {
        // More likely a program that failed before its pipe than a wish.
        return Err(CliError::usage("the value is empty").hint("to set an empty value, say --exact"));
    }
    if value.len() < text.len() {
        ui::note("the newline at the value's end was dropped; --exact keeps it");
    }
    Ok(SecretString::new(value.to_owned()))
}

/// Asks for a line at the terminal that is not shown.
fn hidden(prompt: &str) -> Result<SecretString, CliError> {
    let line = rpassword::prompt_password(prompt);
    line.map(SecretString::new)
        .map_err(|error| CliError::new(Status::Failure, "cannot ask at the terminal").caused_by(&error))
}

fn read(path: Option<&Path>) -> Result<SecretBytes, CliError> {
    let read = match path {
        Some(path) => File::open(path).and_then(input::read_whole),
        None => input::read_whole(io::stdin().lock()),
    };
    let what = input::name_of(path);
    let read = read.map_err(|error| CliError::new(Status::Failure, format!("cannot read {what}")).caused_by(&error))?;
    read.ok_or_else(|| {
        CliError::usage(format!("{what} has more than 4 MiB")).hint("upload large values as a file with -f")
    })
}

/// Random letters and digits, each equally likely: about 5.95 bits a character.
fn generate(length: u16) -> SecretString {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(usize::from(length));
    while text.len() < usize::from(length) {
        for byte in microsecrets::secret::random_bytes().iter().copied() {
            // 248 is the greatest multiple of 62 in a byte: what is beyond it would favour the first letters.
            if byte < 248 && text.len() < usize::from(length) {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
    }
    SecretString::new(text)
}
