//! The real reader and writer with the rights that are printed and no others, on the strict fake, over TLS, under the
//! bucket's printed policy. The fake asks KMS as S3 does: under the encryption context and through S3.

use std::future::Future;
use std::io::{self, Write as _};

use microsecrets::aws::{AccessKey, Aws, AwsSettings};
use microsecrets::checksum::Checksum;
use microsecrets::item::{
    Access, Base, Change, Content, Decision, FileBytes, ItemError, OnConflict, Outcome, PrunePolicy, Reader, Selector,
    VersionContent, Writer,
};
use microsecrets::keys::{Keys as _, KmsKeys};
use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::record::ChangeKind;
use microsecrets::secret::SecretString;
use microsecrets::setup::cloud::Cloud;
use microsecrets::setup::{Role, bucket_policy, role_policy};
use microsecrets::store::s3::S3Store;
use microsecrets::store::{Condition, Encryption, ErrorKind, Payload, Put, Source, Store as _};
use microsecrets::trust::{Checks, RequiredEncryption};
use strict_fake::{Principal, StrictFake, test_tls};

use crate::{ACCOUNT, BUCKET, REGION, bucket, place};

/// More than a head holds, and more than one part.
const LARGE: usize = 9 << 20;

fn run<T>(process: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(process)
}

/// An account with a bucket under its policy, and a key and a signing key for each of two services.
struct World {
    fake: StrictFake,
    ca: tempfile::NamedTempFile,
    admin: Principal,
}

impl World {
    async fn new(migration: bool) -> Self {
        let fake = StrictFake::builder()
            .bucket(BUCKET, strict_fake::Bucket::default())
            .tls(test_tls::CHAIN, test_tls::KEY)
            .start();
        let mut ca = tempfile::NamedTempFile::new().unwrap();
        ca.write_all(test_tls::CA.as_bytes()).unwrap();
        for service in ["api", "web"] {
            fake.kms().create_key(&format!("microsecrets-{service}"));
            fake.kms()
                .create_signing_key(&format!("microsecrets-signing/{service}"));
        }
        let admin = fake.admin("AKIAADMIN", "secret", ACCOUNT);
        let world = Self { fake, ca, admin };
        let cloud = Cloud::new(world.aws(&world.admin).await);
        let policy = bucket_policy(&bucket(), migration);
        cloud.put_bucket_policy(BUCKET, ACCOUNT, &policy).await.unwrap();
        world
    }

    fn key(&self, service: &str) -> String {
        self.fake.kms().resolve(&format!("microsecrets-{service}")).unwrap()
    }

    fn signing_key(&self, service: &str) -> String {
        self.fake
            .kms()
            .resolve(&format!("microsecrets-signing/{service}"))
            .unwrap()
    }

    /// Somebody with the rights of a role for a service, as they are printed.
    fn somebody(&self, role: Role, service: &str) -> Principal {
        let who = self
            .fake
            .principal(&format!("AKIA{role:?}{service}"), "secret", ACCOUNT);
        let place = place(service, &self.key(service), &self.signing_key(service));
        let policy = role_policy(role, &place).unwrap();
        self.fake.attach_policy(&who, &policy.to_string()).unwrap();
        who
    }

    async fn aws(&self, who: &Principal) -> Aws {
        let mut settings = AwsSettings::default();
        settings.region = Some(REGION.to_owned());
        settings.endpoint = Some(self.fake.endpoint());
        settings.ca_bundle = Some(self.ca.path().to_owned());
        settings.access_key = Some(AccessKey {
            id: who.access_key.clone(),
            secret: SecretString::new(who.secret_key.clone()),
            session_token: None,
        });
        Aws::open(settings).await.unwrap()
    }

    async fn process(&self, who: &Principal, item: Item) -> Process {
        let aws = self.aws(who).await;
        Process {
            store: S3Store::new(aws.clone(), BUCKET, Some(ACCOUNT.to_owned())),
            keys: KmsKeys::new(aws),
            checks: Checks::new(RequiredEncryption::Kms(Some(
                self.key(item.service().as_str()).parse().unwrap(),
            ))),
            item,
        }
    }

    /// A service with three versions of its environment and of a large file.
    async fn filled(migration: bool) -> Self {
        let world = Self::new(migration).await;
        let writer = world.somebody(Role::Writer, "api");
        let (environment, file) = (
            world.process(&writer, environment("api")).await,
            world.process(&writer, file("api")).await,
        );
        for round in 0..3 {
            environment.upload(&format!("{round}")).await.unwrap();
            file.upload_file(round).await.unwrap();
        }
        world
    }
}

fn environment(service: &str) -> Item {
    Item::environment(service.parse().unwrap())
}

fn file(service: &str) -> Item {
    Item::file(service.parse().unwrap(), "large".parse().unwrap())
}

struct Process {
    store: S3Store,
    keys: KmsKeys,
    checks: Checks,
    item: Item,
}

impl Process {
    fn access(&self) -> Access<'_> {
        Access {
            store: &self.store,
            checks: &self.checks,
            item: &self.item,
        }
    }

    async fn write(&self, content: impl Fn() -> Content) -> Result<Outcome, ItemError> {
        let alias = self.item.service().default_key_alias().unwrap();
        let writer = Writer::new(self.access(), &self.keys, &alias, "ann@test");
        let decide = |_: &Base<'_>| Ok(Decision::Commit(Change::new(ChangeKind::Upload, content())));
        writer.write(OnConflict::Report, decide).await
    }

    async fn upload(&self, value: &str) -> Result<Outcome, ItemError> {
        let pairs = || vec![("A".to_owned(), SecretString::new(value.to_owned()))];
        let content = || Content::Environment(microsecrets::document::Variables::new(pairs()).unwrap());
        self.write(content).await
    }

    /// Publishes a large file, in parts.
    async fn upload_file(&self, byte: u8) -> Result<Outcome, ItemError> {
        self.upload_source(byte, false).await
    }

    async fn upload_source(&self, byte: u8, fails: bool) -> Result<Outcome, ItemError> {
        let content = || Content::File {
            bytes: FileBytes::Source(Box::new(Repeated { byte, at: 0, fails })),
            checksum: Checksum::of(&vec![byte; LARGE]),
            mode: Some(0o600),
        };
        self.write(content).await
    }

    /// How many bytes, or the value of the variable.
    async fn read(&self, selector: &Selector) -> Result<String, ItemError> {
        Ok(match Reader::new(self.access()).read(selector).await?.content {
            VersionContent::Environment(document) => {
                let pairs = document.variables.iter();
                pairs.map(|(_, value)| value.expose().to_owned()).collect()
            }
            VersionContent::File(bytes) => bytes.expose().len().to_string(),
            VersionContent::Stream(mut stream) => {
                let mut length = 0;
                while let Some(piece) = stream.next().await? {
                    length += piece.len();
                }
                length.to_string()
            }
            _ => unreachable!("there is no fourth kind of content"),
        })
    }

    async fn current(&self) -> Result<String, ItemError> {
        self.read(&Selector::Current).await
    }

    /// Removes the bytes of the two versions below the current one.
    async fn prune(&self, purge: bool) -> Result<(), ItemError> {
        let records = self.access().prunable(&PrunePolicy::default()).await?;
        assert_eq!(records.len(), 2);
        for record in &records {
            self.access().remove_bytes(record).await?;
            if purge {
                self.access().purge_bytes(record).await?;
            }
        }
        Ok(())
    }
}

/// One byte over and over; the end of it may fail.
struct Repeated {
    byte: u8,
    at: usize,
    fails: bool,
}

impl Source for Repeated {
    fn size(&self) -> u64 {
        LARGE as u64
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(LARGE - self.at);
        if length == 0 && self.fails {
            return Err(io::Error::other("it is not what it was"));
        }
        buffer[..length].fill(self.byte);
        self.at += length;
        Ok(length)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.at = 0;
        Ok(())
    }
}

fn is_denied(error: &ItemError) -> bool {
    matches!(error, ItemError::DeniedOrAbsent { .. })
        || matches!(error, ItemError::Store(source) if matches!(source.kind, ErrorKind::Denied(_)))
}

#[test]
fn a_reader_reads_and_a_lister_sees_the_history() {
    run(async {
        let world = World::filled(false).await;
        for role in [Role::Reader, Role::Lister] {
            let who = world.somebody(role, "api");
            for (item, expected) in [(environment("api"), "2".to_owned()), (file("api"), LARGE.to_string())] {
                let process = world.process(&who, item).await;
                assert_eq!(process.current().await.unwrap(), expected);
                process.read(&Selector::Number(Number::FIRST)).await.unwrap();
                assert!(is_denied(&process.upload("3").await.err().unwrap()));
                let history = process.access().history(None, 9).await;
                match role {
                    Role::Reader => assert!(is_denied(&history.err().unwrap())),
                    _ => assert_eq!(history.unwrap().rows.len(), 3),
                }
            }
        }
    });
}

#[test]
fn a_writer_writes_under_the_buckets_policy() {
    run(async {
        for migration in [false, true] {
            let world = World::filled(migration).await;
            let reader = world.somebody(Role::Reader, "api");
            assert_eq!(
                world
                    .process(&reader, environment("api"))
                    .await
                    .current()
                    .await
                    .unwrap(),
                "2"
            );
            // Who may list only below a prefix is answered 403 for a head that is not there yet: the list of its own
            // key says so then. Once for the environment, once for the file.
            let requests = world.fake.requests().into_iter();
            let refused: Vec<_> = requests
                .filter(|request| request.error.as_deref() == Some("AccessDenied"))
                .map(|request| (request.operation, request.key.unwrap_or_default()))
                .collect();
            let heads = [environment("api"), file("api")].map(|item| ("GetObject".to_owned(), item.head_key()));
            assert_eq!(refused, heads);
            // A large file that turns out to be another one leaves nothing behind.
            let writer = world.somebody(Role::Writer, "api");
            let process = world.process(&writer, file("api")).await;
            process.upload_source(9, true).await.err().unwrap();
            let done = world.fake.operations();
            for operation in [
                "CreateMultipartUpload",
                "CompleteMultipartUpload",
                "AbortMultipartUpload",
            ] {
                assert!(done.iter().any(|found| found == operation), "{operation}");
            }
            assert!(world.fake.uploads(BUCKET).is_empty());
        }
    });
}

#[test]
fn nobody_overwrites_version_bytes_or_log_entries() {
    run(async {
        let world = World::filled(false).await;
        let writer = world.somebody(Role::Writer, "api");
        let process = world.process(&writer, environment("api")).await;
        let keys = world.fake.keys(BUCKET);
        for key in keys.iter().filter(|key| !key.contains("/head/")) {
            // The right ETag: it would be overwritten, if it could be.
            let etag = microsecrets::store::ETag::new(world.fake.object(BUCKET, key).unwrap().etag);
            let bytes = Payload::Bytes(b"x".to_vec().into());
            let put = Put::new(key, bytes, Condition::Is(etag), Encryption::Kms(world.key("api")));
            let error = process.store.put(put).await.unwrap_err();
            assert!(matches!(error.kind, ErrorKind::Denied(_)), "{key}: {error}");
        }
        assert_eq!(process.current().await.unwrap(), "2");
    });
}

#[test]
fn who_prunes_removes_bytes_and_purges_only_when_let() {
    run(async {
        let world = World::filled(false).await;
        for item in [environment("api"), file("api")] {
            let lister = world.somebody(Role::Lister, "api");
            let lister = world.process(&lister, item.clone()).await;
            assert!(is_denied(&lister.prune(false).await.err().unwrap()));
            let pruner = world.somebody(Role::Pruner { purge: false }, "api");
            let pruner = world.process(&pruner, item.clone()).await;
            pruner.prune(false).await.unwrap();
            pruner.current().await.unwrap();
            assert!(pruner.read(&Selector::Number(Number::FIRST)).await.is_err());
        }
        let world = World::filled(false).await;
        for item in [environment("api"), file("api")] {
            let pruner = world.somebody(Role::Pruner { purge: false }, "api");
            assert!(is_denied(
                &world
                    .process(&pruner, item.clone())
                    .await
                    .prune(true)
                    .await
                    .err()
                    .unwrap()
            ));
        }
        let world = World::filled(false).await;
        let purger = world.somebody(Role::Pruner { purge: true }, "api");
        for item in [environment("api"), file("api")] {
            world.process(&purger, item).await.prune(true).await.unwrap();
        }
    });
}

#[test]
fn of_one_service_nobody_does_anything_with_another() {
    run(async {
        let world = World::filled(false).await;
        let before = world.fake.keys(BUCKET);
        let others = crate::roles();
        for role in others {
            let who = world.somebody(role, "web");
            for item in [environment("api"), file("api")] {
                let process = world.process(&who, item).await;
                assert!(process.current().await.is_err(), "{role}");
                assert!(process.read(&Selector::Number(Number::FIRST)).await.is_err(), "{role}");
                assert!(process.upload("3").await.is_err(), "{role}");
                assert!(process.upload_file(9).await.is_err(), "{role}");
                assert!(process.prune(false).await.is_err(), "{role}");
            }
            let uses = world.fake.kms_uses().into_iter();
            assert_eq!(uses.filter(|used| used.principal == who.arn()).count(), 0, "{role}");
        }
        assert_eq!(world.fake.keys(BUCKET), before);
        assert!(world.fake.uploads(BUCKET).is_empty());
    });
}

/// The key of one service, put over the objects of another: the encryption context gives it away.
#[test]
fn a_key_that_two_services_had_would_still_open_only_the_own_objects() {
    run(async {
        let world = World::filled(false).await;
        let who = world.fake.principal("AKIABOTH", "secret", ACCOUNT);
        // It may get everything, and has the right of a reader of `web` on the key of `api`.
        let place = place("web", &world.key("api"), &world.signing_key("web"));
        let policy = role_policy(Role::Reader, &place).unwrap();
        world.fake.attach_policy(&who, &policy.to_string()).unwrap();
        world
            .fake
            .allow(&who, "s3:GetObject", &format!("arn:aws:s3:::{BUCKET}/*"));
        let process = world.process(&who, environment("api")).await;
        assert!(is_denied(&process.current().await.err().unwrap()));
        let uses = world.fake.kms_uses().into_iter();
        assert_eq!(uses.filter(|used| used.principal == who.arn()).count(), 0);
    });
}

#[test]
fn a_signer_signs_with_its_own_key() {
    run(async {
        let world = World::new(false).await;
        let signer = world.somebody(Role::Signer, "api");
        let keys = KmsKeys::new(world.aws(&signer).await);
        keys.sign(&world.signing_key("api"), b"record").await.unwrap();
        keys.public_key(&world.signing_key("api")).await.unwrap();
        for other in [world.signing_key("web"), world.key("api")] {
            assert!(keys.sign(&other, b"record").await.is_err());
        }
        let reader = world.somebody(Role::Writer, "api");
        let keys = KmsKeys::new(world.aws(&reader).await);
        assert!(keys.sign(&world.signing_key("api"), b"record").await.is_err());
    });
}
