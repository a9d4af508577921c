//! Every limit of the core, each with its reason.

use crate::time::Duration;

/// Contacts one address-of-record may have by default: a person has a handful of phones.
pub const CONTACTS_PER_AOR: usize = 16;
/// Contacts of one address-of-record about which the store may be behind: four times as many as
/// there may be, so that only who changes them all again and again waits.
pub const UNSETTLED_CONTACTS_PER_AOR: usize = 4 * CONTACTS_PER_AOR;
/// Live binding time when the phone asks for none (RFC 3261 §10.2.1.1 suggests an hour).
pub const EXPIRES_DEFAULT_S: u32 = 3_600;
/// The longest binding; longer wishes are shortened (RFC 3261 §10.3 step 7). A phone that is gone
/// rings in vain for so long.
pub const EXPIRES_MAX_S: u32 = 3_600;
/// What may be taken off a binding time: enough to tear apart phones that came together, and no
/// phone minds.
pub const EXPIRES_SPREAD_PERCENT: u32 = 10;
/// The shortest binding; shorter wishes get 423 (RFC 3261 §10.3 step 7).
pub const EXPIRES_MIN_S: u32 = 60;
/// Flow-Timer for streams: RFC 5626 §4.4.1 has clients without one send every 95 to 120 s.
pub const FLOW_TIMER_S: u32 = 120;
/// How much later than promised a keep-alive may come: TCP has tried four times by then to bring
/// over what was lost (RFC 5626 §5.4: a time larger than the Flow-Timer).
pub const FLOW_GRACE_S: u32 = 20;
/// Branches one request may be forked to in all; sixteen contacts and some forwarding.
pub const BRANCHES_PER_REQUEST: usize = 32;
/// Users that one request is sent on to because phones redirect it: more is a search, not a call.
pub const FOLLOWED_PER_REQUEST: usize = 8;
/// Addresses of one next hop tried one after another: callers give up before the last of more.
pub const ADDRESSES_PER_HOP: usize = 8;
/// An INVITE of which nothing is heard for so long is tried at the next address, too: three tries
/// over UDP are lost by then, and a server that works has sent its 100 after 200 ms (RFC 3261
/// §17.2.1).
pub const SILENCE_OF_INVITE: Duration = Duration::from_secs(3);
/// The same for other requests: over UDP they have no 100 before 3.5 s (RFC 4320 §4.1), and whoever
/// sent them gives up after 32 s.
pub const SILENCE_OF_OTHERS: Duration = Duration::from_secs(8);
/// Targets that a search for a next hop ends in (K1).
pub const TARGETS_PER_HOP: usize = 32;
/// Services that one name's NAPTR records may name: one for each transport, and some over.
pub const SERVICES_PER_NAME: usize = 8;
/// Hosts looked up of the SRV records of one service: as many as are tried of one next hop, so that
/// a zone of a thousand costs two questions for each of these (K1).
pub const HOSTS_PER_SERVICE: usize = ADDRESSES_PER_HOP;
/// Addresses taken of one host: of a hundred the first ones serve as well.
pub const ADDRESSES_PER_HOST: usize = 8;
/// A next hop that failed is tried after others for so long.
pub const AVOIDED: Duration = Duration::from_secs(60);
/// The longest that a Retry-After keeps us away; one that asks for a day was a slip.
pub const AVOIDED_MAX: Duration = Duration::from_secs(600);
/// Failed next hops remembered: far more than a working server has.
pub const AVOIDED_TARGETS: usize = 4_096;
/// Breadth given to a request that comes without Max-Breadth (RFC 5393 §5.3.3).
pub const MAX_BREADTH: u32 = 60;
/// Max-Forwards given to a request that comes without (RFC 3261 §16.6 step 3).
pub const MAX_FORWARDS: u8 = 70;
//= RFC 3261 16.6
// "The timer MUST be larger than 3 minutes."
/// Timer C must be larger than three minutes (RFC 3261 §16.6 step 11).
pub const TIMER_C: Duration = Duration::from_secs(185);
/// Transactions one partition holds; beyond it new requests get 503.
pub const TRANSACTIONS: usize = 200_000;
/// Calls one partition keeps for the live view; beyond it the oldest is let go from the view.
pub const CALLS: usize = 100_000;
/// A call of which nothing is heard for so long is taken for over (a lost BYE).
pub const CALL_SILENCE: Duration = Duration::from_secs(12 * 3_600);
/// Questions one partition may wait on.
pub const ASKS: usize = 50_000;
/// The longest a question may take; then the request goes on as if it had failed.
pub const ASK_DEADLINE: Duration = Duration::from_secs(5);
/// Credentials looked at in one message (a flood of them costs a hash each).
pub const CREDENTIALS_PER_MESSAGE: usize = 4;
/// Challenges for our realm that are looked at in one response of a peer: one for each algorithm
/// there is, and some over.
pub const CHALLENGES_PER_MESSAGE: usize = 8;
/// Times that one request answers the challenges of a peer: once, and once more where the nonce was
/// too old.
pub const LOGINS_PER_REQUEST: usize = 2;
/// How long a nonce is good (RFC 7616 §3.3 leaves it to us); then `stale=true`.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);
/// Replay windows one partition keeps; the oldest goes first, its nonce is then stale.
pub const REPLAY_WINDOWS: usize = 50_000;
/// How many times longer than the request an answer to an unproved datagram may be: a REGISTER or
/// an INVITE of a real phone has 300 bytes or more, a challenge has 450.
pub const AMPLIFICATION: usize = 3;
/// Registrations of one partition that wait for the store: in all partitions together what it keeps
/// in three seconds, so that whoever is let in is answered before [`ASK_DEADLINE`] (D8).
pub const REGISTRATIONS_UNDER_WAY: usize = 512;
/// The least Retry-After of a 503 for a full table.
pub const RETRY_AFTER_S: u32 = 5;
/// So much more it may be: who was refused together comes back one after another (D8).
pub const RETRY_AFTER_SPREAD_S: u32 = 30;
/// Parameters of one set of credentials; RFC 7616 has twelve, and extensions are rare.
pub const CREDENTIAL_PARAMS: usize = 32;
/// Bytes of a user name in an event; the rest of a long one tells nobody anything.
pub const USER_IN_EVENT_BYTES: usize = 64;
/// Bytes of one contact with its parameters: three times the longest seen from a phone.
pub const CONTACT_BYTES: usize = 2_048;
/// Bytes of the Path of one binding: four proxies with long flow tokens.
pub const PATH_BYTES: usize = 1_024;
/// Bytes of a temporary GRUU before encoding: the longest name of a user, and what is beside it.
pub const GRUU_BYTES: usize = 1_088;
/// Flows of datagrams one partition guards; beyond it phones are not pinged, and must ask again.
pub const GUARDED_FLOWS: usize = 100_000;
/// Answers to STUN one flow gets in a second: a client repeats a lost request twice in it.
pub const STUN_ANSWERS_PER_S: u32 = 4;
/// Seconds between pings: what is translated is often forgotten after 30 s of silence.
pub const NAT_PING_S: u32 = 25;
/// Who has sent a keep-alive within this time will send the next one: RFC 5626 §4.4.2 has one
/// every 24 to 29 s.
pub const KEEP_ALIVE_SHOWN: Duration = Duration::from_secs(35);
/// Bytes of a User-Agent kept with a binding, for people to recognise a phone by.
pub const USER_AGENT_BYTES: usize = 128;
/// Messages may wait for so long before new work is turned away: as long as a person does not
/// notice, and long enough that the queue never runs empty while work is turned away.
pub const OVERLOAD_TARGET: Duration = Duration::from_millis(50);
/// How often that is looked at: longer than the bursts that pass by themselves, and short against
/// the first repetition of a request after 500 ms (RFC 3261 §17.1.1.1).
pub const OVERLOAD_INTERVAL: Duration = Duration::from_millis(100);
/// A request that has waited for so long has been repeated (RFC 3261 §17.1.1.1: T1).
pub const OVERLOAD_OLD: Duration = Duration::from_millis(500);
/// The least part of new work that is let in: with less, nobody would notice that the load is gone.
pub const OVERLOAD_LEAST_OPEN: f64 = 0.002;
/// Requests of the last second that may be repetitions of old ones, remembered to see whether they
/// come again: half a megabyte, and only after an overload.
pub const OVERLOAD_SEEN: usize = 65_536;
