//! `microsecrets list`: services, and the items of one.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;

use common::TestEnvironment;
use microsecrets::layout::Item;

fn item(text: Option<&str>) -> Item {
    let service = "api".parse().unwrap();
    match text {
        Some(label) => Item::file(service, label.parse().unwrap()),
        None => Item::environment(service),
    }
}

#[test]
fn services_are_listed_by_name() {
    let environment = TestEnvironment::new();
    for service in ["web", "api", "db-1"] {
        environment.upload_with(&["-s", service], "A=1\n");
    }
    environment.upload_with(&["-s", "files-only", "-f", "blob"], "b".repeat(100));
    environment
        .microsecrets(&["list"])
        .run()
        .prints("api\ndb-1\nfiles-only\nweb\n");
    let json = environment.microsecrets(&["list", "--format", "json"]).run();
    json.prints("[\"api\",\"db-1\",\"files-only\",\"web\"]\n");
}

#[test]
fn the_items_of_a_service_are_listed_with_their_current_version() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.upload("A=2\n");
    environment.upload_file("tls.pem", "t".repeat(100));
    environment.upload_file("blob", "b".repeat(2 << 20));
    let list = environment.microsecrets(&["list", "api"]).run();
    let checksum = |label| {
        let keys = environment
            .microsecrets(&["download", "-s", "api", "-l"])
            .run()
            .raw_stdout();
        let key = keys.lines().find(|key| key.contains(label)).unwrap().to_owned();
        let checksum = key.trim_end_matches(".json").rsplit('.').next().unwrap().to_owned();
        checksum[..12].to_owned()
    };
    // A time has 20 characters, and its column is padded to them.
    let expected = format!(
        "ITEM          VERSION  TIME                  SIZE     CHECKSUM\n\
         environment   2        [TIME]  SIZE1      {}\n\
         file/blob     1        [TIME]  2097152  {}\n\
         file/tls.pem  1        [TIME]  100      {}\n",
        checksum("/environment/"),
        checksum("/blob/"),
        checksum("/tls.pem/"),
    );
    // The size of an environment depends on this machine's name, which is in its metadata.
    let shown = list.stdout();
    let size = shown
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .nth(3)
        .unwrap()
        .to_owned();
    list.prints(&expected.replace("SIZE1      ", &format!("{size:<9}")));
}

#[test]
fn items_are_listed_for_programs() {
    let environment = TestEnvironment::new();
    environment.upload_file("tls.pem", "t".repeat(100));
    environment.upload_file("old.pem", "o".repeat(100));
    environment.delete(&item(Some("old.pem")));
    environment
        .microsecrets(&["list", "api", "--format", "json"])
        .run()
        .prints(
            "[{\"item\":\"file/old.pem\",\"state\":\"deleted\",\"time\":\"[TIME]\",\"version\":2},\
         {\"checksum\":\"[CHECKSUM]\",\"item\":\"file/tls.pem\",\"size\":100,\"state\":\"live\",\"time\":\"[TIME]\",\
         \"version\":1}]\n",
        );
}

#[test]
fn what_was_deleted_is_shown_as_such() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.delete(&item(None));
    environment.microsecrets(&["list", "api"]).run().prints(
        "ITEM         VERSION  TIME                  SIZE     CHECKSUM\n\
         environment  2        [TIME]  deleted\n",
    );
    environment.microsecrets(&["download", "-s", "api"]).run().fails(
        3,
        "error: the environment of api was deleted at [TIME] by ann@example\n\
         hint: `microsecrets rollback 1` brings it back\n",
    );
    let arguments = ["with-env", "-s", "api", "-a", "--", "touch", "started"];
    environment.microsecrets(&arguments).run().ends(123);
    assert!(!environment.exists("started"));
    environment
        .microsecrets(&["download", "-s", "api", "--list"])
        .run()
        .prints("");
    environment
        .microsecrets(&["download", "-s", "api", "--at", "1"])
        .run()
        .prints("{\n  \"A\": \"1\"\n}\n");
    environment
        .microsecrets(&["download", "-s", "api", "--at", "2"])
        .run()
        .fails(
            3,
            "error: version 2 of the environment of api is a deletion\n\
             hint: `microsecrets history` shows which versions have bytes\n",
        );
    // Publishing the same again is a new version.
    let upload = environment.microsecrets(&["upload", "-s", "api"]).stdin("A=1\n").run();
    assert!(upload.stdout().ends_with("  version: 3\n"), "{}", upload.stdout());
}

#[test]
fn an_item_that_cannot_be_read_hides_no_other() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.upload_file("tls.pem", "t".repeat(100));
    environment.write("store/services/api/head/environment", "damaged");
    let list = environment.microsecrets(&["list", "api"]).run().stdout();
    assert!(
        list.contains(
            "environment   -        -                     (get services/api/head/environment: the file is \
             not encrypted with age)\n"
        ),
        "{list}"
    );
    assert!(list.contains("file/tls.pem  1  "), "{list}");
    let json = environment
        .microsecrets(&["list", "api", "--format", "json"])
        .run()
        .stdout();
    assert!(
        json.starts_with("[{\"error\":\"get services/api/head/environment: "),
        "{json}"
    );
}

#[test]
fn a_service_that_is_not_there_is_said() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.microsecrets(&["list", "nosuch"]).run().fails(
        3,
        "error: there is no service nosuch in file:[DIR]/store\n\
         hint: `microsecrets list` shows the services there are\n",
    );
}

#[test]
fn an_empty_store_has_no_services() {
    let environment = TestEnvironment::new();
    fs::create_dir(environment.path("store")).unwrap();
    environment.microsecrets(&["list"]).run().prints("");
    environment
        .microsecrets(&["list", "--format", "json"])
        .run()
        .prints("[]\n");
}
