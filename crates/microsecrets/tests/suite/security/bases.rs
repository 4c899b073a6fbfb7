//! A writer signs only what it builds on what is signed: an attacker's variable never gets a signature, whatever is
//! written, and whenever the attacker comes.

use microsecrets::item::Outcome;
use microsecrets::record::Head;
use strict_fake::Fault;

use super::attacker::{EVIL, Forged, current, head, overwrite, plant};
use super::writes::{CURRENT, INFLATED, Target, WRITES, Write, again, evil_head, promoted, replace, staging};
use super::{SIGNING, distrust};
use crate::process::{environment, file, nth, number};
use crate::worlds::{BUCKET, FakeAws};
use crate::{meanwhile, run};

/// What an attack is called, whether who only reads has to do with it, and what it does.
type Attack = (&'static str, bool, fn(&FakeAws));

/// What an attacker does to the environment, under the right KMS key.
const ATTACKS: [Attack; 12] = [
    ("an unsigned head", true, |aws| {
        replace(&aws.fake, |base| Forged::after(base.record(), EVIL).head());
    }),
    ("an unsigned head with an inflated number", true, |aws| {
        replace(&aws.fake, |base| Forged::numbered(base.record(), INFLATED, EVIL).head());
    }),
    ("the same version with another content, unsigned", true, |aws| {
        replace(&aws.fake, |base| Forged::numbered(base.record(), CURRENT, EVIL).head());
    }),
    ("the right content with an inflated number, unsigned", true, |aws| {
        replace(&aws.fake, |base| {
            Forged::numbered(base.record(), INFLATED, "A=1 B=2 C=3").head()
        });
    }),
    ("a head with the signature of another one", true, |aws| {
        replace(&aws.fake, |base| {
            let forged = Forged::numbered(base.record(), INFLATED, EVIL);
            let signature = base.entry().signature().unwrap().der().to_vec();
            head(forged.signed(signature), &forged.bytes)
        });
    }),
    ("a head with the attacker's own signature", true, |aws| {
        let (_, own) = aws.signing_key("alias/evil");
        replace(&aws.fake, |base| {
            let forged = Forged::numbered(base.record(), INFLATED, EVIL);
            let forged = forged.with(|record| record.signer = Some(own.fingerprint()));
            head(aws.sign("alias/evil", forged.record), &forged.bytes)
        });
    }),
    ("the signed record with other bytes of the same length", true, |aws| {
        replace(&aws.fake, |base| {
            let whole = base.to_bytes().expose().to_vec();
            let at = whole.windows(7).position(|window| window == b"\"A\": \"1").unwrap();
            [&whole[..at], b"\"A\": \"e", &whole[at + 7..]].concat()
        });
    }),
    ("a deletion, unsigned", true, |aws| {
        replace(&aws.fake, |base| Forged::after(base.record(), EVIL).deletion().head());
    }),
    ("a version of 0.3.4's beyond the head", true, |aws| {
        let later = Forged::after(current(&aws.fake, &environment()).record(), EVIL);
        let key = environment().version_key(&later.record.name);
        plant(&aws.fake, &aws.key, &key, later.bytes, None);
    }),
    ("a version of ours beyond the head", false, |aws| {
        let later = Forged::after(current(&aws.fake, &environment()).record(), EVIL);
        let key = environment().version_key(&later.record.name);
        plant(&aws.fake, &aws.key, &key, later.bytes, Some(later.record.nonce));
    }),
    ("a log entry beyond the head", false, |aws| {
        let later = Forged::numbered(current(&aws.fake, &environment()).record(), INFLATED, EVIL);
        let key = environment().log_key(later.record.number);
        plant(&aws.fake, &aws.key, &key, later.entry().to_bytes(), None);
    }),
    ("no head, and a version of 0.3.4's", true, |aws| {
        let later = Forged::after(current(&aws.fake, &environment()).record(), EVIL);
        for key in aws.fake.keys(BUCKET) {
            if key.starts_with("services/api/") {
                aws.fake.remove(BUCKET, &key);
            }
        }
        let key = environment().version_key(&later.record.name);
        plant(&aws.fake, &aws.key, &key, later.bytes, None);
    }),
];

#[test]
fn nothing_is_built_on_what_nobody_signed() {
    run(async {
        let world = Target::new().await;
        let before = world.aws.snapshot();
        for (what, concerns_readers, attack) in ATTACKS {
            for write in WRITES {
                attack(&world.aws);
                let context = format!("{write:?} on {what}");
                let puts = world.aws.puts();
                let written = world.write(write, || {}).await;
                if write == Write::PromoteFrom && !concerns_readers {
                    let promoted = world.aws.signer(&staging()).await.text().await.unwrap();
                    assert_eq!((written.is_ok(), promoted.as_str()), (true, "A=1 B=2 C=3"));
                } else {
                    assert!(written.is_err(), "{context}");
                    assert_eq!(world.aws.puts(), puts, "{context}");
                }
                world.assert_nothing_evil_is_signed(&context);
                world.aws.restore(&before);
            }
        }
        // None of them would have failed but for the attack.
        for write in WRITES {
            let written = world.write(write, || {}).await.unwrap();
            let committed = matches!(written, Outcome::Committed(_));
            assert_eq!(committed, write != Write::ReSign, "{write:?}");
            world.aws.restore(&before);
        }
    });
}

/// Not even the bytes of a large one are put.
#[test]
fn nothing_is_built_on_a_file_that_nobody_signed() {
    run(async {
        let aws = FakeAws::new();
        let (_, key) = aws.signing_key(SIGNING);
        let item = file("x");
        let ann = aws.signer(&item).await;
        ann.upload_file(b"first").await.unwrap();
        ann.upload_file(b"second").await.unwrap();
        let before = aws.snapshot();
        let base = current(&aws.fake, &item).record().clone();
        for number in [2, 3, INFLATED] {
            let forged = Forged::numbered(&base, number, "evil.so");
            let beyond = item.version_key(&forged.record.name);
            for is_legacy in [false, true] {
                match is_legacy {
                    true => plant(&aws.fake, &aws.key, &beyond, forged.bytes.clone(), None),
                    false => overwrite(&aws.fake, &item.head_key(), forged.head()),
                }
                let puts = aws.puts();
                distrust(ann.upload_file(b"third").await);
                distrust(ann.upload_file(&vec![1; (1 << 20) + 1]).await);
                distrust(ann.delete().await);
                distrust(ann.writer().re_sign().await);
                distrust(ann.writer().finish_migration().await);
                assert_eq!(aws.puts(), puts);
                aws.assert_nothing_evil_is_signed(&key, 2, "a file");
                aws.restore(&before);
            }
        }
        ann.upload_file(&vec![1; (1 << 20) + 1]).await.unwrap();
    });
}

/// The same attack at every moment of a write: before each request that it makes.
#[test]
fn nothing_is_built_on_what_nobody_signed_whenever_it_comes() {
    run(async {
        let world = Target::new().await;
        let before = world.aws.snapshot();
        let (mut fired, mut committed) = (0, 0);
        for write in WRITES {
            for (operation, most) in [("GetObject", 4), ("ListObjectsV2", 3), ("PutObject", 5), ("Sign", 1)] {
                for nth in 1..=most {
                    let attack = world.aws.fake.fail(Fault::call(operation, evil_head).nth(nth));
                    let written = world.write(write, || {}).await;
                    fired += attack.fired();
                    committed += usize::from(matches!(written, Ok(Outcome::Committed(_))));
                    let context = format!("{write:?} with {operation} {nth}");
                    world.assert_nothing_evil_is_signed(&context);
                    // Whatever comes next is not built on it either.
                    if attack.fired() > 0 && current(&world.aws.fake, &environment()).record().number.get() == INFLATED
                    {
                        world.ann.set("OWN", "later").await.unwrap_err();
                        world.assert_nothing_evil_is_signed(&context);
                    }
                    world.aws.fake.clear_faults();
                    world.aws.restore(&before);
                }
            }
        }
        assert!(fired > 80, "{fired} attacks");
        assert!(committed > 30, "{committed} committed, before the attack or after");
    });
}

/// Somebody else commits first, so a change is applied again, to a base that an attacker puts there meanwhile.
#[test]
fn a_change_is_not_applied_again_to_what_nobody_signed() {
    run(async {
        let world = Target::new().await;
        let before = world.aws.snapshot();
        let (mut fired, mut again) = (0, 0);
        for write in [Write::Set, Write::Unset, Write::Edit] {
            for (operation, most) in [("GetObject", 7), ("ListObjectsV2", 6), ("PutObject", 8), ("Sign", 2)] {
                for nth in 1..=most {
                    let bob_commits = || {
                        meanwhile(async || {
                            let bob = world.aws.signer(&environment()).await;
                            bob.set("BOB", "here").await.unwrap();
                        });
                        // From here on, so that it is not bob who meets it.
                        world.aws.fake.clear_faults();
                        world.aws.fake.fail(Fault::call(operation, evil_head).nth(nth));
                    };
                    let written = world.write(write, bob_commits).await;
                    let context = format!("{write:?} with {operation} {nth}");
                    world.assert_nothing_evil_is_signed(&context);
                    fired += usize::from(world.aws.was_attacked());
                    if let Ok(Outcome::Committed(committed)) = written {
                        assert_eq!(number(&committed), CURRENT + 2, "{context}");
                        again += 1;
                    }
                    world.aws.fake.clear_faults();
                    world.aws.restore(&before);
                }
            }
        }
        assert!(fired > 40, "{fired} attacks");
        assert!(again > 10, "{again} applied again");
    });
}

impl FakeAws {
    /// Whether the attacker's head was ever there.
    fn was_attacked(&self) -> bool {
        let heads = self.fake.versions(BUCKET, &environment().head_key()).into_iter();
        let mut heads = heads.filter_map(|object| Head::parse(&object.body).ok());
        heads.any(|head| head.record().number.get() == INFLATED)
    }
}

/// An old version that an attacker has changed is brought back by nobody.
#[test]
fn an_old_version_that_nobody_signed_is_not_brought_back() {
    run(async {
        let world = Target::new().await;
        let (record, before) = (world.ann.version(&nth(2)).await.unwrap().facts, world.aws.snapshot());
        let record = record.entry.unwrap().record().clone();
        let log = environment().log_key(record.number);
        let forged = Forged::numbered(&record, 2, EVIL);
        let bytes = environment().version_key(&forged.record.name);
        let unsigned = forged.entry();
        let own = world.aws.sign("alias/evil", forged.record.clone());
        let signed = world.aws.sign(SIGNING, record.clone());
        let stolen = forged.signed(signed.signature().unwrap().der().to_vec());
        for entry in [unsigned, own, stolen] {
            overwrite(&world.aws.fake, &log, entry.to_bytes());
            let (body, mark) = (forged.bytes.clone(), Some(forged.record.nonce));
            plant(&world.aws.fake, &world.aws.key, &bytes, body, mark);
            distrust(world.write(Write::Rollback, || {}).await);
            let other = world.aws.signer(&staging()).await;
            distrust(again(&world.ann, &other, &nth(2), promoted(), || {}).await);
            world.assert_nothing_evil_is_signed("an old version");
            world.aws.restore(&before);
        }
        // Other bytes under the name of the signed one.
        let bytes = environment().version_key(&record.name);
        overwrite(&world.aws.fake, &bytes, forged.bytes.clone());
        distrust(world.write(Write::Rollback, || {}).await);
        world.assert_nothing_evil_is_signed("other bytes");
    });
}
