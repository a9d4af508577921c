//! Every limit of the program, each with its reason.

use std::time::Duration;

/// Partitions: many more than workers, so that locks are free when one looks.
pub const PARTITIONS: u32 = 64;
/// Datagrams received or sent with one call.
pub const BATCH: usize = 64;
/// Batches taken from one socket before the others and the clock have their turn.
pub const ROUNDS: usize = 8;
/// Notices of datagrams that did not arrive taken from one socket before others have their turn.
/// As many as datagrams: both share the buffer of the socket, and a flood of notices that are
/// left in it would leave no room for messages.
pub const NOTICES: usize = BATCH * ROUNDS;
/// Bytes of a datagram that such a notice may quote (RFC 1812 §4.3.2.3).
pub const NOTICE: usize = 576;
/// The longest a worker sleeps while timers may run: how late a timer can be.
pub const TICK: Duration = Duration::from_millis(20);
/// Socket buffers: a burst of thousands of messages must not be lost.
pub const SOCKET_BUFFER: usize = 4 << 20;
/// Stream connections in all.
pub const CONNECTIONS: usize = 100_000;
/// Stream connections from one address: a whole office behind one router fits.
pub const CONNECTIONS_PER_ADDRESS: usize = 2_000;
/// Bytes read from a connection with one call: several messages, and a record of TLS.
pub const READ: usize = 16 << 10;
/// Bytes waiting to be written to one connection; a reader so slow is cut off (G3).
pub const WRITE_QUEUE: usize = 256 << 10;
/// Of these, connections of whom nobody knows who is behind them: phones say so within a few
/// messages, so of an office few are in between (G2).
pub const UNPROVED_PER_ADDRESS: usize = 64;
/// Connections that were told to leave so that others have room, and have not left yet.
pub const LEAVING: usize = 256;
/// Where there is room for few connections, no more than this part of them: those that leave still
/// have their descriptors.
pub const LEAVING_PART: usize = 16;
/// Of the descriptors that the system allows us, connections do not get this part: the store,
/// name servers, logs and administrators need theirs when it is most crowded (G2).
pub const DESCRIPTORS_KEPT: usize = 5;
/// This part of the connections may be those of balancers that have not said for whom they are.
pub const PROXY_HEADERS_PART: usize = 10;
/// A connection on which nothing arrives is closed (RFC 3261 §18 asks for at least 64·T1).
pub const IDLE: Duration = Duration::from_secs(600);
/// The same where nobody knows who is behind it (G1).
pub const UNPROVED_IDLE: Duration = Duration::from_secs(35);
/// A balancer must have said by then for whom a connection is: it does so with its first packet.
pub const PROXY_HEADER: Duration = Duration::from_secs(5);
/// Connections of balancers that have not said so yet.
pub const PROXY_HEADERS: usize = 1_024;
/// Bytes of a PROXY header of version 1: the longest line there can be (its §2.1).
pub const PROXY_V1: usize = 107;
/// Bytes of one of version 2 behind its length: 216 are the longest addresses, the rest is for
/// TLVs, among them those about a client's certificate.
pub const PROXY_V2: usize = 2_048;
/// A message that began must be complete by then (A1).
pub const PARTIAL: Duration = Duration::from_secs(30);
/// A connection that we open must be there by then.
pub const CONNECT: Duration = Duration::from_secs(4);
/// A stream target that could not be reached is not tried again so soon.
pub const DEAD_TARGET: Duration = Duration::from_secs(60);
/// Dead targets remembered.
pub const DEAD_TARGETS: usize = 4_096;
/// A look-up by name must be done by then: a little before the core gives up on it.
pub const LOOKUP: Duration = Duration::from_millis(4_500);
/// Rounds of questions in one look-up: NAPTR, SRV, addresses (RFC 3263 §4).
pub const LOOKUP_STEPS: u32 = 3;
/// TLS and WebSocket handshakes must be done by then (G1).
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way: each costs a signature, and half of them wait for a slow far side. With
/// one more, the oldest ends (G5).
pub const HANDSHAKES: usize = 512;
/// A connection that was accepted must have sent its first whole message by then (G1).
pub const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// Out of descriptors, connections are accepted again after this time (G2).
pub const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Names of a client's certificate that are looked at.
pub const CERTIFICATE_NAMES: usize = 64;
/// Bytes that were sent must be acknowledged by then, or the far side is gone (G4).
pub const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// A silent connection is probed after this time …
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// … and so often until it is given up.
pub const KEEP_ALIVE_PROBE: Duration = Duration::from_secs(10);
/// Bytes of the HTTP request that opens a WebSocket: browsers send under one thousand, and cookies.
pub const WS_HANDSHAKE: usize = 8 << 10;
/// Headers of that request.
pub const WS_HEADERS: usize = 64;
/// Pings from the far side in one second (G11).
pub const WS_PINGS_PER_SECOND: u32 = 2;
/// A WebSocket that is silent is pinged so often: routers forget a silent one after half a minute.
pub const WS_PING: Duration = Duration::from_secs(25);
/// A message for a WebSocket that has been silent for so long is followed by a ping: a caller
/// shall soon hear that the browser is dead.
pub const WS_SILENT: Duration = Duration::from_secs(2);
/// After a request went to it, it is pinged whenever it has been silent for so long, for as long
/// as phones ring by default: it may die while somebody waits for it.
pub const WS_AWAITED: Duration = Duration::from_secs(60);
/// A ping must be answered by then.
pub const WS_PONG: Duration = Duration::from_secs(5);
/// Answers to keep-alives that wait to be written.
pub const ASIDES: usize = 8;
/// Names that certificates must prove, remembered in two generations.
pub const CERTIFIED_NAMES: usize = 8_192;
/// Bytes of a file with certificates or a key: a bundle of all public roots fits.
pub const PEM_BYTES: u64 = 4 << 20;
/// Certificates are looked at so often for changes.
pub const CERTIFICATE_WATCH: Duration = Duration::from_secs(30);
/// Days that a certificate of our own making is good for: some clients take none of more than 825.
pub const OWN_CERTIFICATE_DAYS: i64 = 800;
/// Days before its end at which it is made anew, with the same key.
pub const OWN_CERTIFICATE_RENEW_DAYS: i64 = 60;
/// Days before the end of a certificate from which on people are warned.
pub const CERTIFICATE_WARN_DAYS: i64 = 14;
/// Look-ups under way.
pub const LOOKUPS: usize = 256;
/// A name server must answer within this time; then it, or another one, is asked again.
pub const DNS_TRY: Duration = Duration::from_millis(1_200);
/// How often a question is put to name servers.
pub const DNS_TRIES: usize = 3;
/// A question must be answered by then, aliases included.
pub const DNS_QUESTION: Duration = Duration::from_secs(4);
/// Questions under way: what two thousand look-ups want at once, most of them known already.
pub const DNS_QUESTIONS: usize = 1_024;
/// Answers remembered; some hundred bytes each.
pub const DNS_CACHE: usize = 8_192;
/// Records taken of one answer: a thousand say no more than these (K1).
pub const DNS_RECORDS: usize = 256;
/// Aliases followed from one name to the next (K1).
pub const DNS_ALIASES: usize = 8;
/// The shortest time an answer counts: one that counts for no time would be asked for per call.
pub const DNS_TTL_MIN: Duration = Duration::from_secs(2);
/// The longest: who moves a server does not wait for longer.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(3_600);
/// The longest time that there being nothing counts (RFC 2308 §5 allows hours).
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(300);
/// After nobody answered, nobody is asked again for so long (RFC 9520 §3.2).
pub const DNS_SILENCE: Duration = Duration::from_secs(10);
/// An answer that is over still serves for so long, when nobody answers (RFC 8767 §5).
pub const DNS_STALE: Duration = Duration::from_secs(86_400);
/// Log lines of one kind in one second; the rest is counted.
pub const LOG_LINES_PER_SECOND: u64 = 50;
/// Steps that may follow from one input: an order of magnitude above the most branches times the
/// questions of each. What is left over ends by the deadline of its question.
pub const STEPS: usize = 1_024;
/// Panics after which a partition is made anew: one may be chance, two are a torn state.
pub const PANICS_PER_PARTITION: u32 = 2;
/// A graceful stop waits so long for transactions to end.
pub const DRAIN: Duration = Duration::from_secs(5);
/// Retry-After of what is refused while stopping, in seconds.
pub const DRAIN_RETRY_S: u32 = 5;
/// What is written already may still leave a connection that ends.
pub const LAST_WORDS: Duration = Duration::from_secs(1);
/// Signals that come within this time are one: `timeout` sends its own to the process and to its
/// group. A person is slower.
pub const SIGNALS_TOGETHER: Duration = Duration::from_millis(50);
/// The exit code of a process that was told twice to stop.
pub const EXIT_INTERRUPTED: i32 = 130;
/// Clients of the control socket at once; an administrator and a few scripts.
pub const CONTROL_CLIENTS: usize = 16;
/// Bytes of one line from a client: a full request of accounts with the longest names.
pub const CONTROL_LINE: usize = 4 << 20;
/// Bytes of one line from the server: a full reply of registrations with the longest contacts.
pub const CONTROL_REPLY: usize = 16 << 20;
/// A client must say something, and read what it is told, within this time.
pub const CONTROL_IDLE: Duration = Duration::from_secs(30);
/// A change made by an administrator must be on disk by then.
pub const CONTROL_COMMIT: Duration = Duration::from_secs(20);
/// Commands wait so long for the answer: longer than all that may hold it up.
pub const CONTROL_PATIENCE: Duration = Duration::from_secs(60);
/// A command waits so long for a server that starts, or another command that holds the data.
pub const CONTROL_REACH: Duration = Duration::from_secs(5);
/// Rows of a list in one reply: some hundred kilobytes.
pub const ROWS_PER_REPLY: usize = 500;
/// Replies that wait for a client to read them.
pub const REPLIES_QUEUED: usize = 4;
/// Accounts made with one commit: it takes about as long as one of a busy registrar.
pub const ACCOUNTS_PER_REQUEST: usize = 500;
/// Bytes of the display name of an account.
pub const NAME_BYTES: usize = 256;
/// Bytes of a password: more than any phone has room for.
pub const PASSWORD_BYTES: usize = 256;
/// Bytes of a line to import: a password, a name and three hashes fit several times.
pub const IMPORT_LINE: usize = 4_096;
/// Refused lines that are named; whoever has more has the wrong file.
pub const IMPORT_REFUSALS: usize = 1_000;
/// Bytes of a file with one password: more than any password has, and a device that never ends does
/// not fit.
pub const SECRET_BYTES: u64 = 4_096;
/// Bytes of a configuration: thousands of peers fit, and a device that never ends does not.
pub const CONFIG_BYTES: u64 = 1 << 20;
/// Mebibytes of messages that are kept to be shown later: those of thousands of calls.
pub const TRACE_KEEP_MIB: usize = 16;
/// How long messages are kept to be shown later: somebody who had trouble calls within this time.
pub const TRACE_KEEP: Duration = Duration::from_secs(900);
/// How often messages are looked for that are too old, where no new ones push them out.
pub const TRACE_EXPIRE: Duration = Duration::from_secs(10);
/// Header lines in which a CSeq is looked for to tell a call from a registration.
pub const TRACE_LINES: usize = 64;
/// Who may look at messages as they pass; each needs a thread, and a place at the control socket.
pub const TRACE_LISTENERS: usize = 8;
/// Messages that wait for one who looks: those of a second of a busy server.
pub const TRACE_QUEUE: usize = 8_192;
/// Their bytes; a message may be large.
pub const TRACE_QUEUE_BYTES: usize = 16 << 20;
/// Something is said to one who looks at least so often, so that both know of each other.
pub const TRACE_BEAT: Duration = Duration::from_secs(5);
/// Things that a traced call can be asked to have; a bit for each.
pub const TRACE_CRITERIA: usize = 16;
/// The digits of a number that are enough to find it: those of a short extension.
pub const TRACE_NUMBER: usize = 4;
/// Calls of which one who looks knows something.
pub const TRACE_CALLS: usize = 8_192;
/// Messages of a call that are shown later if it turns out to be wanted: a call with its forks.
pub const TRACE_PENDING: usize = 64;
/// Bytes of messages in one reply, before they are written as JSON.
pub const TRACE_REPLY: usize = 256 << 10;
/// Hosts whose names one who looks knows.
pub const TRACE_HOSTS: usize = 4_096;
/// Messages that wait to be sent to a HEP collector.
pub const HEP_QUEUE: usize = 8_192;
/// A HEP collector that cannot be reached is told of so often.
pub const HEP_SILENCE: Duration = Duration::from_secs(60);
