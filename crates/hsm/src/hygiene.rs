//! Process hygiene at start: nothing of this process's memory may reach a disk or another process.

use std::fmt;
use std::io;

use crate::memory::{memory_report, system};

/// Something that could not be done to protect this process, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HygieneProblem {
    /// What is not protected, and why.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for HygieneProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.problem, self.remedy)
    }
}

/// Forbids core dumps and inspection by other processes, and prepares the memory for secrets. Returns what could not be done: say it once,
/// loudly. Call it first thing, before any secret is read. Calling it again does no harm.
pub fn harden_process() -> Vec<HygieneProblem> {
    let mut problems = Vec::new();
    let mut attempt = |result: io::Result<()>, problem: &str, remedy: &str| {
        if let Err(error) = result {
            problems.push(HygieneProblem { problem: format!("{problem}: {error}"), remedy: remedy.to_owned() });
        }
    };
    attempt(
        system::forbid_core_dumps(),
        "A crash may write key material to a core dump, because the system refused to forbid it",
        "Forbid core dumps for this process (LimitCORE=0 in the systemd unit, or ulimit -c 0)",
    );
    attempt(
        system::forbid_inspection(),
        "Other processes of the same user may read this process's memory, because the system refused to forbid it",
        "Run Claviger on Linux and under a user of its own",
    );
    if let Some(reason) = memory_report().reason {
        problems.push(HygieneProblem {
            problem: format!("The memory for secrets is not fully protected: {reason}"),
            remedy: "Keys remain usable, but a swap device or a dump may then hold them".to_owned(),
        });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_hardened_process_dumps_no_core() {
        let problems = harden_process();
        assert!(problems.iter().all(|problem| !problem.problem.contains("core dump")), "{problems:?}");
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let numbers: Vec<&str> = core.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
        assert_eq!(numbers, ["0", "0"], "{core}");
    }
}
