//! Records, log entries, heads, and who signed them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use microsecrets::checksum::Checksum;
use microsecrets::layout::ItemKind;
use microsecrets::record::{ChangeKind, Head, MAX_INLINE_FILE, MAX_RECORD, RecordError, SignedRecord, State};
use microsecrets::trust::VerifyKey;
use serde_json::Value;

use super::says_one_of;

/// A log entry, for what is about its signature.
const RECORD: &str = r#"{"format":1,"bucket":"example-microsecrets","service":"api","item":"environment","number":1,"state":"live","inline":true,"name":"2026-11-23.07-58-01.44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"kind":"upload","time":"2026-11-23T07:58:01Z","nonce":"07070707070707070707070707070707"}"#;
/// The point that generates P-256 (SEC 2, 2.4.2): a key whose private half is known to be 1, and signs nothing here.
const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==";

const SAID: &[&str] = &[
    "it is no record",
    "its format is 2, and this version reads up to 1",
    "its signature is not base64",
    "its record has 3901 bytes, and 3,900 are the most",
    "bytes follow its end",
    "it ends too early",
];
const FIELDS: [&str; 14] = [
    "bucket", "expires", "format", "inline", "item", "kind", "mode", "name", "nonce", "number", "parent", "service",
    "state", "time",
];
const MORE_FIELDS: [&str; 3] = ["sha256", "signer", "size"];

/// A log entry that is accepted is kept byte by byte, since these bytes are what was signed; and its record says what
/// its JSON says.
pub(crate) fn record(input: &[u8]) {
    match SignedRecord::parse(input) {
        Ok(entry) => {
            assert!(entry.to_bytes() == input, "the signed bytes were changed");
            is_record(&entry);
        }
        Err(error) => says_no_field_s_value(&error),
    }
}

/// So is a head, whose bytes are there exactly when its record says so.
pub(crate) fn head(input: &[u8]) {
    match Head::parse(input) {
        Ok(head) => {
            assert!(head.to_bytes().expose() == input, "the head was changed");
            let record = head.record();
            let expected = if record.inline { record.size } else { 0 };
            assert_eq!(head.bytes().len() as u64, expected);
            is_record(head.entry());
            assert_eq!(SignedRecord::parse(&head.entry().to_bytes()).as_ref(), Ok(head.entry()));
        }
        Err(error) => says_no_field_s_value(&error),
    }
}

fn is_record(entry: &SignedRecord) {
    let record = entry.record();
    assert!(entry.line().len() <= MAX_RECORD && !entry.line().contains(&b'\n'));
    let json: Value = serde_json::from_slice(entry.line()).expect("a record is JSON");
    assert_eq!(json["format"], 1);
    for (field, said) in [
        ("bucket", record.bucket.clone()),
        ("service", record.item.service().to_string()),
        ("item", record.item.kind().to_string()),
        ("name", record.name.to_string()),
        ("sha256", record.checksum().to_string()),
        ("kind", record.kind.to_string()),
        ("time", record.time.to_string()),
        ("nonce", record.nonce.to_string()),
    ] {
        assert_eq!(json[field], said, "{field}");
    }
    assert_eq!(json["number"], record.number.get());
    assert_eq!(json["size"], record.size);

    let is_deleted = record.state == State::Deleted;
    assert_eq!(is_deleted, record.kind == ChangeKind::Delete);
    assert!(!is_deleted || record.size == 0 && record.checksum() == Checksum::of_nothing());
    let fits = matches!(record.item.kind(), ItemKind::Environment) || record.size <= MAX_INLINE_FILE;
    assert_eq!(record.inline, !is_deleted && fits);

    let ours = SignedRecord::new(record.clone()).expect("ours is the shortest spelling");
    let again = SignedRecord::parse(&ours.to_bytes()).expect("what was written is read");
    assert_eq!((again.record(), again.line()), (record, ours.line()));
}

fn says_no_field_s_value(error: &RecordError) {
    match error {
        RecordError::Field(field) => {
            assert!(FIELDS.contains(field) || MORE_FIELDS.contains(field), "{field}");
            says_one_of(&[&format!("its field {field} is not valid")], error);
        }
        _ => says_one_of(SAID, error),
    }
}

/// A signature has one spelling, a public key two; and nothing that anybody makes up is signed.
pub(crate) fn signature(input: &[u8]) {
    let key: VerifyKey = KEY.parse().expect("a key");
    let entry = [RECORD.as_bytes(), b"\n", input, b"\n"].concat();
    match SignedRecord::parse(&entry) {
        Ok(parsed) => {
            assert!(parsed.to_bytes() == entry, "the signature was changed");
            assert_eq!(parsed.signature().is_none(), input == b"-");
            if let Some(signature) = parsed.signature() {
                assert_eq!(BASE64.encode(signature.der()).as_bytes(), input);
                assert!(!signature.der().is_empty() && input.len() <= 128);
                assert!(!key.verifies(parsed.line(), signature), "a forgery");
            }
        }
        Err(error) => says_no_field_s_value(&error),
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<VerifyKey>() {
        Ok(key) => {
            assert!(!text.contains("PRIVATE KEY-----"));
            for spelled in [key.to_base64(), key.to_pem(), format!(" {}\n", key.to_base64())] {
                assert_eq!(spelled.parse().as_ref(), Ok(&key));
            }
            assert_eq!(VerifyKey::from_spki(&key.to_spki()).as_ref(), Ok(&key));
            assert_eq!(key.fingerprint(), Checksum::of(&key.to_spki()));
        }
        Err(error) => says_one_of(
            &[
                "it holds no public key in PEM or base64",
                "it is no public key on NIST P-256",
                "it is a private key: pin the public one",
            ],
            error,
        ),
    }
}
