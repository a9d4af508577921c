//! Settings of certificates, trust, and who may connect from a browser.

use super::Config;
use super::address::origin;
use super::settings::{Section, Setting, each, path};

/// The section `[tls]`.
pub(super) const TLS: Section<Config> = Section {
    name: "tls",
    about: "Certificates and trust. The files are looked at twice a minute and on SIGHUP, so \
            that whatever renews them needs to tell nobody",
    settings: &[
        Setting {
            key: "certificates",
            what: "list of paths",
            default: "[]",
            means: "PEM files, each with a certificate and the chain behind it, as \
                    fullchain.pem of certbot. A client that names the domain it calls is \
                    shown the one for it, else the first. With none, the server makes itself \
                    a key and a certificate: tls.key and tls.crt in the data folder.",
            apply: |config, value| {
                config.tls.certificates = each(value, path)?;
                Ok(())
            },
        },
        Setting {
            key: "keys",
            what: "list of paths",
            default: "[]",
            means: "PEM files with the keys of these certificates, in the same order, as \
                    privkey.pem of certbot.",
            apply: |config, value| {
                config.tls.keys = each(value, path)?;
                Ok(())
            },
        },
        Setting {
            key: "ca",
            what: "path",
            default: "\"\"",
            means: "A PEM file with certificates that are trusted besides those of the \
                    system. With one, or with tls_names of a peer, those who \
                    connect over TLS are asked for a certificate, which they need not have.",
            apply: |config, value| {
                config.tls.ca = match value.text()? {
                    "" => None,
                    _ => Some(path(value)?),
                };
                Ok(())
            },
        },
        Setting {
            key: "only_ca",
            what: "true or false",
            default: "false",
            means: "Whether to trust nothing but what ca names.",
            apply: |config, value| {
                config.tls.only_ca = value.boolean()?;
                Ok(())
            },
        },
        Setting {
            key: "devices",
            what: "path",
            default: "\"\"",
            means: "A PEM file with the certificates of those who certify devices. A phone that \
                    connects over TLS with a certificate of theirs for sip:alice@example.org \
                    registers and calls as alice without a password (RFC 5922 7.1). They are \
                    believed in nothing else.",
            apply: |config, value| {
                config.tls.devices = match value.text()? {
                    "" => None,
                    _ => Some(path(value)?),
                };
                Ok(())
            },
        },
    ],
};

/// The section `[websocket]`.
pub(super) const WEBSOCKET: Section<Config> = Section {
    name: "websocket",
    about: "Browsers",
    settings: &[Setting {
        key: "origins",
        what: "list of origins",
        default: "[]",
        means: "Pages of which origins may connect, as \"https://phone.example.org\", besides \
                those of our domains, of our own addresses, and over wss of the host that \
                they connect to; \"*\" is every page.",
        apply: |config, value| {
            config.origins = each(value, origin)?;
            Ok(())
        },
    }],
};
