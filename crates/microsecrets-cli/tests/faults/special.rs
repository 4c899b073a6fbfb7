//! What needs a world of its own: TLS, and more than fits into memory.

use std::net::SocketAddr;

use fault_proxy::{Fault, Plan, Proxy};
use microsecrets::checksum::Checksum;
use strict_fake::{Raw, Sse};

use crate::commands::{Command, Kind};
use crate::common::Run;
use crate::common::peak::peak;
use crate::fake::{BUCKET, Place};
use crate::world::World;

/// Any other fault would hide in the encryption; this one comes before it.
#[test]
fn a_reset_after_the_clients_hello_is_tried_again_and_ends_when_it_lasts() {
    let place = Place::new();
    place.upload("A=1\n");
    let proxy = Proxy::start_tls(SocketAddr::from(([127, 0, 0, 1], place.fake.port()))).unwrap();
    let through = |run: Run| run.env("MICROSECRETS_ENDPOINT", format!("https://{}", proxy.address()));
    let plan = |nth, times| {
        proxy.plan(Some(Plan {
            fault: Fault::ResetHandshake,
            nth,
            times,
        }));
    };
    for (arguments, input, unavailable) in [
        (&["with-env", "-a", "--", "touch", "started"][..], "", 124),
        (&["download"], "", 7),
        (&["upload", "-q", "--force"], "A=2\n", 7),
    ] {
        let run = || through(place.microsecrets(arguments)).stdin(input).run();
        proxy.plan(None);
        run().ends(0);
        let connections = proxy.seen().connections;
        assert!(connections > 0);
        std::fs::remove_file(place.machine.path("started")).ok();
        for nth in 1..=connections {
            plan(nth, 1);
            run().ends(0);
            assert_eq!(proxy.seen().fired, 1, "{arguments:?} at {nth}");
        }
        std::fs::remove_file(place.machine.path("started")).ok();
        plan(1, usize::MAX);
        let outcome = run();
        outcome.ends(unavailable).is_well_formed();
        assert!(
            proxy.seen().fired > 1 && !place.machine.exists("started"),
            "{arguments:?}"
        );
    }
}

/// A body of 10 GiB, as answer to each request of a command in turn: not much of it is read.
#[cfg(target_os = "linux")]
#[test]
fn a_body_without_end_is_not_kept() {
    let world = World::new();
    for arguments in [
        &["download"][..],
        &["download", "-f", "large:placed/file"],
        &["list"],
        &["history", "--all"],
        &["upload", "-q", "--force"],
    ] {
        let command = Command {
            arguments,
            input: "A=new\n",
            kind: Kind::Prints,
        };
        world.put_back();
        world.proxy.plan(None);
        world.run(&command, &[]).ends(0);
        for nth in 1..=world.proxy.seen().bodies {
            world.put_back();
            world.proxy.plan(Some(Plan {
                fault: Fault::Endless,
                nth,
                times: usize::MAX,
            }));
            let (mib, output) = peak(world.prepare(&command, &[]));
            assert!(world.proxy.seen().fired > 0, "{arguments:?} at {nth}");
            // What fails after a commit is a warning.
            let told = !output.status.success() || output.stderr.starts_with(b"warning: ");
            assert!(told && mib <= 64, "{arguments:?} at {nth}: {mib} MiB");
            let placed = std::fs::read_dir(world.machine.path("placed")).unwrap().count();
            assert_eq!(placed, 0, "{arguments:?} at {nth}");
        }
    }
}

/// 100,000 versions of 0.3.4, and as many services: a hundred pages each, to their end.
#[cfg(target_os = "linux")]
#[test]
fn a_listing_of_100_000_keys_fits_into_memory() {
    const KEYS: u32 = 100_000;
    let place = Place::new();
    let document = br#"{"environment": {"A": "old"}, "metadata": {}}"#;
    let checksum = Checksum::of(document);
    let put = |key: &str, body: &'static [u8]| {
        let raw = Raw::encrypted(Sse::kms(&place.key));
        place.fake.put_raw(BUCKET, key, body, raw);
    };
    for n in 0..KEYS {
        let name = format!("2016-01-01.00-00-00_{:06}.{checksum}", n + 1);
        // Only the last of them is ever read.
        let body: &[u8] = if n + 1 == KEYS { document } else { b"" };
        put(&format!("services/old/environment/{name}.json"), body);
        put(&format!("services/s{n}/head/environment"), b"");
    }
    for arguments in [
        &["with-env", "-s", "old", "-a", "--", "sh", "-c", "test $A = old"][..],
        &["migrate", "-s", "old"],
        &["list"],
    ] {
        let before = place.fake.requests().len();
        let (mib, output) = peak(place.microsecrets(arguments));
        let requests = place.fake.requests().len() - before;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && requests > 100,
            "{arguments:?}: {requests}: {said}"
        );
        assert!(mib <= 64, "{arguments:?}: {mib} MiB");
    }
}

/// The SDK reads XML that was cut off as if there were no more of it.
#[test]
fn a_listing_that_ends_in_its_middle_is_not_taken_for_the_whole() {
    let world = World::new();
    let command = Command {
        arguments: &["list"],
        input: "",
        kind: Kind::Prints,
    };
    for fault in [Fault::TruncateFitting, Fault::Length(-1)] {
        world.put_back();
        world.proxy.plan(Some(Plan {
            fault,
            nth: 1,
            times: 1,
        }));
        world.run(&command, &[]).fails(
            6,
            "error: list services/: malformed answer: it ends in the middle\n\
             hint: something else may have answered in the store's place: check the endpoint and the proxy\n",
        );
        assert_eq!(world.proxy.seen().fired, 1);
    }
}
