//! Every limit of the grammar, each with its reason.

/// A datagram of 65,535 bytes must be handled (RFC 3261 §18.1.1); streams get the same.
pub const MESSAGE: usize = 65_535;
/// Headers of one message; real ones have 10 to 40.
pub const HEADERS: usize = 256;
/// One header line with its folds; a certificate in an Identity header fits.
pub const HEADER_LINE: usize = 8_192;
/// A request line: method, URI and version.
pub const START_LINE: usize = 8_192;
/// Via values: 70 hops is the default Max-Forwards (RFC 3261 §8.1.1.6).
pub const VIAS: usize = 70;
/// Route and Record-Route values, each.
pub const ROUTES: usize = 32;
/// Path values: one per edge in front of us.
pub const PATHS: usize = 32;
/// Contact values: a user has ten bindings at most, and a redirection rarely names more.
pub const CONTACTS: usize = 16;
/// Parameters of one URI: push and GRUU parameters together make a dozen. Comparing two URIs
/// costs the product of their numbers.
pub const URI_PARAMS: usize = 32;
/// Header components of one URI that are compared, for the same reason.
pub const URI_HEADERS: usize = 16;
/// A session description; the largest of browsers have 10 KiB.
pub const SDP: usize = 32_768;
/// Media sections read of a session description; conferences with many streams have a dozen.
pub const SDP_MEDIA: usize = 32;
/// Bytes of a message in a WebSocket: as many as of any other (A4).
pub const WS_MESSAGE: usize = 64 << 10;
/// Fragments of a message in a WebSocket: browsers send one (G11).
pub const WS_FRAGMENTS: usize = 16;
