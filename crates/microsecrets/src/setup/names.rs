//! Names of AWS's that policies are made of: parsed once, so that no policy gets a wildcard or a variable by them.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::SetupError;

/// A part of AWS with accounts and regions of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Partition {
    /// `aws`.
    Aws,
    /// `aws-cn`.
    China,
    /// `aws-us-gov`.
    UsGov,
}

impl Partition {
    /// The partition that a region is in; `None` for the isolated and sovereign ones, whose names of services nobody
    /// here has seen.
    pub(super) fn of_region(region: &str) -> Option<Self> {
        if region.starts_with("cn-") {
            Some(Self::China)
        } else if region.starts_with("us-gov-") {
            Some(Self::UsGov)
        } else {
            let elsewhere = ["us-iso", "eu-iso", "eusc-"].iter().any(|own| region.starts_with(own));
            (!elsewhere).then_some(Self::Aws)
        }
    }

    /// What the names of its services end with, for `kms:ViaService`.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::UsGov => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
        }
    }
}

impl fmt::Display for Partition {
    /// As in an ARN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::UsGov => "aws-us-gov",
        })
    }
}

impl FromStr for Partition {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let all = [Self::Aws, Self::China, Self::UsGov];
        let found = all.into_iter().find(|partition| partition.to_string() == text);
        found.ok_or(SetupError::Partition)
    }
}

/// A region of AWS, as `eu-west-1`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Region(String);

impl Region {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let parts: Vec<_> = text.split('-').collect();
        let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_region = match parts.split_last() {
            Some((number, words)) => words.len() >= 2 && words.iter().all(is_word) && is_number(number, 1..=2),
            None => false,
        };
        is_region.then(|| Self(text.to_owned())).ok_or(SetupError::Region)
    }
}

/// An account of AWS: 12 digits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Account(String);

impl Account {
    /// The digits as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Account {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        is_number(text, 12..=12)
            .then(|| Self(text.to_owned()))
            .ok_or(SetupError::Account)
    }
}

/// The name of a bucket of S3: 3 to 63 lower-case letters, digits, hyphens and dots.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct BucketName(String);

impl BucketName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let labels_are_well_formed = text.split('.').all(|label| {
            let ends = [label.bytes().next(), label.bytes().last()];
            ends.into_iter().all(|end| end.is_some_and(is_plain))
                && label.bytes().all(|byte| is_plain(byte) || byte == b'-')
        });
        ((3..=63).contains(&text.len()) && labels_are_well_formed)
            .then(|| Self(text.to_owned()))
            .ok_or(SetupError::Bucket)
    }
}

/// The ARN of a KMS key; never of an alias, which whoever may move it decides.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct KeyArn {
    arn: String,
    pub(super) partition: Partition,
    pub(super) region: Region,
}

impl KeyArn {
    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.arn
    }
}

impl FromStr for KeyArn {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let parts: Vec<_> = text.split(':').collect();
        let &["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
            return Err(SetupError::KeyArn);
        };
        let id = resource.strip_prefix("key/").unwrap_or_default();
        let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let (Ok(partition), Ok(region), Ok(_), true) = (
            partition.parse(),
            region.parse::<Region>(),
            account.parse::<Account>(),
            is_id,
        ) else {
            return Err(SetupError::KeyArn);
        };
        Ok(Self {
            arn: text.to_owned(),
            partition,
            region,
        })
    }
}

/// The ARN of an IAM role or user: `arn:aws:iam::111122223333:role/app`.
///
/// Never of a whole account, which is everybody that its administrators let in, and never with a wildcard.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Principal {
    arn: String,
    pub(super) is_role: bool,
}

impl Principal {
    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.arn
    }

    /// Its name, without the path.
    pub(super) fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for Principal {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let parts: Vec<_> = text.split(':').collect();
        let &["arn", partition, service, "", account, resource] = parts.as_slice() else {
            return Err(SetupError::Principal);
        };
        let (Ok(_), Ok(_)) = (partition.parse::<Partition>(), account.parse::<Account>()) else {
            return Err(SetupError::Principal);
        };
        let (kind, path) = resource.split_once('/').unwrap_or((resource, ""));
        if (service, kind) == ("sts", "assumed-role") {
            return Err(SetupError::Session);
        }
        let is_part = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
            !part.is_empty() && part.bytes().all(allowed)
        };
        let is_one = service == "iam" && matches!(kind, "role" | "user") && path.split('/').all(is_part);
        is_one
            .then(|| Self {
                arn: text.to_owned(),
                is_role: kind == "role",
            })
            .ok_or(SetupError::Principal)
    }
}

fn is_number(text: &str, digits: RangeInclusive<usize>) -> bool {
    digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_aws_are_parsed() {
        for good in ["eu-west-1", "us-gov-west-1", "ap-southeast-11"] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "eu-west",
            "eu-west-",
            "eu--1",
            "EU-west-1",
            "eu-west-*",
            "west-1",
            "eu-west-111",
        ] {
            assert_eq!(bad.parse::<Region>(), Err(SetupError::Region), "{bad:?}");
        }
        for bad in ["", "11112222333", "1111222233334", "11112222333x", "*"] {
            assert_eq!(bad.parse::<Account>(), Err(SetupError::Account), "{bad:?}");
        }
        for good in ["abc", "example-microsecrets", "a.b", &"x".repeat(63)] {
            assert!(good.parse::<BucketName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "a..b",
            "-ab",
            "ab-",
            "ab.-c",
            "aBc",
            "a_b",
            "a*b",
            "a/b",
            "${x}",
            &"x".repeat(64),
        ] {
            assert_eq!(bad.parse::<BucketName>(), Err(SetupError::Bucket), "{bad:?}");
        }
    }

    #[test]
    fn only_the_arn_of_a_key_is_one() {
        for good in [
            "arn:aws:kms:eu-west-1:111122223333:key/0d5eb2d7-0000-4000-8000-6f1d3f7c1a11",
            "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        ] {
            assert_eq!(
                good.parse::<KeyArn>().map(|arn| arn.as_str().to_owned()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "alias/microsecrets-api",
            "0d5eb2d7-0000-4000-8000-6f1d3f7c1a11",
            "arn:aws:kms:eu-west-1:111122223333:alias/microsecrets-api",
            "arn:aws:kms:eu-west-1:111122223333:key/",
            "arn:aws:kms:eu-west-1:111122223333:key/*",
            "arn:aws:kms:*:111122223333:key/1",
            "arn:aws:kms:eu-west-1:*:key/1",
            "arn:*:kms:eu-west-1:111122223333:key/1",
            "arn:aws:s3:eu-west-1:111122223333:key/1",
            "arn:aws:kms:eu-west-1:111122223333:key/1:2",
        ] {
            assert_eq!(bad.parse::<KeyArn>(), Err(SetupError::KeyArn), "{bad:?}");
        }
    }

    #[test]
    fn a_principal_is_one_role_or_user() {
        for (good, name) in [
            ("arn:aws:iam::111122223333:role/app", "app"),
            (
                "arn:aws:iam::111122223333:user/people/ann@example.com",
                "ann@example.com",
            ),
            (
                "arn:aws-cn:iam::111122223333:role/aws-reserved/sso.amazonaws.com/A_1",
                "A_1",
            ),
        ] {
            let principal: Principal = good.parse().expect(good);
            assert_eq!((principal.as_str(), principal.name()), (good, name));
        }
        for bad in [
            "*",
            "111122223333",
            "arn:aws:iam::111122223333:root",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/a//b",
            "arn:aws:iam::*:role/app",
            "arn:aws:iam::111122223333:group/app",
            "arn:aws:sts::111122223333:federated-user/app",
        ] {
            assert_eq!(bad.parse::<Principal>(), Err(SetupError::Principal), "{bad:?}");
        }
        let session = "arn:aws:sts::111122223333:assumed-role/app/i-0123";
        assert_eq!(session.parse::<Principal>(), Err(SetupError::Session));
    }
}
