//! What an agent can say about its machine: resources, and the address that others reach its nodes at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use procfs::{Current, Meminfo};

use crate::connect::ManagerAddress;
use crate::wire::cluster as wire;

/// Slots of an agent that states none: nodes that ask for no cores are cheap to place.
const SLOTS_DEFAULT: u32 = 64;
const GPU_FOLDER: &str = "/proc/driver/nvidia/gpus";
const GPUS_VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// What nodes may use of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// How many nodes fit; 0: none are placed here.
    pub slots: u32,
    /// Processor cores.
    pub cores: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Identifiers as `CUDA_VISIBLE_DEVICES` takes them.
    pub gpus: Vec<String>,
}

impl Resources {
    /// 64 slots, the cores that this process may use, the machine's memory, and the GPUs that the environment leaves
    /// visible (`CUDA_VISIBLE_DEVICES`), else those that the driver lists.
    pub fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            slots: SLOTS_DEFAULT,
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            memory_bytes: Meminfo::current().map_or(0, |memory| memory.mem_total),
            gpus: gpus(std::env::var(GPUS_VISIBLE).ok().as_deref()),
        }
    }
}

fn gpus(visible: Option<&str>) -> Vec<String> {
    match visible {
        Some(list) => list
            .split(',')
            .map(str::trim)
            .filter(|gpu| !gpu.is_empty())
            .map(str::to_owned)
            .collect(),
        None => (0..std::fs::read_dir(GPU_FOLDER).map_or(0, Iterator::count))
            .map(|gpu| gpu.to_string())
            .collect(),
    }
}

impl From<&Resources> for wire::Resources {
    fn from(resources: &Resources) -> Self {
        Self {
            slots: resources.slots,
            cores: resources.cores,
            memory_bytes: resources.memory_bytes,
            gpus: resources.gpus.clone(),
        }
    }
}

/// Why no address can be given to other machines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The machine's interfaces cannot be read.
    #[error("cannot read the network interfaces of this machine: {0}")]
    Unreadable(String),
    /// More than one would do.
    #[error("this machine has more than one address: {}", list(.0))]
    Ambiguous(Vec<(IpAddr, String)>),
    /// None would do.
    #[error("no network interface but loopback has an address")]
    None,
    /// The interface does not exist, is down, or has no address.
    #[error("the network interface `{interface}` has no address here; there are {}", list(.candidates))]
    NoSuchInterface {
        /// As given.
        interface: String,
        /// What there is.
        candidates: Vec<(IpAddr, String)>,
    },
    /// No interface has this address.
    #[error("no network interface here has the address `{address}`; there are {}", list(.candidates))]
    NoSuchAddress {
        /// As given.
        address: IpAddr,
        /// What there is.
        candidates: Vec<(IpAddr, String)>,
    },
}

impl AddressError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "say both: `--address ADDRESS --interface NAME`",
            Self::None => {
                "bring an interface up, or say `--address 127.0.0.1` if every node is on this machine"
            }
            _ => "say which: `--address ADDRESS` or `--interface NAME`",
        }
    }
}

fn list(candidates: &[(IpAddr, String)]) -> String {
    let texts: Vec<String> = candidates
        .iter()
        .map(|(address, name)| format!("{address} ({name})"))
        .collect();
    texts.join(", ")
}

/// One address of one interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    address: IpAddr,
    interface: String,
}

impl fmt::Display for Candidate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.address, self.interface)
    }
}

/// Address and interface that nodes on other machines reach this machine's nodes at.
///
/// What is given decides, and must exist here. Else, with an AM on this machine (a unix socket, a loopback address), it
/// is loopback; else the only address that is not loopback, IPv4 before IPv6. More than one is refused.
pub fn choose_address(
    address: Option<IpAddr>,
    interface: Option<&str>,
    manager: &ManagerAddress,
) -> Result<(IpAddr, String), AddressError> {
    let candidates = candidates().map_err(|error| AddressError::Unreadable(error.to_string()))?;
    let chosen = choose(&candidates, address, interface, is_local(manager))?;
    Ok((chosen.address, chosen.interface))
}

fn is_local(manager: &ManagerAddress) -> bool {
    match manager {
        ManagerAddress::Unix(_) => true,
        ManagerAddress::Tcp(address) => address.ip().is_loopback(),
    }
}

fn choose(
    all: &[Candidate],
    address: Option<IpAddr>,
    interface: Option<&str>,
    local: bool,
) -> Result<Candidate, AddressError> {
    let wanted: Vec<&Candidate> = all
        .iter()
        .filter(|candidate| interface.is_none_or(|name| candidate.interface == name))
        .filter(|candidate| address.is_none_or(|address| candidate.address == address))
        .collect();
    match (address, interface) {
        (Some(address), _) => {
            let found = wanted.first().map(|candidate| (*candidate).clone());
            found.ok_or_else(|| AddressError::NoSuchAddress {
                address,
                candidates: pairs(all),
            })
        }
        (None, Some(interface)) if wanted.is_empty() => Err(AddressError::NoSuchInterface {
            interface: interface.to_owned(),
            candidates: pairs(all),
        }),
        (None, Some(_)) => only(wanted),
        (None, None) if local => Ok(loopback(all)),
        (None, None) => only(
            wanted
                .into_iter()
                .filter(|candidate| !candidate.address.is_loopback())
                .collect(),
        ),
    }
}

/// The only IPv4 address, else the only IPv6 address.
fn only(wanted: Vec<&Candidate>) -> Result<Candidate, AddressError> {
    let (v4, v6): (Vec<&Candidate>, Vec<&Candidate>) = wanted
        .into_iter()
        .partition(|candidate| candidate.address.is_ipv4());
    let preferred = if v4.is_empty() { v6 } else { v4 };
    match preferred.as_slice() {
        [] => Err(AddressError::None),
        [only] => Ok((*only).clone()),
        several => Err(AddressError::Ambiguous(
            several.iter().map(|candidate| pair(candidate)).collect(),
        )),
    }
}

fn loopback(all: &[Candidate]) -> Candidate {
    let found = all
        .iter()
        .find(|candidate| candidate.address == IpAddr::V4(Ipv4Addr::LOCALHOST));
    let usual = || Candidate {
        address: Ipv4Addr::LOCALHOST.into(),
        interface: "lo".to_owned(),
    };
    found.cloned().unwrap_or_else(usual)
}

fn pairs(candidates: &[Candidate]) -> Vec<(IpAddr, String)> {
    candidates.iter().map(pair).collect()
}

fn pair(candidate: &Candidate) -> (IpAddr, String) {
    (candidate.address, candidate.interface.clone())
}

/// All addresses of interfaces that are up and connected, without those that reach one link only.
fn candidates() -> nix::Result<Vec<Candidate>> {
    let usable = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let up = getifaddrs()?.filter(|interface| interface.flags.contains(usable));
    let found = up.filter_map(|interface| {
        let address = ip(interface.address.as_ref()?)?;
        Some(Candidate {
            address,
            interface: interface.interface_name,
        })
    });
    Ok(found
        .filter(|candidate| !is_link_local(candidate.address))
        .collect())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|address| IpAddr::V6(address.ip()))
    })
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(addresses: &[(&str, &str)]) -> Vec<Candidate> {
        let candidate = |(address, interface): &(&str, &str)| Candidate {
            address: address.parse().unwrap(),
            interface: (*interface).to_owned(),
        };
        [("127.0.0.1", "lo"), ("::1", "lo")]
            .iter()
            .chain(addresses)
            .map(candidate)
            .collect()
    }

    #[track_caller]
    fn check(
        addresses: &[(&str, &str)],
        address: Option<&str>,
        interface: Option<&str>,
        local: bool,
        wanted: &str,
    ) {
        let address = address.map(|address| address.parse().unwrap());
        let chosen = match choose(&machine(addresses), address, interface, local) {
            Ok(candidate) => candidate.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(chosen, wanted);
    }

    #[test]
    fn the_only_address_is_taken() {
        check(
            &[("10.0.0.5", "eth0"), ("fd00::5", "eth0")],
            None,
            None,
            false,
            "10.0.0.5 (eth0)",
        );
        check(&[("fd00::5", "eth0")], None, None, false, "fd00::5 (eth0)");
        check(
            &[],
            None,
            None,
            false,
            "no network interface but loopback has an address",
        );
    }

    #[test]
    fn beside_its_manager_an_agent_is_on_loopback() {
        check(&[("10.0.0.5", "eth0")], None, None, true, "127.0.0.1 (lo)");
    }

    #[test]
    fn more_than_one_is_refused_and_what_is_given_decides() {
        let two = [("10.0.0.5", "eth0"), ("192.168.1.5", "eth1")];
        let both = "this machine has more than one address: 10.0.0.5 (eth0), 192.168.1.5 (eth1)";
        check(&two, None, None, false, both);
        check(&two, None, Some("eth1"), false, "192.168.1.5 (eth1)");
        check(&two, Some("10.0.0.5"), None, true, "10.0.0.5 (eth0)");
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        let missing =
            "the network interface `eth9` has no address here; there are 127.0.0.1 (lo), ::1 (lo)";
        check(&[], None, Some("eth9"), false, missing);
        let missing = "no network interface here has the address `10.9.9.9`; there are 127.0.0.1 (lo), ::1 (lo)";
        check(&[], Some("10.9.9.9"), None, false, missing);
    }

    #[test]
    fn this_machine_has_loopback() {
        let manager = ManagerAddress::Unix("/run/am.sock".into());
        assert_eq!(
            choose_address(None, None, &manager).unwrap().0,
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        );
    }

    #[test]
    fn visible_gpus_are_what_the_environment_says() {
        assert_eq!(gpus(Some("0, GPU-1,")), ["0", "GPU-1"]);
        assert!(gpus(Some("")).is_empty());
    }
}
