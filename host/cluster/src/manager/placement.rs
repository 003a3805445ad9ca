//! Which machine each node goes to: all nodes of a `place`, or none.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::tables::Room;

/// Most agents that a message names.
const AGENTS_NAMED_MAX: usize = 5;

/// A node that wants a place.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    /// `worker:0`, for messages.
    pub(crate) node: String,
    /// What it takes of its machine; one slot.
    pub(crate) takes: Room,
    /// The dataflow feeds it through shared memory, so it runs where the dataflow does.
    pub(crate) is_fed: bool,
}

/// A machine that may be used, with what it has left.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Its name, for messages.
    pub(crate) name: String,
    /// Left for nodes.
    pub(crate) free: Room,
    /// The dataflow runs there.
    pub(crate) in_engine: bool,
}

impl Need {
    fn may_use(&self, candidate: &Candidate) -> bool {
        candidate.in_engine || !self.is_fed
    }
}

impl Room {
    pub(crate) fn holds(&self, need: &Self) -> bool {
        need.slots <= self.slots
            && need.cores <= self.cores
            && need.memory_bytes <= self.memory_bytes
            && need.gpus <= self.gpus
    }

    pub(crate) fn less(&self, need: &Self) -> Self {
        Self {
            slots: self.slots.saturating_sub(need.slots),
            cores: self.cores.saturating_sub(need.cores),
            memory_bytes: self.memory_bytes.saturating_sub(need.memory_bytes),
            gpus: self.gpus.saturating_sub(need.gpus),
        }
    }
}

/// For each need the index of its machine. Nodes are spread: each goes where most slots are left, and among equals to the
/// machine that joined first. Those that can only be beside the dataflow choose before the others. The error says what is missing.
pub(crate) fn assign(needs: &[Need], candidates: &[Candidate]) -> Result<Vec<usize>, String> {
    let mut free: Vec<Room> = candidates.iter().map(|candidate| candidate.free).collect();
    let mut chosen = BTreeMap::new();
    let mut order: Vec<(usize, &Need)> = needs.iter().enumerate().collect();
    order.sort_by_key(|(_, need)| !need.is_fed);
    for (position, need) in order {
        let fitting = free
            .iter()
            .enumerate()
            .filter(|(index, room)| need.may_use(&candidates[*index]) && room.holds(&need.takes));
        let Some((best, _)) = fitting.min_by_key(|(index, room)| (Reverse(room.slots), *index))
        else {
            return Err(missing(need, chosen.len(), needs.len(), candidates, &free));
        };
        free[best] = free[best].less(&need.takes);
        chosen.insert(position, best);
    }
    Ok(chosen.into_values().collect())
}

fn missing(
    need: &Need,
    placed: usize,
    wanted: usize,
    candidates: &[Candidate],
    free: &[Room],
) -> String {
    let beside = if need.is_fed {
        " beside the dataflow"
    } else {
        ""
    };
    let mut text = format!(
        "no room{beside} for node `{}`, which takes {}",
        need.node,
        describe(&need.takes)
    );
    if wanted > 1 {
        let _ = write!(text, " ({placed} of {wanted} nodes found room)");
    }
    let usable = candidates.iter().zip(free);
    let usable: Vec<_> = usable.filter(|(one, _)| need.may_use(one)).collect();
    if usable.is_empty() {
        text.push_str("; there is no agent to use");
    }
    for (candidate, room) in usable.iter().take(AGENTS_NAMED_MAX) {
        let _ = write!(
            text,
            "; agent `{}` has {} left",
            candidate.name,
            describe(room)
        );
    }
    if usable.len() > AGENTS_NAMED_MAX {
        let _ = write!(
            text,
            "; and {} more agents",
            usable.len() - AGENTS_NAMED_MAX
        );
    }
    text
}

fn describe(room: &Room) -> String {
    let mut parts = vec![count(u64::from(room.slots), "slot")];
    if room.cores > 0 {
        parts.push(count(u64::from(room.cores), "core"));
    }
    if room.memory_bytes > 0 {
        parts.push(format!("{} MiB of memory", room.memory_bytes >> 20));
    }
    if room.gpus > 0 {
        parts.push(count(u64::from(room.gpus), "GPU"));
    }
    parts.join(", ")
}

fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(node: &str, cores: u32) -> Need {
        Need {
            node: node.into(),
            takes: Room {
                slots: 1,
                cores,
                memory_bytes: 0,
                gpus: 0,
            },
            is_fed: false,
        }
    }

    fn candidate(name: &str, slots: u32, cores: u32) -> Candidate {
        Candidate {
            name: name.into(),
            free: Room {
                slots,
                cores,
                memory_bytes: 0,
                gpus: 0,
            },
            in_engine: false,
        }
    }

    #[test]
    fn who_is_fed_runs_beside_the_dataflow() {
        let fed = |node| Need {
            is_fed: true,
            ..need(node, 0)
        };
        let engine = |slots| Candidate {
            in_engine: true,
            ..candidate("engine", slots, 0)
        };
        let needs = [fed("worker:0"), need("ps:0", 0), fed("worker:1")];
        let machines = [candidate("a", 64, 0), engine(2)];
        assert_eq!(assign(&needs, &machines), Ok(vec![1, 0, 1]));
        let text = assign(&needs, &[candidate("a", 64, 0), engine(1)]).unwrap_err();
        insta::assert_snapshot!(text, @"no room beside the dataflow for node `worker:1`, which takes 1 slot (1 of 3 nodes found room); agent `engine` has 0 slots left");
    }

    #[test]
    fn who_may_be_anywhere_takes_no_room_of_those_that_are_fed() {
        let fed = Need {
            is_fed: true,
            ..need("worker:0", 0)
        };
        let engine = Candidate {
            in_engine: true,
            ..candidate("engine", 2, 0)
        };
        let needs = [need("ps:0", 0), need("ps:1", 0), fed];
        let machines = [engine, candidate("a", 1, 0)];
        assert_eq!(assign(&needs, &machines), Ok(vec![0, 1, 0]));
    }

    #[test]
    fn nodes_are_spread_over_machines() {
        let needs: Vec<Need> = (0..4)
            .map(|index| need(&format!("worker:{index}"), 0))
            .collect();
        let machines = [candidate("a", 64, 0), candidate("b", 64, 0)];
        assert_eq!(assign(&needs, &machines), Ok(vec![0, 1, 0, 1]));
    }

    #[test]
    fn a_machine_without_room_is_passed_over() {
        let machines = [candidate("a", 64, 1), candidate("b", 2, 8)];
        assert_eq!(
            assign(&[need("worker:0", 4), need("worker:1", 4)], &machines),
            Ok(vec![1, 1])
        );
    }

    #[test]
    fn memory_is_shared_out_too() {
        let gib = |gib: u64| gib << 30;
        let need = |index: u32| Need {
            takes: Room {
                memory_bytes: gib(3),
                ..need("", 0).takes
            },
            ..need(&format!("worker:{index}"), 0)
        };
        let machine = |name: &str, memory: u64| Candidate {
            free: Room {
                memory_bytes: gib(memory),
                ..candidate("", 64, 0).free
            },
            ..candidate(name, 64, 0)
        };
        let machines = [machine("small", 4), machine("large", 8)];
        let needs: Vec<Need> = (0..4).map(need).collect();
        let assigned = assign(&needs[..3], &machines).unwrap();
        let on = |wanted: usize| assigned.iter().filter(|index| **index == wanted).count();
        assert_eq!((on(0), on(1)), (1, 2), "{assigned:?}");
        let text = assign(&needs, &machines).unwrap_err();
        assert!(text.contains("1024 MiB of memory"), "{text}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let machines = [candidate("a", 64, 5)];
        let text = assign(&[need("worker:0", 4), need("worker:1", 4)], &machines).unwrap_err();
        insta::assert_snapshot!(text, @"no room for node `worker:1`, which takes 1 slot, 4 cores (1 of 2 nodes found room); agent `a` has 63 slots, 1 core left");
        insta::assert_snapshot!(assign(&[need("a:0", 0)], &[]).unwrap_err(), @"no room for node `a:0`, which takes 1 slot; there is no agent to use");
    }
}
