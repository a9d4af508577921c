//! Every setting, defined once: what it is called, what it takes, what it is without being
//! given, what it means, and how it is applied. [`printed`](super::printed) prints them.

use super::Config;
use super::address::{domain, endpoint, host, name_server, network, overlap};
use super::problem::Problem;
use super::secure::{TLS, WEBSOCKET};
use super::seeing::{HEP, TRACE};
use super::value::Value;
use crate::log;
use ringway_core::snapshot::Algorithm;
use std::path::{Path, PathBuf};

/// Settings that stand together; `T` is what they are applied to.
pub struct Section<T: 'static> {
    /// Its name in brackets.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its settings.
    pub settings: &'static [Setting<T>],
}

/// One setting.
pub struct Setting<T> {
    /// Its key.
    pub key: &'static str,
    /// What it takes.
    pub what: &'static str,
    /// What it is when nothing is said, as it would stand in the file; empty: it must be given.
    pub default: &'static str,
    /// What it means.
    pub means: &'static str,
    /// Puts a value into the configuration.
    pub(crate) apply: fn(&mut T, &Value<'_>) -> Result<(), Vec<Problem>>,
}

/// All sections but the peers.
pub static SECTIONS: &[Section<Config>] = &[
    Section {
        name: "server",
        about: "What the server is and where it listens",
        settings: &[
            Setting {
                key: "domains",
                what: "list of names",
                default: "[]",
                means: "Domains served besides those of the accounts. The first is what the \
                        server's own addresses stand for: bob@192.0.2.1 is then bob there.",
                apply: |config, value| {
                    config.domains = each(value, domain)?;
                    Ok(())
                },
            },
            Setting {
                key: "listen",
                what: "list of TRANSPORT:ADDRESS:PORT",
                default: "[\"udp:*:5060\", \"tcp:*:5060\", \"tls:*:5061\", \
                          \"wss:*:8443\"]",
                means: "Where to listen. TRANSPORT is udp, tcp, tls, ws (WebSocket in clear, for \
                        a web server on this machine that adds TLS) or wss; ADDRESS is an \
                        address, IPv6 in [brackets], or * for all of this machine in both \
                        families; 0.0.0.0 and [::] are all of one family.",
                apply: |config, value| {
                    let listen = each(value, endpoint)?;
                    if let Some((one, two)) = overlap(&listen) {
                        let items = value.list()?;
                        let message = format!(
                            "{} and {} take the same socket",
                            items[one].shown(),
                            items[two].shown()
                        );
                        let label = "keep one of them";
                        return Err(Problem::value(items[two].span(), message, label).into());
                    }
                    config.listen = listen;
                    if config.listen.is_empty() {
                        return Err(value
                            .wrong("a server that listens nowhere serves nobody")
                            .into());
                    }
                    Ok(())
                },
            },
            Setting {
                key: "advertise",
                what: "address",
                default: "\"\"",
                means: "The address to announce instead of our own, behind a router that \
                        translates addresses and forwards the ports.",
                apply: |config, value| {
                    config.advertise = match value.text()? {
                        "" => None,
                        _ => Some(host(value)?),
                    };
                    Ok(())
                },
            },
            Setting {
                key: "data",
                what: "folder",
                default: "\"/var/lib/ringway\"",
                means: "Where accounts and registrations are kept. For others than root the \
                        default is ringway in their own data folder. --data goes before it.",
                apply: |config, value| {
                    config.data = path(value)?;
                    Ok(())
                },
            },
            Setting {
                key: "control",
                what: "path",
                default: "\"\"",
                means: "The control socket, through which commands reach the server that runs. \
                        By default /run/ringway/ringway.sock if the data are in /var/lib/ringway, \
                        else ringway.sock in the data folder.",
                apply: |config, value| {
                    config.control = match value.text()? {
                        "" => None,
                        _ => Some(path(value)?),
                    };
                    Ok(())
                },
            },
            Setting {
                key: "workers",
                what: "number",
                default: "0",
                means: "Worker threads; 0 is one for each processor.",
                apply: |config, value| {
                    config.workers = value.number(0, 256)? as usize;
                    Ok(())
                },
            },
        ],
    },
    Section {
        name: "log",
        about: "What is logged, on standard error",
        settings: &[
            Setting {
                key: "level",
                what: "off, error, warn, info, debug or trace",
                default: "\"info\"",
                means: "From which level on. RINGWAY_LOG goes before it, and -v adds to it.",
                apply: |config, value| {
                    config.log.level = value.one_of(&log::LEVELS)?;
                    Ok(())
                },
            },
            Setting {
                key: "format",
                what: "text or json",
                default: "\"text\"",
                means: "How a line looks: for people, or one JSON object a line.",
                apply: |config, value| {
                    let forms = [("text", log::Form::Text), ("json", log::Form::Json)];
                    config.log.form = value.one_of(&forms)?;
                    Ok(())
                },
            },
        ],
    },
    Section {
        name: "registrar",
        about: "Registrations",
        settings: &[
            Setting {
                key: "expires_min",
                what: "time",
                default: "\"1m\"",
                means: "The shortest registration; who asks for less gets 423 (RFC 3261 10.3).",
                apply: |config, value| {
                    config.settings.expires_min_s = seconds(value, 1, 3_600)?;
                    Ok(())
                },
            },
            Setting {
                key: "expires_default",
                what: "time",
                default: "\"1h\"",
                means: "How long a registration lasts where the phone does not say.",
                apply: |config, value| {
                    config.settings.expires_default_s = seconds(value, 1, 86_400)?;
                    Ok(())
                },
            },
            Setting {
                key: "expires_max",
                what: "time",
                default: "\"1h\"",
                means: "The longest registration; longer wishes are shortened.",
                apply: |config, value| {
                    config.settings.expires_max_s = seconds(value, 60, 86_400)?;
                    Ok(())
                },
            },
            Setting {
                key: "expires_spread",
                what: "number",
                default: "10",
                means: "Up to so many percent, chosen at random, are taken off the time of each \
                        registration, so that phones that came together do not come back together.",
                apply: |config, value| {
                    config.settings.expires_spread_percent = value.number(0, 50)? as u32;
                    Ok(())
                },
            },
            Setting {
                key: "contacts_per_account",
                what: "number",
                default: "16",
                means: "Phones that one account may have registered at the same time.",
                apply: |config, value| {
                    config.settings.contacts_per_aor = value.number(1, 32)? as usize;
                    Ok(())
                },
            },
            Setting {
                key: "flow_timer",
                what: "time",
                default: "\"2m\"",
                means: "After so much silence a phone that knows RFC 5626 sends a keep-alive over \
                        its connection, which is closed when nothing came for 20 s more; 0 lets \
                        the phone choose. It is not said to phones that use UDP.",
                apply: |config, value| {
                    config.settings.flow_timer_s = seconds(value, 0, 3_600)?;
                    Ok(())
                },
            },
            Setting {
                key: "nat_ping",
                what: "time",
                default: "\"25s\"",
                means: "How often a phone that uses UDP from behind address translation and sends \
                        no keep-alives gets an OPTIONS that keeps the way to it open; 0: never.",
                apply: |config, value| {
                    config.settings.nat_ping_s = seconds(value, 0, 3_600)?;
                    Ok(())
                },
            },
            Setting {
                key: "service_route",
                what: "true or false",
                default: "false",
                means: "Whether phones are told to send all their requests through this server, \
                        also those for other domains (RFC 3608).",
                apply: |config, value| {
                    config.settings.service_route = value.boolean()?;
                    Ok(())
                },
            },
        ],
    },
    Section {
        name: "auth",
        about: "Passwords",
        settings: &[Setting {
            key: "algorithms",
            what: "list of SHA-256, SHA-512-256 and MD5",
            default: "[\"MD5\"]",
            means: "The digest challenges that are sent, the preferred one first (RFC 8760 2.3). \
                    Some phones cannot log in where they see a SHA-256 challenge, even with MD5 \
                    beside it; where all yours can, put \"SHA-256\" first.",
            apply: |config, value| {
                config.settings.algorithms = each(value, |value| {
                    let all = [Algorithm::Sha256, Algorithm::Sha512_256, Algorithm::Md5];
                    value.one_of(&all.map(|algorithm| (algorithm.token(), algorithm)))
                })?;
                if config.settings.algorithms.is_empty() {
                    return Err(value.wrong("without one nobody could ever log in").into());
                }
                Ok(())
            },
        }],
    },
    Section {
        name: "routing",
        about: "Where calls go",
        settings: &[
            Setting {
                key: "ring",
                what: "time",
                default: "\"1m\"",
                means: "How long phones of one preference ring before those of the next are tried.",
                apply: |config, value| {
                    config.settings.ring_s = seconds(value, 1, 3 * 60)?;
                    Ok(())
                },
            },
            Setting {
                key: "follow_redirects",
                what: "true or false",
                default: "false",
                means: "Whether the server itself asks where a phone says to ask (301, 302), if \
                        that is a user of ours; else the caller is told, as always for others.",
                apply: |config, value| {
                    config.settings.follow_redirects = value.boolean()?;
                    Ok(())
                },
            },
            Setting {
                key: "reach",
                what: "list of ADDRESS or ADDRESS/PREFIX",
                default: "[]",
                means: "Loopback, link-local and cloud metadata addresses, and multicast, that \
                        calls may go to all the same when somebody names them, or a name leads \
                        there. The networks of peers are always among them; those of private \
                        networks (10.0.0.0/8 and the like) need not be.",
                apply: |config, value| {
                    config.settings.reach = each(value, network)?;
                    Ok(())
                },
            },
        ],
    },
    Section {
        name: "dns",
        about: "How names are looked up",
        settings: &[Setting {
            key: "servers",
            what: "list of ADDRESS or ADDRESS:PORT",
            default: "[]",
            means: "Name servers to ask. Without one, those of /etc/resolv.conf are asked, and \
                    /etc/hosts counts, too, as both were at the start. Names are whole names: a \
                    search list is not used.",
            apply: |config, value| {
                config.dns = each(value, name_server)?;
                Ok(())
            },
        }],
    },
    TLS,
    WEBSOCKET,
    Section {
        name: "streams",
        about: "Connections over TCP, TLS and WebSocket",
        settings: &[
            Setting {
                key: "proxy_protocol_from",
                what: "list of ADDRESS or ADDRESS/PREFIX",
                default: "[]",
                means: "Load balancers before us. Their connections must begin with a PROXY \
                        header, version 1 or 2, that says who is behind them; from all others \
                        it is no SIP. Datagrams cannot carry one.",
                apply: |config, value| {
                    config.balancers = each(value, network)?;
                    Ok(())
                },
            },
            Setting {
                key: "connections",
                what: "number",
                default: "100000",
                means: "Connections in all; never more than four fifths of the descriptors that \
                        the system allows. When there is no room, the oldest of those leaves that \
                        have not shown who they are.",
                apply: |config, value| {
                    config.streams.connections = value.number(1, 10_000_000)? as usize;
                    Ok(())
                },
            },
            Setting {
                key: "connections_per_address",
                what: "number",
                default: "2000",
                means: "Connections from one address; a whole office may be behind it.",
                apply: |config, value| {
                    config.streams.connections_per_address = value.number(1, 10_000_000)? as usize;
                    Ok(())
                },
            },
            Setting {
                key: "idle",
                what: "time",
                default: "\"10m\"",
                means: "A connection on which nothing at all arrives for so long is closed.",
                apply: |config, value| {
                    config.streams.idle = value.duration(32, 86_400)?;
                    Ok(())
                },
            },
            Setting {
                key: "partial",
                what: "time",
                default: "\"30s\"",
                means: "A message that began must be complete by then.",
                apply: |config, value| {
                    config.streams.partial = value.duration(1, 3_600)?;
                    Ok(())
                },
            },
        ],
    },
    TRACE,
    HEP,
];

/// Reads every value of a list; the error is all that is wrong in it.
pub(crate) fn each<T>(
    value: &Value<'_>,
    read: impl Fn(&Value<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Vec<Problem>> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for value in value.list()? {
        match read(&value) {
            Ok(read) => good.push(read),
            Err(problem) => wrong.push(problem),
        }
    }
    if wrong.is_empty() { Ok(good) } else { Err(wrong) }
}

fn seconds(value: &Value<'_>, least_s: u64, most_s: u64) -> Result<u32, Problem> {
    // The most is a week or less.
    Ok(value.duration(least_s, most_s)?.as_secs() as u32)
}

/// A path that means the same to whoever reads it, wherever it stands.
pub(super) fn path(value: &Value<'_>) -> Result<PathBuf, Problem> {
    let text = value.text()?;
    if Path::new(text).is_absolute() {
        return Ok(text.into());
    }
    Err(value.wrong("a whole path is needed, beginning with /"))
}
