//! What people see: results on standard output, everything else on standard error.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use microsecrets::item::Note;
use microsecrets::pairs::is_exportable;
use microsecrets::text::{escaped, shown};

use crate::error::{CliError, Status};

/// Writes a result to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // Whoever read this has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CliError::quiet(Status::Ok)),
        Err(error) => Err(CliError::new(Status::Failure, "cannot write to standard output").caused_by(&error)),
    }
}

/// Writes a line of text to standard output.
pub(crate) fn print_line(line: impl fmt::Display) -> Result<(), CliError> {
    print(format!("{line}\n").as_bytes())
}

/// Tells people something that is no result and no problem.
pub(crate) fn note(text: impl fmt::Display) {
    say("note", text);
}

/// Warns people.
pub(crate) fn warn(text: impl fmt::Display) {
    say("warning", text);
}

/// Tells people a line that is part of a list.
pub(crate) fn tell(text: impl fmt::Display) {
    // There is nowhere to report a failing standard error to.
    writeln!(io::stderr(), "{}", escaped(&text.to_string())).ok();
}

fn say(kind: &str, text: impl fmt::Display) {
    // There is nowhere to report a failing standard error to.
    writeln!(io::stderr(), "{kind}: {}", escaped(&text.to_string())).ok();
}

/// Tells people what the library noticed.
pub(crate) fn notes(notes: &[Note]) {
    for note in notes {
        match note {
            Note::Complained { what } => warn(format_args!("committed, though the store complained: {}", shown(what))),
            Note::ExpiresSoon { at } => warn(format_args!(
                "this version expires at {at}: publish it again before that"
            )),
            Note::HeadAhead { seconds } => warn(format_args!(
                "the current version's name is {seconds} s ahead of the store's clock: look whose clock is wrong"
            )),
            Note::NewerExists {
                number: Some(number),
                name,
            } => {
                warn(format_args!(
                    "the pinned version is not the current one, which is {number}, {name}"
                ));
            }
            Note::NewerExists { number: None, name } => {
                warn(format_args!(
                    "the pinned version is not the current one, which is {name}"
                ));
            }
            Note::RacedBy { key } => warn(format_args!(
                "microsecrets 0.3.4 uploaded {} at the same time; it is not part of this version",
                shown(key)
            )),
            Note::Sha1Pin => warn("SHA-1 is broken: pin the SHA-256 that upload prints"),
            Note::Superseded => self::note("committed, but somebody else has committed a newer version since"),
            Note::Unfinished { what } => {
                warn(format_args!(
                    "committed, but not complete; the next write completes it: {}",
                    shown(what)
                ));
            }
            other => warn(format_args!("{other:?}")),
        }
    }
}

/// Whether standard input is a terminal, so that a person must be told what is waited for.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether standard output is a terminal, which raw bytes would confuse.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether there is somebody to ask.
pub(crate) fn can_confirm() -> bool {
    stdin_is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question at the terminal; no where there is none.
pub(crate) fn confirm(question: &str) -> bool {
    if !can_confirm() {
        return false;
    }
    write!(io::stderr(), "{question} [y/N] ").ok();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Asks before something is done that others will notice; without a terminal it must have been said.
pub(crate) fn confirmed(yes: bool, question: &str) -> Result<(), CliError> {
    if yes || confirm(question) {
        return Ok(());
    }
    Err(CliError::new(Status::Failure, "nothing was done: it was not confirmed")
        .hint("say --yes to do it without being asked"))
}

/// Columns of text, padded to the widest cell of each.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A path as it may be shown.
pub(crate) fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

/// A variable's name as it may be shown. A name that no shell can export may be a misplaced secret.
pub(crate) fn variable(name: &str) -> String {
    if is_exportable(name) {
        shown(name)
    } else {
        "a variable whose name no shell can export".to_owned()
    }
}

/// The same, with the variable's place instead of a name that must not be shown.
pub(crate) fn variable_at(name: &str, position: usize) -> String {
    if is_exportable(name) {
        shown(name)
    } else {
        format!("variable {}", position + 1)
    }
}
