//! A file that appears under its name only when it is complete.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file in the making, beside the name that it will have. Removed when dropped before [`NewFile::finish`].
#[derive(Debug)]
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    name: PathBuf,
    replace: bool,
    finished: bool,
}

impl NewFile {
    /// Begins a file that only its owner can read or write (0600). Where `name` is a symbolic link, the file that it leads to is meant.
    ///
    /// # Errors
    /// `name` exists and may not be replaced, is something else than a file, or its directory does not take new files.
    pub fn create(name: &Path, replace: bool) -> io::Result<Self> {
        let name = destination(name, replace)?;
        let file_name = name.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        let mut temporary_name = OsString::from(".");
        temporary_name.push(file_name);
        temporary_name.push(format!(".{}.partial", uuid::Uuid::new_v4().simple()));
        let temporary = name.with_file_name(temporary_name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { file, temporary, name, replace, finished: false })
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// The disk is full or broken, or something has taken the name meanwhile. The file is then removed.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.sync_all()?;
        if self.replace {
            fs::rename(&self.temporary, &self.name)?;
        } else {
            rename_to_new(&self.temporary, &self.name)?;
        }
        self.finished = true;
        // The new name is durable once its directory is.
        let directory = match self.name.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_file(&self.temporary)
        {
            tracing::error!(%error, file = %self.temporary.display(), "cannot remove an incomplete file: please remove it");
        }
    }
}

/// What is written in the end. A file that is there may be replaced; what is no file (a device, a pipe, a directory) never is.
fn destination(name: &Path, replace: bool) -> io::Result<PathBuf> {
    if name.symlink_metadata().is_err() {
        return Ok(name.to_owned());
    }
    if !replace {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    let metadata = name.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("it is a symbolic link to something that is not there"),
        _ => error,
    })?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    fs::canonicalize(name)
}

/// Gives a file a name that nothing may have, in one step: what came there meanwhile stays.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows how (NFS); a second name is refused where there is one, too.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        done => done.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_name_appears_with_the_whole_content_and_nobody_else_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("x");
        let mut file = NewFile::create(&name, false).unwrap();
        file.write_all(b"content").unwrap();
        assert!(!name.exists());
        file.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"content");
        assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(directory.path()), ["x"]);
    }

    #[test]
    fn an_unfinished_file_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = NewFile::create(&directory.path().join("x"), false).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(names(directory.path()).len(), 1);
        drop(file);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn what_exists_is_replaced_only_when_asked_and_only_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("x");
        fs::write(&name, "old").unwrap();
        assert_eq!(NewFile::create(&name, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(NewFile::create(&name, true).unwrap());
        assert_eq!(fs::read(&name).unwrap(), b"old");
        NewFile::create(&name, true).unwrap().finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"");
    }

    #[test]
    fn a_name_that_was_taken_meanwhile_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("x");
        let mut file = NewFile::create(&name, false).unwrap();
        file.write_all(b"mine").unwrap();
        fs::write(&name, "theirs").unwrap();
        assert_eq!(file.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"theirs");
        assert_eq!(names(directory.path()), ["x"]);
    }

    #[test]
    fn a_symbolic_link_is_followed_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (name, target) = (directory.path().join("x"), directory.path().join("target"));
        std::os::unix::fs::symlink("target", &name).unwrap();
        assert!(NewFile::create(&name, true).unwrap_err().to_string().contains("a symbolic link to something that is not there"));
        fs::write(&target, "old").unwrap();
        assert_eq!(NewFile::create(&name, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let mut file = NewFile::create(&name, true).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert!(name.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(NewFile::create(&socket, true).unwrap_err().to_string().contains("not a file"));
        assert_eq!(NewFile::create(directory.path(), true).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(names(directory.path()), ["socket"]);
    }
}
