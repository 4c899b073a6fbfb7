//! x
pub struct FolderKeys;
