//! Writing: received bytes changed in place, and messages of our own.

pub(crate) mod edit;
pub(crate) mod response;
pub(crate) mod request;
pub(crate) mod reason;

use crate::message::Message;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Where a part of a message stands in its bytes.
fn offset(message: &Message<'_>, part: &[u8]) -> usize {
    part.as_ptr() as usize - message.raw().as_ptr() as usize
}

/// The changes that `received` and `rport` need in a Via value (RFC 3261 §18.2.1, RFC 3581 §4):
/// what stays of the value, and then the two parameters.
fn write_received(value: &[u8], source: SocketAddr, out: &mut Vec<u8>) {
    use core::fmt::Write;
    let Ok(via) = crate::header::via::Via::parse(value) else {
        return put_value(value, out);
    };
    let params = via.params.as_bytes();
    let head = value.len() - params.len();
    put_value(crate::scan::trim(&value[..head]), out);
    let mut asks_rport = false;
    let mut rest = params;
    let mut iter = via.params.iter();
    while let Some((name, _)) = iter.next() {
        let after = iter.rest_len();
        let segment = &rest[..rest.len() - after];
        rest = &rest[rest.len() - after..];
        if name.eq_ignore_ascii_case(b"rport") {
            asks_rport = true;
        } else if !name.eq_ignore_ascii_case(b"received") {
            put_value(segment, out);
        }
    }
    let ip = source.ip().to_canonical();
    let same_host = match via.host {
        crate::uri::Host::V4(v4) => ip == core::net::IpAddr::V4(v4),
        crate::uri::Host::V6(v6) => ip == core::net::IpAddr::V6(v6),
        crate::uri::Host::Name(_) => false,
    };
    let mut text = Text(out);
    // Writing to memory cannot fail.
    if asks_rport || !same_host {
        //= RFC 3581 4
        // "the server MUST insert a \"received\" parameter"
        let _ = write!(text, ";received={ip}");
    }
    if asks_rport {
        //= RFC 3581 4
        // "it MUST set the value of the parameter to the source port"
        let _ = write!(text, ";rport={}", source.port());
    }
}

/// Appends a header value on one line: a fold becomes a blank, and so does any other line end,
/// so that no value ends its header, whoever it came from (A9, A11).
fn put_value(mut value: &[u8], out: &mut Vec<u8>) {
    while let Some(end) = memchr::memchr2(b'\r', b'\n', value) {
        out.extend_from_slice(&value[..end]);
        out.push(b' ');
        let blanks = value[end..].iter().take_while(|&&b| crate::scan::is_blank(b)).count();
        value = &value[end + blanks..];
    }
    out.extend_from_slice(value);
}

/// A number below 100,000 in decimal.
fn decimal(mut number: usize, digits: &mut [u8; 5]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || at == 0 {
            return &digits[at..];
        }
    }
}

/// Appends one header line.
fn put_header(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    put_value(value, out);
    out.extend_from_slice(b"\r\n");
}

/// Lets `write!` append to bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl core::fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}
