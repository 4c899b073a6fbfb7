//! Credentials, clock, region and endpoint.

use std::time::{Duration, SystemTime};

use strict_fake::{Failure, Fault};

use crate::common::Run;
use crate::fake::BUCKET;
use crate::findings::Findings;
use crate::{Ward, humane};

#[test]
fn without_credentials_that_are_good_nothing_else_is_asked() {
    let ward = Ward::healthy();
    let look = |change: &dyn Fn(Run) -> Run| {
        let run = change(ward.place.microsecrets(&["doctor", "--format", "json"]));
        let findings = Findings::of(&ward.run(run));
        assert!(!findings.checks().contains(&"versioning"));
        findings.is_ok("contract");
        findings
    };
    let none = |run: Run| {
        run.without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY")
    };
    look(&none).only("failure", "caller").is_mended_by("AWS_ACCESS_KEY_ID");
    let wrong = |run: Run| run.env("AWS_SECRET_ACCESS_KEY", "another one");
    look(&wrong).only("failure", "caller").says("not valid");
    let expired = ward.place.fake.principal("AKIAEXPIRED", "a secret", "111122223333");
    ward.place.fake.set_session_token(&expired, "token");
    ward.place.fake.expire(&expired);
    let expired = |run: Run| {
        run.env("AWS_ACCESS_KEY_ID", "AKIAEXPIRED")
            .env("AWS_SECRET_ACCESS_KEY", "a secret")
            .env("AWS_SESSION_TOKEN", "token")
    };
    look(&expired)
        .only("failure", "caller")
        .says("expired")
        .is_mended_by("sign in again");
}

#[test]
fn credentials_that_end_soon_are_told_of() {
    let ward = Ward::healthy();
    let look = |seconds: u64| {
        let ends = humane(SystemTime::now() + Duration::from_secs(seconds));
        let credentials = format!(
            r#"{{"Version": 1, "AccessKeyId": "AKIAADMIN", "SecretAccessKey": "the administrator's secret",
            "SessionToken": "token", "Expiration": "{ends}"}}"#
        );
        let file = ward.place.machine.write("credentials.json", credentials);
        let config = format!("[default]\ncredential_process = cat {}\n", file.display());
        let config = ward.place.machine.write("aws-config", config);
        let run = ward.place.microsecrets(&["doctor", "--format", "json"]);
        let run = run
            .without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY");
        Findings::of(&ward.run(run.env("AWS_CONFIG_FILE", config)))
    };
    let admin = ward
        .place
        .fake
        .admin("AKIAADMIN", "the administrator's secret", "111122223333");
    ward.place.fake.set_session_token(&admin, "token");
    look(600)
        .only("warning", "credentials")
        .says("from a process")
        .is_mended_by("sign in again");
    look(7_200).are_ok();
}

#[test]
fn who_cannot_reach_sts_is_told_so_and_everything_else() {
    let ward = Ward::healthy();
    let denied = ward
        .place
        .fake
        .fail(Fault::on("GetCallerIdentity", Failure::Status(403, "AccessDenied")).always());
    ward.look(&[])
        .only("warning", "caller")
        .is_mended_by("sts:GetCallerIdentity");
    assert!(denied.fired() > 0);
    // Without it nobody knows whose bucket it should be.
    ward.without_line("bucket-owner");
    let findings = ward.look(&[]);
    assert_eq!(findings.sick()[0], ("warning", "caller"));
    assert!(!findings.checks().contains(&"versioning"));
    findings.is_ok("right-get").is_ok("head");
}

#[test]
fn a_clock_that_is_off_is_told_of() {
    let ward = Ward::healthy();
    for off in [120, -120] {
        ward.place.fake.set_clock(off);
        ward.look(&[])
            .only("warning", "clock")
            .says("2 min")
            .is_mended_by("timedatectl set-ntp true");
    }
    for off in [1_000, -1_000] {
        ward.place.fake.set_clock(off);
        let findings = ward.look(&[]);
        findings
            .one("failure", "clock")
            .is_mended_by("timedatectl set-ntp true");
        assert!(!findings.checks().contains(&"versioning"));
    }
    ward.place.fake.set_clock(0);
    ward.look(&[]).are_ok();
}

#[test]
fn the_clock_is_also_seen_where_nothing_may_be_listed() {
    let ward = Ward::healthy();
    let somebody = ward.somebody("reader");
    ward.place.fake.set_clock(120);
    ward.look_as(&somebody, &[]).one("warning", "clock").says("behind");
    // Where nothing may be read either, it is not.
    ward.place.fake.set_clock(0);
    ward.place.fake.revoke_all(&somebody);
    ward.look_as(&somebody, &[])
        .one("warning", "clock")
        .says("cannot be compared")
        .lacks("s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}"));
}

#[test]
fn a_bucket_in_another_region_is_named_with_its_region() {
    let ward = Ward::healthy();
    let look = |region: &str| {
        let run = ward.place.microsecrets(&["doctor", "--format", "json", "-r", region]);
        Findings::of(&ward.run(run))
    };
    let findings = look("eu-west-1");
    findings.only("failure", "region").is_mended_by("say -r us-east-1");
    assert!(!findings.checks().contains(&"key"));
    look("us-east-1").are_ok();
}

#[test]
fn a_bucket_that_is_not_there_can_be_made() {
    let ward = Ward::healthy();
    let look = || {
        let run = ward
            .place
            .microsecrets(&["doctor", "--format", "json"])
            .env("MICROSECRETS_BUCKET", "new-bucket");
        Findings::of(&ward.run(run.env("MICROSECRETS_BUCKET_OWNER", "111122223333")))
    };
    let findings = look();
    let mend = findings.one("failure", "region").says("no bucket new-bucket").mend();
    let command = mend.split_once("make it: ").unwrap().1;
    assert_eq!(command, "microsecrets setup -b new-bucket -r us-east-1 --bucket-only");
    ward.does(command);
    // The contract's service has nothing in it.
    look()
        .is_ok("region")
        .is_ok("versioning")
        .is_ok("bucket-policy")
        .one("warning", "objects");
}

#[test]
fn an_endpoint_without_tls_is_told_of() {
    let ward = Ward::healthy();
    let arguments = ["doctor", "--format", "json", "--insecure-endpoint", "--timeout", "1"];
    let run = ward
        .place
        .microsecrets(&arguments)
        .env("MICROSECRETS_ENDPOINT", "http://127.0.0.1:9");
    let findings = Findings::of(&run.run());
    findings.one("warning", "endpoint").is_mended_by("https://");
    // Whoever is not there is not right either.
    findings.one("warning", "clock");
    findings.one("failure", "objects");
    ward.look(&[]).is_ok("endpoint");
}
