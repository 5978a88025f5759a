//! Where audit entries wait on this node's own disk while the store cannot be reached.
//!
//! A file: 8 bytes that say what it is, the 16 bytes of an id of its own, then a frame for each entry: its length (4 bytes, big-endian) and the entry,
//! sealed as a record of the deployment under the file's id and the entry's number. So no entry can be changed, moved, left out in the middle, or taken
//! over from another file without being found. What a crash cut off at the end was never acknowledged: an entry counts once the disk has it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_domain::{AccountId, Refusal};
use claviger_hsm::{AccountKey, Hsm, RecordIdentity};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"CLVSPL01";
const HEADER: u64 = HEADER_BYTES as u64;
const HEADER_BYTES: usize = 24;
/// An entry of the log has at most 65,535 bytes; sealing adds less than this.
const FRAME_MAX: usize = 65_535 + 512;
/// More than this is not kept: an outage that long is one.
const BYTES_MAX: u64 = 4 << 30;
/// How many bytes of entries are read at once.
const READ_MAX: usize = 4 << 20;

/// The entries that wait.
pub(crate) struct Spool {
    path: PathBuf,
    keeper: Keeper,
    pending: Mutex<Vec<Pending>>,
    writer: Mutex<Option<Writer>>,
    /// The id of the newest file there was. Later files have later ids, so that one that was put back is found.
    newest: Mutex<Uuid>,
    /// Where reading ended last, so that a long file is not read from its beginning for each batch.
    read: Mutex<Option<Place>>,
    /// How many entries the file has that are not known to be in the log.
    waiting: AtomicU64,
}

struct Pending {
    entry: Vec<u8>,
    written: oneshot::Sender<Result<(), String>>,
}

/// What seals and opens entries.
#[derive(Clone)]
struct Keeper {
    hsm: Arc<Hsm>,
    key: AccountKey,
    node: String,
}

struct Writer {
    file: File,
    id: Uuid,
    /// The number of the last entry.
    last: u64,
    /// Where the next frame begins.
    end: u64,
}

/// A place between two entries of a file.
#[derive(Clone, Copy)]
struct Place {
    file: Uuid,
    /// The number of the entry before it.
    after: u64,
    at: u64,
}

/// Some of what waits, in order.
pub(crate) struct Batch {
    /// The file's id.
    pub(crate) id: Uuid,
    /// The number of the entry before the first one here.
    pub(crate) after: u64,
    /// The entries, each with its number.
    pub(crate) entries: Vec<(u64, Vec<u8>)>,
    /// Bytes at the end of the file that are no whole frame.
    pub(crate) cut_off: u64,
}

impl Spool {
    /// The spool of this node at this path, which need not be there. Finds out whether something waits in it. `newest` is the id of the last file of
    /// which the log has anything.
    pub(crate) fn open(path: PathBuf, node: &str, newest: Uuid, hsm: Arc<Hsm>, key: AccountKey) -> Result<Self, Refusal> {
        let there = match fs::metadata(&path) {
            Ok(metadata) => metadata.len() > 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(unreadable(&path, &error.to_string())),
        };
        let keeper = Keeper { hsm, key, node: node.to_owned() };
        let waiting = AtomicU64::new(u64::from(there));
        Ok(Self {
            path,
            keeper,
            pending: Mutex::default(),
            writer: Mutex::default(),
            newest: Mutex::new(newest),
            read: Mutex::default(),
            waiting,
        })
    }

    /// Whether something waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Puts an entry at the end, durably. Those that come at the same time share one sync of the disk.
    pub(crate) async fn append(self: &Arc<Self>, entry: &[u8]) -> Result<(), Refusal> {
        let (written, waits) = oneshot::channel();
        self.pending.lock().push(Pending { entry: entry.to_vec(), written });
        let this = Arc::clone(self);
        // Runs to its end whether or not anybody still waits for it.
        tokio::task::spawn_blocking(move || this.write_pending());
        let lost = || Err("it was interrupted".to_owned());
        waits.await.unwrap_or_else(|_| lost()).map_err(|why| {
            tracing::error!(spool = %self.path.display(), why, "an audit entry could not be kept while the store cannot be reached");
            Refusal::internal("The store cannot be reached, and the audit entry could not be kept here either. Try again later.")
        })
    }

    fn write_pending(&self) {
        let mut writer = self.writer.lock();
        let batch = std::mem::take(&mut *self.pending.lock());
        if batch.is_empty() {
            return;
        }
        let result = self.write(&mut writer, &batch).map_err(|error| error.to_string());
        if result.is_ok() {
            self.waiting.fetch_add(batch.len() as u64, Ordering::AcqRel);
        }
        for pending in batch {
            // Nobody waits any more for what was dropped.
            let _ = pending.written.send(result.clone());
        }
    }

    fn write(&self, slot: &mut Option<Writer>, batch: &[Pending]) -> io::Result<()> {
        if slot.is_none() {
            let mut newest = self.newest.lock();
            let id = later_id(*newest);
            *slot = Some(Writer::begin(&self.path, id)?);
            *newest = id;
        }
        let Some(writer) = slot.as_mut() else { return Ok(()) };
        let mut bytes = Vec::new();
        for (pending, number) in batch.iter().zip(writer.last + 1..) {
            let sealed = self.keeper.seal(writer.id, number, &pending.entry)?;
            let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&sealed);
        }
        let end = writer.end + bytes.len() as u64;
        if end > BYTES_MAX {
            return Err(io::Error::other("the spool is as large as it may be"));
        }
        let written = writer.file.write_all(&bytes).and_then(|()| writer.file.sync_data());
        if let Err(error) = written {
            // Half a frame must not stand before whole ones. Where not even that can be undone, this file takes no more.
            let undone = writer.file.set_len(writer.end).and_then(|()| writer.file.seek(SeekFrom::Start(writer.end)));
            if undone.is_err() {
                writer.end = BYTES_MAX;
            }
            return Err(error);
        }
        writer.end = end;
        writer.last += batch.len() as u64;
        Ok(())
    }

    /// Reads some of what waits, and verifies it: what is behind the entry of this number, if it is of the file of this id.
    pub(crate) fn read(&self, mark: Option<(Uuid, u64)>) -> Result<Option<Batch>, Refusal> {
        // Nothing is written meanwhile.
        let writer = self.writer.lock();
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && writer.is_none() => return Ok(None),
            Err(error) => return Err(unreadable(&self.path, &error.to_string())),
        };
        let known = writer.as_ref().map(|writer| (writer.id, writer.last, writer.end));
        if let (Some((newest, _)), Some(id)) = (mark, Keeper::file_id(&mut file))
            && id < newest
        {
            let why = "it is older than one of which everything is in the log already: somebody has put it back";
            return Err(unreadable(&self.path, why));
        }
        let mut place = self.read.lock();
        let batch = self.keeper.read(&mut file, mark, known, &mut place);
        batch.map_err(|why| unreadable(&self.path, &why))
    }

    /// Removes the file, if everything up to this number is in the log and nothing came behind it. Says whether it did.
    pub(crate) fn clear(&self, until: u64) -> Result<bool, Refusal> {
        let mut writer = self.writer.lock();
        if writer.as_ref().is_some_and(|writer| writer.last > until) || !self.pending.lock().is_empty() {
            return Ok(false);
        }
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.path.parent().map_or(Ok(()), sync_directory),
        };
        removed.map_err(|error| unreadable(&self.path, &error.to_string()))?;
        *writer = None;
        self.waiting.store(0, Ordering::Release);
        Ok(true)
    }
}

impl Writer {
    /// Makes the file. One that is there already is read, and not written to, unless it never had an entry.
    fn begin(path: &Path, id: Uuid) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|found| found.len() < HEADER) {
            fs::remove_file(path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let made = file
            .write_all(MAGIC)
            .and_then(|()| file.write_all(id.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| path.parent().map_or(Ok(()), sync_directory));
        match made {
            Ok(()) => Ok(Self { file, id, last: 0, end: HEADER }),
            Err(error) => {
                // It would stand in the way of the next one. What cannot be removed has no entry, and is found then.
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }
}

/// An id that is later than this one: by the clock, or by one where the clock was put back.
fn later_id(than: Uuid) -> Uuid {
    Uuid::now_v7().max(Uuid::from_u128(than.as_u128().saturating_add(1)))
}

impl Keeper {
    fn seal(&self, file: Uuid, number: u64, entry: &[u8]) -> io::Result<Vec<u8>> {
        self.hsm.seal_record(&self.key, &self.identity(&self.id(file), number), entry).map_err(io::Error::other)
    }

    /// What the file says that it is, if it says so.
    fn file_id(file: &mut File) -> Option<Uuid> {
        let mut header = [0; HEADER_BYTES];
        let read = file.read_exact(&mut header).and_then(|()| file.rewind());
        let (_, id) = header.split_at(MAGIC.len());
        read.ok().and_then(|()| Uuid::from_slice(id).ok())
    }

    fn id(&self, file: Uuid) -> String {
        format!("{}/{file}", self.node)
    }

    fn identity<'a>(&self, id: &'a str, number: u64) -> RecordIdentity<'a> {
        RecordIdentity {
            account: AccountId::DEPLOYMENT,
            kind: "spooled-entry",
            id,
            version: number,
            account_key_version: self.key.version(),
            scope: "",
            owner: "",
            due: None,
        }
    }

    /// Reads a batch. `known` is what the process that wrote the file knows of it: its id, its last entry and its length. `place` is where reading
    /// ended before, and now.
    fn read(
        &self,
        file: &mut File,
        mark: Option<(Uuid, u64)>,
        known: Option<(Uuid, u64, u64)>,
        place: &mut Option<Place>,
    ) -> Result<Option<Batch>, String> {
        let failed = |error: io::Error| error.to_string();
        let length = file.metadata().map_err(failed)?.len();
        let mut header = [0; HEADER_BYTES];
        if file.rewind().and_then(|()| file.read_exact(&mut header)).is_err() {
            // A crash right after it was made.
            return if known.is_none() { Ok(None) } else { Err("it was cut off".to_owned()) };
        }
        let (magic, id) = header.split_at(MAGIC.len());
        let id = Uuid::from_slice(id).map_err(|_| "it has no id".to_owned())?;
        if magic != MAGIC || known.is_some_and(|(known, ..)| known != id) {
            return Err("it is not the file that was written here".to_owned());
        }
        if known.is_some_and(|(_, _, end)| end != length) {
            return Err("it is shorter or longer than it was written".to_owned());
        }
        let after = mark.filter(|(file, _)| *file == id).map_or(0, |(_, until)| until);
        let from = place.filter(|place| place.file == id && place.after == after);
        let from = from.unwrap_or(Place { file: id, after: 0, at: HEADER });
        file.seek(SeekFrom::Start(from.at)).map_err(failed)?;
        let mut reader = io::BufReader::new(file);
        let mut batch = Batch { id, after, entries: Vec::new(), cut_off: 0 };
        let (mut number, mut at, mut bytes) = (from.after, from.at, 0);
        while at < length && bytes < READ_MAX {
            let frame = read_frame(&mut reader, length - at)?;
            let Some(sealed) = frame else {
                batch.cut_off = length - at;
                break;
            };
            at += 4 + sealed.len() as u64;
            number += 1;
            if number <= after {
                continue;
            }
            let opened = self.hsm.open_record(&self.key, &self.identity(&self.id(id), number), &sealed);
            let opened = opened.map_err(|_| format!("its entry number {number} does not open: it was changed"))?;
            bytes += opened.len();
            batch.entries.push((number, opened.to_vec()));
        }
        *place = Some(Place { file: id, after: number, at });
        Ok(Some(batch))
    }
}

/// The next frame; none where the file ends within it, as after a crash.
fn read_frame(reader: &mut impl io::Read, left: u64) -> Result<Option<Vec<u8>>, String> {
    let mut length = [0; 4];
    if left < 4 {
        return Ok(None);
    }
    reader.read_exact(&mut length).map_err(|error| error.to_string())?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err("a frame is longer than any that is written: it was changed".to_owned());
    }
    if length as u64 > left - 4 {
        return Ok(None);
    }
    let mut sealed = vec![0; length];
    reader.read_exact(&mut sealed).map_err(|error| error.to_string())?;
    Ok(Some(sealed))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    // The parent of a bare name is the directory that the process is in.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

fn unreadable(path: &Path, why: &str) -> Refusal {
    Refusal::internal(format!(
        "The spool of audit entries {} cannot be used: {why}. It holds entries that no log has yet, so that nothing is served. Find out who changed \
         it; what cannot be repaired has to be moved away, and the gap told to whoever reads the log.",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use claviger_hsm::{NewSeal, SealSecret, generate_file_seal_secret};

    use super::*;

    /// What opens a spool at this path, again and again.
    fn opener(path: &Path) -> impl Fn(Uuid) -> Arc<Spool> {
        let seal = NewSeal::Secret(SealSecret::File(generate_file_seal_secret().unwrap()));
        let (hsm, _, _) = Hsm::initialize_with(Uuid::new_v4(), &[("file".to_owned(), seal)]).unwrap();
        let (key, _) = crate::accounts::create_account_key(&hsm, AccountId::DEPLOYMENT).unwrap();
        let (path, hsm) = (path.to_owned(), Arc::new(hsm));
        move |newest| Arc::new(Spool::open(path.clone(), "n", newest, Arc::clone(&hsm), key.clone()).unwrap())
    }

    #[tokio::test]
    async fn what_never_had_an_entry_is_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let open = opener(&path);
        for left in [&b""[..], &MAGIC[..], &[MAGIC.as_slice(), &[7; 15]].concat()] {
            fs::write(&path, left).unwrap();
            let spool = open(Uuid::nil());
            spool.append(b"entry").await.unwrap();
            assert_eq!(spool.read(None).unwrap().unwrap().entries, [(1, b"entry".to_vec())]);
            assert!(spool.clear(1).unwrap());
        }
    }

    #[tokio::test]
    async fn a_file_that_was_put_back_is_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let open = opener(&path);
        let spool = open(Uuid::nil());
        spool.append(b"first").await.unwrap();
        let (old, first) = (fs::read(&path).unwrap(), spool.read(None).unwrap().unwrap().id);
        assert!(spool.clear(1).unwrap());
        spool.append(b"second").await.unwrap();
        let second = spool.read(Some((first, 1))).unwrap().unwrap();
        assert_eq!(second.entries, [(1, b"second".to_vec())]);
        assert!(second.id > first);
        assert!(spool.clear(1).unwrap());
        fs::write(&path, old).unwrap();
        let again = open(second.id);
        let refused = again.read(Some((second.id, 1))).err().unwrap();
        assert!(refused.to_string().contains("put it back"), "{refused}");
    }

    #[test]
    fn ids_grow_when_the_clock_does_not() {
        let future = Uuid::from_u128(Uuid::max().as_u128() - 7);
        assert!(later_id(future) > future);
        assert!(later_id(Uuid::nil()).get_version_num() == 7);
    }

    #[tokio::test]
    async fn a_long_file_is_read_in_parts_each_entry_once() {
        const ENTRIES: u64 = 200;
        let directory = tempfile::tempdir().unwrap();
        let spool = opener(&directory.path().join("spool"))(Uuid::nil());
        let entry = |number: u64| format!("{number} {}", "x".repeat(60_000)).into_bytes();
        for number in 1..=ENTRIES {
            spool.append(&entry(number)).await.unwrap();
        }
        let (mut mark, mut parts, mut next) = (None, 0, 1);
        loop {
            let batch = spool.read(mark).unwrap().unwrap();
            let Some((until, _)) = batch.entries.last() else { break };
            mark = Some((batch.id, *until));
            for (number, bytes) in &batch.entries {
                assert_eq!((*number, bytes), (next, &entry(next)));
                next += 1;
            }
            parts += 1;
        }
        assert_eq!((next, parts > 2), (ENTRIES + 1, true));
        // Whoever has forgotten how far it was begins again.
        let (first, id) = (spool.read(None).unwrap().unwrap(), mark.unwrap().0);
        assert_eq!(first.entries.first().map(|(number, _)| *number), Some(1));
        assert_eq!(spool.read(Some((id, 7))).unwrap().unwrap().entries.first().map(|(number, _)| *number), Some(8));
        assert!(!spool.clear(ENTRIES - 1).unwrap(), "an entry is not in the log yet");
        assert!(spool.clear(ENTRIES).unwrap() && !spool.is_waiting());
    }
}
