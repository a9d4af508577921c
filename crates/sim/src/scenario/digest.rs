//! How a phone answers a challenge (RFC 7616 §3.4). Written apart from the server's code.

use crate::scenario::sip::Sip;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// A challenge that a phone remembers, to answer it also in later requests.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The header that answers it: `Authorization` or `Proxy-Authorization`.
    pub header: &'static str,
    /// The realm.
    pub realm: String,
    /// The nonce.
    pub nonce: String,
    /// The algorithm as named in the challenge.
    pub algorithm: String,
    /// Whether only the nonce was too old.
    pub stale: bool,
    /// How often the nonce was used.
    pub used: u32,
}

impl Challenge {
    /// Reads a challenge header; `None` for another scheme.
    pub fn read(header: &'static str, value: &str) -> Option<Self> {
        let params = value.strip_prefix("Digest ")?;
        let find = |name: &str| {
            params.split(',').find_map(|part| {
                let (n, v) = part.trim().split_once('=')?;
                n.eq_ignore_ascii_case(name).then(|| v.trim_matches('"').to_owned())
            })
        };
        Some(Self {
            header,
            realm: find("realm")?,
            nonce: find("nonce")?,
            algorithm: find("algorithm").unwrap_or_else(|| "MD5".into()),
            stale: find("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            used: 0,
        })
    }

    /// Takes the credentials for its realm out of a message; those for others stay.
    pub fn remove_answers(&self, header: &str, message: &mut Sip) {
        let realm = format!("realm=\"{}\"", self.realm);
        message.headers.retain(|(name, value)| name != header || !value.contains(&realm));
    }

    /// The credentials for a request.
    pub fn answer(
        &self,
        (user, password): (&str, &str),
        (method, uri): (&str, &str),
        nc: u32,
    ) -> Option<String> {
        let Self { realm, nonce, algorithm, .. } = self;
        let hash = |text: String| hash(algorithm, &text);
        let a1 = hash(format!("{user}:{realm}:{password}"))?;
        let a2 = hash(format!("{method}:{uri}"))?;
        let cnonce = "0a4f113b";
        let response = hash(format!("{a1}:{nonce}:{nc:08x}:{cnonce}:auth:{a2}"))?;
        Some(format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={algorithm}, cnonce=\"{cnonce}\", qop=auth, \
             nc={nc:08x}"
        ))
    }
}

fn hash(algorithm: &str, text: &str) -> Option<String> {
    let bytes = match algorithm {
        "MD5" => Md5::digest(text).to_vec(),
        "SHA-256" => Sha256::digest(text).to_vec(),
        "SHA-512-256" => Sha512_256::digest(text).to_vec(),
        _ => return None,
    };
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7616_section_3_9_1() {
        let challenge = Challenge::read(
            "Authorization",
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"x\"",
        )
        .expect("a challenge");
        let a1 = hash("SHA-256", "Mufasa:http-auth@example.org:Circle of Life").expect("known");
        let a2 = hash("SHA-256", "GET:/dir/index.html").expect("known");
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let text = format!("{a1}:{}:00000001:{cnonce}:auth:{a2}", challenge.nonce);
        assert_eq!(
            hash("SHA-256", &text).as_deref(),
            Some("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")
        );
    }
}
