use super::*;
use crate::account::Account;
use crate::flow::{CertifiedName, ConnectionId, SocketId, Transport};
use crate::time::Duration;
use alloc::format;
use alloc::string::{String, ToString};
use ringway_wire::{Framing, Index, parse};

const REALM: &str = "example.org";
const SECRET: [u8; 32] = [7; 32];

struct World {
    keys: Keys,
    snapshot: Snapshot,
}

/// What a phone puts into its credentials; each test changes what it is about.
#[derive(Clone)]
struct Phone {
    method: &'static str,
    target: &'static str,
    uri: &'static str,
    user: &'static str,
    password: &'static str,
    algorithm: Algorithm,
    realm: &'static str,
    qop: &'static str,
    nc: &'static str,
    header: &'static str,
    source: &'static str,
}

fn phone() -> Phone {
    Phone {
        method: "REGISTER",
        target: "sip:example.org",
        uri: "sip:example.org",
        user: "alice",
        password: "wonderland",
        algorithm: Algorithm::Sha256,
        realm: REALM,
        qop: "auth",
        nc: "00000001",
        header: "Authorization",
        source: "192.0.2.1:5060",
    }
}

fn at(s: u64) -> Instant {
    Instant::from_secs(1_700_000_000 + s)
}

fn flow(source: &str) -> Flow {
    Flow {
        socket: SocketId(0),
        transport: Transport::Udp,
        connection: ConnectionId::NONE,
        remote: source.parse().expect("an address"),
        certified: CertifiedName::NONE,
    }
}

fn world() -> World {
    let mut snapshot = Snapshot::default();
    for domain in [REALM, "example.net"] {
        snapshot.domains.insert(domain.as_bytes().into());
    }
    snapshot.settings.algorithms =
        [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5].into();
    for (user, enabled) in [("alice", true), ("off", false), ("strong", true)] {
        let mut ha1 = Ha1::from_password(user.as_bytes(), REALM.as_bytes(), b"wonderland");
        if user == "strong" {
            ha1.md5 = None;
        }
        let aor = AddressOfRecord::new(user.as_bytes(), REALM.as_bytes()).expect("valid");
        let display_name = String::new();
        snapshot.accounts.put(Account { aor, ha1, display_name, enabled });
    }
    World { keys: Keys::new(&SECRET), snapshot }
}

fn request(method: &str, target: &str, headers: &str) -> String {
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         From: <sip:alice@example.org>;tag=1\r\nTo: <sip:alice@example.org>\r\n\
         Call-ID: 1@x\r\nCSeq: 7 {method}\r\nMax-Forwards: 70\r\n{headers}\
         Content-Length: 0\r\n\r\n"
    )
}

impl World {
    fn ask(&self, side: Side) -> Authentication<'_> {
        let Self { keys, snapshot } = self;
        Authentication { keys, snapshot, side, realm: REALM.as_bytes() }
    }

    fn challenge(&self, now: Instant, source: &str, text: &str) -> Vec<String> {
        let mut index = Index::new();
        let request = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("SIP");
        let challenge = self.ask(Side::Server).challenge(now, &flow(source), &request, false);
        let value = |&algorithm| {
            let mut out = Vec::new();
            challenge.write(algorithm, &mut out);
            String::from_utf8(out).expect("text")
        };
        challenge.algorithms.iter().map(value).collect()
    }

    fn nonce(&self, now: Instant, source: &str) -> String {
        let text = request("REGISTER", "sip:example.org", "");
        let challenge = self.challenge(now, source, &text).remove(0);
        quoted(&challenge, "nonce")
    }

    fn judge(&self, now: Instant, phone: &Phone, headers: &str) -> Verdict {
        let text = request(phone.method, phone.target, headers);
        let mut index = Index::new();
        let request = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("SIP");
        let side = match phone.header {
            "Authorization" => Side::Server,
            _ => Side::Proxy,
        };
        self.ask(side).verify(now, &flow(phone.source), &request)
    }

    /// A request answering a challenge of this moment.
    fn answer(&self, phone: &Phone) -> Verdict {
        let nonce = self.nonce(at(0), "192.0.2.1:5060");
        self.judge(at(1), phone, &phone.credentials(&nonce))
    }
}

impl Phone {
    fn credentials(&self, nonce: &str) -> String {
        let response = self.response(nonce, "c");
        let Self { user, realm, uri, algorithm, qop, nc, header, .. } = self;
        format!(
            "{header}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", algorithm={}, qop={qop}, nc={nc}, cnonce=\"c\", \
             response=\"{response}\"\r\n",
            algorithm.token()
        )
    }

    fn response(&self, nonce: &str, cnonce: &str) -> String {
        let h = |text: &str| {
            let mut hex = [0; 64];
            let hash = hash(self.algorithm, &mut [text.as_bytes()].into_iter());
            String::from_utf8(hash.to_hex(&mut hex).into()).expect("hex")
        };
        let a1 = h(&format!("{}:{}:{}", self.user, self.realm, self.password));
        let a2 = h(&format!("{}:{}", self.method, self.uri));
        h(&format!("{a1}:{nonce}:{}:{cnonce}:{}:{a2}", self.nc, self.qop))
    }
}

fn quoted(value: &str, name: &str) -> String {
    let start = value.find(&format!("{name}=\"")).expect(name) + name.len() + 2;
    let rest = &value[start..];
    rest[..rest.find('"').expect("closed")].to_string()
}

fn failure(verdict: &Verdict) -> Option<AuthFailure> {
    match verdict {
        Verdict::Wrong { failure, .. } => Some(*failure),
        Verdict::Missing | Verdict::Stale | Verdict::Right(_) => None,
    }
}

fn is_right(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Right(_))
}

#[test]
//= RFC 7616 3.9.1 type=test
fn the_examples_of_rfc_7616() {
    let (uri, method) = ("/dir/index.html", "GET");
    let user = ("Mufasa", "Circle of Life", "http-auth@example.org");
    let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
    // The RFC prints ae66e67d…, a SHA-512 cut short. FIPS 180-4's SHA-512/256, which the RFC
    // asks for and phones implement, has initial values of its own.
    let sha512_256 = "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5";
    let jason = ("J\u{e4}s\u{f8}n Doe", "Secret, or not?", "api@example.org");
    let jason_nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK";
    let jason_cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
    for (algorithm, (user, password, realm), nonce, cnonce, uri, response) in [
        (Algorithm::Md5, user, nonce, cnonce, uri, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm::Sha256, user, nonce, cnonce, uri, sha256),
        (Algorithm::Sha512_256, jason, jason_nonce, jason_cnonce, "/doe.json", sha512_256),
    ] {
        let header = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", uri=\"{uri}\", \
             algorithm={}, nonce=\"{nonce}\", nc=00000001, cnonce=\"{cnonce}\", qop=auth, \
             response=\"{response}\"",
            algorithm.token()
        );
        let credentials = Credentials::parse(header.as_bytes()).expect("Digest");
        let answer = Answer::of(&credentials, algorithm).expect("complete");
        let all = Ha1::from_password(user.as_bytes(), realm.as_bytes(), password.as_bytes());
        let ha1 = Hash::from_bytes(all.of(algorithm).expect("all three"));
        let expected = answer.response_for(&ha1, method.as_bytes());
        assert_eq!(expected.bytes(), answer.response.bytes(), "{}", algorithm.token());
    }
}

#[test]
//= RFC 8760 2.3 type=test
fn challenges_come_in_order_of_preference() {
    let world = world();
    let text = request("REGISTER", "sip:example.org", "");
    let values = world.challenge(at(0), "192.0.2.1:5060", &text);
    let nonce = quoted(&values[0], "nonce");
    let expected: Vec<_> = ["SHA-512-256", "SHA-256", "MD5"]
        .map(|name| {
            format!(
                "Digest realm=\"example.org\", nonce=\"{nonce}\", algorithm={name}, qop=\"auth\""
            )
        })
        .into();
    assert_eq!(values, expected);
    let mut index = Index::new();
    let request = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("SIP");
    let mut ask = world.ask(Side::Proxy);
    ask.realm = b"a\"b\\";
    let stale = ask.challenge(at(0), &flow("192.0.2.1:5060"), &request, true);
    let mut out = Vec::new();
    stale.write(Algorithm::Md5, &mut out);
    assert!(out.starts_with(b"Digest realm=\"a\\\"b\\\\\", "));
    assert!(out.ends_with(b", qop=\"auth\", stale=true"));
    assert!(realm_is(&out, b"a\"b\\"));
}

fn realm_is(value: &[u8], realm: &[u8]) -> bool {
    Credentials::parse(value).and_then(|c| c.realm).is_some_and(|r| r.means(realm))
}

#[test]
fn the_right_password_is_right() {
    let world = world();
    for algorithm in [Algorithm::Sha256, Algorithm::Md5, Algorithm::Sha512_256] {
        let Verdict::Right(claim) = world.answer(&Phone { algorithm, ..phone() }) else {
            panic!("{algorithm:?} is right")
        };
        assert_eq!(claim.account.to_string(), "alice@example.org");
        assert_eq!((claim.nc, claim.ends), (1, at(0) + limits::NONCE_LIFE));
    }
    let invite = Phone {
        method: "INVITE",
        target: "sip:bob@example.org",
        uri: "sip:bob@example.org",
        header: "Proxy-Authorization",
        ..phone()
    };
    assert!(is_right(&world.answer(&invite)));
}

#[test]
fn wrong_is_wrong_for_a_named_reason() {
    use AuthFailure::{Malformed, UnknownUser, WrongPassword};
    let world = world();
    for (name, wrong, reason) in [
        ("password", Phone { password: "looking-glass", ..phone() }, WrongPassword),
        ("nobody", Phone { user: "nobody", ..phone() }, UnknownUser),
        ("disabled", Phone { user: "off", ..phone() }, UnknownUser),
        ("empty user", Phone { user: "", ..phone() }, UnknownUser),
        ("user with domain", Phone { user: "alice@example.org", ..phone() }, UnknownUser),
        (
            "no such secret",
            Phone { user: "strong", algorithm: Algorithm::Md5, ..phone() },
            WrongPassword,
        ),
        ("auth-int", Phone { qop: "auth-int", ..phone() }, Malformed),
        ("nc of zero", Phone { nc: "00000000", ..phone() }, Malformed),
        ("another registrar", Phone { uri: "sip:example.net", ..phone() }, Malformed),
        ("another place", Phone { uri: "sip:bob@evil.example", ..phone() }, Malformed),
        ("no URI", Phone { uri: "nothing", ..phone() }, Malformed),
    ] {
        let verdict = world.answer(&wrong);
        assert_eq!(failure(&verdict), Some(reason), "{name}: {verdict:?}");
    }
}

#[test]
fn a_secret_of_zeros_opens_nothing() {
    // The hash for unknown users is calculated with a secret of zeros, which anyone could use.
    let world = world();
    let nonce = world.nonce(at(0), "192.0.2.1:5060");
    let guess = Phone { user: "nobody", ..phone() };
    let credentials = guess.credentials(&nonce);
    let value = credentials.strip_prefix("Authorization: ").expect("a header").trim();
    let read = Credentials::parse(value.as_bytes()).expect("Digest");
    let answer = Answer::of(&read, Algorithm::Sha256).expect("complete");
    let zeros = answer.response_for(&Hash::from_bytes(&[0; 32]), b"REGISTER");
    let mut hex = [0; 64];
    let zeros = String::from_utf8(zeros.to_hex(&mut hex).into()).expect("hex");
    let credentials = credentials.replace(&guess.response(&nonce, "c"), &zeros);
    let verdict = world.judge(at(1), &guess, &credentials);
    assert_eq!(failure(&verdict), Some(AuthFailure::UnknownUser));
}

#[test]
//= RFC 8760 2.6 type=test
fn c8_c11_the_uri_may_differ_where_the_request_was_retargeted() {
    let world = world();
    for (method, target, uri, right) in [
        ("REGISTER", "sip:example.org", "sip:example.org:5060", true),
        ("REGISTER", "sip:EXAMPLE.org;transport=tcp", "sip:example.org", true),
        ("REGISTER", "sip:example.org", "sip:example.net", false),
        ("INVITE", "sip:bob@example.org", "sip:bob@example.org;user=phone", true),
        ("INVITE", "sip:bob@192.0.2.9:5060", "sip:bob@Example.org", true),
        ("INVITE", "sip:bob@192.0.2.9:5060", "sip:bob@example.net", true),
        ("INVITE", "sip:bob@192.0.2.9:5060", "sip:bob@192.0.2.9", true),
        ("INVITE", "sip:bob@example.org", "sip:bob@192.0.2.9", false),
        ("INVITE", "sip:bob@example.org", "sip:bob@evil.example", false),
        ("INVITE", "tel:+15550100", "tel:+1-555-0100", true),
        ("INVITE", "tel:+15550100", "tel:+1-555-0199", false),
        ("INVITE", "tel:+15550100", "sip:+15550100@example.org", true),
        ("INVITE", "urn:service:sos", "urn:service:sos", true),
        ("INVITE", "urn:service:sos", "urn:service:other", false),
    ] {
        let verdict = world.answer(&Phone { method, target, uri, ..phone() });
        let reason = (!right).then_some(AuthFailure::Malformed);
        assert_eq!(failure(&verdict), reason, "{method} {target} {uri}");
        assert_eq!(is_right(&verdict), right);
    }
}

#[test]
fn c8_credentials_of_one_method_do_not_serve_another() {
    let world = world();
    let nonce = world.nonce(at(0), "192.0.2.1:5060");
    let target = "sip:bob@example.org";
    let info = Phone { method: "INFO", target, uri: target, ..phone() };
    let stolen = info.credentials(&nonce);
    assert!(is_right(&world.judge(at(1), &info, &stolen)));
    let invite = Phone { method: "INVITE", ..info };
    let verdict = world.judge(at(1), &invite, &stolen);
    assert_eq!(failure(&verdict), Some(AuthFailure::WrongPassword));
}

#[test]
//= RFC 7616 3.3 type=test
fn an_old_or_moved_nonce_is_stale_only_with_the_right_password() {
    let world = world();
    let here = "192.0.2.1:5060";
    let nonce = world.nonce(at(0), here);
    let other_secret = World { keys: Keys::new(&[8; 32]), ..self::world() };
    let foreign = other_secret.nonce(at(0), here);
    let end = at(0) + limits::NONCE_LIFE;
    let bad = Phone { password: "wrong", ..phone() };
    use AuthFailure::{ForeignNonce, WrongPassword};
    for (name, now, source, nonce, wrong) in [
        ("over", end, here, &nonce, WrongPassword),
        ("another port", at(1), "192.0.2.1:5061", &nonce, ForeignNonce),
        ("another address", at(1), "192.0.2.2:5060", &nonce, ForeignNonce),
        ("another secret", at(1), here, &foreign, ForeignNonce),
        ("made up", at(1), here, &String::from("0"), ForeignNonce),
    ] {
        let good = Phone { source, ..phone() };
        let bad = Phone { source, ..bad.clone() };
        assert_eq!(world.judge(now, &good, &good.credentials(nonce)), Verdict::Stale, "{name}");
        let verdict = world.judge(now, &bad, &bad.credentials(nonce));
        assert_eq!(failure(&verdict), Some(wrong), "{name}");
    }
    let last = end - Duration::from_micros(1);
    assert!(is_right(&world.judge(last, &phone(), &phone().credentials(&nonce))));
}

#[test]
fn c7_c9_the_first_credentials_for_us_count() {
    let world = world();
    let nonce = world.nonce(at(0), "192.0.2.1:5060");
    let good = phone().credentials(&nonce);
    let other = Phone { realm: "elsewhere.example", ..phone() }.credentials(&nonce);
    let session = good.replace("algorithm=SHA-256", "algorithm=SHA-256-sess");
    let unknown = String::from("Authorization: NoOneKnowsThisScheme opaque-data=here\r\n");
    let basic = String::from("Authorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n");
    let bad = Phone { password: "wrong", ..phone() }.credentials(&nonce);
    for (name, headers, right, wrong) in [
        ("none", alloc::vec![], false, None),
        ("other realm", alloc::vec![&other], false, None),
        ("other scheme", alloc::vec![&unknown], false, None),
        ("basic", alloc::vec![&basic], false, None),
        ("not offered", alloc::vec![&session], false, None),
        ("ours is second", alloc::vec![&other, &good], true, None),
        ("ours is fourth", alloc::vec![&unknown, &basic, &session, &good], true, None),
        ("ours is fifth", alloc::vec![&other, &other, &other, &other, &good], false, None),
        ("first wins", alloc::vec![&bad, &good], false, Some(AuthFailure::WrongPassword)),
    ] {
        let headers: String = headers.into_iter().map(String::as_str).collect();
        let verdict = world.judge(at(1), &phone(), &headers);
        assert_eq!((is_right(&verdict), failure(&verdict)), (right, wrong), "{name}");
    }
    let mut md5_only = self::world();
    md5_only.snapshot.settings.algorithms = [Algorithm::Md5].into();
    assert_eq!(md5_only.answer(&phone()), Verdict::Missing, "SHA-256 is not offered");
}

#[test]
fn malformed_credentials_are_malformed() {
    let world = world();
    let nonce = world.nonce(at(0), "192.0.2.1:5060");
    let good = phone().credentials(&nonce);
    for (what, instead) in [
        ("username=\"alice\", ", ""),
        ("username=\"alice\"", "username*=UTF-8''alice"),
        ("username=\"alice\"", "username=\"alice\", username=\"alice\""),
        ("username=\"alice\"", "username=\"alice\", userhash=true"),
        ("uri=\"sip:example.org\", ", ""),
        (", qop=auth", ""),
        ("qop=auth", "qop=\"auth,auth-int\""),
        (", nc=00000001", ""),
        ("nc=00000001", "nc=0x1"),
        ("nc=00000001", "nc=100000001"),
        (", cnonce=\"c\"", ""),
        ("cnonce=\"c\"", "cnonce=\"c"),
        ("response=\"", "response=\"0"),
        ("response=\"", "response=\"00"),
        ("response=\"", "response=\"\", x=\""),
        ("response=\"", "response=\"zz\", x=\""),
        ("nonce=", "nothing="),
    ] {
        assert!(good.contains(what), "{what}");
        let bad = good.replacen(what, instead, 1);
        let verdict = world.judge(at(1), &phone(), &bad);
        let reason = failure(&verdict);
        assert_eq!(reason, Some(AuthFailure::Malformed), "{what} -> {instead}: {verdict:?}");
    }
}

#[test]
fn c3_known_and_unknown_users_get_the_same_bytes() {
    let world = world();
    let nonce = world.nonce(at(0), "192.0.2.1:5060");
    let mut answers = Vec::new();
    for user in ["alice", "alicf", "off"] {
        let wrong = Phone { user, password: "guess", ..phone() };
        let verdict = world.judge(at(1), &wrong, &wrong.credentials(&nonce));
        assert!(failure(&verdict).is_some());
        let text = request("REGISTER", "sip:example.org", &wrong.credentials(&nonce));
        answers.push(world.challenge(at(1), "192.0.2.1:5060", &text));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[test]
fn counts_of_two_accounts_are_kept_apart() {
    let world = world();
    let Verdict::Right(alice) = world.answer(&phone()) else { panic!("right") };
    let strong = Phone { user: "strong", ..phone() };
    let Verdict::Right(strong) = world.answer(&strong) else { panic!("right") };
    assert_ne!(alice.nonce, strong.nonce, "the same nonce, for two accounts");
    let Verdict::Right(again) = world.answer(&phone()) else { panic!("right") };
    assert_eq!(alice, again);
}

#[test]
fn user_names_in_events_are_short_and_unescaped() {
    let world = world();
    let long = Phone {
        user: "\\\"0123456789012345678901234567890123456789012345678901234567890123456789",
        ..phone()
    };
    let Verdict::Wrong { user, .. } = world.answer(&long) else { panic!("wrong") };
    assert_eq!(user.len(), limits::USER_IN_EVENT_BYTES);
    assert!(user.starts_with(b"\"0"));
}
