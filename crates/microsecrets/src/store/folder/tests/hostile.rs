//! Folders that somebody else has written into, and files that are not what they were.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use age::x25519;
use age_core::format::{FileKey, Stanza};

use super::*;
use crate::name::Nonce;
use crate::store::Mark;

fn malformed<T>(result: Result<T, StoreError>) -> String {
    match kind(result) {
        ErrorKind::Damaged(what) => what,
        kind => panic!("{kind:?}"),
    }
}

#[test]
fn no_byte_of_an_object_can_be_changed() {
    let place = Place::new();
    let store = place.open();
    run(store.put(new(KEY, b"A=1\n").marked(Nonce::random()))).expect("it is stored");
    let path = place.file(KEY);
    let good = fs::read(&path).expect("it is there");
    for at in 0..good.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            fs::write(&path, bad).expect("it is ours");
            malformed(get(&store, KEY));
            malformed(stream(&store, KEY));
        }
    }
    fs::write(&path, good).expect("it is ours");
    assert!(get(&store, KEY).is_ok());
}

#[test]
fn the_header_alone_is_authenticated_too() {
    let place = Place::new();
    let store = place.open();
    run(store.put(new(KEY, b"A=1\n").marked(Nonce::random()))).expect("it is stored");
    let path = place.file(KEY);
    let good = fs::read(&path).expect("it is there");
    let end = good
        .windows(5)
        .position(|window| window == b"\n--- ")
        .expect("a header")
        + 49;
    for at in 0..end {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        fs::write(&path, bad).expect("it is ours");
        malformed(run(store.get(Get::attributes(KEY))));
    }
}

#[test]
fn no_byte_can_be_cut_off_or_added() {
    let place = Place::new();
    let store = place.open();
    for size in [0, 4, CHUNK, CHUNK + 4] {
        let key = format!("files/{size}");
        put(&store, &key, &vec![b'x'; size]);
        let path = place.file(&key);
        let good = fs::read(&path).expect("it is there");
        let header = good.len() - size - 16 * size.div_ceil(CHUNK).max(1);
        let cuts = (0..good.len().min(700)).chain(good.len().saturating_sub(50)..good.len());
        // Between two chunks is where a cut is hardest to see.
        for cut in cuts.chain([header, (header + CHUNK + 16).min(good.len() - 1)]) {
            fs::write(&path, &good[..cut]).expect("it is ours");
            malformed(get(&store, &key));
            malformed(stream(&store, &key));
        }
        for more in [&b"\0"[..], &[0; 16], &[0; 17], &[b'x'; CHUNK + 16], &good] {
            fs::write(&path, [&good, more].concat()).expect("it is ours");
            malformed(get(&store, &key));
            malformed(stream(&store, &key));
        }
    }
}

#[test]
fn errors_say_what_may_have_happened() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, &[b'x'; 100]);
    let path = place.file(KEY);
    let good = fs::read(&path).expect("it is there");
    let mut damaged = good.clone();
    damaged[good.len() - 1] ^= 1;
    for (content, what) in [
        (&good[..good.len() - 1], "the file is cut off, damaged or tampered with"),
        (&damaged, "the file is cut off, damaged or tampered with"),
        (&good[..50], "the file's header is cut off or too long"),
        (b"", "the file is not encrypted with age"),
        (b"A=1\n", "the file is not encrypted with age"),
    ] {
        fs::write(&path, content).expect("it is ours");
        assert_eq!(malformed(get(&store, KEY)), what);
    }
}

#[test]
fn a_file_is_the_object_of_its_own_key_only() {
    let place = Place::new();
    let store = place.open();
    put(&store, "services/api/head/environment", b"x");
    put(&store, "services/web/head/environment", b"y");
    fs::copy(
        place.file("services/web/head/environment"),
        place.file("services/api/head/environment"),
    )
    .expect("both are ours");
    let what = malformed(get(&store, "services/api/head/environment"));
    assert_eq!(
        what,
        "the file is the object of another key: it was moved, copied or renamed"
    );
}

#[test]
fn a_file_of_another_store_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let store = place.open();
    put(&store, KEY, b"x");
    put(&other.open(), KEY, b"y");
    fs::copy(other.file(KEY), place.file(KEY)).expect("both are ours");
    assert_eq!(
        malformed(get(&store, KEY)),
        "the file is not encrypted to this store's identity, or its header is damaged"
    );
}

/// Stanzas for a header, whatever they say.
struct Stanzas(Vec<(&'static str, Vec<String>, Vec<u8>)>);

impl age::Recipient for Stanzas {
    fn wrap_file_key(
        &self,
        _: &FileKey,
    ) -> Result<(Vec<Stanza>, std::collections::HashSet<String>), age::EncryptError> {
        let stanzas = self.0.iter().map(|(tag, args, body)| Stanza {
            tag: (*tag).to_owned(),
            args: args.clone(),
            body: body.clone(),
        });
        Ok((stanzas.collect(), [].into()))
    }
}

/// A file that whoever knows the public key could write.
fn forge(store: &FolderStore, stanzas: Stanzas) -> Vec<u8> {
    let recipient: &x25519::Recipient = &store.home.get().expect("a store").recipient;
    let mut file = Vec::new();
    let recipients: [&dyn age::Recipient; 2] = [recipient, &stanzas];
    let mut writer = age::Encryptor::with_recipients(recipients.into_iter())
        .expect("recipients")
        .wrap_output(&mut file)
        .expect("memory");
    writer.write_all(b"x").expect("memory");
    writer.finish().expect("memory");
    file
}

#[test]
fn a_header_is_read_strictly() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, b"x");
    let place_of = {
        use sha2::Digest as _;
        let text = format!("{}\n{KEY}", store.bucket());
        sha2::Sha256::digest(text).to_vec()
    };
    let ours = |args: &[&str]| {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        ("microsecrets", args, place_of.clone())
    };
    let read = |stanzas| {
        fs::write(place.file(KEY), forge(&store, Stanzas(stanzas))).expect("it is ours");
        run(store.get(Get::attributes(KEY)))
    };
    assert_eq!(read(vec![ours(&["1", "-"])]).expect("as we write it").mark, None);
    for mark in ["nonsense", "", "0", "00000000000000000000000000000000x"] {
        if mark.is_empty() {
            continue; // age's format has no empty arguments
        }
        let object = read(vec![ours(&["1", mark])]).expect("a strange mark");
        assert_eq!(object.mark, Some(Mark::Malformed), "{mark}");
    }
    for stanzas in [
        vec![],
        vec![ours(&[])],
        vec![ours(&["1"])],
        vec![ours(&["0", "-"])],
        vec![ours(&["x", "-"])],
        vec![ours(&["1", "-", "-"])],
        vec![ours(&["1", "-"]), ours(&["1", "-"])],
    ] {
        assert_eq!(malformed(read(stanzas)), "the file was not written by this program");
    }
    let elsewhere = ("microsecrets", vec!["1".into(), "-".into()], vec![0; 32]);
    assert!(malformed(read(vec![elsewhere])).contains("another key"));
    assert_eq!(kind(read(vec![ours(&["2", "-", "more"])])), ErrorKind::NewerFormat);
}

#[test]
fn no_link_leads_out_of_the_folder() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a/x", b"x");
    let outside = place.top.path().join("outside");
    fs::create_dir(&outside).expect("a folder");
    fs::copy(place.file("a/x"), outside.join("x")).expect("a copy");
    symlink(&outside, place.dir().join("folder")).expect("a link");
    symlink(outside.join("x"), place.dir().join("file")).expect("a link");
    symlink("nowhere", place.dir().join("dangling")).expect("a link");

    for key in ["folder/x", "folder/y", "file", "dangling"] {
        let attempts = [
            get(&store, key).map(drop),
            run(store.put(new(key, b"y"))).map(drop),
            run(store.put(over(key, b"y", &ETag::new("\"0\"")))).map(drop),
            delete(&store, key, Which::Any),
        ];
        for attempt in attempts {
            let error = attempt.expect_err("a link is in the way");
            assert!(
                told(&error).ends_with("is a symbolic link: this store does not follow or replace it"),
                "{}",
                told(&error)
            );
        }
    }
    assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 1);
    let page = run(store.list(List::prefix(""))).expect("a page");
    assert_eq!(keys(&page), ["a/x"]);
    assert!(run(store.list(List::prefix("folder/"))).is_err());
    assert_eq!(place.leftovers(), 0);
}

#[test]
fn the_stores_own_files_are_no_links_either() {
    let place = Place::new();
    put(&place.open(), KEY, b"x");
    let own = place.dir().join(".microsecrets");
    let moved = place.top.path().join("moved");
    for name in ["store", "lock", "tmp"] {
        fs::rename(own.join(name), &moved).expect("it is ours");
        symlink(&moved, own.join(name)).expect("a link");
        let outcome = place
            .try_open(Access::Write)
            .and_then(|store| run(store.put(new("other", b"x"))));
        assert!(outcome.is_err(), "{name}");
        fs::remove_file(own.join(name)).expect("it is ours");
        fs::rename(&moved, own.join(name)).expect("it is ours");
    }
    fs::rename(&own, &moved).expect("it is ours");
    symlink(&moved, &own).expect("a link");
    assert!(place.try_open(Access::Read).is_err());
}

#[test]
fn what_is_no_file_is_neither_read_nor_listed() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a/x", b"x");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.file("a/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(place.file("a/socket")).expect("a socket");
    fs::write(place.dir().join("a").join(OsStr::from_bytes(b"\xff")), "x").expect("a file");
    fs::create_dir(place.dir().join(OsStr::from_bytes(b"\xfe"))).expect("a folder");

    for key in ["a/fifo", "a/socket"] {
        let error = get(&store, key).expect_err("it is no file");
        assert!(
            told(&error).contains("is neither a file nor a folder"),
            "{}",
            told(&error)
        );
        assert!(run(store.put(new(key, b"y"))).is_err());
    }
    let page = run(store.list(List::prefix(""))).expect("a page");
    assert_eq!(keys(&page), ["a/x"]);
}

#[test]
fn a_foreign_file_is_listed_so_that_it_can_be_refused() {
    let place = Place::new();
    let store = place.open();
    put(&store, "services/api/environment/a", b"x");
    fs::write(place.file("services/api/environment/z.json"), "12345").expect("a file");
    let page = run(store.list(List::prefix("services/"))).expect("a page");
    assert_eq!(
        keys(&page),
        ["services/api/environment/a", "services/api/environment/z.json"]
    );
    assert_eq!(page.entries[1].size, 5);
    malformed(get(&store, "services/api/environment/z.json"));
    // Nothing is known of it that a writer could have read.
    let key = "services/api/environment/z.json";
    malformed(run(store.put(over(key, b"y", &ETag::new("\"0\"")))));
    assert_eq!(kind(run(store.put(new(key, b"y")))), ErrorKind::PreconditionFailed);
}

#[test]
fn a_file_that_claims_to_be_huge_takes_no_memory() {
    let place = Place::new();
    let store = place.open();
    put(&store, KEY, b"x");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(place.file(KEY))
        .expect("it is ours");
    file.set_len(1 << 40).expect("a sparse file");
    assert_eq!(kind(get(&store, KEY)), ErrorKind::TooLarge { limit: 1 << 20 });
    malformed(stream(&store, KEY));
}

#[test]
fn deep_folders_end_where_keys_do() {
    let place = Place::new();
    let store = place.open();
    put(&store, "a/x", b"x");
    let mut folder = Folder::open(place.dir()).expect("it opens").expect("it is there");
    for _ in 0..700 {
        folder = folder.make_folder("d").expect("a folder");
    }
    folder.new_file("f").expect("a file");
    let page = run(store.list(List::prefix(""))).expect("a page");
    assert_eq!(keys(&page), ["a/x"]);
}
