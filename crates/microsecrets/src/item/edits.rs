//! Changing single variables: what was wanted is applied again to whatever base there is, variable by variable.

use std::collections::BTreeMap;

use super::{Base, ItemError, Rival, deleted, is_live};
use crate::diff::Difference;
use crate::document::{DocumentError, Variables};
use crate::layout::Item;
use crate::secret::SecretString;

/// Changes of single variables, to be applied to one base after the other until one is committed: a three-way merge.
pub struct Edits {
    item: Item,
    /// What each variable shall be; `None` when it shall be gone.
    wanted: Vec<(String, Option<SecretString>)>,
    /// What each variable was when the change was made; known from the first base on, or given. One that is not in here
    /// may have been anything.
    original: Option<BTreeMap<String, Option<SecretString>>>,
    /// Whether there was an environment to change: who has changed one does not bring it back after a deletion.
    was_live: bool,
    must_exist: bool,
}

/// What applying edits to a base comes to.
#[non_exhaustive]
pub enum Applied {
    /// The base is already as wanted.
    Nothing,
    /// The new environment.
    Variables(Variables),
}

impl Edits {
    /// Changes whose originals are what the first base holds.
    pub fn new(item: Item, wanted: Vec<(String, Option<SecretString>)>) -> Self {
        Self {
            item,
            wanted,
            original: None,
            was_live: false,
            must_exist: false,
        }
    }

    /// The changes that lead from one environment to another, made by somebody who saw the first; `None` when there was
    /// none.
    pub fn between(item: Item, before: Option<&Variables>, after: &Variables) -> Self {
        let (was_live, none) = (before.is_some(), Variables::default());
        let before = before.unwrap_or(&none);
        let difference = Difference::between(before, after);
        let wanted = difference
            .changes()
            .map(|(name, change)| (name.to_owned(), change.after().map(SecretString::duplicate)))
            .collect::<Vec<_>>();
        let original = Some(originals(&wanted, before));
        Self {
            original,
            was_live,
            ..Self::new(item, wanted)
        }
    }

    /// A variable that shall be gone must be there in the first base: its name may be a slip of the keyboard.
    pub fn must_exist(self) -> Self {
        Self {
            must_exist: true,
            ..self
        }
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Lets a variable become what is wanted, whatever somebody else has made of it meanwhile.
    pub fn overwrite(&mut self, name: &str) {
        if let Some(original) = &mut self.original {
            original.remove(name);
        }
    }

    /// Applies the changes to a base. Only a variable that somebody else has changed since, to something else than what
    /// is wanted, stands in the way; and a deletion.
    pub fn apply(&mut self, base: &Base<'_>) -> Result<Applied, ItemError> {
        let none = Variables::default();
        let variables = base.document().map_or(&none, |document| &document.variables);
        let is_live = base.record().is_some_and(is_live);
        if self.original.is_none() {
            self.check_there(base, variables)?;
            self.was_live = is_live;
        }
        if let (true, false, Some(record)) = (self.was_live, is_live, base.record()) {
            let item = self.item.clone();
            return Err(ItemError::Conflict {
                item,
                by: Rival::of(record),
            });
        }
        let original = self.original.get_or_insert_with(|| originals(&self.wanted, variables));
        let mut pairs = variables.duplicate().into_pairs();
        let mut changed = false;
        for (name, wanted) in &self.wanted {
            let now = variables.value(name).map(SecretString::expose);
            if now == wanted.as_ref().map(SecretString::expose) {
                continue;
            }
            let is_known = |original: &Option<SecretString>| original.as_ref().map(SecretString::expose) == now;
            if original.get(name).is_some_and(|original| !is_known(original)) {
                return Err(ItemError::Clash {
                    item: self.item.clone(),
                    name: name.clone(),
                    by: base.record().map(Rival::of),
                });
            }
            changed = true;
            put(&mut pairs, name, wanted.as_ref());
        }
        if !changed {
            return Ok(Applied::Nothing);
        }
        let variables = Variables::new(pairs).map_err(|source| ItemError::NewDocument {
            source: DocumentError::Variable(source),
        })?;
        Ok(Applied::Variables(variables))
    }

    fn check_there(&self, base: &Base<'_>, variables: &Variables) -> Result<(), ItemError> {
        match base.record() {
            Some(record) if self.must_exist && !is_live(record) => return Err(deleted(&self.item, record)),
            _ => {}
        }
        let missing = |(name, wanted): &&(String, _)| Option::is_none(wanted) && variables.value(name).is_none();
        match self.wanted.iter().find(missing) {
            Some((name, _)) if self.must_exist => Err(ItemError::NoSuchVariable {
                item: self.item.clone(),
                name: name.clone(),
            }),
            _ => Ok(()),
        }
    }
}

fn originals(
    wanted: &[(String, Option<SecretString>)],
    variables: &Variables,
) -> BTreeMap<String, Option<SecretString>> {
    let value = |name: &str| variables.value(name).map(SecretString::duplicate);
    wanted.iter().map(|(name, _)| (name.clone(), value(name))).collect()
}

/// Sets a variable in its place, or at the end; removes it when there is no value.
fn put(pairs: &mut Vec<(String, SecretString)>, name: &str, value: Option<&SecretString>) {
    let position = pairs.iter().position(|(candidate, _)| candidate == name);
    match (position, value) {
        (Some(position), Some(value)) => pairs[position].1 = value.duplicate(),
        (Some(position), None) => {
            pairs.remove(position);
        }
        (None, Some(value)) => pairs.push((name.to_owned(), value.duplicate())),
        (None, None) => {}
    }
}
