//! Many writers, stopped writers, killed writers.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

const THREADS: usize = 32;

/// Runs the same on many threads that begin together.
fn together<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    })
}

#[test]
fn of_many_writers_one_wins_each_round() {
    let place = Place::new();
    let shared = place.open();
    let mut etag = None;
    for round in 0..8 {
        let outcomes = together(|number| {
            // Half of them as other processes would: with a store of their own.
            let own = (number % 2 == 0).then(|| place.open());
            let store = own.as_ref().unwrap_or(&shared);
            let content = format!("{round} {number}");
            let request = match &etag {
                None => new(KEY, content.as_bytes()),
                Some(etag) => over(KEY, content.as_bytes(), etag),
            };
            run(store.put(request)).map(|stored| (stored.etag, content))
        });
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        for loser in lost {
            assert_eq!(kind(loser), ErrorKind::PreconditionFailed);
        }
        let (winner, content) = won.into_iter().next().expect("one").expect("it won");
        assert_eq!(get(&shared, KEY).expect("it is there"), content.as_bytes());
        etag = Some(winner);
    }
    assert_eq!(place.leftovers(), 0);
}

#[test]
fn of_many_makers_of_a_store_one_makes_it() {
    let place = Place::new();
    let ids = together(|number| {
        let store = place.open();
        put(&store, &format!("services/api/log/environment/{number:08}"), b"x");
        store.bucket().to_owned()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(fs::read_dir(place.identities()).expect("a folder").count(), 1);
    let page = run(place.open().list(List::prefix("services/"))).expect("a page");
    assert_eq!(page.entries.len(), THREADS);
}

#[test]
fn a_reader_sees_the_old_object_or_the_new_one_whole() {
    let place = Place::new();
    let store = place.open();
    let content = |round: u8| vec![round; 100_000 + usize::from(round)];
    let mut etag = put(&store, KEY, &content(0));
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            let mut last = 0;
            while done.load(Ordering::Relaxed) == 0 {
                let bytes = get(&store, KEY).expect("never absent, never torn");
                assert!(bytes == content(bytes[0]));
                assert!(bytes[0] >= last);
                last = bytes[0];
                reads += 1;
            }
            reads
        });
        for round in 1..60 {
            etag = run(store.put(over(KEY, &content(round), &etag)))
                .expect("no rival")
                .etag;
        }
        done.store(1, Ordering::Relaxed);
        assert!(reader.join().expect("no panic") > 0);
    });
}

#[test]
fn a_lock_that_is_not_given_back_ends_in_a_time_out() {
    let place = Place::new();
    place.open();
    let settings = place
        .settings()
        .policy(RetryPolicy::with_timeout(Duration::from_millis(1500)));
    let store = run(FolderStore::open(settings, Access::Write)).expect("a store");
    let lock = fs::File::open(place.dir().join(".microsecrets/lock")).expect("the lock");
    lock.lock().expect("it is free");
    let error = run(store.put(new(KEY, b"x"))).expect_err("another has the lock");
    assert_eq!(error.kind, ErrorKind::TimedOut { seconds: 1 });
    assert!(!error.maybe_applied);
    assert_eq!(
        place.told(&error),
        "put services/api/head/environment: no answer for 1 s: another process holds the lock \
         TOP/secrets/.microsecrets/lock"
    );
    assert_eq!(place.leftovers(), 0);
    drop(lock);
    put(&store, KEY, b"x");
}

#[test]
fn readers_and_large_writes_do_not_hold_each_other_up() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, b"x");
    let lock = fs::File::open(place.dir().join(".microsecrets/lock")).expect("the lock");
    lock.lock().expect("it is free");
    assert_eq!(get(&store, KEY).expect("no lock is needed"), b"x");
    run(store.list(List::prefix(""))).expect("no lock is needed");
    // What is not going to happen is known before the lock.
    assert_eq!(kind(run(store.put(new(KEY, b"y")))), ErrorKind::PreconditionFailed);
}

#[test]
fn what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not() {
    let place = Place::new();
    let scratch = place.dir().join(".microsecrets/tmp");
    put(&place.open(), "a", b"x");
    fs::write(scratch.join("dead"), "half").expect("a file");
    fs::write(scratch.join("alive"), "half").expect("a file");
    let alive = fs::File::open(scratch.join("alive")).expect("a file");
    alive.lock().expect("it is free");

    // It died before its rename: nobody sees anything of it.
    let store = place.open();
    assert_eq!(keys(&run(store.list(List::prefix(""))).expect("a page")), ["a"]);
    put(&store, "b", b"x");
    assert!(!scratch.join("dead").exists());
    assert!(scratch.join("alive").exists());
    drop(alive);
    put(&place.open(), "c", b"x");
    assert_eq!(place.leftovers(), 0);
}

const VICTIM: &str = "MICROSECRETS_TEST_VICTIM";

#[test]
fn writers_that_are_killed_at_any_moment_do_no_harm() {
    let place = Place::new();
    let mut etag = put(&place.open(), KEY, b"0");
    for round in 0..12 {
        let mut victim = std::process::Command::new(std::env::current_exe().expect("these tests"))
            .args(["--exact", "store::folder::tests::turns::victim"])
            .env(VICTIM, place.top.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        // Until it is in the middle of things.
        let begun = std::time::Instant::now();
        while run(place.open().get(Get::attributes(KEY))).expect("never absent").etag == etag {
            assert!(begun.elapsed() < Duration::from_secs(60), "it writes nothing");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(700 * round));
        victim.kill().expect("it runs");
        victim.wait().expect("it ran");

        let store = place.open();
        let object = run(store.get(Get::attributes(KEY))).expect("never absent");
        let content = get(&store, KEY).expect("never torn");
        assert_eq!(content.len() % 70_001, 0);
        etag = run(store.put(over(KEY, &content, &object.etag)))
            .expect("the lock is free")
            .etag;
        assert_eq!(place.leftovers(), 0);
    }
}

/// What the test above starts, as a process that writes until it is killed; nothing by itself.
#[test]
fn victim() {
    let Some(top) = std::env::var_os(VICTIM).map(PathBuf::from) else {
        return;
    };
    let settings = FolderSettings::new(top.join("secrets"), top.join("config/identities"));
    let store = run(FolderStore::open(settings, Access::Write)).expect("a store");
    for size in (1..).map(|round| round % 4) {
        let etag = run(store.get(Get::attributes(KEY))).expect("never absent").etag;
        run(store.put(over(KEY, &vec![b'x'; size * 70_001], &etag))).expect("no rival");
    }
}
