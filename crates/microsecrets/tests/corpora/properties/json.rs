//! The environment document, and the flat object of `upload --json`, beside what serde_json makes of the same bytes.

use microsecrets::document::{
    Document, DocumentError, MAX_DOCUMENT, MetadataValue, VariableFault, Variables, parse_flat_object,
};
use serde_json::{Map, Value};

use super::says_one_of;

/// All that may be said of a document.
const SAID: &[&str] = &[
    "a key is there twice, at line 1, column 1",
    "a metadata value is neither a string nor a number, at column 1",
    "environment is missing",
    "metadata is missing",
    "an object is needed at line 1, column 1",
    "not UTF-8",
    "not JSON at line 1, column 1",
    "more than 4 MiB",
    "it ends too early",
    "a part that is neither environment nor metadata, at column 1",
    "a value is not a string, at line 1, column 1",
    "variable 1 has an empty name",
    "variable 1 has a name with = in it",
    "variable 1 has a name with NUL in it",
    "variable 1 has a value with NUL in it",
];

/// What is accepted says what serde_json reads, nothing else is accepted, and writing it loses nothing.
pub(crate) fn document(input: &[u8]) {
    let value: Option<Value> = serde_json::from_slice(input).ok();
    // Of a key that is there twice serde_json takes the last, and what the first said is refused for itself.
    let said_once = value.as_ref().filter(|value| !says_a_key_twice(value, input));
    match parse_flat_object(input) {
        Ok(variables) => are_those_of(&variables, value.as_ref().and_then(Value::as_object)),
        Err(error) => is_rightly_refused(input, error, said_once.is_some_and(is_flat)),
    }
    match Document::parse(input) {
        Ok(document) => is_document(&document, value.as_ref()),
        Err(error) => is_rightly_refused(input, error, said_once.is_some_and(has_form)),
    }
}

fn is_document(document: &Document, value: Option<&Value>) {
    let part = |name| value.and_then(|value| value.get(name)).and_then(Value::as_object);
    are_those_of(&document.variables, part("environment"));
    let metadata = part("metadata").expect("an object");
    assert_eq!(document.metadata.iter().count(), metadata.len());
    for (name, value) in document.metadata.iter() {
        assert!(match value {
            MetadataValue::Text(text) => metadata[name] == **text,
            MetadataValue::Number(number) => metadata[name] == Value::Number(number.clone()),
            _ => false,
        });
    }
    let json = document.metadata.to_json();
    assert!(json.is_ascii());

    let Ok(written) = document.to_bytes() else {
        // Escapes can make it longer than what was read.
        return;
    };
    assert!(written.len() as u64 <= MAX_DOCUMENT);
    let again =
        Document::parse(written.expose()).unwrap_or_else(|error| panic!("what was written is refused: {error}"));
    assert!(again.variables.same_as(&document.variables));
    assert_eq!(again.metadata, document.metadata);
    let twice = again.to_bytes().expect("as long as before");
    assert!(
        twice.expose() == written.expose(),
        "there is one way to write a document"
    );
}

fn are_those_of(variables: &Variables, object: Option<&Map<String, Value>>) {
    let object = object.expect("an object");
    assert_eq!(variables.len(), object.len());
    for (name, value) in variables.iter() {
        assert!(object[name] == *value.expose(), "another value than JSON says");
        assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.expose().contains('\0'));
    }
}

/// The message shows nothing and points into the text; and what has the right form is refused only for what serde_json
/// is not asked about: a key that is there twice, or a variable that no program can be given.
fn is_rightly_refused(input: &[u8], error: DocumentError, has_form: bool) {
    says_one_of(SAID, error);
    if let DocumentError::Variable(variable) = error {
        assert_ne!(variable.fault, VariableFault::Duplicate, "it is told as a key");
    }
    let is_special = matches!(error, DocumentError::DuplicateKey { .. } | DocumentError::Variable(_));
    assert!(is_special || !has_form || input.len() as u64 > MAX_DOCUMENT, "{error}");
    if let DocumentError::Syntax { line, .. } | DocumentError::DuplicateKey { line, .. } = error {
        assert!(line <= input.split(|byte| *byte == b'\n').count());
    }
}

fn is_flat(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| object.values().all(Value::is_string))
}

fn has_form(value: &Value) -> bool {
    let is_said = |value: &Value| value.is_string() || value.is_number();
    let is_metadata = |value: &Value| value.as_object().is_some_and(|object| object.values().all(is_said));
    value.as_object().is_some_and(|object| {
        object.len() == 2
            && object.get("environment").is_some_and(is_flat)
            && object.get("metadata").is_some_and(is_metadata)
    })
}

/// Whether a key is there twice in an object of JSON, which serde_json lets pass.
pub(super) fn says_a_key_twice(value: &Value, json: &[u8]) -> bool {
    members(value) != colons(json)
}

/// How many keys all objects together have.
fn members(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(members).sum(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}

/// How many keys JSON says: each is followed by a colon, and no other colon is outside of a string.
fn colons(json: &[u8]) -> usize {
    let (mut in_string, mut escaped, mut colons) = (false, false, 0);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b':' if !in_string => colons += 1,
            _ => {}
        }
    }
    colons
}
