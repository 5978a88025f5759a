//! A PostgreSQL of the run's own, on loopback, as durable as PostgreSQL is by default.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio::net::TcpStream;

use crate::failure::{Context as _, Failure};
use crate::server::free_address;
use crate::usage::on_cpu_ns;

/// The superuser of the database, and who the nodes are to it.
const USER: &str = "claviger";
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A database server that runs. It is stopped when this is dropped.
pub(crate) struct Database {
    child: Child,
    address: SocketAddr,
    programs: Programs,
    pub(crate) version: String,
}

/// PostgreSQL's programs, and the user as which they run: they refuse to be root.
struct Programs {
    directory: PathBuf,
    user: Option<(u32, u32)>,
}

impl Database {
    /// Makes a database server with its data in this directory, and starts it.
    pub(crate) async fn start(directory: &Path) -> Result<Self, Failure> {
        let programs = Programs::find()?;
        fs::create_dir_all(directory).context("cannot make a directory for the database")?;
        if let Some((user, group)) = programs.user {
            chown(directory, Some(user), Some(group)).context("cannot give the database its directory")?;
            // The way there: whoever runs the benchmark may have made it for himself alone.
            if let Some(parent) = directory.parent() {
                fs::set_permissions(parent, fs::Permissions::from_mode(0o711)).context("cannot open the way to the database")?;
            }
        }
        let data = directory.join("data");
        let mut initdb = programs.command("initdb", directory);
        initdb.arg("--pgdata").arg(&data).args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--data-checksums"]);
        initdb.args(["--username", USER]);
        run(initdb)?;
        let version = run(programs.command("postgres", directory).arg("--version"))?.trim().to_owned();
        let address = free_address()?;
        let log = fs::File::create(directory.join("log")).context("cannot make the database's log")?;
        let errors = log.try_clone().context("cannot share a log file")?;
        let mut command = programs.command("postgres", directory);
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-k", ""]);
        // Like one that somebody has set up for this: the defaults are for a machine of 1998.
        for setting in ["shared_buffers=512MB", "max_wal_size=4GB", "max_connections=100", "log_min_messages=warning"] {
            command.args(["-c", setting]);
        }
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().context("cannot start PostgreSQL")?;
        let mut database = Self { child, address, programs, version };
        database.until_it_accepts(directory).await?;
        Ok(database)
    }

    /// An empty database, and the configuration of a deployment in it.
    pub(crate) fn create(&self, directory: &Path, name: &str) -> Result<String, Failure> {
        let port = self.address.port();
        let mut command = self.programs.command("createdb", directory);
        command.args(["--host=127.0.0.1", "--port", &port.to_string(), "--username", USER, name]);
        run(command)?;
        Ok(format!("[store]\nurl = \"postgres://{USER}@127.0.0.1:{port}/{name}\"\n"))
    }

    /// How many bytes a database takes.
    pub(crate) fn size_mb(&self, directory: &Path, name: &str) -> Result<f64, Failure> {
        let mut command = self.programs.command("psql", directory);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--host=127.0.0.1"]);
        command.args(["--port", &self.address.port().to_string(), "--username", USER, "--dbname", name]);
        command.args(["--command", "SELECT pg_database_size(current_database())"]);
        let bytes: f64 = run(command)?.trim().parse().context("PostgreSQL's answer is no number")?;
        Ok(bytes / 1e6)
    }

    /// The CPU time of all of its processes so far, in nanoseconds. What a process used that has ended is lost: connections stay open.
    pub(crate) fn cpu_ns(&self) -> Result<u64, Failure> {
        let mut used = 0;
        for entry in fs::read_dir("/proc").context("cannot read /proc")? {
            let path = entry.context("cannot read /proc")?.path();
            let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
            let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
            if pid == self.child.id() || parent_in(&stat) == Some(self.child.id()) {
                let schedstat = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
                used += on_cpu_ns(&schedstat).unwrap_or_default();
            }
        }
        Ok(used)
    }

    async fn until_it_accepts(&mut self, directory: &Path) -> Result<(), Failure> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).await.is_err() || self.create(directory, "first").is_err() {
            let ended = self.child.try_wait().context("cannot look after the database")?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                return Err(Failure::new(format!("PostgreSQL did not start: {log}")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

impl Drop for Database {
    /// As fast as it can be without leaving shared memory behind.
    fn drop(&mut self) {
        let asked = kill_process(Pid::from_child(&self.child), Signal::QUIT);
        if asked.is_err() || self.child.wait().is_err() {
            eprintln!("the database with process id {} may still be running", self.child.id());
        }
    }
}

impl Programs {
    fn find() -> Result<Self, Failure> {
        let missing = || {
            Failure::new(
                "PostgreSQL is needed, its programs only: install it ('apt install postgresql'), or name their directory with PG_BIN",
            )
        };
        let named = std::env::var_os("PG_BIN").map(PathBuf::from);
        let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        let in_path = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates: Vec<PathBuf> = installed.collect();
        candidates.sort();
        let directory = named
            .into_iter()
            .chain(candidates.into_iter().rev())
            .chain(std::env::split_paths(&in_path))
            .find(|directory| ["initdb", "postgres", "createdb", "psql"].iter().all(|name| directory.join(name).exists()))
            .ok_or_else(missing)?;
        let user = if geteuid().is_root() { Some(unprivileged()?) } else { None };
        Ok(Self { directory, user })
    }

    fn command(&self, program: &str, directory: &Path) -> Command {
        let mut command = Command::new(self.directory.join(program));
        command.current_dir(directory).env("LC_ALL", "C");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

/// The user and the group of `postgres`, or of `nobody`. Source: passwd(5).
fn unprivileged() -> Result<(u32, u32), Failure> {
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = find("postgres").or_else(|| find("nobody"));
    found.ok_or_else(|| Failure::new("there is neither a user postgres nor a user nobody, and PostgreSQL refuses to run as root"))
}

/// The parent of a process. Source: proc_pid_stat(5); the second field is a name in brackets, which may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn run(mut command: impl std::borrow::BorrowMut<Command>) -> Result<String, Failure> {
    let command = command.borrow_mut();
    let done = command.output().context(format!("cannot start {}", command.get_program().display()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(Failure::new(format!("{} failed: {errors}", command.get_program().display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("4242 (a (very) odd name) S 17 4242 4242 0"), Some(17));
        assert_eq!(parent_in("nothing"), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(parent_in(&own), Some(std::os::unix::process::parent_id()));
    }
}
