//! Stores that break their word about conditions are found out before anything is lost.

use microsecrets::item::ItemError;
use microsecrets::layout::Item;
use strict_fake::{Failure, Fault};

use crate::process::{Process, environment, file, number};
use crate::run;
use crate::worlds::{BUCKET, Backing, World};

async fn publish(process: &Process) -> Result<u64, ItemError> {
    let committed = match process.item.is_file() {
        true => process.upload_file(b"bytes").await,
        false => process.upload("A=1").await,
    };
    committed.map(|committed| number(&committed))
}

#[track_caller]
fn assert_found_out(result: Result<u64, ItemError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, ItemError::NoCompareAndSwap { .. }), "{error}");
}

fn items() -> [Item; 2] {
    [environment(), file("x")]
}

#[test]
fn a_store_that_ignores_conditions_is_found_out_by_the_first_write() {
    run(async {
        for item in items() {
            let world = World::in_memory();
            let Backing::Memory(memory) = world.backing() else {
                unreachable!("it is in memory");
            };
            memory.ignore_conditions(true);
            let process = world.process(&item).await;
            assert_found_out(publish(&process).await);
        }
    });
}

#[test]
fn a_store_that_ignores_conditions_is_found_out_by_a_later_write() {
    run(async {
        for item in items() {
            let world = World::in_memory();
            let Backing::Memory(memory) = world.backing() else {
                unreachable!("it is in memory");
            };
            let process = world.process(&item).await;
            assert_eq!(publish(&process).await.unwrap(), 1);
            memory.ignore_conditions(true);
            assert_found_out(publish(&process).await);
            // The head was not touched.
            memory.ignore_conditions(false);
            assert_eq!(publish(&process).await.unwrap(), 2);
        }
    });
}

/// On the fake a condition is ignored by making it hold: what is there is removed just before the put.
fn forget_before_each_put(world: &World, key: &str) {
    let Backing::Fake(aws) = world.backing() else {
        unreachable!("it is the fake");
    };
    let pattern = key.to_owned();
    let fault = Fault::call("PutObject", move |fake| {
        for key in fake.keys(BUCKET) {
            if key.starts_with(pattern.trim_end_matches('*')) {
                fake.remove(BUCKET, &key);
            }
        }
    });
    aws.fake.fail(fault.key(key).always());
}

#[test]
fn s3_that_ignores_conditions_is_found_out_by_the_first_write() {
    run(async {
        for item in items() {
            let world = World::on_the_fake();
            forget_before_each_put(&world, &item.head_key());
            assert_found_out(publish(&world.process(&item).await).await);
        }
    });
}

#[test]
fn s3_that_ignores_conditions_is_found_out_by_a_later_write() {
    run(async {
        for item in items() {
            let world = World::on_the_fake();
            let process = world.process(&item).await;
            assert_eq!(publish(&process).await.unwrap(), 1);
            forget_before_each_put(&world, &format!("{}*", item.log_prefix()));
            assert_found_out(publish(&process).await);
            let Backing::Fake(aws) = world.backing() else {
                unreachable!("it is the fake");
            };
            aws.fake.clear_faults();
            assert_eq!(publish(&process).await.unwrap(), 2);
        }
    });
}

/// A store that does not know conditions at all says so, and is no store for us.
#[test]
fn s3_without_conditions_is_refused_with_its_own_words() {
    run(async {
        let world = World::on_the_fake();
        let Backing::Fake(aws) = world.backing() else {
            unreachable!("it is the fake");
        };
        let refusal = Failure::Status(501, "NotImplemented");
        let refused = aws.fake.fail(Fault::on("PutObject", refusal).always());
        let error = publish(&world.process(&environment()).await).await.unwrap_err();
        assert_eq!(refused.fired(), 1);
        let ItemError::Store(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.code.as_deref(), Some("NotImplemented"));
    });
}
