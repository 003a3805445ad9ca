//! How many processes the kernel has killed because memory was short: grew it beside a SIGKILL that nobody here sent,
//! that was the reason.

use std::fs;
use std::path::{Path, PathBuf};

const OWN_GROUP: &str = "/proc/self/cgroup";
const GROUPS: &str = "/sys/fs/cgroup";
const WHOLE_MACHINE: &str = "/proc/vmstat";

/// Counts for the control group of this process, else for the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfMemoryKills(Option<u64>);

impl OutOfMemoryKills {
    pub(super) fn now() -> Self {
        let of_group = own_group().and_then(|group| count(&group.join("memory.events")));
        Self(of_group.or_else(|| count(Path::new(WHOLE_MACHINE))))
    }

    pub(super) fn grew_since(self, before: Self) -> bool {
        matches!((before.0, self.0), (Some(before), Some(now)) if now > before)
    }
}

fn own_group() -> Option<PathBuf> {
    let text = fs::read_to_string(OWN_GROUP).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(GROUPS).join(path))
}

fn count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_and_only_growth_tells() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory.events");
        fs::write(&file, "low 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 9\n").unwrap();
        let before = OutOfMemoryKills(count(&file));
        assert_eq!(before, OutOfMemoryKills(Some(3)));
        assert!(!before.grew_since(before));
        assert!(OutOfMemoryKills(Some(4)).grew_since(before));
        let unknown = OutOfMemoryKills(count(&folder.path().join("none")));
        assert!(!unknown.grew_since(before) && !before.grew_since(unknown));
    }

    #[test]
    fn this_machine_counts() {
        assert!(OutOfMemoryKills::now().0.is_some());
    }
}
