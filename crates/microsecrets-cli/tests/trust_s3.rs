//! Signing with a key in KMS, and pinning the one that encrypts, against the strict fake.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::collections::BTreeMap;

use common::canary::Canary;
use common::{Outcome, Run};
use fake::{BUCKET, Place};
use microsecrets::record::{Head, Signature, SignedRecord};
use microsecrets::trust::VerifyKey;
use strict_fake::{Principal, Raw};

const HEAD: &str = "services/api/head/environment";
const SIGN: [&str; 3] = ["--sign", "--verify-key", "key.pem"];
const PIN: [&str; 2] = ["--verify-key", "key.pem"];

/// A bucket, a key that signs for `api` with its public half in `key.pem`, and a secret that no failure may show.
struct Signing {
    place: Place,
    canary: Canary,
    arn: String,
}

impl Signing {
    /// With nothing in the bucket.
    fn new() -> Self {
        let place = Place::new();
        let arn = place.fake.kms().create_signing_key("microsecrets-signing/api");
        let signing = Self {
            place,
            canary: Canary::new(),
            arn,
        };
        signing.pin("key.pem", &signing.arn);
        signing
    }

    /// With a signed environment: `A` is the secret.
    fn signed() -> Self {
        let signing = Self::new();
        signing.upload(&SIGN);
        signing
    }

    /// Writes a key's public half into a file.
    fn pin(&self, file: &str, arn: &str) {
        let key = VerifyKey::from_spki(&self.place.fake.kms().public_key(arn)).unwrap();
        self.place.machine.write(file, key.to_pem());
    }

    fn run(&self, arguments: &[&str], options: &[&str]) -> Run {
        self.place.microsecrets(&[arguments, options].concat())
    }

    /// A command that succeeds; answers how, and how often it asked for what.
    #[track_caller]
    fn does(&self, arguments: &[&str], options: &[&str], input: &str) -> (Outcome, BTreeMap<String, usize>) {
        self.place.fake.clear_requests();
        let outcome = self.run(arguments, options).stdin(input).run();
        outcome.ends(0);
        let mut counts = BTreeMap::new();
        for operation in self.place.fake.operations() {
            *counts.entry(operation).or_default() += 1;
        }
        (outcome, counts)
    }

    #[track_caller]
    fn upload(&self, options: &[&str]) {
        let pair = format!("A={}\n", self.canary.text);
        self.does(&["upload", "-q", "--force"], options, &pair);
    }

    /// It fails with this status and these words, in which ids of requests are replaced; it changes no head, starts
    /// nothing and shows no secret.
    #[track_caller]
    fn fails(&self, run: Run, status: i32, said: &str) {
        let before = self.head();
        self.place.fake.clear_requests();
        let outcome = run.run();
        let mut text = outcome.stderr();
        for request in self.place.fake.requests() {
            text = text.replace(&request.request_id, "[REQUEST]");
        }
        assert_eq!(text, said);
        outcome.is_well_formed();
        outcome.ends(status);
        self.canary.is_not_in(&outcome);
        assert!(self.head() == before, "something was committed");
        assert!(!self.place.machine.exists("started"));
    }

    fn head(&self) -> Option<Vec<u8>> {
        self.place.fake.object(BUCKET, HEAD).map(|object| object.body.to_vec())
    }

    /// The keys that have signed, one for each request.
    fn signers(&self) -> Vec<String> {
        let uses = self.place.fake.kms_uses().into_iter();
        uses.filter(|used| used.operation == "Sign")
            .map(|used| used.key_arn)
            .collect()
    }

    /// Somebody who may do all this, but for the actions that are said.
    fn without(&self, actions: &[&str]) -> Principal {
        let who = self
            .place
            .fake
            .principal("AKIAWRITER", "the writer's secret", "111122223333");
        for action in ["s3:*", "kms:*"] {
            self.place.fake.allow(&who, action, "*");
        }
        for action in actions {
            self.place.fake.deny(&who, action, "*");
        }
        who
    }
}

/// The same by somebody else.
fn by(who: &Principal, run: Run) -> Run {
    run.env("AWS_ACCESS_KEY_ID", &who.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &who.secret_key)
}

fn statement(action: &str) -> String {
    format!("hint: the statement that is missing: {{\"Action\":\"{action}\",\"Effect\":\"Allow\",\"Resource\":\"")
}

#[test]
fn the_services_own_key_signs() {
    let signing = Signing::new();
    let pair = format!("A={}\n", signing.canary.text);
    signing.does(&["upload", "-q"], &SIGN, &pair);
    assert_eq!(signing.signers(), [&*signing.arn]);
    for (arguments, input) in [
        (&["set", "-q", "B"][..], &*signing.canary.text),
        (&["unset", "-q", "B"], ""),
        (&["rollback", "-q", "1", "--yes"], ""),
        (&["upload", "-q", "-f", "f"], &signing.canary.text.repeat(4)),
        (&["upload", "-q", "-f", "large"], &signing.canary.text.repeat(50_000)),
        (&["delete", "--yes"], ""),
    ] {
        let (outcome, counts) = signing.does(arguments, &SIGN, input);
        signing.canary.is_not_in(&outcome);
        assert_eq!(counts["Sign"], 1, "{arguments:?}");
    }
    signing.does(&["verify", "--all"], &PIN, "");
    signing.does(&["verify", "-f", "large"], &PIN, "");
    let (exported, counts) = signing.does(&["signing-key", "export"], &[], "");
    assert_eq!(exported.stdout, signing.place.machine.read("key.pem"));
    assert_eq!(counts, BTreeMap::from([("GetPublicKey".to_owned(), 1)]));
}

#[test]
fn a_key_that_is_named_signs() {
    let signing = Signing::signed();
    let other = signing.place.fake.kms().create_signing_key("team/signing");
    signing.pin("other.pem", &other);
    let alias = "arn:aws:kms:us-east-1:111122223333:alias/team/signing";
    let id = other.rsplit('/').next().unwrap();
    for name in [&*other, "alias/team/signing", alias, id] {
        // Both are pinned while one replaces the other; the record names the one that signed.
        let options = ["--sign-with", name, "--verify-key", "other.pem,key.pem"];
        signing.does(&["set", "-q", "B"], &options, name);
        assert_eq!(signing.signers(), [&*other], "{name}");
        let (exported, _) = signing.does(&["signing-key", "export", "--sign-with", name], &[], "");
        assert_eq!(exported.stdout, signing.place.machine.read("other.pem"));
    }
    signing.does(&["verify"], &["--verify-key", "other.pem"], "");
    // A signature is asked for again when it turns out to be the second key's, so that the record tells the truth.
    let options = ["--sign-with", &other, "--verify-key", "key.pem,other.pem"];
    signing.does(&["set", "-q", "B"], &options, "2");
    assert_eq!(signing.signers(), [&*other, &*other]);
    let (shown, _) = signing.does(&["show"], &[], "");
    let key = VerifyKey::from_spki(&signing.place.fake.kms().public_key(&other)).unwrap();
    assert!(shown.raw_stdout().contains(&format!(
        "signer:      {} (not verified: no key is pinned)\n",
        key.fingerprint()
    )));
}

/// The alias moves to a new key, and `re-sign` moves the readers after it.
#[test]
fn the_current_version_is_signed_by_a_new_key() {
    let signing = Signing::signed();
    let new = signing.place.fake.kms().create_signing_key("new");
    signing.place.fake.kms().set_alias("microsecrets-signing/api", &new);
    signing.pin("new.pem", &new);
    let said = "error: what alias/microsecrets-signing/api signs would not be believed: its public key is not pinned\n\
                hint: pin its public key with --verify-key; `microsecrets signing-key export` prints it\n";
    signing.fails(signing.run(&["set", "B"], &SIGN).stdin(&signing.canary.text), 2, said);
    let (outcome, _) = signing.does(&["re-sign", "--sign", "--verify-key", "new.pem,key.pem"], &[], "");
    assert_eq!(outcome.stderr, "note: version 1 of the environment of api is signed\n");
    signing.does(&["with-env", "--verify-key", "new.pem", "--", "true"], &[], "");
    signing.fails(
        signing.run(&["with-env", "--verify-key", "key.pem", "--", "touch", "started"], &[]),
        122,
        "error: services/api/head/environment is not trusted\n\
         \x20 caused by: it is signed by another key than the pinned: by [CHECKSUM], as it says\n\
         hint: if the key was changed on purpose, pin that public key too, with --verify-key\n",
    );
}

#[test]
fn a_promoted_version_is_signed_by_the_other_services_key() {
    let signing = Signing::signed();
    signing.place.fake.kms().create_key("microsecrets-web");
    let web = signing.place.fake.kms().create_signing_key("microsecrets-signing/web");
    signing.pin("web.pem", &web);
    let options = [&SIGN[..], &["--to-verify-key", "web.pem"]].concat();
    signing.does(&["promote", "-q", "--to", "web"], &options, "");
    assert_eq!(signing.signers(), [&*web]);
    signing.does(&["verify", "-s", "web", "--verify-key", "web.pem"], &[], "");
    signing.fails(
        signing.run(&["promote", "--to", "web"], &SIGN),
        6,
        "error: services/web/head/environment is not trusted\n\
         \x20 caused by: it is signed by another key than the pinned: by [CHECKSUM], as it says\n\
         hint: if the key was changed on purpose, pin that public key too, with --verify-key\n",
    );
}

#[test]
fn a_signature_costs_a_writer_one_request_and_a_reader_none() {
    let (plain, signing) = (Signing::new(), Signing::signed());
    plain.upload(&[]);
    for (arguments, input) in [
        (&["set", "-q", "B"][..], "2"),
        (&["unset", "-q", "B"], ""),
        (&["delete", "--yes"], ""),
    ] {
        let (_, unsigned) = plain.does(arguments, &[], input);
        let (_, mut signed) = signing.does(arguments, &SIGN, input);
        assert_eq!(signed.remove("Sign"), Some(1), "{arguments:?}");
        assert_eq!(signed, unsigned, "{arguments:?}");
    }
    let signing = Signing::signed();
    let one = BTreeMap::from([("GetObject".to_owned(), 1)]);
    for arguments in [
        &["with-env", "--", "true"][..],
        &["get", "A"],
        &["download"],
        &["show"],
        &["verify"],
    ] {
        let (command, rest) = arguments.split_first().unwrap();
        let (_, counts) = signing.does(&[&[*command], &PIN[..], rest].concat(), &[], "");
        assert_eq!(counts, one, "{arguments:?}");
    }
}

#[test]
fn who_may_not_use_the_key_is_told_which_right_is_missing() {
    let signing = Signing::signed();
    let who = signing.without(&["kms:Sign", "kms:GetPublicKey"]);
    let arn = &signing.arn;
    signing.fails(
        by(&who, signing.run(&["set", "B"], &SIGN).stdin(&signing.canary.text)),
        5,
        &format!(
            "error: cannot change the environment of api\n\
             \x20 caused by: sign with alias/microsecrets-signing/api: access denied: kms:Sign on {arn} \
             (AccessDeniedException, request [REQUEST])\n\
             {}{arn}\"}}\n",
            statement("kms:Sign")
        ),
    );
    signing.fails(
        by(&who, signing.run(&["signing-key", "export"], &[])),
        5,
        &format!(
            "error: get the public key of alias/microsecrets-signing/api: access denied: kms:GetPublicKey on {arn} \
             (AccessDeniedException, request [REQUEST])\n\
             {}{arn}\"}}\n",
            statement("kms:GetPublicKey")
        ),
    );
    // Readers need neither.
    by(&who, signing.run(&["get", "A"], &PIN))
        .run()
        .prints(&signing.canary.text);
}

#[test]
fn a_key_that_is_not_there_or_for_something_else_signs_nothing() {
    let signing = Signing::signed();
    let hint = "hint: check the key's name and the region\n";
    let set = |options: &[&str]| {
        signing
            .run(&["set", "B"], &[options, &PIN].concat())
            .stdin(&signing.canary.text)
    };
    signing.fails(
        set(&["--sign-with", "alias/nosuch"]),
        3,
        &format!(
            "error: cannot change the environment of api\n\
             \x20 caused by: sign with alias/nosuch: there is no such key (NotFoundException, request [REQUEST])\n{hint}"
        ),
    );
    signing.fails(
        signing.run(&["signing-key", "export", "--sign-with", "alias/nosuch"], &[]),
        3,
        &format!(
            "error: get the public key of alias/nosuch: there is no such key (NotFoundException, request [REQUEST])\n{hint}"
        ),
    );
    // The key that encrypts does not sign.
    let other = "hint: it must be an asymmetric KMS key, ECC_NIST_P256 for SIGN_VERIFY\n";
    signing.fails(
        set(&["--sign-with", "alias/microsecrets-api"]),
        5,
        &format!(
            "error: cannot change the environment of api\n\
             \x20 caused by: sign with alias/microsecrets-api: the key is disabled or not usable \
             (InvalidKeyUsageException, request [REQUEST])\n{other}"
        ),
    );
    signing.fails(
        signing.run(&["signing-key", "export", "--sign-with", "alias/microsecrets-api"], &[]),
        1,
        &format!(
            "error: get the public key of alias/microsecrets-api: unexpected answer 400 (UnsupportedOperationException, \
             request [REQUEST])\n{other}"
        ),
    );
    signing.place.fake.kms().disable_key(&signing.arn);
    signing.fails(
        set(&["--sign"]),
        5,
        "error: cannot change the environment of api\n\
         \x20 caused by: sign with alias/microsecrets-signing/api: the key is disabled or not usable (DisabledException, \
         request [REQUEST])\n\
         hint: enable the key, or cancel its deletion, in KMS\n",
    );
    // What it signed is still worth as much.
    signing.run(&["get", "A"], &PIN).run().prints(&signing.canary.text);
    let said = "error: no key alias follows from the service's name api.web, which has a dot\n\
                hint: name the key with --sign-with\n";
    let dotted = ["set", "B", "-s", "api.web", "--kms-key", &signing.place.key];
    signing.fails(signing.run(&dotted, &SIGN).stdin(&signing.canary.text), 2, said);
}

#[test]
fn a_key_in_kms_is_not_made_here() {
    let signing = Signing::new();
    signing.fails(
        signing.run(&["signing-key", "create"], &[]),
        2,
        "error: a KMS key is not made by this command\n\
         hint: aws kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY, then aws kms create-alias \
         --alias-name alias/microsecrets-signing/SERVICE\n",
    );
}

/// Whoever may write to the bucket and use the key that encrypts can do this.
#[test]
fn a_head_that_was_put_by_other_means_is_not_believed() {
    let signing = Signing::signed();
    let object = signing.place.fake.object(BUCKET, HEAD).unwrap();
    let (entry, bytes) = Head::parse(&object.body).unwrap().into_parts();
    // What she likes, under the name of the pinned key.
    let line = String::from_utf8(entry.line().to_vec()).unwrap();
    let line = line.replace("\"number\":1,", "\"number\":7,");
    let forged = SignedRecord::parse(format!("{line}\n-\n").as_bytes()).unwrap();
    let mallory = signing.place.fake.kms().create_signing_key("mallory");
    let hers = |entry: &SignedRecord| {
        let signature = signing.place.fake.kms().sign(&mallory, entry.line());
        entry.clone().signed(Signature::new(signature))
    };
    let bad = "  caused by: its signature is not valid\n\
               hint: it was changed after it was signed, or is a forgery; look who may write there\n";
    let unsigned = "  caused by: it is not signed, but a signature is required\n\
                    hint: look who wrote it; if it is meant, `microsecrets re-sign --adopt` signs it, after showing what \
                    it changes\n";
    for (entry, why) in [
        (forged.clone().signed(entry.signature().unwrap().clone()), bad),
        (hers(&forged), bad),
        (hers(&entry), bad),
        (forged, unsigned),
    ] {
        let head = Head::new(entry, bytes.duplicate()).unwrap().to_bytes();
        let raw = Raw {
            attributes: object.attributes.clone(),
            ..Raw::default()
        };
        signing.place.fake.put_raw(BUCKET, HEAD, head.expose().to_vec(), raw);
        let said = format!("error: {HEAD} is not trusted\n{why}");
        signing.fails(signing.run(&["get", "A"], &PIN), 6, &said);
        signing.fails(
            signing.run(
                &["with-env", "-a", "--verify-key", "key.pem", "--", "touch", "started"],
                &[],
            ),
            122,
            &said,
        );
        signing.fails(signing.run(&["set", "B"], &SIGN).stdin(&signing.canary.text), 6, &said);
    }
}

mod the_key_that_encrypts {
    use super::*;

    const ALIAS: [&str; 2] = ["--kms-key", "alias/microsecrets-api"];

    #[test]
    fn can_be_pinned_by_its_alias_at_the_cost_of_a_request() {
        let signing = Signing::new();
        signing.upload(&ALIAS);
        for arguments in [&["get", "A"][..], &["download"], &["show"]] {
            let (_, counts) = signing.does(arguments, &ALIAS, "");
            let both = [("DescribeKey".to_owned(), 1), ("GetObject".to_owned(), 1)];
            assert_eq!(counts, BTreeMap::from(both), "{arguments:?}");
        }
        // An ARN costs none.
        let (_, counts) = signing.does(&["get", "A"], &["--kms-key", &signing.place.key], "");
        assert_eq!(counts, BTreeMap::from([("GetObject".to_owned(), 1)]));
        let who = signing.without(&["kms:DescribeKey"]);
        signing.fails(
            by(&who, signing.run(&["get", "A"], &ALIAS)),
            5,
            &format!(
                "error: cannot read the environment of api\n\
                 \x20 caused by: look up key alias/microsecrets-api: access denied: kms:DescribeKey on {key} \
                 (AccessDeniedException, request [REQUEST])\n\
                 {}{key}\"}}\n",
                statement("kms:DescribeKey"),
                key = signing.place.key
            ),
        );
    }

    #[test]
    fn by_an_alias_that_was_moved_is_another_one() {
        let signing = Signing::new();
        signing.upload(&[]);
        let moved = signing.place.fake.kms().create_key("other");
        signing.place.fake.kms().set_alias("microsecrets-api", &moved);
        let key = &signing.place.key;
        let said = format!(
            "error: {HEAD} is not trusted\n\
             \x20 caused by: it is encrypted under {key}, but {moved} is pinned\n\
             hint: if the key was changed on purpose, pin {key} instead\n"
        );
        signing.fails(signing.run(&["get", "A"], &ALIAS), 6, &said);
        let arguments = [
            "with-env",
            "-a",
            "--kms-key",
            "alias/microsecrets-api",
            "--",
            "touch",
            "started",
        ];
        signing.fails(signing.run(&arguments, &[]), 122, &said);
        signing.run(&["get", "A"], &[]).run().prints(&signing.canary.text);
    }

    #[test]
    fn is_one_in_every_region_when_it_is_a_multi_region_key() {
        let signing = Signing::new();
        let key = signing.place.fake.kms().create_multi_region_key("everywhere");
        assert!(key.contains(":key/mrk-"), "{key}");
        signing.upload(&["--kms-key", &key]);
        let id = key.rsplit('/').next().unwrap();
        for pin in [&*key, &key.replace("us-east-1", "eu-west-1"), id] {
            signing
                .run(&["get", "A"], &["--kms-key", pin])
                .run()
                .prints(&signing.canary.text);
        }
        for other in [
            key.replace("111122223333", "999988887777"),
            key.replace("mrk-0", "mrk-f"),
        ] {
            let account = if other.contains("9999") {
                "999988887777"
            } else {
                "111122223333"
            };
            let found = "arn:aws:kms:us-east-1:111122223333:key/mrk-[ID]";
            let said = format!(
                "error: {HEAD} is not trusted\n\
                 \x20 caused by: it is encrypted under {found}, but arn:aws:kms:us-east-1:{account}:key/mrk-[ID] is pinned\n\
                 hint: if the key was changed on purpose, pin {found} instead\n"
            );
            signing.fails(signing.run(&["get", "A"], &["--kms-key", &other]), 6, &said);
        }
        // One of one region is not another region's.
        let signing = Signing::new();
        signing.upload(&[]);
        let other = signing.place.key.replace("us-east-1", "eu-west-1");
        signing.run(&["get", "A"], &["--kms-key", &other]).run().ends(6);
    }
}
