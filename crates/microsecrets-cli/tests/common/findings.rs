//! What `doctor --format json` printed.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![allow(unreachable_pub, missing_docs)]

use serde_json::Value;

use crate::common::Outcome;

pub struct Findings(Vec<Value>);

impl Findings {
    /// The findings, each of which has all that it needs; the status says whether one is a failure.
    #[track_caller]
    pub fn of(outcome: &Outcome) -> Self {
        let all: Vec<Value> = serde_json::from_str(&outcome.raw_stdout())
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", outcome.raw_stdout(), outcome.stderr));
        let findings = Self(all);
        for finding in &findings.0 {
            let is_ok = finding["level"] == "ok";
            assert!(
                !text(finding, "says").is_empty() && !text(finding, "check").is_empty(),
                "{finding}"
            );
            assert_eq!(finding["why"].is_string(), !is_ok, "{finding}");
            assert_eq!(finding["mend"].is_string(), !is_ok, "{finding}");
        }
        let failed = findings.0.iter().any(|finding| finding["level"] == "failure");
        outcome.ends(i32::from(failed));
        findings
    }

    /// The checks that are not ok, with their levels, in order.
    pub fn sick(&self) -> Vec<(&str, &str)> {
        let sick = self.0.iter().filter(|finding| finding["level"] != "ok");
        sick.map(|finding| (text(finding, "level"), text(finding, "check")))
            .collect()
    }

    /// All checks there were, in order.
    pub fn checks(&self) -> Vec<&str> {
        self.0.iter().map(|finding| text(finding, "check")).collect()
    }

    #[track_caller]
    pub fn are_ok(&self) -> &Self {
        let sick: Vec<_> = self.0.iter().filter(|finding| finding["level"] != "ok").collect();
        assert!(sick.is_empty(), "{sick:#?}");
        self
    }

    /// A check was made, and found nothing.
    #[track_caller]
    pub fn is_ok(&self, check: &str) -> &Self {
        let found: Vec<_> = self.0.iter().filter(|finding| finding["check"] == check).collect();
        assert!(!found.is_empty(), "{check} was not checked");
        assert!(found.iter().all(|finding| finding["level"] == "ok"), "{found:#?}");
        self
    }

    /// Only this is not ok; answers it.
    #[track_caller]
    pub fn only(&self, level: &str, check: &str) -> Found<'_> {
        assert_eq!(self.sick(), [(level, check)], "{:#?}", self.0);
        self.one(level, check)
    }

    /// The one finding of a check that is not ok.
    #[track_caller]
    pub fn one(&self, level: &str, check: &str) -> Found<'_> {
        let is_sick = |finding: &&Value| finding["check"] == check && finding["level"] != "ok";
        let found: Vec<_> = self.0.iter().filter(is_sick).collect();
        assert_eq!(found.len(), 1, "{check}: {:#?}", self.0);
        assert_eq!(found[0]["level"], level, "{:#?}", found[0]);
        Found(found[0])
    }
}

/// One finding.
#[derive(Clone, Copy)]
pub struct Found<'a>(&'a Value);

impl<'a> Found<'a> {
    /// It says these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(text(self.0, "says").contains(words), "{}", self.0);
        self
    }

    /// What it says mends it.
    pub fn mend(self) -> &'a str {
        text(self.0, "mend")
    }

    /// It names these words as what mends it.
    #[track_caller]
    pub fn is_mended_by(self, words: &str) -> Self {
        assert!(self.mend().contains(words), "{}", self.0);
        self
    }

    /// It names the IAM statement that is missing.
    #[track_caller]
    pub fn lacks(self, action: &str, resource: &str) -> Self {
        let statement = self
            .mend()
            .split_once("the statement that is missing: ")
            .map(|(_, rest)| rest);
        let statement: Value = serde_json::from_str(statement.unwrap_or_else(|| panic!("{}", self.0))).unwrap();
        assert_eq!(
            (&statement["Effect"], &statement["Action"]),
            (&"Allow".into(), &action.into()),
            "{statement}"
        );
        assert_eq!(statement["Resource"], resource, "{statement}");
        self
    }
}

fn text<'a>(finding: &'a Value, field: &str) -> &'a str {
    finding[field].as_str().unwrap_or_default()
}
