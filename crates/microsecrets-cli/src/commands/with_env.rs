//! `with-env`: becomes a command, with the secrets in its environment.

use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;
use futures_util::future::try_join_all;
use microsecrets::contract::{Breach, Contract, Expected};
use microsecrets::document::Document;
use microsecrets::item::{Facts, Reader, Selector, Version, VersionSpec};
use microsecrets::layout::Item;
use microsecrets::name::ServiceName;
use microsecrets::pairs::is_exportable;
use microsecrets::whitelist::{Refusal, Whitelist};
use microsecrets::{danger, text::shown};

use crate::args::{FileSpec, Pin, ServiceArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status, dangerous};
use crate::exec::{self, Environment, Ready};
use crate::fresh::StateArgs;
use crate::place::{Placement, check_distinct};
use crate::{ui, versions};

const DETAILS: &str = "\
Say why the environment may be believed: -c pins its exact content, -w allows only the variables you name, \
--verify-key believes who signed it, -a allows whatever is there. A contract, microsecrets.toml, can say it too.

The command replaces this process, so its signals, terminal and exit status are its own, and gets MICROSECRETS_METADATA \
and MICROSECRETS_SOURCE as well. When it is not started, the status is 122 (not trusted), 123 (denied or absent), 124 \
(store unavailable), 125 (anything else), 126 (the command cannot be run) or 127 (there is no such command).

Examples:
  microsecrets with-env -b file:secrets -s api -w 'DB_URL DB_PASSWORD' -- ./server
  microsecrets with-env -b my-bucket -s api -a -f tls.pem:/run/api/tls.pem -- ./server --port 443";

/// Become a command, with a service's secrets in its environment
#[derive(Args)]
#[command(after_help = DETAILS, override_usage = "microsecrets with-env [OPTIONS] -- COMMAND...")]
pub(crate) struct WithEnvArgs {
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Demand the environment with this SHA-256, also when a newer one is current (or SHA-1, SHA-384, SHA-512 of the
    /// current one, or a version's name); allows all of its variables
    #[arg(short, long, value_name = "HASH")]
    pub(crate) checksum: Option<Pin>,
    /// Allow these variables: white-space separated names, or globs, which never match a name that can run code
    #[arg(short, long, value_name = "VARS")]
    pub(crate) whitelist: Vec<String>,
    /// Allow all variables
    #[arg(short = 'a', long, conflicts_with = "whitelist")]
    pub(crate) whitelist_all: bool,
    /// Leave out variables that are not allowed, instead of refusing to start
    #[arg(short, long)]
    pub(crate) ignore_extra: bool,
    /// Do not search PATH for the command
    #[arg(short = 'P', long)]
    pub(crate) no_path: bool,
    /// Remove these variables from the command's environment: white-space separated names
    #[arg(short = 'D', long, value_name = "VARS")]
    pub(crate) del_env: Vec<String>,
    /// Give the command only the service's variables, not this environment's
    #[arg(long)]
    pub(crate) pristine: bool,
    /// Also place a file of the service, mode 0600; all are verified before the first is placed
    #[arg(short, long, value_name = "NAME:PATH[:HASH]")]
    pub(crate) file: Vec<FileSpec>,
    /// Replace files that are there already
    #[arg(long)]
    pub(crate) force: bool,
    /// Use this version: a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME for the one that was
    /// current then
    #[arg(long, value_name = "VERSION", conflicts_with = "checksum")]
    pub(crate) at: Option<VersionSpec>,
    /// Also look for newer uploads of 0.3.4, as for a service in migration
    #[arg(long)]
    pub(crate) scan: bool,
    /// A checksum pins the current version only, as in 0.3.4.
    #[arg(skip)]
    pub(crate) current_only: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Runs the command. Returns only when it could not be started.
pub(crate) async fn run(args: &WithEnvArgs) -> Result<(), CliError> {
    Err(prepare(args).await?.run())
}

/// Everything up to the command, with its environment made and its files in their places.
async fn prepare(args: &WithEnvArgs) -> Result<Ready<'_>, CliError> {
    if args.command.is_empty() {
        return Err(
            CliError::usage("no command is given").hint("put it after --: microsecrets with-env ... -- COMMAND")
        );
    }
    let service = args.service.named()?;
    for spec in &args.file {
        if spec.path.is_none() {
            let hint = format!("say -f {}:PATH", spec.label);
            return Err(CliError::usage(format!("the file {} needs a path", spec.label)).hint(hint));
        }
    }
    check_distinct(&args.file)?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    let allowed = allowed(args, &opened)?;
    let (version, files) = read_all(args, service, &opened).await?;
    ui::notes(&version.notes);
    let document = versions::document(version.content)?;
    let environment = merge(args, &allowed, &document, &version.facts)?;
    let ready = Ready::new(&args.command, environment, !args.no_path)?;
    place(args, files).await?;
    Ok(ready)
}

/// Reads the environment and the files, all at once.
async fn read_all(
    args: &WithEnvArgs,
    service: &ServiceName,
    opened: &Opened,
) -> Result<(Version, Vec<Version>), CliError> {
    let item = Item::environment(service.clone());
    let selector_of = |pin: &Pin| pin.selector(args.current_only);
    let read = async |item: &Item, selector: &Selector| {
        Reader::new(opened.access(item))
            .scan(args.scan)
            .with_record(args.state.remembers())
            .read(selector)
            .await
            .map_err(|error| CliError::from(error).context_for_store(format!("cannot read the {item}")))
    };
    let environment = async || match (&args.checksum, &args.at) {
        (Some(pin), _) => read(&item, &selector_of(pin)).await,
        (None, Some(at)) => versions::read_with(Reader::new(opened.access(&item)).scan(args.scan), at).await,
        (None, None) => read(&item, &Selector::Current).await,
    };
    let items: Vec<Item> = args.file.iter().map(|spec| spec.item(service)).collect();
    let selectors: Vec<Selector> = args
        .file
        .iter()
        .map(|spec| spec.pin.as_ref().map_or(Selector::Current, selector_of))
        .collect();
    let file = async |item, selector| match read(item, selector).await {
        // As of the environment: a deletion is remembered, whatever becomes of the others.
        Err(error) if error.deletion().is_some() => args.state.seen(opened, item, Err(error)).await,
        read => read,
    };
    let files = try_join_all(
        items
            .iter()
            .zip(&selectors)
            .map(|(item, selector)| file(item, selector)),
    );
    let (version, files) = futures_util::future::join(environment(), files).await;
    // What is used together is remembered together.
    let (version, files) = match version {
        Ok(version) => (version, files?),
        version => (args.state.seen(opened, &item, version).await?, Vec::new()),
    };
    let mut seen = vec![(&item, &version.facts)];
    seen.extend(items.iter().zip(files.iter().map(|file| &file.facts)));
    args.state.observe(opened, &seen).await?;
    Ok((version, files))
}

/// What the command line and the contract allow.
struct Allowed {
    /// The names of `-w`; without them, everything.
    whitelist: Option<Whitelist>,
    /// What the contract requires and allows.
    contract: Option<Arc<Contract>>,
    /// Say which variables could run code: nobody named them.
    warn: bool,
}

impl Allowed {
    fn expected(&self) -> Option<&Expected> {
        self.contract.as_ref().and_then(|contract| contract.variables.as_ref())
    }

    /// Whether the contract has no place for a variable.
    fn is_extra(&self, name: &str) -> bool {
        self.expected().is_some_and(|expected| !expected.allowed().allows(name))
    }
}

fn allowed(args: &WithEnvArgs, opened: &Opened) -> Result<Allowed, CliError> {
    let whitelist = match args.whitelist.is_empty() {
        true => None,
        false => Some(
            Whitelist::parse(&args.whitelist).map_err(|error| CliError::usage(error.to_string()).hint(error.hint()))?,
        ),
    };
    let allowed = Allowed {
        whitelist,
        contract: opened.contract.clone(),
        warn: args.whitelist_all,
    };
    let is_said = allowed.whitelist.is_some() || args.whitelist_all || args.checksum.is_some();
    if is_said || opened.checks.demand_signatures() || allowed.expected().is_some() {
        return Ok(allowed);
    }
    Err(
        CliError::usage("nothing says why the environment may be believed").hint(
            "say -w 'VAR VAR' for the variables you expect, -c CHECKSUM for the exact content, --verify-key KEY for who signed it, or -a for anything",
        ),
    )
}

/// The environment that the command gets.
fn merge(args: &WithEnvArgs, allowed: &Allowed, document: &Document, facts: &Facts) -> Result<Environment, CliError> {
    let mut environment: Environment = if args.pristine {
        Environment::new()
    } else {
        exec::inherited()
    };
    let mut refusals = Vec::new();
    for (position, (name, value)) in document.variables.iter().enumerate() {
        if let Some(refusal) = allowed.whitelist.as_ref().and_then(|whitelist| whitelist.refusal(name)) {
            if args.ignore_extra {
                if args.store.verbose || args.store.debug {
                    ui::note(format_args!("left out {}", ui::variable_at(name, position)));
                }
                continue;
            }
            refusals.push((refusal, name, position));
            continue;
        }
        if allowed.is_extra(name) {
            // Refused by the contract below, unless it is to be left out.
            if args.ignore_extra && (args.store.verbose || args.store.debug) {
                ui::note(format_args!("left out {}", ui::variable_at(name, position)));
            }
            continue;
        }
        if let Some(row) = danger::find(name).filter(|_| allowed.warn) {
            ui::warn(format_args!("{} is set: {}", ui::variable_at(name, position), row.why));
        }
        environment.insert(name.into(), value.expose().into());
    }
    if let Some(error) = all_refused(refusals) {
        return Err(error);
    }
    keep_contract(args, allowed, document)?;
    environment.insert("MICROSECRETS_METADATA".into(), document.metadata.to_json().into());
    environment.insert("MICROSECRETS_SOURCE".into(), facts.key.clone().into());
    for name in args.del_env.iter().flat_map(|names| names.split_whitespace()) {
        environment.remove(std::ffi::OsStr::new(name));
    }
    Ok(environment)
}

/// Refuses an environment that breaks the contract. What is left out on purpose breaks none.
fn keep_contract(args: &WithEnvArgs, allowed: &Allowed, document: &Document) -> Result<(), CliError> {
    let (Some(contract), Some(expected)) = (&allowed.contract, allowed.expected()) else {
        return Ok(());
    };
    let is_extra = |breach: &Breach| matches!(breach, Breach::NotAllowed(_));
    let mut breaches = expected.breaches(&document.variables);
    breaches.retain(|breach| !(args.ignore_extra && is_extra(breach)));
    // What -w leaves out is as good as missing.
    let whitelist = allowed.whitelist.as_ref().filter(|_| args.ignore_extra);
    let left_out = |name: &&str| whitelist.is_some_and(|whitelist| !whitelist.allows(name)) && expected.requires(name);
    let names = document.variables.iter().map(|(name, _)| name);
    breaches.extend(names.filter(left_out).map(|name| Breach::Missing(name.to_owned())));
    if breaches.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    let message = format!("the environment breaks its contract: {}", told.join("; "));
    let path = ui::shown_path(&contract.path);
    let hint = match (breaches.iter().any(is_extra), breaches.iter().all(is_extra)) {
        (false, _) => format!("set what is missing (`microsecrets set`), or change `require` in {path}"),
        (_, false) => format!("change the environment, or `require` and `optional` in {path}"),
        _ => {
            let allowing = match dangerous(&breaches) {
                Some(name) => format!("name {name} in {path}, because no glob matches what can run code"),
                None => format!("change `optional` in {path}"),
            };
            format!("unset what is not allowed, or {allowing}; --ignore-extra leaves it out")
        }
    };
    Err(CliError::new(Status::NotTrusted, message).hint(hint))
}

fn refused(refusal: &Refusal<'_>, name: &str, position: usize) -> CliError {
    let shown_name = ui::variable_at(name, position);
    // A name that must not be shown cannot be part of what to type.
    let allowing = is_exportable(name).then(|| format!("to allow it, say -w {shown_name}"));
    match refusal {
        Refusal::Dangerous { glob, row } => {
            let glob = shown(glob.as_str());
            let message = format!("{shown_name} is matched by {glob} only, and {}", row.why);
            CliError::new(Status::NotTrusted, message)
                .hint(allowing.unwrap_or_else(|| format!("{LEAVING_OUT}, or allow everything with -a")))
        }
        _ => {
            let message = format!("the environment has a variable that is not allowed: {shown_name}");
            let hint = match allowing {
                Some(allowing) => format!("{allowing}; {LEAVING_OUT}"),
                None => format!("{LEAVING_OUT}; `microsecrets download` shows its name"),
            };
            CliError::new(Status::NotTrusted, message).hint(hint)
        }
    }
}

/// What to say of the variables that are not allowed: all of them, so that nobody has to find them out one by one. One
/// that can run code is told alone, with what it does.
fn all_refused(refusals: Vec<(Refusal<'_>, &str, usize)>) -> Option<CliError> {
    let is_dangerous = |(refusal, ..): &&(Refusal<'_>, &str, usize)| matches!(refusal, Refusal::Dangerous { .. });
    let alone = match &refusals[..] {
        [one] => Some(one),
        several => several.iter().find(is_dangerous),
    };
    if let Some((refusal, name, position)) = alone {
        return Some(refused(refusal, name, *position));
    }
    let names = refusals
        .iter()
        .map(|(_, name, position)| ui::variable_at(name, *position));
    let names: Vec<String> = names.collect();
    let allowing = refusals
        .iter()
        .map(|(_, name, _)| *name)
        .filter(|name| is_exportable(name));
    let allowing: Vec<&str> = allowing.collect();
    let message = format!(
        "the environment has {} variables that are not allowed: {}",
        names.len(),
        names.join(", ")
    );
    let leaving_out = "to leave them out, --ignore-extra";
    let hint = match &allowing[..] {
        [] => leaving_out.to_owned(),
        allowing => format!("to allow them, add -w '{}'; {leaving_out}", allowing.join(" ")),
    };
    (!names.is_empty()).then(|| CliError::new(Status::NotTrusted, message).hint(hint))
}

const LEAVING_OUT: &str = "to leave it out, --ignore-extra";

/// Places the files: all are complete and verified before the first one has its name.
async fn place(args: &WithEnvArgs, files: Vec<Version>) -> Result<(), CliError> {
    let mut placements = Vec::with_capacity(files.len());
    for (spec, version) in args.file.iter().zip(files) {
        let Some(path) = &spec.path else { continue };
        ui::notes(&version.notes);
        let mut placement = Placement::begin(path, args.force)?;
        placement.fill(version.content).await?;
        placements.push(placement);
    }
    placements.into_iter().try_for_each(Placement::finish)
}
