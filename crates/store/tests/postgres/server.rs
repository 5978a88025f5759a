//! A PostgreSQL server of our own for the tests of this process: in a temporary directory, on loopback, ended with the process.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The port of the server, which is started first if it is not there.
pub(crate) fn port() -> u16 {
    static SERVER: OnceLock<(u16, Child)> = OnceLock::new();
    // The server ends when the shell's standard input closes: when this process ends, however it does.
    SERVER.get_or_init(start).0
}

/// The port of one more server, for a test that changes settings or needs two.
pub(crate) fn another() -> u16 {
    static SERVERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let (port, server) = start();
    SERVERS.lock().unwrap().push(server);
    port
}

fn start() -> (u16, Child) {
    let binaries = binaries();
    let directory = tempfile::tempdir().unwrap().keep();
    // PostgreSQL refuses to be run by root: then it is run by nobody.
    let as_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if as_root {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let command = |program: &str| {
        let program = binaries.join(program);
        if !as_root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command
    };
    let data = directory.join("data");
    let made = command("initdb")
        .args(["--username=claviger", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
        .arg(&data)
        .output()
        .expect("initdb can be run");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = format!(
        "{postgres} -D {data} -h 127.0.0.1 -p {port} -k {directory} -c fsync=off -c max_connections=300 >{directory}/log 2>&1 & \
         server=$!; cat >/dev/null; kill -INT $server; wait $server; rm -rf {directory}/*",
        postgres = binaries.join("postgres").display(),
        data = data.display(),
        directory = directory.display(),
    );
    let mut shell = if as_root {
        let mut shell = Command::new("setpriv");
        shell.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh"]);
        shell
    } else {
        Command::new("sh")
    };
    let shell = shell.arg("-c").arg(script).stdin(Stdio::piped()).spawn().expect("a shell");
    let begun = Instant::now();
    let is_ready = || command("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status();
    while !is_ready().is_ok_and(|status| status.success()) {
        let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
        assert!(begun.elapsed() < Duration::from_secs(60), "PostgreSQL does not start: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    (port, shell)
}

fn binaries() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let mut found: Vec<PathBuf> = installed.filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|directory: &PathBuf| Path::join(directory, "initdb").exists())
    };
    found.pop().or_else(in_path).expect(
        "the tests of the cluster store need PostgreSQL's server ('apt install postgresql', 'dnf install postgresql-server')",
    )
}
