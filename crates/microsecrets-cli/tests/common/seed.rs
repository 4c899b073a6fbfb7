//! What no command does (yet), done with the library: deletions, and what 0.3.4 wrote.

use microsecrets::checksum::Checksum;
use microsecrets::item::{Access, Base, Change, Content, Decision, OnConflict, Writer};
use microsecrets::keys::FolderKeys;
use microsecrets::layout::Item;
use microsecrets::name::Nonce;
use microsecrets::record::ChangeKind;
use microsecrets::secret::SecretBytes;
use microsecrets::store::folder::{self, FolderSettings, FolderStore};
use microsecrets::store::{Condition, Encryption, Payload, Put, Store};
use microsecrets::trust::{Checks, RequiredEncryption};

use super::TestEnvironment;

impl TestEnvironment {
    fn with_store<T>(&self, action: impl AsyncFnOnce(&FolderStore) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let settings = FolderSettings::new(self.path("store"), self.path("config/microsecrets"));
            let store = FolderStore::open(settings, folder::Access::Write).await.unwrap();
            action(&store).await
        })
    }

    /// Deletes an item of the service `api`.
    pub fn delete(&self, item: &Item) {
        self.with_store(async |store| {
            let checks = Checks::new(RequiredEncryption::Store);
            let access = Access {
                store,
                checks: &checks,
                item,
            };
            let keys = FolderKeys::new(&self.path("config/microsecrets"), store.bucket());
            let decide = |_: &Base<'_>| Ok(Decision::Commit(Change::new(ChangeKind::Delete, Content::Deletion)));
            Writer::new(access, &keys, "", "ann@example")
                .write(OnConflict::Report, decide)
                .await
                .unwrap();
        });
    }

    /// Puts an environment of one variable as 0.3.4 did, without a head and without a mark, and answers its key.
    pub fn put_by_0_3_4(&self, service: &str, time: &str, variable: (&str, &str)) -> String {
        let (name, value) = variable;
        let document = format!(
            r#"{{"environment": {{"{name}": "{value}"}}, "metadata": {{"timestamp": 1.5, "user": "bob@old"}}}}"#
        );
        let checksum = Checksum::of(document.as_bytes());
        let key = format!("services/{service}/environment/{time}.{checksum}.json");
        self.put(&key, document.into_bytes());
        key
    }

    /// Puts an object without a mark.
    pub fn put(&self, key: &str, bytes: Vec<u8>) {
        self.put_by(key, bytes, None);
    }

    /// Puts an object with the mark of a commit that nobody knows.
    pub fn put_marked(&self, key: &str, bytes: Vec<u8>) {
        self.put_by(key, bytes, Some(Nonce::from_bytes([9; 16])));
    }

    fn put_by(&self, key: &str, bytes: Vec<u8>, mark: Option<Nonce>) {
        let payload = Payload::Bytes(SecretBytes::new(bytes));
        let mut put = Put::new(key, payload, Condition::Absent, Encryption::Store);
        put.mark = mark;
        self.with_store(async |store| store.put(put).await.unwrap());
    }
}
