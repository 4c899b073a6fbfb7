//! Many processes at once.

use microsecrets::checksum::Checksum;
use microsecrets::item::ItemError;
use microsecrets::store::{Condition, ErrorKind, Get, Put};

use crate::process::{environment, file, nth, number};
use crate::worlds::World;
use crate::{HEAD, get, payload, put_new, together, whole};

on_every_store!(
    of_many_first_writers_one_wins,
    of_many_who_replace_one_wins_each_time,
    a_reader_sees_the_old_object_or_the_new_one,
    edits_of_many_are_all_applied,
    of_many_equal_uploads_each_is_a_version_or_a_conflict,
);

async fn of_many_first_writers_one_wins(world: &World) {
    let won = together(world.many(), async |number| {
        let store = world.open().await;
        let bytes = vec![number as u8; 10_000];
        match put_new(&*store, HEAD, &bytes, &world.encryption()).await {
            Ok(_) => Some(bytes),
            Err(error) if error.kind == ErrorKind::PreconditionFailed => None,
            Err(error) => panic!("{error}"),
        }
    });
    let won: Vec<_> = won.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    assert_eq!(get(&*world.open().await, HEAD).await.unwrap(), won[0]);
}

/// A counter, each step of which replaces exactly what was read.
async fn of_many_who_replace_one_wins_each_time(world: &World) {
    let store = world.open().await;
    put_new(&*store, HEAD, b"0", &world.encryption()).await.unwrap();
    together(world.many(), async |_| {
        let store = world.open().await;
        loop {
            let object = store.get(Get::whole(HEAD, 9)).await.unwrap();
            let count: usize = String::from_utf8(whole(&object)).unwrap().parse().unwrap();
            let bytes = (count + 1).to_string();
            let put = Put::new(
                HEAD,
                payload(bytes.as_bytes()),
                Condition::Is(object.etag),
                world.encryption(),
            );
            match store.put(put).await {
                Ok(_) => return,
                Err(error) => assert_eq!(error.kind, ErrorKind::PreconditionFailed),
            }
        }
    });
    assert_eq!(get(&*store, HEAD).await.unwrap(), world.many().to_string().as_bytes());
}

async fn a_reader_sees_the_old_object_or_the_new_one(world: &World) {
    let store = world.open().await;
    let content = |round: u8| vec![round; 100_000 + usize::from(round)];
    let mut etag = put_new(&*store, HEAD, &content(0), &world.encryption())
        .await
        .unwrap()
        .etag;
    together(3, async |number| {
        let store = world.open().await;
        if number == 0 {
            let mut etag = etag.clone();
            for round in 1..=20 {
                let put = Put::new(HEAD, payload(&content(round)), Condition::Is(etag), world.encryption());
                etag = store.put(put).await.unwrap().etag;
            }
            return;
        }
        for _ in 0..20 {
            let object = store.get(Get::whole(HEAD, 1 << 20)).await.unwrap();
            let bytes = whole(&object);
            assert!(bytes == content(bytes[0]), "a part of one, a part of the other");
        }
    });
    etag = store.get(Get::attributes(HEAD)).await.unwrap().etag;
    assert_eq!(store.get(Get::whole(HEAD, 1 << 20)).await.unwrap().etag, etag);
    assert!(get(&*store, HEAD).await.unwrap() == content(20));
}

async fn edits_of_many_are_all_applied(world: &World) {
    world.process(&environment()).await.upload("A=1").await.unwrap();
    let mut numbers = together(world.many(), async |writer| {
        let process = world.process(&environment()).await;
        number(&process.set(&format!("V{writer:02}"), "x").await.unwrap())
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=world.many() as u64 + 1).collect::<Vec<_>>());
    let reader = world.process(&environment()).await;
    let text = reader.text().await.unwrap();
    let mut names: Vec<_> = text.split(' ').map(|pair| pair.split('=').next().unwrap()).collect();
    names.sort_unstable();
    let mut expected: Vec<_> = (0..world.many()).map(|writer| format!("V{writer:02}")).collect();
    expected.insert(0, "A".to_owned());
    assert_eq!(names, expected);
    // Each version is there, and holds one variable more than the one before.
    for number in 1..=world.many() as u64 + 1 {
        let version = String::from_utf8(reader.read(&nth(number)).await.unwrap()).unwrap();
        assert_eq!(version.split(' ').count() as u64, number);
    }
}

/// Files have no salt: the same bytes at the same second have the same name. Nobody is told of success for a write that
/// never happened, and no number is given twice.
async fn of_many_equal_uploads_each_is_a_version_or_a_conflict(world: &World) {
    for bytes in [b"the same".to_vec(), vec![7; (1 << 20) + 1]] {
        let item = file(if bytes.len() < 100 { "small" } else { "large" });
        let uploads = together(world.many(), async |_| {
            let process = world.process(&item).await;
            match process.upload_file(&bytes).await {
                Ok(committed) => Some((number(&committed), committed.entry.record().nonce)),
                Err(ItemError::Conflict { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        });
        let mut won: Vec<_> = uploads.into_iter().flatten().collect();
        won.sort_unstable_by_key(|(number, _)| *number);
        let numbers: Vec<_> = won.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=won.len() as u64).collect::<Vec<_>>());
        let reader = world.process(&item).await;
        for (number, nonce) in won {
            let version = reader.version(&nth(number)).await.unwrap();
            assert_eq!(version.facts.entry.as_ref().unwrap().record().nonce, nonce);
            let content = crate::process::content(version).await.unwrap();
            assert_eq!(Checksum::of(&content), Checksum::of(&bytes));
        }
    }
}
