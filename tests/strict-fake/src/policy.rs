//! Reads IAM policy documents. What it can't evaluate it refuses: a condition passed over would allow too much.

use serde_json::{Map, Value};

use crate::iam::{Condition, Effect, Operator, Patterns, Statement};

/// The statements of an identity-based policy.
pub(crate) fn parse(document: &str) -> Result<Vec<Statement>, String> {
    statements(document)?.iter().map(parse_statement).collect()
}

/// The Deny statements of a bucket's policy that apply to everybody. Its Allow statements give nobody more than the
/// identity-based policies do, and statements for single principals are passed over: both are stored, no more.
pub(crate) fn parse_bucket_policy(document: &str) -> Result<Vec<Statement>, String> {
    let everybody = |s: &Map<String, Value>| match s.get("Principal") {
        Some(Value::String(who)) => who == "*",
        Some(Value::Object(who)) => who
            .get("AWS")
            .is_some_and(|aws| texts(aws).is_ok_and(|t| t.contains(&"*".into()))),
        _ => false,
    };
    let statements = statements(document)?;
    let deny = statements
        .iter()
        .filter(|s| s.get("Effect").is_some_and(|e| e == "Deny") && everybody(s));
    deny.map(parse_statement).collect()
}

fn statements(document: &str) -> Result<Vec<Map<String, Value>>, String> {
    let document: Value = serde_json::from_str(document).map_err(|e| format!("not JSON: {e}"))?;
    let list = match document.get("Statement") {
        Some(Value::Array(list)) => list.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => return Err("there is no Statement".into()),
    };
    list.into_iter()
        .map(|statement| match statement {
            Value::Object(fields) => Ok(fields),
            other => Err(format!("a Statement is no object: {other}")),
        })
        .collect()
}

fn parse_statement(statement: &Map<String, Value>) -> Result<Statement, String> {
    let known = [
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
        "Principal",
        "NotPrincipal",
    ];
    if let Some(unknown) = statement.keys().find(|k| !known.contains(&k.as_str())) {
        return Err(format!("unknown element {unknown}"));
    }
    let effect = match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        other => return Err(format!("unknown Effect {other:?}")),
    };
    Ok(Statement {
        effect,
        actions: patterns(statement, "Action")?,
        resources: patterns(statement, "Resource")?,
        conditions: conditions(statement.get("Condition"))?,
    })
}

fn patterns(statement: &Map<String, Value>, name: &str) -> Result<Patterns, String> {
    match (statement.get(name), statement.get(&format!("Not{name}"))) {
        (Some(value), None) => Ok(Patterns {
            negated: false,
            globs: texts(value)?,
        }),
        (None, Some(value)) => Ok(Patterns {
            negated: true,
            globs: texts(value)?,
        }),
        _ => Err(format!("a statement needs {name} or Not{name}")),
    }
}

/// A text or a list of texts. Conditions may have booleans and numbers too.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        other => Err(format!("not a text: {other}")),
    };
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

fn conditions(block: Option<&Value>) -> Result<Vec<Condition>, String> {
    let Some(block) = block else { return Ok(vec![]) };
    let block = block.as_object().ok_or("Condition is no object")?;
    let mut conditions = Vec::new();
    for (operator, keys) in block {
        let keys = keys.as_object().ok_or_else(|| format!("{operator} is no object"))?;
        for (key, values) in keys {
            conditions.push(condition(operator, key, texts(values)?)?);
        }
    }
    Ok(conditions)
}

fn condition(operator: &str, key: &str, values: Vec<String>) -> Result<Condition, String> {
    let (for_all, name) = match operator.split_once(':') {
        None => (None, operator),
        Some(("ForAllValues", name)) => (Some(true), name),
        Some(("ForAnyValue", name)) => (Some(false), name),
        Some(_) => return Err(format!("unknown operator {operator}")),
    };
    let (if_exists, name) = name.strip_suffix("IfExists").map_or((false, name), |name| (true, name));
    let operator = match name {
        "StringEquals" => Operator::StringEquals,
        "StringNotEquals" => Operator::StringNotEquals,
        "StringEqualsIgnoreCase" => Operator::StringEqualsIgnoreCase,
        // ArnEquals takes wildcards too, as IAM's does.
        "StringLike" | "ArnLike" | "ArnEquals" => Operator::StringLike,
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => Operator::StringNotLike,
        "Bool" => Operator::Bool,
        "Null" => Operator::Null,
        "NumericLessThan" => Operator::NumericLessThan,
        "NumericLessThanEquals" => Operator::NumericLessThanEquals,
        _ => return Err(format!("unknown operator {operator}")),
    };
    if values.iter().any(|v| v.contains("${")) {
        return Err(format!("policy variables aren't evaluated: {values:?}"));
    }
    Ok(Condition {
        operator,
        if_exists,
        for_all,
        key: key.to_owned(),
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::{Context, Decision, decide};

    const POLICY: &str = r#"{ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::b/services/api/*" },
        { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b",
          "Condition": { "StringLike": { "s3:prefix": ["services/api/*", "services/web/*"] } } },
        { "Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": { "Bool": { "aws:SecureTransport": false } } }
    ] }"#;

    #[test]
    fn a_document_is_evaluated() {
        let statements = parse(POLICY).expect("it has nothing unknown");
        let mut context = Context::default();
        context.set("aws:SecureTransport", "true");
        context.set("s3:prefix", "services/web/");
        assert_eq!(
            decide(&statements, "s3:ListBucket", "arn:aws:s3:::b", &context),
            Decision::Allowed
        );
        assert_eq!(
            decide(&statements, "s3:GetObject", "arn:aws:s3:::b/services/api/x", &context),
            Decision::Allowed
        );
        assert_eq!(
            decide(&statements, "s3:GetObject", "arn:aws:s3:::b/other", &context),
            Decision::NotAllowed
        );
        context.set("aws:SecureTransport", "false");
        assert_eq!(
            decide(&statements, "s3:GetObject", "arn:aws:s3:::b/services/api/x", &context),
            Decision::Denied
        );
    }

    #[test]
    fn the_unknown_is_refused() {
        for (statement, error) in [
            (
                r#"{ "Effect": "Allow", "Action": "*" }"#,
                "a statement needs Resource or NotResource",
            ),
            (
                r#"{ "Effect": "Maybe", "Action": "*", "Resource": "*" }"#,
                "unknown Effect Some(\"Maybe\")",
            ),
            (
                r#"{ "Effect": "Allow", "Action": "*", "Resource": "*", "If": 1 }"#,
                "unknown element If",
            ),
            (
                r#"{ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { "Odd": { "a": "b" } } }"#,
                "unknown operator Odd",
            ),
        ] {
            let document = format!(r#"{{ "Statement": {statement} }}"#);
            assert_eq!(parse(&document).expect_err("refused"), error);
        }
        assert!(parse("no").is_err());
    }

    #[test]
    fn of_a_bucket_policy_only_denials_for_everybody_count() {
        let document = r#"{ "Statement": [
            { "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*" },
            { "Effect": "Deny", "Principal": { "AWS": "*" }, "Action": "s3:PutObject", "Resource": "*" },
            { "Effect": "Deny", "Principal": { "AWS": "arn:aws:iam::1:root" }, "Action": "s3:*", "Resource": "*" }
        ] }"#;
        assert_eq!(parse_bucket_policy(document).expect("understood").len(), 1);
    }
}
