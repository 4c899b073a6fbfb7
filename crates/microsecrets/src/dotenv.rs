//! The dotenv format, for `--dotenv`: `.env` files as other tools read them, and strictly.
//!
//! There is no standard. The rules are drawn from dotenv for Node, python-dotenv and Docker Compose
//! (<https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/>). Where these differ, the
//! text is taken literally with a warning, or refused; only of `\$` there is none, although python-dotenv keeps its
//! backslash:
//!
//! - Blank lines, and lines that begin with `#`, are skipped. White space is what [`crate::pairs`] takes for it; a byte
//!   order mark (U+FEFF) at the very beginning is skipped.
//! - `NAME=value`, with white space around name and value, and optionally `export ` before the name.
//! - `'...'` and `` `...` `` are literal, may span lines, and cannot hold their own quote. Where they hold `\\`, or end
//!   with a backslash, there is a warning, since some tools read escapes there.
//! - `"..."` may span lines; `\n \r \t \" \\ \$` stand for LF, CR, TAB and the characters themselves. Another
//!   backslash is kept, with a warning.
//! - In quotes CR LF is read as LF, since other tools read files in text mode. A line break can be said exactly as
//!   `"\r\n"`.
//! - After a closing quote only white space may follow, and a comment after white space.
//! - An unquoted value ends at the end of the line, or before a `#` that has white space before it. Quotes and
//!   backslashes inside are kept, and so is any other `#`, with a warning (dotenv for Node ends the value there).
//! - Nothing is expanded: `$NAME`, `${...}`, `$(...)` and backquotes are kept, with a warning.
//!
//! Names obey the rule of [`crate::pairs`], and as there no error and no warning holds any text of the input but a
//! name given twice.

use std::mem;

use zeroize::Zeroizing;

use crate::pairs::{NameClue, Names, Options, PairsError, PairsWarning, Parsed, WarningKind, is_space};
use crate::secret::SecretString;

/// Reads a dotenv file.
///
/// The variables come in the order of the input, and no name comes twice. Time and memory grow with the length of the
/// input, for which there is no limit here.
///
/// # Errors
///
/// The first thing that is wrong, see [`DotenvError`]. Nothing is returned of an input that has one.
pub fn parse(input: &[u8], options: Options) -> Result<Parsed, DotenvError> {
    let text = str::from_utf8(input).map_err(|error| PairsError::NotUtf8(line_at(input, error.valid_up_to())))?;
    if let Some(position) = text.find('\0') {
        return Err(DotenvError::Pair(PairsError::Nul(line_at(input, position))));
    }

    let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { rest, line: 1 };
    let mut names = Names::new(options);
    let mut parsed = Parsed::default();

    while reader.skip_space() {
        let (row, line) = (reader.row(), reader.line);
        if row.starts_with('#') {
            reader.take(row.len());
            continue;
        }

        let (left, right) = row.split_once('=').ok_or(PairsError::MissingEquals(line))?;
        let name = without_export(left.trim_matches(is_space));
        names.admit(name, right.trim_matches(is_space), line)?;

        reader.take(left.len() + "=".len());
        let value = reader.value()?;
        for kind in value.warnings {
            parsed.warnings.push(PairsWarning { line, kind });
        }
        parsed.variables.push((name.to_owned(), value.text));
    }

    Ok(parsed)
}

/// Why an input is no dotenv file. Lines count from 1.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DotenvError {
    /// What is as wrong in a list of pairs.
    #[error(transparent)]
    Pair(#[from] PairsError),
    /// Text after a closing quote. Often the quote before it is the one that should not be there.
    #[error("line {line}: text after the closing quote of the value that began on line {first}")]
    TextAfterQuote {
        /// The line on which the value begins.
        first: usize,
        /// The line of the closing quote.
        line: usize,
    },
    /// A value that begins with a quote which nothing closes.
    #[error("line {line}: the quote is never closed")]
    UnterminatedQuote {
        /// The line of the quote.
        line: usize,
    },
}

impl DotenvError {
    /// Says what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Pair(PairsError::EmptyName(_) | PairsError::MissingEquals(_)) => {
                "write NAME=value; a value of several lines needs quotes around it"
            }
            Self::Pair(PairsError::NotExportable {
                clue: NameClue::Unknown | NameClue::Export | NameClue::Space,
                ..
            }) => {
                "a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; a value of several lines needs \
                 quotes around it; --any-name allows other names"
            }
            Self::Pair(error) => error.hint(),
            Self::TextAfterQuote { .. } => {
                "put the whole value into quotes that it does not hold; a comment needs a space before its `#`"
            }
            Self::UnterminatedQuote { .. } => "close it, or put the whole value into quotes that it does not hold",
        }
    }
}

/// What is still to be read.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Whether anything but white space is left; moves to it.
    fn skip_space(&mut self) -> bool {
        self.take(self.rest.len() - self.rest.trim_start_matches(is_space).len());
        !self.rest.is_empty()
    }

    /// The rest of this line, without its LF.
    fn row(&self) -> &'a str {
        self.rest.split_once('\n').map_or(self.rest, |(row, _)| row)
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Reads from behind the `=` to the end of the line on which the value ends.
    fn value(&mut self) -> Result<Value, DotenvError> {
        let row = self.row();
        let start = row.trim_start_matches(is_space);
        let Some(quote @ ('\'' | '"' | '`')) = start.chars().next() else {
            return Ok(Value::unquoted(self.take(row.len())));
        };

        let first = self.line;
        self.take(row.len() - start.len() + quote.len_utf8());
        let length = self
            .quoted_length(quote)
            .ok_or(DotenvError::UnterminatedQuote { line: first })?;
        let value = Value::quoted(self.take(length), quote);
        self.take(quote.len_utf8());

        let (tail, line) = (self.row(), self.line);
        let comment = tail.trim_start_matches(is_space);
        let is_comment = comment.starts_with('#') && comment.len() < tail.len();
        if !comment.is_empty() && !is_comment {
            return Err(DotenvError::TextAfterQuote { first, line });
        }
        self.take(tail.len());
        Ok(value)
    }

    /// The number of bytes before the quote that closes.
    fn quoted_length(&self, quote: char) -> Option<usize> {
        let mut escaped = false;
        self.rest.find(|character| {
            let closes = character == quote && !escaped;
            escaped = quote == '"' && character == '\\' && !escaped;
            closes
        })
    }
}

struct Value {
    text: SecretString,
    warnings: Vec<WarningKind>,
}

impl Value {
    fn unquoted(row: &str) -> Self {
        let comment = row
            .match_indices('#')
            .find(|&(position, _)| row[..position].ends_with(is_space));
        let text = comment
            .map_or(row, |(position, _)| &row[..position])
            .trim_matches(is_space);

        let hash = text.contains('#').then_some(WarningKind::HashKept);
        let expansion = expands(text).then_some(WarningKind::ExpansionKept);
        let warnings = hash.into_iter().chain(expansion).collect();
        let text = SecretString::new(text.to_owned());
        Self { text, warnings }
    }

    fn quoted(raw: &str, quote: char) -> Self {
        // What is read is never longer than what is written, so the buffer never moves and leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(raw.len()));
        let mut backslash_kept = quote != '"' && (raw.contains(r"\\") || raw.ends_with('\\'));
        let mut expansion_kept = false;
        let mut rest = raw;

        while let Some(character) = rest.chars().next() {
            let next = rest[character.len_utf8()..].chars().next();
            let meant = match (character, next) {
                ('\r', Some('\n')) => Some('\n'),
                ('\\', Some('n')) if quote == '"' => Some('\n'),
                ('\\', Some('r')) if quote == '"' => Some('\r'),
                ('\\', Some('t')) if quote == '"' => Some('\t'),
                ('\\', Some(itself @ ('"' | '\\' | '$'))) if quote == '"' => Some(itself),
                _ => None,
            };
            if quote == '"' && meant.is_none() {
                backslash_kept |= character == '\\';
                expansion_kept |= expands_at(rest);
            }
            text.push(meant.unwrap_or(character));
            rest = &rest[character.len_utf8() + usize::from(meant.is_some())..];
        }

        let kinds = [
            (quote == '`', WarningKind::BackquotesRemoved),
            (backslash_kept, WarningKind::BackslashKept),
            (expansion_kept, WarningKind::ExpansionKept),
        ];
        let warnings = kinds
            .into_iter()
            .filter(|(applies, _)| *applies)
            .map(|(_, kind)| kind)
            .collect();
        let text = SecretString::new(mem::take(&mut text));
        Self { text, warnings }
    }
}

/// Whether a shell, or a dotenv tool that expands, would see something to expand.
fn expands(text: &str) -> bool {
    text.match_indices(['$', '`'])
        .any(|(position, _)| expands_at(&text[position..]))
}

fn expands_at(text: &str) -> bool {
    let is_start = |next: char| next.is_ascii_alphabetic() || matches!(next, '_' | '{' | '(');
    text.starts_with('`') || text.strip_prefix('$').is_some_and(|rest| rest.starts_with(is_start))
}

fn without_export(name: &str) -> &str {
    match name.strip_prefix("export") {
        Some(rest) if rest.starts_with(is_space) => rest.trim_start_matches(is_space),
        _ => name,
    }
}

fn line_at(input: &[u8], position: usize) -> usize {
    1 + input[..position].iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: Options = Options { any_name: false };
    const ANY_NAME: Options = Options { any_name: true };

    #[test]
    fn reads_one_value() {
        for (input, value) in [
            ("A=x", "x"),
            ("A=", ""),
            ("A= \t", ""),
            ("  A =  x y  \r", "x y"),
            ("export A=x", "x"),
            ("export\t A\t=x", "x"),
            ("A=x # comment", "x"),
            ("A=x\t#comment # more", "x"),
            ("A= # comment", ""),
            ("A=#x", "#x"),
            ("A=x#y", "x#y"),
            ("A=x\"y\" 'z", "x\"y\" 'z"),
            ("A=b=c", "b=c"),
            (r"A=C:\new\\", r"C:\new\\"),
            ("A=\u{a0}", "\u{a0}"),
            ("A=''", ""),
            ("A='x' # comment", "x"),
            ("A = ' x #y '\t", " x #y "),
            (r"A='a\n\\$HOME`'", r"a\n\\$HOME`"),
            ("A='a\n b\n'", "a\n b\n"),
            ("A=\"a\r\nb\"\r", "a\nb"),
            ("A='a\rb'", "a\rb"),
            (r#"A="\n\r\t\"\\\$" # c"#, "\n\r\t\"\\$"),
            (r#"A="\\n\\""#, r"\n\"),
            (r#"A="\d\'\é""#, r"\d\'\é"),
            ("A=\"\\\r\nx\"", "\\\nx"),
            (r#"A="it's `x`""#, "it's `x`"),
            ("A=`it's \"x\"\\n`", "it's \"x\"\\n"),
            ("\u{feff}A=x", "x"),
        ] {
            assert_eq!(
                read(input, STRICT),
                Ok(vec![("A".to_owned(), value.to_owned())]),
                "{input:?}"
            );
        }
    }

    #[test]
    fn reads_a_file() {
        let input = "# caf\u{e9} \"\n\nexport A='1\n# no comment\nB=2'\nC=3\n\t# D=4\nexport=5\n";
        let expected = [("A", "1\n# no comment\nB=2"), ("C", "3"), ("export", "5")];
        assert_eq!(
            read(input, STRICT),
            Ok(expected.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec())
        );
        assert_eq!(read("", STRICT), Ok(vec![]));
        assert_eq!(read("\u{feff}\n#", STRICT), Ok(vec![]));
        assert_eq!(
            read("my key = x", ANY_NAME),
            Ok(vec![("my key".to_owned(), "x".to_owned())])
        );
    }

    #[test]
    fn warns_where_tools_differ() {
        let expansion = "line 2: `$` and backquotes are taken literally; nothing is expanded";
        let hash = "line 2: the `#` is part of the value; a comment needs a space before it";
        let backslash = "line 2: a backslash is kept which some tools take for an escape";
        let backquotes = "line 2: the backquotes are read as quotes; no command is run";
        for (input, expected) in [
            ("A=$HOME", &[expansion][..]),
            ("A=a${b}", &[expansion]),
            ("A=$(x)", &[expansion]),
            ("A=\"\n$_x `x`\"", &[expansion]),
            ("A=`x $y`", &[backquotes]),
            ("A=x#y$z #$z", &[hash, expansion]),
            (r#"A="\d\\\$x""#, &[backslash]),
            (r#"A="\\$x""#, &[expansion]),
            (r"A='\d\\'", &[backslash]),
            (r"A='x\'", &[backslash]),
            (r"A=`x\`", &[backquotes, backslash]),
            ("A=\"x#y\"", &[]),
            ("A='$x `y` \\d'", &[]),
            ("A=$2 a$ $", &[]),
            ("A=x # $HOME `x`", &[]),
            ("A=\"\\$HOME\"", &[]),
        ] {
            let Ok(parsed) = parse(format!("\n{input}\n").as_bytes(), STRICT) else {
                panic!("{input:?}")
            };
            let warnings = parsed.warnings.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(warnings, expected, "{input:?}");
        }
    }

    #[test]
    fn refuses_and_never_says_what_stood_there() {
        let unexportable = "line 1: no shell can export the name before the `=`";
        let unclosed = "line 1: the quote is never closed";
        let after = "line 1: text after the closing quote of the value that began on line 1";
        for (input, message, hint) in [
            (
                &b"\nhunter2"[..],
                "line 2: no `=`",
                "write NAME=value; a value of several lines",
            ),
            (
                b"export hunter2",
                "line 1: no `=`",
                "write NAME=value; a value of several lines",
            ),
            (
                b" =hunter2",
                "line 1: no name before the `=`",
                "write NAME=value; a value of several lines",
            ),
            (b"hunter-2=x", unexportable, "a name may hold A-Z"),
            (b"hunter 2=x", unexportable, "a name may hold A-Z"),
            (b"export export hunter2=x", unexportable, "a name may hold A-Z"),
            (
                b"hunter2Hunter2Hunt2=",
                "line 1: this looks like a value in base64 without a name",
                "write NAME=value",
            ),
            (b"A='hunter2", unclosed, "close it"),
            (b"A=\"hunter2\\\"\nB=1", unclosed, "close it"),
            (b"A=`hunter2\nB=1", unclosed, "close it"),
            (
                b"A='hunter'2",
                after,
                "put the whole value into quotes that it does not hold",
            ),
            (b"A=\"hunter\"#hunter2", after, "put the whole value into quotes"),
            (b"A='hunter\\'2'", after, "put the whole value into quotes"),
            (
                b"\nA=\"hunter2\n\nB=\"hunter2\"",
                "line 4: text after the closing quote of the value that began on line 2",
                "put the whole value into quotes",
            ),
            (b"A='\n\xff'", "line 2: not UTF-8", "save the input as UTF-8"),
            (b"A='\n\0'", "line 2: a NUL byte", "no environment can hold it"),
            (b"A=1\nA=2", "lines 1 and 2 give the same name: A", "keep one"),
        ] {
            let error = read(input, STRICT).expect_err("must be refused");
            assert_eq!(error.to_string(), message, "{input:?}");
            assert!(error.hint().starts_with(hint), "{} for {input:?}", error.hint());
            assert!(
                !format!("{error}{error:?}{}", error.hint()).contains("hunter"),
                "{input:?}"
            );
        }
        assert_eq!(
            read("a b='1\n'\n a b =2", ANY_NAME).expect_err("twice").to_string(),
            "lines 1 and 3 give the same name"
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, any_name: bool) {
            let _unused = parse(&bytes, Options { any_name });
        }

        #[test]
        fn never_panics_on_its_own_characters(text in "(A=|[AB =\n\r#\"'`\\\\$é]){0,30}", any_name: bool) {
            let _unused = parse(text.as_bytes(), Options { any_name });
        }

        #[test]
        fn reads_back_what_is_quoted(value in "([^\x00]|[ \n\r\t'\"`\\\\$#=]){0,30}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', "\\r").replace('$', "\\$");
            let mut inputs = vec![format!("A=\"{escaped}\"\nB=2")];
            for quote in ['\'', '`'] {
                if !value.contains(quote) && !value.contains("\r\n") {
                    inputs.push(format!("export A = {quote}{value}{quote} # comment\nB=2"));
                }
            }
            for input in inputs {
                let expected = vec![("A".to_owned(), value.clone()), ("B".to_owned(), "2".to_owned())];
                prop_assert_eq!(read(&input, STRICT), Ok(expected), "{}", input);
            }
        }
    }

    fn read(input: impl AsRef<[u8]>, options: Options) -> Result<Vec<(String, String)>, DotenvError> {
        let variables = parse(input.as_ref(), options)?.variables.into_iter();
        Ok(variables
            .map(|(name, value)| (name, value.expose().to_owned()))
            .collect())
    }
}
