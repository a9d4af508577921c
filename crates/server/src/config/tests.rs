use super::printed::{example, reference};
use super::problem::Invalid;
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
        reach = ["127.0.0.0/8"]
        [dns]
        servers = ["192.0.2.53", "[2001:db8::53]:5353"]
        [streams]
        proxy_protocol_from = ["10.0.0.0/8", "::1"]
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
        trust_identity = true
        trust_udp = true
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
    assert_eq!(config.settings.reach, [("127.0.0.0".parse().expect("an address"), 8)]);
    let servers = ["192.0.2.53:53", "[2001:db8::53]:5353"];
    assert_eq!(config.dns, servers.map(|at| at.parse().expect("an address")));
    assert_eq!(config.streams.idle, Duration::from_secs(7_200));
    assert_eq!(config.balancers[0], ("10.0.0.0".parse().expect("an address"), 8));
    assert_eq!(config.balancers.len(), 2);
    assert_eq!(config.peers.len(), 2);
    assert_eq!(config.peers[0].networks[1].1, 128);
    assert!(!config.peers[0].may_register && config.peers[1].may_register);
    assert!(!config.peers[0].trust_identity && config.peers[1].trust_identity);
    assert!(!config.peers[0].trust_udp && config.peers[1].trust_udp);
    assert_eq!(good("[server]\ndata = \"/d\"").control(), Path::new("/d/ringway.sock"));
}

#[test]
fn certificates_and_pages_can_be_named() {
    let config = good(
        r#"
        [server]
        listen = ["tls:*:5061", "WSS:[::1]:443", "ws:127.0.0.1:8080"]
        [tls]
        certificates = ["/etc/a.pem", "/etc/b.pem"]
        keys = ["/etc/a.key", "/etc/b.key"]
        ca = "/etc/ca.pem"
        only_ca = true
        devices = "/etc/phones.pem"
        [websocket]
        origins = ["https://phone.example.org", "null"]
        "#,
    );
    let listen = config.listen.iter().map(|endpoint| endpoint.transport);
    assert!(listen.eq([Transport::Tls, Transport::Wss, Transport::Ws]));
    let tls = config.startup().tls;
    assert_eq!(tls.certificates[1], ("/etc/b.pem".into(), "/etc/b.key".into()));
    assert!(!tls.system_roots && tls.ask_clients && tls.ca.is_some());
    assert_eq!(tls.devices.as_deref(), Some(Path::new("/etc/phones.pem")));
    assert_eq!(config.origins, ["https://phone.example.org", "null"]);
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
        "[dns]\nservers = [\"ns.example.org\"]",
        "2:12",
        3,
        "dns.servers cannot be \"ns.example.org\"",
        "an address like 192.0.2.1 or 2001:db8::1 is needed",
    ),
    (
        "[dns]\nservers = [\"0.0.0.0:53\"]",
        "2:12",
        3,
        "dns.servers cannot be \"0.0.0.0:53\"",
        "nobody can be asked there",
    ),
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
        "server.listen cannot be an empty list",
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
        "[server]\nlisten = [\"sctp:*:5060\"]",
        "2:11",
        3,
        "server.listen cannot be \"sctp:*:5060\"",
        "it begins with udp:, tcp:, tls:, ws: or wss:, like \"udp:*:5060\"",
    ),
    (
        "[tls]\ncertificates = [\"/a.pem\"]",
        "2:1",
        3,
        "1 tls.certificates need as many keys, not 0",
        "name the key of each certificate, in the same order",
    ),
    (
        "[tls]\nonly_ca = true",
        "2:1",
        3,
        "with tls.only_ca and without tls.ca nobody is trusted",
        "name the file with `ca`, or remove this",
    ),
    (
        "[server]\nlisten = [\"tcp:*:5061\", \"tls:*:5061\"]",
        "2:25",
        3,
        "\"tcp:*:5061\" and \"tls:*:5061\" take the same socket",
        "keep one of them",
    ),
    (
        "[websocket]\norigins = [\"example.org\"]",
        "2:12",
        3,
        "websocket.origins cannot be \"example.org\"",
        "an origin is like \"https://phone.example.org\", without a path",
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
        "from 1m to 1d are possible",
    ),
    (
        "[registrar]\nexpires_max = \"99999999999999999999d\"",
        "2:15",
        3,
        "registrar.expires_max cannot be \"99999999999999999999d\"",
        "from 1m to 1d are possible",
    ),
    (
        "[registrar]\nexpires_min = \"1h\"\nexpires_max = \"1m\"",
        "3:1",
        3,
        "registrar.expires_default (1h) is more than registrar.expires_max (1m)",
        "change one of the two",
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
        "auth.algorithms cannot be an empty list",
        "without one nobody could ever log in",
    ),
    ("[peer]\nname = 1", "1:1", 3, "peers are a list", "write [[peer]], in two brackets"),
    (
        "[[peer]]\nname = \"x\"",
        "2:1",
        3,
        "the peer \"x\" is nobody",
        "say where it calls from, with networks or tls_names",
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
        "a name of letters, digits, - _ . is needed",
    ),
    (
        "# expires_max\n[registrar]\nexpires_min = \"1h\"\nexpires_default = \"1m\"",
        "3:1",
        3,
        "registrar.expires_min (1h) is more than registrar.expires_default (1m)",
        "change one of the two",
    ),
    (
        "[streams]\nconnections = 100",
        "2:1",
        3,
        "streams.connections_per_address (2000) is more than streams.connections (100)",
        "change one of the two",
    ),
    (
        "[server]\nlisten = [\"udp:*:5060\", \"tcp:*:5060\", \"udp:[::1]:5060\"]",
        "2:39",
        3,
        "\"udp:*:5060\" and \"udp:[::1]:5060\" take the same socket",
        "keep one of them",
    ),
    (
        "[server]\nlisten = [\"udp:[fe80::1]:5060\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:[fe80::1]:5060\"",
        "link-local addresses mean nothing in a SIP message: phones could not answer",
    ),
    (
        "[server]\nlisten = [\"udp:224.0.1.75:5060\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:224.0.1.75:5060\"",
        "this is not the address of one machine",
    ),
    (
        "[server]\nlisten = [\"udp:[::1]\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:[::1]\"",
        "a port is missing, like \"udp:*:5060\"",
    ),
    (
        "[server]\nlisten = [\"udp:*:+5\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:*:+5\"",
        "a port is a number from 0 to 65535",
    ),
    (
        "[server]\nlisten = [\"udp:localhost:5060\"]",
        "2:11",
        3,
        "server.listen cannot be \"udp:localhost:5060\"",
        "an address like 192.0.2.1 or 2001:db8::1 is needed",
    ),
    (
        "[server]\nadvertise = \"0.0.0.0\"",
        "2:13",
        3,
        "server.advertise cannot be \"0.0.0.0\"",
        "this is not the address of one machine",
    ),
    (
        "[server]\ndomains = [\"sip:example.org\"]",
        "2:12",
        3,
        "server.domains cannot be \"sip:example.org\"",
        "write it without scheme: \"example.org\"",
    ),
    (
        "[server]\ndomains = [\"bob@example.org\"]",
        "2:12",
        3,
        "server.domains cannot be \"bob@example.org\"",
        "what is behind the @ is the domain: \"example.org\"",
    ),
    (
        "[server]\ndomains = [\"example.org:5060\"]",
        "2:12",
        3,
        "server.domains cannot be \"example.org:5060\"",
        "write it without port: \"example.org\"",
    ),
    (
        "[server]\ndomains = [\"bücher.example\"]",
        "2:12",
        3,
        "server.domains cannot be \"bücher.example\"",
        "write it as DNS has it, in ASCII: \"xn--...\"",
    ),
    (
        "[server]\ndata = \"ringway\"",
        "2:8",
        3,
        "server.data cannot be \"ringway\"",
        "a whole path is needed, beginning with /",
    ),
    (
        "[server]\ncontrol = \"~/r.sock\"",
        "2:11",
        3,
        "server.control cannot be \"~/r.sock\"",
        "a whole path is needed, beginning with /",
    ),
    (
        "[server]\nring = \"5s\"",
        "2:1",
        2,
        "there is no setting \"ring\" in [server]",
        "it belongs under [routing]",
    ),
    (
        "lisen = 1",
        "1:1",
        2,
        "there is no setting \"lisen\" outside of the sections",
        "did you mean \"listen\"?",
    ),
    (
        "xyzzy = 1",
        "1:1",
        2,
        "there is no setting \"xyzzy\" outside of the sections",
        "sections are server, log, registrar, auth, routing, dns, tls, websocket, streams, trace, \
         hep, peer, domain, route",
    ),
    (
        "[[peer]]\nname = \"x\"\nnetworks = [\"10.0.0.1/8\"]",
        "3:13",
        3,
        "peer.networks cannot be \"10.0.0.1/8\"",
        "did you mean \"10.0.0.0/8\"?",
    ),
    (
        "[[peer]]\nname = \"x\"\nnetworks = [\"2001:db8::1/32\"]",
        "3:13",
        3,
        "peer.networks cannot be \"2001:db8::1/32\"",
        "did you mean \"2001:db8::/32\"?",
    ),
    (
        "[[peer]]\nname = \"x\"\nnetworks = [\"::/0\"]\n\
         [[peer]]\nname = \"x\"\nnetworks = [\"::1\"]",
        "5:1",
        3,
        "two peers are called \"x\"",
        "give this one another name",
    ),
    (
        "[[peer]]\nname = \"a b\"\nnetworks = [\"::1\"]",
        "2:8",
        3,
        "peer.name cannot be \"a b\"",
        "a name of letters, digits, - _ . is needed",
    ),
    ("[server]\ndata = # none\n", "2:7", 1, "a value is missing", ""),
    ("[server]\nworkers =\n", "2:10", 1, "a value is missing", ""),
    ("[server]\nworkers = 1\nworkers = 2\n", "3:1", 1, "duplicate key", ""),
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
           │           ^^^ it begins with udp:, tcp:, tls:, ws: or wss:, like \"udp:*:5060\"\n\
         error[E-CFG-003]: server.listen cannot be \"udp:y:2\"\n  \
           ┌─ r.toml:2:27\n\
         2 │ listen = [\"x\", \"udp:*:1\", \"udp:y:2\"]\n  \
           │                           ^^^^^^^^^ an address like \
         192.0.2.1 or 2001:db8::1 is needed\n\
         error[E-CFG-002]: there is no setting \"worker\" in [server]\n  \
           ┌─ r.toml:3:1\n\
         3 │ worker = 1\n  \
           │ ^^^^^^ did you mean \"workers\"?\n\
         3 errors; ringway check --print-defaults shows all settings"
    );
}

/// Wrong syntax, and the lines of which something is said.
#[test]
fn one_slip_is_one_error_and_the_rest_is_still_read() {
    for (text, lines) in [
        // A list that does not end takes all that follows with it.
        ("[server]\nlisten = [\"udp:*:1\"\nworkers = 2\n[log]\nlevel = \"inof\"\n", &[2][..]),
        // A text that does not end ends with its line.
        ("[server]\ndata = \"/d\nworkers = -1\n", &[2, 3]),
        ("[server]\ndata = /d\n[log]\nlevel = info\nformat = \"xml\"\n", &[2, 4, 5]),
        // Below a title that is none nobody knows what a setting is of.
        ("[server]\nworker = 1\n[log\nlevel = \"inof\"\nform = 1\n", &[2, 3]),
        ("[server]\nworkers = 1 2\nworker = 3\n", &[2, 3]),
        ("[log]\nlevel = {a = 1\nformat = 1\n", &[2]),
        ("[log]\n[log]\nlevel = 1\n", &[2]),
    ] {
        let told = bad(text).to_string();
        let place = |line: &str| line.split("r.toml:").nth(1)?.split(':').next()?.parse().ok();
        let found: Vec<usize> = told.lines().filter_map(place).collect();
        assert_eq!(found, lines, "{text}\n{told}");
    }
}

#[test]
fn carets_stand_under_their_place_whatever_the_line_holds() {
    let long = "x".repeat(200);
    for (text, shown, marks) in [
        ("[log]\n\tlevel\t=\t\"\u{1b}[2J\"", "2 │  level = \"\u{fffd}[2J\"", "  │           ^"),
        ("[server]\nw = \"漢字\"  # 漢", "2 │ w = \"漢字\"  # 漢", "  │ ^ known are"),
        ("[server]\nworkers = '漢字'", "2 │ workers = '漢字'", "  │           ^^^^^^ a whole"),
        ("[server]\r\nworkers = 'a'\r\n", "2 │ workers = 'a'", "  │           ^^^ a whole"),
    ] {
        let told = bad(text).to_string();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[2], shown, "{told}");
        assert!(lines[3].starts_with(marks), "{told}");
    }
    let before = bad(&format!("[server]\ndomains = [\"{long}\", 7, 8]")).to_string();
    for told in [before, bad(&format!("[log]\nlevel = \"{long}\"")).to_string()] {
        let lines: Vec<_> = told.lines().filter(|line| line.starts_with("2 │")).collect();
        assert!(!lines.is_empty() && lines.iter().all(|l| l.chars().count() <= 76), "{told}");
        assert!(told.contains("^^^^"), "{told}");
    }
    let last = bad(&format!("[server]\ndomains = [\"{}\", 7]", "x".repeat(63))).to_string();
    let lines: Vec<_> = last.lines().collect();
    let under = lines[3].chars().position(|c| c == '^').expect("a caret");
    assert_eq!(lines[2].chars().nth(under), Some('7'), "{last}");
}

#[test]
fn files_that_are_none_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("r.toml");
    let told = |bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("written");
        super::load(Some(&file)).expect_err("no configuration").to_string()
    };
    assert!(told(b"[log]\n# \xff\n").contains("r.toml:2:3\n"));
    assert!(told(&vec![b'#'; 2_000_000]).ends_with("it has more than 1048576 bytes"));
    let is_folder = super::load(Some(folder.path())).expect_err("a folder").to_string();
    assert!(is_folder.ends_with(": it is a folder"), "{is_folder}");
    std::fs::write(&file, b"\xef\xbb\xbf[log]\r\nlevel = \"warn\"\r\n").expect("written");
    assert!(super::load(Some(&file)).is_ok(), "a byte order mark is no mistake");
}

#[test]
fn the_control_socket_of_the_system_stands_where_its_group_reaches_it() {
    let config = Config { data: "/var/lib/ringway".into(), ..Config::default() };
    assert_eq!(config.control(), Path::new("/run/ringway/ringway.sock"));
    let config = Config { data: "/srv/r".into(), ..Config::default() };
    assert_eq!(config.control(), Path::new("/srv/r/ringway.sock"));
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
