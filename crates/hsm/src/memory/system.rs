//! What the operating system is asked for, each call behind a safe function that says in words what could not be done.
#![allow(unsafe_code, reason = "secret memory and process hygiene are system calls; architecture.md names this file")]

use std::io;
use std::ptr::NonNull;

/// Maps `bytes` of zeroed memory between two pages that cannot be touched, so that a stray linear read or write next to it ends the process
/// instead of meeting a secret. Never unmapped.
pub(super) fn map_between_guards(bytes: usize) -> io::Result<NonNull<u8>> {
    let page = page_size();
    let total = bytes.checked_add(page.saturating_mul(2)).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a new private anonymous mapping at an address of the system's choice touches no memory of ours.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), total, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `start` begins a mapping of `page + bytes + page` bytes, so the inner address is inside it.
    let inner = unsafe { start.cast::<u8>().add(page) };
    // SAFETY: `inner` is page-aligned, and `bytes` from it on lie inside the mapping made above, which nobody else knows of.
    if unsafe { libc::mprotect(inner.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(inner).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

/// Keeps the memory out of swap.
pub(super) fn lock(start: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: mlock changes no contents; the range is a mapping made by `map_between_guards`.
    succeeded(unsafe { libc::mlock(start.as_ptr().cast(), bytes) })
}

/// Keeps the memory out of core dumps.
#[cfg(target_os = "linux")]
pub(super) fn keep_out_of_dumps(start: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: MADV_DONTDUMP changes no contents; the range is a mapping made by `map_between_guards`.
    succeeded(unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_DONTDUMP) })
}

/// Makes the memory read as zeroes in a forked child.
#[cfg(target_os = "linux")]
pub(super) fn wipe_on_fork(start: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: MADV_WIPEONFORK changes nothing in this process; the range is a mapping made by `map_between_guards`.
    succeeded(unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_WIPEONFORK) })
}

/// Only Linux can.
#[cfg(not(target_os = "linux"))]
pub(super) fn keep_out_of_dumps(_start: NonNull<u8>, _bytes: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Only Linux can.
#[cfg(not(target_os = "linux"))]
pub(super) fn wipe_on_fork(_start: NonNull<u8>, _bytes: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Raises the limit of memory that this process may lock to the most it may ask for. Returns that limit in bytes; none if there is none.
pub(super) fn raise_lock_limit() -> io::Result<Option<u64>> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one rlimit, which outlives the call.
    succeeded(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: setrlimit reads one rlimit, which outlives the call.
    succeeded(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })?;
    Ok((limit.rlim_max != libc::RLIM_INFINITY).then_some(limit.rlim_max))
}

/// Forbids core dumps, for this process and what it starts.
pub(crate) fn forbid_core_dumps() -> io::Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: setrlimit reads one rlimit, which outlives the call.
    succeeded(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })
}

/// Forbids other processes of the same user to attach to this one or to read its memory.
#[cfg(target_os = "linux")]
pub(crate) fn forbid_inspection() -> io::Result<()> {
    let no: libc::c_ulong = 0;
    // SAFETY: PR_SET_DUMPABLE takes one number and touches no memory.
    succeeded(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, no) })
}

/// Only Linux can.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forbid_inspection() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // Every system has a page size; the largest in use (64 KiB) is right for smaller ones too, being a multiple of them.
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(65_536)
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
