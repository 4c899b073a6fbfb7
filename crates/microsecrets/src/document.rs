//! The environment document: the JSON that a version of an environment is.
//!
//! 0.3.4's form, `{"environment": {name: string}, "metadata": {name: string or number}}`, read strictly: 0.3.4 takes the
//! last of two equal keys and fails late on anything that is no string, and a reader that guesses can be steered.
//! serde_json's own error texts quote the offending value, so they are never passed on.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};

use crate::layout::{Item, ItemKind};
use crate::name::{Nonce, Number};
use crate::secret::{SecretBytes, SecretString};

/// The most bytes that a document may have: 4 MiB.
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// Names and values of an environment, in the order they were given. No name is there twice; none is empty or holds
/// `=` or NUL; no value holds NUL: nothing else could be handed to a program.
#[derive(Default)]
pub struct Variables(Vec<(String, SecretString)>);

impl Variables {
    /// Checks names and values.
    pub fn new(pairs: Vec<(String, SecretString)>) -> Result<Self, VariableError> {
        let mut seen = HashSet::with_capacity(pairs.len());
        for (position, (name, value)) in pairs.iter().enumerate() {
            check_variable(name, value).map_err(|fault| VariableError {
                position: position + 1,
                fault,
            })?;
            if !seen.insert(name.as_str()) {
                return Err(VariableError {
                    position: position + 1,
                    fault: VariableFault::Duplicate,
                });
            }
        }
        Ok(Self(pairs))
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of one variable.
    pub fn value(&self, name: &str) -> Option<&SecretString> {
        self.0
            .iter()
            .find(|(candidate, _)| candidate == name)
            .map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both hold the same names with the same values, in any order.
    pub fn same_as(&self, other: &Self) -> bool {
        let by_name: std::collections::HashMap<_, _> = other
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        self.len() == other.len()
            && self
                .iter()
                .all(|(name, value)| by_name.get(name) == Some(&value.expose()))
    }

    /// Takes the names and values out.
    pub fn into_pairs(self) -> Vec<(String, SecretString)> {
        self.0
    }

    /// A second copy, for a new version with the same content.
    pub fn duplicate(&self) -> Self {
        Self(
            self.0
                .iter()
                .map(|(name, value)| (name.clone(), value.duplicate()))
                .collect(),
        )
    }
}

fn check_variable(name: &str, value: &SecretString) -> Result<(), VariableFault> {
    if name.is_empty() {
        Err(VariableFault::EmptyName)
    } else if name.contains('=') {
        Err(VariableFault::EqualsInName)
    } else if name.contains('\0') {
        Err(VariableFault::NulInName)
    } else if value.expose().contains('\0') {
        Err(VariableFault::NulInValue)
    } else {
        Ok(())
    }
}

/// A variable that no program can be given. It is told by its position: its name may be a misplaced secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("variable {position} {fault}")]
pub struct VariableError {
    /// Which one, counted from 1.
    pub position: usize,
    /// What is wrong with it.
    pub fault: VariableFault,
}

/// What is wrong with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VariableFault {
    /// Its name was given before.
    #[error("has a name that was given before")]
    Duplicate,
    /// Its name is empty.
    #[error("has an empty name")]
    EmptyName,
    /// Its name holds `=`.
    #[error("has a name with = in it")]
    EqualsInName,
    /// Its name holds NUL.
    #[error("has a name with NUL in it")]
    NulInName,
    /// Its value holds NUL.
    #[error("has a value with NUL in it")]
    NulInValue,
}

/// What a document says about itself. Unknown entries are kept.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct Metadata(Vec<(String, MetadataValue)>);

impl Metadata {
    /// What we write: when, who, whose, the version's number, and a salt of 128 random bits.
    ///
    /// Without the salt whoever sees the checksum, which stands in the key and in deploy configuration, could confirm
    /// guesses of weak secrets.
    pub fn new(timestamp: f64, user: &str, item: &Item, number: Number) -> Self {
        let timestamp = serde_json::Number::from_f64(timestamp).unwrap_or_else(|| 0.into());
        Self(vec![
            ("timestamp".to_owned(), MetadataValue::Number(timestamp)),
            ("user".to_owned(), MetadataValue::Text(user.to_owned())),
            ("service".to_owned(), MetadataValue::Text(item.service().to_string())),
            ("number".to_owned(), MetadataValue::Number(number.get().into())),
            ("salt".to_owned(), MetadataValue::Text(Nonce::random().to_string())),
        ])
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// One entry.
    pub fn value(&self, name: &str) -> Option<&MetadataValue> {
        self.iter()
            .find(|(candidate, _)| *candidate == name)
            .map(|(_, value)| value)
    }

    /// As JSON in the spelling of Python's `json.dumps`, as 0.3.4 hands it to programs.
    pub fn to_json(&self) -> String {
        let entries: Vec<_> = self
            .iter()
            .map(|(name, value)| match value {
                MetadataValue::Text(text) => format!("{}: {}", ascii_json(name), ascii_json(text)),
                MetadataValue::Number(number) => format!("{}: {number}", ascii_json(name)),
            })
            .collect();
        format!("{{{}}}", entries.join(", "))
    }
}

/// A JSON string with everything beyond ASCII escaped, as Python's `json.dumps` writes it.
pub fn ascii_json(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() && byte != 0x7f => ascii.push(char::from(byte)),
            Ok(0x7f) => ascii.push('\u{7f}'),
            _ => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    ascii
}

/// A value in a document's metadata. Never null, never nested: 0.3.4 fails on it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// A string.
    Text(String),
    /// A number.
    Number(serde_json::Number),
}

/// A version of an environment, parsed.
pub struct Document {
    /// The names and values.
    pub variables: Variables,
    /// What it says about itself.
    pub metadata: Metadata,
}

impl Document {
    /// Reads a document strictly.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(DocumentError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DocumentError::NotUtf8)?;
        let parts: Parts<(Variables, Metadata)> = Parts::default();
        parts
            .parse(text, TopLevel(&parts))
            .map(|(variables, metadata)| Self { variables, metadata })
    }

    /// Writes the document, in memory that is wiped and never moved.
    pub fn to_bytes(&self) -> Result<SecretBytes, DocumentError> {
        let mut counter = Counter(0);
        self.write(&mut counter).map_err(|_| DocumentError::TooLarge)?;
        if counter.0 as u64 > MAX_DOCUMENT {
            return Err(DocumentError::TooLarge);
        }
        let mut bytes = Vec::with_capacity(counter.0);
        self.write(&mut bytes).map_err(|_| DocumentError::TooLarge)?;
        Ok(SecretBytes::new(bytes))
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"{\"environment\": {")?;
        for (position, (name, value)) in self.variables.iter().enumerate() {
            out.write_all(if position == 0 { b"" } else { b", " })?;
            serde_json::to_writer(&mut *out, name)?;
            out.write_all(b": ")?;
            serde_json::to_writer(&mut *out, value.expose())?;
        }
        write!(out, "}}, \"metadata\": {}}}", self.metadata.to_json())
    }

    /// Whether what the document says about itself agrees with where it was found.
    ///
    /// 0.3.4's documents name neither service nor number; ours do, and a document of ours that was copied to another
    /// service's place says so here even where nothing is signed.
    pub fn agrees_with(&self, item: &Item, number: Option<Number>) -> Result<(), DocumentError> {
        debug_assert_eq!(item.kind(), &ItemKind::Environment);
        match self.metadata.value("service") {
            Some(MetadataValue::Text(service)) if service == item.service().as_str() => {}
            None => {}
            Some(_) => return Err(DocumentError::OtherService),
        }
        match (self.metadata.value("number"), number) {
            (Some(MetadataValue::Number(said)), Some(number)) if said.as_u64() == Some(number.get()) => Ok(()),
            (None, _) | (_, None) => Ok(()),
            _ => Err(DocumentError::OtherNumber),
        }
    }
}

/// Parses the flat object of strings that `upload --json` takes.
pub fn parse_flat_object(bytes: &[u8]) -> Result<Variables, DocumentError> {
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(DocumentError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| DocumentError::NotUtf8)?;
    let parts = Parts::default();
    parts.parse(text, VariablesPart(&parts))
}

/// Why a document was refused. Names no value and no variable: a name may be a misplaced secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// A key is there twice.
    #[error("a key is there twice, at line {line}, column {column}")]
    DuplicateKey {
        /// Where in the text.
        line: usize,
        /// Where in the line, counted from 1.
        column: usize,
    },
    /// A metadata value is neither a string nor a number.
    #[error("a metadata value is neither a string nor a number, at column {column}")]
    Metadata {
        /// Where in the text.
        column: usize,
    },
    /// `environment` or `metadata` is missing.
    #[error("{0} is missing")]
    MissingPart(&'static str),
    /// Something that must be an object is not.
    #[error("an object is needed at line {line}, column {column}")]
    NotAnObject {
        /// Where in the text.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The number in the document is not the record's.
    #[error("the document says another version number")]
    OtherNumber,
    /// The service in the document is not the one it was asked for.
    #[error("the document says another service")]
    OtherService,
    /// Not JSON.
    #[error("not JSON at line {line}, column {column}")]
    Syntax {
        /// Where in the text.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// More than 4 MiB.
    #[error("more than 4 MiB")]
    TooLarge,
    /// It ends too early.
    #[error("it ends too early")]
    Truncated,
    /// A part that is neither `environment` nor `metadata`.
    #[error("a part that is neither environment nor metadata, at column {column}")]
    UnknownPart {
        /// Where in the text.
        column: usize,
    },
    /// A value is no string.
    #[error("a value is not a string, at line {line}, column {column}")]
    ValueNotAString {
        /// Where in the text.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A variable that no program can be given.
    #[error(transparent)]
    Variable(#[from] VariableError),
}

/// What the strict parser is at, so that serde's errors (which quote values) can be replaced by ours.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Object,
    Value,
    MetadataValue,
}

/// The state shared by the parts of one parse.
struct Parts<T> {
    at: RefCell<At>,
    refused: RefCell<Option<Refusal>>,
    _result: std::marker::PhantomData<T>,
}

/// What our own rules refuse, before serde_json adds where.
#[derive(Clone, Copy)]
enum Refusal {
    Duplicate,
    Missing(&'static str),
    Unknown,
    Variable(VariableError),
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self {
            at: RefCell::new(At::Object),
            refused: RefCell::new(None),
            _result: std::marker::PhantomData,
        }
    }
}

impl<T> Parts<T> {
    fn parse<'de, S: DeserializeSeed<'de, Value = T>>(&self, text: &'de str, seed: S) -> Result<T, DocumentError> {
        let mut json = serde_json::Deserializer::from_str(text);
        seed.deserialize(&mut json)
            .and_then(|value| json.end().map(|()| value))
            .map_err(|error| self.explain(&error))
    }

    fn refuse<E: de::Error>(&self, refusal: Refusal) -> E {
        *self.refused.borrow_mut() = Some(refusal);
        E::custom("refused")
    }

    fn explain(&self, error: &serde_json::Error) -> DocumentError {
        let (line, column) = (error.line(), error.column());
        match (*self.refused.borrow(), error.classify()) {
            (Some(Refusal::Duplicate), _) => DocumentError::DuplicateKey { line, column },
            (Some(Refusal::Missing(part)), _) => DocumentError::MissingPart(part),
            (Some(Refusal::Unknown), _) => DocumentError::UnknownPart { column },
            (Some(Refusal::Variable(error)), _) => DocumentError::Variable(error),
            (None, serde_json::error::Category::Eof) => DocumentError::Truncated,
            (None, serde_json::error::Category::Data) => match *self.at.borrow() {
                At::Object => DocumentError::NotAnObject { line, column },
                At::Value => DocumentError::ValueNotAString { line, column },
                At::MetadataValue => DocumentError::Metadata { column },
            },
            (None, _) => DocumentError::Syntax { line, column },
        }
    }

    fn expect(&self, at: At) {
        *self.at.borrow_mut() = at;
    }
}

struct TopLevel<'p, T>(&'p Parts<T>);

impl<'de, T> DeserializeSeed<'de> for TopLevel<'_, T> {
    type Value = (Variables, Metadata);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T> Visitor<'de> for TopLevel<'_, T> {
    type Value = (Variables, Metadata);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let (mut environment, mut metadata) = (None, None);
        while let Some(part) = map.next_key::<String>()? {
            self.0.expect(At::Object);
            match part.as_str() {
                "environment" if environment.is_none() => {
                    environment = Some(map.next_value_seed(VariablesPart(self.0))?);
                }
                "metadata" if metadata.is_none() => metadata = Some(map.next_value_seed(MetadataPart(self.0))?),
                "environment" | "metadata" => return Err(self.0.refuse(Refusal::Duplicate)),
                _ => return Err(self.0.refuse(Refusal::Unknown)),
            }
        }
        match (environment, metadata) {
            (Some(environment), Some(metadata)) => Ok((environment, metadata)),
            (None, _) => Err(self.0.refuse(Refusal::Missing("environment"))),
            (_, None) => Err(self.0.refuse(Refusal::Missing("metadata"))),
        }
    }
}

struct VariablesPart<'p, T>(&'p Parts<T>);

impl<'de, T> DeserializeSeed<'de> for VariablesPart<'_, T> {
    type Value = Variables;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Variables, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T> Visitor<'de> for VariablesPart<'_, T> {
    type Value = Variables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Variables, M::Error> {
        let mut pairs = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            self.0.expect(At::Value);
            pairs.push((name, SecretString::new(map.next_value::<String>()?)));
        }
        Variables::new(pairs).map_err(|error| match error.fault {
            VariableFault::Duplicate => self.0.refuse(Refusal::Duplicate),
            _ => self.0.refuse(Refusal::Variable(error)),
        })
    }
}

struct MetadataPart<'p, T>(&'p Parts<T>);

impl<'de, T> DeserializeSeed<'de> for MetadataPart<'_, T> {
    type Value = Metadata;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Metadata, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T> Visitor<'de> for MetadataPart<'_, T> {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings and numbers")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Metadata, M::Error> {
        let mut entries: Vec<(String, MetadataValue)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(self.0.refuse(Refusal::Duplicate));
            }
            self.0.expect(At::MetadataValue);
            entries.push((name, map.next_value_seed(Scalar)?));
        }
        Ok(Metadata(entries))
    }
}

struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = MetadataValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MetadataValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Scalar {
    type Value = MetadataValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<MetadataValue, E> {
        Ok(MetadataValue::Text(text.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<MetadataValue, E> {
        Ok(MetadataValue::Number(number.into()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<MetadataValue, E> {
        Ok(MetadataValue::Number(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<MetadataValue, E> {
        serde_json::Number::from_f64(number)
            .map(MetadataValue::Number)
            .ok_or_else(|| E::custom("not finite"))
    }
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
