//! One process that reads and writes an item, through whatever store.

use microsecrets::checksum::Checksum;
use microsecrets::document::Variables;
use microsecrets::item::{
    Access, Base, Change, Committed, Content, Decision, FileBytes, ItemError, OnConflict, Outcome, Reader, Selector,
    Version, VersionContent, Writer,
};
use microsecrets::keys::Keys;
use microsecrets::layout::Item;
use microsecrets::name::Number;
use microsecrets::record::ChangeKind;
use microsecrets::secret::{SecretBytes, SecretString};
use microsecrets::store::Store;
use microsecrets::trust::Checks;

use crate::sources::Generated;

pub(crate) struct Process {
    pub(crate) store: Box<dyn Store>,
    pub(crate) keys: Box<dyn Keys>,
    pub(crate) checks: Checks,
    pub(crate) item: Item,
    pub(crate) key_name: String,
    pub(crate) new_key: bool,
    /// The name of the key that signs.
    pub(crate) sign_with: Option<String>,
    /// What may be built upon though no pinned key has signed it.
    pub(crate) adopt: Vec<Checksum>,
}

pub(crate) fn environment() -> Item {
    Item::environment("api".parse().unwrap())
}

pub(crate) fn file(label: &str) -> Item {
    Item::file("api".parse().unwrap(), label.parse().unwrap())
}

/// An environment as text: `A=1 B=2`.
pub(crate) fn variables(text: &str) -> Variables {
    let pairs = text.split_whitespace().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), SecretString::new(value.to_owned()))
    });
    Variables::new(pairs.collect()).unwrap()
}

/// The content of a file in memory.
pub(crate) fn in_memory(bytes: &[u8]) -> Content {
    Content::File {
        bytes: FileBytes::Memory(SecretBytes::new(bytes.to_vec())),
        checksum: Checksum::of(bytes),
        mode: Some(0o600),
    }
}

/// The content of a file too large for memory.
pub(crate) fn from_source(mut source: Generated) -> Content {
    Content::File {
        checksum: source.checksum(),
        bytes: FileBytes::Source(Box::new(source)),
        mode: Some(0o600),
    }
}

pub(crate) fn nth(number: u64) -> Selector {
    Selector::Number(Number::new(number).unwrap())
}

/// The number of a version that was committed.
pub(crate) fn number(committed: &Committed) -> u64 {
    committed.entry.record().number.get()
}

/// A version's content: an environment as [`variables`] takes it.
pub(crate) async fn content(version: Version) -> Result<Vec<u8>, ItemError> {
    match version.content {
        VersionContent::Environment(document) => {
            let pairs = document.variables.iter();
            let pairs: Vec<_> = pairs
                .map(|(name, value)| format!("{name}={}", value.expose()))
                .collect();
            Ok(pairs.join(" ").into_bytes())
        }
        VersionContent::File(bytes) => Ok(bytes.expose().to_vec()),
        VersionContent::Stream(mut stream) => {
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        }
        _ => unreachable!("there is no fourth kind of content"),
    }
}

impl Process {
    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            store: &*self.store,
            checks: &self.checks,
            item: &self.item,
        }
    }

    pub(crate) fn writer(&self) -> Writer<'_> {
        let mut writer = Writer::new(self.access(), &*self.keys, &self.key_name, "ann@test");
        writer.new_key = self.new_key;
        writer.sign_with.clone_from(&self.sign_with);
        writer.adopt.clone_from(&self.adopt);
        writer
    }

    /// Reads and verifies a version.
    pub(crate) async fn version(&self, selector: &Selector) -> Result<Version, ItemError> {
        Reader::new(self.access()).read(selector).await
    }

    /// The content of a version.
    pub(crate) async fn read(&self, selector: &Selector) -> Result<Vec<u8>, ItemError> {
        content(self.version(selector).await?).await
    }

    /// The content of the current version.
    pub(crate) async fn current(&self) -> Result<Vec<u8>, ItemError> {
        self.read(&Selector::Current).await
    }

    /// The current environment, as text.
    pub(crate) async fn text(&self) -> Result<String, ItemError> {
        Ok(String::from_utf8(self.current().await?).unwrap())
    }

    /// Commits what `content` says, over whatever base; `meanwhile` happens once the base is read.
    pub(crate) async fn commit_after(
        &self,
        kind: ChangeKind,
        content: impl Fn() -> Content,
        meanwhile: impl FnOnce(),
    ) -> Result<Committed, ItemError> {
        let mut meanwhile = Some(meanwhile);
        let decide = |_: &Base<'_>| {
            if let Some(happen) = meanwhile.take() {
                happen();
            }
            Ok(Decision::Commit(Change::new(kind.clone(), content())))
        };
        committed(self.writer().write(OnConflict::Report, decide).await)
    }

    pub(crate) async fn commit(&self, kind: ChangeKind, content: impl Fn() -> Content) -> Result<Committed, ItemError> {
        self.commit_after(kind, content, || {}).await
    }

    /// Publishes an environment.
    pub(crate) async fn upload(&self, text: &str) -> Result<Committed, ItemError> {
        self.commit(ChangeKind::Upload, || Content::Environment(variables(text)))
            .await
    }

    /// Publishes a file that is in memory.
    pub(crate) async fn upload_file(&self, bytes: &[u8]) -> Result<Committed, ItemError> {
        self.commit(ChangeKind::Upload, || in_memory(bytes)).await
    }

    pub(crate) async fn delete(&self) -> Result<Committed, ItemError> {
        self.commit(ChangeKind::Delete, || Content::Deletion).await
    }

    /// Sets one variable, on whatever the current environment is; `meanwhile` happens once the base is read first.
    pub(crate) async fn set_after(
        &self,
        name: &str,
        value: &str,
        meanwhile: impl FnOnce(),
    ) -> Result<Committed, ItemError> {
        let mut meanwhile = Some(meanwhile);
        let decide = |base: &Base<'_>| {
            if let Some(happen) = meanwhile.take() {
                happen();
            }
            let document = base.document();
            let mut pairs = document.map_or_else(Vec::new, |document| document.variables.duplicate().into_pairs());
            pairs.retain(|(candidate, _)| candidate != name);
            pairs.push((name.to_owned(), SecretString::new(value.to_owned())));
            let content = Content::Environment(Variables::new(pairs).unwrap());
            Ok(Decision::Commit(Change::new(ChangeKind::Set, content)))
        };
        committed(self.writer().write(OnConflict::Reapply, decide).await)
    }

    pub(crate) async fn set(&self, name: &str, value: &str) -> Result<Committed, ItemError> {
        self.set_after(name, value, || {}).await
    }
}

fn committed(outcome: Result<Outcome, ItemError>) -> Result<Committed, ItemError> {
    match outcome? {
        Outcome::Committed(committed) => Ok(committed),
        _ => panic!("it was to be committed"),
    }
}
