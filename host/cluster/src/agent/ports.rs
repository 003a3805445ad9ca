//! Leases of ports. A lease is an abstract unix socket, `@forebay/port/N`: exclusive in a network namespace among all
//! agents, and gone with its process whatever happens to that.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

const DEFAULT_FIRST: u16 = 20_000;
const DEFAULT_LAST: u16 = 29_999;
const EPHEMERAL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Ports that an agent may lease, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange(RangeInclusive<u16>);

impl PortRange {
    /// `first..=last`; `None` when it is empty or begins with 0.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first > 0 && first <= last).then_some(Self(first..=last))
    }

    /// 20000 to 29999, cut where the kernel's ephemeral ports begin: those can be taken by any connection.
    pub fn of_this_machine() -> Self {
        let ephemeral = std::fs::read_to_string(EPHEMERAL_RANGE).ok();
        let begin = ephemeral
            .as_deref()
            .and_then(|text| text.split_whitespace().next()?.parse().ok());
        Self::below(begin.unwrap_or(u16::MAX))
    }

    fn below(ephemeral: u16) -> Self {
        let whole = Self(DEFAULT_FIRST..=DEFAULT_LAST);
        if ephemeral <= DEFAULT_FIRST {
            whole
        } else {
            Self(DEFAULT_FIRST..=DEFAULT_LAST.min(ephemeral - 1))
        }
    }

    /// Every port once, beginning somewhere, so that two jobs on a machine seldom try the same ones.
    fn shuffled(&self) -> impl Iterator<Item = u16> {
        let count = usize::from(self.0.end() - self.0.start()) + 1;
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let skip = usize::try_from(high ^ low).unwrap_or_default() % count;
        self.0.clone().cycle().skip(skip).take(count)
    }
}

/// The right to a port; ends when dropped.
#[derive(Debug)]
pub(super) struct PortLease {
    number: u16,
    _lock: UnixDatagram,
}

impl PortLease {
    /// Any free port of the range; `None` when all are taken.
    pub(super) fn any(range: &PortRange) -> Option<Self> {
        range.shuffled().find_map(|number| Self::of(number).ok())
    }

    fn of(number: u16) -> io::Result<Self> {
        let name = SocketAddr::from_abstract_name(format!("forebay/port/{number}"))?;
        let lock = UnixDatagram::bind_addr(&name)?;
        try_bind(number)?;
        Ok(Self {
            number,
            _lock: lock,
        })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// A program that knows nothing of leases may have taken it meanwhile.
    pub(super) fn is_usable(&self) -> bool {
        try_bind(self.number).is_ok()
    }
}

/// Binds as a server would (connections that wind down do not count), and lets go.
fn try_bind(number: u16) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, number))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A range of one port that was free a moment ago.
    fn one_port() -> (TcpListener, PortRange) {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        (listener, PortRange::new(number, number).unwrap())
    }

    #[test]
    fn a_lease_is_exclusive_until_it_is_dropped() {
        let (listener, range) = one_port();
        drop(listener);
        let lease = PortLease::any(&range).unwrap();
        assert!(PortLease::any(&range).is_none());
        drop(lease);
        assert!(PortLease::any(&range).is_some());
    }

    #[test]
    fn a_port_with_a_listener_is_not_leased() {
        let (_listener, range) = one_port();
        assert!(PortLease::any(&range).is_none());
    }

    #[test]
    fn a_lease_notices_a_foreign_listener() {
        let (listener, range) = one_port();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let lease = PortLease::any(&range).unwrap();
        assert!(lease.is_usable());
        let _foreign = TcpListener::bind(address).unwrap();
        assert!(!lease.is_usable());
    }

    #[test]
    fn the_default_range_stays_below_the_ephemeral_ports() {
        assert_eq!(
            PortRange::below(32_768),
            PortRange::new(20_000, 29_999).unwrap()
        );
        assert_eq!(
            PortRange::below(25_000),
            PortRange::new(20_000, 24_999).unwrap()
        );
        // All ports are ephemeral: there is no better place.
        assert_eq!(
            PortRange::below(1024),
            PortRange::new(20_000, 29_999).unwrap()
        );
    }

    #[test]
    fn every_port_of_a_range_is_tried_once() {
        let mut ports: Vec<u16> = PortRange::new(10, 20).unwrap().shuffled().collect();
        ports.sort_unstable();
        assert_eq!(ports, (10..=20).collect::<Vec<u16>>());
    }
}
