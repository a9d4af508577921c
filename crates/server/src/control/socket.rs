//! The socket itself: who may connect, how much may be said, and how long it may take.

use crate::control::running::Running;
use crate::control::{Answer, Failure, Far, Kind, Question};
use crate::limits;
use nix::unistd::Group;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream as Stream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

/// Members of this group may use the socket, where it exists.
const GROUP: &str = "ringway";

/// The control socket could not be had.
#[derive(Debug)]
pub enum CannotControl {
    /// Somebody answers there.
    InUse(PathBuf),
    /// There is something else at this place.
    NoSocket(PathBuf),
    /// The path is longer than the system takes.
    TooLong(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for CannotControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "another server is controlled through {}", path.display())?;
                write!(f, "; stop it, or choose another control socket")
            }
            Self::NoSocket(path) => {
                write!(f, "{} is there and no socket; move it away, or ", path.display())?;
                write!(f, "choose another control socket")
            }
            Self::TooLong(path) => {
                write!(f, "the path of the control socket is too long, 107 bytes are the most: ")?;
                write!(f, "{}; choose another control socket", path.display())
            }
            Self::Io(path, cause) => {
                write!(f, "cannot make the control socket {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for CannotControl {}

/// A socket with its name in the file system, which goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    socket: Socket,
    path: PathBuf,
    /// Tells it from one that another process put in its place.
    inode: u64,
    /// Whether the group may use it.
    shared: bool,
}

/// Takes the place; nobody can connect before [`ControlSocket::listen`]. What a server left that
/// crashed is replaced, a socket on which somebody answers is not.
///
/// # Errors
/// If the place cannot be had.
pub fn bind(path: &Path) -> Result<ControlSocket, CannotControl> {
    let cannot = |error| CannotControl::Io(path.to_owned(), error);
    let address = SockAddr::unix(path).map_err(|_| CannotControl::TooLong(path.to_owned()))?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(cannot)?;
    let bound = match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            socket.bind(&address)
        }
        bound => bound,
    };
    bound.map_err(cannot)?;
    // Before it listens: there is no moment at which a stranger could connect.
    let group = Group::from_name(GROUP).ok().flatten();
    let shared = group.is_some_and(|group| chown(path, None, Some(group.gid.as_raw())).is_ok());
    let mode = if shared { 0o660 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(cannot)?;
    let inode = fs::symlink_metadata(path).map_err(cannot)?.ino();
    Ok(ControlSocket { socket, path: path.to_owned(), inode, shared })
}

fn remove_stale(path: &Path) -> Result<(), CannotControl> {
    let cannot = |error| CannotControl::Io(path.to_owned(), error);
    let found = fs::symlink_metadata(path).map_err(cannot)?;
    if !found.file_type().is_socket() {
        return Err(CannotControl::NoSocket(path.to_owned()));
    }
    match Stream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(cannot)
        }
        // It is there, and somebody has it, whether it answers us or not.
        Ok(_) | Err(_) => Err(CannotControl::InUse(path.to_owned())),
    }
}

impl ControlSocket {
    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who may use it, besides root.
    pub const fn open_to(&self) -> &'static str {
        if self.shared { "its owner and the group ringway" } else { "its owner" }
    }

    /// Lets clients connect. To be called inside the runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        self.socket.listen(limits::CONTROL_CLIENTS as i32)?;
        let socket = self.socket.try_clone()?;
        socket.set_nonblocking(true)?;
        UnixListener::from_std(socket.into())
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let is_ours = |found: fs::Metadata| found.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // One that cannot be removed is taken for what it is, stale, at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Serves clients until it is aborted.
pub(crate) async fn serve(listener: UnixListener, running: Running) {
    let room = Arc::new(Semaphore::new(limits::CONTROL_CLIENTS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(event = "control_accept_failed", reason = %error);
                tokio::time::sleep(limits::TICK).await;
                continue;
            }
        };
        match Arc::clone(&room).try_acquire_owned() {
            Ok(place) => {
                let running = running.clone();
                tokio::spawn(async move {
                    // Whoever breaks off has nobody left to tell.
                    let _ = talk(stream, &running).await;
                    drop(place);
                });
            }
            Err(_) => {
                let busy = Failure::new(Kind::Busy, "too many commands at once; try again");
                // A new socket has room for a line.
                let _ = stream.try_write(Answer::end(Err(busy)).line().as_bytes());
            }
        }
    }
}

async fn talk(stream: UnixStream, running: &Running) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        timeout(limits::CONTROL_IDLE, read_line(&mut read, &mut line)).await??;
        if line.is_empty() {
            return Ok(());
        }
        if line.len() > limits::CONTROL_LINE {
            let message = format!("a line may have at most {} bytes", limits::CONTROL_LINE);
            let failure = Failure::new(Kind::Invalid, message);
            return send(&mut write, &Answer::end(Err(failure)).line()).await;
        }
        answer(&line, running, &mut write).await?;
    }
}

/// Reads to the end of a line; stops beyond the limit. Nothing is read at the end of the stream.
async fn read_line(read: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> io::Result<usize> {
    read.take(limits::CONTROL_LINE as u64 + 1).read_until(b'\n', line).await
}

/// Works off one request on a thread that may wait, and sends what comes of it. A client that
/// does not read holds up that thread for as long as it may, and no other.
async fn answer(line: &[u8], running: &Running, write: &mut OwnedWriteHalf) -> io::Result<()> {
    let request = match Question::read(line) {
        Ok(request) => request,
        Err(failure) => return send(write, &Answer::end(Err(failure)).line()).await,
    };
    let (sender, mut replies) = mpsc::channel(limits::REPLIES_QUEUED);
    let mut running = running.clone();
    let work = spawn_blocking(move || {
        running.ask(request, &mut |reply| {
            let gone = |_| Failure::new(Kind::Failed, "the client is gone");
            sender.blocking_send(Answer::reply(reply).line()).map_err(gone)
        })
    });
    while let Some(line) = replies.recv().await {
        send(write, &line).await?;
    }
    let end = work.await.unwrap_or_else(|_| {
        Err(Failure::new(Kind::Failed, "the server panicked at this request, which is a bug"))
    });
    send(write, &Answer::end(end).line()).await
}

async fn send(write: &mut OwnedWriteHalf, line: &str) -> io::Result<()> {
    timeout(limits::CONTROL_IDLE, write.write_all(line.as_bytes())).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let first = bind(&path).expect("a free place");
        assert_eq!(mode(&path) & 0o117, 0, "nothing for strangers, and nothing to execute");
        first.socket.listen(1).expect("listens");
        let refused = bind(&path).expect_err("somebody listens");
        assert!(refused.to_string().contains("another server is controlled through"), "{refused}");
        assert!(Stream::connect(&path).is_ok(), "it was not disturbed");

        // As a crash leaves it: the name is there, and nobody behind it.
        let crashed = first.socket.try_clone().expect("a second hold");
        std::mem::forget(first);
        drop(crashed);
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("other")).expect("bound"));
        let stale = bind(&folder.path().join("other")).expect("stale");
        drop(stale);
        assert!(!folder.path().join("other").exists(), "it goes with its server");
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.txt");
        fs::write(&path, "mine").expect("written");
        assert!(matches!(bind(&path), Err(CannotControl::NoSocket(_))));
        assert_eq!(fs::read(&path).expect("read"), b"mine");
        let long = folder.path().join("x".repeat(120));
        assert!(matches!(bind(&long), Err(CannotControl::TooLong(_))));
        let nowhere = folder.path().join("none/control.sock");
        assert!(matches!(bind(&nowhere), Err(CannotControl::Io(..))));
    }

    #[test]
    fn one_that_was_replaced_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let first = bind(&path).expect("a free place");
        fs::remove_file(&path).expect("removed by hand");
        let second = bind(&path).expect("a free place again");
        drop(first);
        assert!(path.exists(), "it belongs to the second");
        drop(second);
        assert!(!path.exists());
    }
}
