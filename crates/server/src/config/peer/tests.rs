use crate::config::secret::Secret;
use crate::config::{Config, parse};
use ringway_core::identity::PeerLogin;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn read(text: &str) -> Result<Config, String> {
    parse(Path::new("p.toml"), text).map_err(|invalid| invalid.to_string())
}

fn peer(more: &str) -> String {
    format!("[[peer]]\nname = \"gw\"\naddress = \"sip.carrier.example\"\n{more}\n")
}

#[test]
fn a_login_has_a_name_a_place_of_its_password_and_a_realm() {
    for (more, realm, password) in [
        ("realm = \"carrier\"\npassword = \"${env:GW_1}\"", "carrier", "GW_1"),
        ("password = \"${file:/etc/ringway/gw}\"", "sip.carrier.example", "/etc/ringway/gw"),
    ] {
        let config = read(&peer(&format!("username = \"ring\"\n{more}"))).expect(more);
        let [login] = &*config.logins else { panic!("{:?}", config.logins) };
        assert_eq!((&*login.peer, &*login.username, &*login.realm), ("gw", "ring", realm));
        let place = match &login.password {
            Secret::File(path) => path.to_string_lossy().into_owned(),
            Secret::Environment(name) => name.clone(),
        };
        assert_eq!(place, password);
        assert!(config.peers[0].networks.is_empty(), "where it calls from need not be known");
    }
    assert!(read(&peer("")).expect("valid").logins.is_empty());
}

#[test]
fn what_is_wrong_with_a_login_is_said() {
    let file = "password = \"${file:/x}\"";
    for (more, place, told) in [
        ("username = \"u\"", "2:1", "has no password to log in with"),
        (file, "2:1", "has no username to log in with"),
        ("realm = \"r\"", "2:1", "has no username to log in with"),
        ("username = \"a\\nb\"", "4:12", "at most 256 bytes without line ends"),
        ("usrname = \"u\"", "4:1", "did you mean \"username\"?"),
        ("password = 7", "4:12", "peer.password is text in quotes"),
        ("password = \"hunter2\"", "4:12", "peer.password does not stand in this file itself"),
        ("password = \"${file:relative}\"", "4:12", "${file:/etc/ringway/secret}"),
        ("password = \"${env:}\"", "4:12", "${env:SECRET}"),
        ("password = \"${vault:x}\"", "4:12", "${env:SECRET}"),
    ] {
        let said = read(&peer(more)).expect_err(more);
        assert!(said.contains(told), "{more}: {said}");
        assert!(said.contains(&format!(" ┌─ p.toml:{place}\n")), "{more}: {said}");
    }
    let login = format!("username = \"u\"\n{file}");
    for (text, told) in [
        (format!("[[peer]]\nname = \"gw\"\nnetworks = [\"::1\"]\n{login}"), "nowhere to log in at"),
        (
            format!("[[peer]]\nname = \"gw\"\naddress = \"192.0.2.7\"\n{login}"),
            "has no realm to log in for",
        ),
        ("[[peer]]\nname = \"gw\"\n".to_owned(), "the peer \"gw\" is nobody"),
    ] {
        let said = read(&text).expect_err(&text);
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn a_peer_may_be_known_by_an_account() {
    let one = |more: &str| format!("[[peer]]\nname = \"a\"\naccount = \"trunk@B.example\"\n{more}");
    let config = read(&one("trust_identity = true")).expect("valid");
    let account = config.peers[0].account.as_ref().map(ToString::to_string);
    assert_eq!(account.as_deref(), Some("trunk@b.example"));
    for (text, place, told) in [
        (
            "[[peer]]\nname = \"a\"\naccount = \"trunk\"".to_owned(),
            "3:11",
            "an account is USER@DOMAIN",
        ),
        (one("may_register = true"), "2:1", "not known by where it calls from"),
        (one(&one("").replace("\"a\"", "\"b\"")), "5:1", "\"a\" and \"b\" have one account"),
    ] {
        let said = read(&text).expect_err(&text);
        assert!(said.contains(told) && said.contains(&format!("p.toml:{place}\n")), "{said}");
    }
    assert!(read(&one("may_register = true\nnetworks = [\"192.0.2.7\"]")).is_ok());
}

#[test]
fn j11_a_password_is_never_shown() {
    for line in [
        "password = \"hunter2\"",
        "password=\"hunter2\"",
        "username = \"u\", password = \"hunter2\"",
        "password = \"hunter2",
        "password = [\"hunter2\"]",
    ] {
        let said = read(&peer(line)).expect_err(line);
        assert!(!said.contains("hunter2") && said.contains('*'), "{said}");
    }
}

#[test]
fn a_password_is_read_from_a_file_that_not_everybody_may_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gw");
    let write = |text: &[u8], mode: u32| {
        fs::write(&path, text).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    let more = format!("username = \"ring\"\npassword = \"${{file:{}}}\"", path.display());
    let config = read(&peer(&more)).expect("valid");
    let told = || config.startup().map(|_| ()).expect_err("no password").to_string();
    assert!(told().starts_with("no password for the peer \"gw\" in /"), "{}", told());
    for (text, mode, why) in [
        (&b"secret\n"[..], 0o644, "everybody on this machine may read it; chmod 600 helps"),
        (b"secret\n", 0o602, "chmod 600 helps"),
        (b"\n", 0o600, "it is empty, or more than one line"),
        (b"a\nb\n", 0o600, "it is empty, or more than one line"),
        (b"\xff\n", 0o600, "UTF-8"),
        (&[b'a'; 5_000], 0o600, "it has more than 4096 bytes"),
    ] {
        write(text, mode);
        assert!(told().contains(why) && !told().contains("secret"), "{}", told());
    }
    let wanted = PeerLogin::new(b"ring", b"sip.carrier.example", b"s e\"cret");
    for (text, mode) in
        [(&b"s e\"cret\n"[..], 0o600), (b"s e\"cret", 0o640), (b"s e\"cret\r\n", 0o400)]
    {
        fs::remove_file(&path).expect("it was there");
        write(text, mode);
        let startup = config.startup().expect("a password");
        assert_eq!(startup.peers[0].login.as_ref(), Some(&wanted));
        assert!(!format!("{startup:?}").contains("cret\\\""), "only hashes are kept");
    }
}
