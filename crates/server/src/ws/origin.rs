//! G10: which pages may open a WebSocket. A browser tells the origin of the page, and nothing
//! else keeps a page of somebody else from talking to a server inside the house.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The origins that are allowed.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    any: bool,
    /// Whole origins, in lower case: `https://phone.example.org`.
    listed: Vec<String>,
}

/// Where a page connects to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Over TLS: our certificate vouches for the name in `Host`.
    pub(crate) secure: bool,
    /// Our side of the connection.
    pub(crate) local: Option<IpAddr>,
    /// The domains we serve now.
    pub(crate) domains: &'a BTreeSet<Box<[u8]>>,
}

impl Origins {
    /// `listed` are the origins that the configuration allows, `*` all of them.
    pub fn new(listed: &[String]) -> Self {
        Self {
            any: listed.iter().any(|origin| origin == "*"),
            listed: listed.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether a page of `origin` may connect to `host`, as its HTTP request names it.
    pub(crate) fn allow(&self, origin: &str, host: &str, place: &Place<'_>) -> bool {
        let origin = origin.trim().to_ascii_lowercase();
        if self.any || self.listed.contains(&origin) {
            return true;
        }
        let Some(page) = host_of(&origin) else { return false };
        let bare = page.trim_matches(['[', ']']);
        let own = place.domains.contains(bare.as_bytes());
        let address = bare.parse::<IpAddr>().ok();
        let local = address.is_some() && address == place.local;
        let at_home = page == "localhost" && place.local.is_some_and(|ip| ip.is_loopback());
        // Without TLS a name may lead here that is not ours (DNS rebinding).
        let same = place.secure && host_of(&format!("https://{host}")) == Some(page);
        own || local || at_home || same
    }
}

/// The host in `http://host:port` or `https://host`.
fn host_of(origin: &str) -> Option<&str> {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))?;
    if let Some(end) = rest.find(']') {
        return rest.starts_with('[').then(|| &rest[..=end]);
    }
    rest.split([':', '/']).next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g10_only_pages_of_ours_may_connect() {
        let origins = Origins::new(&["https://Phone.example.net:8080".into()]);
        let domains = [(*b"example.org").into(), (*b"2001:db8::9").into()].into();
        let at = |secure, local: &str| Place {
            secure,
            local: Some(local.parse().expect("an address")),
            domains: &domains,
        };
        for (origin, host, place, allowed) in [
            ("https://phone.example.net:8080", "x", at(true, "192.0.2.1"), true),
            ("https://phone.example.net", "x", at(true, "192.0.2.1"), false),
            ("https://example.org", "x", at(false, "192.0.2.1"), true),
            ("http://example.org:3000", "x", at(false, "192.0.2.1"), true),
            ("https://[2001:db8::9]", "x", at(false, "192.0.2.1"), true),
            ("https://example.org.evil.net", "x", at(true, "192.0.2.1"), false),
            ("https://evil.net", "sip.example.org", at(true, "192.0.2.1"), false),
            ("https://sip.example.org", "sip.example.org:8443", at(true, "192.0.2.1"), true),
            // DNS rebinding: the name in Host is whatever the page says.
            ("http://evil.net", "evil.net", at(false, "192.0.2.1"), false),
            ("http://192.0.2.1:8000", "192.0.2.1", at(false, "192.0.2.1"), true),
            ("http://192.0.2.2", "192.0.2.1", at(false, "192.0.2.1"), false),
            ("http://[::1]:8000", "[::1]", at(false, "::1"), true),
            ("http://localhost:8000", "localhost:5066", at(false, "127.0.0.1"), true),
            ("http://localhost:8000", "localhost:5066", at(false, "192.0.2.1"), false),
            ("null", "example.org", at(true, "192.0.2.1"), false),
            ("", "example.org", at(true, "192.0.2.1"), false),
            ("file://", "example.org", at(true, "192.0.2.1"), false),
        ] {
            assert_eq!(origins.allow(origin, host, &place), allowed, "{origin} to {host}");
        }
        let any = Origins::new(&["*".into()]);
        assert!(any.allow("null", "x", &at(false, "192.0.2.1")));
    }
}
