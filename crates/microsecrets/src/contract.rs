//! The contract of a service, `microsecrets.toml` (TOML 1.0): where its secrets are, who must have signed them, and which
//! variables it requires and allows.
//!
//! ```toml
//! bucket = "example-microsecrets"
//! service = "api"
//! kms-key = "arn:aws:kms:eu-west-1:111122223333:key/..."
//! verify-keys = ["signing-key.pem"]
//! require = ["DB_URL", "DB_PASSWORD"]
//! optional = ["LOG_LEVEL", "FEATURE_*"]
//! ```
//!
//! It can only add demands. What it says about places and keys is used where the command line and the environment say
//! nothing, and its list of variables is held to besides theirs. It is used only when nobody but this user and root can
//! have written it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::document::Variables;
use crate::name::{Number, ServiceName};
use crate::ownfile::{self, FileRefused, Rule};
use crate::pairs::is_exportable;
use crate::text::shown;
use crate::trust::{PinnedKeyError, VerifyKey};
use crate::unnamed::folder_of;
use crate::whitelist::{PatternError, Whitelist};

/// How a contract's file is called.
pub const FILE_NAME: &str = "microsecrets.toml";
/// The most bytes of a contract.
const MAX_FILE: u64 = 256 * 1024;
/// The keys that a contract may hold.
const KEYS: [&str; 12] = [
    "aws-profile",
    "bucket",
    "bucket-owner",
    "kms-key",
    "min-version",
    "optional",
    "region",
    "replicas",
    "require",
    "service",
    "sign-with",
    "verify-keys",
];
/// How alike a word must be to a key to be taken for a slip of the keyboard (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// What a service requires and allows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Contract {
    /// Where it lies.
    pub path: PathBuf,
    /// Bucket, or `file:DIR`.
    pub bucket: Option<String>,
    /// The service that it is about.
    pub service: Option<ServiceName>,
    /// AWS region.
    pub region: Option<String>,
    /// AWS profile.
    pub aws_profile: Option<String>,
    /// KMS key by ARN, id or alias.
    pub kms_key: Option<String>,
    /// Account that must own the bucket.
    pub bucket_owner: Option<String>,
    /// Buckets whose records are believed too.
    pub replicas: Vec<String>,
    /// Public keys, one of which must have signed each version.
    pub verify_keys: Vec<VerifyKey>,
    /// The key that signs what is written.
    pub sign_with: Option<String>,
    /// The least number that the current version may have.
    pub min_version: Option<Number>,
    /// Which variables there must and may be.
    pub variables: Option<Expected>,
}

impl Contract {
    /// Reads the contract in a file.
    ///
    /// # Errors
    ///
    /// See [`ContractError`].
    pub fn read(path: &Path) -> Result<Self, ContractError> {
        let at = |fault| ContractError {
            path: path.to_owned(),
            fault,
        };
        let bytes = ownfile::read(path, Rule::Trusted, MAX_FILE).map_err(|refused| at(ContractFault::File(refused)))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| at(ContractFault::NotUtf8))?;
        let folder = folder_of(path);
        let contract = Self::parse(text, folder).map_err(at)?;
        Ok(Self {
            path: path.to_owned(),
            ..contract
        })
    }

    /// Reads a contract; paths in it are seen from a folder.
    fn parse(text: &str, folder: &Path) -> Result<Self, ContractFault> {
        let table: Table = text.parse().map_err(|error| ContractFault::syntax(&error, text))?;
        if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(ContractFault::UnknownKey {
                key: shown(unknown),
                meant: likely(unknown),
            });
        }
        let mut fields = Fields(table);
        let verify_keys = fields.list("verify-keys")?.unwrap_or_default();
        let verify_keys = verify_keys.iter().map(|text| VerifyKey::pinned(text, folder));
        let service = fields.text("service")?.map(|name| name.parse());
        let owner = fields.text("bucket-owner")?;
        if owner.as_deref().is_some_and(|owner| !is_account(owner)) {
            return Err(ContractFault::Field(
                "bucket-owner",
                "an AWS account, 12 digits in quotes",
            ));
        }
        Ok(Self {
            path: PathBuf::new(),
            bucket: fields.text("bucket")?,
            service: service
                .transpose()
                .map_err(|_| ContractFault::Field("service", "a service's name"))?,
            region: fields.text("region")?,
            aws_profile: fields.text("aws-profile")?,
            kms_key: fields.text("kms-key")?,
            bucket_owner: owner,
            replicas: fields.list("replicas")?.unwrap_or_default(),
            verify_keys: verify_keys
                .collect::<Result<_, _>>()
                .map_err(ContractFault::VerifyKey)?,
            sign_with: fields.text("sign-with")?,
            min_version: fields.number("min-version")?,
            variables: Expected::from(fields.list("require")?, fields.list("optional")?)?,
        })
    }

    /// Whether it is about a service: about the one it names, or about any.
    pub fn covers(&self, service: &ServiceName) -> bool {
        self.service.as_ref().is_none_or(|own| own == service)
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The key that was probably meant.
fn likely(word: &str) -> Option<&'static str> {
    let alike = KEYS.map(|key| (strsim::jaro_winkler(word, key), key));
    let best = alike.into_iter().max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= ALIKE).then_some(best.1)
}

/// What is left of a contract's table.
struct Fields(Table);

impl Fields {
    fn text(&mut self, key: &'static str) -> Result<Option<String>, ContractFault> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(ContractFault::Field(key, "a text in quotes")),
        }
    }

    fn list(&mut self, key: &'static str) -> Result<Option<Vec<String>>, ContractFault> {
        let wrong = || ContractFault::Field(key, "a list of texts: [\"A\", \"B\"]");
        let Some(value) = self.0.remove(key) else {
            return Ok(None);
        };
        let Value::Array(values) = value else {
            return Err(wrong());
        };
        let texts = values.into_iter().map(|value| match value {
            Value::String(text) if !text.is_empty() => Ok(text),
            _ => Err(wrong()),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    fn number(&mut self, key: &'static str) -> Result<Option<Number>, ContractFault> {
        let Some(value) = self.0.remove(key) else {
            return Ok(None);
        };
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let number = number.and_then(Number::new);
        number.map(Some).ok_or(ContractFault::Field(key, "a version's number"))
    }
}

/// Which variables an environment must and may have.
#[derive(Clone, Debug)]
pub struct Expected {
    required: BTreeSet<String>,
    allowed: Whitelist,
}

impl Expected {
    fn from(required: Option<Vec<String>>, optional: Option<Vec<String>>) -> Result<Option<Self>, ContractFault> {
        if required.is_none() && optional.is_none() {
            return Ok(None);
        }
        let (required, optional) = (required.unwrap_or_default(), optional.unwrap_or_default());
        if required.iter().any(|name| !is_exportable(name)) {
            return Err(ContractFault::Field("require", "a list of variables' names"));
        }
        let names = required.iter().chain(&optional);
        if names.clone().any(|name| name.contains(crate::pairs::is_space)) {
            return Err(ContractFault::Field(
                "optional",
                "a list of names and globs, one in each text",
            ));
        }
        Ok(Some(Self {
            allowed: Whitelist::parse(names).map_err(ContractFault::Pattern)?,
            required: required.into_iter().collect(),
        }))
    }

    /// The variables that may be there, as `-w` says them.
    pub fn allowed(&self) -> &Whitelist {
        &self.allowed
    }

    /// Whether a variable must be there.
    pub fn requires(&self, name: &str) -> bool {
        self.required.contains(name)
    }

    /// What of an environment breaks this: nothing, when it is kept.
    pub fn breaches(&self, variables: &Variables) -> Vec<Breach> {
        let missing = self.required.iter().filter(|name| variables.value(name).is_none());
        let missing = missing.map(|name| Breach::Missing(name.clone()));
        let extra = variables.iter().enumerate();
        let extra = extra.filter(|(_, (name, _))| !self.allowed.allows(name));
        let extra = extra.map(|(position, (name, _))| Breach::NotAllowed(shown_variable(name, position)));
        missing.chain(extra).collect()
    }
}

/// A variable as it may be shown: a name that no shell can export may be a misplaced secret.
fn shown_variable(name: &str, position: usize) -> String {
    match is_exportable(name) {
        true => shown(name),
        false => format!("variable {}", position + 1),
    }
}

/// What breaks a contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// A required variable is not there.
    #[error("{0} is required, and missing")]
    Missing(String),
    /// A variable is there that is neither required nor optional.
    #[error("{0} is not allowed")]
    NotAllowed(String),
}

/// ContractFault a contract is not used.
#[derive(Debug, thiserror::Error)]
#[error("the contract {} cannot be used", path.display())]
pub struct ContractError {
    /// Where it lies.
    pub path: PathBuf,
    /// ContractFault.
    #[source]
    pub fault: ContractFault,
}

/// What is wrong with a contract.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractFault {
    /// A field does not hold what it should.
    #[error("{0} must be {1}")]
    Field(&'static str, &'static str),
    /// The file itself.
    #[error(transparent)]
    File(FileRefused),
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A glob is malformed.
    #[error(transparent)]
    Pattern(PatternError),
    /// Not TOML.
    #[error("line {line} is not TOML")]
    Syntax {
        /// Where.
        line: usize,
    },
    /// A key that means nothing.
    #[error("it has no key {key}{}", meant.map_or_else(String::new, |key| format!("; is it {key}?")))]
    UnknownKey {
        /// Which.
        key: String,
        /// The key that was probably meant.
        meant: Option<&'static str>,
    },
    /// A key to verify with.
    #[error(transparent)]
    VerifyKey(PinnedKeyError),
}

impl ContractFault {
    /// Where TOML ends; the library's own words may quote what stands there.
    fn syntax(error: &toml::de::Error, text: &str) -> Self {
        let end = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = &text.as_bytes()[..end];
        Self::Syntax {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::secret::SecretString;

    fn parse(text: &str) -> Result<Contract, String> {
        Contract::parse(text, Path::new("/nowhere")).map_err(|fault| fault.to_string())
    }

    fn variables(names: &[&str]) -> Variables {
        let pairs = names
            .iter()
            .map(|name| ((*name).to_owned(), SecretString::new("a value".to_owned())));
        Variables::new(pairs.collect()).expect("variables")
    }

    #[test]
    fn a_contract_says_where_who_and_what() {
        let contract = parse(
            r#"
            bucket = "example-microsecrets"
            service = "api"
            region = "eu-west-1"
            aws-profile = "production"
            kms-key = "alias/microsecrets-api"
            bucket-owner = "111122223333"
            replicas = ["example-microsecrets-replica"]
            verify-keys = ["MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ=="]
            sign-with = "alias/microsecrets-signing/api"
            min-version = 12
            require = ["DB_URL"]
            optional = ["LOG_*"]
            "#,
        )
        .expect("a contract");
        assert_eq!(contract.bucket.as_deref(), Some("example-microsecrets"));
        assert_eq!(contract.min_version.map(Number::get), Some(12));
        assert_eq!((contract.replicas.len(), contract.verify_keys.len()), (1, 1));
        assert!(contract.covers(&"api".parse().expect("a name")));
        assert!(!contract.covers(&"web".parse().expect("a name")));
        assert!(parse("").expect("an empty contract").variables.is_none());
    }

    #[test]
    fn what_is_wrong_is_told_with_what_was_meant() {
        for (text, told) in [
            ("requires = []", "it has no key requires; is it require?"),
            ("verify_keys = []", "it has no key verify_keys; is it verify-keys?"),
            ("kms_key = ''", "it has no key kms_key; is it kms-key?"),
            ("x = 1", "it has no key x"),
            ("insecure-endpoint = true", "it has no key insecure-endpoint"),
            ("bucket = 1", "bucket must be a text in quotes"),
            ("require = 'A'", "require must be a list of texts: [\"A\", \"B\"]"),
            ("require = ['A B']", "require must be a list of variables' names"),
            ("require = ['A*']", "require must be a list of variables' names"),
            (
                "optional = ['A B']",
                "optional must be a list of names and globs, one in each text",
            ),
            ("optional = ['[A']", "glob [A: the `[` is never closed"),
            ("min-version = 0", "min-version must be a version's number"),
            ("service = 'a/b'", "service must be a service's name"),
            (
                "bucket-owner = '1'",
                "bucket-owner must be an AWS account, 12 digits in quotes",
            ),
            ("a = 1\nhunter2", "line 2 is not TOML"),
            ("bucket = 'a'\nbucket = 'hunter2'", "line 2 is not TOML"),
            (
                "verify-keys = ['/nowhere/key.pem']",
                "/nowhere/key.pem cannot be used as a key to verify with",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text), told);
        }
    }

    #[test]
    fn a_breach_is_a_variable_that_is_missing_or_not_expected() {
        let contract = parse("require = ['A', 'B']\noptional = ['LOG_*', 'PATH']").expect("a contract");
        let expected = contract.variables.expect("a list");
        let breaches = |names: &[&str]| {
            let breaches = expected.breaches(&variables(names));
            breaches.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(breaches(&["B", "A", "LOG_LEVEL", "PATH"]), Vec::<String>::new());
        assert_eq!(breaches(&["A"]), ["B is required, and missing"]);
        assert_eq!(breaches(&["A", "B", "C"]), ["C is not allowed"]);
        // What no shell can export may be a secret, and is told by its place.
        assert_eq!(breaches(&["A", "B", "hunter2-"]), ["variable 3 is not allowed"]);
    }

    #[test]
    fn a_glob_allows_no_name_that_can_run_code() {
        let expected = parse("optional = ['*']")
            .expect("a contract")
            .variables
            .expect("a list");
        assert_eq!(expected.breaches(&variables(&["ANY"])), []);
        assert_eq!(expected.breaches(&variables(&["LD_PRELOAD"])).len(), 1);
    }

    #[test]
    fn a_contract_that_others_can_write_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, "service = 'api'").expect("a file");
        let read = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            Contract::read(&path).map_err(|error| error.fault.to_string())
        };
        assert_eq!(read(0o644).expect("a contract").path, path);
        for mode in [0o664, 0o646, 0o666] {
            let told = format!("it is open to others (mode {mode:03o})");
            assert_eq!(read(mode).expect_err("open"), told);
        }
        assert!(Contract::read(folder.path()).is_err());
    }
}
