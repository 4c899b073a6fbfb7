//! The stores that the suite runs on, each fresh and empty.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use microsecrets::aws::{AccessKey, Aws, AwsSettings};
use microsecrets::keys::{Keys, KmsKeys};
use microsecrets::layout::Item;
use microsecrets::secret::SecretString;
use microsecrets::store::folder::{Access, FolderSettings, FolderStore};
use microsecrets::store::memory::{Fault as MemoryFault, Memory, When};
use microsecrets::store::s3::S3Store;
use microsecrets::store::{Encryption, RetryPolicy, Store, StoreError};
use microsecrets::trust::{Checks, RequiredEncryption};
use strict_fake::{Bucket, Failure, Fault, Principal, StrictFake};
use tempfile::TempDir;
use test_support::moto::Moto;

use crate::process::Process;

pub(crate) const BUCKET: &str = "example-microsecrets";
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const ALIAS: &str = "alias/microsecrets-api";

/// A store that processes share.
pub(crate) struct World(Backing);

pub(crate) enum Backing {
    Memory(Memory),
    Folder(TempDir),
    Fake(FakeAws),
    Moto { bucket: String, key: String },
}

impl Backing {
    /// Whether a writer of a large file that lost cannot tell its bytes from equal ones of somebody else, and so leaves
    /// them: ETags are not unique, and there are no version ids.
    pub(crate) fn keeps_the_bytes_of_losers(&self) -> bool {
        matches!(self, Self::Memory(_) | Self::Moto { .. })
    }
}

impl World {
    /// Objects in memory, with ETags that are digests of the bytes: as little as any store promises.
    pub(crate) fn in_memory() -> Self {
        Self(Backing::Memory(Memory::new("memory")))
    }

    pub(crate) fn in_a_folder() -> Self {
        Self(Backing::Folder(TempDir::new().unwrap()))
    }

    pub(crate) fn on_the_fake() -> Self {
        Self(Backing::Fake(FakeAws::new()))
    }

    /// A bucket of its own on the moto server that all tests share.
    pub(crate) fn on_moto() -> Self {
        static BUCKETS: AtomicUsize = AtomicUsize::new(0);
        let bucket = format!("suite-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
        let moto = Moto::shared();
        moto.bucket(&bucket);
        Self(Backing::Moto {
            bucket,
            key: moto.key(),
        })
    }

    /// How many processes are many: moto is slow.
    pub(crate) fn many(&self) -> usize {
        match self.0 {
            Backing::Moto { .. } => 6,
            _ => 16,
        }
    }

    pub(crate) fn backing(&self) -> &Backing {
        &self.0
    }

    /// Opens the store, as a process of its own does.
    pub(crate) async fn open(&self) -> Box<dyn Store> {
        match &self.0 {
            Backing::Memory(memory) => Box::new(memory.client()),
            Backing::Folder(top) => {
                let settings = FolderSettings::new(top.path().join("secrets"), top.path().join("identities"));
                Box::new(FolderStore::open(settings, Access::Write).await.unwrap())
            }
            Backing::Fake(aws) => Box::new(aws.store(&aws.admin).await),
            Backing::Moto { bucket, .. } => {
                let aws = Aws::open(settings(Moto::shared().endpoint(), "AKIAEXAMPLE", "example")).await;
                Box::new(S3Store::new(aws.unwrap(), bucket, None))
            }
        }
    }

    /// Opens the store with a fault on its way: the answer to the next put of a key is lost. `None` where nothing is
    /// between a process and its store.
    pub(crate) async fn open_losing_the_answer_to_put(&self, key: &str) -> Option<Box<dyn Store>> {
        match &self.0 {
            Backing::Memory(memory) => {
                let client = memory.client();
                client.plan(When::Begins(format!("put {key}")), MemoryFault::LoseAnswer);
                Some(Box::new(client))
            }
            Backing::Fake(aws) => {
                aws.fake
                    .fail(Fault::on("PutObject", Failure::LoseAnswer).key(format!("{key}*")));
                Some(self.open().await)
            }
            Backing::Folder(_) | Backing::Moto { .. } => None,
        }
    }

    /// Lets everything happen in one second, where a test can say so.
    pub(crate) fn stop_the_clock(&self) {
        // The clock in memory never goes by itself.
        if let Backing::Fake(aws) = &self.0 {
            aws.fake.freeze_clock(std::time::SystemTime::now());
        }
    }

    /// How objects are to be encrypted.
    pub(crate) fn encryption(&self) -> Encryption {
        match &self.0 {
            Backing::Memory(_) | Backing::Folder(_) => Encryption::Store,
            Backing::Fake(aws) => Encryption::Kms(aws.key.clone()),
            Backing::Moto { key, .. } => Encryption::Kms(key.clone()),
        }
    }

    /// A process that reads and writes an item, and demands all that can be demanded.
    pub(crate) async fn process(&self, item: &Item) -> Process {
        self.process_over(self.open().await, item)
    }

    /// The same, over a store that was opened before.
    pub(crate) fn process_over(&self, store: Box<dyn Store>, item: &Item) -> Process {
        let (required, key_name) = match self.encryption() {
            Encryption::Kms(arn) => (RequiredEncryption::Kms(Some(arn.parse().unwrap())), arn),
            _ => (RequiredEncryption::Store, "none".to_owned()),
        };
        Process {
            store,
            // An ARN is resolved without a request, so KMS is asked nothing.
            keys: Box::new(Given(self.encryption())),
            checks: Checks::new(required),
            item: item.clone(),
            key_name,
            new_key: false,
            sign_with: None,
            adopt: Vec::new(),
        }
    }
}

/// Keys that are known.
struct Given(Encryption);

#[async_trait]
impl Keys for Given {
    async fn resolve(&self, _: &str) -> Result<Encryption, StoreError> {
        Ok(self.0.clone())
    }

    async fn sign(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, StoreError> {
        unreachable!("nothing is signed here")
    }

    async fn public_key(&self, _: &str) -> Result<Vec<u8>, StoreError> {
        unreachable!("nothing is signed here")
    }
}

/// A bucket on the strict fake, a key to encrypt under, and somebody who may do everything.
pub(crate) struct FakeAws {
    pub(crate) fake: StrictFake,
    pub(crate) key: String,
    pub(crate) admin: Principal,
}

impl FakeAws {
    pub(crate) fn new() -> Self {
        let fake = StrictFake::builder().bucket(BUCKET, Bucket::default()).start();
        let key = fake.kms().create_key(ALIAS);
        let admin = fake.admin("AKIAADMIN", "the administrator's secret", ACCOUNT);
        Self { fake, key, admin }
    }

    pub(crate) async fn aws(&self, who: &Principal) -> Aws {
        let settings = settings(&self.fake.endpoint(), &who.access_key, &who.secret_key);
        Aws::open(settings).await.unwrap()
    }

    /// The bucket, as somebody sees it who says who owns it.
    pub(crate) async fn store(&self, who: &Principal) -> S3Store {
        S3Store::new(self.aws(who).await, BUCKET, Some(ACCOUNT.to_owned()))
    }

    /// A process as somebody, that writes under the service's alias.
    pub(crate) async fn process(&self, who: &Principal, required: RequiredEncryption, item: &Item) -> Process {
        Process {
            store: Box::new(self.store(who).await),
            keys: Box::new(KmsKeys::new(self.aws(who).await)),
            checks: Checks::new(required),
            item: item.clone(),
            key_name: ALIAS.to_owned(),
            new_key: false,
            sign_with: None,
            adopt: Vec::new(),
        }
    }
}

/// The way to an endpoint, as somebody, with quick retries.
fn settings(endpoint: &str, id: &str, secret: &str) -> AwsSettings {
    let mut retry = RetryPolicy::with_timeout(Duration::from_secs(30));
    (retry.base, retry.cap, retry.attempts) = (Duration::from_millis(1), Duration::from_millis(4), 4);
    let mut settings = AwsSettings::default();
    settings.region = Some("us-east-1".to_owned());
    settings.endpoint = Some(endpoint.to_owned());
    settings.retry = retry;
    settings.access_key = Some(AccessKey {
        id: id.to_owned(),
        secret: SecretString::new(secret.to_owned()),
        session_token: None,
    });
    settings
}
