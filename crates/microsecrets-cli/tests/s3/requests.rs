//! What is asked of S3 and KMS, request by request: each one costs time and money, and may fail.

use crate::common::Run;
use crate::{BUCKET, Place, WITH_ENV};

/// Runs something that succeeds, and compares the requests: each group is sent at once, one group after the other. Keys
/// are told without `services/api/`, names of versions and checksums as `NAME`.
#[track_caller]
fn assert_requests(place: &Place, run: Run, groups: &[&[&str]]) {
    place.fake.clear_requests();
    let outcome = run.run();
    assert_eq!(outcome.stderr(), "");
    outcome.ends(0);
    let mut requests = requests(place).into_iter();
    let mut sent: Vec<Vec<String>> = Vec::new();
    for group in groups {
        let mut group: Vec<_> = requests.by_ref().take(group.len()).collect();
        group.sort_unstable();
        sent.push(group);
    }
    sent.extend(requests.map(|request| vec![request]));
    let wanted = groups.iter().map(|group| {
        let mut group = group.to_vec();
        group.sort_unstable();
        group
    });
    assert_eq!(sent, wanted.collect::<Vec<_>>());
}

fn requests(place: &Place) -> Vec<String> {
    let requests = place.fake.requests().into_iter();
    let told = requests.map(|request| {
        let key = request.key.unwrap_or_default();
        let key = key.strip_prefix("services/api/").unwrap_or(&key);
        let parts = key
            .split('/')
            .map(|part| if part.starts_with("20") { "NAME" } else { part });
        format!("{} {}", request.operation, parts.collect::<Vec<_>>().join("/"))
    });
    told.collect()
}

const READ: &str = "GetObject head/environment";

/// The looking around before a write: the head beside the key, then what lies beyond the head.
const BASE: [&[&str]; 2] = [
    &[READ, "DescribeKey alias/microsecrets-api"],
    &["ListObjectsV2 environment/", "ListObjectsV2 log/environment/"],
];

mod with_env {
    use super::*;

    #[test]
    fn is_one_request_and_nothing_is_asked_of_kms() {
        let place = Place::with_environment();
        assert_requests(&place, place.microsecrets(&WITH_ENV), &[&[READ]]);
        assert!(place.started());
        // S3 opened the object with its key, once, and said for which object.
        let uses = place.fake.kms_uses();
        assert_eq!(uses.len(), 1);
        assert_eq!(uses[0].operation, "Decrypt");
        let context = format!("arn:aws:s3:::{BUCKET}/services/api/head/environment");
        assert_eq!(uses[0].encryption_context, [("aws:s3:arn".to_owned(), context)]);
    }

    #[test]
    fn is_one_request_whatever_the_length_of_the_history() {
        let place = Place::with_environment();
        for number in 0..10_000 {
            let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
            let name = format!("2020-01-01.{hour:02}-{minute:02}-{second:02}.{number:064x}");
            place.put_raw(&format!("services/api/environment/{name}.json"), "old");
        }
        assert_requests(&place, place.microsecrets(&WITH_ENV), &[&[READ]]);
        assert!(place.fake.requests()[0].bytes_out < 2_000);
        // Nor does a write list them.
        let unchanged = place.microsecrets(&["upload"]).stdin("A=1\n");
        assert_requests(&place, unchanged, &BASE);
        assert!(place.fake.requests().iter().all(|request| request.bytes_out < 2_000));
    }

    #[test]
    fn with_files_is_a_request_for_each_that_a_head_carries() {
        let place = Place::with_environment();
        place.upload_file("a", &[1; 100]);
        place.upload_file("b", &[2; 1 << 20]);
        let arguments = ["with-env", "-a", "-f", "a:a", "-f", "b:b", "--", "true"];
        let at_once = [READ, "GetObject head/file/a", "GetObject head/file/b"];
        assert_requests(&place, place.microsecrets(&arguments), &[&at_once]);
    }

    #[test]
    fn with_a_large_file_is_a_request_more() {
        let place = Place::with_environment();
        place.upload_file("large", &vec![1; (1 << 20) + 1]);
        let arguments = ["with-env", "-a", "-f", "large:large", "--", "true"];
        assert_requests(
            &place,
            place.microsecrets(&arguments),
            &[&[READ, "GetObject head/file/large"], &["GetObject files/large/NAME"]],
        );
    }

    #[test]
    fn with_a_pin_is_one_request_when_it_is_current() {
        let place = Place::new();
        let checksum = place.upload("A=1\n");
        let arguments = ["with-env", "-c", &checksum, "--", "true"];
        assert_requests(&place, place.microsecrets(&arguments), &[&[READ]]);
    }

    #[test]
    fn with_an_older_pin_lists_and_reads_it() {
        let place = Place::new();
        let checksum = place.upload("A=1\n");
        place.upload("A=2\n");
        place.fake.clear_requests();
        let outcome = place
            .microsecrets(&["with-env", "-c", &checksum, "--", "printenv", "A"])
            .run();
        assert_eq!(outcome.ends(0).raw_stdout(), "1\n");
        let said = "warning: the pinned version is not the current one, which is 2, [TIME].[CHECKSUM]\n";
        assert_eq!(place.said(&outcome), said);
        assert_eq!(
            requests(&place),
            [READ, "ListObjectsV2 environment/", "GetObject environment/NAME"]
        );
    }

    #[test]
    fn at_a_number_reads_the_log_and_the_version() {
        let place = Place::with_environment();
        place.upload("A=2\n");
        for (number, value) in [("1", "1\n"), ("2", "2\n")] {
            place.fake.clear_requests();
            let run = place.microsecrets(&["with-env", "-a", "--at", number, "--", "printenv", "A"]);
            run.run().prints(value);
            let log = format!("GetObject log/environment/0000000{number}");
            assert_eq!(requests(&place), [log.as_str(), "GetObject environment/NAME"]);
        }
    }

    #[test]
    fn in_migration_also_lists_what_is_newer_than_the_head() {
        let place = Place::new();
        legacy(&place, "2020-01-01.00-00-00", "1");
        place.microsecrets(&["migrate", "--apply"]).run().ends(0);
        assert_requests(
            &place,
            place.microsecrets(&WITH_ENV),
            &[&[READ], &["ListObjectsV2 environment/"]],
        );
        // 0.3.4 uploads: it is asked who wrote that, whether the head is still the same, and for the bytes.
        legacy(&place, "2020-01-02.00-00-00", "2");
        assert_requests(
            &place,
            place.microsecrets(&WITH_ENV),
            &[
                &[READ],
                &["ListObjectsV2 environment/"],
                &["HeadObject environment/NAME"],
                &["HeadObject head/environment"],
                &["GetObject environment/NAME"],
            ],
        );
        place.microsecrets(&["migrate", "--finish", "--yes"]).run().ends(0);
        assert_requests(&place, place.microsecrets(&WITH_ENV), &[&[READ]]);
    }

    #[test]
    fn of_what_only_034_wrote_lists_it() {
        let place = Place::new();
        legacy(&place, "2020-01-01.00-00-00", "1");
        assert_requests(
            &place,
            place.microsecrets(&WITH_ENV),
            &[
                &[READ],
                &["ListObjectsV2 environment/"],
                &["GetObject environment/NAME"],
                &["HeadObject head/environment"],
            ],
        );
    }
}

/// What 0.3.4 uploads: bytes, and nothing else.
fn legacy(place: &Place, second: &str, value: &str) {
    let bytes = format!(r#"{{"environment": {{"A": "{value}"}}, "metadata": {{}}}}"#);
    let checksum = microsecrets::checksum::Checksum::of(bytes.as_bytes());
    place.put_raw(&format!("services/api/environment/{second}.{checksum}.json"), bytes);
}

mod upload {
    use super::*;

    fn upload(place: &Place, pairs: &str) -> Run {
        place.microsecrets(&["upload"]).stdin(pairs)
    }

    /// The commit is the put of the head; its two repetitions, which must be refused, show that conditions count.
    #[test]
    fn of_a_new_environment() {
        let place = Place::new();
        assert_requests(
            &place,
            upload(&place, "A=1\n"),
            &[
                BASE[0],
                BASE[1],
                &["PutObject head/environment"],
                &["PutObject head/environment", "PutObject head/environment"],
                &[
                    "PutObject environment/NAME",
                    "PutObject log/environment/00000001",
                    "ListObjectsV2 environment/",
                ],
            ],
        );
    }

    /// The version before is completed first, in case a crash left something out: two puts that are refused.
    #[test]
    fn of_the_next_environment() {
        let place = Place::with_environment();
        assert_requests(
            &place,
            upload(&place, "A=2\n"),
            &[
                BASE[0],
                BASE[1],
                &["PutObject environment/NAME", "PutObject log/environment/00000001"],
                &["PutObject head/environment"],
                &[
                    "PutObject environment/NAME",
                    "PutObject log/environment/00000002",
                    "ListObjectsV2 environment/",
                ],
            ],
        );
    }

    #[test]
    fn of_what_is_current_already_writes_nothing() {
        let place = Place::with_environment();
        assert_requests(&place, upload(&place, "A=1\n"), &BASE);
    }

    /// With the key's ARN there is nothing to look up.
    #[test]
    fn under_a_key_by_its_arn_asks_nothing_of_kms() {
        let place = Place::with_environment();
        let run = upload(&place, "A=1\n").env("MICROSECRETS_KMS_KEY", &place.key);
        assert_requests(&place, run, &[&[READ], BASE[1]]);
    }

    #[test]
    fn of_a_large_file_puts_its_bytes_before_the_commit() {
        let place = Place::new();
        place.machine.write("large", vec![1; (1 << 20) + 1]);
        assert_requests(
            &place,
            place.microsecrets(&["upload", "-f", "large", "large"]),
            &[
                &["GetObject head/file/large", "DescribeKey alias/microsecrets-api"],
                &["ListObjectsV2 files/large/", "ListObjectsV2 log/file/large/"],
                &["PutObject files/large/NAME"],
                &["PutObject head/file/large"],
                &["PutObject head/file/large", "PutObject head/file/large"],
                &["PutObject log/file/large/00000001", "ListObjectsV2 files/large/"],
            ],
        );
    }

    #[test]
    fn of_a_file_of_many_megabytes_is_sent_in_parts() {
        let place = Place::new();
        place.machine.write("large", vec![1; 20 << 20]);
        let part = "UploadPart files/large/NAME";
        assert_requests(
            &place,
            place.microsecrets(&["upload", "-f", "large", "large"]),
            &[
                &["GetObject head/file/large", "DescribeKey alias/microsecrets-api"],
                &["ListObjectsV2 files/large/", "ListObjectsV2 log/file/large/"],
                &["CreateMultipartUpload files/large/NAME"],
                &[part, part, part],
                &["CompleteMultipartUpload files/large/NAME"],
                &["PutObject head/file/large"],
                &["PutObject head/file/large", "PutObject head/file/large"],
                &["PutObject log/file/large/00000001", "ListObjectsV2 files/large/"],
            ],
        );
    }
}

mod the_rest {
    use super::*;

    #[test]
    fn download_reads_as_with_env_does() {
        let place = Place::with_environment();
        assert_requests(&place, place.microsecrets(&["download"]), &[&[READ]]);
        place.upload_file("x", &[1; 100]);
        let file = place.microsecrets(&["download", "-f", "x:x"]);
        assert_requests(&place, file, &[&["GetObject head/file/x"]]);
    }

    #[test]
    fn list_of_services_is_one_request() {
        let place = Place::with_environment();
        assert_requests(&place, place.microsecrets(&["list"]), &[&["ListObjectsV2 services/"]]);
    }
}
