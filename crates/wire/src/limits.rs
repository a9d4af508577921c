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
/// Contact values.
pub const CONTACTS: usize = 64;
/// Media sections read of a session description; conferences with many streams have a dozen.
pub const SDP_MEDIA: usize = 32;
