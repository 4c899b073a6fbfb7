//! Whether a command that was disturbed did everything, or failed as a whole.

use fault_proxy::{Fault, Seen};

use crate::commands::{Command, Kind};
use crate::common::Outcome;
use crate::kinds::{Disturbance, May};
use crate::world::{Effect, World};

/// A command when nothing goes wrong.
pub(crate) struct Undisturbed {
    pub(crate) seen: Seen,
    /// Only what examines has another one than 0.
    status: i32,
    printed: String,
    before: Effect,
    after: Effect,
}

impl Undisturbed {
    #[track_caller]
    pub(crate) fn of(world: &World, command: &Command) -> Self {
        world.put_back();
        let before = world.effect();
        world.proxy.plan(None);
        let outcome = world.run(command, &[]);
        let seen = world.proxy.seen();
        let status = outcome.status.code().unwrap();
        let is_fine = status == 0 || command.kind == Kind::Examines;
        assert!(is_fine, "{:?}: {}", command.arguments, outcome.stderr);
        assert!(seen.requests > 0, "{:?} asks nothing", command.arguments);
        let (printed, after) = (world.redact(&outcome.table()), world.effect());
        assert_eq!(before != after, command.kind == Kind::Writes, "{:?}", command.arguments);
        Self {
            seen,
            status,
            printed,
            before,
            after,
        }
    }
}

/// Judges what came of a disturbance; answers whether the command succeeded.
#[track_caller]
pub(crate) fn judge(
    world: &World,
    command: &Command,
    undisturbed: &Undisturbed,
    disturbance: &Disturbance,
    outcome: &Outcome,
) -> bool {
    if command.kind == Kind::Examines {
        return examined(world, undisturbed, outcome);
    }
    let succeeded = outcome.status.success();
    if succeeded {
        did_everything(world, command, undisturbed, outcome);
    } else {
        failed_cleanly(world, command, disturbance, outcome);
        is_old_or_new(undisturbed, &world.effect(), outcome);
    }
    if !succeeded {
        let now = world.effect();
        if now.set_up {
            // The policy that was put refuses everything but TLS from now on, so also this proxy.
            return false;
        }
        let again = world.run(command, &[]);
        let status = again.status.code();
        assert_eq!(status, Some(0), "again: {}\nafter: {}", again.stderr, outcome.stderr);
        is_done_once(undisturbed, &now, &world.effect(), outcome);
    }
    succeeded
}

/// What examines found the same, or said what it could not look at; never that all is well.
#[track_caller]
fn examined(world: &World, undisturbed: &Undisturbed, outcome: &Outcome) -> bool {
    let status = outcome.status.code().unwrap_or(-1);
    let said = format!("{}{}", outcome.raw_stdout(), outcome.stderr);
    let same = world.redact(&outcome.table()) == undisturbed.printed && status == undisturbed.status;
    let tells = [1, 6, 7].contains(&status)
        || ["warning", "(get ", "(kms:", "is not trusted)", "is not valid)"]
            .iter()
            .any(|word| said.contains(word));
    assert!(same || tells, "status {status}: {said}");
    assert_eq!(world.effect(), undisturbed.before);
    same
}

#[track_caller]
fn did_everything(world: &World, command: &Command, undisturbed: &Undisturbed, outcome: &Outcome) {
    let said = &outcome.stderr;
    if command.kind != Kind::Writes {
        assert_eq!(world.redact(&outcome.table()), undisturbed.printed, "{said}");
    }
    let effect = world.effect();
    assert_eq!(effect.heads, undisturbed.after.heads, "{said}");
    // What comes after the commit may be missing, but that is said.
    if !said.contains("warning: ") {
        assert_eq!(effect, undisturbed.after, "{said}");
    }
    left_files(world, command, true);
}

/// The files that a command leaves: all of what it is for, or nothing at all.
#[track_caller]
fn left_files(world: &World, command: &Command, succeeded: bool) {
    let starts = command.kind == Kind::Starts;
    assert_eq!(world.machine.exists("started"), starts && succeeded, "started");
    let files = std::fs::read_dir(world.machine.path("placed")).unwrap().count();
    match command.kind {
        Kind::Places(size) if succeeded => {
            assert!(world.machine.read("placed/file") == vec![7; size], "another file");
            assert_eq!(files, 1, "more than the file");
        }
        Kind::Starts if succeeded => (),
        _ => assert_eq!(files, 0, "a file was left"),
    }
}

#[track_caller]
fn failed_cleanly(world: &World, command: &Command, disturbance: &Disturbance, outcome: &Outcome) {
    let status = outcome.status.code().unwrap_or(-1);
    let said = &outcome.stderr;
    let (unavailable, distrusted, refused) = match command.kind {
        Kind::Starts => (124, 122, 125),
        _ => (7, 6, 1),
    };
    // S3 doesn't say in an answer to HEAD which 400 it is.
    let asks_the_head = [": head ", "s3:ListBucket of "]
        .iter()
        .any(|words| said.contains(words));
    let is_head = asks_the_head && matches!(disturbance.fault, Fault::Answer(400, _));
    // An error whose body was damaged is one that nobody knows.
    let is_unknown = disturbance.may == May::Distrust && said.contains("unexpected answer 404");
    let sets_up = command.arguments[0] == "setup";
    let may: &[i32] = match disturbance.may {
        _ if is_head || is_unknown => &[refused],
        // It goes on with the rest, and sums up; and a bucket that an answer made it believe in is missed later (3).
        _ if sets_up && disturbance.may != May::Succeed => &[unavailable, distrusted, refused, 3],
        May::Succeed => &[],
        May::BeUnavailable => &[unavailable],
        May::Distrust => &[unavailable, distrusted],
        May::BeRefused => &[unavailable, distrusted, refused],
    };
    assert!(may.contains(&status), "status {status}: {said}");
    if command.kind == Kind::Writes {
        // It has shown what it was about to do.
        let start = said.find("error: ").unwrap();
        assert!(said[..start].ends_with('\n') || start == 0, "{said}");
    } else {
        outcome.is_well_formed();
        assert_eq!(outcome.raw_stdout(), "", "{said}");
    }
    left_files(world, command, false);
}

/// Nothing but one version came, and that one whole.
#[track_caller]
fn is_old_or_new(undisturbed: &Undisturbed, effect: &Effect, outcome: &Outcome) {
    let Undisturbed { before, after, .. } = undisturbed;
    let heads = &effect.heads;
    assert!(
        heads == &before.heads || heads == &after.heads,
        "{heads:?}: {}",
        outcome.stderr
    );
}

/// The second attempt did what the first one had not done: the content is there, in one version or, when the first one
/// had been committed, in two.
#[track_caller]
fn is_done_once(undisturbed: &Undisturbed, between: &Effect, now: &Effect, outcome: &Outcome) {
    let after = &undisturbed.after;
    let was_done = between.heads == after.heads && undisturbed.before.heads != after.heads;
    for (key, (number, content)) in &after.heads {
        let (own, own_content) = &now.heads[key];
        assert_eq!(own_content, content, "{key}: {}", outcome.stderr);
        let most = number + u64::from(was_done);
        assert!(
            (*number..=most).contains(own),
            "{key}: {own} after {number}: {}",
            outcome.stderr
        );
    }
    assert_eq!(now.set_up, after.set_up, "{}", outcome.stderr);
}
