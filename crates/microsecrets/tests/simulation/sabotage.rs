//! Ways to break a store's word, or to leave out what a program of ours does: each must be noticed, or the simulator sees
//! nothing.

/// What is done wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sabotage {
    /// `If-Match` of heads is not looked at: two writers with one base both win.
    HeadsIgnoreIfMatch,
    /// `If-None-Match: *` of heads is not looked at: two first writes both win.
    FirstHeadsIgnoreIfNoneMatch,
    /// A put of a head is answered with 200, but not done: an acknowledged write is lost.
    HeadsAreNotKept,
    /// An answer that was lost counts as a certain failure: a committed write is called a failure.
    LostAnswersAreFailures,
    /// A delete hits the greatest version, whatever it names: a loser, or a prune, removes the current one.
    DeletesHitTheGreatest,
    /// Our marks are not kept: what is not committed is taken for 0.3.4's.
    MarksAreNotKept,
    /// Heads are answered as they were one commit ago: an acknowledged write is not visible.
    HeadsAreStale,
    /// Listings leave out their last key: a write of 0.3.4 is passed over in silence.
    ListingsEndEarly,
    /// A log entry is put for another number than it is about: a number means two versions.
    LogEntriesAreShifted,
    /// Listings of who ends a migration leave out their last key: a late write of 0.3.4 is passed over in silence.
    LateWritesAreHidden,
    /// Who promotes is answered the source's head as it was one commit ago.
    PromotesAreStale,
    /// Readers do not look who signed what they read.
    SignaturesAreNotVerified,
    /// Writers accept what nobody signed, and nobody was shown it.
    UnsignedIsAcceptedUnasked,
    /// Readers with a state file do not compare what they read with it.
    StateIsIgnored,
}
