//! What nobody signed is built upon when a person was shown it and accepts it: exactly that, and once.

use microsecrets::item::{ItemError, Outcome};
use microsecrets::record::ChangeKind;
use microsecrets::trust::Distrust;
use strict_fake::{Fault, Handle};

use super::attacker::{EVIL, Forged, current, overwrite, plant};
use super::distrust;
use super::writes::{CURRENT, Target, WRITES, Write, evil_successor, replace};
use crate::process::{environment, nth, number};
use crate::run;
use crate::worlds::BUCKET;

/// What was seen is accepted, and neither what comes after it nor the same once more.
#[test]
fn an_unsigned_head_that_was_shown_is_taken_once() {
    run(async {
        let mut world = Target::new().await;
        assert!(world.ann.access().unsigned().await.unwrap().is_none());
        replace(&world.aws.fake, |base| Forged::after(base.record(), "A=shown").head());
        let shown = world.ann.access().unsigned().await.unwrap().unwrap();
        assert_eq!(shown.accepts.len(), 1);
        let version = shown.version.unwrap();
        assert_eq!(crate::process::content(version).await.unwrap(), b"A=shown");
        let unsigned = world.aws.fake.object(BUCKET, &environment().head_key()).unwrap().body;

        world.ann.set("B", "2").await.unwrap_err();
        world.ann.adopt = shown.accepts;
        assert_eq!(number(&world.ann.set("B", "2").await.unwrap()), CURRENT + 2);
        world.ann.adopt.clear();
        assert_eq!(world.ann.text().await.unwrap(), "A=shown B=2");
        // It is a base now, and no version that is signed: the log says so.
        let why = distrust(world.ann.read(&nth(CURRENT + 1)).await);
        assert_eq!(why, "it is not signed, but a signature is required");
        assert!(world.ann.access().unsigned().await.unwrap().is_none());

        overwrite(&world.aws.fake, &environment().head_key(), unsigned);
        world.ann.set("C", "3").await.unwrap_err();
        distrust(world.ann.current().await);
    });
}

/// Whoever changes the head while a person is shown it has not one thing shown and another accepted.
#[test]
fn what_is_accepted_is_what_was_shown() {
    run(async {
        let mut world = Target::new().await;
        let before = world.aws.snapshot();
        let signed = current(&world.aws.fake, &environment());
        let harmless = Forged::after(signed.record(), "A=shown");
        let deletion = harmless.clone().deletion();
        let mut hidden = 0;
        for decoy in [harmless.head(), deletion.head(), signed.to_bytes().expose().to_vec()] {
            for nth in 1..=4 {
                evil_successor(&world.aws.fake);
                let evil = world.aws.fake.object(BUCKET, &environment().head_key()).unwrap().body;
                let decoy = decoy.clone();
                let attack = move |fake: &Handle| overwrite(fake, &environment().head_key(), decoy.clone());
                let attack = world.aws.fake.fail(Fault::call("GetObject", attack).nth(nth));
                let shown = world.ann.access().unsigned().await.unwrap();
                let (accepts, version) = shown.map_or_else(Default::default, |shown| (shown.accepts, shown.version));
                let content = match version {
                    Some(version) => crate::process::content(version).await.unwrap(),
                    None => Vec::new(),
                };
                world.aws.fake.clear_faults();
                overwrite(&world.aws.fake, &environment().head_key(), evil);
                if content != EVIL.as_bytes() {
                    hidden += attack.fired();
                    world.ann.adopt = accepts;
                    let why = distrust(world.write(Write::Set, || {}).await);
                    assert_eq!(why, "it is not signed, but a signature is required");
                    world.assert_nothing_evil_is_signed(&format!("a decoy at {nth}"));
                }
                world.aws.restore(&before);
            }
        }
        assert!(hidden >= 3, "{hidden} decoys");
    });
}

/// A version of 0.3.4's is shown, and not the head that it lies beyond: that goes with it, and is no base without it.
#[test]
fn an_unsigned_head_is_not_accepted_for_what_hid_it() {
    run(async {
        let mut world = Target::new().await;
        let base = current(&world.aws.fake, &environment()).record().clone();
        let hidden = Forged::after(&base, EVIL);
        let shown = Forged::after(&hidden.record, "A=shown");
        overwrite(&world.aws.fake, &environment().head_key(), hidden.head());
        let shown_at = environment().version_key(&shown.record.name);
        plant(&world.aws.fake, &world.aws.key, &shown_at, shown.bytes.clone(), None);
        let unsigned = world.ann.access().unsigned().await.unwrap().unwrap();
        let content = crate::process::content(unsigned.version.unwrap()).await.unwrap();
        assert_eq!(content, b"A=shown");
        world.ann.adopt = unsigned.accepts;
        let before = world.aws.snapshot();
        let mut fired = 0;
        for (operation, most) in [("GetObject", 5), ("ListObjectsV2", 6), ("PutObject", 6), ("Sign", 2)] {
            for nth in 1..=most {
                let at = shown_at.clone();
                let attack = move |fake: &Handle| assert!(fake.remove(BUCKET, &at));
                let attack = world.aws.fake.fail(Fault::call(operation, attack).nth(nth));
                drop(world.ann.set("OWN", "mine").await);
                fired += attack.fired();
                let context = format!("{operation} {nth}");
                world
                    .aws
                    .assert_nothing_evil_is_signed(&world.key, CURRENT + 3, &context);
                world.aws.fake.clear_faults();
                world.aws.restore(&before);
            }
        }
        assert!(fired > 10, "{fired} attacks");
        assert_eq!(number(&world.ann.set("OWN", "mine").await.unwrap()), CURRENT + 3);
        assert_eq!(world.ann.text().await.unwrap(), "A=shown OWN=mine");
    });
}

/// Who accepts one thing has not accepted another, at any moment of the write.
#[test]
fn what_is_put_after_something_was_shown_is_not_taken() {
    run(async {
        let mut world = Target::new().await;
        replace(&world.aws.fake, |base| Forged::after(base.record(), "A=shown").head());
        world.ann.adopt = world.ann.access().unsigned().await.unwrap().unwrap().accepts;
        let before = world.aws.snapshot();
        let mut fired = 0;
        for write in [
            Write::Set,
            Write::Upload,
            Write::Delete,
            Write::FinishMigration,
            Write::ReSign,
        ] {
            for (operation, most) in [("GetObject", 4), ("ListObjectsV2", 3), ("PutObject", 5), ("Sign", 1)] {
                for nth in 1..=most {
                    // The same number, by the same writer, at the same time: only the content is another.
                    let attack = world.aws.fake.fail(Fault::call(operation, evil_successor).nth(nth));
                    let context = format!("{write:?} with {operation} {nth}");
                    drop(world.write(write, || {}).await);
                    fired += attack.fired();
                    world.assert_nothing_evil_is_signed(&context);
                    world.aws.fake.clear_faults();
                    world.aws.restore(&before);
                }
            }
            // And what is there before the write begins.
            evil_successor(&world.aws.fake);
            let puts = world.aws.puts();
            distrust(world.write(write, || {}).await);
            assert_eq!(world.aws.puts(), puts);
            world.aws.restore(&before);
            // What was shown is taken.
            let Outcome::Committed(committed) = world.write(write, || {}).await.unwrap() else {
                panic!("{write:?} commits");
            };
            assert!(world.aws.signed_by(&world.key).contains(committed.entry.record()));
            world.aws.restore(&before);
        }
        assert!(fired > 40, "{fired} attacks");
    });
}

#[test]
fn what_0_3_4_wrote_is_taken_when_it_was_shown_and_not_what_it_writes_then() {
    run(async {
        let mut world = Target::new().await;
        let head = current(&world.aws.fake, &environment()).record().clone();
        let shown = Forged::after(&head, "A=shown");
        let later = Forged::after(&shown.record, EVIL);
        let put = |forged: &Forged| {
            let key = environment().version_key(&forged.record.name);
            plant(&world.aws.fake, &world.aws.key, &key, forged.bytes.clone(), None);
            key
        };
        let shown_at = put(&shown);
        for write in WRITES.into_iter().filter(|write| *write != Write::PromoteFrom) {
            let error = world.write(write, || {}).await.err().unwrap();
            assert!(
                matches!(&error, ItemError::Distrusted { key, source: Distrust::Unsigned } if *key == shown_at),
                "{write:?}: {error}"
            );
        }
        let accepts = world.ann.access().unsigned().await.unwrap().unwrap().accepts;
        let before = world.aws.snapshot();
        // Something else comes first.
        let later_at = put(&later);
        world.ann.adopt = accepts;
        let error = world.ann.set("OWN", "mine").await.unwrap_err();
        assert!(
            matches!(&error, ItemError::Distrusted { key, .. } if *key == later_at),
            "{error}"
        );
        world.assert_nothing_evil_is_signed("before the write");
        world.aws.restore(&before);
        // Something else comes while what was shown is adopted.
        for (operation, most) in [("GetObject", 5), ("ListObjectsV2", 6), ("PutObject", 6), ("Sign", 2)] {
            for nth in 1..=most {
                let (key, at, bytes) = (world.aws.key.clone(), later_at.clone(), later.bytes.clone());
                let attack = move |fake: &Handle| plant(fake, &key, &at, bytes.clone(), None);
                world.aws.fake.fail(Fault::call(operation, attack).nth(nth));
                drop(world.ann.set("OWN", "mine").await);
                world.assert_nothing_evil_is_signed(&format!("{operation} {nth}"));
                world.aws.fake.clear_faults();
                world.aws.restore(&before);
            }
        }
        assert_eq!(number(&world.ann.set("OWN", "mine").await.unwrap()), CURRENT + 2);
        assert_eq!(world.ann.text().await.unwrap(), "A=shown OWN=mine");
        let signed = world.aws.signed_by(&world.key);
        let adopted = signed.iter().find(|record| record.name == shown.record.name);
        assert_eq!(adopted.unwrap().kind, ChangeKind::Adopted);
    });
}
