//! The status codes that are written or looked for by themselves (RFC 3261 §21). Refusals have
//! theirs in [`Reject`](crate::reject::Reject).

/// 100 Trying.
pub(crate) const TRYING: u16 = 100;
/// 200 OK.
pub(crate) const OK: u16 = 200;
/// 301 Moved Permanently.
pub(crate) const MOVED_PERMANENTLY: u16 = 301;
/// 302 Moved Temporarily.
pub(crate) const MOVED_TEMPORARILY: u16 = 302;
/// 305 Use Proxy.
pub(crate) const USE_PROXY: u16 = 305;
/// 380 Alternative Service.
pub(crate) const ALTERNATIVE_SERVICE: u16 = 380;
/// 401 Unauthorized.
pub(crate) const UNAUTHORIZED: u16 = 401;
/// 407 Proxy Authentication Required.
pub(crate) const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;
/// Whether it asks who sent the request.
pub(crate) const fn is_challenge(status: u16) -> bool {
    matches!(status, UNAUTHORIZED | PROXY_AUTHENTICATION_REQUIRED)
}
/// 408 Request Timeout.
pub(crate) const REQUEST_TIMEOUT: u16 = 408;
/// 415 Unsupported Media Type.
pub(crate) const UNSUPPORTED_MEDIA_TYPE: u16 = 415;
/// 420 Bad Extension.
pub(crate) const BAD_EXTENSION: u16 = 420;
/// 430 Flow Failed (RFC 5626 §11.5).
pub(crate) const FLOW_FAILED: u16 = 430;
/// 484 Address Incomplete.
pub(crate) const ADDRESS_INCOMPLETE: u16 = 484;
/// 487 Request Terminated.
pub(crate) const REQUEST_TERMINATED: u16 = 487;
/// 500 Server Internal Error.
pub(crate) const SERVER_INTERNAL_ERROR: u16 = 500;
/// 503 Service Unavailable.
pub(crate) const SERVICE_UNAVAILABLE: u16 = 503;
