//! Setting up on the strict fake: interrupted anywhere and run again it ends in the same state, and two at once leave both
//! services working.
#![allow(clippy::unwrap_used, reason = "a test ends where its expectation does")]

mod schedules;

use std::time::Duration;

use microsecrets::aws::{AccessKey, Aws, AwsSettings};
use microsecrets::secret::SecretString;
use microsecrets::setup::cloud::{BucketPart, Cloud, Found, KeyPurpose};
use microsecrets::setup::{Done, Migration, Plan, ServiceWish, Setup, SetupFailure, Step, Wish};
use microsecrets::store::RetryPolicy;
use serde_json::Value;
use strict_fake::{Failure, Fault, Principal, StrictFake, test_tls};

const BUCKET: &str = "example-microsecrets";
const ACCOUNT: &str = "111122223333";
const READER: &str = "arn:aws:iam::111122223333:role/api";
const OTHER: &str = "arn:aws:iam::111122223333:role/other";
const WRITER: &str = "arn:aws:iam::111122223333:role/deploy";

/// What every set-up asks, and changes, at the most.
const MANY: usize = 60;

/// An account over TLS: our bucket policy denies everything else.
struct World {
    fake: StrictFake,
    admin: Principal,
    ca: tempfile::NamedTempFile,
}

impl World {
    fn new() -> Self {
        let fake = StrictFake::builder().tls(test_tls::CHAIN, test_tls::KEY).start();
        let admin = fake.admin("AKIAADMIN", "the administrator's secret", ACCOUNT);
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), test_tls::CA).unwrap();
        Self { fake, admin, ca }
    }

    /// The account, over a connection that tries each request so many times.
    async fn cloud(&self, attempts: u32) -> Cloud {
        self.cloud_of(&self.admin, attempts).await
    }

    async fn cloud_of(&self, admin: &Principal, attempts: u32) -> Cloud {
        let mut retry = RetryPolicy::with_timeout(Duration::from_secs(30));
        (retry.base, retry.cap) = (Duration::from_millis(1), Duration::from_millis(4));
        retry.attempts = attempts;
        let mut settings = AwsSettings::default();
        settings.region = Some("us-east-1".to_owned());
        settings.endpoint = Some(self.fake.endpoint());
        settings.retry = retry;
        settings.ca_bundle = Some(self.ca.path().to_owned());
        settings.access_key = Some(AccessKey {
            id: admin.access_key.clone(),
            secret: SecretString::new(admin.secret_key.clone()),
            session_token: None,
        });
        Cloud::new(Aws::open(settings).await.unwrap())
    }

    async fn set_up(&self, wish: &Wish, attempts: u32) -> Result<(Plan, Done), SetupFailure> {
        self.set_up_as(&self.admin, wish, attempts).await
    }

    async fn set_up_as(&self, admin: &Principal, wish: &Wish, attempts: u32) -> Result<(Plan, Done), SetupFailure> {
        let cloud = self.cloud_of(admin, attempts).await;
        let caller = cloud.caller().await?;
        let setup = Setup::new(&cloud, &caller, wish)?;
        let plan = setup.plan().await?;
        let done = setup.carry_out(&plan, |_| {}).await?;
        Ok((plan, done))
    }

    /// Everything that was set up, without the ids of keys.
    async fn state(&self, service: &str) -> Vec<String> {
        let cloud = self.cloud(4).await;
        let mut state = Vec::new();
        for part in BucketPart::ALL {
            let found = cloud.look_at_bucket(BUCKET, ACCOUNT, part).await.unwrap();
            state.push(format!("{part:?}: {found:?}"));
        }
        let policy = cloud.bucket_policy(BUCKET, ACCOUNT).await.unwrap();
        state.push(policy.map_or_else(String::new, |policy| policy.to_string()));
        for purpose in [KeyPurpose::Encrypt, KeyPurpose::Sign] {
            let alias = purpose.alias(&service.parse().unwrap()).unwrap();
            let key = cloud.key(&alias, purpose).await.unwrap().unwrap();
            let rotates = purpose == KeyPurpose::Encrypt && cloud.rotates(&key.arn).await.unwrap();
            let policy: Value = cloud.key_policy(&key.arn).await.unwrap();
            state.push(format!("{alias}: {:?} rotates {rotates} {policy}", key.unusable));
        }
        state.push(format!("{} keys", self.keys()));
        state
    }

    /// How many keys there are that were made for somebody.
    fn keys(&self) -> usize {
        self.fake.kms().keys().len()
    }
}

fn wish(service: &str) -> Wish {
    wish_of(service, READER)
}

fn wish_of(service: &str, reader: &str) -> Wish {
    let mut wish = Wish::bucket(BUCKET.parse().unwrap());
    let mut of_service = ServiceWish::new(service.parse().unwrap());
    of_service.readers = vec![reader.parse().unwrap()];
    of_service.writers = vec![WRITER.parse().unwrap()];
    of_service.signing = true;
    wish.service = Some(of_service);
    wish
}

fn run<T>(process: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(process)
}

#[test]
fn what_was_set_up_is_not_set_up_again() {
    run(async {
        let world = World::new();
        let (plan, done) = world.set_up(&wish("api"), 4).await.unwrap();
        assert!(plan.steps.contains(&Step::CreateKey(KeyPurpose::Encrypt)), "{plan:?}");
        assert!(done.key.is_some() && done.signing_key.is_some());
        let before = world.state("api").await;
        let (again, same) = world.set_up(&wish("api"), 4).await.unwrap();
        assert_eq!(again.steps, []);
        assert_eq!((same.key, same.signing_key), (done.key, done.signing_key));
        assert_eq!(world.state("api").await, before);
    });
}

/// Killed before a request or after it, with the answer lost: both are tried at each request.
#[test]
fn whoever_is_interrupted_anywhere_and_starts_again_ends_in_the_same_state() {
    run(async {
        let world = World::new();
        world.set_up(&wish("api"), 4).await.unwrap();
        let whole = world.state("api").await;
        for failure in [Failure::Reset, Failure::LoseAnswer] {
            let mut interrupted = 0;
            for nth in 1..MANY {
                let world = World::new();
                let fault = world.fake.fail(Fault::on("*", failure.clone()).nth(nth));
                // One attempt: what fails is as good as killed.
                let first = world.set_up(&wish("api"), 1).await;
                if fault.fired() == 0 {
                    first.unwrap();
                    break;
                }
                interrupted += 1;
                world.fake.clear_faults();
                world.set_up(&wish("api"), 4).await.unwrap();
                assert_eq!(world.state("api").await, whole, "{failure:?} at request {nth}");
            }
            assert!((20..MANY).contains(&interrupted), "{interrupted}");
        }
    });
}

/// A lost answer is no reason to make a second key.
#[test]
fn an_answer_that_was_lost_makes_no_second_key() {
    run(async {
        let world = World::new();
        let lost = world.fake.fail(Fault::on("CreateKey", Failure::LoseAnswer).nth(1));
        world.set_up(&wish("api"), 4).await.unwrap();
        assert_eq!((lost.fired(), world.keys()), (1, 2));
    });
}

/// A bucket's policy has no compare-and-swap, and so none of it is about one service.
#[test]
fn two_at_once_leave_both_services_working() {
    let world = World::new();
    run(async { world.set_up(&Wish::bucket(BUCKET.parse().unwrap()), 4).await.unwrap() });
    std::thread::scope(|scope| {
        for service in ["api", "web"] {
            scope.spawn(|| run(async { world.set_up(&wish(service), 4).await.unwrap() }));
        }
    });
    run(async {
        let (api, web) = (world.state("api").await, world.state("web").await);
        assert_eq!(api[..6], web[..6]);
        for service in ["api", "web"] {
            let (plan, _) = world.set_up(&wish(service), 4).await.unwrap();
            assert_eq!(plan.steps, [], "{service}");
        }
    });
}

/// Whoever names the key first wins; the other one's is told, and not used.
#[test]
fn two_at_once_for_one_service_use_one_key() {
    run(async {
        let world = World::new();
        world.set_up(&Wish::bucket(BUCKET.parse().unwrap()), 4).await.unwrap();
        let cloud = world.cloud(4).await;
        let caller = cloud.caller().await.unwrap();
        let mine = wish_of("api", OTHER);
        let setup = Setup::new(&cloud, &caller, &mine).unwrap();
        let plan = setup.plan().await.unwrap();
        let (_, first) = world.set_up(&wish("api"), 4).await.unwrap();
        let second = setup.carry_out(&plan, |_| {}).await.unwrap();
        assert_eq!((&second.key, &second.signing_key), (&first.key, &first.signing_key));
        assert_eq!(second.unused.len(), 2);
        assert!(!second.unused.contains(first.key.as_ref().unwrap()));
        // And both may use it.
        for key in &world.state("api").await[6..8] {
            assert!(key.contains(READER) && key.contains(OTHER), "{key}");
        }
    });
}

#[test]
fn only_what_is_wrong_is_put_right() {
    run(async {
        let world = World::new();
        world.set_up(&wish("api"), 4).await.unwrap();
        let whole = world.state("api").await;
        let cloud = world.cloud(4).await;
        // Somebody else's rule, statement and reader stay.
        let policy = cloud.bucket_policy(BUCKET, ACCOUNT).await.unwrap().unwrap();
        let mut broken = policy.clone();
        broken["Statement"]
            .as_array_mut()
            .unwrap()
            .retain(|statement| statement["Sid"] != "MicrosecretsTlsOnly");
        broken["Statement"].as_array_mut().unwrap().push(serde_json::json!({
            "Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectTagging",
            "Resource": format!("arn:aws:s3:::{BUCKET}/*"),
        }));
        cloud.put_bucket_policy(BUCKET, ACCOUNT, &broken).await.unwrap();
        let mut more = wish("api");
        more.service.as_mut().unwrap().readers = vec![OTHER.parse().unwrap()];
        let (plan, _) = world.set_up(&more, 4).await.unwrap();
        let told: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "put into the bucket's policy: MicrosecretsTlsOnly",
                "put those who may use it into the policy of the key that encrypts",
                "put those who may use it into the policy of the key that signs",
            ]
        );
        let (again, _) = world.set_up(&wish("api"), 4).await.unwrap();
        assert_eq!(again.steps, [], "who may read already still may");
        let mended = world.state("api").await;
        assert_eq!(mended[..5], whole[..5]);
        assert!(mended[5].contains("Theirs") && mended[5].contains("MicrosecretsTlsOnly"));
        assert!(
            mended[6].contains("role/api") && mended[6].contains("role/other"),
            "{}",
            mended[6]
        );
    });
}

/// 0.3.4 sends ACLs and no conditions.
#[test]
fn while_0_3_4_may_write_it_is_not_locked_out() {
    run(async {
        let world = World::new();
        let mut wish = Wish::bucket(BUCKET.parse().unwrap());
        world.fake.add_bucket(
            BUCKET,
            strict_fake::Bucket {
                enforced_ownership: false,
                versioning: false,
                ..strict_fake::Bucket::default()
            },
        );
        wish.migration = Migration::Of(vec!["environment of api".to_owned()]);
        let (plan, _) = world.set_up(&wish, 4).await.unwrap();
        assert!(
            plan.left.iter().all(|left| left.contains("environment of api")),
            "{plan:?}"
        );
        assert_eq!(plan.left.len(), 2);
        let cloud = world.cloud(4).await;
        let policy = cloud.bucket_policy(BUCKET, ACCOUNT).await.unwrap().unwrap().to_string();
        assert!(policy.contains("MicrosecretsTlsOnly") && !policy.contains("MicrosecretsWriteOnce"));
        let ownership = cloud
            .look_at_bucket(BUCKET, ACCOUNT, BucketPart::Ownership)
            .await
            .unwrap();
        assert!(matches!(ownership, Found::Wrong(_)));
        // When it is over, both come; and a later migration takes nothing out again.
        wish.migration = Migration::No;
        world.set_up(&wish, 4).await.unwrap();
        let whole = cloud.bucket_policy(BUCKET, ACCOUNT).await.unwrap();
        assert!(whole.as_ref().unwrap().to_string().contains("MicrosecretsWriteOnce"));
        wish.migration = Migration::Unknown;
        let (plan, _) = world.set_up(&wish, 4).await.unwrap();
        assert_eq!(plan.steps, []);
        assert_eq!(cloud.bucket_policy(BUCKET, ACCOUNT).await.unwrap(), whole);
    });
}
