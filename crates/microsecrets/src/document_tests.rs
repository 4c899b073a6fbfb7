use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> DocumentError {
    Document::parse(text.as_bytes()).map(|_| ()).expect_err(text)
}

fn pairs(variables: &Variables) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name, value.expose())).collect()
}

#[test]
fn what_0_3_4_wrote_is_read() {
    let document = Document::parse(
        br#"{"environment": {"TRAIL": " spaces ", "MULTI": "line1\nline2", "EMOJI": "\ud83d\udd11"}, "metadata": {"timestamp": 1795420684.834795, "user": "root@vm"}}"#,
    )
    .expect("a document");
    assert_eq!(
        pairs(&document.variables),
        [("TRAIL", " spaces "), ("MULTI", "line1\nline2"), ("EMOJI", "🔑")]
    );
    assert_eq!(
        document.metadata.to_json(),
        r#"{"timestamp": 1795420684.834795, "user": "root@vm"}"#
    );
}

#[test]
fn anything_but_the_exact_form_is_refused() {
    use DocumentError as E;
    for (text, error) in [
        ("", E::Truncated),
        ("{", E::Truncated),
        (r#"{"environment": {"A": "b"#, E::Truncated),
        ("[]", E::NotAnObject { line: 1, column: 0 }),
        ("nonsense", E::Syntax { line: 1, column: 2 }),
        ("{}", E::MissingPart("environment")),
        (r#"{"environment": {}}"#, E::MissingPart("metadata")),
        (r#"{"metadata": {}}"#, E::MissingPart("environment")),
        (
            r#"{"environment": {}, "metadata": {}, "x": 1}"#,
            E::UnknownPart { column: 39 },
        ),
        (
            r#"{"environment": {}, "environment": {}, "metadata": {}}"#,
            E::DuplicateKey { line: 1, column: 33 },
        ),
        (
            r#"{"environment": {"A": "1", "A": "2"}, "metadata": {}}"#,
            E::DuplicateKey { line: 1, column: 36 },
        ),
        (
            r#"{"environment": {"A": "1", "\u0041": "2"}, "metadata": {}}"#,
            E::DuplicateKey { line: 1, column: 41 },
        ),
        (
            r#"{"environment": {}, "metadata": {"a": 1, "a": 2}}"#,
            E::DuplicateKey { line: 1, column: 44 },
        ),
        (
            r#"{"environment": [], "metadata": {}}"#,
            E::NotAnObject { line: 1, column: 16 },
        ),
        (
            r#"{"environment": {"A": 1}, "metadata": {}}"#,
            E::ValueNotAString { line: 1, column: 23 },
        ),
        (
            r#"{"environment": {"A": null}, "metadata": {}}"#,
            E::ValueNotAString { line: 1, column: 26 },
        ),
        (
            r#"{"environment": {"A": {"B": "c"}}, "metadata": {}}"#,
            E::ValueNotAString { line: 1, column: 22 },
        ),
        (
            r#"{"environment": {}, "metadata": {"a": null}}"#,
            E::Metadata { column: 42 },
        ),
        (
            r#"{"environment": {}, "metadata": {"a": true}}"#,
            E::Metadata { column: 42 },
        ),
        (
            r#"{"environment": {}, "metadata": {"a": []}}"#,
            E::Metadata { column: 40 },
        ),
        (
            r#"{"environment": {}, "metadata": {"a": NaN}}"#,
            E::Syntax { line: 1, column: 39 },
        ),
        (
            r#"{"environment": {"A": "\ud83d"}, "metadata": {}}"#,
            E::Syntax { line: 1, column: 30 },
        ),
        (
            r#"{"environment": {}, "metadata": {}} x"#,
            E::Syntax { line: 1, column: 37 },
        ),
        (
            r#"{"environment": {}, "metadata": {}}{}"#,
            E::Syntax { line: 1, column: 36 },
        ),
        (
            r#"{"environment": {"": "x"}, "metadata": {}}"#,
            E::Variable(VariableError {
                position: 1,
                fault: VariableFault::EmptyName,
            }),
        ),
        (
            r#"{"environment": {"A": "", "B=C": "x"}, "metadata": {}}"#,
            E::Variable(VariableError {
                position: 2,
                fault: VariableFault::EqualsInName,
            }),
        ),
        (
            r#"{"environment": {"A\u0000": "x"}, "metadata": {}}"#,
            E::Variable(VariableError {
                position: 1,
                fault: VariableFault::NulInName,
            }),
        ),
        (
            r#"{"environment": {"A": "x\u0000"}, "metadata": {}}"#,
            E::Variable(VariableError {
                position: 1,
                fault: VariableFault::NulInValue,
            }),
        ),
    ] {
        assert_eq!(refused(text), error, "{text}");
    }
    assert_eq!(
        Document::parse(b"{\"environment\": {\"A\": \"\xff\"}}").map(|_| ()),
        Err(E::NotUtf8)
    );
    assert_eq!(
        Document::parse(&vec![b' '; (4 << 20) + 1]).map(|_| ()),
        Err(E::TooLarge)
    );
}

#[test]
fn a_document_too_deep_for_the_stack_is_refused() {
    let deep = format!("{{\"environment\": {}", "[".repeat(1 << 20));
    assert!(matches!(refused(&deep), DocumentError::NotAnObject { .. }));
    let deep = format!("{{\"environment\": {{\"A\": {}", "{\"A\":".repeat(1 << 18));
    assert!(matches!(refused(&deep), DocumentError::ValueNotAString { .. }));
}

#[test]
fn every_truncation_is_refused() {
    let whole = r#"{"environment": {"A": "bé"}, "metadata": {"user": "x@y", "timestamp": 1.5}}"#.as_bytes();
    assert!(Document::parse(whole).is_ok());
    for length in 0..whole.len() {
        assert!(Document::parse(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn errors_show_no_value_and_no_name() {
    for text in [
        r#"{"environment": {"canary": 48151623}, "metadata": {}}"#,
        r#"{"environment": {"A": "canary", "A": "canary"}, "metadata": {}}"#,
        r#"{"environment": {"canary=": "canary"}, "metadata": {}}"#,
        r#""canary""#,
        r#"{"canary": "canary"}"#,
    ] {
        let error = refused(text);
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("canary") && !shown.contains("48151623"), "{shown}");
        }
    }
}

#[test]
fn a_copied_document_says_whose_it_is() {
    let item = |service: &str| Item::environment(service.parse().expect("a service"));
    let metadata = Metadata::new(1.5, "root@vm", &item("api"), Number::FIRST);
    let document = Document {
        variables: Variables::default(),
        metadata,
    };
    assert_eq!(document.agrees_with(&item("api"), Some(Number::FIRST)), Ok(()));
    assert_eq!(document.agrees_with(&item("api"), None), Ok(()));
    assert_eq!(
        document.agrees_with(&item("web"), None),
        Err(DocumentError::OtherService)
    );
    assert_eq!(
        document.agrees_with(&item("api"), Number::new(2)),
        Err(DocumentError::OtherNumber)
    );
}

#[test]
fn equal_content_never_has_an_equal_checksum() {
    let item = Item::environment("api".parse().expect("a service"));
    let bytes = || {
        let metadata = Metadata::new(1.5, "root@vm", &item, Number::FIRST);
        Document {
            variables: Variables::default(),
            metadata,
        }
        .to_bytes()
        .expect("small")
    };
    assert_ne!(bytes().expose(), bytes().expose());
}

#[test]
fn metadata_is_spelled_as_python_does() {
    assert_eq!(
        ascii_json("grüß \u{7f} 🔑 \"\\\n\t\u{1}"),
        "\"gr\\u00fc\\u00df \u{7f} \\ud83d\\udd11 \\\"\\\\\\n\\t\\u0001\""
    );
}

#[test]
fn a_flat_object_of_strings_is_an_environment() {
    let variables = parse_flat_object(br#"{"B": "2", "A": "1"}"#).expect("flat");
    assert_eq!(pairs(&variables), [("B", "2"), ("A", "1")]);
    assert_eq!(
        parse_flat_object(br#"{"A":1}"#).map(|_| ()),
        Err(DocumentError::ValueNotAString { line: 1, column: 6 })
    );
    assert!(parse_flat_object(br#"["A"]"#).is_err());
}

fn any_variables() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = "[^=\0]{1,8}";
    let value = "[^\0]{0,20}";
    proptest::collection::btree_map(name, value, 0..8).prop_map(|map| map.into_iter().collect())
}

fn variables_of(pairs: &[(String, String)]) -> Variables {
    let secret = pairs
        .iter()
        .map(|(name, value)| (name.clone(), SecretString::new(value.clone())))
        .collect();
    Variables::new(secret).expect("legal by construction")
}

proptest! {
    #[test]
    fn documents_survive_being_written_and_read(given in any_variables()) {
        let item = Item::environment("api".parse().expect("a service"));
        let metadata = Metadata::new(1_795_420_681.5, "grüß@vm", &item, Number::FIRST);
        let document = Document { variables: variables_of(&given), metadata };
        let bytes = document.to_bytes().expect("small");
        let again = Document::parse(bytes.expose()).expect("what was written can be read");
        prop_assert!(again.variables.same_as(&document.variables));
        prop_assert_eq!(again.metadata, document.metadata);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop::<Result<Document, _>>(Document::parse(&bytes));
        drop::<Result<Variables, _>>(parse_flat_object(&bytes));
    }

    #[test]
    fn sameness_ignores_order_and_nothing_else(given in any_variables()) {
        let mut reversed = given.clone();
        reversed.reverse();
        prop_assert!(variables_of(&given).same_as(&variables_of(&reversed)));
        if let Some((_, value)) = reversed.first_mut() {
            value.push('x');
            prop_assert!(!variables_of(&given).same_as(&variables_of(&reversed)));
        }
    }
}
