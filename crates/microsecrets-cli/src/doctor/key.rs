//! The service's KMS keys: which they are, in what state, who may use them, and whether anybody would notice another one.

use microsecrets::name::ServiceName;
use microsecrets::setup::cloud::{Cloud, KeyFacts, KeyPurpose};
use microsecrets::setup::{
    Bucket as OwnBucket, Place, Principal, key_policy, merge_key_policy, same_policy, signing_key_policy,
};
use microsecrets::store::Encryption;
use microsecrets::text::shown;
use microsecrets::trust::{Checks, VerifyKey};
use serde_json::Value;

use super::{Commands, Finding, word};

/// A service's keys, and what is said about them.
pub(crate) struct Keys<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) service: &'a ServiceName,
    /// Bucket, account and partition, if they are known: what a key's policy is made of.
    pub(crate) bucket: Option<OwnBucket>,
    pub(crate) checks: &'a Checks,
    /// How the head is encrypted that was looked at.
    pub(crate) head: Option<&'a Encryption>,
    pub(crate) commands: Commands<'a>,
}

/// The statements of a key's policy that name who reads and who writes.
const SIDS: [(KeyPurpose, [&str; 2]); 2] = [
    (KeyPurpose::Encrypt, ["MicrosecretsReaders", "MicrosecretsWriters"]),
    (KeyPurpose::Sign, ["MicrosecretsVerifiers", "MicrosecretsSigners"]),
];

impl Keys<'_> {
    /// Looks at the key that encrypts.
    pub(crate) async fn encrypting(&self) -> Vec<Finding> {
        let alias = KeyPurpose::Encrypt.alias(self.service);
        let Some(name) = self.commands.store.kms_key.clone().or_else(|| alias.clone()) else {
            let says = format!("no alias follows from the name {}, which has a dot", self.service);
            let why = "writers do not know which key to encrypt under";
            let mend = "`kms-key = \"arn:aws:kms:...\"` in microsecrets.toml, or --kms-key";
            return vec![
                self.pin(None),
                Finding::warning("key", self.service, says, why).mend(mend),
            ];
        };
        let (finding, key) = self.state("key", &name, KeyPurpose::Encrypt).await;
        let mut findings = vec![self.pin(key.as_ref()), finding];
        let Some(key) = key else { return findings };
        if let Some(alias) = &alias {
            findings.push(self.alias(alias, &name, &key).await);
        }
        findings.push(self.rotation(&key, alias.as_deref() == Some(&*name)).await);
        findings.push(self.policy("key-policy", &key.arn, KeyPurpose::Encrypt).await);
        findings
    }

    /// Looks at the key that signs.
    pub(crate) async fn signing(&self) -> Vec<Finding> {
        const CHECK: &str = "signing-key";
        let contract = self.commands.store.contract.as_ref();
        let named = contract.and_then(|contract| contract.sign_with.clone());
        let Some(name) = named.or_else(|| KeyPurpose::Sign.alias(self.service)) else {
            let says = format!("no alias follows from the name {}, which has a dot", self.service);
            let why = "writers do not know which key to sign with";
            let mend = "`sign-with = \"arn:aws:kms:...\"` in microsecrets.toml, or --sign-with";
            return vec![Finding::warning(CHECK, self.service, says, why).mend(mend)];
        };
        let (finding, key) = self.state(CHECK, &name, KeyPurpose::Sign).await;
        let mut findings = vec![finding];
        if let Some(key) = key {
            findings.extend(self.believed(&key.arn).await);
            findings.push(self.policy("signing-key-policy", &key.arn, KeyPurpose::Sign).await);
        }
        findings
    }

    /// What a reader believes who pins nothing.
    fn pin(&self, key: Option<&KeyFacts>) -> Finding {
        const CHECK: &str = "key-pin";
        let arn = match self.head {
            Some(Encryption::Kms(arn) | Encryption::KmsDsse(arn)) => Some(arn),
            _ => key.map(|key| &key.arn),
        };
        let mend = match arn {
            Some(arn) => format!("`kms-key = \"{}\"` in microsecrets.toml, or --kms-key", shown(arn)),
            None => "`kms-key = \"arn:aws:kms:...\"` in microsecrets.toml, or --kms-key".to_owned(),
        };
        match &self.commands.store.kms_key {
            Some(name) if name.parse::<microsecrets::trust::KeyPin>().is_ok() => Finding::ok(
                CHECK,
                self.service,
                format!("only what is under {} is believed", shown(name)),
            ),
            Some(name) => {
                let says = format!("the key is pinned by its alias, {}", shown(name));
                let why = "whoever may move the alias decides what is believed, and each start takes a request more";
                Finding::warning(CHECK, self.service, says, why).mend(mend)
            }
            None if self.checks.demand_signatures() => {
                let says = "no KMS key is pinned, but only what is signed is believed";
                Finding::ok(CHECK, self.service, says)
            }
            None => {
                let says = "no KMS key is pinned, and nobody's signature is demanded";
                let why = "readers believe every object under any KMS key, also what somebody puts under aws/s3 who may \
                           do nothing else";
                Finding::warning(CHECK, self.service, says, why).mend(mend)
            }
        }
    }

    /// Whether a key is there and can be used for its purpose.
    async fn state(&self, check: &'static str, name: &str, purpose: KeyPurpose) -> (Finding, Option<KeyFacts>) {
        let key = match self.cloud.key(name, purpose).await {
            Ok(Some(key)) => key,
            Ok(None) => {
                let says = format!("there is no key {}", shown(name));
                let finding = Finding::failure(check, name, says, "nothing can be written, or read that is under it");
                return (finding.mend(self.setup(purpose)), None);
            }
            Err(error) => return (Finding::not_seen(check, name, error), None),
        };
        let said = match key.arn == name {
            true => shown(&key.arn),
            false => format!("{} ({})", shown(&key.arn), shown(name)),
        };
        let finding = match &key.unusable {
            Some(why_not) => {
                let says = format!("{said} cannot be used: {why_not}");
                let id = word(&key.arn);
                let mend = match why_not.contains("PendingDeletion") {
                    true => format!("kms cancel-key-deletion --key-id {id}; aws kms enable-key --key-id {id}"),
                    false => format!("kms enable-key --key-id {id}"),
                };
                let why = "what is encrypted under it cannot be read, nor anything written";
                Finding::failure(check, &key.arn, says, why).mend(self.commands.aws(&mend))
            }
            None if !key.customer_managed => {
                let says = format!("{said} is AWS's own key");
                let why = "everybody in the account may use it through S3";
                Finding::failure(check, &key.arn, says, why).mend(self.setup(purpose))
            }
            None => Finding::ok(check, &key.arn, format!("{said} can be used")),
        };
        (finding, Some(key))
    }

    /// Whether the service's alias means the key that is pinned, or else the one that the head is under.
    async fn alias(&self, alias: &str, name: &str, key: &KeyFacts) -> Finding {
        const CHECK: &str = "alias";
        let (target, wanted, because) = if name == alias {
            let head = match self.head {
                Some(Encryption::Kms(head) | Encryption::KmsDsse(head)) => head.clone(),
                _ => key.arn.clone(),
            };
            (Some(key.arn.clone()), head, "the head is under")
        } else {
            match self.cloud.key(alias, KeyPurpose::Encrypt).await {
                Ok(target) => (target.map(|target| target.arn), key.arn.clone(), "the pinned key is"),
                Err(error) => return Finding::not_seen(CHECK, alias, error),
            }
        };
        match target {
            None => Finding::ok(
                CHECK,
                alias,
                format!("there is no {alias}, nor is it needed: the key is pinned"),
            ),
            Some(target) if target == wanted => Finding::ok(CHECK, alias, format!("{alias} is {}", shown(&target))),
            Some(target) => {
                let says = format!("{alias} is {}, but {because} {}", shown(&target), shown(&wanted));
                let why = "writers refuse to encrypt under another key, and readers who pin this one what would be";
                let move_back = format!(
                    "kms update-alias --alias-name {alias} --target-key-id {}",
                    word(&wanted)
                );
                let mend = format!(
                    "{}; if it was moved on purpose, write once with --new-key",
                    self.commands.aws(&move_back)
                );
                Finding::failure(CHECK, alias, says, why).mend(mend)
            }
        }
    }

    async fn rotation(&self, key: &KeyFacts, is_named: bool) -> Finding {
        const CHECK: &str = "key-rotation";
        match self.cloud.rotates(&key.arn).await {
            Ok(true) => Finding::ok(CHECK, &key.arn, "the key's material is replaced every year"),
            Ok(false) => {
                let why = "what encrypts everything for ever is worth more to who gets it";
                let mend = match is_named {
                    true => self.setup(KeyPurpose::Encrypt),
                    false => self
                        .commands
                        .aws(&format!("kms enable-key-rotation --key-id {}", word(&key.arn))),
                };
                Finding::warning(CHECK, &key.arn, "the key's material is never replaced", why).mend(mend)
            }
            Err(error) => Finding::not_seen(CHECK, &key.arn, error),
        }
    }

    /// Whether what a key signs is believed by who pins a key here.
    async fn believed(&self, arn: &str) -> Option<Finding> {
        const CHECK: &str = "signing-key-pin";
        if !self.checks.demand_signatures() {
            return None;
        }
        let spki = match self.cloud.public_key(arn).await {
            Ok(spki) => spki,
            Err(error) => return Some(Finding::not_seen(CHECK, arn, error)),
        };
        let why = "what it signs is refused here";
        let Ok(key) = VerifyKey::from_spki(&spki) else {
            let says = "its public key is none on NIST P-256";
            return Some(Finding::failure(CHECK, arn, says, why).mend(self.setup(KeyPurpose::Sign)));
        };
        let mut pinned = self.checks.verify_keys.iter();
        Some(match pinned.any(|pinned| pinned.fingerprint() == key.fingerprint()) {
            true => Finding::ok(CHECK, arn, "its public key is pinned"),
            false => Finding::failure(CHECK, arn, "its public key is none of those that are pinned", why).mend(
                format!("add \"{}\" to `verify-keys` in microsecrets.toml", key.to_base64()),
            ),
        })
    }

    /// Whether a key's policy has our statements as they shall be, for whomever it names, and no others that allow
    /// something.
    async fn policy(&self, check: &'static str, arn: &str, purpose: KeyPurpose) -> Finding {
        let existing = match self.cloud.key_policy(arn).await {
            Ok(existing) => existing,
            Err(error) => return Finding::not_seen(check, arn, error),
        };
        let Some(wanted) = self.wanted_policy(&existing, purpose) else {
            let says = "no policy can be made for a bucket of this name or place";
            return Finding::warning(check, arn, says, "who may use the key is not known to be right")
                .mend("say whose bucket it is, with --bucket-owner");
        };
        let mend = || {
            let named = self.named(&existing, purpose);
            format!("{}{named}", self.setup(purpose))
        };
        if !same_policy(&wanted, &existing) {
            let says = "our statements are not in the key's policy, or say something else";
            let why = "who may use the key, and only through S3 for this service's objects, is not said as it shall be";
            return Finding::failure(check, arn, says, why).mend(mend());
        }
        let others = foreign(&existing);
        if !others.is_empty() {
            let says = format!("statements of others allow something too: {}", others.join(", "));
            let why =
                "who may use the key is said elsewhere as well: by IAM policies, if the account is allowed all of it";
            let look = format!("kms get-key-policy --key-id {} --policy-name default", word(arn));
            let mend = format!("look, and take out what nobody needs: {}", self.commands.aws(&look));
            return Finding::warning(check, arn, says, why).mend(mend);
        }
        if self.named(&existing, purpose).contains("ARN") {
            let says = "the key's policy names nobody who may use it";
            return Finding::warning(check, arn, says, "nobody reads or writes anything").mend(mend());
        }
        Finding::ok(
            check,
            arn,
            "the key's policy lets those use it whom it names, and nobody else",
        )
    }

    /// The policy that a key shall have, for those whom it names already.
    fn wanted_policy(&self, existing: &Value, purpose: KeyPurpose) -> Option<Value> {
        let region = self.cloud.region().parse().ok()?;
        let place = Place::new(self.bucket.clone()?, region, self.service.clone()).ok()?;
        let [first, second] = sids(purpose);
        let (first, second) = (principals(existing, first), principals(existing, second));
        let admins = principals(existing, "MicrosecretsAdmins");
        let ours = match purpose {
            KeyPurpose::Sign => signing_key_policy(&place, &second, &first, &admins),
            _ => key_policy(&place, &first, &second, &admins),
        };
        merge_key_policy(existing, &ours).ok()
    }

    /// `--reader` and `--writer` for those whom a key's policy names; `ARN` for nobody.
    fn named(&self, existing: &Value, purpose: KeyPurpose) -> String {
        let flags = ["--reader", "--writer"].into_iter().zip(sids(purpose));
        let named: Vec<_> = flags
            .flat_map(|(flag, sid)| {
                let principals = principals(existing, sid).into_iter();
                principals.map(move |principal| format!(" {flag} {}", word(principal.as_str())))
            })
            .collect();
        match named.is_empty() {
            true => " --reader ARN --writer ARN".to_owned(),
            false => named.concat(),
        }
    }

    fn setup(&self, purpose: KeyPurpose) -> String {
        let signing = if purpose == KeyPurpose::Sign { "--signing" } else { "" };
        self.commands.own("setup", signing)
    }
}

fn sids(purpose: KeyPurpose) -> [&'static str; 2] {
    let found = SIDS.into_iter().find(|(own, _)| *own == purpose);
    found.map_or([""; 2], |(_, sids)| sids)
}

fn statements(policy: &Value) -> Vec<&Value> {
    match policy.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

fn sid(statement: &Value) -> &str {
    statement.get("Sid").and_then(Value::as_str).unwrap_or_default()
}

/// The roles and users that a statement names.
fn principals(policy: &Value, wanted: &str) -> Vec<Principal> {
    let named = statements(policy)
        .into_iter()
        .filter(|statement| sid(statement) == wanted);
    let texts = named.flat_map(|statement| match statement.pointer("/Principal/AWS") {
        Some(Value::String(text)) => vec![text.as_str()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    });
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// The ids of the statements that allow something and are none of ours.
fn foreign(policy: &Value) -> Vec<String> {
    let allows = |statement: &&Value| statement.get("Effect").is_none_or(|effect| effect != "Deny");
    let others = statements(policy).into_iter().filter(allows).map(sid);
    let others = others.filter(|sid| !sid.starts_with("Microsecrets"));
    others
        .map(|sid| {
            if sid.is_empty() {
                "one without a Sid".to_owned()
            } else {
                shown(sid)
            }
        })
        .collect()
}
