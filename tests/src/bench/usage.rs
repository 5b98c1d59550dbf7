//! What processes use, from `/proc`: CPU time and resident memory.

use std::time::Duration;

use anyhow::Context;

/// One tick of `/proc/PID/stat` (`USER_HZ` is 100 on every Linux that user space can see).
const TICK: Duration = Duration::from_millis(10);

/// User and system time that a process has used so far, its ended threads included.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("{path}: has it ended?"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("{path}: not understood"))?;
    Ok(TICK * ticks)
}

/// The sum over several processes.
pub(crate) fn cpu_of(pids: &[u32]) -> anyhow::Result<Duration> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// Resident memory in bytes.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path}: has it ended?"))?;
    resident_of(&status).with_context(|| format!("{path}: not understood"))
}

/// Fields 14 and 15; the name in field 2 may hold blanks and parentheses.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_strange_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 123 45 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(resident_of("Name:\tx\nVmRSS:\t    6604 kB\n"), Some(6604 * 1024));
        assert_eq!(resident_of("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_is_measurable() {
        assert!(cpu(std::process::id()).is_ok());
        assert!(resident(std::process::id()).unwrap() > 1024 * 1024);
    }
}
