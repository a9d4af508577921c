use super::problem::Invalid;
use super::settings::{example, reference};
use super::{Config, parse};
use crate::listen::Endpoint;
use ringway_core::flow::Transport;
use ringway_core::snapshot::Algorithm;
use std::path::Path;
use std::time::Duration;

fn good(text: &str) -> Config {
    parse(Path::new("r.toml"), text).unwrap_or_else(|invalid| panic!("{invalid}"))
}

fn bad(text: &str) -> Invalid {
    parse(Path::new("r.toml"), text).expect_err("not valid")
}

#[test]
fn everything_can_be_said() {
    let config = good(
        r#"
        [server]
        domains = ["Example.ORG", "192.0.2.1", "pbx.acme.vn."]
        listen = ["udp:*:5060", "TCP:[::1]:5070", "udp:192.0.2.1:0"]
        advertise = "203.0.113.7"
        data = "/srv/ringway"
        control = "/run/ringway.sock"
        workers = 4
        [log]
        level = "WARN"
        format = "json"
        [registrar]
        expires_min = "30s"
        expires_default = "10m"
        expires_max = "1d"
        contacts_per_account = 3
        [auth]
        algorithms = ["sha-512-256", "MD5"]
        [routing]
        ring = "20s"
        [streams]
        connections = 10
        connections_per_address = 5
        idle = "2h"
        partial = "5s"
        [[peer]]
        name = "trunk"
        networks = ["192.0.2.0/24", "2001:db8::1"]
        [[peer]]
        name = "edge"
        networks = ["198.51.100.7"]
        may_register = true
        "#,
    );
    assert_eq!(config.domains, ["example.org", "192.0.2.1", "pbx.acme.vn"]);
    let tcp = Endpoint {
        transport: Transport::Tcp,
        address: Some("::1".parse().expect("an address")),
        port: 5070,
    };
    assert_eq!((config.listen.len(), config.listen[1]), (3, tcp));
    assert_eq!(config.listen[0].address, None);
    assert_eq!(config.control(), Path::new("/run/ringway.sock"));
    assert_eq!(config.settings.algorithms, [Algorithm::Sha512_256, Algorithm::Md5]);
    assert_eq!(config.settings.expires_max_s, 86_400);
    assert_eq!(config.settings.ring_s, 20);
    assert_eq!(config.streams.idle, Duration::from_secs(7_200));
    assert_eq!(config.peers.len(), 2);
    assert_eq!(config.peers[0].networks[1].1, 128);
    assert!(!config.peers[0].may_register && config.peers[1].may_register);
    assert_eq!(good("[server]\ndata = \"/d\"").control(), Path::new("/d/ringway.sock"));
}

/// Wrong texts, and what is said of each: line and column, kind, message and label.
const WRONG: &[(&str, &str, u16, &str, &str)] = &[
    (
        "[server]\nlisen = []",
        "2:1",
        2,
        "there is no setting \"lisen\" in [server]",
        "did you mean \"listen\"?",
    ),
    ("[sever]", "1:2", 2, "there is no section [sever]", "did you mean \"server\"?"),
    (
        "domains = []",
        "1:1",
        2,
        "there is no setting \"domains\" outside of the sections",
        "it belongs under [server]",
    ),
    (
        "[server]\nzzz = 1",
        "2:1",
        2,
        "there is no setting \"zzz\" in [server]",
        "known are domains, listen, advertise, data, control, workers",
    ),
    (
        "server = 1",
        "1:10",
        3,
        "server is a section",
        "write [server] on a line of its own, and its settings below",
    ),
    (
        "[server]\nlisten = [\"udp:*\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:*\"",
        "a port is missing, like \"udp:*:5060\"",
    ),
    (
        "[server]\nlisten = \"udp:*:1\"",
        "2:10",
        3,
        "server.listen is a list in brackets, not of type string",
        "a list in brackets is needed here",
    ),
    (
        "[server]\nlisten = []",
        "2:10",
        3,
        "server.listen cannot be of type array",
        "a server that listens nowhere serves nobody",
    ),
    (
        "[server]\nlisten = [\"udp:::1:5060\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:::1:5060\"",
        "an IPv6 address stands in [brackets]: \"udp:[::1]:5060\"",
    ),
    (
        "[server]\nlisten = [\"udp:*:99999\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:*:99999\"",
        "a port is a number from 0 to 65535",
    ),
    (
        "[server]\nlisten = [\"tls:*:5061\"]",
        "2:11",
        3,
        "server.listen cannot be \"tls:*:5061\"",
        "it begins with udp: or tcp:, like \"udp:*:5060\"",
    ),
    (
        "[server]\ndomains = [\"a b\"]",
        "2:12",
        3,
        "server.domains cannot be \"a b\"",
        "a domain is a name like example.org, or an address",
    ),
    (
        "[server]\nworkers = -1",
        "2:11",
        3,
        "server.workers cannot be -1",
        "from 0 to 256 are possible",
    ),
    (
        "[server]\nworkers = 0x101",
        "2:11",
        3,
        "server.workers cannot be 0x101",
        "from 0 to 256 are possible",
    ),
    ("[log]\nlevel = \"inof\"", "2:9", 3, "log.level cannot be \"inof\"", "did you mean \"info\"?"),
    (
        "[log]\nformat = \"xml\"",
        "2:10",
        3,
        "log.format cannot be \"xml\"",
        "possible are text, json",
    ),
    (
        "[registrar]\nexpires_max = 60",
        "2:15",
        3,
        "registrar.expires_max is a time like \"90s\", \"5m\" or \"1h\", not of type integer",
        "a time like \"90s\", \"5m\" or \"1h\" is needed here",
    ),
    (
        "[registrar]\nexpires_max = \"8d\"",
        "2:15",
        3,
        "registrar.expires_max cannot be \"8d\"",
        "from 1m to 7d are possible",
    ),
    (
        "[registrar]\nexpires_max = \"99999999999999999999d\"",
        "2:15",
        3,
        "registrar.expires_max cannot be \"99999999999999999999d\"",
        "from 1m to 7d are possible",
    ),
    (
        "[registrar]\nexpires_min = \"1h\"\nexpires_max = \"1m\"",
        "2:1",
        3,
        "registrar.expires_default must lie between expires_min and expires_max: \
             3600 s <= 3600 s <= 60 s does not hold",
        "change one of the three",
    ),
    (
        "[auth]\nalgorithms = [\"SHA256\"]",
        "2:15",
        3,
        "auth.algorithms cannot be \"SHA256\"",
        "did you mean \"SHA-256\"?",
    ),
    (
        "[auth]\nalgorithms = []",
        "2:14",
        3,
        "auth.algorithms cannot be of type array",
        "without one nobody could ever log in",
    ),
    ("[peer]\nname = 1", "1:1", 3, "peers are a list", "write [[peer]], in two brackets"),
    (
        "[[peer]]\nname = \"x\"",
        "1:1",
        3,
        "a peer without \"networks\"",
        "list of ADDRESS or ADDRESS/PREFIX",
    ),
    (
        "[[peer]]\nname = \"x\"\nnetworks = [\"10.0.0.0/33\"]",
        "3:13",
        3,
        "peer.networks cannot be \"10.0.0.0/33\"",
        "the prefix after / is a number from 0 to 32",
    ),
    (
        "[[peer]]\nname = \"\"\nnetworks = [\"::1\"]",
        "2:8",
        3,
        "peer.name cannot be \"\"",
        "a name is needed",
    ),
    ("[server]\n\tdata = \"é\" x", "2:13", 1, "unexpected key or value, expected newline, `#`", ""),
];

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    for &(text, place, number, message, label) in WRONG {
        let invalid = bad(text);
        let problem = &invalid.problems()[0];
        assert_eq!(
            (problem.number, &*problem.message, &*problem.label),
            (number, message, label),
            "{text}"
        );
        let told = invalid.to_string();
        assert!(told.contains(&format!(" ┌─ r.toml:{place}\n")), "{text}: {told}");
        assert!(told.lines().all(|line| !line.contains('\t')), "{told}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let told =
        bad("[server]\nlisten = [\"x\", \"udp:*:1\", \"udp:y:2\"]\nworker = 1\n").to_string();
    assert_eq!(
        told,
        "error[E-CFG-003]: server.listen cannot be \"x\"\n  \
           ┌─ r.toml:2:11\n\
         2 │ listen = [\"x\", \"udp:*:1\", \"udp:y:2\"]\n  \
           │           ^^^ it begins with udp: or tcp:, like \"udp:*:5060\"\n\
         error[E-CFG-003]: server.listen cannot be \"udp:y:2\"\n  \
           ┌─ r.toml:2:27\n\
         2 │ listen = [\"x\", \"udp:*:1\", \"udp:y:2\"]\n  \
           │                           ^^^^^^^^^ an address like \
         192.0.2.1 or 2001:db8::1 is needed\n\
         error[E-CFG-002]: there is no setting \"worker\" in [server]\n  \
           ┌─ r.toml:3:1\n\
         3 │ worker = 1\n  \
           │ ^^^^^^ did you mean \"workers\"?\n\
         3 errors; docs/configuration.md lists all settings"
    );
}

#[test]
fn the_example_is_valid_and_changes_nothing() {
    let example = example();
    assert!(example.lines().all(|line| line.chars().count() <= 80), "{example}");
    let default = |config: Config| format!("{config:?}");
    assert_eq!(default(good(&example)), default(Config::default()));
    // Uncommented it still is: the defaults that are printed are the defaults that there are.
    let said: Vec<_> = example
        .lines()
        .take_while(|line| !line.contains("[[peer]]"))
        .map(|line| line.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(line))
        .filter(|line| !line.starts_with("data = "))
        .collect();
    assert!(said.len() > 20, "{said:?}");
    assert_eq!(default(good(&said.join("\n"))), default(Config::default()));
}

/// `ringway check --reference` prints the part of it that this compares.
#[test]
fn the_reference_is_what_is_documented() {
    let documented = include_str!("../../../../docs/configuration.md");
    assert!(documented.contains(&reference()), "docs/configuration.md:\n{}", reference());
}

#[test]
fn whatever_stands_there_nothing_panics() {
    let mut text = example().replace('#', "");
    for at in 0..text.len() {
        if text.is_char_boundary(at) {
            drop(parse(Path::new("r"), &text[..at]).map_err(|invalid| invalid.to_string()));
        }
    }
    text.push('\u{0}');
    assert!(!bad(&text).to_string().is_empty());
}
