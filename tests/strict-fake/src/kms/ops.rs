//! The operations of KMS that the fake knows. What it doesn't know is `UnsupportedOperationException`.

use std::time::Duration;

use serde_json::{Value, json};

use super::api::{Call, KmsError};
use super::{Key, KeyState, NewKey, Usage, context, crypto};
use crate::clock::unix;
use crate::digest::{base64, unbase64};
use crate::iam::{Decision, refusal};
use crate::log::KmsUse;

type Output = Result<Value, KmsError>;

/// Does one operation.
pub(crate) fn call(operation: &str, call: &Call<'_>) -> Output {
    match operation {
        "CreateKey" => create_key(call),
        "DescribeKey" => with_key(call, "kms:DescribeKey", |key| {
            Ok(json!({ "KeyMetadata": metadata(key) }))
        }),
        "CreateAlias" => create_alias(call),
        "UpdateAlias" => update_alias(call),
        "DeleteAlias" => delete_alias(call),
        "ListAliases" => list_aliases(call),
        "ListKeys" => list_keys(call),
        "GetPublicKey" => with_key(call, "kms:GetPublicKey", get_public_key),
        "Sign" => sign(call),
        "Encrypt" => encrypt(call),
        "Decrypt" => decrypt(call),
        "GenerateDataKey" => generate_data_key(call),
        "EnableKeyRotation" => enable_key_rotation(call),
        "GetKeyRotationStatus" => with_key(call, "kms:GetKeyRotationStatus", get_key_rotation_status),
        "PutKeyPolicy" => put_key_policy(call),
        "GetKeyPolicy" => with_key(call, "kms:GetKeyPolicy", |key| {
            Ok(json!({ "Policy": key.policy, "PolicyName": "default" }))
        }),
        "TagResource" => tag_resource(call),
        "ListResourceTags" => with_key(call, "kms:ListResourceTags", |key| {
            let tags: Vec<_> = key
                .tags
                .iter()
                .map(|(k, v)| json!({ "TagKey": k, "TagValue": v }))
                .collect();
            Ok(json!({ "Tags": tags, "Truncated": false }))
        }),
        "DisableKey" => set_state(call, "kms:DisableKey", KeyState::Disabled),
        "EnableKey" => set_state(call, "kms:EnableKey", KeyState::Enabled),
        "ScheduleKeyDeletion" => schedule_key_deletion(call),
        _ => Err(KmsError::new(
            "UnsupportedOperationException",
            format!("The fake doesn't know {operation}."),
        )),
    }
}

/// Asks whether the caller may do this to this key.
fn authorise(call: &Call<'_>, action: &str, arn: &str) -> Result<(), KmsError> {
    let state = call.shared.state();
    let principal = &call.caller.principal;
    let mut context = context(&state.keys, arn, &principal.account, &encryption_context(call));
    if let Some(name) = call.text("KeyId").filter(|n| n.contains("alias/")) {
        context.set(
            "kms:RequestAlias",
            name.rsplit_once(":").map_or(name, |(_, alias)| alias),
        );
    }
    for (key, field) in [
        ("kms:SigningAlgorithm", "SigningAlgorithm"),
        ("kms:MessageType", "MessageType"),
    ] {
        if let Some(value) = call.text(field) {
            context.set(key, value);
        }
    }
    call.exchange.add_global_conditions(principal, &mut context);
    context.set("aws:RequestedRegion", &call.region);
    let tags = tags(call)?;
    for (key, value) in &tags {
        context.set(&format!("aws:RequestTag/{key}"), value);
    }
    context.set_all("aws:TagKeys", tags.into_iter().map(|(key, _)| key).collect());
    match call.caller.may(action, arn, &context) {
        (Decision::Allowed, _) => Ok(()),
        (decision, kind) => {
            let message = refusal(&principal.arn(), action, arn, decision, kind);
            Err(KmsError::new("AccessDeniedException", message))
        }
    }
}

/// The ARN of the key that the call names.
fn resolve(call: &Call<'_>, field: &str) -> Result<String, KmsError> {
    let name = call.required(field)?;
    let state = call.shared.state();
    Ok(state
        .keys
        .find(&call.caller.principal.account, &call.region, name)?
        .arn
        .clone())
}

/// Reads one key that the caller may read.
fn with_key(call: &Call<'_>, action: &str, read: impl FnOnce(&Key) -> Output) -> Output {
    let arn = resolve(call, "KeyId")?;
    authorise(call, action, &arn)?;
    let state = call.shared.state();
    read(
        state
            .keys
            .by_arn(&arn)
            .expect("just resolved, and keys are never removed"),
    )
}

/// Changes one key that the caller may change.
fn change_key(call: &Call<'_>, action: &str, change: impl FnOnce(&mut Key) -> Output) -> Output {
    let arn = resolve(call, "KeyId")?;
    authorise(call, action, &arn)?;
    let mut state = call.shared.state();
    change(
        state
            .keys
            .by_arn_mut(&arn)
            .expect("just resolved, and keys are never removed"),
    )
}

fn metadata(key: &Key) -> Value {
    let mut metadata = json!({
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": unix(key.created),
        "Enabled": key.state == KeyState::Enabled,
        "Description": key.description,
        "KeyUsage": key.usage.name(),
        "KeyState": key.state.name(),
        "Origin": "AWS_KMS",
        "KeyManager": if key.aws_managed { "AWS" } else { "CUSTOMER" },
        "CustomerMasterKeySpec": key.usage.spec(),
        "KeySpec": key.usage.spec(),
        "MultiRegion": key.multi_region,
    });
    metadata[match key.usage {
        Usage::EncryptDecrypt => "EncryptionAlgorithms",
        Usage::SignVerify => "SigningAlgorithms",
    }] = json!([algorithm(key.usage)]);
    if let Some(at) = key.deletion {
        metadata["DeletionDate"] = json!(unix(at));
    }
    metadata
}

fn algorithm(usage: Usage) -> &'static str {
    match usage {
        Usage::EncryptDecrypt => "SYMMETRIC_DEFAULT",
        Usage::SignVerify => "ECDSA_SHA_256",
    }
}

fn create_key(call: &Call<'_>) -> Output {
    let principal = &call.caller.principal;
    let spec = call
        .text("KeySpec")
        .or_else(|| call.text("CustomerMasterKeySpec"))
        .unwrap_or("SYMMETRIC_DEFAULT");
    let usage = match (spec, call.text("KeyUsage").unwrap_or("ENCRYPT_DECRYPT")) {
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT") => Usage::EncryptDecrypt,
        ("ECC_NIST_P256", "SIGN_VERIFY") => Usage::SignVerify,
        (spec, usage) => {
            let message = format!("The fake makes no keys of KeySpec {spec} and KeyUsage {usage}.");
            return Err(KmsError::new("UnsupportedOperationException", message));
        }
    };
    authorise(call, "kms:CreateKey", "*")?;
    let tags = tags(call)?;
    if !tags.is_empty() {
        // A key that is not there yet is any key.
        let any = format!("arn:aws:kms:{}:{}:key/*", call.region, principal.account);
        authorise(call, "kms:TagResource", &any)?;
    }
    let (account, region) = (principal.account.as_str(), call.region.as_str());
    let new = NewKey {
        account,
        region,
        usage,
        created: call.shared.clock.now(),
    };
    let mut state = call.shared.state();
    let key = state.keys.create(&new, call.shared.next());
    key.description = call.text("Description").unwrap_or_default().to_owned();
    key.multi_region = call.flag("MultiRegion");
    key.tags.extend(tags);
    if let Some(policy) = call.text("Policy") {
        key.policy = policy.to_owned();
    }
    Ok(json!({ "KeyMetadata": metadata(key) }))
}

/// `alias/` and letters that KMS takes; `alias/aws/` is AWS's own.
fn check_alias(name: &str) -> Result<(), KmsError> {
    let rest = name.strip_prefix("alias/").unwrap_or_default();
    let valid = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "/_-".contains(c));
    if !valid {
        let message = "Alias must start with the prefix \"alias/\" and contain only [a-zA-Z0-9/_-]";
        return Err(KmsError::new("InvalidAliasNameException", message));
    }
    if rest.starts_with("aws/") {
        return Err(KmsError::new("NotAuthorizedException", ""));
    }
    Ok(())
}

fn alias_arn(call: &Call<'_>, name: &str) -> String {
    format!("arn:aws:kms:{}:{}:{name}", call.region, call.caller.principal.account)
}

/// The key of `aliases` for a name.
fn alias_entry(call: &Call<'_>, name: &str) -> (String, String, String) {
    (
        call.caller.principal.account.clone(),
        call.region.clone(),
        name.to_owned(),
    )
}

fn create_alias(call: &Call<'_>) -> Output {
    let name = call.required("AliasName")?;
    check_alias(name)?;
    let target = resolve(call, "TargetKeyId")?;
    authorise(call, "kms:CreateAlias", &alias_arn(call, name))?;
    authorise(call, "kms:CreateAlias", &target)?;
    let mut state = call.shared.state();
    if state.keys.aliases.contains_key(&alias_entry(call, name)) {
        let message = format!("An alias with the name {} already exists", alias_arn(call, name));
        return Err(KmsError::new("AlreadyExistsException", message));
    }
    state.keys.aliases.insert(alias_entry(call, name), target);
    Ok(Value::Null)
}

/// Needs the right on the alias, on the old key and on the new one; both keys must be of one kind.
fn update_alias(call: &Call<'_>) -> Output {
    let name = call.required("AliasName")?;
    check_alias(name)?;
    let target = resolve(call, "TargetKeyId")?;
    let old = call.shared.state().keys.aliases.get(&alias_entry(call, name)).cloned();
    let Some(old) = old else {
        let message = format!("Alias {} is not found.", alias_arn(call, name));
        return Err(KmsError::new("NotFoundException", message));
    };
    for resource in [&alias_arn(call, name), &old, &target] {
        authorise(call, "kms:UpdateAlias", resource)?;
    }
    let mut state = call.shared.state();
    let usage = |arn: &str| state.keys.by_arn(arn).map(|k| k.usage);
    if usage(&old) != usage(&target) {
        let message = format!("{target} is of another type than the key the alias refers to.");
        return Err(KmsError::new("ValidationException", message));
    }
    state.keys.aliases.insert(alias_entry(call, name), target);
    Ok(Value::Null)
}

fn delete_alias(call: &Call<'_>) -> Output {
    let name = call.required("AliasName")?;
    let old = call.shared.state().keys.aliases.get(&alias_entry(call, name)).cloned();
    let Some(old) = old else {
        let message = format!("Alias {} is not found.", alias_arn(call, name));
        return Err(KmsError::new("NotFoundException", message));
    };
    authorise(call, "kms:DeleteAlias", &alias_arn(call, name))?;
    authorise(call, "kms:DeleteAlias", &old)?;
    call.shared.state().keys.aliases.remove(&alias_entry(call, name));
    Ok(Value::Null)
}

fn list_aliases(call: &Call<'_>) -> Output {
    authorise(call, "kms:ListAliases", "*")?;
    let only = call.text("KeyId").map(|_| resolve(call, "KeyId")).transpose()?;
    let state = call.shared.state();
    let account = &call.caller.principal.account;
    let aliases = state
        .keys
        .aliases
        .iter()
        .filter(|((a, r, _), _)| a == account && *r == call.region);
    let aliases: Vec<_> = aliases
        .filter(|(_, arn)| only.as_ref().is_none_or(|only| only == *arn))
        .map(|((account, region, name), arn)| {
            json!({
                "AliasName": name,
                "AliasArn": format!("arn:aws:kms:{region}:{account}:{name}"),
                "TargetKeyId": state.keys.by_arn(arn).map(|k| &k.id),
            })
        })
        .collect();
    Ok(json!({ "Aliases": aliases, "Truncated": false }))
}

fn list_keys(call: &Call<'_>) -> Output {
    authorise(call, "kms:ListKeys", "*")?;
    let state = call.shared.state();
    let account = &call.caller.principal.account;
    let own = state
        .keys
        .all()
        .filter(|key| key.account == *account && key.region == call.region);
    let keys: Vec<_> = own.map(|key| json!({ "KeyId": key.id, "KeyArn": key.arn })).collect();
    Ok(json!({ "Keys": keys, "Truncated": false }))
}

fn get_public_key(key: &Key) -> Output {
    let Some(public) = key.material.public_key() else {
        return Err(KmsError::new(
            "UnsupportedOperationException",
            format!("{} is a symmetric key.", key.arn),
        ));
    };
    key.usable(Usage::SignVerify, "GetPublicKey")?;
    Ok(json!({
        "KeyId": key.arn,
        "PublicKey": base64(&public),
        "CustomerMasterKeySpec": key.usage.spec(),
        "KeySpec": key.usage.spec(),
        "KeyUsage": key.usage.name(),
        "SigningAlgorithms": [algorithm(key.usage)],
    }))
}

fn encryption_context(call: &Call<'_>) -> Vec<(String, String)> {
    let context = call.input.get("EncryptionContext").and_then(Value::as_object);
    context
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn blob(call: &Call<'_>, field: &str) -> Result<Vec<u8>, KmsError> {
    unbase64(call.required(field)?)
        .ok_or_else(|| KmsError::new("SerializationException", format!("{field} isn't Base64.")))
}

/// Checks a use of a key, then either stops (`DryRun`) or does it and writes it down.
fn use_key(call: &Call<'_>, operation: &str, usage: Usage, work: impl FnOnce(&Key) -> Output) -> Output {
    with_key(call, &format!("kms:{operation}"), |key| {
        key.usable(usage, operation)?;
        if call.flag("DryRun") {
            let message = "The request would have succeeded, but the DryRun option is set.";
            return Err(KmsError::new("DryRunOperationException", message));
        }
        let output = work(key)?;
        call.shared.log.add_kms(KmsUse {
            operation: operation.to_owned(),
            key_arn: key.arn.clone(),
            principal: call.caller.principal.arn(),
            encryption_context: encryption_context(call),
            via: None,
            object: None,
        });
        Ok(output)
    })
}

fn sign(call: &Call<'_>) -> Output {
    let message = blob(call, "Message")?;
    let wanted = call.required("SigningAlgorithm")?;
    let message_type = call.text("MessageType").unwrap_or("RAW");
    if message.is_empty() || message.len() > 4096 {
        let message = "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have \
                       length less than or equal to 4096";
        return Err(KmsError::new("ValidationException", message));
    }
    use_key(call, "Sign", Usage::SignVerify, |key| {
        if wanted != algorithm(key.usage) {
            let message = format!("Algorithm {wanted} is incompatible with key spec {}.", key.usage.spec());
            return Err(KmsError::new("InvalidKeyUsageException", message));
        }
        if message_type != "RAW" {
            return Err(KmsError::new(
                "UnsupportedOperationException",
                "The fake signs only MessageType RAW.",
            ));
        }
        let signature = key
            .material
            .sign(&message)
            .expect("usable says that it is a signing key");
        Ok(json!({ "KeyId": key.arn, "Signature": base64(&signature), "SigningAlgorithm": wanted }))
    })
}

fn encrypt(call: &Call<'_>) -> Output {
    let plaintext = blob(call, "Plaintext")?;
    if plaintext.is_empty() || plaintext.len() > 4096 {
        let message = "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must \
                       have length less than or equal to 4096";
        return Err(KmsError::new("ValidationException", message));
    }
    use_key(call, "Encrypt", Usage::EncryptDecrypt, |key| {
        let sealed = seal(key, &plaintext, call);
        Ok(json!({ "KeyId": key.arn, "CiphertextBlob": sealed, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" }))
    })
}

fn generate_data_key(call: &Call<'_>) -> Output {
    let length = match (
        call.text("KeySpec"),
        call.input.get("NumberOfBytes").and_then(Value::as_u64),
    ) {
        (Some("AES_256"), None) | (None, Some(32)) => 32,
        (Some("AES_128"), None) => 16,
        (None, Some(n @ 1..=1024)) => usize::try_from(n).unwrap_or(1024),
        _ => {
            return Err(KmsError::new(
                "ValidationException",
                "Please specify either number of bytes or key spec.",
            ));
        }
    };
    use_key(call, "GenerateDataKey", Usage::EncryptDecrypt, |key| {
        let data_key = &crypto::random_bytes::<1024>()[..length];
        Ok(json!({ "KeyId": key.arn, "Plaintext": base64(data_key), "CiphertextBlob": seal(key, data_key, call) }))
    })
}

/// A ciphertext that says under which key it is.
fn seal(key: &Key, plaintext: &[u8], call: &Call<'_>) -> String {
    let sealed = key.material.encrypt(plaintext, &encryption_context(call));
    let sealed = sealed.expect("usable says that it is a symmetric key");
    base64(&[key.arn.as_bytes(), b"\n", &sealed].concat())
}

/// Without `KeyId` the ciphertext says which key it is under. `DryRunModifiers: [IGNORE_CIPHERTEXT]` needs none.
fn decrypt(call: &Call<'_>) -> Output {
    let invalid = || KmsError::new("InvalidCiphertextException", "");
    let modifiers = call.input.get("DryRunModifiers").and_then(Value::as_array);
    if modifiers.is_some_and(|m| m.iter().any(|m| m == "IGNORE_CIPHERTEXT")) && call.flag("DryRun") {
        return use_key(call, "Decrypt", Usage::EncryptDecrypt, |_| Ok(Value::Null));
    }
    let ciphertext = blob(call, "CiphertextBlob")?;
    let newline = ciphertext.iter().position(|&b| b == b'\n').ok_or_else(invalid)?;
    let (arn, sealed) = (
        String::from_utf8_lossy(&ciphertext[..newline]).into_owned(),
        &ciphertext[newline + 1..],
    );
    if call.text("KeyId").is_some() && resolve(call, "KeyId")? != arn {
        let message = "The key ID in the request does not identify a CMK that can perform this operation.";
        return Err(KmsError::new("IncorrectKeyException", message));
    }
    let mut input = call.input.clone();
    input["KeyId"] = json!(arn);
    let call = Call {
        input,
        caller: call.caller.clone(),
        region: call.region.clone(),
        ..*call
    };
    use_key(&call, "Decrypt", Usage::EncryptDecrypt, |key| {
        let plaintext = key
            .material
            .decrypt(sealed, &encryption_context(&call))
            .ok_or_else(invalid)?;
        Ok(json!({
            "KeyId": key.arn, "Plaintext": base64(&plaintext), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"
        }))
    })
}

fn enable_key_rotation(call: &Call<'_>) -> Output {
    let days = call
        .input
        .get("RotationPeriodInDays")
        .and_then(Value::as_u64)
        .unwrap_or(365);
    change_key(call, "kms:EnableKeyRotation", |key| {
        if key.usage != Usage::EncryptDecrypt {
            let message = format!("{} origin is AWS_KMS and its spec allows no rotation.", key.arn);
            return Err(KmsError::new("UnsupportedOperationException", message));
        }
        key.usable(Usage::EncryptDecrypt, "EnableKeyRotation")?;
        key.rotation_days = Some(days);
        Ok(Value::Null)
    })
}

fn get_key_rotation_status(key: &Key) -> Output {
    let mut status = json!({ "KeyId": key.arn, "KeyRotationEnabled": key.rotation_days.is_some() });
    if let Some(days) = key.rotation_days {
        status["RotationPeriodInDays"] = json!(days);
    }
    Ok(status)
}

fn put_key_policy(call: &Call<'_>) -> Output {
    let policy = call.required("Policy")?.to_owned();
    if serde_json::from_str::<Value>(&policy).is_err() {
        return Err(KmsError::new(
            "MalformedPolicyDocumentException",
            "The policy isn't JSON.",
        ));
    }
    change_key(call, "kms:PutKeyPolicy", |key| {
        key.policy = policy;
        Ok(Value::Null)
    })
}

fn tags(call: &Call<'_>) -> Result<Vec<(String, String)>, KmsError> {
    let malformed = || KmsError::new("TagException", "A tag needs a TagKey and a TagValue.");
    let tags = call.input.get("Tags").and_then(Value::as_array);
    tags.into_iter()
        .flatten()
        .map(|tag| {
            let field = |name| tag.get(name)?.as_str().map(str::to_owned);
            Ok((
                field("TagKey").ok_or_else(malformed)?,
                field("TagValue").ok_or_else(malformed)?,
            ))
        })
        .collect()
}

fn tag_resource(call: &Call<'_>) -> Output {
    let tags = tags(call)?;
    change_key(call, "kms:TagResource", |key| {
        key.tags.extend(tags);
        Ok(Value::Null)
    })
}

fn set_state(call: &Call<'_>, action: &str, wanted: KeyState) -> Output {
    change_key(call, action, |key| {
        if key.state == KeyState::PendingDeletion {
            return Err(KmsError::new(
                "KMSInvalidStateException",
                format!("{} is pending deletion.", key.arn),
            ));
        }
        key.state = wanted;
        Ok(Value::Null)
    })
}

fn schedule_key_deletion(call: &Call<'_>) -> Output {
    let days = call
        .input
        .get("PendingWindowInDays")
        .and_then(Value::as_u64)
        .unwrap_or(30);
    if !(7..=30).contains(&days) {
        return Err(KmsError::new(
            "ValidationException",
            "PendingWindowInDays must be between 7 and 30.",
        ));
    }
    let at = call.shared.clock.now() + Duration::from_secs(days * 86_400);
    change_key(call, "kms:ScheduleKeyDeletion", |key| {
        if key.state == KeyState::PendingDeletion {
            return Err(KmsError::new(
                "KMSInvalidStateException",
                format!("{} is pending deletion.", key.arn),
            ));
        }
        key.state = KeyState::PendingDeletion;
        key.deletion = Some(at);
        Ok(json!({
            "KeyId": key.arn, "DeletionDate": unix(at), "KeyState": key.state.name(), "PendingWindowInDays": days
        }))
    })
}
