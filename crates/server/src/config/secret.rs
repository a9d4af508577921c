//! Secrets stand where the configuration says, and not in it: many may read that file, and it is
//! shown where something is wrong with it.

use super::problem::Problem;
use super::value::Value;
use crate::limits;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Where a secret stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Secret {
    /// In a file, on its first line.
    File(PathBuf),
    /// In a variable of the environment.
    Environment(String),
}

/// Why a secret could not be had. Nothing of the secret is in it.
#[derive(Debug)]
pub struct NoSecret {
    /// Whose it is.
    pub owner: String,
    place: Secret,
    /// What is in the way.
    pub cause: io::Error,
}

impl Secret {
    /// `${file:PATH}` or `${env:NAME}`. What stands there instead is never repeated.
    pub(crate) fn of(value: &Value<'_>) -> Result<Self, Problem> {
        let inner = value.text()?.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
        match inner.and_then(|inner| inner.split_once(':')) {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("env", name)) if is_variable(name) => Ok(Self::Environment(name.to_owned())),
            _ => {
                let message = format!("{} does not stand in this file itself", value.name);
                let label = "name its place: \"${file:/etc/ringway/secret}\" or \"${env:SECRET}\"";
                Err(Problem::value(value.span(), message, label))
            }
        }
    }

    /// Reads it. `owner` is whose it is, for messages.
    ///
    /// # Errors
    /// If it is not there, empty or no text, or if others may read its file.
    pub fn read(&self, owner: &str) -> Result<String, NoSecret> {
        let found = match self {
            Self::File(path) => read_file(path),
            Self::Environment(name) => std::env::var(name).map_err(io::Error::other),
        };
        let fits = |text: &str| !text.is_empty() && !text.contains(char::is_control);
        let found = found.and_then(|text| {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            let is_none = || io::Error::other("it is empty, or more than one line");
            fits(line).then(|| line.to_owned()).ok_or_else(is_none)
        });
        found.map_err(|cause| NoSecret { owner: owner.to_owned(), place: self.clone(), cause })
    }
}

fn read_file(path: &PathBuf) -> io::Result<String> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if meta.permissions().mode() & 0o007 != 0 {
        return Err(io::Error::other("everybody on this machine may read it; chmod 600 helps"));
    }
    let mut text = String::new();
    file.take(limits::SECRET_BYTES + 1).read_to_string(&mut text)?;
    match text.len() as u64 > limits::SECRET_BYTES {
        true => Err(io::Error::other(format!("it has more than {} bytes", limits::SECRET_BYTES))),
        false => Ok(text),
    }
}

fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(fits)
}

impl fmt::Display for NoSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, place, cause } = self;
        match place {
            Secret::File(path) => {
                write!(f, "no password for {owner} in {}: {cause}", path.display())
            }
            Secret::Environment(name) => {
                write!(f, "no password for {owner} in the variable {name}: {cause}")
            }
        }
    }
}

impl std::error::Error for NoSecret {}
