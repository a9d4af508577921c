//! `[[peer]]`: the servers that are known by where they call from.

use super::address::{domain, network};
use super::routing::{plain_name, sip_address};
use super::settings::{Section, Setting, each};
use ringway_core::snapshot::Peer;

/// The settings of one `[[peer]]`.
pub static PEER: Section<Peer> = Section {
    name: "peer",
    about: "Who needs no password because of where it calls from: write [[peer]] once for each",
    settings: &[
        Setting {
            key: "name",
            what: "text",
            default: "",
            means: "What it is called in logs and explanations.",
            apply: |peer, value| {
                peer.name = plain_name(value)?;
                Ok(())
            },
        },
        Setting {
            key: "networks",
            what: "list of ADDRESS or ADDRESS/PREFIX",
            default: "[]",
            means: "Where its requests come from over TCP and TLS, and over UDP with trust_udp.",
            apply: |peer, value| {
                peer.networks = each(value, network)?;
                Ok(())
            },
        },
        Setting {
            key: "tls_names",
            what: "list of domains",
            default: "[]",
            means: "Its domains, one of which its certificate proves when it connects over TLS \
                    (RFC 5922). Such a peer is known wherever it calls from; a peer has networks, \
                    or tls_names, or both.",
            apply: |peer, value| {
                peer.tls_names = each(value, domain)?;
                Ok(())
            },
        },
        Setting {
            key: "address",
            what: "SIP URI of a server",
            default: "\"\"",
            means: "Where routes send requests for it, like \"sip:gw.example.com;transport=tcp\".",
            apply: |peer, value| {
                peer.address = match value.text()? {
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
            apply: |peer, value| {
                peer.may_register = value.boolean()?;
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
            apply: |peer, value| {
                peer.trust_identity = value.boolean()?;
                Ok(())
            },
        },
        Setting {
            key: "trust_udp",
            what: "true or false",
            default: "false",
            means: "Whether its networks are believed over UDP, too, where anybody can forge an \
                    address. Without, it needs TCP, TLS or a password.",
            apply: |peer, value| {
                peer.trust_udp = value.boolean()?;
                Ok(())
            },
        },
    ],
};

pub(crate) const fn empty_peer() -> Peer {
    Peer {
        name: String::new(),
        networks: Vec::new(),
        tls_names: Vec::new(),
        certified: Vec::new(),
        may_register: false,
        trust_identity: false,
        trust_udp: false,
        login: None,
        address: None,
    }
}
