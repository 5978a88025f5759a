//! What the disk takes to make bytes durable: nothing that is acknowledged can be faster.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::{Context as _, Failure};
use crate::load::quantile;

/// What a group of 64 audit entries and its frames in the write-ahead log come to, about.
const GROUP_BYTES: usize = 64 << 10;
const BLOCK_BYTES: usize = 4 << 10;
/// Writes go round in a file of this size, as they do in a write-ahead log.
const FILE_BYTES: usize = 8 << 20;
const TIME: Duration = Duration::from_millis(700);

/// Measures writes with `fdatasync` in this directory, and says so in a line.
pub(crate) fn measure(directory: &Path) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for bytes in [BLOCK_BYTES, GROUP_BYTES] {
        let times = write_durably(&directory.join("disk"), bytes)
            .context(format!("cannot measure the disk of {}", directory.display()))?;
        parts.push(format!(
            "{} KiB p50 {:.2} ms, p99 {:.2} ms",
            bytes >> 10,
            quantile(&times, 0.5) / 1e6,
            quantile(&times, 0.99) / 1e6
        ));
    }
    Ok(format!("Disk: write and fdatasync of {}.", parts.join("; of ")))
}

/// How long each write took, in nanoseconds.
fn write_durably(path: &Path, bytes: usize) -> io::Result<Vec<u64>> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let block = vec![0x5a; bytes];
    for index in 0..FILE_BYTES / bytes {
        file.write_all_at(&block, (index * bytes) as u64)?;
    }
    file.sync_all()?;
    let mut times = Vec::new();
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let offset = times.len() * bytes % FILE_BYTES;
        let begun = Instant::now();
        file.write_all_at(&block, offset as u64)?;
        file.sync_data()?;
        times.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    drop(file);
    std::fs::remove_file(path)?;
    Ok(times)
}
