//! Answers `trace`: what passed lately, and what passes from now on.

use crate::control::views::text;
use crate::control::{Each, Failure, Kind, Reply};
use crate::engine::Engine;
use crate::limits;
use crate::trace::{Criterion, Record, Sorter, Subscription, Way, mask, named_in};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Flow;
use ringway_wire::{Framing, Index, parse};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// Which messages somebody wants to see. A call must have all that is named.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields, default)]
pub struct TraceRequest {
    /// Which time.
    pub mode: TraceMode,
    /// The Call-ID begins so.
    pub call: Option<String>,
    /// The caller or who is called: a number, a user, or `user@domain`.
    pub number: Option<String>,
    /// Where messages come from or go to: an address, with a port or without.
    pub address: Option<String>,
    /// Each is one of the three above.
    pub words: Vec<String>,
    /// Registrations and OPTIONS as well.
    pub all: bool,
    /// Of the past only the last so many calls.
    pub last: Option<u64>,
    /// Of the past only calls of which something was heard in the last so many seconds.
    pub since_s: Option<u64>,
    /// Mask nothing.
    pub secrets: bool,
}

/// Which time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum TraceMode {
    /// The past, if the only word is the Call-ID of a call that is kept; else what comes.
    #[default]
    Auto,
    /// What is kept.
    Past,
    /// What comes.
    Live,
    /// What is kept, and then what comes.
    Both,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct MessageView {
    /// The number of the trace that it belongs to: calls with an end in common are one (RFC 7989).
    pub trace: u64,
    /// The Call-ID.
    pub call_id: String,
    /// When, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// `in` or `out`, seen from the server.
    pub way: WayView,
    /// `udp`, `tcp`, …
    pub transport: String,
    /// Our address.
    pub local: SocketAddr,
    /// The address of the other side.
    pub remote: SocketAddr,
    /// The account that is registered there, or the name of the peer.
    pub host: Option<String>,
    /// Whether the same message passed before: a retransmission.
    pub again: bool,
    /// The message as text; what is no UTF-8 is U+FFFD.
    pub message: String,
    /// All of its bytes in hexadecimal digits, where the text does not say them.
    pub hex: Option<String>,
}

impl MessageView {
    /// The message.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
        match &self.hex {
            Some(hex) => {
                let pairs = hex.as_bytes().chunks_exact(2);
                Cow::Owned(pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
            }
            None => Cow::Borrowed(self.message.as_bytes()),
        }
    }
}

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum WayView {
    /// To the server.
    In,
    /// From the server.
    Out,
}

/// Hands out what is asked for until there is no more, or until the server stops.
pub(super) fn trace(
    engine: &Engine,
    request: &TraceRequest,
    each: Each<'_>,
) -> Result<(), Failure> {
    let criteria = criteria(request)?;
    // Listening comes first: nothing that passes while we look at the past is missed.
    let listen = || {
        let busy = || Failure::new(Kind::Busy, "too many traces at once; end another one first");
        engine.tap.listen().ok_or_else(busy)
    };
    let past = || engine.tap.past(engine.clock.now());
    let mut show = Show { engine, secrets: request.secrets, hosts: HashMap::new(), each };
    let sorter = |criteria| Sorter::new(criteria, request.all);
    match request.mode {
        TraceMode::Past => show.past(request, sorter(criteria), past()),
        TraceMode::Live => {
            let subscription = listen()?;
            show.live(&subscription, sorter(criteria), past())
        }
        TraceMode::Both => {
            let subscription = listen()?;
            let records = past();
            show.past(request, sorter(criteria.clone()), records.clone())?;
            show.live(&subscription, sorter(criteria), records)
        }
        TraceMode::Auto => {
            let (subscription, records) = (listen()?, past());
            if let [word] = &request.words[..]
                && records.iter().any(|record| call_id(&record.bytes) == *word)
            {
                let call = vec![Criterion::Call(word.clone())];
                return show.past(request, sorter(call), records);
            }
            show.live(&subscription, sorter(criteria), records)
        }
    }
}

fn criteria(request: &TraceRequest) -> Result<Vec<Criterion>, Failure> {
    let address = request.address.as_ref().map(|text| {
        Criterion::address(text).ok_or_else(|| {
            let message = format!("{text:?} is no address; write 192.0.2.1, or [2001:db8::1]:5060");
            Failure::new(Kind::Invalid, message)
        })
    });
    let mut criteria: Vec<_> = request.words.iter().map(|word| Criterion::word(word)).collect();
    criteria.extend(request.call.clone().map(Criterion::Call));
    criteria.extend(request.number.clone().map(Criterion::Number));
    criteria.extend(address.transpose()?);
    if criteria.len() > limits::TRACE_CRITERIA {
        let message = format!("at most {} things can be asked for", limits::TRACE_CRITERIA);
        return Err(Failure::new(Kind::Invalid, message));
    }
    Ok(criteria)
}

/// Shows messages to one who asked.
struct Show<'e> {
    engine: &'e Engine,
    secrets: bool,
    /// Who is at an address, as far as it is known.
    hosts: HashMap<(u16, SocketAddr), Option<String>>,
    each: Each<'e>,
}

impl Show<'_> {
    fn past(
        &mut self,
        request: &TraceRequest,
        sorter: Sorter,
        records: Vec<Record>,
    ) -> Result<(), Failure> {
        let mut groups = sorter.past(records);
        if let Some(since_s) = request.since_s {
            let now = self.engine.clock.now().as_secs();
            let is_recent = |record: &Record| record.at.as_secs() + since_s >= now;
            groups.retain(|(_, records)| records.last().is_some_and(is_recent));
        }
        let last = request.last.map_or(groups.len(), |last| last as usize);
        groups.drain(..groups.len().saturating_sub(last));
        for (group, records) in groups {
            self.messages(records.into_iter().map(|record| (group, record)).collect())?;
        }
        Ok(())
    }

    fn live(
        &mut self,
        subscription: &Subscription,
        mut sorter: Sorter,
        past: Vec<Record>,
    ) -> Result<(), Failure> {
        for record in &past {
            sorter.learn(record);
        }
        let mut known: HashSet<u64> = past.iter().map(|record| record.number).collect();
        drop(past);
        // So that who asks knows when it began.
        (self.each)(Reply::Traced(Vec::new()))?;
        loop {
            let batch = subscription.wait(limits::TRACE_BEAT);
            if batch.lost > 0 {
                (self.each)(Reply::TraceLost(batch.lost))?;
            }
            let fresh = batch.records.into_iter().filter(|record| !known.remove(&record.number));
            let shown: Vec<_> = fresh.flat_map(|record| sorter.take(record)).collect();
            self.messages(shown)?;
            if batch.is_closed {
                return Ok(());
            }
        }
    }

    /// In replies that are not too long; one of nothing, if there is nothing.
    fn messages(&mut self, messages: Vec<(u64, Record)>) -> Result<(), Failure> {
        let (mut views, mut bytes) = (Vec::new(), 0);
        for (trace, record) in messages {
            bytes += record.bytes.len();
            views.extend(self.view(trace, &record));
            if bytes > limits::TRACE_REPLY {
                bytes = 0;
                (self.each)(Reply::Traced(std::mem::take(&mut views)))?;
            }
        }
        (self.each)(Reply::Traced(views))
    }

    /// `None` if it is of a listener that is gone.
    fn view(&mut self, trace: u64, record: &Record) -> Option<MessageView> {
        let Flow { socket, transport, remote, .. } = record.flow;
        let local = self.engine.listeners().get(usize::from(socket.0))?.local;
        let masked = mask(&record.bytes);
        let bytes = if self.secrets { &record.bytes[..] } else { &masked };
        let message = text(bytes);
        let hex = (message.as_bytes() != bytes).then(|| super::views::to_hex(bytes));
        Some(MessageView {
            trace,
            call_id: call_id(bytes),
            at_us: record.at.as_micros(),
            way: match record.way {
                Way::In => WayView::In,
                Way::Out => WayView::Out,
            },
            transport: transport.to_string(),
            local,
            remote,
            host: self.host(record),
            again: record.again,
            message,
            hex,
        })
    }

    /// The account that is registered where a message came from or went to, or the peer there.
    fn host(&mut self, record: &Record) -> Option<String> {
        let flow = record.flow;
        let key = (flow.socket.0, flow.remote);
        // One who is a peer, or nobody, may have registered since.
        if let Some(Some(known)) = self.hosts.get(&key)
            && known.contains('@')
        {
            return Some(known.clone());
        }
        let named = named_in(&record.bytes);
        let mut named = named.iter().filter_map(|user| AddressOfRecord::from_text(user));
        let is_there = |aor: &AddressOfRecord| {
            let bindings = self.engine.locate(aor);
            bindings.iter().any(|binding| binding.flow.remote == flow.remote)
        };
        let account = named.find(is_there).map(|aor| aor.to_string());
        let found = account.or_else(|| {
            let snapshot = self.engine.snapshot();
            let peer = snapshot.peers.iter().find(|peer| peer.is_behind(&flow));
            peer.map(|peer| peer.name.clone())
        });
        if self.hosts.len() >= limits::TRACE_HOSTS {
            self.hosts.clear();
        }
        self.hosts.insert(key, found.clone());
        found
    }
}

fn call_id(bytes: &[u8]) -> String {
    let mut index = Index::new();
    parse(bytes, &mut index, Framing::Datagram).map_or(String::new(), |m| text(m.call_id()))
}
