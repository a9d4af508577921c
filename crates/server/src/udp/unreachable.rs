//! Notices that a datagram did not arrive (ICMP), read from the error queue of its socket.

use crate::engine::{Engine, Work};
use crate::limits;
use crate::metrics::count;
use crate::udp::from_kernel;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use ringway_core::transaction::key::ClientBranch;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

/// Who wrote a notice, as the kernel says (`SO_EE_ORIGIN_ICMP`, `SO_EE_ORIGIN_ICMP6`).
const ICMP: u8 = 2;
const ICMP6: u8 = 3;

/// Has the kernel keep notices for a socket.
pub(super) fn listen(socket: &impl AsFd, is_v4: bool) -> io::Result<()> {
    let set = match is_v4 {
        true => setsockopt(socket, Ipv4RecvErr, &true),
        false => setsockopt(socket, Ipv6RecvErr, &true),
    };
    set.map_err(io::Error::from)
}

/// Takes the notices of one socket, some at a time, and tells the partitions.
pub(super) fn take(engine: &Engine, socket: &UdpSocket, work: &mut Work) {
    let mut quoted = [0; limits::NOTICE];
    for _ in 0..limits::NOTICES {
        let Some((remote, length)) = next(socket, &mut quoted) else { return };
        let Some(remote) = remote else { continue };
        count(&engine.metrics.datagrams_unreachable);
        if let Some(branch) = ClientBranch::quoted(&quoted[..length]) {
            engine.unreachable(remote, branch, work);
        }
    }
}

/// The next notice: where the datagram was sent to, if that is for good, and how much of it is
/// quoted.
fn next(socket: &UdpSocket, quoted: &mut [u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut slices = [IoSliceMut::new(quoted)];
    let mut room = nix::cmsg_space!([u8; 128]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut room), flags).ok()?;
    let is_final = message.cmsgs().ok()?.any(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) => {
            is_unreachable(error.ee_origin, error.ee_type, error.ee_code)
        }
        ControlMessageOwned::Ipv6RecvErr(error, _) => {
            is_unreachable(error.ee_origin, error.ee_type, error.ee_code)
        }
        _ => false,
    });
    let remote = message.address.as_ref().and_then(from_kernel).filter(|_| is_final);
    Some((remote, message.bytes))
}

/// Network, host, protocol or port unreachable (RFC 792; RFC 4443 §3.1: no route, address, port).
const fn is_unreachable(origin: u8, kind: u8, code: u8) -> bool {
    match origin {
        ICMP => kind == 3 && code <= 3,
        ICMP6 => kind == 1 && matches!(code, 0 | 3 | 4),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_final_and_what_is_not() {
        for (notice, expected) in [
            ((ICMP, 3, 0), true),
            ((ICMP, 3, 1), true),
            ((ICMP, 3, 3), true),
            // Too big, forbidden by a firewall, out of time.
            ((ICMP, 3, 4), false),
            ((ICMP, 3, 13), false),
            ((ICMP, 11, 0), false),
            ((ICMP6, 1, 4), true),
            ((ICMP6, 2, 0), false),
            ((1, 3, 3), false),
        ] {
            let (origin, kind, code) = notice;
            assert_eq!(is_unreachable(origin, kind, code), expected, "{notice:?}");
        }
    }
}
