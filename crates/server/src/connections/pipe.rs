//! The socket of one connection, in clear or with TLS before it. Nothing here waits.

use rustls::Connection;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

/// The task that is woken when there is room again; only that of the connection itself may wait.
pub(super) type Waits<'a, 'c> = Option<&'a mut Context<'c>>;

/// Where the bytes of a connection go.
#[derive(Debug)]
pub(crate) struct Pipe {
    half: OwnedWriteHalf,
    tls: Option<Box<Connection>>,
}

impl Pipe {
    /// One that carries what it is given as it is.
    pub(crate) fn clear(half: OwnedWriteHalf) -> Self {
        Self { half, tls: None }
    }

    /// One whose handshake is done.
    pub(crate) fn secure(half: OwnedWriteHalf, tls: impl Into<Connection>) -> Self {
        Self { half, tls: Some(Box::new(tls.into())) }
    }

    /// Takes as many of these bytes as there is room for, and tells how many.
    pub(super) fn write(&mut self, bytes: &[u8], mut waits: Waits<'_, '_>) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() && self.drain(waits.as_deref_mut())? {
            let rest = &bytes[taken..];
            let written = match &mut self.tls {
                Some(tls) => tls.writer().write(rest),
                None => Socket { half: &mut self.half, waits: waits.as_deref_mut() }.write(rest),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => taken += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Hands on what TLS has ready. `false`: there is no room for all of it.
    pub(super) fn drain(&mut self, mut waits: Waits<'_, '_>) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            let mut socket = Socket { half: &mut self.half, waits: waits.as_deref_mut() };
            match tls.write_tls(&mut socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Adds what TLS makes of bytes that came. Tells whether the far side has said its last word.
    pub(super) fn open(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            plain.extend_from_slice(sealed);
            return Ok(false);
        };
        loop {
            if !sealed.is_empty() {
                tls.read_tls(&mut sealed)?;
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let at = plain.len();
            plain.resize(at + state.plaintext_bytes_to_read(), 0);
            io::Read::read_exact(&mut tls.reader(), &mut plain[at..])?;
            if state.peer_has_closed() || sealed.is_empty() {
                return Ok(state.peer_has_closed());
            }
        }
    }

    /// Over TLS the far side hears that this is the end, and nobody cut it short.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
    }
}

/// The socket as TLS wants to see it.
struct Socket<'a, 'c> {
    half: &'a mut OwnedWriteHalf,
    waits: Waits<'a, 'c>,
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.waits {
            None => self.half.try_write(bytes),
            Some(task) => at_once(Pin::new(&mut *self.half).poll_write(task, bytes)),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.waits {
            None => self.half.try_write_vectored(slices),
            Some(task) => at_once(Pin::new(&mut *self.half).poll_write_vectored(task, slices)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn at_once(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(written) => written,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}
