//! The CloudFormation template: cfn-lint has nothing to say of it, and once it is filled in, its policies are those
//! that are printed.

use microsecrets::setup::{
    Principal, Role, Stack, bucket_policy, key_policy, role_policy, signing_key_policy, template,
};
use serde_json::{Map, Value, json};
use test_support::cfn_lint;

use crate::{ACCOUNT, BUCKET, REGION, bucket, place, role};

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/0d5eb2d7-0000-4000-8000-00000000000a";
const SIGNING_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/5162d2ee-0000-4000-8000-00000000000a";

fn full(signing: bool) -> Stack {
    let user: Principal = format!("arn:aws:iam::{ACCOUNT}:user/people/ann").parse().unwrap();
    let mut stack = Stack::new(BUCKET.parse().unwrap(), "api".parse().unwrap());
    stack.signing = signing;
    stack.readers = vec![role("app"), role("batch")];
    stack.writers = vec![role("ci"), user.clone()];
    stack.signers = vec![role("ci")];
    stack.admins = vec![role("ops"), user];
    stack
}

/// Every kind of stack that there is.
fn stacks() -> Vec<(&'static str, Stack)> {
    let nobody = |service: &str| Stack::new(BUCKET.parse().unwrap(), service.parse().unwrap());
    let mut another = full(true);
    another.makes_bucket = false;
    let mut migrating = full(false);
    migrating.migration = true;
    vec![
        ("not signed", full(false)),
        ("signed", full(true)),
        ("a second service", another),
        ("migrating", migrating),
        ("for nobody", nobody("api")),
        ("with a dot in its name", nobody("api.v2")),
    ]
}

#[test]
fn cfn_lint_has_nothing_to_say() {
    for (what, stack) in stacks() {
        assert_eq!(cfn_lint::complaints(&template(&stack)), "", "{what}");
    }
}

/// It is one that looks, and that knows what policies are.
#[test]
fn cfn_lint_finds_what_is_wrong() {
    let statement = "/Resources/ReaderPolicy/Properties/PolicyDocument/Statement";
    for (pointer, wrong, rule) in [
        (
            "/Resources/Key/Properties/EnableKeyRotation".to_owned(),
            json!("perhaps"),
            "E3012",
        ),
        (
            "/Resources/Bucket/Properties/BucketName".to_owned(),
            json!("UPPER"),
            "E3031",
        ),
        (format!("{statement}/0/Effect"), json!("Perhaps"), "E3510"),
        (
            format!("{statement}/1/Resource"),
            json!({"Fn::GetAtt": ["No", "Arn"]}),
            "E1010",
        ),
        (
            "/Resources/Key/Properties/KeyPolicy/Statement/0/Principal".to_owned(),
            json!("somebody"),
            "E3512",
        ),
    ] {
        let mut template = template(&full(false));
        *template.pointer_mut(&pointer).unwrap() = wrong;
        let said = cfn_lint::complaints(&template);
        assert!(said.contains(&format!(":{rule}:")), "{pointer}: {said}");
    }
}

/// What CloudFormation makes of it.
fn filled_in(value: &Value) -> Value {
    match value {
        Value::Object(fields) => match fields.iter().next() {
            Some((function, argument)) if fields.len() == 1 && function == "Fn::Sub" => json!(substituted(argument)),
            Some((function, argument)) if fields.len() == 1 && function == "Fn::GetAtt" => match argument[0].as_str() {
                Some("Key") => json!(KEY),
                Some("SigningKey") => json!(SIGNING_KEY),
                other => panic!("{other:?} has no ARN"),
            },
            _ => fields
                .iter()
                .map(|(name, value)| (name.clone(), filled_in(value)))
                .collect::<Map<_, _>>()
                .into(),
        },
        Value::Array(values) => values.iter().map(filled_in).collect(),
        other => other.clone(),
    }
}

fn substituted(text: &Value) -> String {
    let text = text.as_str().unwrap();
    let known = [
        ("${AWS::Partition}", "aws"),
        ("${AWS::AccountId}", ACCOUNT),
        ("${AWS::Region}", REGION),
        ("${AWS::URLSuffix}", "amazonaws.com"),
    ];
    let filled = known
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    assert!(!filled.contains("${"), "{filled}");
    filled
}

#[test]
fn its_policies_are_those_that_are_printed() {
    let stack = full(true);
    let template = template(&stack);
    let place = place("api", KEY, SIGNING_KEY);
    let mut verifiers = stack.readers.clone();
    verifiers.extend(stack.writers.clone());
    for (resource, property, printed) in [
        ("BucketPolicy", "PolicyDocument", bucket_policy(&bucket(), false)),
        (
            "Key",
            "KeyPolicy",
            key_policy(&place, &stack.readers, &stack.writers, &stack.admins),
        ),
        (
            "SigningKey",
            "KeyPolicy",
            signing_key_policy(&place, &stack.signers, &verifiers, &stack.admins),
        ),
        (
            "ReaderPolicy",
            "PolicyDocument",
            role_policy(Role::Reader, &place).unwrap(),
        ),
        (
            "WriterPolicy",
            "PolicyDocument",
            role_policy(Role::Writer, &place).unwrap(),
        ),
        (
            "SignerPolicy",
            "PolicyDocument",
            role_policy(Role::Signer, &place).unwrap(),
        ),
    ] {
        let found = &template["Resources"][resource]["Properties"][property];
        assert_eq!(filled_in(found), printed, "{resource}");
    }
}
