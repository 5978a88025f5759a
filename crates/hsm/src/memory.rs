//! Where secrets live: slots of 32 bytes in memory that is locked, kept out of dumps, wiped in forked children, and fenced by guard pages.
//!
//! Slots are cut from slabs of 64 KiB, because the system locks whole pages and allows few of them: 100,000 keys take 50 slabs, 3.2 MB, of
//! the 8 MiB that an ordinary process may lock. Where locking is refused the secrets are kept nevertheless, and [`memory_report`] says so.
//! Slabs are never given back: there are as many as the most secrets that were ever alive at once, and free slots are zero.
//!
//! This is the one global in the crate. The limit that it lives under belongs to the process, so a second arena would not make it any larger.
//! Its lock is held to take and to return a slot, which happens when a key is loaded or forgotten, never when one is used.
#![allow(unsafe_code, reason = "hands out exclusive slots of memory that the system mapped; architecture.md names this file")]

pub(crate) mod system;

use std::io;
use std::ptr::NonNull;

use parking_lot::Mutex;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::HsmError;

/// Bytes in a secret.
pub(crate) const SECRET_BYTES: usize = 32;

const SLAB_BYTES: usize = 64 * 1024;

/// How well the memory that holds secrets is protected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Bytes that are locked: they never reach swap.
    pub locked_bytes: usize,
    /// Bytes that hold secrets, or will, and could not be locked.
    pub unlocked_bytes: usize,
    /// The first thing that could not be done, in words, with what to do about it. None while all is well.
    pub reason: Option<String>,
}

/// How well the memory that holds secrets is protected, as of now. The first call prepares the first slab.
pub fn memory_report() -> MemoryReport {
    let mut arena = ARENA.lock();
    if arena.report.locked_bytes + arena.report.unlocked_bytes == 0
        && let Err(error) = arena.add_slab()
    {
        arena.complain(format!("the system gives no memory for secrets: {error}"));
    }
    arena.report.clone()
}

/// 32 secret bytes. Neither `Debug`, `Clone` nor `Serialize`; wiped when dropped.
pub(crate) struct Secret(Slot);

impl Secret {
    /// A new random secret.
    pub(crate) fn generate() -> Result<Self, HsmError> {
        Self::from_fill(|bytes| aws_lc_rs::rand::fill(bytes).map_err(|_| HsmError::Primitive("the random generator")))
    }

    /// The secret that `fill` writes, straight into its place.
    pub(crate) fn from_fill(fill: impl FnOnce(&mut [u8; SECRET_BYTES]) -> Result<(), HsmError>) -> Result<Self, HsmError> {
        let mut slot = ARENA.lock().take().map_err(|error| HsmError::SecretMemory(error.to_string()))?;
        fill(slot.as_mut())?;
        Ok(Self(slot))
    }

    /// The bytes, for the algorithm that needs them.
    pub(crate) fn expose(&self) -> &[u8; SECRET_BYTES] {
        self.0.as_ref()
    }
}

/// Up to 64 secret bytes, in one slot or two. Like [`Secret`] in everything else.
pub(crate) struct LongSecret {
    first: Secret,
    second: Option<Secret>,
    length: usize,
}

impl LongSecret {
    /// The most bytes that one can have.
    pub(crate) const BYTES_MAX: usize = 2 * SECRET_BYTES;

    /// A new random secret of this length, at most [`Self::BYTES_MAX`].
    pub(crate) fn generate(length: usize) -> Result<Self, HsmError> {
        let mut bytes = Zeroizing::new([0; Self::BYTES_MAX]);
        let bytes = bytes.get_mut(..length).ok_or_else(too_long)?;
        aws_lc_rs::rand::fill(bytes).map_err(|_| HsmError::Primitive("the random generator"))?;
        Self::from_bytes(bytes)
    }

    /// A copy of these bytes, at most [`Self::BYTES_MAX`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, HsmError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(too_long());
        }
        let copy = |part: &[u8]| {
            Secret::from_fill(|out| {
                out.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
                Ok(())
            })
        };
        let (first, second) = bytes.split_at(bytes.len().min(SECRET_BYTES));
        let second = if second.is_empty() { None } else { Some(copy(second)?) };
        Ok(Self { first: copy(first)?, second, length: bytes.len() })
    }

    /// The bytes, for the algorithm that needs them: on the stack for as long as it takes, then wiped.
    pub(crate) fn expose<T>(&self, use_bytes: impl FnOnce(&[u8]) -> T) -> T {
        let mut bytes = Zeroizing::new([0; Self::BYTES_MAX]);
        let (first, second) = bytes.split_at_mut(SECRET_BYTES);
        first.copy_from_slice(self.first.expose());
        if let Some(secret) = &self.second {
            second.copy_from_slice(secret.expose());
        }
        use_bytes(bytes.split_at(self.length).0)
    }
}

fn too_long() -> HsmError {
    HsmError::SecretMemory(format!("a secret has more than {} bytes", LongSecret::BYTES_MAX))
}

/// Exclusive use of one slot.
struct Slot(NonNull<[u8; SECRET_BYTES]>);

// SAFETY: a slot is used by its owner only, and is plain memory: it may be used from, and shared with, any thread.
unsafe impl Send for Slot {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Slot {}

impl Slot {
    fn as_ref(&self) -> &[u8; SECRET_BYTES] {
        // SAFETY: the pointer is into a slab, which lives for ever, is initialised (zeroed by the system), and is handed out to one Slot at a time.
        unsafe { self.0.as_ref() }
    }

    fn as_mut(&mut self) -> &mut [u8; SECRET_BYTES] {
        // SAFETY: as in `as_ref`, and `&mut self` makes the access exclusive.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.as_mut().zeroize();
        ARENA.lock().free.push(FreeSlot(self.0));
    }
}

/// A slot that nobody uses. It is all zero.
struct FreeSlot(NonNull<[u8; SECRET_BYTES]>);

// SAFETY: an address into memory that lives for ever; only the arena, behind its lock, makes a Slot of it.
unsafe impl Send for FreeSlot {}

struct Arena {
    free: Vec<FreeSlot>,
    report: MemoryReport,
    lock_limit: Option<u64>,
    limit_raised: bool,
}

static ARENA: Mutex<Arena> = Mutex::new(Arena {
    free: Vec::new(),
    report: MemoryReport { locked_bytes: 0, unlocked_bytes: 0, reason: None },
    lock_limit: None,
    limit_raised: false,
});

impl Arena {
    fn take(&mut self) -> io::Result<Slot> {
        if self.free.is_empty() {
            self.add_slab()?;
        }
        let FreeSlot(pointer) = self.free.pop().ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Slot(pointer))
    }

    fn add_slab(&mut self) -> io::Result<()> {
        self.raise_limit_once();
        let start = system::map_between_guards(SLAB_BYTES)?;
        // Before anything secret is in it; and in this order, because locking is what may be refused.
        if let Err(error) = system::keep_out_of_dumps(start, SLAB_BYTES) {
            self.complain(format!("secrets may appear in core dumps, because the system refused to exclude them: {error}"));
        }
        if let Err(error) = system::wipe_on_fork(start, SLAB_BYTES) {
            self.complain(format!(
                "secrets may be copied into child processes, because the system refused to prevent it: {error}"
            ));
        }
        match system::lock(start, SLAB_BYTES) {
            Ok(()) => self.report.locked_bytes += SLAB_BYTES,
            Err(error) => {
                self.report.unlocked_bytes += SLAB_BYTES;
                self.complain(self.unlocked_reason(&error));
            }
        }
        self.free.extend((0..SLAB_BYTES / SECRET_BYTES).map(|index| {
            // SAFETY: `index * SECRET_BYTES + SECRET_BYTES` is at most SLAB_BYTES, the length of the mapping.
            let slot = unsafe { start.add(index * SECRET_BYTES) };
            FreeSlot(slot.cast())
        }));
        Ok(())
    }

    fn raise_limit_once(&mut self) {
        if self.limit_raised {
            return;
        }
        self.limit_raised = true;
        // A refusal here shows when locking itself is refused, with the limit that was in force.
        self.lock_limit = system::raise_lock_limit().ok().flatten();
    }

    fn unlocked_reason(&self, error: &io::Error) -> String {
        let limit = self.lock_limit.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
        format!(
            "secrets may reach swap, because the system refused to lock more memory ({error}; limit: {limit}). Raise the limit \
             (LimitMEMLOCK=infinity in the systemd unit, ulimit -l, or --ulimit memlock=-1 for a container), or switch swap off"
        )
    }

    fn complain(&mut self, reason: String) {
        self.report.reason.get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(byte: u8) -> Secret {
        Secret::from_fill(|bytes| {
            bytes.fill(byte);
            Ok(())
        })
        .unwrap()
    }

    #[test]
    fn a_dropped_secret_is_wiped() {
        for _ in 0..1000 {
            let secret = filled(0xa5);
            let place = secret.0.0;
            assert_eq!(secret.expose(), &[0xa5; 32]);
            drop(secret);
            // Other tests run beside this one and may have been given the slot already: then try again.
            let arena = ARENA.lock();
            if arena.free.iter().any(|free| free.0 == place) {
                // SAFETY: slabs live for ever, and a free slot stays free while the lock is held.
                assert_eq!(unsafe { place.read() }, [0; 32]);
                return;
            }
        }
        panic!("the slot of a dropped secret was never free");
    }

    #[test]
    fn long_secrets_are_what_was_put_in() {
        for length in [0, 1, 28, 31, 32, 33, 48, 63, 64] {
            let bytes: Vec<u8> = (1..=length).collect();
            let secret = LongSecret::from_bytes(&bytes).unwrap();
            assert!(secret.expose(|exposed| exposed == bytes), "{length}");
            let (one, other) = (LongSecret::generate(length.into()).unwrap(), LongSecret::generate(length.into()).unwrap());
            assert_eq!(one.expose(<[u8]>::len), usize::from(length));
            assert!(length < 28 || one.expose(<[u8]>::to_vec) != other.expose(<[u8]>::to_vec), "{length}");
        }
        assert!(matches!(LongSecret::from_bytes(&[0; 65]), Err(HsmError::SecretMemory(_))));
        assert!(matches!(LongSecret::generate(65), Err(HsmError::SecretMemory(_))));
    }

    #[test]
    fn slots_are_exclusive_and_reused() {
        let many: Vec<Secret> = (0..5000_u32).map(|n| filled(n.to_le_bytes()[0])).collect();
        let mut places: Vec<usize> = many.iter().map(|secret| secret.0.0.as_ptr() as usize).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= SECRET_BYTES), "slots overlap");
        assert!(many.iter().zip(0..5000_u32).all(|(secret, n)| secret.expose() == &[n.to_le_bytes()[0]; 32]));
        drop(many);

        let before = memory_report();
        for _ in 0..20_000 {
            drop(filled(1));
        }
        let after = memory_report();
        let total = |report: &MemoryReport| report.locked_bytes + report.unlocked_bytes;
        // Other tests run beside this one, but 20,000 secrets one after another need no new slab of their own.
        assert!(total(&after) - total(&before) <= 2 * SLAB_BYTES, "free slots are not reused");
    }

    #[test]
    fn a_secret_that_could_not_be_filled_leaves_nothing_behind() {
        let refused = Secret::from_fill(|bytes| {
            bytes.fill(0xee);
            Err(HsmError::InvalidToken)
        });
        assert!(matches!(refused, Err(HsmError::InvalidToken)));
        let arena = ARENA.lock();
        // SAFETY: slabs live for ever, and free slots stay free while the lock is held.
        assert!(arena.free.iter().all(|free| unsafe { free.0.read() } == [0; 32]), "a free slot is not zero");
    }

    /// The kernel's own account of the mapping: `lo` locked, `dd` not dumped, `wf` wiped on fork.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_confirms_the_protection() {
        let secret = filled(7);
        let address = secret.0.0.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let mut flags = None;
        for line in maps.lines() {
            let range = line.split_whitespace().next().and_then(|word| word.split_once('-'));
            if let Some((from, to)) = range
                && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
            {
                inside = (from..to).contains(&address);
            } else if inside && let Some(rest) = line.strip_prefix("VmFlags:") {
                flags = Some(rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            }
        }
        let flags = flags.expect("the slab is a mapping of this process");
        let has = |flag: &str| flags.iter().any(|given| given == flag);
        assert!(has("dd") && has("wf"), "{flags:?}");
        let report = memory_report();
        // Where the system allows little, the slab of this secret may or may not be among those that it locked.
        assert!(has("lo") || report.unlocked_bytes > 0, "the report is not what the kernel says: {report:?} {flags:?}");
        assert_eq!(report.unlocked_bytes == 0, report.reason.is_none(), "{report:?}");
    }
}
