//! What makes a folder a store: its description inside it, and the identity that opens it outside.
//!
//! ```text
//! DIR/.microsecrets/store                     {"format":1,"id":"folder-<128 random bits>","recipient":"<SHA-256>"}
//! <identities>/<id>.age-identity              # created: ...
//!                                             # public key: age1...
//!                                             AGE-SECRET-KEY-1...
//! ```
//!
//! The description does not tell the public key, only its hash: an age file says nothing about who made it, and whoever
//! may write into the folder but does not know the public key cannot make files that this store accepts.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::FolderError;
use super::error::Fault;
use super::lock::{Lock, Temporary};
use super::tree::{Folder, OWN};
use crate::checksum::{Checksum, unhex};
use crate::name::Nonce;
use crate::ownfile::{self, FileRefused};
use crate::time::Timestamp;

const DESCRIPTION: &str = "store";
const FORMAT: u64 = 1;
/// More than a description or an identity file with comments takes.
const FILE_LIMIT: u64 = 64 * 1024;

/// A store that can be read and written: its name and its keys.
pub(super) struct Home {
    /// The name of the store in records.
    pub(super) id: String,
    /// What opens its objects.
    pub(super) identity: x25519::Identity,
    /// What its objects are encrypted to.
    pub(super) recipient: x25519::Recipient,
}

/// `DIR/.microsecrets/store`, one line of JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u64,
    id: String,
    recipient: String,
}

/// As much of a description as every format has.
#[derive(Deserialize)]
struct AnyDescription {
    format: u64,
}

impl Home {
    /// The store in a folder, with its identity; `None` when there is none yet.
    pub(super) fn load(root: &Folder, identities: &Path) -> Result<Option<Self>, Fault> {
        let Some(own) = root.folder(OWN)? else {
            return Ok(None);
        };
        let Some(mut file) = own.file(DESCRIPTION)? else {
            return Ok(None);
        };
        let path = own.path_of(DESCRIPTION);
        let description = Description::parse(&read(&mut file, &path)?, path)?;
        let path = identity_path(identities, &description.id);
        let identity = identity(&path, &description.recipient)?;
        Ok(Some(Self {
            id: description.id,
            recipient: identity.to_public(),
            identity,
        }))
    }

    /// Makes an empty folder a store, unless another process just did.
    pub(super) async fn create(root: &Folder, identities: &Path, timeout: Duration) -> Result<Self, Fault> {
        let identities = outside(root, identities)?;
        let own = root.make_folder(OWN)?;
        let _lock = Lock::acquire(&own, timeout).await?;
        if let Some(home) = Self::load(root, &identities)? {
            return Ok(home);
        }
        // A process that found no store here before it was made looks once more, now that nobody can make one.
        if root.is_foreign()? {
            return Err(FolderError::NotAStore {
                path: root.path().to_owned(),
            }
            .into());
        }
        let identity = x25519::Identity::generate();
        let home = Self {
            id: format!("folder-{}", Nonce::random()),
            recipient: identity.to_public(),
            identity,
        };
        // The identity first: a store whose identity was never written could not be told from one that lost it.
        home.write_identity(&identities)?;
        home.write_description(root, &own)?;
        Ok(home)
    }

    fn write_identity(&self, identities: &Path) -> Result<(), FolderError> {
        let path = identity_path(identities, &self.id);
        let secret = self.identity.to_string();
        // As age-keygen writes it. Built in one piece, so that no copy is left behind by a buffer that grew.
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str("# created: ");
        text.push_str(&Timestamp::now().to_string());
        text.push_str("\n# public key: ");
        text.push_str(&self.recipient.to_string());
        text.push('\n');
        text.push_str(secret.expose_secret());
        text.push('\n');
        create_folders(identities)
            .and_then(|()| ownfile::create(&path, text.as_bytes()))
            .map_err(|source| FolderError::Io {
                action: "write",
                path: path.clone(),
                source,
            })
    }

    fn write_description(&self, root: &Folder, own: &Folder) -> Result<(), Fault> {
        let description = Description {
            format: FORMAT,
            id: self.id.clone(),
            recipient: fingerprint(&self.recipient),
        };
        let failed = |source| FolderError::Io {
            action: "write",
            path: own.path_of(DESCRIPTION),
            source,
        };
        let mut text = serde_json::to_vec(&description).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let temporary = Temporary::create(own)?;
        let mut file = temporary.file();
        file.write_all(&text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        temporary.persist(own, DESCRIPTION)?;
        own.sync()?;
        root.sync()?;
        Ok(())
    }
}

impl Description {
    fn parse(text: &[u8], path: PathBuf) -> Result<Self, FolderError> {
        match serde_json::from_slice(text) {
            Ok(AnyDescription { format: FORMAT }) => {}
            Ok(AnyDescription { format }) if format > FORMAT => return Err(FolderError::Newer { path, format }),
            _ => return Err(FolderError::Damaged { path }),
        }
        match serde_json::from_slice::<Self>(text) {
            // The id becomes part of a path.
            Ok(description) if is_id(&description.id) => Ok(description),
            _ => Err(FolderError::Damaged { path }),
        }
    }
}

/// Where the identity of a store lies.
pub(super) fn identity_path(identities: &Path, id: &str) -> PathBuf {
    identities.join(format!("{id}.age-identity"))
}

/// Makes a folder and those above it that are missing, for their owner only, to outlive a power failure.
pub(super) fn create_folders(path: &Path) -> io::Result<()> {
    let create = || DirBuilder::new().mode(0o700).create(path);
    let created = match (create(), path.parent()) {
        // A file system such as /proc says the same of a folder whose parent is there, so this is tried once.
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound && !parent.as_os_str().is_empty() => {
            create_folders(parent)?;
            create()
        }
        (created, _) => created,
    };
    match created {
        // Whatever the umask says: its owner must be able to open it.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o700))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn is_id(text: &str) -> bool {
    text.strip_prefix("folder-")
        .is_some_and(|hex| hex.len() == 32 && unhex(hex).is_some())
}

/// What the description tells of the public key.
fn fingerprint(recipient: &x25519::Recipient) -> String {
    Checksum::of(format!("microsecrets recipient {recipient}").as_bytes()).to_string()
}

/// The identity in a file whose public key has this fingerprint.
fn identity(path: &Path, wanted: &str) -> Result<x25519::Identity, FolderError> {
    let text =
        ownfile::read(path, ownfile::Rule::Secret, FILE_LIMIT).map_err(|refused| secret_refused(path, refused))?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(|text| {
            text.lines()
                .map(str::trim)
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.parse::<x25519::Identity>().ok())
                .find(|identity| fingerprint(&identity.to_public()) == wanted)
        })
        .ok_or_else(|| FolderError::IdentityWrong { path: path.to_owned() })
}

/// Why a secret of this user's cannot be used.
pub(crate) fn secret_refused(path: &Path, refused: FileRefused) -> FolderError {
    let path = path.to_owned();
    match refused {
        FileRefused::Io(error) if error.kind() == io::ErrorKind::NotFound => FolderError::IdentityMissing { path },
        FileRefused::Io(source) => {
            let action = "read";
            FolderError::Io { action, path, source }
        }
        FileRefused::Open { mode } => FolderError::IdentityOpen { path, mode },
        FileRefused::NotRegular => {
            let found = "no regular file";
            FolderError::InTheWay { path, found }
        }
        FileRefused::OtherOwner { .. } | FileRefused::TooLarge { .. } => FolderError::Damaged { path },
    }
}

/// The bytes of a small file, in a buffer that never moves and is wiped.
fn read(file: &mut File, path: &Path) -> Result<Zeroizing<Vec<u8>>, FolderError> {
    let failed = |source| FolderError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let size = file.metadata().map_err(failed)?.len();
    if size > FILE_LIMIT {
        return Err(FolderError::Damaged { path: path.to_owned() });
    }
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(size).unwrap_or_default()]);
    file.read_exact(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The real path of the folder of identities, which may not exist yet; refused below the store's own folder.
fn outside(root: &Folder, identities: &Path) -> Result<PathBuf, FolderError> {
    let real = identities.ancestors().find_map(|ancestor| {
        let real = fs::canonicalize(ancestor).ok()?;
        Some(real.join(identities.strip_prefix(ancestor).ok()?))
    });
    match real.unwrap_or_else(|| identities.to_owned()) {
        path if path.starts_with(root.path()) => Err(FolderError::IdentityInside { path }),
        path => Ok(path),
    }
}
