//! Settings of what is seen of messages that pass.

use super::Config;
use super::problem::Problem;
use super::settings::{Section, Setting};
use super::value::Value;
use crate::trace::Collector;
use std::net::SocketAddr;

/// The section `[trace]`.
pub(super) const TRACE: Section<Config> = Section {
    name: "trace",
    about: "Messages kept in memory, for `ringway trace` to show calls afterwards",
    settings: &[
        Setting {
            key: "keep_mib",
            what: "number",
            default: "16",
            means: "How many MiB of messages are kept; 0 keeps none. Calls as they pass can be \
                    traced with any value.",
            apply: |config, value| {
                config.trace.keep_mib = value.number(0, 16_384)? as usize;
                Ok(())
            },
        },
        Setting {
            key: "keep",
            what: "time",
            default: "\"15m\"",
            means: "How long a message is kept at most.",
            apply: |config, value| {
                config.trace.keep = value.duration(10, 7 * 86_400)?;
                Ok(())
            },
        },
    ],
};

/// The section `[hep]`.
pub(super) const HEP: Section<Config> = Section {
    name: "hep",
    about: "A collector, such as Homer, that gets a copy of every message as a HEP3 packet",
    settings: &[
        Setting {
            key: "to",
            what: "udp:ADDRESS:PORT",
            default: "\"\"",
            means: "Where it listens, like \"udp:198.51.100.9:9060\". Packets are not encrypted: \
                    let them pass only where others may read along.",
            apply: |config, value| {
                if !value.text()?.is_empty() {
                    config.hep.to = collector(value)?;
                }
                Ok(())
            },
        },
        Setting {
            key: "id",
            what: "number",
            default: "1",
            means: "The capture agent id, which tells this server from others.",
            apply: |config, value| {
                config.hep.id = value.number(0, u64::from(u32::MAX))? as u32;
                Ok(())
            },
        },
        Setting {
            key: "password",
            what: "text",
            default: "\"\"",
            means: "The authenticate key, if the collector wants one.",
            apply: |config, value| {
                let text = value.text()?;
                if text.len() > 256 {
                    let message = "hep.password is longer than 256 bytes";
                    return Err(Problem::value(value.span(), message, "this is too long").into());
                }
                config.hep.password = text.to_owned();
                Ok(())
            },
        },
        Setting {
            key: "secrets",
            what: "true or false",
            default: "false",
            means: "Whether it gets the responses to digest challenges and the keys of media as \
                    they are; otherwise they are masked.",
            apply: |config, value| {
                config.hep.secrets = value.boolean()?;
                Ok(())
            },
        },
    ],
};

/// No collector: its port is 0.
pub(super) fn nowhere() -> Collector {
    let to = SocketAddr::from(([0, 0, 0, 0], 0));
    Collector { to, id: 1, password: String::new(), secrets: false }
}

fn collector(value: &Value<'_>) -> Result<SocketAddr, Problem> {
    let address = value.text()?.strip_prefix("udp:");
    let address = address.and_then(|address| address.parse::<SocketAddr>().ok());
    address.filter(|to| to.port() != 0 && !to.ip().is_unspecified()).ok_or_else(|| {
        value.wrong("it is udp:, an address and a port, like \"udp:198.51.100.9:9060\"")
    })
}
