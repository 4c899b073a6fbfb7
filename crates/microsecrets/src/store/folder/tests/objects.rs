//! Objects: written, read, replaced, deleted.

use std::io::Read as _;

use super::*;
use crate::name::Nonce;
use crate::store::Mark;

#[test]
fn what_is_put_is_got_whole_and_in_pieces() {
    let place = Place::new();
    let store = place.open();
    for size in [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17] {
        let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let key = format!("services/api/files/blob/{size}");
        let nonce = Nonce::random();
        let stored = run(store.put(new(&key, &content).marked(nonce))).expect("it is stored");
        assert_eq!(stored.version_id, None);
        assert!(get(&store, &key).expect("whole") == content, "{size}");
        assert!(stream(&store, &key).expect("in pieces") == content, "{size}");

        let object = run(store.get(Get::attributes(&key))).expect("its attributes");
        assert!(matches!(object.body, Body::None));
        assert_eq!(object.size, size as u64);
        assert_eq!(object.etag, stored.etag);
        assert_eq!(object.mark, Some(Mark::Ours(nonce)));
        assert_eq!(object.encryption, Encryption::Store);
        assert!((0..60).contains(&(object.date.as_unix() - object.modified.as_unix())));
        assert_eq!(place.leftovers(), 0);
    }
}

#[test]
fn an_object_without_a_mark_has_none() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, b"x");
    assert_eq!(run(store.get(Get::attributes(KEY))).expect("it is there").mark, None);
}

#[test]
fn what_is_longer_than_the_limit_is_not_read() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, b"12345");
    assert!(run(store.get(Get::whole(KEY, 5))).is_ok());
    assert_eq!(
        kind(run(store.get(Get::whole(KEY, 4)))),
        ErrorKind::TooLarge { limit: 4 }
    );
}

#[test]
fn equal_bytes_have_different_etags_and_a_stale_one_never_wins() {
    let place = Place::new();
    let store = place.open();
    let first = put(&store, KEY, b"same");
    let second = run(store.put(over(KEY, b"same", &first))).expect("it is replaced").etag;
    assert_ne!(first, second);
    assert_eq!(
        kind(run(store.put(over(KEY, b"late", &first)))),
        ErrorKind::PreconditionFailed
    );
    assert_eq!(get(&store, KEY).expect("it is there"), b"same");
    assert!(second.as_str().starts_with('"') && second.as_str().ends_with('"'));
}

#[test]
fn conditions_are_kept() {
    let place = Place::new();
    let store = place.open();
    let etag = ETag::new("\"0\"");
    assert_eq!(kind(run(store.put(over(KEY, b"x", &etag)))), ErrorKind::NotFound);
    put(&store, KEY, b"x");
    assert_eq!(kind(run(store.put(new(KEY, b"y")))), ErrorKind::PreconditionFailed);
    assert_eq!(
        kind(run(store.put(over(KEY, b"y", &etag)))),
        ErrorKind::PreconditionFailed
    );
    assert_eq!(get(&store, KEY).expect("it is there"), b"x");
    assert_eq!(place.leftovers(), 0);
}

#[test]
fn an_object_that_did_not_change_is_not_read_again() {
    let place = Place::new();
    let store = place.open();
    let etag = put(&store, KEY, b"x");
    let again = || Get::whole(KEY, 10).if_none_match(etag.clone());
    assert_eq!(kind(run(store.get(again()))), ErrorKind::NotModified);
    run(store.put(over(KEY, b"y", &etag))).expect("it is replaced");
    assert!(run(store.get(again())).is_ok());
}

#[test]
fn what_is_not_there_is_not_found() {
    let place = Place::new();
    let store = place.open();
    put(&store, "services/api/head/environment", b"x");
    for key in ["services/api/head", "services/api/head/environment/x", "services/web"] {
        assert_eq!(kind(get(&store, key)), ErrorKind::NotFound, "{key}");
        delete(&store, key, Which::Any).expect("that is no error");
    }
}

#[test]
fn only_the_object_that_is_meant_is_deleted() {
    let place = Place::new();
    let store = place.open();
    let etag = put(&store, KEY, b"x");
    let stale = Which::WithETag(ETag::new("\"0\""));
    assert_eq!(kind(delete(&store, KEY, stale.clone())), ErrorKind::PreconditionFailed);
    assert!(delete(&store, KEY, Which::WithVersionId("1".into())).is_err());
    assert!(get(&store, KEY).is_ok());
    delete(&store, KEY, Which::WithETag(etag)).expect("it is deleted");
    assert_eq!(kind(get(&store, KEY)), ErrorKind::NotFound);
    delete(&store, KEY, stale).expect("nothing is there to keep");
    put(&store, KEY, b"y");
    delete(&store, KEY, Which::Any).expect("it is deleted");
    assert_eq!(kind(get(&store, KEY)), ErrorKind::NotFound);
}

#[test]
fn everything_is_for_its_owner_only() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, b"x");
    let mut pending = vec![place.dir(), place.identities()];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
            pending.extend(
                fs::read_dir(path)
                    .expect("a folder")
                    .map(|entry| entry.expect("an entry").path()),
            );
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 4, "an object, an identity, a description, a lock");
}

#[test]
fn age_opens_an_object_with_the_identity_file_alone() {
    let place = Place::new();
    let store = place.open();
    run(store.put(new(KEY, b"A=1\n").marked(Nonce::random()))).expect("it is stored");
    let identity = store.identity_path().expect("it has one");
    let text = fs::read_to_string(&identity).expect("it is text");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("# created: 2"), "{}", lines[0]);
    assert!(lines[1].starts_with("# public key: age1"), "{}", lines[1]);
    assert!(lines[2].starts_with("AGE-SECRET-KEY-1"));
    assert_eq!(lines.len(), 3);

    let identities = age::IdentityFile::from_file(identity.display().to_string())
        .expect("an identity file of age")
        .into_identities()
        .expect("no passphrase");
    let file = fs::File::open(place.file(KEY)).expect("the object");
    let mut content = String::new();
    age::Decryptor::new(file)
        .expect("an age file")
        .decrypt(identities.iter().map(|identity| identity.as_ref() as _))
        .expect("encrypted to the identity")
        .read_to_string(&mut content)
        .expect("whole");
    assert_eq!(content, "A=1\n");
}

#[test]
fn the_folder_tells_neither_bytes_nor_public_key() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, b"canary canary canary");
    let identity = fs::read_to_string(store.identity_path().expect("it has one")).expect("text");
    let public = identity
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .expect("it is said");
    for path in [place.file(KEY), place.dir().join(".microsecrets/store")] {
        let bytes = fs::read(path).expect("it is there");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("canary") && !text.contains(public) && !text.contains("age1"));
    }
}

#[test]
fn only_what_can_be_a_path_below_the_folder_is_a_key() {
    let place = Place::new();
    let store = place.open();
    let long = "x".repeat(1025);
    let deep = "x/".repeat(32) + "x";
    for key in [
        "",
        "/",
        "/services",
        "services/",
        "services//api",
        "services/./api",
        "../services",
        "services/../../x",
        "..",
        "a\0b",
        ".microsecrets",
        ".microsecrets/store",
        ".MicroSecrets/store",
        &long,
        &deep,
    ] {
        let error = get(&store, key).expect_err("it is no key");
        assert!(told(&error).contains("not a key: "), "{key:?}: {}", told(&error));
        assert!(run(store.put(new(key, b"x"))).is_err(), "{key:?}");
        assert!(delete(&store, key, Which::Any).is_err(), "{key:?}");
    }
    for key in ["a", ".a", "a..b", "...", "services/.microsecrets/x", "a\\b", "é"] {
        put(&store, key, b"x");
        assert_eq!(get(&store, key).expect("it is there"), b"x", "{key:?}");
    }
}

#[test]
fn a_folder_encrypts_in_its_own_way_only() {
    let place = Place::new();
    let store = place.open();
    for encryption in [Encryption::Aes256, Encryption::Kms("key".into())] {
        let put = Put::new(KEY, bytes(b"x"), Condition::Absent, encryption);
        assert!(run(store.put(put)).is_err());
    }
    assert_eq!(kind(get(&store, KEY)), ErrorKind::NotFound);
}

#[test]
fn an_object_cannot_be_above_or_below_another() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a/b", b"x");
    for key in ["a", "a/b/c"] {
        let error = run(store.put(new(key, b"y"))).expect_err("something is there");
        assert_eq!(error.kind, ErrorKind::Io);
        assert!(place.told(&error).contains("TOP/secrets/a"), "{}", place.told(&error));
    }
    assert_eq!(place.leftovers(), 0);
}

/// A source that gives some bytes and then ends in its own way.
struct Strange {
    announced: u64,
    left: usize,
    fails: bool,
}

impl Source for Strange {
    fn size(&self) -> u64 {
        self.announced
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.left).min(1000);
        self.left -= count;
        buffer[..count].fill(b'x');
        match (count, self.fails) {
            (0, true) => Err(io::Error::other("changed")),
            _ => Ok(count),
        }
    }

    fn rewind(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn from_source(announced: u64, left: usize, fails: bool) -> Put {
    let source = Strange { announced, left, fails };
    Put::new(
        KEY,
        Payload::Source(Box::new(source)),
        Condition::Absent,
        Encryption::Store,
    )
}

#[test]
fn large_bytes_come_from_a_source() {
    let place = Place::new();
    let store = place.open();
    run(store.put(from_source(300_000, 300_000, false))).expect("it is stored");
    assert!(stream(&store, KEY).expect("it is there") == vec![b'x'; 300_000]);
}

#[test]
fn a_source_that_is_not_what_it_announced_leaves_nothing() {
    let place = Place::new();
    let store = place.open();
    for (announced, left, fails, why) in [
        (2_000, 2_000, true, "changed"),
        (2_000, 1_999, false, "2000 bytes were announced, and 1999 came"),
        (2_000, 900_000, false, "2000 bytes were announced, and 3000 came"),
    ] {
        let error = run(store.put(from_source(announced, left, fails))).expect_err("it is abandoned");
        assert_eq!(error.kind, ErrorKind::UnreadableSource);
        assert!(told(&error).ends_with(why), "{}", told(&error));
        assert_eq!(kind(get(&store, KEY)), ErrorKind::NotFound);
        assert_eq!(place.leftovers(), 0);
    }
}
