//! Every command when the store fails, and says the secrets in its answers: real ones quote what they were sent.

use std::fs;

use strict_fake::{Failure, Fault};

use crate::calls::{ALL, Help, PLAIN, one_of_each};
use crate::worlds::{World, files};

/// An answer, and the requests that get it.
type Wrong = (&'static str, Failure);

/// The secrets, as XML.
fn quoted(world: &World) -> String {
    let all = [&world.secret]
        .into_iter()
        .chain(world.hidden.iter().map(|(_, canary)| canary));
    let text = all.map(|canary| canary.text.clone()).collect::<Vec<_>>().join(" ");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn xml(status: u16, code: &str, rest: &str) -> Failure {
    let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code>{rest}</Error>").into_bytes();
    Failure::Answer {
        status,
        content_type: "application/xml",
        body,
    }
}

/// What S3 and KMS answer that quotes, what a proxy on the way may, and answers that break off or change.
fn wrongs(world: &World) -> Vec<Wrong> {
    let secrets = quoted(world);
    let message = format!("<Message>{secrets}</Message>");
    let request = format!(
        "<Message>The signature does not match</Message><SignatureProvided>{secrets}</SignatureProvided>\
         <StringToSign>AWS4-HMAC-SHA256 {secrets}</StringToSign>\
         <CanonicalRequest>PUT x-amz-security-token:{secrets}</CanonicalRequest>"
    );
    let plain = |status, content_type, body: String| Failure::Answer {
        status,
        content_type,
        body: body.into_bytes(),
    };
    let kms = serde_json::json!({"__type": "AccessDeniedException", "message": secrets, "Message": secrets});
    let damage = |strip_checksums| Failure::CorruptBody {
        at: 700,
        strip_checksums,
    };
    vec![
        ("*", xml(403, "AccessDenied", &message)),
        ("*", xml(403, "SignatureDoesNotMatch", &request)),
        (
            "*",
            xml(400, "ExpiredToken", &format!("{message}<Token-0>{secrets}</Token-0>")),
        ),
        (
            "*",
            xml(
                400,
                "InvalidArgument",
                &format!("{message}<ArgumentValue>{secrets}</ArgumentValue>"),
            ),
        ),
        (
            "*",
            xml(
                412,
                "PreconditionFailed",
                &format!("{message}<Condition>{secrets}</Condition>"),
            ),
        ),
        ("*", xml(501, "NotImplemented", &message)),
        ("*", xml(400, "Unheard", &format!("{message}<{secrets}>"))),
        ("*", plain(200, "text/html", format!("<html>{secrets}</html>"))),
        (
            "*",
            plain(
                200,
                "application/json",
                serde_json::json!({"KeyMetadata": {"KeyId": 1, "Arn": [secrets]}}).to_string(),
            ),
        ),
        ("*", plain(403, "text/plain", secrets)),
        ("kms:*", plain(400, "application/x-amz-json-1.1", kms.to_string())),
        ("*", Failure::TruncateBody(700)),
        ("*", damage(false)),
        ("*", damage(true)),
    ]
}

#[test]
#[allow(clippy::print_stderr)]
fn of_the_bucket_that_quote_it_are_not_repeated() {
    let (mut runs, mut struck) = (0, 0);
    let count = wrongs(&World::bucket()).len();
    for number in 0..count {
        let world = World::bucket();
        let (operation, failure) = wrongs(&world).swap_remove(number);
        let calls = one_of_each(&world);
        let help = Help::of(&world, &calls);
        let mut fired = 0;
        for (at, call) in calls.iter().enumerate() {
            let fake = &world.place.as_ref().unwrap().fake;
            let fault = Fault::on(operation, failure.clone());
            // All requests, the second, or the third: in turn for each command.
            let fault = match (at + number) % 3 {
                0 => fault.always(),
                nth => fault.nth(nth + 1),
            };
            let fault = fake.fail(fault);
            let verbosity = if at % 4 == 0 { PLAIN } else { ALL };
            let what = format!("{call} {verbosity} {failure:?}");
            let outcome = call.run(&world, &help, &verbosity).run();
            fake.clear_faults();
            world.hides(&outcome, call.shows, &what);
            fired += fault.fired().min(1);
            runs += 1;
        }
        world.left_nothing(&format!("{failure:?}"));
        assert!(fired >= if operation == "*" { 15 } else { 5 }, "{failure:?}: {fired}");
        struck += fired;
    }
    eprintln!("{runs} runs with {count} answers, {struck} of them struck");
}

/// AWS says who may not do what with which thing, and why. Action and thing are shown, since people need them; of all that
/// a server says beside its code, nothing else is.
#[test]
fn of_rights_show_only_what_aws_says_about_rights() {
    let world = World::bucket();
    let fake = &world.place.as_ref().unwrap().fake;
    let secrets = quoted(&world);
    let denied = "User: arn:aws:iam::1:user/ann is not authorized to perform: s3:GetObject on resource: \"arn:x\"";
    let message = format!("<Message>{denied} because no policy allows it</Message><Detail>{secrets}</Detail>");
    fake.fail(Fault::on("*", xml(403, "AccessDenied", &message)).always());
    let outcome = world.run(&["get", "A", "-v"]).run();
    world.hides(&outcome, false, &"denied");
    let right = "access denied: s3:GetObject on arn:x (AccessDenied, request";
    assert!(outcome.stderr.contains(right), "{}", outcome.stderr);
}

/// What can be wrong with a folder.
#[derive(Clone, Copy, Debug)]
enum Damage {
    NoIdentity,
    AnIdentityThatIsNone,
    CutObjects,
    PlainObjects,
    NoFolder,
}

fn damage(world: &World, how: Damage) {
    let machine = world.machine();
    let secret = &world.secret.text;
    let identities = || {
        let entries = fs::read_dir(machine.path("config/microsecrets")).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    let objects = || files(&machine.path("store/services")).into_iter();
    match how {
        Damage::NoIdentity => identities().for_each(|path| fs::remove_file(path).unwrap()),
        Damage::AnIdentityThatIsNone => {
            identities().for_each(|path| fs::write(path, format!("AGE-SECRET-KEY-1{secret}\n")).unwrap());
        }
        Damage::CutObjects => objects().for_each(|(path, bytes)| fs::write(path, &bytes[..bytes.len() / 2]).unwrap()),
        Damage::PlainObjects => objects().for_each(|(path, _)| fs::write(path, secret).unwrap()),
        Damage::NoFolder => {
            fs::remove_dir_all(machine.path("store")).unwrap();
            machine.write("store", secret);
        }
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn of_the_folder_show_nothing() {
    let mut runs = 0;
    for how in [
        Damage::NoIdentity,
        Damage::AnIdentityThatIsNone,
        Damage::CutObjects,
        Damage::PlainObjects,
        Damage::NoFolder,
    ] {
        let world = World::folder();
        let calls = one_of_each(&world);
        let help = Help::of(&world, &calls);
        damage(&world, how);
        let mut failed = 0;
        for call in &calls {
            let outcome = call.run(&world, &help, &ALL).run();
            world.hides(&outcome, call.shows, &format!("{call} {how:?}"));
            failed += usize::from(!outcome.status.success());
            runs += 1;
        }
        assert!(failed >= 10, "{how:?}: {failed} failed");
    }
    eprintln!("{runs} runs");
}
