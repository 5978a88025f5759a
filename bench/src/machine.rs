//! Where the figures come from: without it they say nothing.

use std::fs;

/// The load average above which the figures are called noisy: something else wants the CPU all the time.
const QUIET_LOAD_MAX: f64 = 0.7;

/// The machine in a few lines.
pub(crate) fn describe() -> Vec<String> {
    let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        "# Claviger, measured".to_owned(),
        String::new(),
        format!(
            "Machine: {count} CPUs ({}), shared by the servers and the generator; Linux {}; load average {:.1} at the start.",
            model.unwrap_or_else(|| "model unknown".to_owned()),
            kernel.trim(),
            load_average()
        ),
    ]
}

/// Whether other work would disturb the figures, by the load average of the last minute. To be asked before the run adds its own.
pub(crate) fn is_busy() -> bool {
    load_average() > QUIET_LOAD_MAX
}

fn load_average() -> f64 {
    fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0)
}
