//! Another SIP server that is reached over TLS, and the authority that vouches for it.

#![allow(dead_code, reason = "each test file uses its part")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

/// An authority, its certificate in a file.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) file: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join("ca.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A certificate for these names, and its key, in files.
    pub(crate) fn issue(&self, names: &[&str]) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|&name| name_of(name)).collect();
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer);
        let file = self.file.with_file_name(format!("{}.pem", names[0]));
        std::fs::write(&file, made.unwrap().pem()).unwrap();
        std::fs::write(file.with_extension("key"), key.serialize_pem()).unwrap();
        (file.clone(), file.with_extension("key"))
    }

    /// A certificate that is good from so many days after today, and until so many.
    pub(crate) fn issue_for(&self, name: &str, begins: i64, ends: i64) -> (PathBuf, PathBuf) {
        let at = |days: i64| {
            let span = Duration::from_secs(86_400 * days.unsigned_abs());
            let now = SystemTime::now();
            if days < 0 { now - span } else { now + span }
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (at(begins).into(), at(ends).into());
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let file = self.file.with_file_name(format!("{name}{ends}.pem"));
        std::fs::write(&file, made.pem()).unwrap();
        std::fs::write(file.with_extension("key"), key.serialize_pem()).unwrap();
        (file.clone(), file.with_extension("key"))
    }
}

fn name_of(name: &str) -> SanType {
    match name.starts_with("sip:") {
        true => SanType::URI(name.try_into().unwrap()),
        false => SanType::DnsName(name.try_into().unwrap()),
    }
}

/// A server that answers every request with 200, and remembers all that it was told.
#[derive(Clone)]
pub(crate) struct Far {
    pub(crate) at: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    /// The names that clients asked for.
    names: Arc<Mutex<Vec<String>>>,
    /// The certificates that clients showed, one for each connection.
    shown: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Far {
    pub(crate) fn start(identity: &(PathBuf, PathBuf)) -> Self {
        Self::with(identity, None)
    }

    /// One that asks its clients for certificates of this authority.
    pub(crate) fn asking(identity: &(PathBuf, PathBuf), authority: &Authority) -> Self {
        Self::with(identity, Some(authority))
    }

    fn with((certificate, key): &(PathBuf, PathBuf), authority: Option<&Authority>) -> Self {
        let chain = rustls::pki_types::CertificateDer::pem_file_iter(certificate).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config =
            builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (heard, names, shown) = (Arc::default(), Arc::default(), Arc::default());
        let far = Self { at, heard, names, shown };
        let (config, seen) = (Arc::new(config), far.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, far) = (Arc::clone(&config), seen.clone());
                thread::spawn(move || serve(&config, stream, &far));
            }
        });
        far
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn shown(&self) -> Vec<Vec<u8>> {
        self.shown.lock().unwrap().clone()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }
}

fn serve(config: &Arc<ServerConfig>, stream: TcpStream, far: &Far) {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let (mut text, mut buffer) = (String::new(), [0; 4_096]);
    let mut is_new = true;
    while let Ok(length) = stream.read(&mut buffer) {
        if length == 0 {
            return;
        }
        if std::mem::take(&mut is_new) {
            let name = stream.conn.server_name().unwrap_or("none").to_owned();
            far.names.lock().unwrap().push(name);
            let chain = stream.conn.peer_certificates().unwrap_or_default();
            far.shown.lock().unwrap().extend(chain.first().map(|first| first.to_vec()));
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        while let Some(end) = text.find("\r\n\r\n") {
            let request: String = text.drain(..end + 4).collect();
            let line = request.lines().next().unwrap_or_default().to_owned();
            far.heard.lock().unwrap().push(line);
            if stream.write_all(answer(&request).as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// The 200 to a request.
pub(crate) fn answer(request: &str) -> String {
    let kept = ["Via:", "From:", "Call-ID:", "CSeq:", "To:"];
    let lines = request.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let mut text = String::from("SIP/2.0 200 OK\r\n");
    lines.for_each(|line| text += &format!("{line}\r\n"));
    text + "Content-Length: 0\r\n\r\n"
}
