//! Every command, with what it is called with, and every way to ask it to tell more.

use std::collections::BTreeSet;
use std::fmt;

use crate::common::Run;
use crate::worlds::{World, talkative};

/// One call of a command.
#[derive(Clone)]
pub(crate) struct Call {
    /// The command, of two words or of one.
    pub(crate) command: &'static [&'static str],
    rest: Vec<String>,
    input: String,
    /// Whether the service's secret is its result.
    pub(crate) shows: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.command.join(" "), self.rest)
    }
}

impl Call {
    fn new(command: &'static [&'static str], rest: &str) -> Self {
        let rest = rest.split_whitespace().map(ToOwned::to_owned).collect();
        Self {
            command,
            rest,
            input: String::new(),
            shows: false,
        }
    }

    fn reads(mut self, input: impl Into<String>) -> Self {
        self.input = input.into();
        self
    }

    fn showing(mut self) -> Self {
        self.shows = true;
        self
    }

    fn with(mut self, argument: String) -> Self {
        self.rest.push(argument);
        self
    }

    /// The call, asked in so far as the command can be asked so.
    pub(crate) fn run(&self, world: &World, help: &Help, verbosity: &Verbosity) -> Run {
        let rest: Vec<&str> = self.rest.iter().map(String::as_str).collect();
        let options = help.given(self, verbosity);
        let run = world.run(&[self.command, &options, &rest].concat());
        let run = run.stdin(&self.input);
        if verbosity.talkative { talkative(run) } else { run }
    }
}

/// Every command, and the options that make a difference to what it does. In an order in which they can do it.
pub(crate) fn calls(world: &World) -> Vec<Call> {
    let secret = &world.secret.text;
    let call = |command: &'static [&'static str], rest: &str| Call::new(command, rest);
    let mut calls = vec![
        call(&["setup"], "--dry-run --signing"),
        call(&["setup"], "--yes --signing"),
    ];
    calls.extend(reading());
    calls.extend([
        call(&["set"], "A").reads(format!("{secret}s\n")),
        call(&["set"], "B --exact --from-file inputs/value"),
        call(&["set"], "G --generate 40"),
        call(&["set"], "--pairs").reads(format!("A={secret}p\nP={secret}\n")),
        call(&["set"], "--insecure-argv").with(format!("A={secret}i")),
        call(&["unset"], "G"),
        call(&["edit"], "-j"),
        call(&["upload"], "--dry-run").reads(format!("A={secret}d\n")),
        call(&["upload"], "").reads(format!("A={secret}u\nB={secret}\n")),
        call(&["upload"], "--json --force").reads(format!("{{\"A\": {}}}", serde_json::json!(secret))),
        call(&["upload"], "--dotenv --force inputs/dotenv"),
        call(&["upload"], "-f f --force inputs/large"),
        call(&["upload"], "-f g --force").reads(secret),
        call(&["rollback"], "previous --yes"),
        call(&["rollback"], "1 --yes -f f"),
        call(&["promote"], "--to web"),
        call(&["promote"], "--to web -f f --at 2"),
        call(&["delete"], "--yes"),
        call(&["rollback"], "previous --yes"),
        call(&["prune"], "--keep 4 --yes"),
        call(&["migrate"], "-s old --apply"),
        call(&["migrate"], "-s old --finish --yes"),
        call(&["re-sign"], "--sign --adopt --yes --verify-key inputs/key.pem"),
        call(&["verify"], "--verify-key inputs/key.pem"),
        call(&["signing-key", "create"], ""),
        // Now that 0.3.4 writes nothing any more, with the policies that it would not have got past.
        call(&["setup"], "--yes --signing"),
        call(&["doctor"], "--fix --yes"),
        call(&["microsecrets-upload"], "inputs/pairs"),
    ]);
    world
        .machine()
        .write("inputs/pairs", format!("A={secret}l\nB={secret}\n"));
    calls
}

/// Those that change nothing.
fn reading() -> Vec<Call> {
    let call = |command: &'static [&'static str], rest: &str| Call::new(command, rest);
    vec![
        call(&["with-env"], "-a -- true"),
        call(&["with-env"], "-a -f f:outputs/with-env --force -- true"),
        call(&["with-env"], "-w A -i -- printenv A").showing(),
        call(&["with-env"], "-w NOSUCH -- true"),
        call(&["with-env"], "-a -- nosuch"),
        call(&["run"], "-a -- true"),
        call(&["download"], "").showing(),
        call(&["download"], "-f f --at 1").showing(),
        call(&["download"], "-f f:outputs/download --force"),
        call(&["download"], "--list"),
        call(&["get"], "A").showing(),
        call(&["get"], "NOSUCH"),
        call(&["list"], ""),
        call(&["list"], "api"),
        call(&["history"], "--all"),
        call(&["history"], "-f f"),
        call(&["show"], ""),
        call(&["show"], "-f f"),
        call(&["show"], "--values --at 1").showing(),
        call(&["diff"], ""),
        call(&["diff"], "1 2"),
        call(&["diff"], "--with web"),
        call(&["diff"], "--values 1 2").showing(),
        call(&["check"], "--config inputs/contract.toml"),
        call(&["verify"], ""),
        call(&["verify"], "--all"),
        call(&["prune"], "--keep 1 --dry-run"),
        call(&["migrate"], "-s old"),
        call(&["signing-key", "export"], ""),
        call(&["doctor"], ""),
        call(&["doctor"], "--role writer"),
        call(&["whoami"], ""),
        call(&["policy"], "--role reader"),
        call(&["microsecrets-download"], "").showing(),
        call(&["microsecrets-with-env"], "-a -- true"),
    ]
}

/// One call of each command.
pub(crate) fn one_of_each(world: &World) -> Vec<Call> {
    let mut seen = BTreeSet::new();
    let mut calls = calls(world);
    calls.retain(|call| seen.insert(call.command));
    calls
}

/// How much a command is asked to tell.
#[derive(Debug)]
pub(crate) struct Verbosity {
    /// Options, each with its value.
    options: &'static [&'static [&'static str]],
    talkative: bool,
}

impl fmt::Display for Verbosity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}{}",
            self.options,
            if self.talkative { " RUST_LOG=trace" } else { "" }
        )
    }
}

pub(crate) const QUIET: Verbosity = of(&[&["-q"]], false);
pub(crate) const PLAIN: Verbosity = of(&[], false);
pub(crate) const VERBOSE: Verbosity = of(&[&["-v"]], false);
pub(crate) const DEBUG: Verbosity = of(&[&["-d"]], false);
pub(crate) const JSON: Verbosity = of(&[&["--format", "json"]], true);
pub(crate) const ALL: Verbosity = of(&[&["-v"], &["-d"]], true);

const fn of(options: &'static [&'static [&'static str]], talkative: bool) -> Verbosity {
    Verbosity { options, talkative }
}

/// What can be asked of each command, as its own help says it.
pub(crate) struct Help {
    of_each: Vec<(Vec<String>, String)>,
}

impl Help {
    /// Every command's; fails when there is one that no call is of.
    #[track_caller]
    pub(crate) fn of(world: &World, calls: &[Call]) -> Self {
        let whole = world.did(&["--help"], "");
        let (_, list) = whole.split_once("Commands:\n").unwrap();
        let lines = list.lines().take_while(|line| !line.is_empty());
        // Lines that go on are indented deeper.
        let lines = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let commands: BTreeSet<String> = lines
            .map(|line| line.split_whitespace().next().unwrap().to_owned())
            .collect();
        let called: BTreeSet<String> = calls.iter().map(|call| call.command[0].to_owned()).collect();
        let untested: Vec<_> = commands.difference(&called).collect();
        assert!(commands.len() >= 24 && untested.is_empty(), "not tested: {untested:?}");
        let named: BTreeSet<&[&str]> = calls.iter().map(|call| call.command).collect();
        let of_each = named.into_iter().map(|command| {
            let words = command.iter().map(|word| (*word).to_owned()).collect();
            (words, world.did(&[command, &["--help"]].concat(), ""))
        });
        Self {
            of_each: of_each.collect(),
        }
    }

    /// What the command can be asked of it.
    fn given(&self, call: &Call, verbosity: &Verbosity) -> Vec<&'static str> {
        let (_, text) = self.of_each.iter().find(|(words, _)| *words == call.command).unwrap();
        let groups = verbosity.options.iter().filter(|options| {
            let shown = match options[0] {
                "-q" => "-q, --quiet",
                "-v" => "-v, --verbose",
                "-d" => "-d, --debug",
                _ => "--format <FORMAT>",
            };
            // The help of 0.3.4's commands is 0.3.4's.
            text.contains(shown) || call.command[0].starts_with("microsecrets-") && ["-v", "-d"].contains(&options[0])
        });
        groups.copied().flatten().copied().collect()
    }
}
