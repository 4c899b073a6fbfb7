//! The pair format: `NAME=value`, one a line, as microsecrets 0.3.4 reads it, with its silent mistakes refused.
//!
//! The format's source is `_load_env_from_pairs_stream` of microsecrets 0.3.4 (PyPI, 2016), checked on Python 2.7:
//!
//! - The input is split into lines at LF only. A CR before the LF goes with the white space; any other CR is content.
//! - White space at both ends of a line is removed: space, TAB, LF, VT, FF and CR, exactly what `str.strip()` of
//!   Python 2 removes. No other character is white space, U+0085 and U+00A0 included.
//! - Blank lines, and lines that then begin with `#`, are skipped, whatever bytes they hold.
//! - A line is split at its first `=`. Everything before it is the name and everything after it is the value, blanks
//!   beside the `=`, quotes, `$`, `#` and further `=` included.
//!
//! Stricter than 0.3.4: a name given twice (it took the last), a name that no shell can export, an empty name, NUL, and
//! text that is not UTF-8 are refused.
//!
//! A line of the wrong place may be a secret, so no error and no warning holds any text of the input, with one
//! exception: a name given twice, when it is one that a shell can export.

use std::collections::HashMap;
use std::fmt;

use crate::secret::{SecretBytes, SecretString};

/// Reads pairs.
///
/// The variables come in the order of the lines, and no name comes twice. Time and memory grow with the length of the
/// input, for which there is no limit here.
///
/// # Errors
///
/// The first line that is wrong, see [`PairsError`]. Nothing is returned of an input that has one.
pub fn parse(input: &[u8], options: Options) -> Result<Parsed, PairsError> {
    let mut names = Names::new(options);
    let mut parsed = Parsed::default();

    for (raw, line) in input.split(|&byte| byte == b'\n').zip(1..) {
        let trimmed = trim(raw);
        if trimmed.is_empty() || trimmed.starts_with(b"#") {
            continue;
        }

        let text = str::from_utf8(trimmed).map_err(|_| PairsError::NotUtf8(line))?;
        if text.contains('\0') {
            return Err(PairsError::Nul(line));
        }
        let (name, value) = text.split_once('=').ok_or(PairsError::MissingEquals(line))?;
        names.admit(name, value, line)?;

        let space = name.ends_with(is_space) || value.starts_with(is_space);
        let kinds = [
            (has_export(name), WarningKind::ExportInName),
            (space, WarningKind::SpaceKept),
            (is_quoted(value), WarningKind::QuotesKept),
        ];
        for (_, kind) in kinds.into_iter().filter(|(applies, _)| *applies) {
            parsed.warnings.push(PairsWarning { line, kind });
        }
        let value = SecretString::new(value.to_owned());
        parsed.variables.push((name.to_owned(), value));
    }

    Ok(parsed)
}

/// Writes variables as pairs, so that [`parse`] with [`Options::any_name`] reads the same ones again.
///
/// Each line is a name, `=`, a value and LF. Where every name [`is_exportable`], `any_name` is not needed to read it
/// back, except for a line that looks like base64 ([`PairsError::Encoded`]). The names have to be unique, as those of a
/// document are.
///
/// # Errors
///
/// The first variable that the format can't express, see [`UnwritableReason`]. White space before a value is kept by
/// the format and so is no reason; white space after it is one.
pub fn write<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Result<SecretBytes, Unwritable> {
    let variables = variables.collect::<Vec<_>>();

    for (index, (name, value)) in variables.iter().enumerate() {
        if let Some(reason) = UnwritableReason::find(name, value) {
            let name = (*name).to_owned();
            return Err(Unwritable { index, name, reason });
        }
    }

    // The whole length at once: growing would leave copies behind that nobody wipes.
    let length = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut bytes = Vec::with_capacity(length);
    for (name, value) in variables {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    Ok(SecretBytes::new(bytes))
}

/// Whether a shell can export a variable of this name: ASCII letters, digits and `_`, at least one character, the first
/// one no digit.
///
/// The grammar is that of "Name" in POSIX.1-2024, Base Definitions, chapter 3.
pub fn is_exportable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// How strictly pairs are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Accept names that no shell can export, and lines that look like base64. Empty names, and names with `=` or NUL,
    /// are refused nevertheless: no environment can hold them.
    pub any_name: bool,
}

/// What an input holds.
#[derive(Default)]
pub struct Parsed {
    /// Names and values in the order of the input; every name once.
    pub variables: Vec<(String, SecretString)>,
    /// What was read as it stands and may not be what was meant, in the order of the lines.
    pub warnings: Vec<PairsWarning>,
}

/// Something that was read as it stands and may not be what was meant.
///
/// Its `Display` is one line for people, without any text of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PairsWarning {
    /// The line, from 1, on which the variable begins.
    pub line: usize,
    /// What is odd about it.
    pub kind: WarningKind,
}

impl fmt::Display for PairsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.kind {
            WarningKind::BackquotesRemoved => "the backquotes are read as quotes; no command is run",
            WarningKind::BackslashKept => "a backslash is kept which some tools take for an escape",
            WarningKind::ExpansionKept => "`$` and backquotes are taken literally; nothing is expanded",
            WarningKind::ExportInName => "`export ` is part of the name; --dotenv removes it",
            WarningKind::HashKept => "the `#` is part of the value; a comment needs a space before it",
            WarningKind::QuotesKept => "the quotes are part of the value; --dotenv removes them",
            WarningKind::SpaceKept => "the white space beside the `=` is kept; --dotenv removes it",
        };
        write!(f, "line {}: {text}", self.line)
    }
}

/// What a [`PairsWarning`] is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WarningKind {
    /// Dotenv: a value stands between backquotes, which a shell would run.
    BackquotesRemoved,
    /// Dotenv: a backslash in quotes was kept that begins an escape for some tools.
    BackslashKept,
    /// Dotenv: something that some tools expand, `$NAME`, `${`, `$(` or a backquote, was kept as it is.
    ExpansionKept,
    /// Pairs, with any name allowed: the name begins with `export `.
    ExportInName,
    /// Dotenv: a `#` without white space before it was kept; some tools end the value there.
    HashKept,
    /// Pairs: a whole value is quoted, and the quotes are part of it.
    QuotesKept,
    /// Pairs: white space beside the `=` is part of the value or, with any name allowed, of the name.
    SpaceKept,
}

/// Why an input is no list of pairs. Where a variant holds one number it is the line, from 1.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PairsError {
    /// The same name on two lines. 0.3.4 took the later one and said nothing.
    #[error("lines {first} and {line} give the same name{}", name.iter().map(|n| format!(": {n}")).collect::<String>())]
    DuplicateName {
        /// The name, unless any name is allowed: then it may be a misplaced secret.
        name: Option<String>,
        /// The line that gave the name first.
        first: usize,
        /// The line that gave it again.
        line: usize,
    },
    /// Nothing before the `=`.
    #[error("line {0}: no name before the `=`")]
    EmptyName(usize),
    /// A line that could pass for a name with an empty value, but looks like base64 with its padding: a secret without
    /// its name. `openssl rand -base64 32` writes such a line half of the time, and an unexportable one otherwise.
    #[error("line {0}: this looks like a value in base64 without a name")]
    Encoded(usize),
    /// No `=`.
    #[error("line {0}: no `=`")]
    MissingEquals(usize),
    /// A name that no shell can export, see [`is_exportable`].
    #[error("line {line}: no shell can export the name before the `=`")]
    NotExportable {
        /// The line.
        line: usize,
        /// What may have gone wrong.
        clue: NameClue,
    },
    /// Bytes that are not UTF-8.
    #[error("line {0}: not UTF-8")]
    NotUtf8(usize),
    /// A NUL, which no environment can hold.
    #[error("line {0}: a NUL byte")]
    Nul(usize),
}

impl PairsError {
    /// Says what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::DuplicateName { .. } => "keep one of the two lines",
            Self::EmptyName(_) => "write NAME=value; if this line is part of a value, use --json",
            Self::Encoded(_) => "write NAME=value; --any-name takes the line as it stands, as a name",
            Self::MissingEquals(_) => {
                "write NAME=value; if this line is part of a value, use --json or --dotenv; \
                 to upload a whole file, use -f LABEL"
            }
            Self::NotExportable { clue, .. } => clue.hint(),
            Self::NotUtf8(_) => "save the input as UTF-8; to upload raw bytes, use -f LABEL",
            Self::Nul(_) => "no environment can hold it; to upload raw bytes, use -f LABEL",
        }
    }
}

/// What may have gone wrong with a name that no shell can export.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NameClue {
    /// It begins with a byte order mark (U+FEFF), which some editors write at the beginning of a file.
    ByteOrderMark,
    /// It begins with `export `.
    Export,
    /// It would be a good name without the white space before the `=`.
    Space,
    /// Anything else.
    Unknown,
}

impl NameClue {
    fn find(name: &str) -> Self {
        if name.starts_with('\u{feff}') {
            Self::ByteOrderMark
        } else if has_export(name) {
            Self::Export
        } else if is_exportable(name.trim_end_matches(is_space)) {
            Self::Space
        } else {
            Self::Unknown
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "the line begins with a byte order mark; save the input as UTF-8 without one",
            Self::Export => "--dotenv reads lines that begin with `export `",
            Self::Space => "remove the spaces around the `=`, or use --dotenv; --any-name keeps them in the name",
            Self::Unknown => {
                "a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; if this line is part of a value, \
                 use --json; --any-name allows other names"
            }
        }
    }
}

/// A variable that the pair format can't express.
///
/// `Display` tells its place and not its name: an odd name may be a misplaced secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("variable {} cannot be written as a pair: {reason}", index + 1)]
#[non_exhaustive]
pub struct Unwritable {
    /// Its place among the variables given, from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What is in the way.
    pub reason: UnwritableReason,
}

/// Why a variable can't be expressed in the pair format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwritableReason {
    /// The name begins with `#` or white space, holds `=`, LF or NUL, or is empty.
    #[error("its name would not be read back")]
    Name,
    /// The value holds LF.
    #[error("its value has more than one line")]
    ValueHasLines,
    /// The value holds NUL.
    #[error("its value has a NUL")]
    ValueHasNul,
    /// The value ends with white space, which reading removes.
    #[error("its value ends with white space")]
    ValueEndsWithSpace,
}

impl UnwritableReason {
    fn find(name: &str, value: &str) -> Option<Self> {
        if name.is_empty() || name.contains(['=', '\n', '\0']) || name.starts_with('#') || name.starts_with(is_space) {
            Some(Self::Name)
        } else if value.contains('\n') {
            Some(Self::ValueHasLines)
        } else if value.contains('\0') {
            Some(Self::ValueHasNul)
        } else if value.ends_with(is_space) {
            Some(Self::ValueEndsWithSpace)
        } else {
            None
        }
    }
}

/// The names of one input so far, and the rule that every further one has to satisfy.
pub(crate) struct Names<'a> {
    options: Options,
    lines: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(options: Options) -> Self {
        let lines = HashMap::new();
        Self { options, lines }
    }

    /// Takes the name that `line` gives. `value` is the text after the `=`, needed to recognise base64 and not kept.
    pub(crate) fn admit(&mut self, name: &'a str, value: &str, line: usize) -> Result<(), PairsError> {
        if name.is_empty() {
            return Err(PairsError::EmptyName(line));
        }
        if !self.options.any_name && !is_exportable(name) {
            let clue = NameClue::find(name);
            return Err(PairsError::NotExportable { line, clue });
        }
        if !self.options.any_name && is_encoded(name, value) {
            return Err(PairsError::Encoded(line));
        }
        if let Some(first) = self.lines.insert(name, line) {
            let name = (!self.options.any_name).then(|| name.to_owned());
            return Err(PairsError::DuplicateName { name, first, line });
        }
        Ok(())
    }
}

/// Whether Python 2's `str.strip()` and `str.split()` take this for white space.
pub(crate) fn is_space(character: char) -> bool {
    matches!(character, '\t'..='\r' | ' ')
}

fn trim(line: &[u8]) -> &[u8] {
    let is_content = |byte: &u8| !is_space(char::from(*byte));
    let start = line.iter().position(is_content).unwrap_or(line.len());
    let end = line.iter().rposition(is_content).map_or(start, |last| last + 1);
    &line[start..end]
}

fn has_export(name: &str) -> bool {
    name.strip_prefix("export")
        .is_some_and(|rest| rest.starts_with(is_space))
}

fn is_quoted(value: &str) -> bool {
    let within = |quote| value.starts_with(quote) && value.ends_with(quote);
    value.len() > 1 && (within('"') || within('\''))
}

/// Whether an exportable name and what follows its `=` are rather one value in padded base64 (RFC 4648, sections 4 and
/// 5): a multiple of four characters, from 20 on (14 bytes), with both cases and a digit.
///
/// A name such as `ApiKey2` with an empty value is left alone by the length, `SERVICES__Db1` by the double `_`.
fn is_encoded(name: &str, value: &str) -> bool {
    let length = name.len() + "=".len() + value.len();
    matches!(value, "" | "=")
        && length >= 20
        && length.is_multiple_of(4)
        && !name.contains("__")
        && [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit]
            .iter()
            .all(|class| name.as_bytes().iter().any(class))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: Options = Options { any_name: false };
    const ANY_NAME: Options = Options { any_name: true };

    #[test]
    fn reads_what_0_3_4_reads() {
        for (input, expected) in [
            ("", &[][..]),
            ("\n \r\n#", &[]),
            ("A=1\r\nB=\n", &[("A", "1"), ("B", "")]),
            ("A=x\ry", &[("A", "x\ry")]),
            ("\x0b\x0c A=1\x0b\x0c\t\n", &[("A", "1")]),
            (
                "A=1\x1c\x1d\x1e\x1f\u{85}\u{a0}\n",
                &[("A", "1\x1c\x1d\x1e\x1f\u{85}\u{a0}")],
            ),
            ("A=1\u{2028}B=2", &[("A", "1\u{2028}B=2")]),
            ("A= \tx =y= # z ", &[("A", " \tx =y= # z")]),
            ("  # A=0\nA=\"$HOME `x` '", &[("A", "\"$HOME `x` '")]),
            ("A=1\na=2", &[("A", "1"), ("a", "2")]),
        ] {
            assert_eq!(read(input, STRICT), Ok(owned(expected)), "{input:?}");
        }
        assert_eq!(read(b"# caf\xe9 \0\nA=1", STRICT), Ok(owned(&[("A", "1")])));

        let not_base64 =
            "ApiKey2=\nDATABASE_PASSWORD_2=\nServiceDb1LoginPasswd=\nSvc__Db1_LoginToken=\naGVsbG8gd29ybGQhIDEyMzQ=x";
        assert_eq!(read(not_base64, STRICT).map(|pairs| pairs.len()), Ok(5));
    }

    #[test]
    fn keeps_any_name_as_0_3_4_does() {
        for (input, name, value) in [
            ("DB_URL = x", "DB_URL ", " x"),
            (" db: = x", "db: ", " x"),
            ("export A=x", "export A", "x"),
            ("\u{feff}A=x", "\u{feff}A", "x"),
            ("\u{a0}=x", "\u{a0}", "x"),
            ("1=2", "1", "2"),
            ("aGVsbG8gd29ybGQhIDEyMw==", "aGVsbG8gd29ybGQhIDEyMw", "="),
        ] {
            assert_eq!(read(input, ANY_NAME), Ok(owned(&[(name, value)])), "{input:?}");
        }
        let twice = read("hunter 2=\nhunter 2=", ANY_NAME).expect_err("must be refused");
        assert_eq!(twice.to_string(), "lines 1 and 2 give the same name");
        assert!(!format!("{twice:?}").contains("hunter"));
    }

    #[test]
    fn warns_of_what_it_keeps() {
        let export = "line 2: `export ` is part of the name; --dotenv removes it";
        let quotes = "line 2: the quotes are part of the value; --dotenv removes them";
        let space = "line 2: the white space beside the `=` is kept; --dotenv removes it";
        for (input, expected) in [
            ("A=\"x\"", &[quotes][..]),
            ("A='x'", &[quotes]),
            ("A=''", &[quotes]),
            ("A= 'x'", &[space]),
            ("A =x", &[space]),
            ("A = x", &[space]),
            ("export\tA=\"x\"", &[export, quotes]),
            ("exported=\"", &[]),
            ("A=\"x'", &[]),
            ("A=x'y'z", &[]),
        ] {
            let input = format!("\n{input}\n");
            let Ok(parsed) = parse(input.as_bytes(), ANY_NAME) else {
                panic!("{input:?}")
            };
            let warnings = parsed.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(warnings, expected, "{input:?}");
        }
    }

    #[test]
    fn refuses_and_never_says_what_stood_there() {
        let unexportable = "line 1: no shell can export the name before the `=`";
        let encoded = "line 1: this looks like a value in base64 without a name";
        for (input, message, hint) in [
            (&b"A=1\nhunter2\n"[..], "line 2: no `=`", "write NAME=value; if"),
            (b"\n=hunter2", "line 2: no name before the `=`", "write NAME=value; if"),
            (b"2hunter=x", unexportable, "a name may hold"),
            (b"hunter\xc3\xbc=x", unexportable, "a name may hold"),
            (b"hunter+/a=", unexportable, "a name may hold"),
            (b"hunter2 = x", unexportable, "remove the spaces"),
            (b"export hunter2=x", unexportable, "--dotenv reads"),
            (b"\xef\xbb\xbfhunter2=x", unexportable, "the line begins with a byte"),
            (b"A=hunter2\xff", "line 1: not UTF-8", "save the input as UTF-8"),
            (
                b"A=hunter\n\n A=x",
                "lines 1 and 3 give the same name: A",
                "keep one of",
            ),
            (b"hunter2\0=", "line 1: a NUL byte", "no environment can"),
            (b"hunter2Hunter2Hunt2=", encoded, "write NAME=value; --any"),
            (b"hunter2_hunter2_Hunter==", encoded, "write NAME=value; --any"),
        ] {
            let error = read(input, STRICT).expect_err("must be refused");
            assert_eq!(error.to_string(), message, "{input:?}");
            assert!(error.hint().starts_with(hint), "{} for {input:?}", error.hint());
            assert!(!format!("{error}{error:?}{}", error.hint()).contains("hunter"));
        }
    }

    #[test]
    fn refuses_to_write_what_it_would_not_read_back() {
        use UnwritableReason::*;
        for (name, value, reason) in [
            ("#A", "x", Name),
            (" A", "x", Name),
            ("A=B", "x", Name),
            ("A", "hunter\n2", ValueHasLines),
            ("A", "hunter2\0", ValueHasNul),
            ("A", "hunter2\r", ValueEndsWithSpace),
        ] {
            let error = write([("OK", "1"), (name, value)].into_iter())
                .err()
                .expect("must be refused");
            assert_eq!((error.index, error.name.as_str(), error.reason), (1, name, reason));
            assert!(
                error
                    .to_string()
                    .starts_with("variable 2 cannot be written as a pair: its ")
            );
            assert!(!format!("{error}{error:?}").contains("hunter"));
        }
        let bytes = write([("A ", " x"), ("B#", "\"=")].into_iter()).expect("can be written");
        assert_eq!(bytes.expose(), b"A = x\nB#=\"=\n");
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(
            variables in proptest::collection::btree_map(
                "[A-Za-z_][A-Za-z0-9_]{0,9}",
                r#"([ \r\t'"$=#a-z]{0,12}[^\s\x00])?"#,
                0..9,
            )
        ) {
            let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let written = write(pairs).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(read(written.expose(), STRICT), Ok(variables.into_iter().collect()));
        }

        #[test]
        fn writes_exactly_what_it_would_read_back(name in r"[ #=\nA\r\x00é]{0,4}", value in r"[ #=\nA\r\x00é]{0,4}") {
            let pair = format!("{name}={value}");
            let written = write([(name.as_str(), value.as_str())].into_iter()).is_ok();
            prop_assert_eq!(read(&pair, ANY_NAME) == Ok(vec![(name, value)]), written);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>, any_name: bool) {
            let _unused = parse(&bytes, Options { any_name });
        }

        #[test]
        fn agrees_with_the_model(
            input in "([ \t\r\x0b\x0c\n#A1\u{a0}'\x00]?[\nAb]{1,3}[ \t\r]?=?[ =A\x0c\r]{0,3}\n?){0,5}",
            any_name: bool,
        ) {
            prop_assert_eq!(read(&input, Options { any_name }).ok(), model(&input, any_name));
        }
    }

    /// The format once more, without any function of the parser; too short an input for base64.
    fn model(input: &str, any_name: bool) -> Option<Vec<(String, String)>> {
        const SPACE: &str = " \t\n\x0b\x0c\r";
        let mut found: Vec<(String, String)> = Vec::new();
        for line in input.split('\n') {
            let mut text = line.chars().skip_while(|&c| SPACE.contains(c)).collect::<Vec<_>>();
            while text.last().is_some_and(|&c| SPACE.contains(c)) {
                text.pop();
            }
            match text.first() {
                None | Some('#') => continue,
                Some('=') => return None,
                Some('0'..='9') if !any_name => return None,
                Some(_) if text.contains(&'\0') => return None,
                Some(_) => {}
            }
            let equals = text.iter().position(|&c| c == '=')?;
            let shell = text[..equals]
                .iter()
                .all(|c| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '_'));
            let name = text[..equals].iter().collect::<String>();
            if found.iter().any(|(known, _)| *known == name) || !any_name && !shell {
                return None;
            }
            found.push((name, text[equals + 1..].iter().collect()));
        }
        Some(found)
    }

    fn read(input: impl AsRef<[u8]>, options: Options) -> Result<Vec<(String, String)>, PairsError> {
        let parsed = parse(input.as_ref(), options)?;
        let pairs = parsed
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()));
        Ok(owned(&pairs.collect::<Vec<_>>()))
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}
