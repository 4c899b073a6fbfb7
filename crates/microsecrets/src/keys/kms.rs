//! x
pub struct KmsKeys;
