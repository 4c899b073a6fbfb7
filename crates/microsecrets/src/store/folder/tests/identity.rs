//! How a folder becomes a store, and who may open it.

use super::*;

#[test]
fn writing_makes_the_store_and_its_identity_once() {
    let place = Place::new();
    let id = place.open().bucket().to_owned();
    assert!(id.starts_with("folder-") && id.len() == 39, "{id}");
    let store = place.open();
    assert_eq!(store.bucket(), id);
    assert_eq!(fs::read_dir(place.identities()).expect("a folder").count(), 1);
    assert_ne!(Place::new().open().bucket(), id);
    let dir = place.dir().canonicalize().expect("it is there");
    assert_eq!(store.location(), format!("file:{}", dir.display()));
}

#[test]
fn reading_makes_nothing() {
    let place = Place::new();
    assert_eq!(
        place.refusal(),
        (
            ErrorKind::NoSuchFolder,
            "open file:TOP/secrets: no such folder, or no store in it: there is no folder TOP/secrets".into()
        )
    );
    fs::create_dir(place.dir()).expect("a folder");
    let store = place.try_open(Access::Read).expect("an empty folder is an empty store");
    assert_eq!(store.bucket(), "");
    assert_eq!(store.identity_path(), None);
    assert_eq!(kind(get(&store, KEY)), ErrorKind::NotFound);
    let page = run(store.list(List::prefix(""))).expect("an empty page");
    assert!(page.entries.is_empty() && page.continuation.is_none());
    assert!(!place.identities().exists());
    assert_eq!(fs::read_dir(place.dir()).expect("a folder").count(), 0);
}

#[test]
fn a_reader_of_an_empty_folder_sees_it_become_a_store() {
    let place = Place::new();
    fs::create_dir(place.dir()).expect("a folder");
    let reader = place.try_open(Access::Read).expect("an empty store");
    let writer = place.open();
    put(&writer, KEY, b"x");
    assert_eq!(get(&reader, KEY).expect("it is there"), b"x");
    assert_eq!(reader.bucket(), writer.bucket());
}

#[test]
fn a_reader_cannot_write() {
    let place = Place::new();
    place.open();
    let store = place.try_open(Access::Read).expect("a store");
    let error = run(store.put(new(KEY, b"x"))).expect_err("it is open to read");
    assert!(told(&error).ends_with("opened for reading only"), "{}", told(&error));
    assert!(delete(&store, KEY, Which::Any).is_err());
}

#[test]
fn a_reader_needs_no_right_to_write() {
    let place = Place::new();
    put(&place.open(), KEY, b"x");
    for path in [place.dir(), place.dir().join(".microsecrets")] {
        set_mode(&path, 0o500);
    }
    let store = place.try_open(Access::Read).expect("a store");
    assert_eq!(get(&store, KEY).expect("it is there"), b"x");
    for path in [place.dir(), place.dir().join(".microsecrets")] {
        set_mode(&path, 0o700);
    }
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.dir()).expect("a folder");
    fs::write(place.dir().join("notes.txt"), "x").expect("a file");
    for access in [Access::Read, Access::Write] {
        let Err(error) = place.try_open(access) else {
            panic!("it opens");
        };
        assert_eq!(error.kind, ErrorKind::NoSuchFolder);
        assert!(
            place
                .told(&error)
                .ends_with("TOP/secrets is not empty, and no store is in it")
        );
    }
    assert_eq!(fs::read_dir(place.dir()).expect("a folder").count(), 1);
    assert!(!place.identities().exists());
}

#[test]
fn a_store_that_was_half_made_is_made_again() {
    let place = Place::new();
    fs::create_dir_all(place.dir().join(".microsecrets")).expect("a folder");
    fs::write(place.dir().join(".microsecrets/lock"), "").expect("a file");
    put(&place.open(), KEY, b"x");
}

#[test]
fn without_the_identity_it_says_where_to_get_it() {
    let place = Place::new();
    let path = place.open().identity_path().expect("it has one");
    fs::rename(&path, path.with_extension("elsewhere")).expect("it is ours");
    let name = path.file_name().expect("a file").display().to_string();
    assert_eq!(
        place.refusal(),
        (
            ErrorKind::IdentityUnusable,
            format!(
                "open file:TOP/secrets: the store's identity cannot be used: there is no \
                 TOP/config/identities/{name}: copy it from the machine that made the store"
            )
        )
    );
    assert!(place.try_open(Access::Write).is_err());
    assert_eq!(fs::read_dir(place.identities()).expect("a folder").count(), 1);
}

#[test]
fn another_stores_identity_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let path = place.open().identity_path().expect("it has one");
    let wrong = other.open().identity_path().expect("it has one");
    for content in [fs::read(wrong).expect("text"), b"nonsense\n".to_vec(), vec![0xff]] {
        fs::write(&path, content).expect("it is ours");
        let (kind, text) = place.refusal();
        assert_eq!(kind, ErrorKind::IdentityUnusable);
        assert!(text.contains("holds another identity, or none"), "{text}");
    }
}

#[test]
fn an_identity_that_others_may_open_is_refused() {
    let place = Place::new();
    let path = place.open().identity_path().expect("it has one");
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        set_mode(&path, mode);
        let (kind, text) = place.refusal();
        assert_eq!(kind, ErrorKind::IdentityUnusable);
        assert!(text.contains(&format!("is open to others (mode {mode:03o})")), "{text}");
    }
    set_mode(&path, 0o400);
    assert!(place.try_open(Access::Read).is_ok());
}

#[test]
fn an_identity_is_never_made_inside_the_folder() {
    let place = Place::new();
    let inside = FolderSettings::new(place.dir(), place.dir().join("config/identities"));
    let Err(error) = run(FolderStore::open(inside, Access::Write)) else {
        panic!("it opens");
    };
    assert_eq!(error.kind, ErrorKind::IdentityUnusable);
    let source = error.source.expect("a reason");
    assert!(matches!(
        source.downcast_ref(),
        Some(FolderError::IdentityInside { .. })
    ));
    assert_eq!(fs::read_dir(place.dir()).expect("a folder").count(), 0);

    std::os::unix::fs::symlink(place.dir(), place.top.path().join("link")).expect("a link");
    let behind = FolderSettings::new(place.dir(), place.top.path().join("link/identities"));
    assert!(run(FolderStore::open(behind, Access::Write)).is_err());
}

#[test]
fn a_newer_store_asks_for_an_upgrade() {
    let place = Place::new();
    place.open();
    let description = place.dir().join(".microsecrets/store");
    fs::write(&description, "{\"format\":2,\"anything\":[]}\n").expect("it is ours");
    let (kind, text) = place.refusal();
    assert_eq!(kind, ErrorKind::NewerFormat);
    assert!(text.ends_with("is of a newer format (2): upgrade"), "{text}");
}

#[test]
fn a_description_that_is_not_ours_is_refused() {
    let place = Place::new();
    place.open();
    let description = place.dir().join(".microsecrets/store");
    let good = fs::read_to_string(&description).expect("text");
    for bad in [
        String::new(),
        "nonsense".into(),
        good.replace("\"format\":1", "\"format\":0"),
        good.replace("\"format\":1", "\"format\":1,\"more\":1"),
        good.replace("folder-", "../"),
        good.replace("folder-", "folder-0"),
        good.repeat(2),
        format!("{good}{}", " ".repeat(100_000)),
    ] {
        fs::write(&description, &bad).expect("it is ours");
        let (kind, text) = place.refusal();
        assert!(matches!(kind, ErrorKind::Damaged(_)), "{bad:.80}: {text}");
    }
    fs::write(&description, good).expect("it is ours");
    assert!(place.try_open(Access::Read).is_ok());
}

#[test]
fn the_folder_may_be_reached_over_a_link() {
    let place = Place::new();
    put(&place.open(), KEY, b"x");
    let link = place.top.path().join("link");
    std::os::unix::fs::symlink(place.dir(), &link).expect("a link");
    let store = run(FolderStore::open(
        FolderSettings::new(link, place.identities()),
        Access::Read,
    ))
    .expect("a store");
    assert_eq!(get(&store, KEY).expect("it is there"), b"x");
}
