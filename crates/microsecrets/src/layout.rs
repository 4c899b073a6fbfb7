//! Where objects lie: the keys of versions, heads and log entries.
//!
//! ```text
//! services/<service>/environment/<name>.json         bytes of a version of the environment (0.3.4's place)
//! services/<service>/files/<label>/<name>            bytes of a version of a file          (0.3.4's place)
//! services/<service>/head/environment                head of the environment
//! services/<service>/head/file/<label>               head of a file
//! services/<service>/log/environment/<00000012>      record of version 12
//! services/<service>/log/file/<label>/<00000012>     record of version 12 of a file
//! ```
//!
//! Neither `head` nor `log` holds a segment `environment/...json` or `files/`: IAM's `*` crosses slashes, and 0.3.4 must
//! never see them. (The log of a file that is labelled `files` does; it holds records only, and is written once as any.)

use std::fmt;
use std::str::FromStr;

use crate::name::{Label, NameError, Number, ServiceName, VersionName};

/// The prefix of everything that belongs to services.
pub const SERVICES: &str = "services/";

/// Whether an item is its service's environment or one of its files.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the layout knows no third kind")]
pub enum ItemKind {
    /// The one environment that a service has.
    Environment,
    /// A file, under its label.
    File(Label),
}

impl fmt::Display for ItemKind {
    /// As in a record: `environment` or `file/<label>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::File(label) => write!(f, "file/{label}"),
        }
    }
}

impl FromStr for ItemKind {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("file/") {
            Some(label) => label.parse().map(Self::File),
            None if text == "environment" => Ok(Self::Environment),
            None => Err(NameError::Label),
        }
    }
}

/// One item of one service: what has versions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Item {
    service: ServiceName,
    kind: ItemKind,
}

impl Item {
    /// An item of a service.
    pub fn new(service: ServiceName, kind: ItemKind) -> Self {
        Self { service, kind }
    }

    /// The environment of a service.
    pub fn environment(service: ServiceName) -> Self {
        Self::new(service, ItemKind::Environment)
    }

    /// A file of a service.
    pub fn file(service: ServiceName, label: Label) -> Self {
        Self::new(service, ItemKind::File(label))
    }

    /// The item of a service that a key belongs to, in the grammar of its keys or not; `None` when it belongs to none.
    pub fn at(service: &ServiceName, key: &str) -> Option<Self> {
        let rest = key.strip_prefix(SERVICES)?.strip_prefix(service.as_str())?;
        let kind = match rest.split('/').collect::<Vec<_>>()[..] {
            ["", "environment", _, ..] | ["", "head", "environment"] | ["", "log", "environment", _, ..] => {
                ItemKind::Environment
            }
            ["", "files", label, _, ..] | ["", "head", "file", label] | ["", "log", "file", label, _, ..] => {
                ItemKind::File(label.parse().ok()?)
            }
            _ => return None,
        };
        Some(Self::new(service.clone(), kind))
    }

    /// Whose item it is.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Which of the service's items it is.
    pub fn kind(&self) -> &ItemKind {
        &self.kind
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, ItemKind::File(_))
    }

    /// The prefix under which the bytes of its versions lie, with its final slash.
    pub fn versions_prefix(&self) -> String {
        match &self.kind {
            ItemKind::Environment => format!("{SERVICES}{}/environment/", self.service),
            ItemKind::File(label) => format!("{SERVICES}{}/files/{label}/", self.service),
        }
    }

    /// The key of a version's bytes.
    pub fn version_key(&self, name: &VersionName) -> String {
        format!("{}{name}{}", self.versions_prefix(), self.extension())
    }

    /// The version whose bytes lie at a key; `None` when the key is outside the grammar.
    pub fn version_at(&self, key: &str) -> Option<VersionName> {
        key.strip_prefix(&self.versions_prefix())?
            .strip_suffix(self.extension())?
            .parse()
            .ok()
    }

    /// The key of the head.
    pub fn head_key(&self) -> String {
        format!("{SERVICES}{}/head/{}", self.service, self.kind)
    }

    /// The prefix under which the log entries lie, with its final slash.
    pub fn log_prefix(&self) -> String {
        format!("{SERVICES}{}/log/{}/", self.service, self.kind)
    }

    /// The key of a version's log entry.
    pub fn log_key(&self, number: Number) -> String {
        format!("{}{:08}", self.log_prefix(), number.get())
    }

    /// The number of the version whose log entry lies at a key; `None` when the key is outside the grammar.
    pub fn number_at(&self, key: &str) -> Option<Number> {
        let digits = key.strip_prefix(&self.log_prefix())?;
        let well_formed = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then(|| digits.parse().ok().and_then(Number::new)).flatten()
    }

    fn extension(&self) -> &'static str {
        match self.kind {
            ItemKind::Environment => ".json",
            ItemKind::File(_) => "",
        }
    }
}

impl fmt::Display for Item {
    /// For people: `environment of api`, `file tls.pem of web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ItemKind::Environment => write!(f, "environment of {}", self.service),
            ItemKind::File(label) => write!(f, "file {label} of {}", self.service),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;

    fn service() -> ServiceName {
        "api".parse().expect("a service")
    }

    fn name() -> VersionName {
        format!("2026-11-23.07-58-01.{}", Checksum::of(b"x"))
            .parse()
            .expect("a name")
    }

    #[test]
    fn an_environment_lies_where_0_3_4_put_it() {
        let item = Item::environment(service());
        let key = format!(
            "services/api/environment/2026-11-23.07-58-01.{}.json",
            Checksum::of(b"x")
        );
        assert_eq!(item.version_key(&name()), key);
        assert_eq!(item.version_at(&key), Some(name()));
        assert_eq!(item.head_key(), "services/api/head/environment");
        assert_eq!(
            item.log_key(Number::new(12).expect("a number")),
            "services/api/log/environment/00000012"
        );
    }

    #[test]
    fn a_file_lies_where_0_3_4_put_it() {
        let item = Item::file(service(), "tls.pem".parse().expect("a label"));
        let key = format!("services/api/files/tls.pem/2026-11-23.07-58-01.{}", Checksum::of(b"x"));
        assert_eq!(item.version_key(&name()), key);
        assert_eq!(item.version_at(&key), Some(name()));
        assert_eq!(item.head_key(), "services/api/head/file/tls.pem");
        assert_eq!(item.log_key(Number::FIRST), "services/api/log/file/tls.pem/00000001");
    }

    #[test]
    fn keys_outside_the_grammar_name_no_version() {
        let item = Item::environment(service());
        let key = item.version_key(&name());
        for bad in [
            key.trim_end_matches(".json"),
            &format!("{key}.bak"),
            &key.replace("/api/", "/web/"),
            "services/api/environment/x/y.json",
        ] {
            assert_eq!(item.version_at(bad), None, "{bad}");
        }
        for bad in ["1", "000000012", "00000000", "+0000001"] {
            assert_eq!(item.number_at(&format!("{}{bad}", item.log_prefix())), None, "{bad}");
        }
    }

    #[test]
    fn a_key_belongs_to_an_item_or_to_none() {
        let (service, file) = (service(), Item::file(service(), "tls.pem".parse().expect("a label")));
        for item in [Item::environment(service.clone()), file] {
            let odd = format!("{}x/y", item.versions_prefix());
            for key in [
                item.version_key(&name()),
                item.head_key(),
                item.log_key(Number::FIRST),
                odd,
            ] {
                assert_eq!(Item::at(&service, &key), Some(item.clone()), "{key}");
            }
        }
        for foreign in [
            "services/api/environment",
            "services/api/head/environment/x",
            "services/api/head/file/a b",
            "services/api/files/..",
            "services/api/files/a:b/x",
            "services/api/log/x",
            "services/api2/head/environment",
            "other/api/head/environment",
        ] {
            assert_eq!(Item::at(&service, foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_record_says_the_item_in_one_word() {
        for text in ["environment", "file/tls.pem"] {
            assert_eq!(
                text.parse::<ItemKind>().map(|kind| kind.to_string()),
                Ok(text.to_owned())
            );
        }
        for bad in ["", "file/", "file/..", "files/x", "environment/"] {
            assert!(bad.parse::<ItemKind>().is_err(), "{bad}");
        }
    }
}
