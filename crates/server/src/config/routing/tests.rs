use crate::config::{Config, parse};
use ringway_core::route::rules::{Action, Redirection, Route, Service};
use ringway_core::snapshot::Snapshot;
use std::path::Path;

const PEERS: &str = "[[peer]]\nname = \"gw\"\nnetworks = [\"192.0.2.9\"]\n\
                     address = \"gw.example.com:5070;transport=tcp\"\n\
                     [[peer]]\nname = \"mute\"\nnetworks = [\"192.0.2.8\"]\n";

fn read(text: &str) -> Result<Config, String> {
    parse(Path::new("r.toml"), text).map_err(|invalid| invalid.to_string())
}

#[test]
fn domains_and_routes_are_read() {
    let text = format!(
        "{PEERS}[server]\ndomains = [\"a.example\"]\n\
         [[domain]]\nname = \"B.example.\"\nmode = \"redirect\"\nredirect = 301\n\
         [[domain]]\nname = \"c.example\"\nmode = \"redirect\"\n\
         [[domain]]\nname = \"a.example\"\n\
         [[route]]\nname = \"numbers\"\nprefix = \"+\"\nto = [\"gw\"]\n\
         [[route]]\nname = \"no\"\ndomain = \"X.example\"\nmethods = [\"MESSAGE\"]\n\
         refuse = true\n\
         [[route]]\nname = \"moved\"\nredirect = 302\ncontacts = [\"sip:{{user}}@y.example\"]\n\
         [[domain]]\nname = \"d.example\"\nmode = \"stateless\"\n\
         [[route]]\nname = \"one\"\nmode = \"stateless\"\nto = [\"gw\"]\n\
         [[route]]\nname = \"on\"\nmode = \"stateless\"\n"
    );
    let config = read(&text).expect("valid");
    assert_eq!(config.domains, ["a.example", "b.example", "c.example", "d.example"]);
    let mut snapshot = Snapshot::default();
    config.routing.apply(&mut snapshot);
    for (domain, service) in [
        ("a.example", Service::Proxy),
        ("b.example", Service::Redirect(Redirection::Permanent)),
        ("c.example", Service::Redirect(Redirection::Temporary)),
        ("d.example", Service::Stateless),
        ("other.example", Service::Proxy),
    ] {
        assert_eq!(snapshot.service(domain.as_bytes()), service, "{domain}");
    }
    let [Route { action: Action::Forward(to), prefix, stateless, .. }, no, moved, one, on] =
        &*snapshot.routes
    else {
        panic!("{:?}", snapshot.routes)
    };
    assert!(!stateless && !no.stateless && one.stateless && on.stateless);
    assert_eq!((&one.action, &on.action), (&Action::Forward(to.clone()), &Action::Onward));
    assert_eq!((&*to[0].peer, &**prefix), ("gw", &b"+"[..]));
    assert_eq!(&*to[0].address, b"sip:gw.example.com:5070;transport=tcp");
    assert_eq!(no.domain.as_deref(), Some(&b"x.example"[..]));
    assert_eq!((&no.action, no.methods.len()), (&Action::Refuse, 1));
    let contacts = vec![b"sip:{user}@y.example".as_slice().into()];
    assert_eq!(moved.action, Action::Redirect(Redirection::Temporary, contacts));
}

#[test]
fn what_is_wrong_with_a_route_is_said_where_it_stands() {
    for (route, place, told) in [
        ("to = [\"gv\"]", "12:7", "there is no peer \"gv\""),
        ("to = [\"gv\"]", "12:7", "did you mean \"gw\"?"),
        ("to = [\"mute\"]", "12:7", "has no address to send to"),
        ("refuse = false", "11:1", "give it one of to, redirect and refuse"),
        ("refuse = true\nto = [\"gw\"]", "11:1", "give it one of to, redirect and refuse"),
        ("mode = \"stateful\"", "11:1", "give it one of to, redirect and refuse"),
        ("mode = \"stateless\"\nrefuse = true", "11:1", "forwards nothing, with state or without"),
        ("mode = \"statless\"", "12:8", "did you mean \"stateless\"?"),
        ("redirect = 302", "11:1", "give it contacts"),
        ("redirect = 303", "12:12", "possible are 301, 302, 305, 380"),
        ("redirect = 301\ncontacts = [\"x y\"]", "13:13", "a URI like"),
        ("methods = [\"invite\"]", "12:12", "a method is written in capitals"),
        ("prefix = \"a b\"", "12:10", "this is the beginning of no user"),
        ("too = [\"gw\"]", "12:1", "did you mean \"to\"?"),
    ] {
        let text = format!("{PEERS}\n\n[[route]]\nname = \"r\"\n{route}\n");
        let said = read(&text).expect_err(route);
        assert!(said.contains(told), "{route}: {said}");
        assert!(said.contains(&format!(" ┌─ r.toml:{place}\n")), "{route}: {said}");
    }
    let alone = "[[route]]\nname = \"r\"\nto = [\"gw\"]\n";
    assert!(read(alone).expect_err("no peer").contains("write a [[peer]] of this name"));
    for (text, told) in [
        ("[[rout]]\nname = \"r\"", "did you mean \"route\"?"),
        ("[[domain]]\nmode = \"proxy\"", "a domain without \"name\""),
        ("[[domain]]\nname = \"a.example\"\nmode = \"redirekt\"", "did you mean \"redirect\"?"),
        ("[[domain]]\nname = \"a.example\"\nredirect = 305", "possible are 301, 302, 380"),
        (
            "[[domain]]\nname = \"a.example\"\n[[domain]]\nname = \"A.example\"",
            "two domains are called \"a.example\"",
        ),
        (
            "[[peer]]\nname = \"p\"\nnetworks = [\"::1\"]\naddress = \"sip:x@gw\"",
            "a server is written like",
        ),
    ] {
        let said = read(text).expect_err(text);
        assert!(said.contains(told), "{text}: {said}");
    }
    let twice = "[[route]]\nname = \"r\"\nrefuse = true\n".repeat(2);
    assert!(read(&twice).expect_err("two").contains("two routes are called \"r\""));
}
