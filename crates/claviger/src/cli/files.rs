//! What `encrypt` and `decrypt` share: where bytes come from and go to, the progress bar, and stopping half-way.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::file_encryption::{FileError, NewFile, Progress};
use crate::problem::Problem;

const BUFFER_BYTES: usize = 128 * 1024;

/// Where bytes come from.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    name: String,
    /// None where it is not known: a pipe.
    length: Option<u64>,
}

/// Where bytes go to.
pub(super) enum Output {
    Standard(BufWriter<io::Stdout>),
    /// A device or a pipe that is there: written into as it comes.
    Special(BufWriter<File>),
    File(Box<BufWriter<NewFile>>),
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        if path == Path::new("-") {
            let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin()));
            return Ok(Self { reader, name: "standard input".to_owned(), length: None });
        }
        let failed = |error: io::Error| Problem::new(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(directory_problem(path));
        }
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, file));
        Ok(Self { reader, name: path.display().to_string(), length: metadata.is_file().then_some(metadata.len()) })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Output {
    /// Begins a file that takes its name when it is complete, or standard output for `-`.
    pub(super) fn open(path: &Path, replace: bool) -> Result<Self, Problem> {
        if path == Path::new("-") {
            return Ok(Self::Standard(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())));
        }
        let failed = |error: io::Error| write_problem(&format!("cannot write {}", path.display()), &error);
        if path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
            let file = File::options().write(true).open(path).map_err(failed)?;
            return Ok(Self::Special(BufWriter::with_capacity(BUFFER_BYTES, file)));
        }
        let file = NewFile::create(path, replace).map_err(failed)?;
        Ok(Self::File(Box::new(BufWriter::with_capacity(BUFFER_BYTES, file))))
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Standard(mut output) => output.flush(),
            Self::Special(mut output) => output.flush(),
            Self::File(output) => output.into_inner().map_err(io::IntoInnerError::into_error)?.finish(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(output) => output.write(bytes),
            Self::Special(output) => output.write(bytes),
            Self::File(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(output) => output.flush(),
            Self::Special(output) => output.flush(),
            Self::File(output) => output.flush(),
        }
    }
}

/// The file that results when none is named: the input's name with or without its ending; standard output for standard input.
pub(super) fn default_output(input: &Path, name: impl FnOnce(&str) -> Result<String, Problem>) -> Result<PathBuf, Problem> {
    if input == Path::new("-") {
        return Ok(PathBuf::from("-"));
    }
    if input.is_dir() {
        return Err(directory_problem(input));
    }
    let file_name = input.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Problem::usage(format!("{} has no name that another could be made from", input.display()))
            .remedy("name the output with -o")
    })?;
    Ok(input.with_file_name(name(file_name)?))
}

/// Does the work on a thread of its own, with a progress bar on a terminal, until it is done or the person interrupts it. An output file
/// appears only when all of it succeeded.
pub(super) async fn transfer(
    mut input: Input,
    mut output: Output,
    work: impl FnOnce(&mut Input, &mut Output, Progress<'_>) -> Result<(), FileError> + Send + 'static,
) -> Result<(), Problem> {
    let stopped = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&stopped);
    let working = tokio::task::spawn_blocking(move || {
        let bar = progress_bar(input.length);
        let result = work(&mut input, &mut output, &mut |done| {
            bar.set_position(done);
            !heard.load(Ordering::Relaxed)
        });
        bar.finish_and_clear();
        result.and_then(|()| output.finish().map_err(FileError::Write)).map_err(|error| file_problem(&input.name, &error))
    });
    tokio::select! {
        done = working => done.unwrap_or_else(|error| Err(Problem::new(format!("a defect of Claviger, please report it: {error}")))),
        () = interrupted(stopped) => Err(Problem::new("stopped: no file was written")),
    }
}

/// Waits for an interruption, then until the work has noticed it, or for a moment if it does not get to notice.
async fn interrupted(stopped: Arc<AtomicBool>) {
    let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    stopped.store(true, Ordering::Relaxed);
    // The work ends after its chunk, removes its file and wins the race; only input that never comes is not waited for.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
}

/// What went wrong with a file, and what to do about it.
pub(super) fn file_problem(name: &str, error: &FileError) -> Problem {
    let problem = Problem::new(match error {
        FileError::Write(error) => return write_problem("cannot write the output", error),
        FileError::Stopped => "stopped: no file was written".to_owned(),
        other => format!("{name}: {other}"),
    });
    match error {
        FileError::WrongDataKey | FileError::DamagedChunk(_) | FileError::CutOff | FileError::DamagedHeader => {
            problem.remedy("nothing of it should be trusted: get the file again from where it came")
        }
        FileError::UnknownVersion(_) => problem.remedy("use a newer version of claviger"),
        _ => problem,
    }
}

fn directory_problem(path: &Path) -> Problem {
    Problem::usage(format!("{} is a directory", path.display())).remedy("make an archive of it first (tar)")
}

fn write_problem(happened: &str, error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Problem::new(format!("{happened}: it exists")).remedy("replace it with --force, or name another file with -o")
        }
        io::ErrorKind::IsADirectory => Problem::usage(format!("{happened}: it is a directory")).remedy("name a file with -o"),
        _ => Problem::new(format!("{happened}: {error}")),
    }
}

fn progress_bar(length: Option<u64>) -> ProgressBar {
    let (Some(length), true) = (length, io::stderr().is_terminal()) else { return ProgressBar::hidden() };
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}
