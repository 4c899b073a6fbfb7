//! 0.3.4: it uploads without asking, under a name that its own clock gives, and reads the greatest key there is.

use microsecrets::checksum::Checksum;
use microsecrets::name::VersionName;
use microsecrets::store::{Body, Get, List, Store};
use microsecrets::time::Timestamp;

use crate::actors::Actor;
use crate::common::legacy_document;
use crate::ledger::{Truth, ensure};
use crate::world::{Side, World};

/// 0.3.4's clocks may be so much ahead that writers refuse its versions, for a while.
pub(crate) const REFUSED_AHEAD: i64 = 9;

impl Actor {
    /// 0.3.4 uploads: its clock names the version, and nothing is asked.
    pub(crate) async fn legacy_write(&self, id: &str) {
        self.world.begin(self.index, "0.3.4 writes", id.to_owned()).await;
        let skew = match self.below(32) {
            0 => REFUSED_AHEAD,
            ahead => ahead as i64 % 6 - 2,
        };
        let bytes = match self.world.is_file() {
            // Now and then the same bytes as ours.
            true if self.below(4) == 0 => b"a".to_vec(),
            true => id.as_bytes().to_vec(),
            false => legacy_document(&[("L", id)]),
        };
        // Whether it worked is for 0.3.4 to know.
        let _answer = self
            .client
            .legacy_put(legacy_key(&self.world, self.side, skew, &bytes), bytes)
            .await;
    }

    /// 0.3.4 reads: the greatest key, whatever it is. What we acknowledged it sees, too.
    pub(crate) async fn legacy_read(&self) {
        self.world.begin(self.index, "0.3.4 reads", String::new()).await;
        let complete = self.world.state().ledgers[self.side].complete;
        let Ok(page) = self.client.list(List::prefix(self.item().versions_prefix())).await else {
            return;
        };
        if page.continuation.is_some() {
            return;
        }
        let greatest = page.entries.last().map(|entry| entry.key.clone());
        self.judge(|ledger, _| {
            let version = ledger
                .version(complete)
                .filter(|version| !version.pruned && version.truth != Truth::Nothing);
            let key = version.map(|version| self.item().version_key(&version.record.name));
            ensure(key.is_none() || greatest >= key, || {
                format!("0.3.4 does not see the acknowledged number {complete}")
            })
        });
        let Some(key) = greatest else { return };
        if let Ok(object) = self.client.get(Get::whole(&key, 2 << 20)).await
            && let Body::Whole(bytes) = object.body
        {
            let name = self.item().version_at(&key).unwrap();
            self.judge(|_, _| {
                ensure(Checksum::of(bytes.expose()) == name.checksum(), || {
                    format!("{key} is torn")
                })
            });
        }
    }
}

/// Where 0.3.4 puts bytes, by a clock that is so many seconds ahead.
pub(crate) fn legacy_key(world: &World, side: Side, ahead: i64, bytes: &[u8]) -> String {
    let at = Timestamp::from_unix(world.memory.now() + ahead).unwrap();
    world.items[side].version_key(&VersionName::after(None, at, Checksum::of(bytes)).unwrap())
}
