//! Every setting, defined once: what it is called, what it takes, what it is without being
//! given, what it means, and how it is applied. The reference (docs/configuration.md) and the
//! example file are printed from here.

use super::Config;
use super::problem::Problem;
use super::value::Value;
use crate::listen::Endpoint;
use crate::log;
use ringway_core::flow::Transport;
use ringway_core::snapshot::{Algorithm, Peer};
use std::fmt::Write;
use std::net::IpAddr;

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
                default: "[\"udp:*:5060\", \"tcp:*:5060\"]",
                means: "Where to listen. TRANSPORT is udp or tcp; ADDRESS is an address, IPv6 in \
                        [brackets], or * for all of this machine in both families; 0.0.0.0 and \
                        [::] are all of one family.",
                apply: |config, value| {
                    config.listen = each(value, endpoint)?;
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
                        text => Some(address(value, text)?),
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
                    config.data = match value.text()? {
                        "" => return Err(value.wrong("the name of a folder is needed").into()),
                        text => text.into(),
                    };
                    Ok(())
                },
            },
            Setting {
                key: "control",
                what: "path",
                default: "\"\"",
                means: "The control socket, through which commands reach the server that runs. \
                        By default ringway.sock in the data folder.",
                apply: |config, value| {
                    config.control = Some(value.text()?).filter(|p| !p.is_empty()).map(Into::into);
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
                    config.settings.expires_default_s = seconds(value, 1, 604_800)?;
                    Ok(())
                },
            },
            Setting {
                key: "expires_max",
                what: "time",
                default: "\"2h\"",
                means: "The longest registration; longer wishes are shortened.",
                apply: |config, value| {
                    config.settings.expires_max_s = seconds(value, 60, 604_800)?;
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
        settings: &[Setting {
            key: "ring",
            what: "time",
            default: "\"1m\"",
            means: "How long phones of one preference ring before those of the next are tried.",
            apply: |config, value| {
                config.settings.ring_s = seconds(value, 1, 3 * 60)?;
                Ok(())
            },
        }],
    },
    Section {
        name: "streams",
        about: "TCP connections",
        settings: &[
            Setting {
                key: "connections",
                what: "number",
                default: "100000",
                means: "Connections in all.",
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
];

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
                peer.name = match value.text()? {
                    "" => return Err(value.wrong("a name is needed").into()),
                    text => text.to_owned(),
                };
                Ok(())
            },
        },
        Setting {
            key: "networks",
            what: "list of ADDRESS or ADDRESS/PREFIX",
            default: "",
            means: "Where its requests come from. Over UDP a source address can be forged: use \
                    networks that nobody else can send from.",
            apply: |peer, value| {
                peer.networks = each(value, network)?;
                if peer.networks.is_empty() {
                    return Err(value.wrong("a peer without a network is nobody").into());
                }
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
    ],
};

pub(crate) const fn empty_peer() -> Peer {
    Peer { name: String::new(), networks: Vec::new(), may_register: false }
}

/// An example file: every setting with what it means and its default, which is not needed.
pub fn example() -> String {
    let mut text = String::from(
        "# The configuration of Ringway. What is commented out is as it would be anyway.\n",
    );
    for section in SECTIONS {
        put_example(&mut text, &format!("[{}]", section.name), section);
    }
    put_example(&mut text, "#[[peer]]", &PEER);
    text
}

fn put_example<T>(text: &mut String, title: &str, section: &Section<T>) {
    // Writing to memory cannot fail.
    text.push('\n');
    for line in wrapped(section.about, 76) {
        let _ = writeln!(text, "# {line}");
    }
    let _ = writeln!(text, "{title}");
    for setting in section.settings {
        for line in wrapped(setting.means, 76) {
            let _ = writeln!(text, "# {line}");
        }
        let default = if setting.default.is_empty() { "..." } else { setting.default };
        let _ = writeln!(text, "#{} = {default}", setting.key);
    }
}

/// The reference as Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        put_reference(&mut text, &format!("[{}]", section.name), section);
    }
    put_reference(&mut text, "[[peer]]", &PEER);
    text
}

fn put_reference<T>(text: &mut String, title: &str, section: &Section<T>) {
    let _ = write!(text, "## {title}\n{}.\n\n", section.about);
    text.push_str("| setting | takes | default | meaning |\n|---|---|---|---|\n");
    for Setting { key, what, default, means, .. } in section.settings {
        let default = if default.is_empty() { "must be given" } else { &format!("`{default}`") };
        let _ = writeln!(text, "| `{key}` | {what} | {default} | {means} |");
    }
    text.push('\n');
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + word.len() >= width {
            lines.push(word.to_owned());
        } else {
            let gap = if lines[last].is_empty() { "" } else { " " };
            lines[last] = format!("{}{gap}{word}", lines[last]);
        }
    }
    lines
}

/// Reads every value of a list; the error is all that is wrong in it.
fn each<T>(
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

fn domain(value: &Value<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(value.wrong("a domain is a name like example.org, or an address"))
}

fn address(value: &Value<'_>, text: &str) -> Result<IpAddr, Problem> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| value.wrong("an address like 192.0.2.1 or 2001:db8::1 is needed"))
}

fn endpoint(value: &Value<'_>) -> Result<Endpoint, Problem> {
    let text = value.text()?;
    let (name, rest) = text.split_once(':').unwrap_or(("", text));
    let transport = match name.to_ascii_lowercase().as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        _ => return Err(value.wrong("it begins with udp: or tcp:, like \"udp:*:5060\"")),
    };
    let Some((host, port)) = rest.rsplit_once(':') else {
        return Err(value.wrong("a port is missing, like \"udp:*:5060\""));
    };
    let port = port.parse().map_err(|_| value.wrong("a port is a number from 0 to 65535"))?;
    let address = match host {
        "*" => None,
        host if host.starts_with('[') == host.contains(':') => Some(address(value, host)?),
        _ => return Err(value.wrong("an IPv6 address stands in [brackets]: \"udp:[::1]:5060\"")),
    };
    Ok(Endpoint { transport, address, port })
}

fn network(value: &Value<'_>) -> Result<(IpAddr, u8), Problem> {
    let text = value.text()?;
    let (host, prefix) = text.split_once('/').map_or((text, None), |(h, p)| (h, Some(p)));
    let ip = address(value, host)?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => Some(most),
        Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= most),
    };
    let wrong = || value.wrong(format!("the prefix after / is a number from 0 to {most}"));
    Ok((ip, prefix.ok_or_else(wrong)?))
}
