//! Changes a received message while copying it: what is not touched stays byte for byte.

use crate::message::{Message, split};
use crate::name::Name;
use crate::scan::Place;
use crate::write::{decimal, offset, put_header, put_value, write_received};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

/// Collects changes of one message and then writes it. Insertions at one place stand in the order
/// they were made; setting a part twice leaves the later text; a change inside a part that was
/// taken away is lost with it. Line ends in a given value become blanks.
#[derive(Debug)]
pub struct Editor<'m> {
    message: Message<'m>,
    splices: Vec<Splice>,
    text: Vec<u8>,
    /// How many values go from the front, and whether the last Route goes.
    vias_off: usize,
    routes_off: usize,
    last_route_off: bool,
}

/// The memory of an [`Editor`], to be used again for the next message.
#[derive(Debug, Default)]
pub struct Scratch {
    splices: Vec<Splice>,
    text: Vec<u8>,
}

/// Replace these bytes of the message by that part of `text`.
#[derive(Clone, Debug)]
struct Splice {
    old: Range<usize>,
    new: Range<usize>,
    /// The header that this sets, so that setting it again finds it.
    set: Option<Name>,
}

impl<'m> Editor<'m> {
    /// Nothing changed yet.
    pub fn new(message: &Message<'m>) -> Self {
        Self::reusing(Scratch::default(), message)
    }

    /// Nothing changed yet; needs no memory of its own unless the changes are uncommonly many.
    pub fn reusing(scratch: Scratch, message: &Message<'m>) -> Self {
        let Scratch { mut splices, mut text } = scratch;
        splices.clear();
        text.clear();
        splices.reserve(16);
        text.reserve(640);
        let (vias_off, routes_off, last_route_off) = (0, 0, false);
        Self { message: *message, splices, text, vias_off, routes_off, last_route_off }
    }

    /// Puts a Via on top.
    pub fn push_via(&mut self, value: &[u8]) {
        let at = self.top_of(Name::Via).unwrap_or_else(|| self.after_start_line());
        self.insert(at, "Via", value);
    }

    /// The same with a value that is written piece by piece, without line ends.
    pub fn push_via_with(&mut self, value: impl FnOnce(&mut Vec<u8>)) {
        let at = self.top_of(Name::Via).unwrap_or_else(|| self.after_start_line());
        self.insert_with(at, "Via", value);
    }

    /// Takes the topmost Via value off that is still there.
    pub fn pop_via(&mut self) {
        self.vias_off += 1;
    }

    /// Notes in the topmost Via where the request came from: `received` where sent-by says
    /// something else, `rport` where it is asked for (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn set_received(&mut self, source: SocketAddr) {
        let Some(value) = self.message.values(Name::Via).next() else { return };
        let start = offset(&self.message, value);
        let from = self.text.len();
        write_received(value, source, &mut self.text);
        self.splice(start..start + value.len(), from);
    }

    /// Replaces a part of the received message, a slice of its text, by one that is written piece
    /// by piece, without line ends.
    pub fn replace_part_with(&mut self, part: &[u8], new: impl FnOnce(&mut Vec<u8>)) {
        let raw = self.message.raw().as_ptr_range();
        let inside = raw.start <= part.as_ptr() && part.as_ptr_range().end <= raw.end;
        assert!(inside, "a part of another message");
        let (start, from) = (offset(&self.message, part), self.text.len());
        new(&mut self.text);
        self.splice(start..start + part.len(), from);
    }

    /// Replaces the Request-URI; a response has none.
    pub fn set_request_uri(&mut self, uri: &[u8]) {
        if !self.message.is_request() {
            return;
        }
        self.replace(self.message.request_uri_range(), uri);
    }

    /// Sets Max-Forwards.
    pub fn set_max_forwards(&mut self, hops: u8) {
        self.set_number(Name::MaxForwards, hops.into());
    }

    /// Sets a header whose value is a number.
    pub fn set_number(&mut self, name: Name, number: u16) {
        let mut digits = [0; 5];
        self.set(name, decimal(number.into(), &mut digits));
    }

    /// Takes the first `n` Route values of the received message off; a later call may take more.
    pub fn pop_routes(&mut self, n: usize) {
        self.routes_off = self.routes_off.max(n);
    }

    /// Takes the last Route value of the received message off.
    pub fn pop_last_route(&mut self) {
        self.last_route_off = true;
    }

    /// Puts a Route on top.
    pub fn push_route(&mut self, value: &[u8]) {
        let at = self.top_of(Name::Route).unwrap_or_else(|| self.after_vias());
        self.insert(at, "Route", value);
    }

    /// Puts a Route behind all others.
    pub fn append_route(&mut self, value: &[u8]) {
        let last = self.message.places(Name::Route).last().map(|place| place.end.into());
        self.insert(last.unwrap_or_else(|| self.after_vias()), "Route", value);
    }

    /// Puts a Record-Route above those that the message has; several of them stand in the order
    /// in which they are given.
    pub fn push_record_route(&mut self, value: &[u8]) {
        let at = self.top_of(Name::RecordRoute).unwrap_or_else(|| self.after_vias());
        self.insert(at, "Record-Route", value);
    }

    /// The same with a value that is written piece by piece, without line ends.
    pub fn push_record_route_with(&mut self, value: impl FnOnce(&mut Vec<u8>)) {
        let at = self.top_of(Name::RecordRoute).unwrap_or_else(|| self.after_vias());
        self.insert_with(at, "Record-Route", value);
    }

    /// Sets a header: replaces the first of this name and removes the others, or appends it.
    pub fn set(&mut self, name: Name, value: &[u8]) {
        assert!(name != Name::Other, "a header without a name cannot be set");
        self.splices.retain(|splice| splice.set != Some(name));
        let mut places = self.message.places(name);
        match places.next() {
            Some(first) => self.replace(first.value.into()..first.value_end.into(), value),
            None => self.append(name.as_str(), value),
        }
        if let Some(added) = self.splices.last_mut() {
            added.set = Some(name);
        }
        places.for_each(|place| self.replace(line(place), b""));
    }

    /// Adds a Content-Length if there is none, as a stream needs it.
    //= RFC 3261 16.6
    // "the proxy MUST insert one with the correct value"
    pub fn complete_content_length(&mut self) {
        if self.message.header(Name::ContentLength).is_none() {
            let mut digits = [0; 5];
            let length = decimal(self.message.body().len(), &mut digits);
            self.set(Name::ContentLength, length);
        }
    }

    /// Removes all headers of this name.
    pub fn remove(&mut self, name: Name) {
        for place in self.message.places(name) {
            self.replace(line(place), b"");
        }
    }

    /// Removes one header line of this name, counted from 0.
    pub fn remove_nth(&mut self, name: Name, nth: usize) {
        if let Some(place) = self.message.places(name).nth(nth) {
            self.replace(line(place), b"");
        }
    }

    /// Adds a header at the end.
    pub fn append(&mut self, name: &str, value: &[u8]) {
        self.insert(self.message.index().head_end.into(), name, value);
    }

    /// Writes the changed message behind what is in `out`; tells where it stands there.
    pub fn finish(self, out: &mut Vec<u8>) -> Range<usize> {
        self.finish_and_return(out).0
    }

    /// The same, and gives the memory back.
    pub fn finish_and_return(mut self, out: &mut Vec<u8>) -> (Range<usize>, Scratch) {
        self.take_off(Name::Via, self.vias_off, false);
        self.take_off(Name::Route, self.routes_off, self.last_route_off);
        // What takes more away comes before what changes a part of it; at one place, what was
        // said first. `new` tells that: it only grows. (A stable sort would want memory.)
        self.splices.sort_unstable_by_key(|Splice { old, new, .. }| {
            let wide = if old.is_empty() { 0 } else { usize::MAX - old.end };
            (old.start, wide, new.start, new.end)
        });
        let raw = self.message.raw();
        let index = self.message.index();
        let start = out.len();
        out.reserve(raw.len() + self.text.len() + 2);
        let mut at = usize::from(index.start);
        // Of changes of the very same part the last one counts.
        let same = |a: &Splice, b: &Splice| a.old == b.old && !a.old.is_empty();
        for (nth, splice) in self.splices.iter().enumerate() {
            let overruled = self.splices.get(nth + 1).is_some_and(|next| same(splice, next));
            if overruled || splice.old.start < at {
                continue;
            }
            out.extend_from_slice(&raw[at..splice.old.start]);
            out.extend_from_slice(&self.text[splice.new.clone()]);
            at = splice.old.end;
        }
        out.extend_from_slice(&raw[at..usize::from(index.body_end)]);
        if !index.has_empty_line {
            out.extend_from_slice(b"\r\n");
        }
        (start..out.len(), Scratch { splices: self.splices, text: self.text })
    }

    /// Notes that `old` gives way to what was written to `text` since it was `from` long.
    fn splice(&mut self, old: Range<usize>, from: usize) {
        self.splices.push(Splice { old, new: from..self.text.len(), set: None });
    }

    fn replace(&mut self, old: Range<usize>, new: &[u8]) {
        if old.is_empty() && new.is_empty() {
            return;
        }
        let from = self.text.len();
        put_value(new, &mut self.text);
        self.splice(old, from);
    }

    fn insert(&mut self, at: usize, name: &str, value: &[u8]) {
        let from = self.text.len();
        put_header(name.as_bytes(), value, &mut self.text);
        self.splice(at..at, from);
    }

    fn insert_with(&mut self, at: usize, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        let from = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b": ");
        value(&mut self.text);
        self.text.extend_from_slice(b"\r\n");
        self.splice(at..at, from);
    }

    fn top_of(&self, name: Name) -> Option<usize> {
        self.message.places(name).next().map(|place| place.start.into())
    }

    fn after_start_line(&self) -> usize {
        let first = self.message.index().places.first();
        first.map_or_else(|| self.message.index().head_end.into(), |place| place.start.into())
    }

    fn after_vias(&self) -> usize {
        let last = self.message.places(Name::Via).last();
        last.map_or_else(|| self.after_start_line(), |place| place.end.into())
    }

    /// Takes the first `front` values of a header off, and the last one if `back` says so: whole
    /// lines where nothing is left of them.
    fn take_off(&mut self, name: Name, front: usize, back: bool) {
        let message = self.message;
        let keep =
            front..if back { message.values(name).count().saturating_sub(1) } else { usize::MAX };
        let mut before = 0;
        for place in message.places(name) {
            if before >= front && !back {
                return;
            }
            let value = usize::from(place.value)..usize::from(place.value_end);
            let mut kept: Option<Range<usize>> = None;
            for element in split(&message.raw()[value.clone()]) {
                if keep.contains(&before) {
                    let start = offset(&message, element);
                    let first = kept.map_or(start, |kept| kept.start);
                    kept = Some(first..start + element.len());
                }
                before += 1;
            }
            match kept {
                None => self.replace(line(place), b""),
                Some(kept) => {
                    self.replace(value.start..kept.start, b"");
                    self.replace(kept.end..value.end, b"");
                }
            }
        }
    }
}

fn line(place: &Place) -> Range<usize> {
    place.start.into()..place.end.into()
}

#[cfg(test)]
mod tests;
