//! Every command that the program has, when nothing is wrong, however much it is asked to tell.

use std::collections::BTreeSet;

use crate::calls::{self, Help, Verbosity, calls};
use crate::worlds::World;

/// Runs every call in new worlds, one for each verbosity. Every command must have done what it is for.
#[track_caller]
#[allow(clippy::print_stderr)]
fn all_hide(make: fn() -> World, verbosities: &[Verbosity], refused: &str) {
    let mut runs = 0;
    for verbosity in verbosities {
        let world = make();
        let calls = calls(&world);
        let help = Help::of(&world, &calls);
        let mut failed: BTreeSet<String> = BTreeSet::new();
        let mut succeeded = BTreeSet::new();
        for call in &calls {
            let what = format!("{call} {verbosity}");
            let outcome = call.run(&world, &help, verbosity).run();
            world.hides(&outcome, call.shows, &what);
            if call.shows {
                assert!(world.secret.is_in(&outcome.stdout), "{what}: does not show it");
            }
            let ended = if outcome.status.success() {
                &mut succeeded
            } else {
                &mut failed
            };
            ended.insert(call.command.join(" "));
            // The contract that `setup` makes is not for the commands that follow.
            std::fs::remove_file(world.machine().path("microsecrets.toml")).ok();
            runs += 1;
        }
        world.left_nothing(verbosity);
        let never: Vec<_> = failed.difference(&succeeded).collect();
        assert_eq!(never, [refused], "{verbosity}");
    }
    eprintln!("{runs} runs");
}

#[test]
fn on_a_folder_show_no_secret() {
    let verbosities = [
        calls::PLAIN,
        calls::QUIET,
        calls::VERBOSE,
        calls::DEBUG,
        calls::JSON,
        calls::ALL,
    ];
    all_hide(World::folder, &verbosities, "policy");
}

#[test]
fn on_a_bucket_show_no_secret() {
    let verbosities = [calls::PLAIN, calls::QUIET, calls::JSON, calls::ALL];
    all_hide(World::bucket, &verbosities, "signing-key create");
}
