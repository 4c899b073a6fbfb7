//! Least privilege, as the program prints it: each role's policy is what its commands need, and taking any right of it away
//! makes one of them fail. On the strict fake, which allows exactly what a principal was given.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/fake.rs"]
mod fake;

use common::Run;
use fake::{BUCKET, Place};
use serde_json::{Value, json};
use strict_fake::Principal;

const ACCOUNT: &str = "111122223333";

/// A service with versions of everything, a key that signs, and a second service with its own key.
struct World {
    place: Place,
    pin: String,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        place.fake.kms().create_signing_key("microsecrets-signing/api");
        place.fake.kms().create_key("microsecrets-web");
        place.upload("A=1\n");
        place.upload("A=2\n");
        place.machine.write("large", vec![7; (1 << 20) + 1]);
        for (label, file) in [("large", "large"), ("small", "ca.pem")] {
            place.microsecrets(&["upload", "-q", "-f", label, file]).run().ends(0);
        }
        place
            .microsecrets(&["upload", "-q", "-s", "web"])
            .stdin("W=1\n")
            .run()
            .ends(0);
        let exported = place.microsecrets(&["signing-key", "export", "--format", "json"]).run();
        let exported: Value = serde_json::from_str(&exported.ends(0).raw_stdout()).unwrap();
        let pin = exported["base64"].as_str().unwrap().to_owned();
        Self { place, pin }
    }

    /// The policy that the program prints for a role.
    fn policy(&self, role: &str) -> Value {
        let mut arguments = vec!["policy", "--role", role];
        if role == "pruner" {
            arguments.push("--purge");
        }
        let printed = self.place.microsecrets(&arguments).run();
        let printed: Value = serde_json::from_str(&printed.ends(0).raw_stdout()).unwrap();
        printed["identity-policy"].clone()
    }

    /// Somebody with exactly the rights of some policies.
    fn somebody(&self, policies: &[&Value]) -> Principal {
        let who = self.place.fake.principal("AKIASOMEBODY", "somebody's secret", ACCOUNT);
        for policy in policies {
            self.place.fake.attach_policy(&who, &policy.to_string()).unwrap();
        }
        who
    }

    fn run(&self, who: &Principal, arguments: &[&str]) -> Run {
        self.place.microsecrets_as(who, arguments)
    }
}

/// A policy once for each right in it, without that right.
fn without_one(policy: &Value) -> Vec<(String, Value)> {
    let statements = policy["Statement"].as_array().unwrap();
    let mut less = Vec::new();
    for (position, statement) in statements.iter().enumerate() {
        let listed = |value: &Value| match value {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        let (actions, resources) = (listed(&statement["Action"]), listed(&statement["Resource"]));
        for part in ["Action", "Resource"] {
            let values = if part == "Action" { &actions } else { &resources };
            if part == "Resource" && values.len() == 1 {
                continue;
            }
            for value in values {
                let left: Vec<_> = values.iter().filter(|other| *other != value).cloned().collect();
                let mut policy = policy.clone();
                match left.is_empty() {
                    true => drop(policy["Statement"].as_array_mut().unwrap().remove(position)),
                    false => policy["Statement"][position][part] = json!(left),
                }
                less.push((format!("{value} of {}", statement["Sid"]), policy));
            }
        }
    }
    less
}

/// All of a role's commands succeed with its policy, and one fails whichever right is missing.
#[track_caller]
fn is_minimal(role: &str, others: &[&str], commands: impl Fn(&World, &Principal) -> Vec<i32>) {
    let world = World::new();
    let policy = world.policy(role);
    let others: Vec<Value> = others.iter().map(|role| world.policy(role)).collect();
    let with = |world: &World, policy: &Value| {
        let policies: Vec<&Value> = std::iter::once(policy).chain(&others).collect();
        commands(world, &world.somebody(&policies))
    };
    let statuses = with(&world, &policy);
    assert!(statuses.iter().all(|status| *status == 0), "{role}: {statuses:?}");
    let less = without_one(&policy);
    assert!(less.len() >= 2, "{policy}");
    for (missing, policy) in less {
        let statuses = with(&World::new(), &policy);
        assert!(
            statuses.iter().any(|status| *status != 0),
            "{role} does not need {missing}"
        );
    }
}

fn status(run: Run) -> i32 {
    run.run().status.code().unwrap()
}

#[test]
fn a_reader_needs_all_of_its_rights_to_start_and_to_download() {
    is_minimal("reader", &[], |world, reader| {
        let run = |arguments: &[&str]| status(world.run(reader, arguments));
        vec![
            run(&[
                "with-env", "-a", "-f", "small:a", "-f", "large:b", "--force", "--", "true",
            ]),
            run(&["with-env", "-a", "--at", "1", "--", "true"]),
            run(&["download", "-f", "large:c", "--force"]),
            run(&["get", "A"]),
        ]
    });
}

#[test]
fn a_lister_needs_all_of_its_rights_to_list_and_to_look_back() {
    is_minimal("lister", &[], |world, lister| {
        let run = |arguments: &[&str]| status(world.run(lister, arguments));
        vec![run(&["list", "api"]), run(&["history"]), run(&["download", "--list"])]
    });
}

#[test]
fn a_writer_needs_all_of_its_rights_to_write() {
    is_minimal("writer", &[], |world, writer| {
        let interrupted = strict_fake::Fault::on(
            "CompleteMultipartUpload",
            strict_fake::Failure::Status(400, "InvalidPart"),
        );
        let large = vec![9; 9 << 20];
        world.place.machine.write("larger", large);
        let mut statuses = vec![
            status(world.run(writer, &["set", "-q", "B"]).stdin("1")),
            status(world.run(writer, &["upload", "-q"]).stdin("A=3\n")),
            status(world.run(writer, &["upload", "-q", "-f", "larger", "larger"])),
            status(world.run(writer, &["rollback", "-q", "--yes", "1"])),
        ];
        // Half an upload is taken away again, with the right to that.
        world.place.fake.fail(interrupted);
        world.run(writer, &["upload", "-q", "-f", "torn", "larger"]).run();
        statuses.push(i32::from(!world.place.fake.uploads(BUCKET).is_empty()));
        world.place.fake.clear_faults();
        statuses
    });
}

#[test]
fn a_pruner_needs_all_of_its_rights_to_prune_and_to_purge() {
    is_minimal("pruner", &[], |world, pruner| {
        let run = |arguments: &[&str]| status(world.run(pruner, arguments));
        world.place.microsecrets(&["upload", "-q"]).stdin("A=9\n").run().ends(0);
        world.place.machine.write("other", vec![8; (1 << 20) + 1]);
        world
            .place
            .microsecrets(&["upload", "-q", "-f", "large", "other"])
            .run()
            .ends(0);
        let mut statuses = vec![
            run(&["prune", "--keep", "1", "--purge", "--yes"]),
            run(&["prune", "-f", "large", "--keep", "1", "--purge", "--yes"]),
        ];
        // What a purge leaves behind is no purge.
        let left = world.place.fake.keys(BUCKET).len();
        statuses.push(i32::from(left == 0));
        statuses
    });
}

#[test]
fn a_signer_needs_all_of_its_rights_beside_a_writers() {
    is_minimal("signer", &["writer"], |world, signer| {
        let pin = world.pin.clone();
        let signed = ["--sign", "--verify-key", &pin];
        let run = |arguments: &[&str]| status(world.run(signer, arguments));
        vec![
            run(&[&["re-sign", "--adopt", "--yes"], &signed[..]].concat()),
            status(
                world
                    .run(signer, &[&["set", "-q", "S"], &signed[..]].concat())
                    .stdin("1"),
            ),
            run(&["signing-key", "export"]),
        ]
    });
}

/// One service's reader, and writer, can do nothing with another's.
#[test]
fn nobody_can_do_anything_with_another_service() {
    let world = World::new();
    let roles = ["reader", "lister", "writer", "pruner", "signer"].map(|role| world.policy(role));
    let who = world.somebody(&roles.iter().collect::<Vec<_>>());
    let before = world.place.fake.keys(BUCKET);
    for arguments in [
        &["with-env", "-s", "web", "-a", "--", "true"][..],
        &["download", "-s", "web"],
        &["get", "-s", "web", "W"],
        &["list", "web"],
        &["history", "-s", "web"],
        &["show", "-s", "web"],
        &["set", "-s", "web", "W"],
        &["unset", "-s", "web", "W"],
        &["upload", "-s", "web"],
        &["delete", "-s", "web", "--yes"],
        &["rollback", "-s", "web", "--yes", "1"],
        &["prune", "-s", "web", "--keep", "1", "--yes"],
        &["promote", "--to", "web"],
        &["promote", "-s", "web", "--to", "api"],
    ] {
        let outcome = world.run(&who, arguments).stdin("W=2\n").run();
        let denied = if arguments[0] == "with-env" { 123 } else { 5 };
        assert_eq!(outcome.status.code(), Some(denied), "{arguments:?}: {}", outcome.stderr);
        assert!(
            outcome.stderr.contains("the statement that is missing: "),
            "{}",
            outcome.stderr
        );
    }
    assert_eq!(world.place.fake.keys(BUCKET), before);
}

/// The administrator sets up and repairs, and reads no secret.
#[test]
fn an_administrator_sets_up_and_reads_nothing() {
    let world = World::new();
    let admin = world.somebody(&[&world.policy("admin")]);
    let outcome = world.run(&admin, &SETUP).run();
    outcome.ends(0);
    let again = world.run(&admin, &SETUP).run();
    assert!(
        again.ends(0).stderr.contains("note: there is nothing to do\n"),
        "{}",
        again.stderr
    );
    for arguments in [
        &["download"][..],
        &["get", "A"],
        &["show"],
        &["with-env", "-a", "--", "true"],
    ] {
        let outcome = world.run(&admin, arguments).run();
        assert!([5, 123].contains(&outcome.status.code().unwrap()), "{}", outcome.stderr);
    }
}

const SETUP: [&str; 5] = [
    "setup",
    "--reader",
    "arn:aws:iam::111122223333:role/api",
    "--signing",
    "--yes",
];

/// What there is when an administrator comes.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// Nothing: a new bucket. That the keys' own policies let them be named is stood in for, as the fake has none.
    Nothing,
    /// A bucket that is not as it shall be, and keys that were made by hand.
    ByHand,
    /// A key that was made, and never got its name.
    Interrupted,
}

/// Sets up with the administrator's policy, but for one right; answers which rights there are.
fn administers(before: Before, without: Option<&str>) -> (i32, Vec<String>) {
    let place = Place::new();
    let bucket = match before {
        Before::Nothing => "brand-new",
        _ => "by-hand",
    };
    let setup = [&SETUP[..], &["-b", bucket]].concat();
    let by_hand = strict_fake::Bucket {
        enforced_ownership: false,
        versioning: false,
        ..strict_fake::Bucket::default()
    };
    match before {
        Before::Nothing => place.fake.kms().remove_alias("alias/microsecrets-api"),
        Before::ByHand => {
            place.fake.add_bucket(bucket, by_hand);
            place.fake.encrypt_under_kms_by_default(bucket);
            place.fake.kms().create_signing_key("microsecrets-signing/api");
        }
        Before::Interrupted => {
            place.fake.kms().remove_alias("alias/microsecrets-api");
            place.microsecrets(&setup).run().ends(0);
        }
    }
    let printed = place.microsecrets(&["policy", "--role", "admin", "-b", bucket]).run();
    let printed: Value = serde_json::from_str(&printed.ends(0).raw_stdout()).unwrap();
    let mut policy = printed["identity-policy"].clone();
    let less = without_one(&policy);
    let names = less.iter().map(|(name, _)| name.clone()).collect();
    if let Some(without) = without {
        let Some((_, less)) = less.into_iter().find(|(name, _)| name == without) else {
            return (0, names);
        };
        policy = less;
    }
    let admin = place.fake.principal("AKIASETUP", "secret", ACCOUNT);
    place.fake.attach_policy(&admin, &policy.to_string()).unwrap();
    match before {
        Before::Nothing => {
            for action in ["CreateAlias", "EnableKeyRotation", "GetPublicKey"] {
                place
                    .fake
                    .allow(&admin, &format!("kms:{action}"), "arn:aws:kms:*:key/*");
            }
        }
        Before::ByHand => {}
        Before::Interrupted => place.fake.kms().remove_alias("alias/microsecrets-api"),
    }
    let outcome = place.microsecrets_as(&admin, &setup).run();
    if without.is_none() {
        outcome.ends(0);
    }
    (outcome.status.code().unwrap(), names)
}

#[test]
fn an_administrator_needs_all_of_its_rights() {
    let all = [Before::Nothing, Before::ByHand, Before::Interrupted];
    let mut rights = std::collections::BTreeSet::new();
    for before in all {
        rights.extend(administers(before, None).1);
    }
    assert!(rights.len() > 20, "{rights:?}");
    let needless = |right: &&String| all.iter().all(|before| administers(*before, Some(right)).0 == 0);
    let needless: Vec<&String> = rights.iter().filter(needless).collect();
    assert_eq!(needless, Vec::<&String>::new(), "an administrator does not need these");
}
