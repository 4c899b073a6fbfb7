//! Every system call of the folder store, and of what places files, goes wrong: the process is killed instead of making
//! it, or it fails. What is seen afterwards is as before or as it shall be, never half; the next run works, and leaves
//! nothing behind.
//!
//! A run is watched with strace first. Each of its calls that has to do with the store, the identities, the destination or
//! the output is then tried in a copy of the same world. A kill comes before the call; the next call's kill is the one
//! after it. An error is answered without making the call, as file systems do it. A short write cannot be had so, since
//! what is not written must not be counted: a preloaded library has the C library's calls move a few bytes at a time.
//! Disks that are full are real ones of some pages, and limits those of the shell.
//!
//! `MICROSECRETS_EVERY_SYSCALL=1` tries every call, with every error. Without it a kill at a call that changes nothing is
//! tried for some, and one error for each call besides EINTR, both by chance (`MICROSECRETS_TEST_SEED`).
//!
//! What SIGKILL leaves and is not removed: the private file of `edit`, which lies in memory, and an identity whose store
//! was not made.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod strace;
mod trial;

use common::{TestEnvironment, has_strace};
use trial::Trial;

macro_rules! tried {
    ($($case:ident)*) => {$(
        mod $case {
            use super::*;

            #[test]
            fn is_killed_at_each_call() {
                if has_strace("NO system call was made to fail") {
                    Trial::new(cases::$case()).is_killed_at_each();
                }
            }

            #[test]
            fn fails_at_each_call() {
                if has_strace("NO system call was made to fail") {
                    Trial::new(cases::$case()).fails_at_each();
                }
            }

            #[test]
            fn works_in_small_pieces() {
                Trial::new(cases::$case()).works_in_small_pieces();
            }

            #[test]
            fn works_or_fails_on_a_full_disk() {
                Trial::new(cases::$case()).works_or_fails_on_a_full_disk();
            }

            #[test]
            fn works_or_fails_where_files_have_a_limit() {
                Trial::new(cases::$case()).works_or_fails_where_files_have_a_limit();
            }
        }
    )*};
}

tried! {
    first_upload second_upload set upload_file upload_large_file delete rollback prune signing_key re_sign migrate
    download download_over with_env with_env_over with_env_state edit
}

/// What is too much for memory is kept in a file before the store is opened.
#[test]
fn a_long_stream_for_which_there_is_no_room_is_not_uploaded() {
    let world = TestEnvironment::new();
    let upload = || world.api(&["upload", "-q", "-f", "blob"]).stdin(vec![1; 9 << 20]);
    let run = upload().through("ulimit -f 1; exec \"$@\"").run();
    run.is_well_formed();
    run.ends(1);
    assert!(!world.exists("store"));
    upload().run().ends(0);
}
