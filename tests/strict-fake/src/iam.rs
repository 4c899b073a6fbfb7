//! Who may do what: principals, their statements, and AWS's words when the answer is no.
//!
//! A principal created as an administrator may do everything; any other exactly what its statements allow and none
//! denies. Only identity-based policies exist here, so it doesn't matter in which account a bucket or key lives;
//! `policy` adds the Deny statements of a bucket's policy.

use std::collections::BTreeMap;

/// A caller: an access key with its secret, and the IAM user it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's name, as it stands in its ARN.
    pub name: String,
    /// The access key id it signs with.
    pub access_key: String,
    /// The secret it signs with.
    pub secret_key: String,
    /// The account it belongs to. Key aliases resolve there.
    pub account: String,
}

impl Principal {
    /// `arn:aws:iam::ACCOUNT:user/NAME`.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user/{}", self.account, self.name)
    }
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// One statement of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) effect: Effect,
    pub(crate) actions: Patterns,
    pub(crate) resources: Patterns,
    pub(crate) conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    pub(crate) negated: bool,
    pub(crate) globs: Vec<String>,
}

impl Patterns {
    pub(crate) fn one(pattern: &str) -> Self {
        Self {
            negated: false,
            globs: vec![pattern.to_owned()],
        }
    }

    fn match_resource(&self, text: &str) -> bool {
        self.globs.iter().any(|g| glob(g, text)) != self.negated
    }

    /// Actions are compared without regard to case.
    fn match_action(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        self.globs.iter().any(|g| glob(&g.to_ascii_lowercase(), &text)) != self.negated
    }
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    StringEquals,
    StringNotEquals,
    StringEqualsIgnoreCase,
    StringLike,
    StringNotLike,
    Bool,
    Null,
    NumericLessThan,
    NumericLessThanEquals,
}

/// A condition of a statement: an operator, a condition key, and the values of which one must fit.
///
/// The keys that the fake knows: `s3:prefix`, `s3:delimiter`, `s3:max-keys`, `s3:x-amz-server-side-encryption`,
/// `s3:x-amz-server-side-encryption-aws-kms-key-id`, `s3:x-amz-acl`, `s3:if-match`, `s3:if-none-match`,
/// `s3:ObjectCreationOperation`, `s3:VersionId`, `s3:ResourceAccount`, `kms:EncryptionContext:*`, `kms:ViaService`,
/// `kms:CallerAccount`, `kms:RequestAlias`, `kms:ResourceAliases`, `kms:SigningAlgorithm`, `kms:MessageType`,
/// `kms:KeySpec`, `kms:KeyUsage`, `kms:GrantIsForAWSResource`, `aws:SecureTransport`, `aws:PrincipalArn`,
/// `aws:PrincipalAccount`, `aws:ResourceAccount` and `aws:username`.
#[derive(Clone, Debug)]
pub struct Condition {
    pub(crate) operator: Operator,
    pub(crate) if_exists: bool,
    /// `Some(true)` is `ForAllValues:`, `Some(false)` is `ForAnyValue:`.
    pub(crate) for_all: Option<bool>,
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

impl Condition {
    fn new(operator: Operator, key: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|&v| v.to_owned()).collect();
        Self {
            operator,
            if_exists: false,
            for_all: None,
            key: key.to_owned(),
            values,
        }
    }

    /// The key is there and equals one of the values.
    pub fn string_equals(key: &str, values: &[&str]) -> Self {
        Self::new(Operator::StringEquals, key, values)
    }

    /// The key is there and one of the values, with `*` and `?`, fits it.
    pub fn string_like(key: &str, values: &[&str]) -> Self {
        Self::new(Operator::StringLike, key, values)
    }

    fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key);
        if self.operator == Operator::Null {
            let wanted = self.values.iter().any(|v| v.eq_ignore_ascii_case("true"));
            return found.is_none() == wanted;
        }
        let negated = matches!(self.operator, Operator::StringNotEquals | Operator::StringNotLike);
        match (found, self.for_all) {
            (None, _) if self.if_exists => true,
            (None, Some(for_all)) => for_all,
            (None, None) => negated,
            (Some(found), Some(true)) => found.iter().all(|v| self.fits(v)),
            (Some(found), None) if negated => found.iter().all(|v| self.fits(v)),
            (Some(found), _) => found.iter().any(|v| self.fits(v)),
        }
    }

    fn fits(&self, found: &str) -> bool {
        let any = |f: &dyn Fn(&str) -> bool| self.values.iter().any(|v| f(v));
        match self.operator {
            Operator::StringEquals => any(&|v| v == found),
            Operator::StringNotEquals => !any(&|v| v == found),
            Operator::StringLike => any(&|v| glob(v, found)),
            Operator::StringNotLike => !any(&|v| glob(v, found)),
            Operator::StringEqualsIgnoreCase | Operator::Bool => any(&|v| v.eq_ignore_ascii_case(found)),
            Operator::NumericLessThan => any(&|v| numbers(found, v).is_some_and(|(a, b)| a < b)),
            Operator::NumericLessThanEquals => any(&|v| numbers(found, v).is_some_and(|(a, b)| a <= b)),
            Operator::Null => false,
        }
    }
}

fn numbers(a: &str, b: &str) -> Option<(f64, f64)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// The condition keys of one request. Their names are compared without regard to case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    pub(crate) fn set_all(&mut self, key: &str, values: Vec<String>) {
        if !values.is_empty() {
            self.0.insert(key.to_ascii_lowercase(), values);
        }
    }

    fn get(&self, key: &str) -> Option<&Vec<String>> {
        self.0.get(&key.to_ascii_lowercase())
    }
}

/// What the statements say of one action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// Nothing allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

/// Deny beats Allow, and nothing beats silence.
pub(crate) fn decide(statements: &[Statement], action: &str, resource: &str, context: &Context) -> Decision {
    let mut decision = Decision::NotAllowed;
    for statement in statements {
        let applies = statement.actions.match_action(action)
            && statement.resources.match_resource(resource)
            && statement.conditions.iter().all(|c| c.holds(context));
        match statement.effect {
            Effect::Deny if applies => return Decision::Denied,
            Effect::Allow if applies => decision = Decision::Allowed,
            _ => {}
        }
    }
    decision
}

/// Which kind of policy was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyKind {
    Identity,
    Resource,
}

impl PolicyKind {
    /// Its name, and the same with an article.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Identity => ("identity-based", "an identity-based"),
            Self::Resource => ("resource-based", "a resource-based"),
        }
    }
}

/// AWS's sentence for a refusal. S3 puts the resource in quotation marks, KMS doesn't.
pub(crate) fn refusal(who: &str, action: &str, resource: &str, decision: Decision, kind: PolicyKind) -> String {
    let resource = if action.starts_with("s3:") {
        format!("\"{resource}\"")
    } else {
        resource.to_owned()
    };
    let (kind, a_kind) = kind.names();
    match decision {
        Decision::Denied => format!(
            "User: {who} is not authorized to perform: {action} on resource: {resource} with an explicit deny in \
             {a_kind} policy"
        ),
        _ => format!(
            "User: {who} is not authorized to perform: {action} on resource: {resource} because no {kind} policy \
             allows the {action} action"
        ),
    }
}

/// IAM's wildcard match: `*` is any run of characters (slashes too), `?` is one character.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                // Let the last star swallow one character more.
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(action: &str, resource: &str, conditions: Vec<Condition>) -> Statement {
        let (actions, resources) = (Patterns::one(action), Patterns::one(resource));
        Statement {
            effect: Effect::Allow,
            actions,
            resources,
            conditions,
        }
    }

    #[test]
    fn globs_cross_slashes() {
        assert!(glob(
            "arn:aws:s3:::b/services/api/*",
            "arn:aws:s3:::b/services/api/environment/x.json"
        ));
        assert!(glob("*", ""));
        assert!(glob("a?c*e", "abcdde"));
        assert!(!glob("services/api/*", "services/apix/y"));
        assert!(!glob("a", "ab"));
        assert!(!glob("a?", "a"));
    }

    #[test]
    fn deny_beats_allow_and_silence_is_no() {
        let mut deny = allow("s3:Get*", "arn:aws:s3:::b/secret/*", vec![]);
        deny.effect = Effect::Deny;
        let statements = [allow("s3:getobject", "arn:aws:s3:::b/*", vec![]), deny];
        let decide = |action, resource| decide(&statements, action, resource, &Context::default());
        assert_eq!(decide("s3:GetObject", "arn:aws:s3:::b/x"), Decision::Allowed);
        assert_eq!(decide("s3:GetObject", "arn:aws:s3:::b/secret/x"), Decision::Denied);
        assert_eq!(decide("s3:PutObject", "arn:aws:s3:::b/x"), Decision::NotAllowed);
        assert_eq!(decide("s3:GetObject", "arn:aws:s3:::c/x"), Decision::NotAllowed);
    }

    #[test]
    fn conditions_need_their_key() {
        let condition = Condition::string_like("s3:prefix", &["services/api/*"]);
        let statements = [allow("s3:ListBucket", "arn:aws:s3:::b", vec![condition])];
        let mut context = Context::default();
        let decide = |context: &Context| decide(&statements, "s3:ListBucket", "arn:aws:s3:::b", context);
        assert_eq!(decide(&context), Decision::NotAllowed);
        context.set("S3:Prefix", "services/api/environment/");
        assert_eq!(decide(&context), Decision::Allowed);
        context.set("s3:prefix", "services/web/");
        assert_eq!(decide(&context), Decision::NotAllowed);
    }

    #[test]
    fn negated_operators_hold_without_their_key() {
        let mut context = Context::default();
        let condition = Condition::new(
            Operator::StringNotEquals,
            "s3:x-amz-server-side-encryption",
            &["aws:kms"],
        );
        assert!(condition.holds(&context));
        context.set("s3:x-amz-server-side-encryption", "aws:kms");
        assert!(!condition.holds(&context));
        let null = Condition::new(Operator::Null, "s3:if-none-match", &["true"]);
        assert!(null.holds(&context));
        context.set("s3:if-none-match", "*");
        assert!(!null.holds(&context));
    }
}
