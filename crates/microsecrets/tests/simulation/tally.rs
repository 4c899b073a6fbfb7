//! What happened in a run, or in many: so that nobody takes a simulator for thorough that hardly did anything.

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Clone, Default, Debug, PartialEq, Eq)]
        pub(crate) struct Tally {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        impl std::ops::AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

tally! {
    requests,
    committed,
    refused,
    killed,
    by_legacy,
    adopted,
    pruned,
    /// Runs whose writers sign.
    signed,
    /// Heads that holders of a key put.
    signed_heads,
    /// Runs with an attacker, and what he put.
    attacked,
    attacks,
    /// Reads in attacked runs, that were answered and that were refused for a signature.
    believed,
    distrusted,
    /// Writes in attacked runs that a base was refused to.
    distrusted_bases,
    /// Unsigned versions that were shown, accepted and built upon.
    accepted,
    /// Current versions that were signed again.
    re_signed,
    /// Reads that were compared with what was seen before, and those that were refused.
    remembered,
    went_back,
    promoted,
    /// `migrate --apply` and `--finish` that did something.
    applied,
    finished,
}
