//! Mistakes in a command line, shown as every other error is: one line that says what, and a hint.
//!
//! What was typed may be a misplaced secret (`microsecrets upload PASSWORD=...`), so whatever has a `=` is never shown.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use microsecrets::text::shown;

use crate::error::{CliError, Status};
use crate::ui;

/// The error for a command line that `program` (such as `microsecrets upload`) does not understand; its help, when that
/// is what was asked for, goes to standard output.
pub(crate) fn explain(error: &clap::Error, program: &str) -> CliError {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let printed = ui::print(error.render().to_string().as_bytes());
        return printed.err().unwrap_or_else(|| CliError::quiet(Status::Ok));
    }
    let mistake = Mistake { error, program };
    CliError::usage(mistake.message()).hint(mistake.hint())
}

struct Mistake<'a> {
    error: &'a clap::Error,
    program: &'a str,
}

impl Mistake<'_> {
    fn message(&self) -> String {
        let option = self.name(ContextKind::InvalidArg);
        match self.error.kind() {
            ErrorKind::ArgumentConflict => {
                let other = self.name(ContextKind::PriorArg);
                if other == option {
                    format!("{option} is given twice")
                } else {
                    format!("{option} and {other} exclude each other")
                }
            }
            ErrorKind::InvalidSubcommand => {
                format!("there is no command{}", self.typed(ContextKind::InvalidSubcommand))
            }
            ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
            ErrorKind::InvalidValue if self.text(ContextKind::InvalidValue).is_empty() => {
                format!("{option} needs a value")
            }
            ErrorKind::InvalidValue => format!("{option} cannot be{}", self.typed(ContextKind::InvalidValue)),
            ErrorKind::MissingRequiredArgument => format!("this also needs {option}"),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                "no command is given".to_owned()
            }
            ErrorKind::UnknownArgument if option.starts_with('-') => format!("there is no option {option}"),
            ErrorKind::UnknownArgument => format!("unexpected argument{}", self.typed(ContextKind::InvalidArg)),
            ErrorKind::ValueValidation => {
                let why = self
                    .error
                    .source()
                    .map_or_else(String::new, |source| format!(": {source}"));
                match self.typed(ContextKind::InvalidValue) {
                    typed if typed.is_empty() => format!("{option}{why}"),
                    typed => format!("{option} cannot be{typed}{why}"),
                }
            }
            ErrorKind::TooManyValues => format!("{option} takes no value"),
            // Never clap's own words, which repeat what was typed.
            _ => "the command line cannot be understood".to_owned(),
        }
    }

    fn hint(&self) -> String {
        let help = format!("`{} --help` shows what can be said", self.program);
        match self.error.kind() {
            ErrorKind::ArgumentConflict => "leave one of them out".to_owned(),
            ErrorKind::InvalidSubcommand => self.suggestion(ContextKind::SuggestedSubcommand).unwrap_or(help),
            ErrorKind::InvalidValue => match self.error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) if !values.is_empty() => {
                    format!("it can be {}", values.join(" or "))
                }
                _ => help,
            },
            ErrorKind::UnknownArgument => {
                let option = self.text(ContextKind::InvalidArg);
                self.suggestion(ContextKind::SuggestedArg)
                    .or_else(|| self.misplaced(&option).map(ToOwned::to_owned))
                    .unwrap_or(help)
            }
            _ => help,
        }
    }

    /// Where an argument belongs that is known to be put elsewhere.
    fn misplaced(&self, argument: &str) -> Option<&'static str> {
        let is_option = argument.starts_with('-');
        match self.program.split_once([' ', '-']).map(|(_, command)| command) {
            None if is_option => Some("options come after the command: microsecrets COMMAND [OPTIONS]"),
            Some("with-env" | "run") if !is_option => {
                Some("the command comes after --: microsecrets with-env [OPTIONS] -- COMMAND...")
            }
            Some("upload") if argument.contains('=') => Some(VALUES_HINT),
            _ => None,
        }
    }

    fn suggestion(&self, kind: ContextKind) -> Option<String> {
        match self.error.get(kind)? {
            ContextValue::String(name) => Some(format!("did you mean {name}?")),
            ContextValue::Strings(names) => Some(format!("did you mean {}?", names.join(" or "))),
            _ => None,
        }
    }

    fn text(&self, kind: ContextKind) -> String {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(" "),
            _ => String::new(),
        }
    }

    /// An option without the names of its values; of what was typed with a value, only what is before the `=`.
    fn name(&self, kind: ContextKind) -> String {
        let text = self.text(kind);
        let name = text.split([' ', '=']).next().unwrap_or_default();
        shown(name.trim_matches(['[', ']', '<', '>', '.']))
    }

    /// What was typed, with a blank and in quotes; nothing when it must not be shown.
    fn typed(&self, kind: ContextKind) -> String {
        match self.text(kind) {
            text if text.is_empty() || text.contains('=') => String::new(),
            text => format!(" '{}'", shown(&text)),
        }
    }
}

/// What to do instead of giving variables on the command line.
pub(crate) const VALUES_HINT: &str =
    "variables are read from standard input or from a file, never from the command line, which others can see";
