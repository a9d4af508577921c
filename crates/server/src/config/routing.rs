//! `[[domain]]` and `[[route]]`: how domains are served, and where requests go that are for none
//! of our users.

use super::address::domain;
use super::problem::Problem;
use super::settings::{Section, Setting, each};
use super::value::Value;
use ringway_core::route::rules::{Action, Redirection, Route, Service, Upstream};
use ringway_core::snapshot::{Peer, Snapshot};
use ringway_wire::Uri;
use std::ops::Range;

/// How domains are served, and where other requests go; what a snapshot needs of it.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// The domains that are not served in the usual way.
    pub services: Vec<(String, Service)>,
    /// Where requests go that are for none of our users.
    pub routes: Vec<Route>,
}

impl Routing {
    /// Puts it into a snapshot.
    pub fn apply(&self, snapshot: &mut Snapshot) {
        let bytes = |domain: &String| domain.as_bytes().into();
        snapshot.services = self.services.iter().map(|(name, as_)| (bytes(name), *as_)).collect();
        snapshot.routes.clone_from(&self.routes);
    }
}

/// A domain as the file has it.
#[derive(Debug, Default)]
pub struct DomainText {
    pub(crate) name: String,
    mode: Mode,
    status: Option<Redirection>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Mode {
    #[default]
    Proxy,
    Stateless,
    Redirect,
}

impl DomainText {
    pub(crate) const fn service(&self) -> Service {
        match (self.mode, self.status) {
            (Mode::Redirect, None) => Service::Redirect(Redirection::Temporary),
            (Mode::Redirect, Some(how)) => Service::Redirect(how),
            (Mode::Stateless, _) => Service::Stateless,
            (Mode::Proxy, _) => Service::Proxy,
        }
    }
}

/// A route as the file has it.
#[derive(Debug, Default)]
pub struct RouteText {
    pub(crate) name: String,
    domain: Option<String>,
    prefix: String,
    methods: Vec<String>,
    to: Vec<(String, Range<usize>)>,
    redirect: Option<Redirection>,
    contacts: Vec<String>,
    refuse: bool,
    stateless: bool,
}

/// One domain of ours.
pub static DOMAIN: Section<DomainText> = Section {
    name: "domain",
    about: "A domain that is served, and how: write [[domain]] once for each",
    settings: &[
        Setting {
            key: "name",
            what: "domain",
            default: "",
            means: "The domain, as in server.domains.",
            apply: |text, value| {
                text.name = domain(value)?;
                Ok(())
            },
        },
        Setting {
            key: "mode",
            what: "proxy, stateless or redirect",
            default: "\"proxy\"",
            means: "proxy: requests are forwarded to the phones of a user. stateless: what peers \
                    send is forwarded without state (RFC 3261 16.11), to one of the phones that \
                    are preferred most, chosen by the Call-ID; others are served as by proxy. \
                    redirect: who asks is told their contacts and asks there (RFC 3261 8.3).",
            apply: |text, value| {
                let modes = [
                    ("proxy", Mode::Proxy),
                    ("stateless", Mode::Stateless),
                    ("redirect", Mode::Redirect),
                ];
                text.mode = value.one_of(&modes)?;
                Ok(())
            },
        },
        Setting {
            key: "redirect",
            what: "301, 302 or 380",
            default: "302",
            means: "The answer of a domain that redirects.",
            apply: |text, value| {
                let status = redirection(value)?.filter(|how| *how != Redirection::UseProxy);
                let wrong = || value.wrong("possible are 301, 302, 380");
                text.status = Some(status.ok_or_else(wrong)?);
                Ok(())
            },
        },
    ],
};

/// One route.
pub static ROUTE: Section<RouteText> = Section {
    name: "route",
    about: "Where requests go that are for none of our users: write [[route]] once for each. Of \
            those that fit, the longest prefix counts, then who names a domain, then who names \
            a method, then the first. Without any, a foreign domain is looked up, and an unknown \
            user of ours is 404. Each route says one of to, redirect and refuse, or is stateless",
    settings: &[
        Setting {
            key: "name",
            what: "text",
            default: "",
            means: "What it is called in explanations.",
            apply: |text, value| {
                text.name = plain_name(value)?;
                Ok(())
            },
        },
        Setting {
            key: "domain",
            what: "domain",
            default: "\"\"",
            means: "Only for this domain, ours or not.",
            apply: |text, value| {
                text.domain = match value.text()? {
                    "" => None,
                    _ => Some(domain(value)?),
                };
                Ok(())
            },
        },
        Setting {
            key: "prefix",
            what: "text",
            default: "\"\"",
            means: "Only for users that begin like this: \"+44\" for a country.",
            apply: |text, value| {
                let prefix = value.text()?;
                if prefix.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'@') {
                    return Err(value.wrong("this is the beginning of no user").into());
                }
                text.prefix = prefix.to_owned();
                Ok(())
            },
        },
        Setting {
            key: "methods",
            what: "list of methods",
            default: "[]",
            means: "Only for these methods, as [\"MESSAGE\"]; all if there are none.",
            apply: |text, value| {
                text.methods = each(value, |value| {
                    let method = value.text()?;
                    let fits = |b: u8| b.is_ascii_uppercase();
                    match !method.is_empty() && method.bytes().all(fits) {
                        true => Ok(method.to_owned()),
                        false => Err(value.wrong("a method is written in capitals: \"INVITE\"")),
                    }
                })?;
                Ok(())
            },
        },
        Setting {
            key: "to",
            what: "list of peers",
            default: "[]",
            means: "The peers that get the request: the first one, and the next only if nobody \
                    can be reached there or it answers 5xx. A name or number of our own domains \
                    becomes one of the peer's; the URI of another domain stays as it is.",
            apply: |text, value| {
                text.to = each(value, |value| Ok((value.text()?.to_owned(), value.span())))?;
                Ok(())
            },
        },
        Setting {
            key: "mode",
            what: "stateful or stateless",
            default: "\"stateful\"",
            means: "stateless: what peers send is forwarded without state (RFC 3261 16.11): \
                    nothing is sent again, forked or tried elsewhere. Of several peers in to the \
                    Call-ID chooses one; without to a request goes where its own URI leads. \
                    Others are served with state.",
            apply: |text, value| {
                text.stateless = value.one_of(&[("stateful", false), ("stateless", true)])?;
                Ok(())
            },
        },
        Setting {
            key: "redirect",
            what: "301, 302, 305 or 380",
            default: "0",
            means: "Who asks is told to ask at the contacts instead; 0 is no.",
            apply: |text, value| {
                let none = value.number(0, u64::from(u16::MAX))? == 0;
                let wrong = || value.wrong("possible are 301, 302, 305, 380");
                text.redirect = redirection(value)?;
                if none || text.redirect.is_some() { Ok(()) } else { Err(wrong().into()) }
            },
        },
        Setting {
            key: "contacts",
            what: "list of URIs",
            default: "[]",
            means: "Where to ask, for a redirect; {user} in it is the user asked for.",
            apply: |text, value| {
                text.contacts = each(value, contact)?;
                Ok(())
            },
        },
        Setting {
            key: "refuse",
            what: "true or false",
            default: "false",
            means: "Whether the request is refused with 403.",
            apply: |text, value| {
                text.refuse = value.boolean()?;
                Ok(())
            },
        },
    ],
};

/// A name for logs and explanations.
pub(crate) fn plain_name(value: &Value<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    match !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(value.wrong("a name of letters, digits, - _ . is needed")),
    }
}

/// The SIP URI of a server, `sip:` in front or not.
pub(crate) fn sip_address(value: &Value<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let has_scheme = ["sip:", "sips:"].iter().any(|scheme| text.starts_with(scheme));
    let uri = if has_scheme { text.to_owned() } else { format!("sip:{text}") };
    match Uri::parse(uri.as_bytes()) {
        Ok(Uri::Sip(sip)) if sip.user.is_none() && sip.headers.is_empty() => Ok(uri),
        _ => Err(value.wrong("a server is written like \"sip:gw.example.com;transport=tls\"")),
    }
}

fn redirection(value: &Value<'_>) -> Result<Option<Redirection>, Problem> {
    let status = value.number(0, u64::from(u16::MAX))?;
    Ok(u16::try_from(status).ok().and_then(Redirection::of_status))
}

fn contact(value: &Value<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let filled = text.replace("{user}", "u");
    let is_uri = Uri::parse(filled.as_bytes()).is_ok() && !filled.contains(['<', '>', ' ']);
    if is_uri {
        Ok(text.to_owned())
    } else {
        Err(value.wrong("a URI like \"sip:{user}@example.org\""))
    }
}

impl RouteText {
    /// The route, `at` its place in the file; `peers` are all that there are.
    pub(crate) fn into_route(self, at: Range<usize>, peers: &[Peer]) -> Result<Route, Problem> {
        let wrong = |message: String, label: &str| Problem::value(at.clone(), message, label);
        let name = &self.name;
        let says = [!self.to.is_empty(), self.redirect.is_some(), self.refuse]
            .iter()
            .filter(|s| **s)
            .count();
        if self.stateless && (self.redirect.is_some() || self.refuse) {
            let message = format!("route \"{name}\" forwards nothing, with state or without");
            return Err(wrong(message, "leave out mode, or redirect and refuse"));
        }
        if says > 1 || says == 0 && !self.stateless {
            let message = format!("route \"{name}\" does not say what to do");
            return Err(wrong(message, "give it one of to, redirect and refuse"));
        }
        let action = match self.redirect {
            Some(_) if self.contacts.is_empty() => {
                let message = format!("route \"{name}\" redirects to nowhere");
                return Err(wrong(message, "give it contacts"));
            }
            Some(how) => {
                let contacts = self.contacts.iter().map(|uri| uri.as_bytes().into());
                Action::Redirect(how, contacts.collect())
            }
            None if self.refuse => Action::Refuse,
            None if self.to.is_empty() => Action::Onward,
            None => Action::Forward(
                self.to
                    .iter()
                    .map(|(peer, at)| upstream(peer, at, peers))
                    .collect::<Result<_, _>>()?,
            ),
        };
        let bytes = |text: &String| text.as_bytes().into();
        Ok(Route {
            domain: self.domain.as_ref().map(bytes),
            prefix: bytes(&self.prefix),
            methods: self.methods.iter().map(bytes).collect(),
            action,
            stateless: self.stateless,
            name: self.name,
        })
    }
}

fn upstream(name: &str, at: &Range<usize>, peers: &[Peer]) -> Result<Upstream, Problem> {
    let Some(peer) = peers.iter().find(|peer| peer.name == name) else {
        let known: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
        let message = format!("there is no peer \"{name}\"");
        return Err(match known.is_empty() {
            true => Problem::value(at.clone(), message, "write a [[peer]] of this name"),
            false => Problem::unknown(at.clone(), message, name, &known),
        });
    };
    Upstream::of(peer).ok_or_else(|| {
        let message = format!("peer \"{name}\" has no address to send to");
        Problem::value(at.clone(), message, "give the [[peer]] an address")
    })
}

#[cfg(test)]
mod tests;
