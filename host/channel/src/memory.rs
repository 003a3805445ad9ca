//! Memory that two processes share and that has no name in any file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fstat, memfd_create,
};

use crate::error::{Error, Fault};

/// Nobody can make it shorter, which would kill whoever reads behind its end.
const FIXED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Who may write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// This process, with the mapping that it has now, and nobody else.
    Host,
    /// Whoever gets it, too.
    Node,
}

/// A mapping of all of it.
#[derive(Debug)]
pub(crate) struct Mapping(MmapRaw);

impl Mapping {
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Copies bytes as they are at this moment, whatever others do.
    ///
    /// # Panics
    ///
    /// They do not lie within it.
    pub(crate) fn copy_to(&self, at: usize, copy: &mut [u8]) {
        assert!(
            at + copy.len() <= self.bytes(),
            "a mapping is as long as it is"
        );
        // SAFETY: they lie within the mapping. No reference to them is made, and all bytes are valid ones.
        unsafe {
            let from = self.0.as_ptr().add(at);
            std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), copy.len());
        }
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        NonNull::new(self.0.as_mut_ptr()).expect("a mapping does not begin at zero")
    }

    /// Children of this process that do not call `exec` do not have it.
    pub(crate) fn keep_from_children(&self) -> Result<(), Error> {
        self.0
            .advise(Advice::DontFork)
            .map_err(|error| Error::system("memory cannot be kept from children", error))
    }
}

/// Held from the look for room until it is taken.
static ALLOCATING: Mutex<()> = Mutex::new(());

/// Memory of this size, all of it there: what is short is found out now, and not by a signal later.
pub(crate) fn create(name: &str, bytes: u64, writes: Writes) -> Result<(OwnedFd, Mapping), Error> {
    // Who looks for room at the same time sees the same room.
    let _alone = ALLOCATING.lock().unwrap_or_else(PoisonError::into_inner);
    let groups = of_groups(Path::new(GROUPS), Path::new(OWN_GROUP));
    check_room(
        groups.into_iter().chain(of_machine(Path::new(MACHINE))),
        bytes,
    )?;
    let what = |what: &str| format!("{what} {bytes} bytes of shared memory for the {name}");
    let file = memfd_create(
        format!("forebay-{name}"),
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )
    .map_err(|error| Error::system(what("there is no descriptor for"), error))?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)
        .map_err(|error| Error::system(what("the system has not"), error))?;
    let mapping =
        map(&file, bytes, true).map_err(|error| Error::system(what("cannot map"), error))?;
    let seals = match writes {
        Writes::Host => FIXED | SealFlags::FUTURE_WRITE,
        Writes::Node => FIXED,
    };
    fcntl_add_seals(&file, seals | SealFlags::SEAL)
        .map_err(|error| Error::system(what("cannot seal"), error))?;
    Ok((file, mapping))
}

/// Maps what somebody else has made. It must be of this size, and stay so.
pub(crate) fn open(file: impl AsFd, bytes: u64, is_writable: bool) -> Result<Mapping, Error> {
    let found = fixed_bytes(&file)?;
    if found != bytes {
        let problem = format!("{found} bytes where {bytes} are said to be");
        return Err(Fault::Geometry(problem).into());
    }
    map(&file, bytes, is_writable).map_err(|error| cannot_map(bytes, error))
}

/// The same for reading, of whatever size it is, but for this one at least.
pub(crate) fn open_any(file: impl AsFd, least: u64) -> Result<Mapping, Error> {
    let bytes = fixed_bytes(&file)?;
    if bytes < least {
        let problem = format!("{bytes} bytes where there should be {least}");
        return Err(Fault::Geometry(problem).into());
    }
    map(&file, bytes, false).map_err(|error| cannot_map(bytes, error))
}

fn cannot_map(bytes: u64, error: std::io::Error) -> Error {
    Error::system(format!("cannot map {bytes} bytes of shared memory"), error)
}

/// Its size, which nobody can change any more.
fn fixed_bytes(file: impl AsFd) -> Result<u64, Error> {
    let seals = rustix::fs::fcntl_get_seals(&file);
    if !seals.is_ok_and(|seals| seals.contains(FIXED)) {
        return Err(Fault::Geometry("its memory can become shorter".into()).into());
    }
    let status =
        fstat(&file).map_err(|error| Error::system("cannot look at shared memory", error))?;
    Ok(u64::try_from(status.st_size).unwrap_or(0))
}

fn map(file: impl AsFd, bytes: u64, is_writable: bool) -> std::io::Result<Mapping> {
    let mut options = MmapOptions::new();
    let length = usize::try_from(bytes).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    options.len(length).populate();
    let mapping = if is_writable {
        options.map_raw(&file.as_fd())
    } else {
        options.map_raw_read_only(&file.as_fd())
    };
    mapping.map(Mapping)
}

const GROUPS: &str = "/sys/fs/cgroup";
const OWN_GROUP: &str = "/proc/self/cgroup";
const MACHINE: &str = "/proc/meminfo";

/// Whether machine and control group have so much memory left: where they have not, `fallocate` does not fail, but the kernel kills a process.
fn check_room(limits: impl IntoIterator<Item = Limit>, bytes: u64) -> Result<(), Error> {
    let short = limits.into_iter().filter(|limit| bytes > limit.free);
    let short = short.min_by_key(|limit| limit.free);
    short.map_or(Ok(()), |limit| {
        Err(Error::Memory {
            bytes,
            free: limit.free,
            limit: limit.bytes,
            file: limit.file.to_string_lossy().into_owned(),
        })
    })
}

/// How much memory there may be.
struct Limit {
    bytes: u64,
    free: u64,
    file: PathBuf,
}

fn of_machine(file: &Path) -> Option<Limit> {
    let text = fs::read_to_string(file).ok()?;
    let of = |key: &str| Some(statistic(&text, key, " kB")?.saturating_mul(1024));
    Some(Limit {
        bytes: of("MemTotal:")? + of("SwapTotal:").unwrap_or(0),
        free: of("MemAvailable:")? + of("SwapFree:").unwrap_or(0),
        file: file.to_owned(),
    })
}

/// The number behind a key at the beginning of a line.
fn statistic(text: &str, key: &str, unit: &str) -> Option<u64> {
    let mut lines = text.lines();
    lines.find_map(|line| {
        line.strip_prefix(key)?
            .trim()
            .trim_end_matches(unit)
            .parse()
            .ok()
    })
}

/// Of all groups that this process is in, from the innermost one on.
fn of_groups(groups: &Path, own: &Path) -> Vec<Limit> {
    let own = fs::read_to_string(own).unwrap_or_default();
    let mut limits = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let kind = if controllers.is_empty() {
            &UNIFIED
        } else if controllers.split(',').any(|name| name == "memory") {
            &OLDER
        } else {
            continue;
        };
        // In a container the name may be one of outside, and its own group is the root.
        let group = Path::new(group.trim_start_matches('/'));
        let folders = group
            .ancestors()
            .map(|group| groups.join(kind.below).join(group));
        limits.extend(folders.filter_map(|folder| kind.limit(&folder)));
    }
    limits
}

/// How groups say what they have.
struct GroupKind {
    below: &'static str,
    limit: &'static str,
    used: &'static str,
    /// What of it the kernel gives up when it is short, of the whole group: pages of files, and what it remembers of them.
    reclaimable: [&'static str; 3],
}

const UNIFIED: GroupKind = GroupKind {
    below: "",
    limit: "memory.max",
    used: "memory.current",
    reclaimable: ["inactive_file ", "active_file ", "slab_reclaimable "],
};
const OLDER: GroupKind = GroupKind {
    below: "memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: [
        "total_inactive_file ",
        "total_active_file ",
        "total_slab_reclaimable ",
    ],
};

impl GroupKind {
    /// `None`: it has none.
    fn limit(&self, folder: &Path) -> Option<Limit> {
        let file = folder.join(self.limit);
        let bytes = number(&file)?;
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let reclaimable = self.reclaimable.iter();
        let reclaimable = reclaimable.filter_map(|key| statistic(&statistics, key, ""));
        let used = number(&folder.join(self.used))?.saturating_sub(reclaimable.sum());
        Some(Limit {
            bytes,
            free: bytes.saturating_sub(used),
            file,
        })
    }
}

/// `None` too where it says `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of control groups, and what says which one is ours.
    fn groups(files: &[(&str, &str)], own: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let file = folder.path().join("groups").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        fs::write(folder.path().join("own"), own).unwrap();
        folder
    }

    fn refusal(folder: &tempfile::TempDir, bytes: u64) -> Option<String> {
        let path = folder.path();
        let limits = of_groups(&path.join("groups"), &path.join("own"));
        let error = check_room(limits, bytes).err()?;
        let folder = format!("{}/", path.join("groups").display());
        Some(error.to_string().replace(&folder, ""))
    }

    #[test]
    fn the_tightest_group_says_how_much_room_there_is() {
        let files = [
            ("memory.max", "max\n"),
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "700\n"),
            (
                "a/memory.stat",
                "anon 600\ninactive_file 30\nactive_file 20\n",
            ),
            ("a/b/memory.max", "5000\n"),
            ("a/b/memory.current", "300\n"),
        ];
        let folder = groups(&files, "0::/a/b\n");
        assert_eq!(refusal(&folder, 350), None);
        assert_eq!(
            refusal(&folder, 351).unwrap(),
            "351 bytes of shared memory are wanted, and 350 of 1000 are free by `a/memory.max`"
        );
    }

    #[test]
    fn groups_of_the_older_kind_count_too() {
        let files = [
            ("memory/a/memory.limit_in_bytes", "1000\n"),
            ("memory/a/memory.usage_in_bytes", "400\n"),
            (
                "memory/a/memory.stat",
                "inactive_file 1\ntotal_inactive_file 100\n",
            ),
        ];
        let folder = groups(&files, "7:cpu,cpuacct:/a\n6:memory:/a\n");
        assert_eq!(refusal(&folder, 700), None);
        assert!(
            refusal(&folder, 701)
                .unwrap()
                .contains("700 of 1000 are free")
        );
    }

    #[test]
    fn no_groups_are_no_limit() {
        assert_eq!(refusal(&groups(&[], "0::/\n"), 1 << 60), None);
    }

    #[test]
    fn more_than_the_machine_has_is_refused_before_the_kernel_kills_somebody() {
        let error = create("input", 1 << 50, Writes::Host).unwrap_err();
        assert!(error.to_string().contains(" are free by `"), "{error}");
    }

    #[test]
    fn memory_of_another_size_or_that_may_shrink_is_not_mapped() {
        let (file, _mapping) = create("input", 4096, Writes::Host).unwrap();
        assert!(open(&file, 8192, false).is_err());
        assert!(open(&file, 4096, true).is_err(), "only its maker writes it");
        assert!(open(&file, 4096, false).is_ok());
        let loose = memfd_create("loose", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&loose, 4096).unwrap();
        let error = open(&loose, 4096, false).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
    }
}
