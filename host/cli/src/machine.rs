//! What an agent says of its machine: the same options for the agent inside the engine and for one on its own.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use forebay_cluster::agent::{AddressError, Resources, choose_address};
use forebay_cluster::connect::ManagerAddress;

use crate::failure::Failure;

/// How long an address that is not there is waited for.
const LINK_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Options of `run` and `agent`. What is not given is found out.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "This machine")]
pub(crate) struct Machine {
    /// How many nodes fit here; 0: none [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// Processor cores that nodes may use [default: those of the machine]
    #[arg(long, value_name = "N")]
    cores: Option<u32>,
    /// Memory that nodes may use, such as `16 GiB` [default: that of the machine]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// GPUs that nodes may use, such as `0,1`; empty: none [default: those of the machine]
    #[arg(long, value_name = "LIST")]
    gpus: Option<String>,
    /// Address that nodes of other machines reach nodes here at
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Network interface of that address
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
}

impl Machine {
    /// What nodes may use.
    pub(crate) fn resources(&self) -> Resources {
        let found = Resources::of_this_machine();
        let list = |gpus: &String| {
            gpus.split(',')
                .map(str::trim)
                .filter(|gpu| !gpu.is_empty())
                .map(Into::into)
                .collect()
        };
        Resources {
            slots: self.slots.unwrap_or(found.slots),
            cores: self.cores.unwrap_or(found.cores),
            memory_bytes: self.memory.unwrap_or(found.memory_bytes),
            gpus: self.gpus.as_ref().map_or(found.gpus, list),
        }
    }

    /// The same machine, reached at `address` where neither address nor interface was given.
    pub(crate) fn or_at(&self, address: IpAddr) -> Self {
        let mut machine = self.clone();
        if machine.interface.is_none() {
            machine.address.get_or_insert(address);
        }
        machine
    }

    /// Address and interface for an agent of this application manager. Waits a little for a network that is coming up:
    /// the system tells of a link only some time after it carries.
    pub(crate) async fn address_towards(
        &self,
        manager: &ManagerAddress,
    ) -> Result<(IpAddr, String), Failure> {
        let given_up = Instant::now() + LINK_WITHIN;
        loop {
            match choose_address(self.address, self.interface.as_deref(), manager) {
                Ok(chosen) => return Ok(chosen),
                Err(error) if Instant::now() < given_up && may_come(&error) => {
                    tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                }
                Err(error) => return Err(Failure::from_input(&error).with_hint(error.hint())),
            }
        }
    }
}

fn may_come(error: &AddressError) -> bool {
    use AddressError::{NoSuchAddress, NoSuchInterface, None};
    matches!(error, None | NoSuchAddress { .. } | NoSuchInterface { .. })
}

/// `16 GiB`, `512MiB`, `1000000`: the units of the job file.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits_end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let factor: Option<u64> = match unit.trim() {
        "" | "B" => Some(1),
        "kB" => Some(1000),
        "KiB" => Some(1 << 10),
        "MB" => Some(1_000_000),
        "MiB" => Some(1 << 20),
        "GB" => Some(1_000_000_000),
        "GiB" => Some(1 << 30),
        "TB" => Some(1_000_000_000_000),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let size = number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor));
    size.ok_or_else(|| {
        "expected a size such as `16 GiB`, in B, kB, KiB, MB, MiB, GB, GiB, TB or TiB".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_job_file() {
        assert_eq!(parse_size("16 GiB"), Ok(16 << 30));
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_size("1000"), Ok(1000));
        assert!(
            ["", "GiB", "1 gb", "-1", "99999999999 GiB"]
                .iter()
                .all(|text| parse_size(text).is_err())
        );
    }

    #[test]
    fn what_is_given_wins_over_what_is_found() {
        let machine = Machine {
            slots: Some(0),
            gpus: Some(String::new()),
            ..Machine::default()
        };
        let resources = machine.resources();
        assert_eq!((resources.slots, resources.gpus.len()), (0, 0));
        assert!(resources.cores > 0);
    }
}
