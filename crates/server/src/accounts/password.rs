//! A password, for the moment between its making or reading and its hashing.

use crate::limits;
use ringway_core::account::Ha1;
use ringway_core::address_of_record::AddressOfRecord;
use std::fmt;
use std::io::{self, BufRead};
use zeroize::Zeroizing;

/// Small letters and digits without those that are read for one another (0 o, 1 i l). A prime
/// number of them, so bytes are cast again until one fits.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// 31 to the power of 26 is 2 to the power of 128.8.
const LENGTH: usize = 26;

/// A password. It is never shown but by [`Password::reveal`], and overwritten when it is dropped.
pub struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Why something is no password.
#[derive(Debug)]
pub enum NoPassword {
    /// There is nothing.
    Empty,
    /// It is longer than a person or a phone could want.
    TooLong,
    /// No phone could be given it: a control character, or no UTF-8.
    Unusable,
    /// It could not be read, or the system has no randomness.
    Io(io::Error),
}

impl fmt::Display for NoPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the password is empty"),
            Self::TooLong => {
                write!(f, "the password is longer than {} bytes", limits::PASSWORD_BYTES)
            }
            Self::Unusable => f.write_str("the password has control characters, or is not UTF-8"),
            Self::Io(error) => write!(f, "no password could be had: {error}"),
        }
    }
}

impl std::error::Error for NoPassword {}

impl Password {
    /// A new one of at least 128 bits, from the system's source of randomness.
    ///
    /// # Errors
    /// If the system has none.
    pub fn generate() -> Result<Self, NoPassword> {
        let mut password = Zeroizing::new(String::with_capacity(LENGTH));
        let mut random = Zeroizing::new([0; 64]);
        while password.len() < LENGTH {
            getrandom::fill(&mut *random)
                .map_err(|error| NoPassword::Io(io::Error::other(error.to_string())))?;
            // 248 is the largest multiple of 31 in a byte: all letters are equally likely.
            let fair = random.iter().filter(|byte| **byte < 248);
            let letters = fair.map(|byte| char::from(ALPHABET[usize::from(byte % 31)]));
            let missing = LENGTH - password.len();
            password.extend(letters.take(missing));
        }
        Ok(Self(password))
    }

    /// The first line of what is read, without its end.
    ///
    /// # Errors
    /// If there is no usable password in it.
    pub fn read(from: impl BufRead) -> Result<Self, NoPassword> {
        let limit = limits::PASSWORD_BYTES + 3;
        let mut line = Zeroizing::new(Vec::with_capacity(limit));
        from.take(limit as u64).read_until(b'\n', &mut line).map_err(NoPassword::Io)?;
        let end = line.strip_suffix(b"\n").unwrap_or(&line);
        Self::from_bytes(end.strip_suffix(b"\r").unwrap_or(end))
    }

    /// A password that was given.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoPassword> {
        if bytes.is_empty() {
            return Err(NoPassword::Empty);
        }
        if bytes.len() > limits::PASSWORD_BYTES {
            return Err(NoPassword::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NoPassword::Unusable)?;
        if text.chars().any(char::is_control) {
            return Err(NoPassword::Unusable);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// What of it is kept, for the user and realm of an account.
    pub fn ha1(&self, aor: &AddressOfRecord) -> Ha1 {
        Ha1::from_password(aor.user(), aor.domain(), self.0.as_bytes())
    }

    /// The text, to be shown to the one person it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn c13_made_ones_have_128_bits_and_are_easy_to_read_out() {
        let bits = (ALPHABET.len() as f64).log2() * LENGTH as f64;
        assert!(bits >= 128.0, "{bits}");
        let mut seen = BTreeMap::new();
        for _ in 0..2_000 {
            let password = Password::generate().expect("randomness");
            assert_eq!(password.reveal().len(), LENGTH);
            for letter in password.reveal().chars() {
                *seen.entry(letter).or_insert(0_u32) += 1;
            }
        }
        assert!("01iolIOL".chars().all(|confusing| !seen.contains_key(&confusing)));
        assert_eq!(seen.len(), ALPHABET.len(), "every letter occurs");
        // 52,000 letters: 1,677 of each, give or take ten standard deviations.
        assert!(seen.values().all(|count| (1_277..=2_077).contains(count)), "{seen:?}");
    }

    #[test]
    fn one_line_is_read() {
        let read = |bytes: &[u8]| Password::read(bytes).map(|p| p.reveal().to_owned());
        for (bytes, password) in [
            (&b"secret\n"[..], "secret"),
            (b"secret\r\nmore\n", "secret"),
            (b" with blanks ", " with blanks "),
            ("Nguyễn\n".as_bytes(), "Nguyễn"),
        ] {
            assert_eq!(read(bytes).expect("a password"), password);
        }
        let longest = [b'x'; limits::PASSWORD_BYTES];
        assert!(read(&[&longest[..], b"\r\n"].concat()).is_ok());
        assert!(matches!(read(&[&longest[..], b"y\n"].concat()), Err(NoPassword::TooLong)));
        assert!(matches!(read(&[&longest[..], b"yyyyy"].concat()), Err(NoPassword::TooLong)));
        assert!(matches!(read(b"\nsecret"), Err(NoPassword::Empty)));
        assert!(matches!(read(b""), Err(NoPassword::Empty)));
        assert!(matches!(read(b"a\x00b\n"), Err(NoPassword::Unusable)));
        assert!(matches!(read(b"a\xffb\n"), Err(NoPassword::Unusable)));
    }

    #[test]
    fn it_does_not_show_itself() {
        let password = Password::from_bytes(b"secret").expect("a password");
        assert_eq!(format!("{password:?}"), "Password");
    }
}
