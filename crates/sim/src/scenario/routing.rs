//! Statements about where requests go: how domains are served, and routes.

use crate::scenario::script::Step;
use crate::scenario::stage::Stage;
use ringway_core::route::rules::{Action, Redirection, Route, Service, Upstream};

impl Stage {
    /// `domain D [redirect=302] [stateless]`.
    pub(crate) fn serve(&mut self, domain: &str, step: &Step) -> Result<(), String> {
        self.add_domain(domain);
        let service = match step.option("redirect") {
            Some(status) => Some(Service::Redirect(redirection(status)?)),
            None => step.says("stateless").then_some(Service::Stateless),
        };
        if let Some(service) = service {
            self.snapshot.services.insert(domain.as_bytes().into(), service);
            self.publish();
        }
        Ok(())
    }

    /// `route NAME [domain=] [prefix=] [methods=]` and then `to=PEER,…`, `redirect=302
    /// contacts=URI,…` or `refuse`; and `stateless`, with `to=` or without.
    pub(crate) fn route(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let bytes = |name| step.option(name).map(|text| text.as_bytes().into());
        let list = |name| step.option(name).into_iter().flat_map(|text| text.split(','));
        let action = if step.says("refuse") {
            Action::Refuse
        } else if let Some(status) = step.option("redirect") {
            // What the server itself fills in stays.
            let fill = |uri: &str| {
                let parts = uri.split("{user}").map(|part| self.fill(part));
                Ok(parts.collect::<Result<Vec<_>, String>>()?.join("{user}").into_bytes().into())
            };
            let contacts = list("contacts").map(fill).collect::<Result<_, String>>()?;
            Action::Redirect(redirection(status)?, contacts)
        } else if step.says("stateless") && step.option("to").is_none() {
            Action::Onward
        } else {
            let upstream = |name: &str| {
                let peer = self.snapshot.peers.iter().find(|peer| peer.name == name);
                peer.and_then(Upstream::of).ok_or_else(|| format!("there is no peer `{name}`"))
            };
            Action::Forward(list("to").map(upstream).collect::<Result<_, _>>()?)
        };
        self.snapshot.routes.push(Route {
            name: name.to_owned(),
            domain: bytes("domain"),
            prefix: bytes("prefix").unwrap_or_default(),
            methods: list("methods").map(|method| method.as_bytes().into()).collect(),
            action,
            stateless: step.says("stateless"),
        });
        self.publish();
        Ok(())
    }
}

fn redirection(status: &str) -> Result<Redirection, String> {
    let found = status.parse().ok().and_then(Redirection::of_status);
    found.ok_or_else(|| format!("`{status}` is no redirection"))
}
