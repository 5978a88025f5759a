//! What the kernel says that a process has used. Source: Linux, Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat",
//! and proc_pid_status(5).

use std::collections::BTreeMap;
use std::fs;

use crate::failure::{Context as _, Failure};

/// CPU time of a process so far, thread by thread, to the nanosecond. The ticks of /proc/PID/stat would be too coarse.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuTime {
    threads: BTreeMap<u32, (String, u64)>,
}

/// CPU time in nanoseconds, by the name of the threads that used it.
pub(crate) type ByThread = BTreeMap<String, u64>;

impl CpuTime {
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let directory = format!("/proc/{pid}/task");
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(&directory).context(format!("cannot read {directory}"))? {
            let entry = entry.context(format!("cannot read {directory}"))?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end between the two reads; what it used up to then is lost, and little.
            let (Ok(name), Ok(times)) =
                (fs::read_to_string(entry.path().join("comm")), fs::read_to_string(entry.path().join("schedstat")))
            else {
                continue;
            };
            threads.insert(thread, (name.trim().to_owned(), on_cpu_ns(&times)?));
        }
        Ok(Self { threads })
    }

    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> ByThread {
        let mut used = ByThread::new();
        for (thread, (name, now)) in &self.threads {
            let before = earlier.threads.get(thread).map_or(0, |(_, before)| *before);
            *used.entry(name.clone()).or_default() += now.saturating_sub(before);
        }
        used
    }
}

/// The CPU time in a thread's `schedstat`.
pub(crate) fn on_cpu_ns(schedstat: &str) -> Result<u64, Failure> {
    let first = schedstat.split_ascii_whitespace().next().unwrap_or_default();
    first.parse().context("this kernel does not account CPU time in schedstat")
}

/// A figure of /proc/PID/status that is in kB (VmRSS, VmHWM), in MB of 1,000,000 bytes.
pub(crate) fn memory_mb(pid: u32, name: &str) -> Result<f64, Failure> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).context(format!("cannot read {path}"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0 / 1e6).ok_or_else(|| Failure::new(format!("{path} does not tell {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let before = CpuTime::of(std::process::id()).unwrap();
        let mut sum = 0_u64;
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(200) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 7);
        }
        let used: u64 = CpuTime::of(std::process::id()).unwrap().since(&before).values().sum();
        assert!(used > 1_000_000, "{used} ns");
        assert!(memory_mb(std::process::id(), "VmRSS").unwrap() > 1.0);
    }
}
