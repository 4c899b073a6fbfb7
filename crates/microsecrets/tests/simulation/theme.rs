//! What a run is about: its items, how they begin, and which dangers there are. All of it follows from the seed.

use crate::dice::Dice;

/// What the items are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Environment,
    SmallFile,
    LargeFile,
}

/// How they begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Start {
    Nothing,
    OursTwice,
    LegacyTwice,
    InMigration,
}

const STARTS: [Start; 4] = [Start::Nothing, Start::OursTwice, Start::LegacyTwice, Start::InMigration];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Theme {
    pub(crate) kind: Kind,
    pub(crate) start: Start,
    /// Writers sign, and everybody pins.
    pub(crate) signed: bool,
    /// Somebody who holds no key puts whatever he likes, wherever he likes.
    pub(crate) attacked: bool,
    /// There is another service, whose versions are promoted.
    pub(crate) two: bool,
    /// Most of what is done is about a migration.
    pub(crate) migrating: bool,
    /// Readers remember what they saw in a file.
    pub(crate) remembering: bool,
}

impl Theme {
    /// What a seed is about.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let kind = match dice.below(512) {
            0 => Kind::LargeFile,
            1..192 => Kind::SmallFile,
            _ => Kind::Environment,
        };
        let start = *dice.one_of(&STARTS);
        let signed = dice.once_in(5);
        // What a large file's bytes are is nobody's to forge: they are not in the head.
        let attacked = signed && kind != Kind::LargeFile && dice.once_in(2);
        Self {
            kind,
            start,
            signed,
            attacked,
            two: attacked || dice.once_in(8),
            migrating: dice.once_in(5),
            remembering: signed && dice.once_in(4),
        }
    }

    /// As far as what a run begins with follows from it.
    pub(crate) fn at_the_beginning(self) -> Self {
        Self {
            attacked: false,
            migrating: false,
            remembering: false,
            ..self
        }
    }
}
