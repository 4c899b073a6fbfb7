//! What differs between two environments.

use std::collections::BTreeMap;

use crate::document::Variables;
use crate::secret::SecretString;

/// How a variable differs.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Change<'v> {
    /// Only the second environment has it.
    Added(&'v SecretString),
    /// Both have it, with different values.
    Changed(&'v SecretString, &'v SecretString),
    /// Only the first environment has it.
    Removed(&'v SecretString),
}

impl<'v> Change<'v> {
    fn between(before: Option<&'v SecretString>, after: Option<&'v SecretString>) -> Option<Self> {
        match (before, after) {
            (None, Some(after)) => Some(Self::Added(after)),
            (Some(before), None) => Some(Self::Removed(before)),
            (Some(before), Some(after)) if before.expose() != after.expose() => Some(Self::Changed(before, after)),
            _ => None,
        }
    }

    /// The value that the second environment has.
    pub fn after(self) -> Option<&'v SecretString> {
        match self {
            Self::Added(after) | Self::Changed(_, after) => Some(after),
            Self::Removed(_) => None,
        }
    }
}

/// The variables that differ, by name.
pub struct Difference<'v>(Vec<(&'v str, Change<'v>)>);

impl<'v> Difference<'v> {
    /// What leads from one environment to another.
    pub fn between(before: &'v Variables, after: &'v Variables) -> Self {
        let mut by_name: BTreeMap<&str, (Option<&SecretString>, Option<&SecretString>)> = BTreeMap::new();
        for (name, value) in before.iter() {
            by_name.entry(name).or_default().0 = Some(value);
        }
        for (name, value) in after.iter() {
            by_name.entry(name).or_default().1 = Some(value);
        }
        let changes = by_name
            .into_iter()
            .filter_map(|(name, (before, after))| Some((name, Change::between(before, after)?)));
        Self(changes.collect())
    }

    /// The variables that differ, in the order of their names.
    pub fn changes(&self) -> impl Iterator<Item = (&'v str, Change<'v>)> {
        self.0.iter().copied()
    }

    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::new((*value).to_owned())));
        Variables::new(pairs.collect()).expect("variables")
    }

    #[test]
    fn a_difference_names_what_was_added_changed_and_removed() {
        let before = variables(&[("KEPT", "1"), ("Z", "old"), ("GONE", "1")]);
        let after = variables(&[("NEW", "1"), ("Z", "new"), ("KEPT", "1")]);
        let difference = Difference::between(&before, &after);
        let said: Vec<String> = difference
            .changes()
            .map(|(name, change)| match change {
                Change::Added(after) => format!("+{name}={}", after.expose()),
                Change::Changed(before, after) => format!("~{name}={}>{}", before.expose(), after.expose()),
                Change::Removed(before) => format!("-{name}={}", before.expose()),
            })
            .collect();
        assert_eq!(said, ["-GONE=1", "+NEW=1", "~Z=old>new"]);
    }

    #[test]
    fn order_is_no_difference() {
        let (one, other) = (
            variables(&[("A", "1"), ("B", "2")]),
            variables(&[("B", "2"), ("A", "1")]),
        );
        assert!(Difference::between(&one, &other).is_empty());
    }
}
