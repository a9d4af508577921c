//! The other end of the socket, in a command; and the choice between it and the data themselves.

use crate::config::routing::Routing;
use crate::control::stopped::Stopped;
use crate::control::{Answer, Each, Failure, Far, Kind, Question, Request};
use crate::limits;
use crate::listen::Endpoint;
use ringway_core::snapshot::Peer;
use ringway_store::StoreError;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// Where a server is, whether it runs or not.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its control socket.
    pub control: PathBuf,
    /// Its data.
    pub data: PathBuf,
    /// Its configured domains.
    pub domains: Vec<String>,
    /// Where it would listen.
    pub listen: Vec<Endpoint>,
    /// The address it would announce.
    pub advertise: Option<IpAddr>,
    /// For how many seconds a group of branches rings.
    pub ring_s: u32,
    /// Who needs no password.
    pub peers: Vec<Peer>,
    /// How domains are served, and where other requests go.
    pub routing: Routing,
}

impl Place {
    /// The server, if it runs.
    ///
    /// # Errors
    /// If it does not run, or cannot be reached.
    pub fn running(&self) -> Result<Client, Failure> {
        Client::connect(&self.control)
    }

    /// The server if it runs, else its data. One that is just starting, and another command
    /// that has the data, are waited for.
    ///
    /// # Errors
    /// If neither can be had.
    pub fn reach(&self) -> Result<Box<dyn Far>, Failure> {
        let end = Instant::now() + limits::CONTROL_REACH;
        loop {
            match self.running() {
                Ok(client) => return Ok(Box::new(client)),
                Err(failure) if failure.kind != Kind::Unreachable => return Err(failure),
                Err(_) => {}
            }
            match Stopped::open(self) {
                Ok(stopped) => return Ok(Box::new(stopped)),
                Err(StoreError::InUse { process, .. }) if Instant::now() >= end => {
                    let process = process.map_or(String::new(), |n| format!(" by process {n}"));
                    let message = format!(
                        "the data in {} are in use{process}, but nobody answers at {}; is the \
                         server configured with another control socket?",
                        self.data.display(),
                        self.control.display()
                    );
                    return Err(Failure::new(Kind::Unreachable, message));
                }
                Err(StoreError::InUse { .. }) => thread::sleep(limits::TICK),
                Err(error @ StoreError::NotWritable { .. }) => {
                    return Err(Failure::new(Kind::Denied, error.to_string()));
                }
                Err(error) => return Err(Failure::new(Kind::Failed, error.to_string())),
            }
        }
    }
}

/// A connection to a server that runs.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nobody answers there, or we are not allowed to.
    pub fn connect(path: &Path) -> Result<Self, Failure> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(limits::CONTROL_PATIENCE))?;
            stream.set_write_timeout(Some(limits::CONTROL_PATIENCE))?;
            Ok(Self { stream: BufReader::new(stream) })
        };
        connect().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let message = format!(
                    "not allowed to use {}; try as root, or as a member of the group ringway",
                    path.display()
                );
                Failure::new(Kind::Denied, message)
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                let message = format!("no server runs at {}", path.display());
                Failure::new(Kind::Unreachable, message)
            }
            _ => {
                let message = format!("cannot reach a server at {}: {error}", path.display());
                Failure::new(Kind::Unreachable, message)
            }
        })
    }

    /// Something that ends the connection from another thread.
    pub fn hang_up(&self) -> impl FnOnce() + Send + 'static {
        let stream = self.stream.get_ref().try_clone();
        move || {
            if let Ok(stream) = stream {
                // One that has ended already is as good.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn read(&mut self) -> Result<Answer, Failure> {
        let mut line = Vec::new();
        let limit = limits::CONTROL_REPLY as u64;
        let read = self.stream.by_ref().take(limit).read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.ends_with(b"\n") => serde_json::from_slice(&line).map_err(|error| {
                let message = format!("the server said what is no answer: {error}");
                Failure::new(Kind::Failed, message)
            }),
            Ok(_) => Err(lost("it closed the connection")),
            Err(error) if is_timeout(&error) => Err(lost("it says nothing")),
            Err(error) => Err(lost(&error.to_string())),
        }
    }
}

impl Far for Client {
    fn ask(&mut self, request: Request, each: Each<'_>) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(&Question::new(request))
            .map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
        line.push(b'\n');
        let sent = self.stream.get_mut().write_all(&line);
        // A server that refuses us closes its end, but has said why.
        let broken = sent.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
        if let Some(error) = broken {
            return Err(lost(&error.to_string()));
        }
        loop {
            match self.read()? {
                Answer { failure: Some(failure), .. } => return Err(failure),
                Answer { reply: Some(reply), .. } => each(reply)?,
                Answer { end: true, .. } => return Ok(()),
                Answer { .. } => {
                    return Err(Failure::new(Kind::Failed, "the server said what is no answer"));
                }
            }
        }
    }
}

fn lost(cause: &str) -> Failure {
    let message =
        format!("the server was lost: {cause}; whether a change under way was made is not known");
    Failure::new(Kind::Unreachable, message)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
