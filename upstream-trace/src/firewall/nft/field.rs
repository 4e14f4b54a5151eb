//! The left side of a condition: what it looks at.

use std::net::IpAddr;

use super::super::packet::Device;
use super::About;
use super::json::Json;

/// What a condition looks at, with its value.
pub(super) enum Field {
    Address(IpAddr),
    Number(u64),
    /// One thing under several names.
    Name(&'static [&'static str]),
    Device(Device),
    /// TCP flags, 0 if not known, and which of them count.
    Flags(u8, u8),
    /// State of connection tracking, if known.
    State(Option<&'static str>),
    Several(Vec<Field>),
    /// The packet has no such thing, so that the condition cannot hold.
    Absent,
    Unknown,
}

/// Connection tracking looks at packets at this priority.
const CONNTRACK: i64 = -200;

impl About<'_> {
    pub(super) fn field(&self, left: &Json) -> Field {
        let Some((kind, inner)) = left.as_object().and_then(|object| object.first()) else {
            return Field::Unknown;
        };
        match kind {
            "payload" => self.payload(inner),
            "meta" => self.meta(inner["key"].as_str().or(inner.as_str()).unwrap_or_default()),
            "ct" if inner["key"].as_str() == Some("state") => Field::State(self.state()),
            "concat" => {
                let Some(all) = inner.as_array() else { return Field::Unknown };
                let fields: Vec<_> = all.iter().map(|left| self.field(left)).collect();
                let absent = fields.iter().any(|field| matches!(field, Field::Absent));
                if absent { Field::Absent } else { Field::Several(fields) }
            }
            "&" => match (self.field(&inner[0]), super::item::flags(&inner[1])) {
                (Field::Flags(flags, _), Some(mask)) => Field::Flags(flags, mask),
                (Field::Absent, _) => Field::Absent,
                _ => Field::Unknown,
            },
            _ => Field::Unknown,
        }
    }

    fn payload(&self, payload: &Json) -> Field {
        let (packet, v6) = (self.packet, self.packet.v6());
        let (src, dst) = (packet.src, packet.dst);
        let field = payload["field"].as_str().unwrap_or_default();
        match (payload["protocol"].as_str().unwrap_or_default(), field) {
            ("ip", _) if v6 => Field::Absent,
            ("ip6", _) if !v6 => Field::Absent,
            ("ip" | "ip6", "saddr") => Field::Address(src.ip().to_canonical()),
            ("ip" | "ip6", "daddr") => Field::Address(dst.ip().to_canonical()),
            ("ip", "protocol") | ("ip6", "nexthdr") => TCP,
            ("tcp" | "th", "sport") => Field::Number(src.port().into()),
            ("tcp" | "th", "dport") => Field::Number(dst.port().into()),
            ("tcp", "flags") => Field::Flags(packet.flags, u8::MAX),
            (
                "udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6" | "igmp" | "arp" | "esp" | "ah"
                | "comp",
                _,
            ) => Field::Absent,
            _ => Field::Unknown,
        }
    }

    fn meta(&self, key: &str) -> Field {
        let v6 = self.packet.v6();
        match key {
            "l4proto" => TCP,
            "nfproto" => Field::Name(if v6 { &["ipv6", "10"] } else { &["ipv4", "2"] }),
            "protocol" => Field::Name(if v6 { &["ip6"] } else { &["ip"] }),
            "iif" | "iifname" => Field::Device(self.packet.input.clone()),
            "oif" | "oifname" => Field::Device(self.packet.output.clone()),
            _ => Field::Unknown,
        }
    }

    /// A SYN begins a connection; of later packets the state cannot be known.
    fn state(&self) -> Option<&'static str> {
        let tracked = self.priority > CONNTRACK && !self.ruleset.untracks;
        (tracked && self.packet.is_syn()).then_some("new")
    }
}

const TCP: Field = Field::Name(&["tcp", "6"]);
