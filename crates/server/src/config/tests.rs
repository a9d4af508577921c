mod wrong;

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
    let tls = config.startup().expect("no secrets").tls;
    assert_eq!(tls.certificates[1], ("/etc/b.pem".into(), "/etc/b.key".into()));
    assert!(!tls.system_roots && tls.ask_clients && tls.ca.is_some());
    assert_eq!(tls.devices.as_deref(), Some(Path::new("/etc/phones.pem")));
    assert_eq!(config.origins, ["https://phone.example.org", "null"]);
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
