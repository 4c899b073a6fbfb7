//! `doctor`: what is wrong, why it matters, and what mends it.

use clap::{Args, ValueEnum};
use microsecrets::layout::Item;
use microsecrets::name::{Label, ServiceName};
use microsecrets::setup::cloud::{Caller, Cloud, KeyPurpose};
use microsecrets::setup::{Bucket as OwnBucket, Role};
use microsecrets::store::{Encryption, Get};

use crate::args::{Bucket, Format, ServiceArgs, Sse, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::doctor::objects::{Objects, Ward};
use crate::doctor::{Commands, Finding, Level, account, bucket, key, local, print, rights};
use crate::error::{CliError, Status};

const DETAILS: &str = "\
Looks at credentials, clock, region and endpoint; at each thing of the bucket that `setup` puts right; and with -s at the \
service's keys, at the rights of --role, tried without changing anything, and at every object, which takes as many \
requests as there are objects. In a folder: at its objects and at the files that open it.

Each finding is ok, a warning or a failure, with the command or the statement that mends it. The status is 1 when a \
failure is left. Nothing is changed without --fix, which asks before it makes the newest version of the log that is \
whole the current one again where readers refuse the head, completes interrupted writes, and removes bytes that were \
never committed.

Examples:
  microsecrets doctor -b my-bucket -s api --role writer
  microsecrets doctor -b my-bucket -s api --fix
  microsecrets doctor -b my-bucket";

/// Look for what is wrong with credentials, bucket, keys, rights and objects, and mend it
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Look only at the service's file LABEL
    #[arg(short, long, value_name = "LABEL")]
    file: Option<Label>,
    /// Whose rights to try
    #[arg(long, value_name = "ROLE", default_value = "reader")]
    role: TriedRole,
    /// Mend what can be mended, each thing after asking
    #[arg(long)]
    fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    yes: bool,
    /// How to print the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// The roles whose rights can be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum TriedRole {
    Reader,
    Lister,
    Writer,
    Pruner,
    Signer,
}

impl From<TriedRole> for Role {
    fn from(role: TriedRole) -> Self {
        match role {
            TriedRole::Reader => Self::Reader,
            TriedRole::Lister => Self::Lister,
            TriedRole::Writer => Self::Writer,
            TriedRole::Pruner => Self::Pruner { purge: false },
            TriedRole::Signer => Self::Signer,
        }
    }
}

/// Prints what is wrong.
pub(crate) async fn run(args: &DoctorArgs) -> Result<(), CliError> {
    if args.fix || args.file.is_some() {
        args.service.named()?;
    }
    let findings = match &args.store.bucket {
        Some(Bucket::S3(bucket)) => of_bucket(args, bucket).await?,
        Some(Bucket::Folder(_)) => of_folder(args).await?,
        None => {
            return Err(CliError::usage("no bucket is named")
                .hint("say -b BUCKET or set MICROSECRETS_BUCKET; a folder is looked at with -b file:DIR"));
        }
    };
    print(&findings, args.format)?;
    match findings.iter().any(|finding| finding.level == Level::Failure) {
        true => Err(CliError::quiet(Status::Failure)),
        false => Ok(()),
    }
}

impl DoctorArgs {
    fn commands(&self) -> Commands<'_> {
        Commands {
            store: &self.store,
            service: self.service.service.as_ref(),
        }
    }

    /// The item that is named, if it is only one.
    fn only(&self, service: &ServiceName) -> Option<Item> {
        self.file
            .as_ref()
            .map(|label| Item::file(service.clone(), label.clone()))
    }
}

/// Opens a store for what is to be done there; one that is not there is not made.
async fn open(args: &DoctorArgs) -> Result<Opened, CliError> {
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    match args.fix {
        true => Opened::open(&args.store, Purpose::Write).await,
        false => Ok(opened),
    }
}

async fn of_folder(args: &DoctorArgs) -> Result<Vec<Finding>, CliError> {
    let mut findings = Vec::new();
    match open(args).await {
        Ok(opened) => {
            let location = opened.store.location();
            findings.push(Finding::ok("store", &location, format!("{location} opens")));
            if let Some(service) = &args.service.service {
                findings.extend(ward(args, service, &opened).await.findings);
            }
        }
        Err(error) => {
            let (told, hint) = error.told();
            let finding = Finding::failure("store", "", told, "nothing in it can be read or written");
            findings.push(finding.mend_if(hint));
        }
    }
    findings.extend(local::trusted(&args.store));
    findings.extend(local::secrets()?);
    Ok(findings)
}

/// The service's objects.
async fn ward(args: &DoctorArgs, service: &ServiceName, opened: &Opened) -> Objects {
    let only = args.only(service);
    let ward = Ward {
        opened,
        service,
        only: only.as_ref(),
        commands: args.commands(),
        fix: args.fix,
        yes: args.yes,
    };
    ward.all().await
}

async fn of_bucket(args: &DoctorArgs, bucket: &str) -> Result<Vec<Finding>, CliError> {
    let cloud = Opened::cloud(&args.store).await?;
    let opened = open(args).await?;
    let service = args.service.service.as_ref();
    let mut findings = vec![account::endpoint(&cloud, &args.commands())];
    let clock = account::clock(&*opened.store, service).await;
    let is_hopeless = account::is_hopeless(clock.as_ref());
    findings.extend(clock);
    let is_account = args.store.sse == Sse::Kms;
    let mut caller = None;
    if is_account {
        let account = account::who(&cloud).await;
        findings.extend(account.findings);
        if account.is_nobody || is_hopeless {
            findings.extend(local::trusted(&args.store));
            return Ok(findings);
        }
        caller = account.caller;
    }
    let objects = match service {
        Some(service) => ward(args, service, &opened).await,
        None => Objects::default(),
    };
    let looked = Looked {
        args,
        bucket,
        cloud: &cloud,
        opened: &opened,
        caller: caller.as_ref(),
        objects: &objects,
    };
    let mut is_there = true;
    if is_account {
        let of_bucket = looked.at_bucket().await;
        is_there = of_bucket.iter().all(|finding| !finding.is("region", Level::Failure));
        findings.extend(of_bucket);
    }
    if let Some(service) = service.filter(|_| is_there) {
        if is_account {
            findings.extend(looked.at_keys(service).await);
        }
        findings.extend(looked.at_rights(service).await);
    }
    findings.extend(objects.findings);
    findings.extend(local::trusted(&args.store));
    Ok(findings)
}

/// What was seen so far of a bucket and a service in it.
struct Looked<'a> {
    args: &'a DoctorArgs,
    bucket: &'a str,
    cloud: &'a Cloud,
    opened: &'a Opened,
    caller: Option<&'a Caller>,
    objects: &'a Objects,
}

impl Looked<'_> {
    /// The account that the bucket must be of.
    fn owner(&self) -> Option<&str> {
        let pinned = self.args.store.bucket_owner.as_deref();
        pinned.or_else(|| self.caller.map(|caller| caller.account.as_str()))
    }

    fn partition(&self) -> &str {
        self.caller.map_or("aws", Caller::partition)
    }

    async fn at_bucket(&self) -> Vec<Finding> {
        let commands = self.args.commands();
        let account = self.caller.map(|caller| caller.account.as_str());
        let pin = bucket::owner(&commands, self.bucket, account);
        let Some(owner) = self.owner() else { return vec![pin] };
        let region = account::region(self.cloud, self.bucket, owner, &commands).await;
        if region.is("region", Level::Failure) {
            return vec![region];
        }
        let posture = bucket::Looked {
            cloud: self.cloud,
            bucket: self.bucket,
            owner,
            partition: self.partition(),
            migrating: self.objects.migrating,
            commands,
        };
        let mut findings = vec![region, pin];
        findings.extend(bucket::posture(&posture).await);
        findings
    }

    /// The item that rights and keys are tried on.
    fn tried(&self, service: &ServiceName) -> Item {
        let named = self.args.only(service);
        let named = named.unwrap_or_else(|| Item::environment(service.clone()));
        rights::tried_on(named, &self.objects.items)
    }

    /// How the head is encrypted that rights and keys are tried on, also where nothing may be listed.
    async fn head(&self, service: &ServiceName) -> Option<Encryption> {
        let item = self.tried(service);
        if let Some(known) = self.objects.encryption_of(&item) {
            return Some(known.clone());
        }
        let object = self.opened.store.get(Get::attributes(item.head_key())).await;
        object.ok().map(|object| object.encryption)
    }

    async fn at_keys(&self, service: &ServiceName) -> Vec<Finding> {
        let own = || {
            let (partition, owner) = (self.partition().parse().ok()?, self.owner()?.parse().ok()?);
            Some(OwnBucket::new(partition, owner, self.bucket.parse().ok()?))
        };
        let head = self.head(service).await;
        let keys = key::Keys {
            cloud: self.cloud,
            service,
            bucket: own(),
            checks: &self.opened.checks,
            head: head.as_ref(),
            commands: self.args.commands(),
        };
        let mut findings = keys.encrypting().await;
        let contract = self.args.store.contract.as_ref();
        let signs = contract.is_some_and(|contract| contract.sign_with.is_some());
        if signs || self.args.role == TriedRole::Signer || self.opened.checks.demand_signatures() {
            findings.extend(keys.signing().await);
        }
        findings
    }

    async fn at_rights(&self, service: &ServiceName) -> Vec<Finding> {
        let item = self.tried(service);
        let key_name = self.args.store.kms_key.clone();
        let key_name = key_name.or_else(|| KeyPurpose::Encrypt.alias(service));
        let key_name = key_name.filter(|_| self.args.store.sse == Sse::Kms);
        let contract = self.args.store.contract.as_ref();
        let signing = contract.and_then(|contract| contract.sign_with.clone());
        let signing = signing.or_else(|| KeyPurpose::Sign.alias(service));
        let head = self.head(service).await;
        let rights = rights::Rights {
            cloud: self.cloud,
            access: self.opened.access(&item),
            role: self.args.role.into(),
            partition: self.partition(),
            key_name: key_name.as_deref(),
            signing_key_name: signing.as_deref(),
            head: head.as_ref(),
        };
        rights.all().await
    }
}
