//! Who may use a key: new principals are put beside those that are in its policy already.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::SetupError;
use super::bucket::{normal, statements_of};

/// What our statements' ids begin with.
const OURS: &str = "Microsecrets";

/// The policy that a key has, with our statements as `wanted` has them and their principals added to those who are named
/// already. The statements of others are kept.
///
/// # Errors
///
/// [`SetupError::Policy`]: what the key has is no policy.
pub fn merge_key_policy(existing: &Value, wanted: &Value) -> Result<Value, SetupError> {
    let (mut found, wanted) = (statements_of(Some(existing))?, statements_of(Some(wanted))?);
    let mut merged = Vec::new();
    for mut statement in wanted {
        let sid = our_sid(&statement);
        let before = found.iter().filter(|found| our_sid(found) == sid);
        let mut who: BTreeSet<String> = before.flat_map(principals).collect();
        who.extend(principals(&statement));
        statement["Principal"] = json!({"AWS": who});
        found.retain(|found| our_sid(found) != sid);
        merged.push(statement);
    }
    // Those of ours that nobody new was to be added to, and those of others.
    found.extend(merged);
    let mut policy = existing.clone();
    policy["Statement"] = found.into();
    Ok(policy)
}

/// Whether two policies say the same, whatever the order of statements and values.
pub fn same_policy(one: &Value, other: &Value) -> bool {
    let normal = |policy| -> Option<BTreeSet<String>> {
        let statements = statements_of(Some(policy)).ok()?.into_iter();
        Some(statements.map(|statement| normal(statement).to_string()).collect())
    };
    normal(one).is_some() && normal(one) == normal(other)
}

fn our_sid(statement: &Value) -> Option<String> {
    let sid = statement.get("Sid")?.as_str()?;
    sid.starts_with(OURS).then(|| sid.to_owned())
}

fn principals(statement: &Value) -> Vec<String> {
    let texts = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    statement.pointer("/Principal/AWS").map(texts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers(names: &[&str]) -> Value {
        json!({"Sid": "MicrosecretsReaders", "Effect": "Allow", "Action": "kms:Decrypt", "Principal": {"AWS": names}})
    }

    #[test]
    fn who_may_use_a_key_already_still_may() {
        let foreign = json!({"Sid": "Enable IAM User Permissions", "Effect": "Allow", "Action": "kms:*",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Resource": "*"});
        let existing = json!({"Version": "2012-10-17", "Id": "x", "Statement": [foreign, readers(&["a"])]});
        let wanted = json!({"Version": "2012-10-17", "Statement": [readers(&["b"])]});
        let merged = merge_key_policy(&existing, &wanted).expect("a policy");
        let expected = json!({"Version": "2012-10-17", "Id": "x", "Statement": [foreign, readers(&["a", "b"])]});
        assert!(same_policy(&merged, &expected), "{merged}");
        // Once more changes nothing.
        let again = merge_key_policy(&merged, &wanted).expect("a policy");
        assert!(same_policy(&again, &merged));
        assert!(!same_policy(&existing, &merged));
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        assert_eq!(
            merge_key_policy(&json!({}), &json!({"Statement": []})),
            Err(SetupError::Policy)
        );
        assert!(!same_policy(&json!({}), &json!({})));
    }
}
