//! Ways to the server over TLS and WebSocket, made with libraries that know nothing of ours.

#![allow(dead_code, reason = "each test file uses its part")]

use crate::world::LONG;
use ringway_core::flow::Transport;
use ringway_server::demo::Link;
use ringway_wire::{Frame, Framer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_tungstenite::tungstenite;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// How long a link waits for a message at a time.
const TICK: Duration = Duration::from_millis(20);

/// Bytes both ways.
pub(crate) trait Duplex: Read + Write + Send {
    fn socket(&self) -> &TcpStream;
}

impl Duplex for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

impl Duplex for Secure {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// What a client trusts, and what it shows of itself.
pub(crate) fn trusting(certificate: &Path, own: Option<(&Path, &Path)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(certificate).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_file_iter(certificate).unwrap();
            let chain = chain.collect::<Result<_, _>>().unwrap();
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
                .unwrap()
        }
    })
}

/// A TLS connection whose handshake is done.
pub(crate) fn secure_to(
    to: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<Secure> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LONG))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        let (connection, socket) = (&mut stream.conn, &mut stream.sock);
        connection.complete_io(socket)?;
    }
    Ok(stream)
}

/// A WebSocket for SIP, opened as a page of `origin` does.
pub(crate) fn web_socket_over<S: Duplex>(
    stream: S,
    origin: Option<&str>,
) -> Result<WebSocket<S>, Box<tungstenite::Error>> {
    let mut request = "ws://example.org/ws".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse().unwrap());
    }
    match tungstenite::client(request, stream) {
        Ok((socket, response)) => {
            assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
            Ok(socket)
        }
        Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
        Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("the socket blocks"),
    }
}

/// A link as phones of the demo take it.
pub(crate) fn link(
    (transport, to): (Transport, SocketAddr),
    config: Option<&Arc<ClientConfig>>,
) -> Box<dyn Link> {
    let stream: Box<dyn Duplex> = match transport {
        Transport::Tls | Transport::Wss => {
            Box::new(secure_to(to, "example.org", config.expect("trust")).unwrap())
        }
        _ => {
            let stream = TcpStream::connect(to).unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        }
    };
    let local = stream.socket().local_addr().unwrap();
    let wire = match transport {
        Transport::Ws | Transport::Wss => {
            Wire::Web(Box::new(web_socket_over(stream, Some("https://example.org")).unwrap()))
        }
        _ => Wire::Stream(stream, Framer::new()),
    };
    match &wire {
        Wire::Stream(stream, _) => stream.socket().set_read_timeout(Some(TICK)).unwrap(),
        Wire::Web(web) => web.get_ref().socket().set_read_timeout(Some(TICK)).unwrap(),
    }
    Box::new(TestLink { transport, local, wire: Mutex::new(wire) })
}

impl Duplex for Box<dyn Duplex> {
    fn socket(&self) -> &TcpStream {
        (**self).socket()
    }
}

enum Wire {
    Stream(Box<dyn Duplex>, Framer),
    Web(Box<WebSocket<Box<dyn Duplex>>>),
}

struct TestLink {
    transport: Transport,
    local: SocketAddr,
    wire: Mutex<Wire>,
}

impl fmt::Debug for TestLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.transport, self.local)
    }
}

impl Link for TestLink {
    fn transport(&self) -> Transport {
        self.transport
    }

    fn local(&self) -> SocketAddr {
        self.local
    }

    fn say(&self, message: &[u8]) -> io::Result<()> {
        match &mut *self.wire.lock().unwrap() {
            Wire::Stream(stream, _) => {
                stream.write_all(message)?;
                stream.flush()
            }
            Wire::Web(web) => {
                let text = String::from_utf8(message.to_vec()).map_err(io::Error::other)?;
                web.send(Message::text(text)).map_err(io::Error::other)
            }
        }
    }

    fn hear(&self) -> io::Result<Vec<u8>> {
        // Whoever wants to say something has its turn in between.
        std::thread::sleep(Duration::from_millis(1));
        match &mut *self.wire.lock().unwrap() {
            Wire::Stream(stream, framer) => loop {
                match framer.next() {
                    Some(Ok(Frame::Message(bytes))) => return Ok(bytes.to_vec()),
                    Some(Ok(Frame::Ping | Frame::Pong)) => continue,
                    Some(Err(error)) => return Err(io::Error::other(format!("{error:?}"))),
                    None => {}
                }
                let mut buffer = [0; 4_096];
                match stream.read(&mut buffer)? {
                    0 => return Ok(Vec::new()),
                    length => framer.push(&buffer[..length]),
                }
            },
            Wire::Web(web) => match web.read() {
                Ok(Message::Text(text)) => Ok(text.as_bytes().to_vec()),
                Ok(Message::Binary(bytes)) => Ok(bytes.to_vec()),
                Ok(Message::Close(_)) => Ok(Vec::new()),
                Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
                Err(tungstenite::Error::Io(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            },
        }
    }
}
