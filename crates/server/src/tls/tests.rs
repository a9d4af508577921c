#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, OtherNameValue, SanType,
};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::time::{Duration, SystemTime};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for these names: `dns:`, `uri:`, `ip:`, `mail:`, `cn:` and `other:`.
fn params(names: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in names.split_whitespace() {
        let (kind, value) = name.split_once(':').unwrap();
        params.subject_alt_names.push(match kind {
            "dns" => SanType::DnsName(value.try_into().unwrap()),
            "uri" => SanType::URI(value.try_into().unwrap()),
            "ip" => SanType::IpAddress(value.parse().unwrap()),
            "mail" => SanType::Rfc822Name(value.try_into().unwrap()),
            "other" => {
                SanType::OtherName((vec![1, 3, 6, 1], OtherNameValue::Utf8String(value.into())))
            }
            "cn" => {
                params.distinguished_name.push(DnType::CommonName, value);
                continue;
            }
            _ => panic!("{kind}"),
        });
    }
    params
}

fn issue(issuer: &Issuer, params: &CertificateParams) -> CertificateDer<'static> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

struct Trust {
    issuer: Issuer,
    verifier: DomainVerifier,
}

fn trust() -> Trust {
    let issuer = authority("we trust it");
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    Trust { issuer, verifier: DomainVerifier::new(Arc::new(roots), provider) }
}

impl Trust {
    fn believes(&self, domain: &str, chain: &[CertificateDer<'static>]) -> bool {
        let name = ServerName::try_from(domain.to_owned()).unwrap();
        let (first, rest) = chain.split_first().unwrap();
        self.verifier.verify_server_cert(first, rest, &name, &[], UnixTime::now()).is_ok()
    }
}

// G7. The names that RFC 5922 §7 takes, and those it does not.
#[test]
fn g7_a_server_proves_the_domain_of_the_uri() {
    let trust = trust();
    for (names, domain, believed) in [
        ("uri:sip:example.com", "example.com", true),
        ("uri:SIP:Example.COM", "example.com", true),
        ("dns:example.com", "example.com", true),
        ("dns:EXAMPLE.com", "example.com", true),
        ("dns:a.example dns:example.com", "example.com", true),
        ("uri:sip:a.example uri:sip:example.com", "example.com", true),
        // A port and parameters say nothing about the domain.
        ("uri:sip:example.com:5061;transport=tcp", "example.com", true),
        // DNS counts only where there is no such URI.
        ("uri:sip:other.example dns:example.com", "example.com", false),
        ("uri:sip:example.com dns:other.example", "other.example", false),
        // One with a user part is a user, not a domain.
        ("uri:sip:alice@example.com", "example.com", false),
        ("uri:sip:alice@example.com dns:example.com", "example.com", true),
        // Other schemes are no SIP identities, and do not hide DNS names.
        ("uri:sips:example.com", "example.com", false),
        ("uri:https://example.com", "example.com", false),
        ("uri:https://example.com dns:example.com", "example.com", true),
        // No wildcards, no suffixes.
        ("dns:*.example.com", "sip.example.com", false),
        ("dns:*.example.com", "example.com", false),
        ("uri:sip:*.example.com", "sip.example.com", false),
        ("dns:example.com", "sip.example.com", false),
        ("dns:sip.example.com", "example.com", false),
        ("dns:.example.com", "sip.example.com", false),
        // No other kind of name.
        ("ip:192.0.2.1", "192.0.2.1", false),
        ("uri:sip:192.0.2.1", "192.0.2.1", false),
        ("mail:sip@example.com", "example.com", false),
        ("other:example.com", "example.com", false),
        // No CN, neither beside names nor alone.
        ("cn:example.com dns:other.example", "example.com", false),
        ("cn:example.com", "example.com", false),
    ] {
        let certificate = issue(&trust.issuer, &params(names));
        assert_eq!(trust.believes(domain, &[certificate]), believed, "{names} for {domain}");
    }
}

#[test]
fn g7_a_certificate_must_be_good_at_the_time_and_for_the_purpose() {
    let trust = trust();
    let day = Duration::from_secs(86_400);
    let now = SystemTime::now();
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("dns:example.com");
        change(&mut params);
        trust.believes("example.com", &[issue(&trust.issuer, &params)])
    };
    assert!(with(&|_| {}));
    assert!(!with(&|params| params.not_after = (now - day).into()), "it is over");
    assert!(!with(&|params| params.not_before = (now + day).into()), "it has not begun");
    let usage = |usages: &[ExtendedKeyUsagePurpose]| {
        let usages = usages.to_vec();
        with(&move |params| params.extended_key_usages.clone_from(&usages))
    };
    assert!(usage(&[]), "it may be used for anything");
    assert!(!usage(&[ExtendedKeyUsagePurpose::EmailProtection]));
    assert!(usage(&[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]));
}

#[test]
fn g7_a_chain_ends_where_we_trust() {
    let trust = trust();
    let good = params("dns:example.com");
    let stranger = authority("nobody trusts it");
    assert!(!trust.believes("example.com", &[issue(&stranger, &good)]));
    let own = good.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert!(!trust.believes("example.com", &[own.der().clone()]), "it vouches for itself");
    let mut middle = CertificateParams::default();
    middle.distinguished_name.push(DnType::CommonName, "in between");
    middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let middle = CertifiedIssuer::signed_by(middle, key, &trust.issuer).unwrap();
    let leaf = issue(&middle, &good);
    assert!(trust.believes("example.com", &[leaf.clone(), middle.der().clone()]));
    assert!(!trust.believes("example.com", &[leaf]), "a link is missing");
    // A certificate that may not vouch for others does.
    let key = KeyPair::generate().unwrap();
    let fake = CertifiedIssuer::signed_by(params("dns:a.example"), key, &trust.issuer).unwrap();
    let leaf = issue(&fake, &good);
    assert!(!trust.believes("example.com", &[leaf, fake.der().clone()]));
}

#[test]
fn a_certificate_tells_its_names_and_its_time() {
    let mut params = params("uri:sip:example.com dns:sip.example.com");
    params.not_after = (SystemTime::now() + Duration::from_secs(10 * 86_400 + 60)).into();
    let certificate = issue(&authority("x"), &params);
    let said = Description::of(&certificate).unwrap();
    assert_eq!(said.names, ["example.com"]);
    assert_eq!(said.hosts, ["sip.example.com", "example.com"]);
    let now = SystemTime::now();
    assert_eq!(said.days_left(now), 10);
    assert_eq!(said.days_left(now + Duration::from_secs(11 * 86_400)), -1);
    assert_eq!(Description::of(b"no certificate"), None);
    assert!(identities(b"no certificate").is_empty());
}

fn names(domains: &[&str]) -> Names {
    let domains = domains.iter().map(|&domain| domain.into()).collect();
    Names { domains, addresses: vec!["192.0.2.1".parse().unwrap()] }
}

#[test]
fn our_own_certificate_is_made_anew_when_names_are_missing_and_the_key_stays() {
    let folder = tempfile::tempdir().unwrap();
    let read = |file: &str| fs::read(folder.path().join(file)).unwrap();
    let setup = TlsSetup { system_roots: false, ..TlsSetup::default() };
    let in_folder = || Some(folder.path().to_owned());
    let tls = Tls::new(&setup, in_folder(), &names(&["example.com"])).unwrap();
    let (key, first) = (read(OWN_KEY), read(OWN_CERTIFICATE));
    assert_eq!(tls.current().certificates[0].names, ["example.com"]);
    assert!(!tls.refresh(&names(&["example.com"]), false).unwrap(), "nothing has changed");
    assert!(tls.refresh(&names(&["example.com", "example.org"]), false).unwrap());
    assert_eq!(tls.current().certificates[0].names, ["example.com", "example.org"]);
    assert_eq!(read(OWN_KEY), key);
    assert_ne!(read(OWN_CERTIFICATE), first);
    let again = Tls::new(&setup, in_folder(), &names(&["example.org"])).unwrap();
    assert_eq!(again.current().certificates, tls.current().certificates, "it says enough");
    fs::write(folder.path().join(OWN_KEY), "no key").unwrap();
    assert!(Tls::new(&setup, in_folder(), &names(&[])).is_err(), "a key is never replaced");
}

#[test]
fn files_are_read_anew_when_they_change_and_bad_ones_leave_what_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    let make = |domain: &str| {
        let new = KeyPair::generate().unwrap();
        let made = params(&format!("dns:{domain}")).self_signed(&new).unwrap();
        (made.pem(), new.serialize_pem())
    };
    let put = |(text, secret): &(String, String)| {
        fs::write(&certificate, text).unwrap();
        fs::write(&key, secret).unwrap();
    };
    let (one, two) = (make("one.example"), make("two.example"));
    put(&one);
    let certificates = vec![(certificate.clone(), key.clone())];
    let setup = TlsSetup { certificates, system_roots: false, ..TlsSetup::default() };
    let tls = Tls::new(&setup, None, &Names::default()).unwrap();
    let now = || tls.current().certificates[0].names.clone();
    assert_eq!(now(), ["one.example"]);
    put(&two);
    assert!(tls.refresh(&Names::default(), false).unwrap());
    assert_eq!(now(), ["two.example"]);
    for (bad, wrong) in [
        ((one.0.clone(), two.1.clone()), "is the key of another certificate"),
        ((String::new(), two.1.clone()), "holds no certificate"),
        ((two.0.clone(), two.0), "holds no key"),
    ] {
        put(&bad);
        let error = tls.refresh(&Names::default(), false).unwrap_err().to_string();
        assert!(error.contains(wrong) && error.contains("/a."), "{error}");
        assert_eq!(now(), ["two.example"]);
        assert!(!tls.refresh(&Names::default(), false).unwrap(), "it was said once");
    }
    fs::remove_file(&key).unwrap();
    assert!(tls.refresh(&Names::default(), true).is_err());
    put(&one);
    assert!(tls.refresh(&Names::default(), false).unwrap());
    assert_eq!(now(), ["one.example"]);
}

#[test]
fn a_client_is_shown_the_certificate_of_the_domain_it_asks_for() {
    let load = |names: &str| {
        let key = KeyPair::generate().unwrap();
        let pem = params(names).self_signed(&key).unwrap().pem();
        Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    };
    let all = [load("dns:a.example"), load("dns:*.b.example"), load("uri:sip:c.example")];
    let keys = all.clone().map(|identity| identity.key);
    let by_name = ByName::new(all.to_vec());
    for (name, nth) in [
        ("a.example", Some(0)),
        ("x.b.example", Some(1)),
        ("b.example", None),
        ("c.example", Some(2)),
        ("d.example", None),
    ] {
        let found = by_name.find(name).map(|key| keys.iter().position(|k| Arc::ptr_eq(k, key)));
        assert_eq!(found, nth.map(Some), "{name}");
    }
}
