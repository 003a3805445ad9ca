//! What memory a process costs, as the kernel counts it.

use std::fs;
use std::io;

/// Its share of the pages that it uses, less those of files, in bytes.
///
/// # Errors
///
/// There is no such process, or it is someone else's.
pub fn private_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kibibytes = |field: &str| -> u64 {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    Ok((kibibytes("Pss_Anon") + kibibytes("Pss_Shmem")) * 1024)
}
