//! Secrets in memory: types that wipe themselves and cannot be printed.
//!
//! Neither type has `Debug`, `Display` or `Clone`: a value can leave only through `expose`, which is easy to search for.
//! What this cannot reach is said in `docs/SEMANTICS.md`: buffers of the TLS and HTTP libraries, and the environment of
//! the started program, which its own user may read.

use zeroize::Zeroizing;

/// A secret text, wiped when dropped.
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes ownership of a secret text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Never pass it to anything that prints, logs or formats errors.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A second copy, for the few places that need one (a new document from an old one).
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Random bytes from the operating system, wiped when dropped.
pub fn random_bytes() -> Zeroizing<[u8; 64]> {
    let mut bytes = Zeroizing::new([0; 64]);
    getrandom::fill(&mut bytes[..]).expect("the operating system always has random bytes once it has started");
    bytes
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Secret bytes, wiped when dropped.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of secret bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves. Never pass them to anything that prints, logs or formats errors.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second copy, for the few places that need one (the body of a request that outlives its maker).
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        self.expose()
    }
}
