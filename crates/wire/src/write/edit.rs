//! Changes a received message while copying it: what is not touched stays byte for byte.

use crate::message::{Message, split};
use crate::name::Name;
use crate::scan::Place;
use crate::write::{offset, write_received};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

/// Collects changes of one message and then writes it. Changes of the same part must not
/// overlap; insertions at one place stand in the order they were made.
#[derive(Debug)]
pub struct Editor<'m> {
    message: Message<'m>,
    splices: Vec<Splice>,
    text: Vec<u8>,
}

/// Replace these bytes of the message by that part of `text`.
#[derive(Clone, Debug)]
struct Splice {
    old: Range<usize>,
    new: Range<usize>,
}

impl<'m> Editor<'m> {
    /// Nothing changed yet.
    pub fn new(message: &Message<'m>) -> Self {
        Self { message: *message, splices: Vec::with_capacity(12), text: Vec::with_capacity(640) }
    }

    /// Puts a Via on top.
    pub fn push_via(&mut self, value: &[u8]) {
        let at = self.top_of(Name::Via).unwrap_or(self.after_start_line());
        self.insert(at, &[b"Via: ", value, b"\r\n"]);
    }

    /// Takes the topmost Via value off.
    pub fn pop_via(&mut self) {
        self.pop(Name::Via, 1);
    }

    /// Notes in the topmost Via where the request came from: `received` where sent-by says
    /// something else, `rport` where it is asked for (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn set_received(&mut self, source: SocketAddr) {
        let Some(value) = self.message.values(Name::Via).next() else { return };
        let start = offset(&self.message, value);
        let from = self.text.len();
        write_received(value, source, &mut self.text);
        let new = from..self.text.len();
        self.splices.push(Splice { old: start..start + value.len(), new });
    }

    /// Replaces the Request-URI.
    pub fn set_request_uri(&mut self, uri: &[u8]) {
        let old = self.message.request_uri_range();
        self.splices.retain(|splice| splice.old != old);
        self.replace(old, &[uri]);
    }

    /// Sets Max-Forwards.
    pub fn set_max_forwards(&mut self, hops: u8) {
        let mut digits = [0; 3];
        let mut len = 0;
        for divisor in [100, 10, 1] {
            if hops >= divisor || divisor == 1 {
                digits[len] = b'0' + hops / divisor % 10;
                len += 1;
            }
        }
        self.set(Name::MaxForwards, &digits[..len]);
    }

    /// Takes the first `n` Route values off.
    pub fn pop_routes(&mut self, n: usize) {
        self.pop(Name::Route, n);
    }

    /// Takes the last Route value off, which must not be among those popped.
    pub fn pop_last_route(&mut self) {
        let Some(place) = self.message.places(Name::Route).last() else { return };
        let value = &self.message.raw()[place.value.into()..place.value_end.into()];
        let last = split(value).last().map_or(0, |last| offset(&self.message, last));
        let old = if last <= usize::from(place.value) {
            place.start.into()..place.end.into()
        } else {
            let before = &self.message.raw()[..last];
            let comma = memchr::memrchr(b',', before).unwrap_or(last);
            comma..place.value_end.into()
        };
        self.replace(old, &[]);
    }

    /// Puts a Route on top.
    pub fn push_route(&mut self, value: &[u8]) {
        let at = self.top_of(Name::Route).unwrap_or(self.after_vias());
        self.insert(at, &[b"Route: ", value, b"\r\n"]);
    }

    /// Puts a Route behind all others.
    pub fn append_route(&mut self, value: &[u8]) {
        let last = self.message.places(Name::Route).last().map(|place| place.end.into());
        self.insert(last.unwrap_or(self.after_vias()), &[b"Route: ", value, b"\r\n"]);
    }

    /// Puts a Record-Route (or several, separated by commas) on top.
    pub fn push_record_route(&mut self, value: &[u8]) {
        let at = self.top_of(Name::RecordRoute).unwrap_or(self.after_vias());
        self.insert(at, &[b"Record-Route: ", value, b"\r\n"]);
    }

    /// Sets a header: replaces the first of this name and removes the others, or appends it.
    pub fn set(&mut self, name: Name, value: &[u8]) {
        let mut places = self.message.places(name);
        match places.next() {
            Some(first) => {
                self.replace(first.value.into()..first.value_end.into(), &[value]);
                for place in places {
                    self.replace(place.start.into()..place.end.into(), &[]);
                }
            }
            None => self.append(name.as_str(), value),
        }
    }

    /// Removes all headers of this name.
    pub fn remove(&mut self, name: Name) {
        for place in self.message.places(name) {
            self.replace(place.start.into()..place.end.into(), &[]);
        }
    }

    /// Removes one header line of this name, counted from 0.
    pub fn remove_nth(&mut self, name: Name, nth: usize) {
        if let Some(place) = self.message.places(name).nth(nth) {
            self.replace(place.start.into()..place.end.into(), &[]);
        }
    }

    /// Adds a header at the end.
    pub fn append(&mut self, name: &str, value: &[u8]) {
        let at = usize::from(self.message.index().body) - 2;
        self.insert(at, &[name.as_bytes(), b": ", value, b"\r\n"]);
    }

    /// Writes the changed message behind what is in `out`; tells where it stands there.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Range<usize> {
        // A stable sort keeps insertions at one place in their order.
        self.splices.sort_by_key(|splice| (splice.old.start, splice.old.end));
        let raw = self.message.raw();
        let index = self.message.index();
        let start = out.len();
        out.reserve(raw.len() + self.text.len());
        let mut at = usize::from(index.start);
        for Splice { old, new } in &self.splices {
            assert!(old.start >= at, "changes of a message do not overlap");
            out.extend_from_slice(&raw[at..old.start]);
            out.extend_from_slice(&self.text[new.clone()]);
            at = old.end;
        }
        out.extend_from_slice(&raw[at..usize::from(index.body_end)]);
        start..out.len()
    }

    fn replace(&mut self, old: Range<usize>, parts: &[&[u8]]) {
        let from = self.text.len();
        parts.iter().for_each(|part| self.text.extend_from_slice(part));
        self.splices.push(Splice { old, new: from..self.text.len() });
    }

    fn insert(&mut self, at: usize, parts: &[&[u8]]) {
        self.replace(at..at, parts);
    }

    fn top_of(&self, name: Name) -> Option<usize> {
        self.message.places(name).next().map(|place| place.start.into())
    }

    fn after_start_line(&self) -> usize {
        let first = self.message.index().places.first();
        first.map_or(usize::from(self.message.index().body) - 2, |place| place.start.into())
    }

    fn after_vias(&self) -> usize {
        let last = self.message.places(Name::Via).last();
        last.map_or(self.after_start_line(), |place| place.end.into())
    }

    /// Takes the first `n` values of a header off, whole lines where nothing is left of them.
    fn pop(&mut self, name: Name, mut n: usize) {
        let message = self.message;
        for place in message.places(name) {
            if n == 0 {
                return;
            }
            let value = &message.raw()[place.value.into()..place.value_end.into()];
            let count = split(value).count();
            let old = match split(value).nth(n) {
                Some(stays) => usize::from(place.value)..offset(&message, stays),
                None => line(place),
            };
            self.replace(old, &[]);
            n = n.saturating_sub(count);
        }
    }
}

fn line(place: &Place) -> Range<usize> {
    place.start.into()..place.end.into()
}
