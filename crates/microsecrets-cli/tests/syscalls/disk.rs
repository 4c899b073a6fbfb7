//! Disks that do what disks may: take a few bytes at a time, be interrupted, be full, have a limit.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::common::{Outcome, Run, TestEnvironment, has, skip_aloud};
use crate::trial::Trial;

const PIECES: &str = include_str!("pieces.c");
/// A disk of so many bytes, with what lies in the folder of `$DISK`; that folder gets what is on it in the end. A page of
/// it is taken by a file without a name, since a disk of no bytes would be one without a limit.
const FULL: &str = r#"
    set -e
    mkdir -p -m 700 "$DISK" && cp -a "$DISK" "$DISK.kept"
    mount -t tmpfs -o "size=$SIZE,mode=700" none "$DISK"
    exec 9<>"$DISK/page" && echo >&9 && rm "$DISK/page"
    cp -a "$DISK.kept/." "$DISK" && rm -rf "$DISK.kept"
    status=0
    "$@" || status=$?
    cp -a "$DISK" "$DISK.kept"
    exit $status
"#;
const PAGE: u64 = 4096;
/// How many pages are free, and how many blocks of 512 bytes a file may have: from too few to enough for everything.
const FREE: [u64; 18] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 256, 257, 258, 259, 260, 261, 300, 600];
const LIMITS: [u64; 10] = [0, 1, 2, 3, 6, 8, 100, 2048, 2049, 2200];

impl Trial {
    /// Every read and write moves little, or is interrupted: nobody may notice.
    pub(crate) fn works_in_small_pieces(&self) {
        let library = match PRELOADED.as_ref() {
            Ok(library) => library,
            Err(why) => return skip_aloud(why),
        };
        let (world, run) = self.world();
        let run = run.env("LD_PRELOAD", library).env("PIECES_PROOF", world.path("proof"));
        let mut outcome = run.run();
        if self.needs_room() {
            fs::remove_file(world.path("proof")).expect("something was written in pieces");
        }
        outcome.ends(0);
        assert_eq!(outcome.stderr(), self.stderr());
        self.judge(&world, &mut outcome, false, "in small pieces");
    }

    /// On a disk that is full sooner or later.
    pub(crate) fn works_or_fails_on_a_full_disk(&self) {
        if !may_mount() {
            return skip_aloud("no disk may be mounted here; NONE was filled");
        }
        self.works_in_the_end("pages are free", &FREE, |world, run, pages| {
            let disk = world.path(self.disk());
            let run = run
                .env("DISK", &disk)
                .env("SIZE", (taken(&disk) + (pages + 1) * PAGE).to_string())
                .by_way_of("unshare", &["-rm", "sh", "-c", FULL, "sh"]);
            let outcome = run.run();
            let kept = disk.with_extension("kept");
            assert!(kept.exists(), "there was no such disk: {}", outcome.stderr);
            fs::remove_dir_all(&disk).unwrap();
            fs::rename(kept, disk).unwrap();
            outcome
        });
    }

    /// Where the shell has said how large a file may be: no signal may end it without a word.
    pub(crate) fn works_or_fails_where_files_have_a_limit(&self) {
        self.works_in_the_end("blocks a file may have", &LIMITS, |_, run, blocks| {
            run.through(&format!("ulimit -f {blocks}; exec \"$@\"")).run()
        });
    }

    /// With less than it needs it fails, each time in one of the ways that are allowed, and with enough it works.
    fn works_in_the_end(&self, what: &str, rooms: &[u64], go: impl Fn(&TestEnvironment, Run, u64) -> Outcome) {
        let mut failures = 0;
        for room in rooms {
            let (world, run) = self.world();
            let mut outcome = go(&world, run, *room);
            let has_worked = outcome.status.success() && outcome.stderr() == self.stderr();
            failures += usize::from(!outcome.status.success());
            self.judge(&world, &mut outcome, false, &format!("{room} {what}"));
            if has_worked {
                assert_eq!(failures > 0, self.needs_room(), "it never had too little");
                return;
            }
        }
        panic!("it had not enough in the end");
    }
}

/// The library that is preloaded, or why there is none.
static PRELOADED: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join("pieces.so");
    // Another run of these tests may be at it, too.
    let new = folder.join(format!("pieces-{}.so", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-x", "c", "-o"]).arg(&new).arg("-");
    let mut child = match cc.stdin(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            return Err(format!(
                "there is no C compiler ({error}); NOTHING was written in pieces"
            ));
        }
    };
    child.stdin.take().unwrap().write_all(PIECES.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "pieces.c does not compile");
    fs::rename(new, &library).unwrap();
    Ok(library)
});

/// Whether this user may mount a disk that nobody else sees.
fn may_mount() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]);
    has("unshare")
        && probe
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// How many bytes of a disk the files in a folder take.
fn taken(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of_entry = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => taken(&entry.path()),
        metadata => metadata.size().div_ceil(PAGE) * PAGE,
    };
    entries.map(|entry| of_entry(entry.unwrap())).sum()
}
