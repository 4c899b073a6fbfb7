//! Ways to break a store's word: each must be noticed, or the simulator sees nothing.

/// What the store does wrong.
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
}
