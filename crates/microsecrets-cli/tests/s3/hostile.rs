//! A bucket, or somebody in its place, that answers what it likes. Nothing of it is believed, and nothing is started.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use microsecrets::checksum::Checksum;
use microsecrets::record::{Head, SignedRecord};
use strict_fake::{Failure, Fault, Raw, Sse};

use crate::{BUCKET, Place, WITH_ENV};

const HEAD: &str = "services/api/head/environment";

/// What to do about something that is not what it was when it was written.
const CHANGED: &str = "hint: it was changed or copied by other means; look who may write there, and upload it again\n";

/// `with-env` starts nothing and says this.
#[track_caller]
fn refuses(place: &Place, status: i32, said: &str) {
    place.assert_fails(&place.microsecrets(&WITH_ENV).run(), status, said);
    assert!(!place.started());
}

/// The bytes of an object.
fn bytes(place: &Place, key: &str) -> Vec<u8> {
    place.fake.object(BUCKET, key).unwrap().body.to_vec()
}

/// The key of the only object whose key begins so.
fn only(place: &Place, prefix: &str) -> String {
    let mut keys = place
        .fake
        .keys(BUCKET)
        .into_iter()
        .filter(|key| key.starts_with(prefix));
    let key = keys.next().unwrap();
    assert_eq!(keys.next(), None);
    key
}

mod encryption {
    use super::*;

    /// Lets the bucket say this of how the head is encrypted.
    fn forge(place: &Place, algorithm: Option<&str>, key: Option<&str>) {
        let sse = algorithm.map_or(Sse::Absent, |algorithm| Sse::Forged {
            algorithm: algorithm.to_owned(),
            key: key.map(ToOwned::to_owned),
        });
        place
            .fake
            .put_raw(BUCKET, HEAD, bytes(place, HEAD), Raw::encrypted(sse));
    }

    #[test]
    fn that_is_none_of_kms_is_refused() {
        let place = Place::with_environment();
        for (algorithm, key, found) in [
            (None, None, "no server-side encryption"),
            (Some("AES256"), None, "SSE-S3 (AES256)"),
            (Some("rot13"), None, "rot13"),
            (Some("aws:kms"), None, "aws:kms under a key that is not said"),
        ] {
            forge(&place, algorithm, key);
            refuses(
                &place,
                122,
                &format!(
                    "error: services/api/head/environment is not trusted\n  \
                       caused by: it has {found}, but SSE-KMS is required\n\
                     hint: an object without the required encryption was not written by microsecrets; for a store \
                     without KMS use --sse AES256\n"
                ),
            );
        }
    }

    #[test]
    fn under_another_key_is_refused_when_one_is_pinned() {
        let place = Place::with_environment();
        let other = place.key.replace("111122223333", "999999999999");
        forge(&place, Some("aws:kms"), Some(&other));
        let run = place.microsecrets(&WITH_ENV).env("MICROSECRETS_KMS_KEY", &place.key);
        let said = format!(
            "error: services/api/head/environment is not trusted\n  \
               caused by: it is encrypted under {other}, but [KEY] is pinned\n\
             hint: if the key was changed on purpose, pin {other} instead\n"
        );
        place.assert_fails(&run.run(), 122, &said);
        assert!(!place.started());
    }
}

mod heads {
    use super::*;

    #[test]
    fn of_another_service_are_refused() {
        let place = Place::with_environment();
        place.fake.kms().create_key("microsecrets-web");
        place
            .microsecrets(&["upload", "-s", "web"])
            .stdin("A=2\n")
            .run()
            .ends(0);
        place.put_raw(HEAD, bytes(&place, "services/web/head/environment"));
        refuses(
            &place,
            122,
            &format!(
                "error: services/api/head/environment is not trusted\n  \
                   caused by: it is the environment of web, not the environment of api\n{CHANGED}"
            ),
        );
    }

    #[test]
    fn of_another_bucket_are_refused_unless_it_is_a_replica() {
        let place = Place::with_environment();
        place.fake.add_bucket("copy", strict_fake::Bucket::default());
        let object = place.fake.object(BUCKET, HEAD).unwrap();
        let raw = Raw {
            attributes: object.attributes,
            ..Raw::default()
        };
        place.fake.put_raw("copy", HEAD, object.body, raw);
        let run = place.microsecrets(&WITH_ENV).env("MICROSECRETS_BUCKET", "copy");
        place.assert_fails(
            &run.run(),
            122,
            "error: services/api/head/environment is not trusted\n  \
               caused by: it was committed to the bucket example-microsecrets, not to copy\n\
             hint: if this is a replica, allow it with --replica example-microsecrets\n",
        );
        let arguments = ["with-env", "-a", "--replica", BUCKET, "--", "touch", "started"];
        place
            .microsecrets(&arguments)
            .env("MICROSECRETS_BUCKET", "copy")
            .run()
            .prints("");
        assert!(place.started());
    }

    #[test]
    fn with_other_bytes_than_their_records_are_refused() {
        let place = Place::with_environment();
        let (entry, content) = place.head("environment").into_parts();
        let mut other = content.expose().to_vec();
        let value = other.windows(3).position(|bytes| bytes == b"\"1\"").unwrap();
        other[value + 1] = b'2';
        place.put_raw(HEAD, [entry.to_bytes(), other].concat());
        refuses(
            &place,
            122,
            &format!(
                "error: services/api/head/environment is not trusted\n  \
                   caused by: its bytes do not match their checksum [CHECKSUM]\n{CHANGED}"
            ),
        );
    }

    #[test]
    fn that_are_none_are_refused() {
        let place = Place::with_environment();
        for (head, why) in [
            (&b""[..], "it ends before the record does"),
            (b"not json\n-\n", "the record is not valid"),
        ] {
            place.put_raw(HEAD, head);
            let outcome = place.microsecrets(&WITH_ENV).run();
            outcome.ends(122);
            let said = place.said(&outcome);
            let lines: Vec<_> = said.lines().collect();
            assert_eq!(lines[0], "error: services/api/head/environment is not valid", "{why}");
            assert_eq!(
                lines.last(),
                Some(&"hint: look who wrote there; `microsecrets doctor` says what is wrong, and what mends it")
            );
        }
        assert!(!place.started());
    }

    #[test]
    fn of_a_newer_format_ask_for_an_upgrade() {
        let place = Place::with_environment();
        let newer = String::from_utf8(bytes(&place, HEAD))
            .unwrap()
            .replacen("\"format\":1", "\"format\":2", 1);
        place.put_raw(HEAD, newer);
        refuses(
            &place,
            125,
            "error: services/api/head/environment is not valid\n  \
               caused by: its format is 2, and this version reads up to 1\n\
             hint: upgrade microsecrets\n",
        );
    }

    #[test]
    fn of_many_megabytes_are_not_read() {
        let place = Place::with_environment();
        place.put_raw(HEAD, vec![b'x'; 6 << 20]);
        place.fake.clear_requests();
        let outcome = place.microsecrets(&WITH_ENV).run();
        outcome.ends(122);
        assert!(
            place
                .said(&outcome)
                .contains("get services/api/head/environment: more than "),
            "{}",
            outcome.stderr
        );
        assert_eq!(place.fake.requests().len(), 1);
        assert!(!place.started());
    }

    /// The size that is announced is compared before anything is kept: ten gigabytes are not even begun.
    #[test]
    fn of_ten_gigabytes_are_not_waited_for() {
        let place = Place::with_environment();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", server.local_addr().unwrap());
        std::thread::spawn(move || {
            for connection in server.incoming() {
                let mut connection = connection.unwrap();
                let mut request = [0; 8_192];
                let _length = connection.read(&mut request).unwrap();
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\nETag: \"x\"\r\n\
                            Date: Mon, 23 Nov 2026 08:00:00 GMT\r\nLast-Modified: Mon, 23 Nov 2026 08:00:00 GMT\r\n\r\n";
                connection.write_all(head.as_bytes()).unwrap();
                // The rest never comes, and the connection stays.
                std::mem::forget(connection);
            }
        });
        let outcome = place
            .microsecrets(&WITH_ENV)
            .env("MICROSECRETS_ENDPOINT", endpoint)
            .run();
        outcome.ends(122);
        assert!(
            place
                .said(&outcome)
                .contains("get services/api/head/environment: more than "),
            "{}",
            outcome.stderr
        );
        assert!(!place.started());
    }

    /// Who may remove a head cannot bring back what it superseded.
    #[test]
    fn that_are_gone_are_missed() {
        let place = Place::with_environment();
        place.fake.remove(BUCKET, HEAD);
        refuses(
            &place,
            122,
            "error: the head of the environment of api is missing, though services/api/environment/[TIME].[CHECKSUM].json \
             was written by this tool\n\
             hint: look who wrote there; `microsecrets doctor` says what is wrong, and what mends it\n",
        );
        let outcome = place.microsecrets(&["upload"]).stdin("A=2\n").run();
        outcome.ends(6);
    }
}

mod versions {
    use super::*;

    #[test]
    fn under_each_others_numbers_are_refused() {
        let place = Place::with_environment();
        place.upload("A=2\n");
        let log = |number: u8| format!("services/api/log/environment/0000000{number}");
        let (first, second) = (bytes(&place, &log(1)), bytes(&place, &log(2)));
        place.put_raw(&log(1), second);
        place.put_raw(&log(2), first);
        for (number, other) in [("1", "2"), ("2", "1")] {
            let outcome = place
                .microsecrets(&["with-env", "-a", "--at", number, "--", "touch", "started"])
                .run();
            let said = format!(
                "error: services/api/log/environment/0000000{number} is not trusted\n  \
                   caused by: its record is of version {other}, not of {number}\n{CHANGED}"
            );
            place.assert_fails(&outcome, 122, &said);
        }
        assert!(!place.started());
        // The current version needs no log.
        place.microsecrets(&WITH_ENV).run().prints("");
    }

    #[test]
    fn with_other_bytes_than_their_names_are_refused() {
        let place = Place::with_environment();
        let key = only(&place, "services/api/environment/");
        place.put_raw(&key, *br#"{"environment": {"A": "evil"}, "metadata": {}}"#);
        let outcome = place
            .microsecrets(&["with-env", "-a", "--at", "1", "--", "touch", "started"])
            .run();
        let said = format!(
            "error: services/api/environment/[TIME].[CHECKSUM].json is not trusted\n  \
               caused by: its bytes do not match their checksum [CHECKSUM]\n{CHANGED}"
        );
        place.assert_fails(&outcome, 122, &said);
        assert!(!place.started());
    }

    #[test]
    fn of_a_large_file_with_other_bytes_are_not_placed() {
        let place = Place::new();
        place.upload_file("x", &vec![7; (1 << 20) + 1]);
        let key = only(&place, "services/api/files/x/");
        place.put_raw(&key, vec![8; (1 << 20) + 1]);
        let outcome = place.microsecrets(&["download", "-f", "x:placed"]).run();
        let said = format!(
            "error: services/api/files/x/[TIME].[CHECKSUM] is not trusted\n  \
               caused by: its bytes do not match their checksum [CHECKSUM]\n{CHANGED}"
        );
        place.assert_fails(&outcome, 6, &said);
        assert!(!place.machine.exists("placed"));
    }

    #[test]
    fn of_034_from_the_future_are_refused() {
        let place = Place::new();
        let document = br#"{"environment": {"A": "1"}, "metadata": {}}"#;
        let key = format!(
            "services/api/environment/2099-01-01.00-00-00.{}.json",
            Checksum::of(document)
        );
        place.put_raw(&key, *document);
        let outcome = place.microsecrets(&WITH_ENV).run();
        outcome.ends(122);
        let said = place.said(&outcome);
        assert!(
            said.starts_with("error: services/api/environment/[TIME].[CHECKSUM].json is dated "),
            "{said}"
        );
        assert!(
            said.contains(" s ahead of the store's clock\nhint: it was written by a machine with a wrong clock"),
            "{said}"
        );
        assert!(!place.started());
    }

    #[test]
    fn outside_the_grammar_are_not_passed_over() {
        let place = Place::new();
        place.put_raw("services/api/environment/zzz.json", "{}");
        refuses(
            &place,
            122,
            "error: services/api/environment/zzz.json is no version's key, but the greatest\n\
             hint: look who wrote there; `microsecrets doctor` says what is wrong, and what mends it\n",
        );
    }
}

mod listings {
    use super::*;

    fn page(content: &str) -> Failure {
        let body = format!(
            "<ListBucketResult><Name>{BUCKET}</Name><EncodingType>url</EncodingType>{content}</ListBucketResult>"
        );
        Failure::Answer {
            status: 200,
            content_type: "application/xml",
            body: body.into_bytes(),
        }
    }

    #[test]
    fn that_never_end_are_left() {
        let place = Place::with_environment();
        let endless = "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>";
        place.fake.fail(Fault::on("ListObjectsV2", page(endless)).always());
        place.assert_fails(
            &place.microsecrets(&["list"]).run(),
            6,
            "error: list services/: malformed answer: it says that there is more, but not where\n\
             hint: something else may have answered in the store's place: check the endpoint and the proxy\n",
        );
    }

    #[test]
    fn of_other_keys_than_were_asked_for_are_refused() {
        let place = Place::new();
        let key = "services/web/environment/2026-11-23.07-58-01.00.json";
        let entry = format!(
            "<Contents><Key>{key}</Key><Size>2</Size><LastModified>2026-11-23T07:58:01.000Z</LastModified></Contents>"
        );
        place.fake.fail(Fault::on("ListObjectsV2", page(&entry)).always());
        let outcome = place.microsecrets(&WITH_ENV).run();
        outcome.ends(122);
        assert!(
            place
                .said(&outcome)
                .contains("malformed answer: a key is outside the prefix"),
            "{}",
            outcome.stderr
        );
    }
}

/// What is put in a head's place is a record that says so, not a forgery of this test's.
#[test]
fn a_head_that_is_put_back_as_it_was_is_believed() {
    let place = Place::with_environment();
    let (entry, content) = place.head("environment").into_parts();
    let entry = SignedRecord::new(entry.record().clone()).unwrap();
    place.put_raw(HEAD, Head::new(entry, content).unwrap().to_bytes().expose());
    place.microsecrets(&WITH_ENV).run().prints("");
    assert!(place.started());
}
