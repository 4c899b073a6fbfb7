//! Who is asking, for how long, by which clock, and where.

use microsecrets::layout::{Item, SERVICES};
use microsecrets::name::ServiceName;
use microsecrets::setup::cloud::{Caller, Cloud};
use microsecrets::store::{ErrorKind, Get, List, Store, StoreError};
use microsecrets::text::shown;
use microsecrets::time::{MAX_AHEAD, Timestamp};

use super::{Commands, Finding, Level};
use crate::error::CliError;

/// How far this machine's clock may be from the store's before that is told, in seconds.
const CLOCK_TOLERANCE: i64 = 60;
/// How long credentials must be valid before that is told, in seconds.
const SOON: i64 = 15 * 60;

/// Who is asking, as far as that is known.
pub(crate) struct Account {
    pub(crate) findings: Vec<Finding>,
    pub(crate) caller: Option<Caller>,
    /// Nobody answers these credentials, so nothing else needs to be asked.
    pub(crate) is_nobody: bool,
}

/// Asks who is asking. A store that is no AWS account has no answer to that.
pub(crate) async fn who(cloud: &Cloud) -> Account {
    let error = match cloud.caller().await {
        Ok(caller) => {
            return Account {
                findings: of_caller(&caller).into(),
                caller: Some(caller),
                is_nobody: false,
            };
        }
        Err(error) => error,
    };
    let is_nobody = is_of_credentials(&error);
    let (told, hint) = CliError::from(error).told();
    let says = format!("whose credentials these are is not known: {told}");
    let finding = match is_nobody {
        true => Finding::failure("caller", "", says, "without credentials nothing else can be asked"),
        // Whoever can't reach STS may reach S3.
        false => Finding::warning("caller", "", says, "whose bucket it should be is not known either"),
    };
    Account {
        findings: vec![finding.mend_if(hint)],
        caller: None,
        is_nobody,
    }
}

fn of_caller(caller: &Caller) -> [Finding; 2] {
    let (arn, account) = (&caller.arn, &caller.account);
    let who = Finding::ok("caller", arn, format!("{}, of the account {account}", shown(arn)));
    let from = caller.provider;
    let Some(at) = caller.expires.and_then(Timestamp::from_unix) else {
        let says = format!("from {from}; nothing says until when they are valid");
        return [who, Finding::ok("credentials", arn, says)];
    };
    let left = at.as_unix() - Timestamp::now().as_unix();
    let says = format!("from {from}, valid until {at} ({})", span(left));
    let valid = match left > SOON {
        true => Finding::ok("credentials", arn, says),
        false => Finding::warning("credentials", arn, says, "what is started later will have none")
            .mend("sign in again (aws sso login, aws login), or renew the credentials"),
    };
    [who, valid]
}

fn is_of_credentials(error: &StoreError) -> bool {
    matches!(
        error.kind,
        ErrorKind::NoCredentials | ErrorKind::ExpiredCredentials | ErrorKind::InvalidCredentials
    )
}

/// A span of time in its two greatest units.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Compares this machine's clock with the store's. `None` when there are no credentials to ask with.
pub(crate) async fn clock(store: &dyn Store, service: Option<&ServiceName>) -> Option<Finding> {
    let location = store.location();
    let error = match date(store, service).await {
        Ok(date) => return Some(of_clock(date, &location)),
        Err(error) => error,
    };
    if is_of_credentials(&error) {
        return None;
    }
    let is_skewed = error.kind == ErrorKind::ClockSkew;
    let (told, hint) = CliError::from(error).told();
    Some(match is_skewed {
        true => Finding::failure("clock", location, told, CLOCK_WHY).mend(CLOCK_MEND),
        false => {
            let says = format!("cannot be compared with the store's: {told}");
            Finding::warning("clock", location, says, CLOCK_WHY).mend_if(hint)
        }
    })
}

const CLOCK_WHY: &str = "S3 refuses every request that is 15 minutes off; and by the clock people tell what was first";
const CLOCK_MEND: &str = "timedatectl set-ntp true, or set this machine's clock by other means";

/// The store's clock, by a listing, or by an object where nothing may be listed.
async fn date(store: &dyn Store, service: Option<&ServiceName>) -> Result<Timestamp, StoreError> {
    let prefix = service.map_or_else(|| SERVICES.to_owned(), |service| format!("{SERVICES}{service}/"));
    match (store.list(List::prefix(prefix).limit(1)).await, service) {
        (Ok(page), _) => Ok(page.date),
        (Err(error), Some(service)) if matches!(error.kind, ErrorKind::Denied(_)) => {
            let head = Item::environment(service.clone()).head_key();
            let object = store.get(Get::attributes(head)).await;
            object.map(|object| object.date).map_err(|_| error)
        }
        (Err(error), _) => Err(error),
    }
}

fn of_clock(date: Timestamp, location: &str) -> Finding {
    let ahead = Timestamp::now().as_unix() - date.as_unix();
    let off = ahead.abs();
    let says = match ahead {
        0 => "this machine's is the store's, to the second".to_owned(),
        1.. => format!("this machine's is {} ahead of the store's", span(off)),
        _ => format!("this machine's is {} behind the store's", span(off)),
    };
    match off {
        _ if off > MAX_AHEAD => Finding::failure("clock", location, says, CLOCK_WHY).mend(CLOCK_MEND),
        _ if off > CLOCK_TOLERANCE => Finding::warning("clock", location, says, CLOCK_WHY).mend(CLOCK_MEND),
        _ => Finding::ok("clock", location, says),
    }
}

/// Whether the bucket is there, and where. When that is a failure, there is nothing more to look at.
pub(crate) async fn region(cloud: &Cloud, bucket: &str, owner: &str, commands: &Commands<'_>) -> Finding {
    let configured = cloud.region();
    match cloud.bucket_region(bucket, owner).await {
        Ok(Some(found)) if found == configured => Finding::ok(
            "region",
            bucket,
            format!("the bucket {bucket} is in {found}, as configured"),
        ),
        Ok(Some(found)) => {
            let says = format!(
                "the bucket {bucket} is in {}, but {configured} is configured",
                shown(&found)
            );
            let why =
                "readers need one request more, writers are refused, and the key is looked for in the wrong place";
            let mend = format!("say -r {0}, or `region = \"{0}\"` in microsecrets.toml", shown(&found));
            Finding::failure("region", bucket, says, why).mend(mend)
        }
        Ok(None) => {
            let says = format!("there is no bucket {bucket}");
            Finding::failure("region", bucket, says, "nothing is kept anywhere")
                .mend(format!("check its name, or make it: {}", commands.setup_of_bucket()))
        }
        Err(error) => Finding::not_seen("region", bucket, error),
    }
}

/// Whom is asked.
pub(crate) fn endpoint(cloud: &Cloud, commands: &Commands<'_>) -> Finding {
    let region = cloud.region();
    match &commands.store.endpoint {
        Some(url) if commands.store.insecure_endpoint && url.starts_with("http://") => {
            let says = format!("{} is asked, without TLS", shown(url));
            let why = "everybody on the way reads and changes everything";
            Finding::warning("endpoint", url, says, why).mend("name an https:// endpoint, without --insecure-endpoint")
        }
        Some(url) => Finding::ok("endpoint", url, format!("{} is asked instead of AWS", shown(url))),
        None if !cloud.asks_aws() => {
            let says = "the AWS configuration names an endpoint that is asked instead of AWS";
            Finding::ok("endpoint", region, says)
        }
        None => Finding::ok("endpoint", region, format!("AWS's own for {region}")),
    }
}

/// Whether nothing else can be asked, as a clock that is too far off makes it.
pub(crate) fn is_hopeless(clock: Option<&Finding>) -> bool {
    clock.is_some_and(|clock| clock.level == Level::Failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_told_of_by_how_far_it_is_off() {
        let level = |off: i64| of_clock(Timestamp::now().plus(-off), "s3://b").level;
        for (off, expected) in [
            (0, Level::Ok),
            (50, Level::Ok),
            (-50, Level::Ok),
            (70, Level::Warning),
            (-800, Level::Warning),
            (1_000, Level::Failure),
            (-1_000, Level::Failure),
        ] {
            assert_eq!(level(off), expected, "{off}");
        }
    }

    #[test]
    fn a_span_is_told_in_words() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (59, "59 s"),
            (90, "1 min"),
            (7_260, "2 h 1 min"),
            (2_592_000, "30 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }
}
