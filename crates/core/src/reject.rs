//! Why we say no, and with which code: the only place where refusals get their numbers.

use core::fmt;

/// A refusal. Each has a name for logs and counters, and one status.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reject {
    /// The message breaks the grammar or lacks what it must have; the text says which.
    Malformed(&'static str),
    /// Not SIP/2.0 (RFC 3261 §21.5.6).
    VersionNotSupported,
    /// A Request-URI scheme we do not route (RFC 3261 §16.3 step 2).
    UnsupportedScheme,
    /// Max-Forwards has run out (RFC 3261 §16.3 step 3).
    TooManyHops,
    /// The request has been here before in the same shape (RFC 5393 §4.2).
    LoopDetected,
    /// Require names what we do not know (RFC 3261 §8.2.2.3).
    BadExtension,
    /// Proxy-Require names what we do not know (RFC 3261 §16.3 step 5).
    BadProxyExtension,
    /// A Path in a REGISTER of a user agent that knows no Path (RFC 3327 §5.3).
    PathNotSupported,
    /// A Path from somebody who is no trusted edge (D6 of the threat list).
    PathNotTrusted,
    /// A flow to be registered, and a first hop that does not keep flows (RFC 5626 §6).
    FirstHopLacksOutbound,
    /// A contact that leads to ourselves, or that no request can be sent to (RFC 5627 §5.1, D4).
    ContactNotAllowed,
    /// Max-Breadth does not allow the fork (RFC 5393 §5.3.3).
    MaxBreadthExceeded,
    /// The method is known, its CSeq says another (RFC 3261 §8.1.1.5).
    MethodMismatch,
    /// Unknown method with another method in CSeq (RFC 4475 §3.1.2.18).
    UnknownMethodMismatch,
    /// A method we serve ourselves but not at this address (RFC 3261 §8.2.1).
    MethodNotAllowed,
    /// Wrong or missing credentials of a user agent towards us as its server.
    Unauthorized,
    /// Wrong or missing credentials of a user agent towards us as its proxy.
    ProxyAuthenticationRequired,
    /// The caller is known and may not do this.
    Forbidden,
    /// The domain is not ours and the caller is nobody we relay for.
    NotOurDomain,
    /// A claimed identity that is not the caller's (RFC 3261 §22, B3 of the threat list).
    NotYourIdentity,
    /// Something must be hidden, or the request refused, and we cannot hide it (RFC 3323 §5).
    PrivacyNotProvided,
    /// Nobody of this name (RFC 3261 §10.3 step 5, §16.5).
    NoSuchUser,
    /// Known, but not reachable now.
    TemporarilyUnavailable,
    /// A SIPS URI, and no contact that may be tried for it (RFC 5630 §5.3).
    SipsNotAllowed,
    /// A SIP URI, and contacts that can only be reached securely (RFC 5630 §5.3).
    SipsRequired,
    /// The flow that leads to the user is gone (RFC 5626 §5.3).
    FlowFailed,
    /// The target is an address that nobody may have us call (F3 of the threat list).
    ForbiddenAddress,
    /// No dialog or transaction of this name (RFC 3261 §9.2, §12.2.2).
    NoSuchTransaction,
    /// A Route or Record-Route of ours that was changed, or was never ours.
    ForgedRoute,
    /// More contacts than one address-of-record may have.
    TooManyContacts,
    /// The binding time asked for is too short (RFC 3261 §10.3 step 7).
    IntervalTooBrief,
    /// A REGISTER older than what we already know (RFC 3261 §10.3 step 7).
    OutOfOrder,
    /// The store could not keep it.
    NotKept,
    /// Something that we need did not answer in time.
    NoAnswerInside,
    /// The next hop is not to be found, or nothing can be sent to it (RFC 3261 §16.9).
    NextHopFailed,
    /// A peer that is to be called for us does not take the credentials that we have for it.
    PeerLoginFailed,
    /// A table is full, or we are stopping.
    Overloaded,
    /// The message is larger than we take (RFC 3261 §21.5.7).
    TooLarge,
    /// A stream message without a usable length.
    NoLength,
}

impl Reject {
    /// The status code (RFC 3261 §21).
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed(_) | Self::MethodMismatch | Self::NoLength => 400,
            Self::Unauthorized => 401,
            Self::Forbidden
            | Self::NotOurDomain
            | Self::NotYourIdentity
            | Self::ForbiddenAddress
            | Self::ForgedRoute
            | Self::PathNotTrusted
            | Self::ContactNotAllowed
            | Self::TooManyContacts => 403,
            Self::NoSuchUser => 404,
            Self::MethodNotAllowed => 405,
            Self::ProxyAuthenticationRequired => 407,
            Self::UnsupportedScheme => 416,
            Self::BadExtension | Self::BadProxyExtension | Self::PathNotSupported => 420,
            Self::IntervalTooBrief => 423,
            Self::FlowFailed => 430,
            Self::FirstHopLacksOutbound => 439,
            Self::MaxBreadthExceeded => 440,
            Self::TemporarilyUnavailable | Self::SipsNotAllowed | Self::SipsRequired => 480,
            Self::NoSuchTransaction => 481,
            Self::LoopDetected => 482,
            Self::TooManyHops => 483,
            Self::OutOfOrder
            | Self::NotKept
            | Self::NoAnswerInside
            | Self::NextHopFailed
            | Self::PeerLoginFailed
            | Self::PrivacyNotProvided => 500,
            Self::UnknownMethodMismatch => 501,
            Self::Overloaded => 503,
            Self::VersionNotSupported => 505,
            Self::TooLarge => 513,
        }
    }

    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::VersionNotSupported => "version_not_supported",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::TooManyHops => "too_many_hops",
            Self::LoopDetected => "loop_detected",
            Self::BadExtension => "bad_extension",
            Self::BadProxyExtension => "bad_proxy_extension",
            Self::PathNotSupported => "path_not_supported",
            Self::PathNotTrusted => "path_not_trusted",
            Self::FirstHopLacksOutbound => "first_hop_lacks_outbound",
            Self::ContactNotAllowed => "contact_not_allowed",
            Self::MaxBreadthExceeded => "max_breadth_exceeded",
            Self::MethodMismatch => "method_mismatch",
            Self::UnknownMethodMismatch => "unknown_method_mismatch",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthorized => "unauthorized",
            Self::ProxyAuthenticationRequired => "proxy_authentication_required",
            Self::Forbidden => "forbidden",
            Self::NotOurDomain => "not_our_domain",
            Self::NotYourIdentity => "not_your_identity",
            Self::PrivacyNotProvided => "privacy_not_provided",
            Self::NoSuchUser => "no_such_user",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::SipsNotAllowed => "sips_not_allowed",
            Self::SipsRequired => "sips_required",
            Self::FlowFailed => "flow_failed",
            Self::ForbiddenAddress => "forbidden_address",
            Self::NoSuchTransaction => "no_such_transaction",
            Self::ForgedRoute => "forged_route",
            Self::TooManyContacts => "too_many_contacts",
            Self::IntervalTooBrief => "interval_too_brief",
            Self::OutOfOrder => "out_of_order",
            Self::NotKept => "not_kept",
            Self::NoAnswerInside => "no_answer_inside",
            Self::NextHopFailed => "next_hop_failed",
            Self::PeerLoginFailed => "peer_login_failed",
            Self::Overloaded => "overloaded",
            Self::TooLarge => "too_large",
            Self::NoLength => "no_length",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            other => f.write_str(other.name()),
        }
    }
}
