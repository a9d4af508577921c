//! What can go wrong with a store, in words for people: what happened, where, and what helps.

use std::fmt;
use std::path::PathBuf;

/// Why something could not be kept or read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// The disk is full.
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The folder or file cannot be made or written.
    NotWritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// Another server, or a command that works on the data itself, has this folder.
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, if it can be told.
        process: Option<u32>,
    },
    /// Some other program holds a lock on the file.
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The data were written by a newer version of this program.
    TooNew {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The newest format understood here.
        known: i64,
    },
    /// The file belongs to some other program.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The data are damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The system refused to read or write.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The store itself failed; this is our bug.
    Broken {
        /// What it said.
        what: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull { path } => write!(
                f,
                "the disk is full: {} cannot grow; make room, nothing needs a restart",
                path.display()
            ),
            Self::NotWritable { path, cause } => write!(
                f,
                "cannot write to {}: {cause}; choose another data folder, or change its owner",
                path.display()
            ),
            Self::InUse { path, process } => {
                write!(f, "the data in {} are in use by another ringway", path.display())?;
                if let Some(process) = process {
                    write!(f, " (process {process})")?;
                }
                write!(f, "; stop it, or choose another data folder")
            }
            Self::Busy { path } => {
                write!(f, "another program holds a lock on {}; close it", path.display())
            }
            Self::TooNew { path, found, known } => write!(
                f,
                "{} was written by a newer ringway (format {found}, this one knows {known}); \
                 use that version, or restore an older backup",
                path.display()
            ),
            Self::Foreign { path } => write!(
                f,
                "{} is not a ringway database; choose another data folder",
                path.display()
            ),
            Self::Damaged { path, what } => {
                write!(f, "{} is damaged: {what}; restore a backup", path.display())
            }
            Self::Io { path, cause } => {
                write!(f, "cannot read or write {}: {cause}", path.display())
            }
            Self::Broken { what } => write!(f, "the store failed, which is a bug: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}
