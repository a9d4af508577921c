//! What can go wrong with a store, in words for people.

use std::fmt;
use std::path::PathBuf;

/// Why something could not be kept or read.
#[derive(Debug)]
pub enum StoreError {
    /// The folder or file cannot be written.
    NotWritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Another process uses this store.
    InUse(PathBuf),
    /// It was written by a newer version of this program.
    TooNew {
        /// The version found.
        found: i64,
        /// The newest version understood here.
        known: i64,
    },
    /// The disk is full.
    DiskFull,
    /// The file is damaged.
    Damaged(String),
    /// Anything else the database said.
    Other(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWritable { path, cause } => {
                write!(f, "cannot write to {}: {cause}", path.display())
            }
            Self::InUse(path) => {
                write!(f, "the data in {} are in use by another ringway", path.display())
            }
            Self::TooNew { found, known } => write!(
                f,
                "the data were written by a newer version (format {found}, this one knows {known})"
            ),
            Self::DiskFull => f.write_str("the disk is full"),
            Self::Damaged(what) => write!(f, "the data are damaged: {what}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Other(error.to_string()),
        }
    }
}
