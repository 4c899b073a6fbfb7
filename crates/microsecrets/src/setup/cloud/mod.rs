//! The account beneath: who is asking, how a bucket is set up, which keys there are.
//!
//! Everything here is asked or changed one request at a time, and is true or false by itself: whoever is interrupted
//! starts again, and finds what was done. No type of the SDK leaves this module.

mod bucket;
mod keys;

use std::error::Error;
use std::future::Future;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

pub use self::bucket::{BucketPart, Found};
pub use self::keys::{KeyFacts, KeyPurpose, Trial};
use crate::aws::{Asked, Aws};
use crate::store::{Denial, ErrorKind, Operation, StoreError};

/// An account's S3, KMS and STS.
pub struct Cloud {
    aws: Aws,
    s3: aws_sdk_s3::Client,
    kms: aws_sdk_kms::Client,
}

/// Who is asking.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Caller {
    /// The account, 12 digits.
    pub account: String,
    /// The ARN of the user, or of the role's session.
    pub arn: String,
    /// Where the credentials come from.
    pub provider: &'static str,
    /// When they end being valid, in seconds since 1970; `None` when nobody says so.
    pub expires: Option<i64>,
}

impl Caller {
    /// The partition of AWS: `aws`, `aws-cn`, `aws-us-gov`.
    pub fn partition(&self) -> &str {
        self.arn
            .split(':')
            .nth(1)
            .filter(|part| !part.is_empty())
            .unwrap_or("aws")
    }
}

impl Cloud {
    /// The account that a connection's credentials are of. Nothing is asked yet.
    pub fn new(aws: Aws) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(aws.config())
            .force_path_style(aws.has_s3_endpoint())
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            kms: aws_sdk_kms::Client::new(aws.config()),
            aws,
        }
    }

    /// The region that is worked in.
    pub fn region(&self) -> &str {
        self.aws.region()
    }

    /// Whether it is AWS that S3's requests go to.
    pub fn asks_aws(&self) -> bool {
        !self.aws.has_s3_endpoint()
    }

    /// Who is asking: `sts:GetCallerIdentity`, which nobody can be denied.
    pub async fn caller(&self) -> Result<Caller, StoreError> {
        let asked = action("sts:GetCallerIdentity", "the credentials");
        let sts = aws_sdk_sts::Client::new(self.aws.config());
        let output = self.ask(&asked, || sts.get_caller_identity().send()).await?;
        let (Some(account), Some(arn)) = (output.account, output.arn) else {
            return Err(asked.malformed("it does not say who"));
        };
        let (provider, expires) = self.aws.provider(&asked).await?;
        Ok(Caller {
            account: crate::aws::clean(&account),
            arn: crate::aws::clean(&arn),
            provider,
            expires,
        })
    }

    /// Asks; a denial says of what it is.
    async fn ask<T, E, F>(&self, asked: &Asked, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let answer = self.aws.ask(asked, attempt).await;
        answer.map_err(|error| with_resource(asked, error))
    }
}

/// A denial that does not say of what: it is of what was asked about.
fn with_resource(asked: &Asked, error: StoreError) -> StoreError {
    let ErrorKind::Denied(denial) = &error.kind else {
        return error;
    };
    let resource = denial.resource.clone().unwrap_or_else(|| match asked.operation {
        Operation::Administer(action) if action.starts_with("s3:") => format!("arn:aws:s3:::{}", asked.subject),
        _ if asked.subject.starts_with("arn:") => asked.subject.clone(),
        _ => "*".to_owned(),
    });
    let kind = ErrorKind::Denied(Denial {
        resource: Some(resource),
        ..denial.clone()
    });
    StoreError { kind, ..error }
}

/// A request by the name that IAM gives the right to it.
fn action(name: &'static str, subject: &str) -> Asked {
    Asked::new(Operation::Administer(name), subject)
}

/// Turns "there is none", which each service says in its own words, into `None`.
fn if_there<T>(answer: Result<T, StoreError>, absent: &[&str]) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code.as_deref().is_some_and(|code| absent.contains(&code)) => Ok(None),
        Err(error) => Err(error),
    }
}
