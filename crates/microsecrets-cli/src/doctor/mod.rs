//! What `doctor` finds: one finding for each thing it looks at, whether it is as it shall be, why that matters, and what
//! mends it.

pub(crate) mod account;
pub(crate) mod ailments;
pub(crate) mod bucket;
pub(crate) mod key;
pub(crate) mod local;
pub(crate) mod objects;
pub(crate) mod rights;

use std::fmt::Write as _;

use microsecrets::name::ServiceName;
use microsecrets::store::{ErrorKind, StoreError};
use microsecrets::text::escaped;

use crate::args::{Bucket, Format, StoreArgs};
use crate::error::CliError;
use crate::ui;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    Ok,
    Warning,
    Failure,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// What one check came to.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// The check's name, for programs.
    check: &'static str,
    /// What was looked at: an item, a bucket, a key, a file.
    subject: String,
    says: String,
    why: Option<String>,
    mend: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, subject: impl ToString, says: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            check,
            subject: subject.to_string(),
            says: says.into(),
            why: None,
            mend: None,
        }
    }

    pub(crate) fn warning(
        check: &'static str,
        subject: impl ToString,
        says: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            why: Some(why.into()),
            ..Self::ok(check, subject, says)
        }
    }

    pub(crate) fn failure(
        check: &'static str,
        subject: impl ToString,
        says: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Failure,
            ..Self::warning(check, subject, says, why)
        }
    }

    /// Whether it is of a check, and as bad as this.
    pub(crate) fn is(&self, check: &str, level: Level) -> bool {
        (self.check, self.level) == (check, level)
    }

    /// Says what mends it: a command, a statement, a line of the contract.
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Says what mends it, if that is known.
    pub(crate) fn mend_if(mut self, mend: Option<String>) -> Self {
        self.mend = mend;
        self
    }

    /// What could not be looked at. Who lacks a right may not need it for anything else; what fails otherwise is worse.
    pub(crate) fn not_seen(check: &'static str, subject: impl ToString, error: StoreError) -> Self {
        let is_denied = matches!(error.kind, ErrorKind::Denied(_));
        let (told, hint) = CliError::from(error).told();
        let says = format!("cannot be looked at: {told}");
        let found = match is_denied {
            true => Self::warning(check, subject, says, "what may not be asked is not known to be right"),
            false => Self::failure(check, subject, says, "what cannot be asked is not known to be right"),
        };
        found.mend_if(hint)
    }
}

/// Prints findings, one line each, and beneath those that are not ok why they matter and what mends them.
pub(crate) fn print(findings: &[Finding], format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        let all: Vec<_> = findings.iter().map(json).collect();
        return ui::print_line(serde_json::Value::from(all));
    }
    let mut text = String::new();
    for finding in findings {
        let (level, check) = (finding.level.name(), finding.check);
        let mut line = |start: &str, said: &str| {
            let _: std::fmt::Result = writeln!(text, "{start}{}", escaped(said));
        };
        line(&format!("{level:<7}  {check}: "), &finding.says);
        for (start, said) in [("why", &finding.why), ("mend", &finding.mend)] {
            if let Some(said) = said {
                line(&format!("         {start}: "), said);
            }
        }
    }
    ui::print(text.as_bytes())
}

fn json(finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "level": finding.level.name(),
        "check": finding.check,
        "subject": finding.subject,
        "says": finding.says,
        "why": finding.why,
        "mend": finding.mend,
    })
}

/// Commands that people can copy: for the bucket, the region and the service that were looked at.
#[derive(Clone, Copy)]
pub(crate) struct Commands<'a> {
    pub(crate) store: &'a StoreArgs,
    pub(crate) service: Option<&'a ServiceName>,
}

impl Commands<'_> {
    /// A command of this program.
    pub(crate) fn own(&self, verb: &str, arguments: &str) -> String {
        let mut line = format!("microsecrets {verb}");
        let mut add = |flag: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _: std::fmt::Result = write!(line, " {flag} {}", word(value));
            }
        };
        add("-b", self.bucket().as_deref());
        add("-r", self.store.region.as_deref());
        add("--profile", self.store.profile.as_deref());
        add("-s", self.service.map(ServiceName::as_str));
        line.push_str(if arguments.is_empty() { "" } else { " " });
        line + arguments
    }

    /// A command of AWS's.
    pub(crate) fn aws(&self, arguments: &str) -> String {
        let mut line = format!("aws {arguments}");
        let options = [
            ("--region", &self.store.region),
            ("--profile", &self.store.profile),
            ("--endpoint-url", &self.store.endpoint),
        ];
        for (flag, value) in options {
            if let Some(value) = value {
                let _: std::fmt::Result = write!(line, " {flag} {}", word(value));
            }
        }
        line
    }

    /// The command that removes an object.
    pub(crate) fn remove(&self, key: &str) -> String {
        match &self.store.bucket {
            Some(Bucket::S3(bucket)) => self.aws(&format!("s3 rm {}", word(&format!("s3://{bucket}/{key}")))),
            Some(Bucket::Folder(folder)) => format!("rm {}", word(&folder.join(key).to_string_lossy())),
            None => String::new(),
        }
    }

    /// How an object's older versions are found, to look at them and to put one back.
    pub(crate) fn put_back(&self, key: &str) -> String {
        match &self.store.bucket {
            Some(Bucket::S3(bucket)) => {
                let look = format!(
                    "s3api list-object-versions --bucket {} --prefix {}",
                    word(bucket),
                    word(key)
                );
                let copy = format!(
                    "s3api get-object --bucket {} --key {} --version-id ID FILE",
                    word(bucket),
                    word(key)
                );
                format!("{}; {} gets one, to be put back", self.aws(&look), self.aws(&copy))
            }
            Some(Bucket::Folder(folder)) => {
                let path = folder.join(key);
                format!("restore {} from a backup of the folder", word(&path.to_string_lossy()))
            }
            None => String::new(),
        }
    }

    fn bucket(&self) -> Option<String> {
        match self.store.bucket.as_ref()? {
            Bucket::S3(name) => Some(name.clone()),
            Bucket::Folder(folder) => Some(format!("file:{}", folder.display())),
        }
    }
}

/// A word as a shell takes it.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_is_quoted_when_a_shell_would_see_more_in_it() {
        for (text, expected) in [
            ("services/api/head/environment", "services/api/head/environment"),
            ("file:/a b", "'file:/a b'"),
            ("$(touch x)", "'$(touch x)'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("~", "'~'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }
}
