use proptest::prelude::*;

use super::*;

fn record() -> Record {
    Record {
        bucket: "example-microsecrets".to_owned(),
        item: Item::environment("api".parse().expect("a service")),
        number: Number::new(12).expect("a number"),
        state: State::Live,
        inline: true,
        name: format!("2026-11-23.07-58-01.{}", Checksum::of(b"{}"))
            .parse()
            .expect("a name"),
        parent: Some(
            format!("2026-11-23.07-58-00_000002.{}", Checksum::of(b""))
                .parse()
                .expect("a name"),
        ),
        size: 2,
        mode: None,
        kind: ChangeKind::Upload,
        user: Some("ann@laptop".to_owned()),
        message: Some("für alle \u{1F511}\nand \"quotes\"".to_owned()),
        time: Timestamp::parse_rfc3339("2026-11-23T07:58:01Z").expect("a time"),
        expires: None,
        migration: false,
        nonce: Nonce::from_bytes([7; 16]),
        signer: None,
    }
}

fn head() -> Head {
    Head::new(
        SignedRecord::new(record()).expect("short"),
        SecretBytes::new(b"{}".to_vec()),
    )
    .expect("agrees")
}

#[test]
fn a_head_is_record_signature_and_bytes() {
    let text = String::from_utf8(head().to_bytes().expose().to_vec()).expect("text");
    let lines: Vec<_> = text.split('\n').collect();
    assert_eq!(
        lines[0],
        format!(
            r#"{{"format":1,"bucket":"example-microsecrets","service":"api","item":"environment","number":12,"state":"live","inline":true,"name":"2026-11-23.07-58-01.{sum}","parent":"2026-11-23.07-58-00_000002.{nothing}","sha256":"{sum}","size":2,"kind":"upload","user":"ann@laptop","message":"für alle 🔑\nand \"quotes\"","time":"2026-11-23T07:58:01Z","nonce":"{nonce}"}}"#,
            sum = Checksum::of(b"{}"),
            nothing = Checksum::of_nothing(),
            nonce = "07".repeat(16),
        )
    );
    assert_eq!(lines[1..], ["-", "{}"]);
}

#[test]
fn what_was_written_is_read() {
    let signed = SignedRecord::new(record())
        .expect("short")
        .signed(Signature::new(vec![0x30, 1, 2]));
    assert_eq!(SignedRecord::parse(&signed.to_bytes()), Ok(signed.clone()));
    let head = Head::new(signed.clone(), SecretBytes::new(b"{}".to_vec())).expect("agrees");
    let again = Head::parse(head.to_bytes().expose()).expect("a head");
    assert_eq!((again.entry(), again.bytes().expose()), (&signed, &b"{}"[..]));
}

#[test]
fn every_truncation_of_a_head_is_refused() {
    let whole = head().to_bytes();
    for length in 0..whole.len() {
        assert!(Head::parse(&whole.expose()[..length]).is_err(), "{length}");
    }
}

#[test]
fn trailing_data_is_refused() {
    let mut bytes = head().to_bytes().expose().to_vec();
    bytes.push(b' ');
    assert_eq!(Head::parse(&bytes).map(|_| ()), Err(RecordError::Field("size")));
    let mut entry = head().entry().to_bytes();
    entry.push(b'\n');
    assert_eq!(SignedRecord::parse(&entry), Err(RecordError::TrailingData));
}

#[test]
fn a_newer_format_says_upgrade_whatever_else_it_holds() {
    let entry = b"{\"format\":2,\"new\":[1,{}]}\n-\n";
    assert_eq!(SignedRecord::parse(entry), Err(RecordError::Newer { format: 2 }));
}

#[test]
fn a_record_that_contradicts_itself_is_refused() {
    let spelled = String::from_utf8(head().entry().to_bytes()).expect("text");
    let parse = |text: &str| SignedRecord::parse(text.as_bytes()).map(|_| ());
    for (from, to, error) in [
        ("\"number\":12", "\"number\":0", RecordError::Field("number")),
        ("\"number\":12", "\"number\":100000000", RecordError::Field("number")),
        ("\"number\":12", "\"number\":12.0", RecordError::Malformed),
        (
            "\"service\":\"api\"",
            "\"service\":\"a/b\"",
            RecordError::Field("service"),
        ),
        (
            "\"item\":\"environment\"",
            "\"item\":\"file/..\"",
            RecordError::Field("item"),
        ),
        ("\"sha256\":\"4", "\"sha256\":\"5", RecordError::Field("sha256")),
        ("\"inline\":true", "\"inline\":false", RecordError::Field("inline")),
        (
            "\"state\":\"live\"",
            "\"state\":\"deleted\"",
            RecordError::Field("inline"),
        ),
        (
            "\"kind\":\"upload\"",
            "\"kind\":\"delete\"",
            RecordError::Field("state"),
        ),
        (
            "\"kind\":\"upload\"",
            "\"kind\":\"rollback to 007\"",
            RecordError::Field("kind"),
        ),
        ("\"kind\":\"upload\"", "\"kind\":\"magic\"", RecordError::Field("kind")),
        (
            "2026-11-23T07:58:01Z",
            "2026-11-23 07:58:01",
            RecordError::Field("time"),
        ),
        ("\"nonce\":\"07", "\"nonce\":\"0G", RecordError::Field("nonce")),
        ("\"size\":2", "\"size\":2,\"size\":2", RecordError::Malformed),
        ("\"size\":2", "\"size\":2,\"extra\":2", RecordError::Malformed),
        ("\"size\":2,", "", RecordError::Malformed),
        ("\n-\n", "\n!\n", RecordError::SignatureEncoding),
        ("\n-\n", "\n\n", RecordError::SignatureEncoding),
        ("\n-\n", "\nMB==\n", RecordError::SignatureEncoding),
    ] {
        assert!(spelled.contains(from), "{from}");
        assert_eq!(parse(&spelled.replacen(from, to, 1)), Err(error), "{from} -> {to}");
    }
}

#[test]
fn a_deletion_has_no_bytes() {
    let deleted = Record {
        state: State::Deleted,
        inline: false,
        kind: ChangeKind::Delete,
        ..record()
    };
    assert_eq!(SignedRecord::new(deleted.clone()), Err(RecordError::Field("size")));
    let name = format!("2026-11-23.07-58-01.{}", Checksum::of_nothing())
        .parse()
        .expect("a name");
    assert!(
        SignedRecord::new(Record {
            name,
            size: 0,
            ..deleted
        })
        .is_ok()
    );
}

#[test]
fn a_file_up_to_a_mebibyte_is_in_its_head() {
    let item = Item::file("web".parse().expect("a service"), "tls.pem".parse().expect("a label"));
    let file = |size, inline| {
        SignedRecord::new(Record {
            item: item.clone(),
            size,
            inline,
            mode: Some(0o640),
            ..record()
        })
    };
    assert!(file(0, true).is_ok() && file(MAX_INLINE_FILE, true).is_ok() && file(MAX_INLINE_FILE + 1, false).is_ok());
    assert_eq!(file(MAX_INLINE_FILE, false), Err(RecordError::Field("inline")));
    assert_eq!(file(MAX_INLINE_FILE + 1, true), Err(RecordError::Field("inline")));
    assert!(String::from_utf8_lossy(&file(0, true).expect("short").to_bytes()).contains("\"mode\":\"0640\""));
}

#[test]
fn a_record_too_long_to_be_signed_is_not_written() {
    let long = Record {
        message: Some("x".repeat(3_900)),
        ..record()
    };
    assert!(matches!(SignedRecord::new(long), Err(RecordError::TooLong { .. })));
    let endless = vec![b'x'; 10_000];
    assert!(matches!(
        SignedRecord::parse(&endless),
        Err(RecordError::TooLong { .. })
    ));
}

#[test]
fn a_signature_too_long_is_told_as_such() {
    let mut bytes = head().entry().line().to_vec();
    bytes.extend_from_slice(&[b"\n", &[b'A'; 400][..], b"\n"].concat());
    assert_eq!(SignedRecord::parse(&bytes), Err(RecordError::SignatureEncoding));
}

/// The bytes of the line are what is signed: nothing is read around the object.
#[test]
fn white_space_around_a_record_is_refused() {
    let line = String::from_utf8(head().entry().line().to_vec()).expect("text");
    for odd in [format!("{line}\r"), format!(" {line}"), format!("{line} ")] {
        let bytes = format!("{odd}\n-\n");
        assert_eq!(SignedRecord::parse(bytes.as_bytes()), Err(RecordError::Malformed));
    }
}

#[test]
fn kinds_survive_being_written_and_read() {
    let service: ServiceName = "stage".parse().expect("a service");
    let number = VersionRef::Number(Number::new(7).expect("a number"));
    let unnumbered = VersionRef::Name(record().name);
    for kind in [
        ChangeKind::Adopted,
        ChangeKind::Rollback(number.clone()),
        ChangeKind::Rollback(unnumbered.clone()),
        ChangeKind::Promote(service.clone(), number),
        ChangeKind::Promote(service, unnumbered),
        ChangeKind::Unset,
    ] {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}

#[test]
fn a_version_in_a_kind_is_a_number_or_a_name() {
    for text in [
        "rollback to 0",
        "rollback to 07",
        "rollback to ",
        "promote from stage",
        "promote from stage#",
        "copy",
    ] {
        assert_eq!(text.parse::<ChangeKind>(), Err(RecordError::Field("kind")), "{text}");
    }
}

proptest! {
    #[test]
    fn any_message_survives(message in "\\PC{0,300}", user in "\\PC{0,60}") {
        let entry = SignedRecord::new(Record { message: Some(message), user: Some(user), ..record() }).expect("short");
        prop_assert_eq!(SignedRecord::parse(&entry.to_bytes()), Ok(entry));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop::<Result<Head, _>>(Head::parse(&bytes));
    }

    #[test]
    fn a_changed_byte_is_refused_or_seen(position in 0usize..500, flip in 1u8..=255) {
        let mut bytes = head().entry().to_bytes();
        let position = position % bytes.len();
        bytes[position] ^= flip;
        if let Ok(parsed) = SignedRecord::parse(&bytes) {
            prop_assert!(parsed != *head().entry());
        }
    }
}
