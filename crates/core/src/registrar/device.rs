//! Which device a contact stands for, and by which way its REGISTER came: RFC 5626 §6, RFC 3327
//! §5.3.

use crate::binding::instance_id;
use crate::limits;
use crate::reject::Reject;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ringway_wire::{Message, Name, NameAddr, Params, Uri};

/// The way by which a REGISTER came.
#[derive(Debug)]
pub(super) struct Road {
    /// Its Path values, in order and separated by `, `.
    pub(super) path: Box<[u8]>,
    /// Whether the first hop keeps flows: it is us, or says so in its Path.
    keeps_flows: bool,
    /// Whether the client knows of outbound.
    knows_outbound: bool,
}

/// The device of a contact, and the flow of it that is registered.
#[derive(Debug, Default)]
pub(super) struct Device {
    /// The instance; empty if it is not named.
    pub(super) instance: Box<[u8]>,
    /// 0: no flow of its own.
    pub(super) reg_id: u32,
}

impl Road {
    /// Reads the Path, which the checks before have found to come from somebody trusted.
    pub(super) fn of(register: &Message<'_>) -> Result<Self, Reject> {
        let mut path = Vec::new();
        let mut nearest_keeps_flows = false;
        for value in register.values(Name::Path) {
            let node = NameAddr::parse(value).map_err(|_| Reject::Malformed("Path"))?;
            let Ok(Uri::Sip(uri)) = node.uri() else { return Err(Reject::Malformed("Path")) };
            // One that wants to be a strict router could not be put in front of a contact.
            if uri.params.get(b"lr").is_none() {
                return Err(Reject::Malformed("Path"));
            }
            nearest_keeps_flows = uri.params.get(b"ob").is_some();
            if !path.is_empty() {
                path.extend_from_slice(b", ");
            }
            path.extend(super::one_line(value));
            if path.len() > limits::PATH_BYTES {
                return Err(Reject::TooLarge);
            }
        }
        let first_hop = register.values(Name::Via).nth(1).is_none();
        Ok(Self {
            //= RFC 5626 6
            // "the first URI does not have an "ob" URI parameter, then outbound"
            // The first that the request came by is the last in the list (RFC 3327 §5.2).
            keeps_flows: first_hop || nearest_keeps_flows,
            path: path.into(),
            knows_outbound: supports(register, b"outbound"),
        })
    }

    /// The device that a Contact names.
    pub(super) fn device(&self, params: &Params<'_>) -> Result<Device, Reject> {
        let instance = params.get(b"+sip.instance").flatten().map(instance_id).unwrap_or_default();
        let Some(reg_id) = params.get(b"reg-id") else {
            return Ok(Device { instance, reg_id: 0 });
        };
        //= RFC 5626 6
        // "with a reg-id but no instance-id, it simply ignores the reg-id"
        if instance.is_empty() {
            return Ok(Device::default());
        }
        if !self.keeps_flows {
            //= RFC 5626 6
            // "then the registrar MUST respond to the REGISTER request with a 439"
            if self.knows_outbound {
                return Err(Reject::FirstHopLacksOutbound);
            }
            return Ok(Device { instance, reg_id: 0 });
        }
        let number = reg_id.and_then(|text| core::str::from_utf8(text).ok()?.parse::<u32>().ok());
        //= RFC 5626 10
        // "The value of the reg-id MUST NOT be 0 and MUST be less than 2^31."
        match number.filter(|number| (1..1 << 31).contains(number)) {
            Some(reg_id) => Ok(Device { instance, reg_id }),
            None => Err(Reject::Malformed("reg-id")),
        }
    }

    /// Whether the client wants to hear that its flow was registered.
    pub(super) const fn knows_outbound(&self) -> bool {
        self.knows_outbound
    }
}

/// Whether the client of a request says that it knows an extension (RFC 3261 §20.37).
pub(crate) fn supports(request: &Message<'_>, option: &[u8]) -> bool {
    request.values(Name::Supported).any(|value| value.eq_ignore_ascii_case(option))
}
