//! JSONTestSuite (2016-2024): every file as an environment document, as the flat object of `upload --json`, and as a
//! name and a value in both.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use microsecrets::checksum::Checksum;
use microsecrets::document::{Document, Variables, parse_flat_object};

use crate::common::TestEnvironment;
use crate::{is_refused, shows_nothing_of, started_with};

const SUITE: &str = include_str!("../fixtures/json-test-suite/test_parsing.hex");
const ORACLE: &str = include_str!("oracle.py");

type Pairs = BTreeMap<String, String>;

/// The files by their names.
fn suite() -> Vec<(String, Vec<u8>)> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let files = SUITE.lines().map(|line| line.split_once(' ').unwrap());
    let mut files: Vec<(String, Vec<u8>)> = files
        .map(|(name, hex)| (name.to_owned(), hex.as_bytes().chunks(2).map(byte).collect()))
        .collect();
    let arrays = "[".repeat(100_000);
    files.push(("n_structure_100000_opening_arrays".to_owned(), arrays.into_bytes()));
    let both = "[{\"\":".repeat(50_000) + "\n";
    files.push(("n_structure_open_array_object".to_owned(), both.into_bytes()));
    assert_eq!(files.len(), 318);
    files
}

/// What stands in the arrays that most files are.
fn elements() -> Vec<(String, Vec<u8>)> {
    let within = |(name, content): (String, Vec<u8>)| {
        let content = content.trim_ascii().strip_prefix(b"[")?.strip_suffix(b"]")?.to_vec();
        Some((format!("within {name}"), content))
    };
    suite().into_iter().filter_map(within).collect()
}

fn around(before: &str, content: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), content, after.as_bytes()].concat()
}

/// The variables that a program may be given: what Python has read, unless a name is there twice, is empty, or holds what
/// no name can; or a value does.
fn acceptable(read: Option<Vec<(String, String)>>) -> Option<Pairs> {
    let pairs = read?;
    let fits =
        |(name, value): &(String, String)| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
    let all = pairs.iter().all(fits);
    let by_name: Pairs = pairs.iter().cloned().collect();
    (all && by_name.len() == pairs.len()).then_some(by_name)
}

/// What Python says: the flat object, and the document.
fn verdicts(texts: &[Vec<u8>]) -> Vec<[Option<Pairs>; 2]> {
    let mut python = Command::new("python3");
    python
        .args(["-I", "-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut python = python.spawn().expect("Python 3 is there, as README says");
    let hex = |text: &Vec<u8>| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    let questions: String = texts.iter().map(hex).collect();
    let mut stdin = python.stdin.take().unwrap();
    std::thread::spawn(move || stdin.write_all(questions.as_bytes()).ok());
    let output = python.wait_with_output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers
        .lines()
        .map(|line| {
            serde_json::from_str::<[Option<Vec<(String, String)>>; 2]>(line)
                .unwrap()
                .map(acceptable)
        })
        .collect();
    assert_eq!(answers.len(), texts.len());
    answers
}

fn pairs(variables: &Variables) -> Pairs {
    variables
        .iter()
        .map(|(name, value)| (name.to_owned(), value.expose().to_owned()))
        .collect()
}

#[test]
fn every_file_in_every_place_is_read_as_python_reads_it_or_refused() {
    let mut cases = Vec::new();
    for (name, content) in suite().into_iter().chain(elements()) {
        let of = |before: &str, after: &str| around(before, &content, after);
        cases.extend([
            (name.clone(), true, content.clone()),
            (name.clone(), false, of("{\"A\": ", "}")),
            (name.clone(), false, of("{\"A\": \"1\", ", ": \"x\"}")),
            (name.clone(), false, of("{\"environment\": ", ", \"metadata\": {}}")),
            (
                name.clone(),
                false,
                of("{\"environment\": {\"A\": ", "}, \"metadata\": {}}"),
            ),
            (
                name.clone(),
                false,
                of("{\"metadata\": {}, \"environment\": {", ": \"x\"}}"),
            ),
            (
                name.clone(),
                false,
                of("{\"environment\": {}, \"metadata\": {\"a\": ", "}}"),
            ),
            (name, false, of("{\"environment\": {}, \"metadata\": ", "}")),
        ]);
    }
    let texts: Vec<Vec<u8>> = cases.iter().map(|(_, _, text)| text.clone()).collect();
    let (mut flat, mut documents) = (0, 0);
    for ((name, is_whole, text), [as_flat, as_document]) in cases.iter().zip(verdicts(&texts)) {
        let read = parse_flat_object(text).map(|variables| pairs(&variables));
        assert_eq!(read.ok(), as_flat, "{name}: {}", String::from_utf8_lossy(text));
        let read = Document::parse(text).map(|document| pairs(&document.variables));
        assert_eq!(read.ok(), as_document, "{name}: {}", String::from_utf8_lossy(text));
        let is_accepted = as_flat.is_some() || as_document.is_some();
        assert!(!(is_accepted && *is_whole && name.starts_with("n_")), "{name}");
        flat += usize::from(as_flat.is_some());
        documents += usize::from(as_document.is_some());
    }
    // Enough of both kinds came through that this means something.
    assert!(flat > 60 && documents > 120, "{flat} and {documents} were accepted");
}

#[test]
fn uploaded_as_json_a_file_gives_its_variables_or_leaves_no_version() {
    let environment = TestEnvironment::new();
    let mut cases: Vec<(String, Vec<u8>)> = suite();
    let as_values = elements()
        .into_iter()
        .map(|(name, content)| (name, around("{\"A\": ", &content, "}")));
    cases.extend(as_values);
    let texts: Vec<Vec<u8>> = cases.iter().map(|(_, text)| text.clone()).collect();
    let mut accepted = 0;
    for (place, ((name, text), [expected, _])) in cases.iter().zip(verdicts(&texts)).enumerate() {
        let service = format!("s{place}");
        let upload = environment
            .microsecrets(&["upload", "-q", "-s", &service, "--json", "--any-name"])
            .stdin(text)
            .run();
        let Some(expected) = expected else {
            is_refused(&upload, name);
            upload.ends(2);
            shows_nothing_of(text, &upload.stderr);
            assert!(
                !environment.exists(&format!("store/services/{service}")),
                "{name}: something was written"
            );
            continue;
        };
        upload.ends(0);
        assert_eq!(started_with(&environment, &service), expected, "{name}");
        accepted += 1;
    }
    assert!(accepted > 40, "only {accepted} were accepted");
}

#[test]
fn no_file_of_the_suite_in_the_place_of_a_document_starts_anything() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    for (place, (name, content)) in suite().into_iter().enumerate() {
        let key = format!(
            "services/d{place}/environment/2026-11-23.07-58-01.{}.json",
            Checksum::of(&content)
        );
        environment.put(&key, content.clone());
        let arguments = ["with-env", "-s", &format!("d{place}"), "-a", "--", "echo", "started"];
        let outcome = environment.microsecrets(&arguments).run();
        is_refused(&outcome, &name);
        shows_nothing_of(&content, &outcome.stderr);
    }
}

#[test]
fn every_text_of_the_suite_in_a_document_of_0_3_4_reaches_the_command_as_it_is() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let documents: Vec<Vec<u8>> = elements()
        .iter()
        .map(|(_, content)| {
            around(
                "{\"environment\": {\"A\": ",
                content,
                "}, \"metadata\": {\"timestamp\": 1.5}}",
            )
        })
        .collect();
    let mut started = 0;
    for (place, (document, [_, expected])) in documents.iter().zip(verdicts(&documents)).enumerate() {
        let Some(expected) = expected else { continue };
        let service = format!("v{place}");
        let key = format!(
            "services/{service}/environment/2026-11-23.07-58-01.{}.json",
            Checksum::of(document)
        );
        environment.put(&key, document.clone());
        assert_eq!(started_with(&environment, &service), expected);
        started += 1;
    }
    assert!(started > 40, "only {started} were");
}
