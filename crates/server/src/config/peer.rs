//! `[[peer]]`: other servers.

use super::address::{domain, network};
use super::problem::Problem;
use super::routing::{plain_name, sip_address};
use super::secret::{NoSecret, Secret};
use super::settings::{Section, Setting, each};
use super::value::Value;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::identity::PeerLogin;
use ringway_core::snapshot::Peer;
use ringway_wire::{Host, Uri};
use std::ops::Range;

/// A peer as the file has it.
#[derive(Debug, Default)]
pub struct PeerText {
    pub(crate) peer: Peer,
    username: Option<String>,
    realm: Option<String>,
    password: Option<Secret>,
}

/// Who we are at a peer, and where the password stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The name of the peer.
    pub peer: String,
    /// Our user name there.
    pub username: String,
    /// The realm it is for.
    pub realm: String,
    /// Where the password stands.
    pub password: Secret,
}

impl Login {
    /// Reads the password, and keeps its hashes.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn open(&self) -> Result<PeerLogin, NoSecret> {
        let password = self.password.read(&format!("the peer \"{}\"", self.peer))?;
        let (user, realm) = (self.username.as_bytes(), self.realm.as_bytes());
        Ok(PeerLogin::new(user, realm, password.as_bytes()))
    }
}

/// The settings of one `[[peer]]`.
pub static PEER: Section<PeerText> = Section {
    name: "peer",
    about: "Another server: how it is known when it calls, so that it may, and where routes send \
            requests for it: write [[peer]] once for each",
    settings: &[
        Setting {
            key: "name",
            what: "text",
            default: "",
            means: "What it is called in logs and explanations.",
            apply: |text, value| {
                text.peer.name = plain_name(value)?;
                Ok(())
            },
        },
        Setting {
            key: "networks",
            what: "list of ADDRESS or ADDRESS/PREFIX",
            default: "[]",
            means: "Where its requests come from over TCP and TLS, and over UDP with trust_udp.",
            apply: |text, value| {
                text.peer.networks = each(value, network)?;
                Ok(())
            },
        },
        Setting {
            key: "tls_names",
            what: "list of domains",
            default: "[]",
            means: "Its domains, one of which its certificate proves when it connects over TLS \
                    (RFC 5922). Such a peer is known wherever it calls from.",
            apply: |text, value| {
                text.peer.tls_names = each(value, domain)?;
                Ok(())
            },
        },
        Setting {
            key: "account",
            what: "USER@DOMAIN",
            default: "\"\"",
            means: "An account of ours that is its own: who proves the password of it is this \
                    peer, wherever it calls from. It may then call in any name, and where it names \
                    another domain in From, it is asked in the domain that it calls.",
            apply: |text, value| {
                text.peer.account = match value.text()? {
                    "" => None,
                    name => match AddressOfRecord::from_text(name) {
                        Some(aor) => Some(aor),
                        None => return Err(value.wrong("an account is USER@DOMAIN").into()),
                    },
                };
                Ok(())
            },
        },
        Setting {
            key: "address",
            what: "SIP URI of a server",
            default: "\"\"",
            means: "Where routes send requests for it, like \"sip:gw.example.com;transport=tcp\".",
            apply: |text, value| {
                text.peer.address = match value.text()? {
                    "" => None,
                    _ => Some(sip_address(value)?.into_bytes().into()),
                };
                Ok(())
            },
        },
        Setting {
            key: "may_register",
            what: "true or false",
            default: "false",
            means: "Whether it may register contacts for any account (an edge proxy).",
            apply: |text, value| {
                text.peer.may_register = value.boolean()?;
                Ok(())
            },
        },
        Setting {
            key: "trust_identity",
            what: "true or false",
            default: "false",
            means: "Whether it is of the same trust domain (RFC 3325): its P-Asserted-Identity and \
                    the like are believed, and it gets those that their owners want kept private. \
                    From all others they are taken off.",
            apply: |text, value| {
                text.peer.trust_identity = value.boolean()?;
                Ok(())
            },
        },
        Setting {
            key: "trust_udp",
            what: "true or false",
            default: "false",
            means: "Whether its networks are believed over UDP, too, where anybody can forge an \
                    address. Without, it needs TCP, TLS or a password.",
            apply: |text, value| {
                text.peer.trust_udp = value.boolean()?;
                Ok(())
            },
        },
        Setting {
            key: "username",
            what: "text",
            default: "\"\"",
            means: "Our user name there, for when it asks who we are (401, 407) about what a route \
                    sends it.",
            apply: |text, value| {
                text.username = plain_text(value)?;
                Ok(())
            },
        },
        Setting {
            key: "password",
            what: "${file:PATH} or ${env:NAME}",
            default: "\"\"",
            means: "Where the password stands: \"${file:/etc/ringway/secrets/gw}\" is a file that \
                    not everybody may read, \"${env:GW_PASSWORD}\" a variable of the environment. \
                    It is read at the start, and only its hashes are kept.",
            apply: |text, value| {
                text.password = match value.text()? {
                    "" => None,
                    _ => Some(Secret::of(value)?),
                };
                Ok(())
            },
        },
        Setting {
            key: "realm",
            what: "text",
            default: "\"\"",
            means: "The realm that it asks for; the password is used for no other. Without one, \
                    the host in its address.",
            apply: |text, value| {
                text.realm = plain_text(value)?;
                Ok(())
            },
        },
    ],
};

/// Text without what cannot stand in a quoted string; none if it is empty.
fn plain_text(value: &Value<'_>) -> Result<Option<String>, Problem> {
    let text = value.text()?;
    if text.contains(char::is_control) || text.len() > 256 {
        return Err(value.wrong("at most 256 bytes without line ends are possible"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()).map(str::to_owned))
}

impl PeerText {
    /// The peer, and who we are there; `at` is its place in the file.
    pub(crate) fn into_peer(self, at: Range<usize>) -> Result<(Peer, Option<Login>), Problem> {
        let Self { peer, username, realm, password } = self;
        let wrong = |what: &str, label: &str| {
            Err(Problem::value(at.clone(), format!("the peer \"{}\" {what}", peer.name), label))
        };
        let is_nowhere = peer.networks.is_empty() && peer.tls_names.is_empty();
        if is_nowhere && peer.account.is_none() && peer.address.is_none() {
            let label = "say how it is known, with networks, tls_names or account, or its address";
            return wrong("is nobody", label);
        }
        if is_nowhere && peer.may_register {
            let label = "give it networks or tls_names";
            return wrong("may register, and is not known by where it calls from", label);
        }
        let (username, password) = match (username, password) {
            (None, None) if realm.is_none() => return Ok((peer, None)),
            (Some(username), Some(password)) => (username, password),
            (None, _) => return wrong("has no username to log in with", "give it a username"),
            (_, None) => return wrong("has no password to log in with", "give it a password"),
        };
        let Some(address) = &peer.address else {
            let label = "give it an address, to which routes send requests";
            return wrong("is nowhere to log in at", label);
        };
        let host = match Uri::parse(address) {
            Ok(Uri::Sip(sip)) => match sip.host {
                Host::Name(name) => Some(String::from_utf8_lossy(name).into_owned()),
                Host::V4(_) | Host::V6(_) => None,
            },
            _ => None,
        };
        let Some(realm) = realm.or(host) else {
            let label = "give it the realm that stands in its challenge";
            return wrong("has no realm to log in for", label);
        };
        let login = Login { peer: peer.name.clone(), username, realm, password };
        Ok((peer, Some(login)))
    }
}

#[cfg(test)]
mod tests;
