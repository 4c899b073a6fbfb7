//! Which variables a service may set: the names and globs of `-w`.
//!
//! A name without `*`, `?` and `[` stands for itself, as it did in microsecrets 0.3.4. The others are globs over whole
//! names, in the "Pattern Matching Notation" of POSIX.1-2024 (Shell & Utilities, chapter 2), without its classes such
//! as `[:alpha:]`:
//!
//! | glob | matches |
//! |---|---|
//! | `*` | any number of characters, also none |
//! | `?` | one character |
//! | `[abc]`, `[a-z]` | one character of these; a `]` at the beginning and a `-` at either end are themselves |
//! | `[!abc]` | one character that is none of these |
//!
//! Characters are Unicode scalar values, compared exactly; a backslash is a character like any other (`[*]` matches a
//! `*`). A glob also matches the name that is spelled as the glob is, since 0.3.4 knew no globs.
//!
//! **A glob never matches a name that can run code** ([`danger::find`]): whoever may write the secrets would else
//! choose the program. Such a name has to be given as it is.

use std::collections::BTreeSet;

use crate::danger::{self, Row};
use crate::pairs::is_space;

/// The variables that may be set.
#[derive(Clone, Debug, Default)]
pub struct Whitelist {
    names: BTreeSet<String>,
    globs: Vec<Pattern>,
}

impl Whitelist {
    /// Reads the arguments of every `-w`, each a list of names and globs separated by white space (as Python 2's
    /// `str.split()` does: space, TAB, LF, VT, FF, CR).
    ///
    /// Without any name in them, nothing is allowed.
    ///
    /// # Errors
    ///
    /// The first glob that is malformed.
    pub fn parse<S: AsRef<str>>(arguments: impl IntoIterator<Item = S>) -> Result<Self, PatternError> {
        let mut whitelist = Self::default();
        for argument in arguments {
            for text in argument.as_ref().split(is_space).filter(|text| !text.is_empty()) {
                let pattern = Pattern::parse(text)?;
                if pattern.is_glob() {
                    whitelist.globs.push(pattern);
                } else {
                    whitelist.names.insert(pattern.text);
                }
            }
        }
        Ok(whitelist)
    }

    /// Whether a variable of this name may be set.
    pub fn allows(&self, name: &str) -> bool {
        self.refusal(name).is_none()
    }

    /// Why a variable of this name may not be set; `None` when it may.
    pub fn refusal(&self, name: &str) -> Option<Refusal<'_>> {
        if self.names.contains(name) {
            return None;
        }
        let Some(glob) = self.globs.iter().find(|glob| glob.matches(name)) else {
            return Some(Refusal::Absent);
        };
        danger::find(name).map(|row| Refusal::Dangerous { glob, row })
    }
}

/// Why a variable may not be set.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// Neither a name nor a glob matches.
    Absent,
    /// Only a glob matches, and the name can run code.
    Dangerous {
        /// The first glob that matches.
        glob: &'a Pattern,
        /// What the name can do.
        row: &'static Row,
    },
}

/// A name or a glob.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads one name or glob; white space in it is a character like any other.
    ///
    /// # Errors
    ///
    /// A malformed `[...]`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            tokens.push(match character {
                '*' if tokens.last() == Some(&Token::Run) => continue,
                '*' => Token::Run,
                '?' => Token::One,
                '[' => {
                    let (set, length) = Set::parse(rest.as_str()).map_err(|problem| PatternError {
                        pattern: text.to_owned(),
                        problem,
                    })?;
                    rest = rest.as_str()[length..].chars();
                    Token::Set(set)
                }
                _ => Token::Character(character),
            });
        }
        let text = text.to_owned();
        Ok(Self { text, tokens })
    }

    /// Whether the whole name matches, however dangerous it is.
    ///
    /// Takes at most time proportional to the length of the name times the length of the pattern.
    pub fn matches(&self, name: &str) -> bool {
        if self.text == name {
            return true;
        }

        // Only the last `*` is ever tried again: what the ones before it took stays possible for it to take.
        let name = name.chars().collect::<Vec<_>>();
        let (mut token, mut at) = (0, 0);
        let mut last_run = None;
        while at < name.len() {
            match self.tokens.get(token) {
                Some(Token::Run) => {
                    token += 1;
                    last_run = Some((token, at));
                }
                Some(single) if single.matches(name[at]) => {
                    token += 1;
                    at += 1;
                }
                _ => {
                    let Some((after_run, taken)) = last_run else {
                        return false;
                    };
                    (token, at) = (after_run, taken + 1);
                    last_run = Some((after_run, at));
                }
            }
        }
        self.tokens[token..].iter().all(|token| *token == Token::Run)
    }

    /// Whether it holds a `*`, a `?` or a `[...]`.
    pub fn is_glob(&self) -> bool {
        !self.tokens.iter().all(|token| matches!(token, Token::Character(_)))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A glob that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("glob {}: {problem}", pattern.escape_debug())]
#[non_exhaustive]
pub struct PatternError {
    /// The glob as it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: PatternProblem,
}

impl PatternError {
    /// Says what to do about it.
    pub fn hint(&self) -> &'static str {
        match self.problem {
            PatternProblem::Caret => "write [!...] for any other character; [...^] holds a ^",
            PatternProblem::Class => "write the characters themselves, such as [A-Z0-9]",
            PatternProblem::Range => "write the lower character first, such as [A-Z]",
            PatternProblem::Unclosed => "close it; [[] matches a [",
        }
    }
}

/// What is wrong with a glob.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternProblem {
    /// `[^...]`, which POSIX leaves undefined.
    #[error("`[^` has no meaning")]
    Caret,
    /// `[:`, `[=` or `[.` within brackets.
    #[error("classes such as `[:alpha:]` are not understood")]
    Class,
    /// A range that ends before it begins.
    #[error("a range in `[...]` ends before it begins")]
    Range,
    /// A `[` without its `]`.
    #[error("the `[` is never closed")]
    Unclosed,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    Character(char),
    One,
    Run,
    Set(Set),
}

impl Token {
    /// Whether it matches this one character; a run does not.
    fn matches(&self, character: char) -> bool {
        match self {
            Self::Character(own) => *own == character,
            Self::One => true,
            Self::Run => false,
            Self::Set(set) => set.matches(character),
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Set {
    /// Reads from behind the `[`; also says how many bytes it took, the `]` included.
    fn parse(text: &str) -> Result<(Self, usize), PatternProblem> {
        if text.starts_with('^') {
            return Err(PatternProblem::Caret);
        }
        let negated = text.starts_with('!');
        let mut rest = text[usize::from(negated)..].chars();
        let mut ranges = Vec::new();
        loop {
            let low = rest.next().ok_or(PatternProblem::Unclosed)?;
            match low {
                ']' if !ranges.is_empty() => {
                    let length = text.len() - rest.as_str().len();
                    return Ok((Self { negated, ranges }, length));
                }
                '[' if rest.as_str().starts_with([':', '=', '.']) => return Err(PatternProblem::Class),
                _ => {}
            }
            let mut ahead = rest.clone();
            let high = match (ahead.next(), ahead.next()) {
                (Some('-'), Some(high)) if high != ']' => {
                    rest = ahead;
                    high
                }
                _ => low,
            };
            if high < low {
                return Err(PatternProblem::Range);
            }
            ranges.push((low, high));
        }
    }

    fn matches(&self, character: char) -> bool {
        self.negated != self.ranges.iter().any(|(low, high)| (low..=high).contains(&&character))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_lists_as_0_3_4_does() {
        let whitelist = Whitelist::parse(["DB_URL  PASSWORD\n", "", "\tTOKEN\x0bKEY\x0c\rÜ\u{a0}"]).expect("names");
        for name in ["DB_URL", "PASSWORD", "TOKEN", "KEY", "Ü\u{a0}"] {
            assert!(whitelist.allows(name), "{name}");
        }
        for name in ["", "DB_UR", "DB_URLS", "db_url", "Ü", "*"] {
            assert!(matches!(whitelist.refusal(name), Some(Refusal::Absent)), "{name}");
        }
        assert!(!Whitelist::parse([""]).expect("nothing").allows("A"));
        assert!(!Whitelist::default().allows("A"));
    }

    #[test]
    fn matches_globs() {
        for (glob, yes, no) in [
            ("*", &["", "A", "Ü"][..], &[][..]),
            ("DB_*", &["DB_", "DB_URL", "DB_*"], &["DB", "XDB_URL"]),
            ("*_URL", &["DB_URL", "_URL_URL"], &["DB_URLS"]),
            ("A*B*C", &["ABC", "AxBxBxC", "ABCBC"], &["AB", "ABCx", "xABC"]),
            ("A**", &["A", "AB"], &["B"]),
            ("?", &["A", "Ü", "?"], &["", "AB"]),
            ("K?Y", &["KEY", "KÜY"], &["KY", "KEEY"]),
            ("[abc]", &["a", "c", "[abc]"], &["d", "", "ab"]),
            ("K[0-9A]", &["K0", "K9", "KA"], &["KB", "K-"]),
            ("[!x]", &["a", "!"], &["x", ""]),
            ("[!a-c-]", &["d"], &["b", "-"]),
            ("[]a]", &["]", "a"], &["[", "b"]),
            ("[!]a]", &["b"], &["]", "a"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[-a]", &["a", "-"], &["b"]),
            ("[a!^]", &["a", "!", "^"], &["b"]),
            ("[*]", &["*"], &["a"]),
            ("[[]", &["["], &["]"]),
            ("[ä-ü]", &["ö"], &["a"]),
            (r"\*", &[r"\", r"\a"], &["a", "*"]),
        ] {
            let pattern = Pattern::parse(glob).expect(glob);
            assert!(pattern.is_glob());
            assert_eq!(pattern.as_str(), glob);
            for name in yes {
                assert!(pattern.matches(name), "{glob} must match {name}");
            }
            for name in no {
                assert!(!pattern.matches(name), "{glob} must not match {name}");
            }
        }
        assert!(!Pattern::parse("A-]!^").expect("name").is_glob());
    }

    #[test]
    fn refuses_malformed_globs() {
        for (glob, message, hint) in [
            ("A[", "glob A[: the `[` is never closed", "close it; [[] matches a ["),
            ("[]", "glob []: the `[` is never closed", "close it"),
            ("[!]", "glob [!]: the `[` is never closed", "close it"),
            ("[a-", "glob [a-: the `[` is never closed", "close it"),
            (
                "[z-a]",
                "glob [z-a]: a range in `[...]` ends before it begins",
                "write the lower character first",
            ),
            ("[^a]", "glob [^a]: `[^` has no meaning", "write [!...]"),
            (
                "[[:alpha:]]",
                "glob [[:alpha:]]: classes such as `[:alpha:]` are not understood",
                "write the characters themselves",
            ),
            ("\u{202e}[", "glob \\u{202e}[: the `[` is never closed", "close it"),
        ] {
            let error = Whitelist::parse(["OK", glob]).expect_err(glob);
            assert_eq!(error.to_string(), message);
            assert!(error.hint().starts_with(hint), "{}", error.hint());
        }
    }

    #[test]
    fn a_name_that_can_run_code_must_be_named() {
        let whitelist = Whitelist::parse(["*", "L*", "PATH"]).expect("patterns");
        assert!(whitelist.allows("DB_URL"));
        assert!(whitelist.allows("PATH"));
        for name in [
            "LD_PRELOAD",
            "BASH_ENV",
            "NODE_OPTIONS",
            "AWS_CONFIG_FILE",
            "https_proxy",
            "GIT_*",
        ] {
            let Some(Refusal::Dangerous { glob, row }) = whitelist.refusal(name) else {
                panic!("{name}")
            };
            assert_eq!(glob.as_str(), "*");
            assert!(row.matches(name));
        }
        assert!(Whitelist::parse(["LD_PRELOAD"]).expect("name").allows("LD_PRELOAD"));
        assert!(matches!(
            Whitelist::parse(["DB_*"]).expect("glob").refusal("LD_PRELOAD"),
            Some(Refusal::Absent)
        ));
    }

    #[test]
    fn matches_in_time() {
        let pattern = Pattern::parse(&"*A".repeat(200)).expect("glob");
        let name = format!("{}B", "A".repeat(20_000));
        let start = Instant::now();
        assert!(!pattern.matches(&name));
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(glob in r"([*?AÜ]|\[!?[AB]\]){0,8}", name in "[ABÜ]{0,8}") {
            let pattern = Pattern::parse(&glob).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(pattern.matches(&name), model(&pattern.tokens, &name.chars().collect::<Vec<_>>()));
        }

        #[test]
        fn never_panics(glob in r"([-*?!^\[\]:AÜ]|.){0,12}", name: String) {
            let _unused = Pattern::parse(&glob).map(|pattern| pattern.matches(&name));
        }
    }

    /// What a glob means, by recursion; as slow as it is plain.
    fn model(tokens: &[Token], name: &[char]) -> bool {
        match (tokens, name) {
            ([], _) => name.is_empty(),
            ([Token::Run, rest @ ..], _) => (0..=name.len()).any(|taken| model(rest, &name[taken..])),
            ([single, rest @ ..], [first, others @ ..]) => single.matches(*first) && model(rest, others),
            _ => false,
        }
    }
}
