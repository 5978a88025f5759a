//! The servers under measurement, as child processes that do not outlive the run.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::connection::Connection;
use crate::failure::{Context as _, Failure};
use crate::requests::{Api, Client};
use crate::tls::ServerFiles;
use crate::usage::CpuTime;

/// The programs that are started.
pub(crate) struct Binaries {
    pub(crate) claviger: PathBuf,
    /// This program, which is the bare server, too.
    pub(crate) bench: PathBuf,
}

/// A server that runs. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
    /// Where its metrics are, if it has any.
    observability: Option<SocketAddr>,
}

/// A deployment of Claviger, running or not.
pub(crate) struct Deployment<'a> {
    binaries: &'a Binaries,
    data: PathBuf,
    address: SocketAddr,
    observability: SocketAddr,
}

/// A Claviger that was made and is served with a configuration file, and its administrator.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) client: Client,
}

/// A Claviger that answers.
pub(crate) struct Started {
    pub(crate) server: Server,
    pub(crate) client: Client,
    /// From the start of the process to its first successful answer.
    pub(crate) took: Duration,
}

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How much of a server's log is shown when it fails.
const LOG_LINES: usize = 20;

impl<'a> Deployment<'a> {
    pub(crate) fn new(binaries: &'a Binaries, data: PathBuf) -> Result<Self, Failure> {
        Ok(Self { binaries, data, address: free_address()?, observability: free_address()? })
    }

    /// Starts the server and waits for its first successful answer.
    pub(crate) async fn start(&self) -> Result<Started, Failure> {
        let begun = Instant::now();
        let mut command = Command::new(&self.binaries.claviger);
        command.arg("dev").arg("--data").arg(&self.data).args([
            "--listen",
            &self.address.to_string(),
            "--observability",
            &self.observability.to_string(),
        ]);
        let mut server = Server::spawn(command, self.data.with_extension("log"), self.address)?;
        server.observability = Some(self.observability);
        let client = self.client(&mut server, begun).await?;
        let first = client.request("ListKeys", &json!({ "Limit": 1 }))?;
        server.until_it_answers(begun, &first).await?;
        Ok(Started { server, client, took: begun.elapsed() })
    }

    /// The credentials, as soon as the server has written them for this address.
    async fn client(&self, server: &mut Server, begun: Instant) -> Result<Client, Failure> {
        let environment = self.data.join("dev.env");
        let endpoint = format!("http://{}", self.address);
        while !fs::read_to_string(&environment).is_ok_and(|text| text.contains(&endpoint)) {
            server.pause(begun).await?;
        }
        Client::from_environment(&environment, self.address)
    }
}

impl Served {
    /// Makes a deployment with this at the end of its configuration, and serves it.
    pub(crate) async fn start(binaries: &Binaries, directory: &Path, configuration: &str) -> Result<Self, Failure> {
        let begun = Instant::now();
        let address = free_address()?;
        fs::create_dir_all(directory).context("cannot make a directory for a server")?;
        let file = directory.join("claviger.toml");
        let text = format!(
            "node = \"bench\"\ndata = \"data\"\nlisten = [\"{address}\"]\nregions = \"any\"\n\
             [seal.development_file]\npath = \"seal.key\"\n{configuration}"
        );
        fs::write(&file, text).context("cannot write a configuration")?;
        let made = Command::new(&binaries.claviger).arg("init").arg("--config").arg(&file).output();
        let made = made.context("cannot start claviger init")?;
        let printed = String::from_utf8_lossy(&made.stdout);
        let value = |name: &str| {
            let found = printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| Failure::new(format!("claviger init: {}", String::from_utf8_lossy(&made.stderr))))
        };
        let (access_key, secret) = (value("CLAVIGER_ADMIN_ACCESS_KEY_ID")?, value("CLAVIGER_ADMIN_SECRET_ACCESS_KEY")?);
        let client = Client::of(access_key, secret, "us-east-1", address)?;
        let mut command = Command::new(&binaries.claviger);
        command.arg("serve").arg("--config").arg(&file);
        let mut server = Server::spawn(command, directory.join("server.log"), address)?;
        let first = client.requests_to(Api::Administration, "ListAccounts", &[json!({})])?.pop().unwrap_or_default();
        server.until_it_answers(begun, &first).await?;
        Ok(Self { server, client })
    }
}

impl Server {
    /// Starts a bare server that answers with these headers and a body of this length.
    pub(crate) async fn bare(
        binaries: &Binaries,
        log: PathBuf,
        headers: &[(HeaderName, HeaderValue)],
        body_bytes: usize,
    ) -> Result<Self, Failure> {
        let (mut server, begun) = Self::start_bare(binaries, log, headers, body_bytes, None)?;
        server.until_it_answers(begun, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        Ok(server)
    }

    /// The same in TLS. It accepts connections.
    pub(crate) async fn bare_in_tls(
        binaries: &Binaries,
        log: PathBuf,
        headers: &[(HeaderName, HeaderValue)],
        body_bytes: usize,
        tls: &ServerFiles,
    ) -> Result<Self, Failure> {
        let (mut server, begun) = Self::start_bare(binaries, log, headers, body_bytes, Some(tls))?;
        server.until_it_accepts(begun).await?;
        Ok(server)
    }

    /// Starts Claviger with this command, and waits until it accepts connections at this address.
    pub(crate) async fn accepting(command: Command, log: PathBuf, address: SocketAddr) -> Result<Self, Failure> {
        let begun = Instant::now();
        let mut server = Self::spawn(command, log, address)?;
        server.until_it_accepts(begun).await?;
        Ok(server)
    }

    fn start_bare(
        binaries: &Binaries,
        log: PathBuf,
        headers: &[(HeaderName, HeaderValue)],
        body_bytes: usize,
        tls: Option<&ServerFiles>,
    ) -> Result<(Self, Instant), Failure> {
        let begun = Instant::now();
        let address = free_address()?;
        let mut command = Command::new(&binaries.bench);
        command.args(["bare", "--listen", &address.to_string(), "--body-bytes", &body_bytes.to_string()]);
        for (name, value) in headers {
            command.arg("--header").arg(format!("{name}:{}", value.to_str().unwrap_or_default()));
        }
        if let Some(tls) = tls {
            command.arg("--tls").arg(&tls.certificate).arg(&tls.key);
        }
        Ok((Self::spawn(command, log, address)?, begun))
    }

    async fn until_it_accepts(&mut self, begun: Instant) -> Result<(), Failure> {
        while Connection::open(self.address).await.is_err() {
            self.pause(begun).await?;
        }
        Ok(())
    }

    fn spawn(mut command: Command, log: PathBuf, address: SocketAddr) -> Result<Self, Failure> {
        let output = File::create(&log).context(format!("cannot make {}", log.display()))?;
        let errors = output.try_clone().context("cannot share a log file")?;
        let program = PathBuf::from(command.get_program());
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context(format!("cannot start {} (build it with `make bench`)", program.display()))?;
        Ok(Self { child, log, address, observability: None })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu_time(&self) -> Result<CpuTime, Failure> {
        CpuTime::of(self.child.id())
    }

    /// The page of metrics; empty for a server that has none.
    pub(crate) async fn metrics(&self) -> Result<String, Failure> {
        let Some(address) = self.observability else { return Ok(String::new()) };
        let mut connection = Connection::open(address).await?;
        let answer = connection.call(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        Ok(String::from_utf8_lossy(answer.body).into_owned())
    }

    /// Asks the server to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("cannot ask the server to stop")?;
        let begun = Instant::now();
        while self.child.try_wait().context("cannot wait for the server")?.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err(self.failure("a server did not stop when asked to"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Waits until this request is answered with 200.
    async fn until_it_answers(&mut self, begun: Instant, request: &[u8]) -> Result<(), Failure> {
        let mut connection = loop {
            match Connection::open(self.address).await {
                Ok(connection) => break connection,
                Err(_) => self.pause(begun).await?,
            }
        };
        let answer = connection.call(request).await.map_err(|failure| self.failure(&failure.to_string()))?;
        match answer.status {
            200 => Ok(()),
            status => {
                let happened = format!("the first answer was {status}: {}", String::from_utf8_lossy(answer.body));
                Err(self.failure(&happened))
            }
        }
    }

    /// Asks again and again until this request is answered with 200: a node that is not open yet, or cannot speak for the deployment yet, says so.
    pub(crate) async fn until_it_serves(&mut self, begun: Instant, request: &[u8]) -> Result<(), Failure> {
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await
                && connection.call(request).await.is_ok_and(|answer| answer.status == 200)
            {
                return Ok(());
            }
            self.pause(begun).await?;
        }
    }

    /// Lets the server get on with starting, unless there is no hope.
    async fn pause(&mut self, begun: Instant) -> Result<(), Failure> {
        if let Some(status) = self.child.try_wait().context("cannot look after a server")? {
            return Err(self.failure(&format!("a server ended as it started, with {status}")));
        }
        if begun.elapsed() > PATIENCE {
            return Err(self.failure("a server did not start in time"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(())
    }

    fn failure(&self, happened: &str) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
        Failure::new(format!("{happened}\nThe end of its log:\n{}", last.join("\n")))
    }
}

impl Drop for Server {
    /// As abrupt as `kill -9`: nothing in the scratch directory is needed again.
    fn drop(&mut self) {
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            eprintln!("the server with process id {} may still be running", self.child.id());
        }
    }
}

/// An address on loopback that nobody listens on at the moment.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("no port is free")
}
