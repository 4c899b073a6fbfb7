//! All of `setup` as a CloudFormation template.

use serde_json::{Map, Value, json};

use super::bucket::bucket_policy_of;
use super::key::{record_key_policy, service_key_policy};
use super::policy::{Names, identity_policy};
use super::{BucketName, MULTIPART_DAYS, NONCURRENT_DAYS, Principal, Role, TAG};
use crate::layout::SERVICES;
use crate::name::ServiceName;

/// What a stack has to have.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stack {
    /// The bucket.
    pub bucket: BucketName,
    /// Whether it is made by this stack; a bucket is shared by services, and each has a stack of its own.
    pub makes_bucket: bool,
    /// Whether 0.3.4 writes there yet.
    pub migration: bool,
    /// The service.
    pub service: ServiceName,
    /// Whether its records are signed.
    pub signing: bool,
    /// Who reads its secrets.
    pub readers: Vec<Principal>,
    /// Who reads and writes them.
    pub writers: Vec<Principal>,
    /// Who signs them.
    pub signers: Vec<Principal>,
    /// Who administers its keys.
    pub admins: Vec<Principal>,
}

impl Stack {
    /// A bucket and a service in it, for nobody yet.
    pub fn new(bucket: BucketName, service: ServiceName) -> Self {
        Self {
            bucket,
            makes_bucket: true,
            migration: false,
            service,
            signing: false,
            readers: Vec::new(),
            writers: Vec::new(),
            signers: Vec::new(),
            admins: Vec::new(),
        }
    }
}

/// The CloudFormation template of a stack: bucket, keys, aliases, their policies, and the managed policies of those who
/// read, write and sign.
///
/// The policies are those that [`role_policy`](super::role_policy) and the others make; partition, account, region and
/// the ARNs of keys are filled in by CloudFormation. Bucket and keys stay when the stack goes: with a key, all that was
/// encrypted under it is lost. The stack needs `CAPABILITY_IAM` when it has managed policies.
pub fn template(stack: &Stack) -> Value {
    let names = Names {
        partition: "${AWS::Partition}".to_owned(),
        account: "${AWS::AccountId}".to_owned(),
        region: "${AWS::Region}".to_owned(),
        suffix: "${AWS::URLSuffix}".to_owned(),
        bucket: stack.bucket.as_str().to_owned(),
        service: &stack.service,
        key: Some("${Key.Arn}".to_owned()),
        signing_key: stack.signing.then(|| "${SigningKey.Arn}".to_owned()),
    };
    let mut resources = Map::new();
    let mut outputs = Map::new();
    if stack.makes_bucket {
        add_bucket(stack, &names, &mut resources);
    }
    add_keys(stack, &names, &mut resources, &mut outputs);
    for (name, role, who) in [
        ("ReaderPolicy", Role::Reader, &stack.readers),
        ("WriterPolicy", Role::Writer, &stack.writers),
        ("SignerPolicy", Role::Signer, &stack.signers),
    ] {
        // A role whose key is not in the stack has nothing to do there.
        if let (Ok(policy), false) = (identity_policy(role, &names), who.is_empty()) {
            resources.insert(name.to_owned(), managed_policy(role, &stack.service, who, policy));
        }
    }
    filled_in(json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("Microsecrets: the service {} in the bucket {}", stack.service, stack.bucket.as_str()),
        "Resources": resources,
        "Outputs": outputs,
    }))
}

fn add_bucket(stack: &Stack, names: &Names<'_>, resources: &mut Map<String, Value>) {
    let properties = json!({
        "BucketName": names.bucket,
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": true,
            "BlockPublicPolicy": true,
            "IgnorePublicAcls": true,
            "RestrictPublicBuckets": true,
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LifecycleConfiguration": {"Rules": [{
            "Id": "Microsecrets",
            "Status": "Enabled",
            "Prefix": SERVICES,
            "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": MULTIPART_DAYS},
        }]},
    });
    let document = bucket_policy_of(&names.partition, &names.account, &names.bucket, stack.migration);
    let policy = json!({"Bucket": {"Ref": "Bucket"}, "PolicyDocument": document});
    resources.insert("Bucket".to_owned(), retained("AWS::S3::Bucket", properties));
    resources.insert("BucketPolicy".to_owned(), resource("AWS::S3::BucketPolicy", policy));
}

fn add_keys(stack: &Stack, names: &Names<'_>, resources: &mut Map<String, Value>, outputs: &mut Map<String, Value>) {
    let service = &stack.service;
    let tags = json!([{"Key": TAG, "Value": service.as_str()}]);
    let mut add = |name: &str, alias: Option<String>, properties| {
        resources.insert(name.to_owned(), retained("AWS::KMS::Key", properties));
        outputs.insert(format!("{name}Arn"), json!({"Value": {"Fn::GetAtt": [name, "Arn"]}}));
        if let Some(alias) = alias {
            let properties = json!({"AliasName": alias, "TargetKeyId": {"Fn::GetAtt": [name, "Arn"]}});
            resources.insert(format!("{name}Alias"), resource("AWS::KMS::Alias", properties));
        }
    };
    let properties = json!({
        "Description": format!("microsecrets: {service}"),
        "EnableKeyRotation": true,
        "KeyPolicy": service_key_policy(names, &stack.readers, &stack.writers, &stack.admins),
        "Tags": tags,
    });
    add("Key", service.default_key_alias(), properties);
    if stack.signing {
        let mut verifiers = stack.readers.clone();
        verifiers.extend(
            stack
                .writers
                .iter()
                .filter(|writer| !stack.readers.contains(writer))
                .cloned(),
        );
        let properties = json!({
            "Description": format!("microsecrets signing: {service}"),
            "KeySpec": "ECC_NIST_P256",
            "KeyUsage": "SIGN_VERIFY",
            "KeyPolicy": record_key_policy(names, &stack.signers, &verifiers, &stack.admins),
            "Tags": tags,
        });
        add("SigningKey", service.default_signing_alias(), properties);
    }
}

fn managed_policy(role: Role, service: &ServiceName, who: &[Principal], document: Value) -> Value {
    let names_of = |roles: bool| -> Vec<&str> {
        let of_kind = who.iter().filter(|principal| principal.is_role == roles);
        of_kind.map(Principal::name).collect()
    };
    let mut properties = json!({
        "Description": format!("microsecrets: {role} of {service}"),
        "PolicyDocument": document,
    });
    for (kind, names) in [("Roles", names_of(true)), ("Users", names_of(false))] {
        if !names.is_empty() {
            properties[kind] = json!(names);
        }
    }
    resource("AWS::IAM::ManagedPolicy", properties)
}

fn resource(kind: &str, properties: Value) -> Value {
    json!({"Type": kind, "Properties": properties})
}

/// A resource that stays when the stack goes.
fn retained(kind: &str, properties: Value) -> Value {
    json!({
        "Type": kind,
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    })
}

/// Has CloudFormation fill in what stands in `${...}`.
fn filled_in(value: Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix("${").and_then(|rest| rest.strip_suffix(".Arn}")) {
            Some(name) => json!({"Fn::GetAtt": [name, "Arn"]}),
            None if text.contains("${") => json!({"Fn::Sub": text}),
            None => Value::String(text),
        },
        Value::Array(values) => values.into_iter().map(filled_in).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, filled_in(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(arn: &str) -> Principal {
        arn.parse().expect("a principal")
    }

    fn stack() -> Stack {
        let mut stack = Stack::new("b-1".parse().expect("a bucket"), "api".parse().expect("a service"));
        stack.readers = vec![
            principal("arn:aws:iam::111122223333:role/services/app"),
            principal("arn:aws:iam::111122223333:user/ann"),
        ];
        stack.writers = vec![principal("arn:aws:iam::111122223333:role/ci"), stack.readers[1].clone()];
        stack.signers = vec![principal("arn:aws:iam::111122223333:role/ci")];
        stack
    }

    fn names(template: &Value) -> Vec<&str> {
        let resources = template["Resources"].as_object().expect("resources");
        resources.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_stack_has_what_it_is_asked_to_have() {
        let mut stack = stack();
        let unsigned = [
            "Bucket",
            "BucketPolicy",
            "Key",
            "KeyAlias",
            "ReaderPolicy",
            "WriterPolicy",
        ];
        assert_eq!(names(&template(&stack)), unsigned);
        stack.signing = true;
        stack.makes_bucket = false;
        assert_eq!(
            names(&template(&stack)),
            [
                "Key",
                "KeyAlias",
                "ReaderPolicy",
                "SignerPolicy",
                "SigningKey",
                "SigningKeyAlias",
                "WriterPolicy"
            ]
        );
        let plain = Stack::new("b-1".parse().expect("a bucket"), "a.b".parse().expect("a service"));
        assert_eq!(names(&template(&plain)), ["Bucket", "BucketPolicy", "Key"]);
    }

    #[test]
    fn managed_policies_are_attached_by_names_without_paths() {
        let template = template(&stack());
        let reader = &template["Resources"]["ReaderPolicy"]["Properties"];
        assert_eq!((&reader["Roles"], &reader["Users"]), (&json!(["app"]), &json!(["ann"])));
    }

    #[test]
    fn the_bucket_encrypts_with_keys_of_s3_unless_told_otherwise() {
        let template = template(&stack());
        let bucket = &template["Resources"]["Bucket"];
        assert!(bucket["Properties"].get("BucketEncryption").is_none());
        for resource in ["Bucket", "Key"] {
            assert_eq!(template["Resources"][resource]["DeletionPolicy"], "Retain");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in_but_what_cloudformation_knows() {
        fn check(value: &Value, inside: bool) {
            match value {
                Value::String(text) => assert!(inside || !text.contains("${"), "{text}"),
                Value::Array(values) => values.iter().for_each(|value| check(value, false)),
                Value::Object(fields) => fields.iter().for_each(|(name, value)| check(value, name == "Fn::Sub")),
                _ => {}
            }
        }
        let mut stack = stack();
        stack.signing = true;
        let template = template(&stack);
        check(&template, false);
        assert!(
            template
                .to_string()
                .contains(r#"{"Fn::Sub":"s3.${AWS::Region}.${AWS::URLSuffix}"}"#)
        );
    }

    #[test]
    fn who_reads_or_writes_may_ask_for_the_public_key() {
        let mut stack = stack();
        stack.signing = true;
        let template = template(&stack);
        let policy = &template["Resources"]["SigningKey"]["Properties"]["KeyPolicy"];
        let verifiers = policy["Statement"]
            .as_array()
            .and_then(|statements| statements.last())
            .expect("a statement");
        assert_eq!(verifiers["Sid"], "MicrosecretsVerifiers");
        let expected: Vec<_> = [&stack.readers[0], &stack.readers[1], &stack.writers[0]]
            .map(Principal::as_str)
            .into();
        assert_eq!(verifiers["Principal"]["AWS"], json!(expected));
    }
}
