//! Where calls to the outside may connect: anywhere but to this machine and to what only this machine should reach.
//!
//! Refused unless allowed: loopback, link-local, unspecified, multicast, broadcast and reserved addresses, and the places where clouds
//! hand out credentials. An IPv4 address inside an IPv6 one counts as itself. Private networks are allowed: that is where the services of a
//! cluster live, and what must not be reached there is kept by network policies, which see all processes and not only this one.
//!
//! The address is judged after the name was looked up, and that address is connected to: a name that resolves differently the second
//! time changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An exception, as `--allow-connect` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Addresses that begin with so many bits of this one, at a port or at all.
    Net(IpAddr, u8, Option<u16>),
    /// A name, wherever it leads, at a port or at all.
    Host(String, Option<u16>),
}

/// Names by which clouds serve credentials, whatever they resolve to.
const METADATA_NAMES: [&str; 4] =
    ["metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"];
/// Addresses of the same outside of the link-local range.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Why a name must not be called; `None`: its addresses decide.
pub(super) fn name_refused(allowed: &[Allow], host: &str, port: u16) -> Option<&'static str> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let metadata = METADATA_NAMES.contains(&host.as_str());
    (metadata && !named(allowed, &host, port)).then_some("it is a cloud's metadata service")
}

/// Why an address that `host` leads to must not be connected to.
pub(super) fn refused(allowed: &[Allow], host: &str, address: SocketAddr) -> Option<&'static str> {
    let own = embedded(address.ip());
    let why = kind(own).or_else(|| kind(address.ip()))?;
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let ranged = allowed.iter().any(|it| match it {
        Allow::Net(net, bits, port) => {
            port.is_none_or(|port| port == address.port())
                && (within(*net, *bits, own) || within(*net, *bits, address.ip()))
        }
        Allow::Host(..) => false,
    });
    (!ranged && !named(allowed, &host, address.port())).then_some(why)
}

fn named(allowed: &[Allow], host: &str, port: u16) -> bool {
    allowed.iter().any(|it| match it {
        Allow::Host(name, at) => name == host && at.is_none_or(|at| at == port),
        Allow::Net(..) => false,
    })
}

/// What is special about an address.
fn kind(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("it is a cloud's metadata service");
    }
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

fn kind_v4(v4: Ipv4Addr) -> Option<&'static str> {
    let [first, ..] = v4.octets();
    if v4.is_loopback() {
        Some("it is this machine itself")
    } else if v4.is_link_local() {
        Some("it is a link-local address, where clouds serve metadata")
    } else if first == 0 {
        Some("it is no address of a machine")
    } else if v4.is_multicast() || first >= 240 {
        Some("it is a multicast, broadcast or reserved address")
    } else {
        None
    }
}

fn kind_v6(v6: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = v6.segments();
    if v6.is_loopback() {
        Some("it is this machine itself")
    } else if v6.is_unspecified() {
        Some("it is no address of a machine")
    } else if v6.is_multicast() {
        Some("it is a multicast, broadcast or reserved address")
    } else if v6.is_unicast_link_local() {
        Some("it is a link-local address, where clouds serve metadata")
    } else if first == 0x2001 && second == 0 {
        Some("it is the address of a tunnel")
    } else {
        None
    }
}

/// The IPv4 address that is meant by an IPv6 one: mapped, compatible, 6to4 or NAT64.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let joined = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => joined(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => joined(high, low),
        [0x2002, high, low, ..] => joined(high, low),
        [0x64, 0xff9b, .., high, low] => joined(high, low),
        _ => address,
    }
}

fn within(net: IpAddr, bits: u8, address: IpAddr) -> bool {
    let shifted = |value: u128, width: u8| value.checked_shr(u32::from(width - bits.min(width))).unwrap_or(0);
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            shifted(u32::from(net).into(), 32) == shifted(u32::from(address).into(), 32)
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => shifted(net.into(), 128) == shifted(address.into(), 128),
        _ => false,
    }
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!("{text:?} is none of CIDR, HOST and HOST:PORT, such as 127.0.0.0/8, [::1]:8080 or api.local:443")
        };
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let bits: u8 = bits.parse().map_err(|_| wrong())?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            return if bits <= width { Ok(Self::Net(address, bits, None)) } else { Err(wrong()) };
        }
        let whole = |address: IpAddr, port| Self::Net(address, if address.is_ipv4() { 32 } else { 128 }, port);
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(whole(address.ip(), Some(address.port())));
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(whole(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let plain = |it: char| it.is_ascii_alphanumeric() || "-._".contains(it);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Self::Host(host.trim_end_matches('.').to_ascii_lowercase(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 80)
    }

    #[test]
    fn special_addresses_are_refused_however_they_are_written() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:7f00:1::1",
            "::ffff:0:127.0.0.1",
        ] {
            assert!(refused(&[], "x", at(address)).is_some(), "{address}");
        }
        for address in
            ["1.1.1.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "2606:4700::1111", "fd12::1", "::ffff:8.8.8.8"]
        {
            assert_eq!(refused(&[], "x", at(address)), None, "{address}");
        }
        assert!(name_refused(&[], "Metadata.google.internal.", 80).is_some());
        assert_eq!(name_refused(&[], "example.com", 80), None);
    }

    #[test]
    fn exceptions_are_as_wide_as_they_say() {
        let allow = |texts: &[&str]| -> Vec<Allow> { texts.iter().map(|it| it.parse().unwrap()).collect() };
        let loopback = allow(&["127.0.0.0/8"]);
        assert_eq!(refused(&loopback, "x", at("127.3.2.1")), None);
        assert_eq!(refused(&loopback, "x", at("::ffff:127.0.0.1")), None);
        assert!(refused(&loopback, "x", at("::1")).is_some());
        assert!(refused(&loopback, "x", at("169.254.169.254")).is_some());
        let port = allow(&["127.0.0.1:80", "[::1]:81", "LOCAL.test:80"]);
        assert_eq!(refused(&port, "x", at("127.0.0.1")), None);
        assert!(refused(&port, "x", at("127.0.0.2")).is_some());
        assert!(refused(&port, "x", at("::1")).is_some());
        assert_eq!(refused(&port, "local.TEST.", at("::1")), None);
        assert!(refused(&port, "other.test", at("::1")).is_some());
        assert_eq!(refused(&allow(&["0.0.0.0/0", "::/0"]), "x", at("169.254.169.254")), None);
        assert_eq!(name_refused(&allow(&["metadata"]), "metadata", 80), None);
        for wrong in ["", "a b", "10.0.0.0/33", "host:port", "http://x", "10/8"] {
            wrong.parse::<Allow>().unwrap_err();
        }
    }
}
