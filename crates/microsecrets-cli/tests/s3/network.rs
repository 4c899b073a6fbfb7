//! What people see when something is wrong on the way: certificates, names, ports, encryption.

use std::path::Path;

use strict_fake::{StrictFake, test_tls};

use crate::common::Run;
use crate::{Place, WITH_ENV};

/// `with-env` starts nothing, and says this after its first line.
#[track_caller]
fn fails(place: &Place, equip: impl Fn(Run) -> Run, status: i32, said: &str) {
    let outcome = equip(place.microsecrets(&WITH_ENV)).run();
    let reading =
        format!("error: cannot read the environment of api\n  caused by: get services/api/head/environment: {said}");
    place.assert_fails(&outcome, status, &reading);
    assert!(!place.started());
}

/// One of the world's authorities.
fn another_authority() -> String {
    let roots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/roots.pem");
    let roots = std::fs::read_to_string(roots).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let mut certificates = roots
        .split_inclusive(end)
        .filter(|certificate| certificate.ends_with(end));
    certificates
        .find(|certificate| !certificate.contains(test_tls::CA.trim()))
        .unwrap()
        .to_owned()
}

const UNREACHABLE: &str = "hint: check the network, the endpoint and the region\n";

#[test]
fn an_endpoint_without_encryption_is_refused_before_anything_is_sent() {
    let place = Place::with_environment();
    let said = "error: open http://s3.example.com: the endpoint is neither https nor loopback\n\
                hint: use https://, or say --insecure-endpoint if the way there is trusted\n";
    let insecure = |run: Run| run.env("MICROSECRETS_ENDPOINT", "http://s3.example.com");
    place.assert_fails(&insecure(place.microsecrets(&WITH_ENV)).run(), 125, said);
    place.assert_fails(&insecure(place.microsecrets(&["upload"])).stdin("A=2\n").run(), 2, said);
    assert!(!place.started());
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let place = Place::with_environment();
    let other = place.machine.write("other.pem", another_authority());
    for variable in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
        fails(
            &place,
            |run| run.env(variable, &other),
            122,
            "the server's certificate is not trusted\n  \
               caused by: TLS handshake failed\n  \
               caused by: invalid peer certificate: UnknownIssuer\n\
             hint: install the system's certificate authorities (ca-certificates), or name the server's with \
             AWS_CA_BUNDLE or SSL_CERT_FILE, if it is yours\n",
        );
    }
    assert!(place.fake.requests().is_empty(), "nothing was sent");
}

#[test]
fn the_authority_may_be_named_either_way() {
    let place = Place::with_environment();
    let bundle = |run: Run| {
        let authority = place.machine.path("ca.pem");
        run.without_env("SSL_CERT_FILE").env("AWS_CA_BUNDLE", authority)
    };
    bundle(place.microsecrets(&WITH_ENV)).run().prints("");
}

#[test]
fn a_bundle_that_holds_nothing_is_named() {
    let place = Place::with_environment();
    let empty = place.machine.write("empty.pem", "no certificate\n");
    let run = place.microsecrets(&["list"]).env("AWS_CA_BUNDLE", empty);
    place.assert_fails(
        &run.run(),
        2,
        "error: open [DIR]/empty.pem: the file of certificates to trust holds none that can be used\n\
         hint: check AWS_CA_BUNDLE: it names a file of certificates in PEM\n",
    );
    let run = place.microsecrets(&["list"]).env("AWS_CA_BUNDLE", "/does/not/exist");
    place.assert_fails(
        &run.run(),
        1,
        "error: open /does/not/exist: input/output error\n  \
           caused by: No such file or directory (os error 2)\n",
    );
}

#[test]
fn a_port_that_nobody_listens_on_is_not_reached() {
    let place = Place::with_environment();
    fails(
        &place,
        |run| run.env("MICROSECRETS_ENDPOINT", "https://127.0.0.1:1"),
        124,
        &format!(
            "not reachable\n  caused by: tcp connect error\n  caused by: Connection refused (os error 111)\n{UNREACHABLE}"
        ),
    );
}

#[test]
fn a_server_that_speaks_no_tls_is_not_reached() {
    let place = Place::with_environment();
    let plain = StrictFake::builder().start();
    fails(
        &place,
        |run| run.env("MICROSECRETS_ENDPOINT", plain.endpoint().replace("http:", "https:")),
        124,
        &format!(
            "not reachable\n  caused by: TLS handshake failed\n  \
               caused by: received corrupt message of type InvalidContentType\n{UNREACHABLE}"
        ),
    );
    assert!(plain.requests().is_empty());
}

#[test]
fn a_server_that_speaks_tls_is_not_reached_without() {
    let place = Place::with_environment();
    fails(
        &place,
        |run| {
            run.env(
                "MICROSECRETS_ENDPOINT",
                place.fake.endpoint().replace("https:", "http:"),
            )
        },
        124,
        &format!("not reachable\n  caused by: invalid HTTP version parsed\n{UNREACHABLE}"),
    );
}

#[test]
fn a_name_that_nobody_has_is_not_reached() {
    let place = Place::with_environment();
    // The reserved name that never is anybody's (RFC 6761); what the resolver says of it differs.
    let run = place.microsecrets(&["list", "--timeout", "1"]);
    let outcome = run.env("MICROSECRETS_ENDPOINT", "https://s3.invalid").run();
    outcome.ends(7);
    let said = place.said(&outcome);
    assert!(
        said.ends_with(UNREACHABLE) || said.contains("no answer for 1 s"),
        "{said}"
    );
}

#[test]
fn a_connection_that_breaks_off_for_ever_is_given_up() {
    let place = Place::with_environment();
    place
        .fake
        .fail(strict_fake::Fault::on("*", strict_fake::Failure::Reset).always());
    fails(
        &place,
        |run| run,
        124,
        &format!("not reachable\n  caused by: Connection reset by peer (os error 104)\n{UNREACHABLE}"),
    );
}
