//! The commands of 0.3.4: its options, its standard output byte for byte, its statuses. Errors are ours.
//!
//! Its options are translated to those of the commands here, so that there is one upload, one with-env, one download.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::Parser as _;
use microsecrets::document::{Document, ascii_json};
use microsecrets::text::shown;
use zeroize::Zeroizing;

use crate::args::FileSpec;
use crate::cli::{Cli, Command};
use crate::commands::{download, upload, with_env};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::place::{Placement, TooLarge, in_memory};
use crate::python2::dict_order;
use crate::ui;

/// An option of 0.3.4.
struct Flag {
    short: u8,
    long: &'static str,
    takes_value: bool,
}

const fn flag(short: u8, long: &'static str) -> Flag {
    Flag {
        short,
        long,
        takes_value: false,
    }
}

const fn value(short: u8, long: &'static str) -> Flag {
    Flag {
        short,
        long,
        takes_value: true,
    }
}

const COMMON: [Flag; 7] = [
    flag(b'h', "help"),
    flag(b'\0', "version"), // has no short name
    flag(b'v', "verbose"),
    flag(b'd', "debug"),
    value(b'r', "region"),
    value(b'b', "bucket"),
    value(b's', "service"),
];
const UPLOAD: [Flag; 2] = [flag(b'j', "json"), value(b'f', "file")];
const DOWNLOAD: [Flag; 3] = [value(b'c', "checksum"), value(b'f', "file"), flag(b'l', "list")];
const WITH_ENV: [Flag; 7] = [
    value(b'c', "checksum"),
    value(b'w', "whitelist"),
    flag(b'a', "whitelist-all"),
    flag(b'i', "ignore-extra"),
    flag(b'P', "no-path"),
    value(b'f', "file"),
    value(b'D', "del-env"),
];

/// What was typed, as `optparse` of Python understood it.
struct Typed {
    /// The options in order, by their long names.
    options: Vec<(&'static str, Option<OsString>)>,
    rest: Vec<OsString>,
}

/// Runs one of 0.3.4's commands: `arguments` are its name and what follows it.
pub(crate) async fn run(arguments: &[OsString]) -> Result<(), CliError> {
    let (command, arguments) = arguments
        .split_first()
        .ok_or_else(|| CliError::usage("which command?"))?;
    let (own, usage): (&[Flag], &str) = match command.to_str() {
        Some("upload") => (
            &UPLOAD,
            "microsecrets-upload [-v] [-d] [-r REGION] -b BUCKET -s SERVICE [-j | -f LABEL] [FILE]",
        ),
        Some("download") => (
            &DOWNLOAD,
            "microsecrets-download [-v] [-d] [-r REGION] -b BUCKET -s SERVICE [-c HASH] [-f NAME[:PATH[:HASH]]]... [-l]",
        ),
        Some("with-env") => (
            &WITH_ENV,
            "microsecrets-with-env [-v] [-d] [-r REGION] -b BUCKET -s SERVICE (-c HASH | -w VARS | -a) [-i] [-P] [-D VARS] [-f NAME:PATH[:HASH]]... -- COMMAND...",
        ),
        _ => return Err(CliError::usage("a launcher is upload, download or with-env")),
    };
    let typed = parse(arguments, own).map_err(|error| error.hint(format!("usage: {usage}")))?;
    if typed.has("help") {
        return ui::print_line(format_args!(
            "Usage: {usage}\n\nThe command of microsecrets 0.3.4; `microsecrets` does more."
        ));
    }
    if typed.has("version") {
        return ui::print_line(concat!("microsecrets ", env!("CARGO_PKG_VERSION")));
    }
    match command.to_str() {
        Some("upload") => run_upload(typed, usage).await,
        Some("download") => run_download(typed, usage).await,
        _ => run_with_env(typed, usage).await,
    }
}

impl Typed {
    fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }

    /// The command line of today's command that means the same, up to what 0.3.4 took from `rest`.
    fn translated(&self, command: &str, usage: &str) -> Result<Vec<OsString>, CliError> {
        for needed in ["bucket", "service"] {
            if !self.has(needed) {
                let message = format!("must provide -{} / --{needed}", &needed[..1]);
                return Err(failure(message, usage));
            }
        }
        let mut line: Vec<OsString> = vec!["microsecrets".into(), command.into()];
        // The last value of an option that is given twice counts, but for those that collect.
        let last: HashMap<&str, usize> = self
            .options
            .iter()
            .enumerate()
            .map(|(position, (name, _))| (*name, position))
            .collect();
        for (position, (name, value)) in self.options.iter().enumerate() {
            let collects = matches!(*name, "whitelist" | "del-env") || (*name == "file" && command != "upload");
            if !collects && last[name] != position {
                continue;
            }
            let mut option = OsString::from(format!("--{name}"));
            if let Some(value) = value {
                option.push("=");
                option.push(value);
            }
            line.push(option);
        }
        if !self.has("region") && std::env::var_os("MICROSECRETS_REGION").is_none() {
            line.push("--region=us-east-1".into());
        }
        Ok(line)
    }
}

/// What 0.3.4's parser of options ended with status 2.
fn options(message: impl Into<String>) -> CliError {
    CliError::new(Status::Options, message)
}

/// What 0.3.4 ended with status 1.
fn failure(message: impl Into<String>, usage: &str) -> CliError {
    CliError::new(Status::Failure, message).hint(format!("usage: {usage}"))
}

fn today(line: Vec<OsString>) -> Result<Command, CliError> {
    let program = format!("microsecrets-{}", line[1].to_string_lossy());
    Cli::try_parse_from(line)
        .map_err(|error| crate::usage::explain(&error, &program))?
        .command
        .with_contract()
}

async fn run_upload(typed: Typed, usage: &str) -> Result<(), CliError> {
    if typed.rest.len() > 1 {
        return Err(failure("only one FILE can be uploaded", usage));
    }
    let mut line = typed.translated("upload", usage)?;
    line.push("--force".into());
    if !typed.has("file") {
        line.push("--any-name".into());
    } else {
        // 0.3.4 ignored --json beside --file.
        line.retain(|argument| argument != "--json");
    }
    line.push("--".into());
    line.extend(typed.rest);
    let Command::Upload(mut args) = today(line)? else {
        return Err(failure("not an upload", usage));
    };
    args.may_be_empty = true;
    let uploaded = upload::publish(&args).await?;
    let (bucket, key, checksum) = (uploaded.bucket, uploaded.key, uploaded.entry.record().checksum());
    ui::print(
        format!("Successfully uploaded data to S3:\n  bucket: {bucket}\n  path: {key}\n  checksum: {checksum}\n")
            .as_bytes(),
    )
}

async fn run_with_env(typed: Typed, usage: &str) -> Result<(), CliError> {
    if typed.rest.is_empty() {
        return Err(failure("must provide COMMAND", usage));
    }
    if typed.has("whitelist") && typed.has("whitelist-all") {
        return Err(options("--whitelist and --whitelist-all are mutually exclusive"));
    }
    if !["checksum", "whitelist", "whitelist-all"]
        .iter()
        .any(|name| typed.has(name))
    {
        return Err(failure(
            "must pass one of --checksum, --whitelist, --whitelist-all",
            usage,
        ));
    }
    let mut line = typed.translated("with-env", usage)?;
    line.push("--".into());
    line.extend(typed.rest);
    let Command::WithEnv(mut args) = today(line)? else {
        return Err(failure("not with-env", usage));
    };
    args.current_only = true;
    with_env::run(&args).await
}

async fn run_download(typed: Typed, usage: &str) -> Result<(), CliError> {
    if !typed.rest.is_empty() {
        return Err(failure("unexpected extra arguments", usage));
    }
    // Files come first here, then the environment, so the two are asked for apart.
    let files = typed.options.iter().filter(|(name, _)| *name == "file");
    let files = files.filter_map(|(_, value)| value.as_ref());
    let files: Vec<FileSpec> = files.map(|text| file_spec(text, usage)).collect::<Result<_, _>>()?;
    let without_files: Vec<_> = typed.options.into_iter().filter(|(name, _)| *name != "file").collect();
    let typed = Typed {
        options: without_files,
        rest: Vec::new(),
    };
    let mut line = typed.translated("download", usage)?;
    if typed.has("list") {
        line.retain(|argument| !argument.as_bytes().starts_with(b"--checksum"));
    }
    let Command::Download(mut args) = today(line)? else {
        return Err(failure("not a download", usage));
    };
    args.current_only = true;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    if args.list {
        return list(&args, &opened).await;
    }
    for spec in &files {
        print_or_place(&args, &opened, spec).await?;
    }
    let document = download::environment(&args, &opened).await?;
    ui::print(json(&document).as_bytes())
}

fn file_spec(text: &OsStr, usage: &str) -> Result<FileSpec, CliError> {
    let text = text.to_string_lossy();
    let parsed: Result<FileSpec, String> = text.parse();
    parsed.map_err(|error| failure(format!("{}: {error}", shown(&text)), usage))
}

/// The current keys, the environment's first and the files' as a dictionary of their labels has them.
async fn list(args: &download::DownloadArgs, opened: &Opened) -> Result<(), CliError> {
    let keys = download::current_keys(args, opened).await?;
    let is_file = |key: &&String| key.split('/').nth(2) == Some("files");
    let (mut files, environment): (Vec<&String>, Vec<&String>) = keys.iter().partition(is_file);
    files.sort();
    let labels: Vec<&str> = files.iter().filter_map(|key| key.split('/').nth(3)).collect();
    let ordered = dict_order(&labels).into_iter().map(|position| files[position]);
    environment.into_iter().chain(ordered).try_for_each(ui::print_line)
}

async fn print_or_place(args: &download::DownloadArgs, opened: &Opened, spec: &FileSpec) -> Result<(), CliError> {
    let item = spec.item(args.service.named()?);
    let version = download::read(args, opened, &item, spec.pin.as_ref()).await?;
    ui::notes(&version.notes);
    if let Some(path) = &spec.path {
        let mut placement = Placement::begin(path, false)?;
        placement.fill(version.content).await?;
        return placement.finish();
    }
    match in_memory(version.content, download::PRINTED_WHOLE).await {
        Ok(bytes) => ui::print(&bytes),
        Err(TooLarge::Failed(error)) => Err((*error).into()),
        Err(TooLarge::Yes) => Err(CliError::new(
            Status::Failure,
            format!(
                "the file {} has more than 8 MiB, too many to check before printing",
                spec.label
            ),
        )
        .hint(format!("place it: -f {}:PATH", spec.label))),
    }
}

/// As `json.dump(env, stdout, indent=2)` of Python 2.7 writes the dictionary that 0.3.4 copied from the document's.
fn json(document: &Document) -> Zeroizing<String> {
    let variables: Vec<_> = document.variables.iter().collect();
    let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
    let loaded: Vec<usize> = dict_order(&names);
    let loaded_names: Vec<&str> = loaded.iter().map(|position| names[*position]).collect();
    let copied = dict_order(&loaded_names)
        .into_iter()
        .map(|position| variables[loaded[position]]);
    let mut text = Zeroizing::new(String::from("{"));
    for (position, (name, value)) in copied.enumerate() {
        text.push_str(if position == 0 { "\n  " } else { ", \n  " });
        text.push_str(&ascii_json(name));
        text.push_str(": ");
        text.push_str(&Zeroizing::new(ascii_json(value.expose())));
    }
    text.push_str(if variables.is_empty() { "}\n" } else { "\n}\n" });
    text
}

/// Python's `optparse`: options anywhere before `--`, values joined or apart, long names abbreviated.
fn parse(arguments: &[OsString], own: &'static [Flag]) -> Result<Typed, CliError> {
    let flags: Vec<&'static Flag> = COMMON.iter().chain(own).collect();
    let mut typed = Typed {
        options: Vec::new(),
        rest: Vec::new(),
    };
    let mut arguments = arguments.iter();
    // Help and version end the reading at once, whatever follows.
    while !typed.has("help") && !typed.has("version") {
        let Some(argument) = arguments.next() else { break };
        let bytes = argument.as_bytes();
        if bytes == b"--" {
            typed.rest.extend(arguments.cloned());
            break;
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            parse_long(long, &flags, &mut arguments, &mut typed)?;
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            parse_short(&bytes[1..], &flags, &mut arguments, &mut typed)?;
        } else {
            typed.rest.push(argument.clone());
        }
    }
    Ok(typed)
}

fn parse_long<'a>(
    bytes: &[u8],
    flags: &[&'static Flag],
    more: &mut impl Iterator<Item = &'a OsString>,
    typed: &mut Typed,
) -> Result<(), CliError> {
    let at = bytes.iter().position(|byte| *byte == b'=');
    let (name, joined) = at.map_or((bytes, None), |at| {
        (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..])))
    });
    let name = String::from_utf8_lossy(name);
    let shown_name = shown(&name);
    let exact = flags.iter().find(|flag| flag.long == name);
    let candidates: Vec<_> = flags
        .iter()
        .filter(|flag| flag.long.starts_with(name.as_ref()))
        .collect();
    let flag = match (exact, &candidates[..]) {
        (Some(flag), _) => flag,
        (None, [flag]) => flag,
        (None, []) => return Err(options(format!("no such option: --{shown_name}"))),
        (None, several) => {
            let mut names: Vec<_> = several.iter().map(|flag| format!("--{}", flag.long)).collect();
            names.sort();
            return Err(options(format!(
                "ambiguous option: --{shown_name} ({}?)",
                names.join(", ")
            )));
        }
    };
    let value = match (flag.takes_value, joined) {
        (true, Some(value)) => Some(value.to_owned()),
        (true, None) => Some(needed(more, &format!("--{}", flag.long))?),
        (false, None) => None,
        (false, Some(_)) => return Err(options(format!("--{} option does not take a value", flag.long))),
    };
    typed.options.push((flag.long, value));
    Ok(())
}

fn parse_short<'a>(
    bytes: &[u8],
    flags: &[&'static Flag],
    more: &mut impl Iterator<Item = &'a OsString>,
    typed: &mut Typed,
) -> Result<(), CliError> {
    for (position, short) in bytes.iter().enumerate() {
        let name = shown(&String::from_utf8_lossy(&[*short]));
        let Some(flag) = flags.iter().find(|flag| flag.short == *short) else {
            return Err(options(format!("no such option: -{name}")));
        };
        if flag.takes_value {
            let joined = &bytes[position + 1..];
            let value = if joined.is_empty() {
                needed(more, &format!("-{name}"))?
            } else {
                OsString::from_vec(joined.to_vec())
            };
            typed.options.push((flag.long, Some(value)));
            return Ok(());
        }
        typed.options.push((flag.long, None));
        if flag.long == "help" {
            return Ok(());
        }
    }
    Ok(())
}

fn needed<'a>(more: &mut impl Iterator<Item = &'a OsString>, option: &str) -> Result<OsString, CliError> {
    more.next()
        .cloned()
        .ok_or_else(|| options(format!("{option} option requires an argument")))
}
