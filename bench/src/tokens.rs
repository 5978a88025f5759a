//! What a key costs whose home is a PKCS#11 token: SoftHSM2, with and without us around it.
//!
//! SoftHSM2 is software, and slower than the cryptography that the server has itself. What counts is what the server and the process that holds the library add
//! to what the library alone takes, measured in this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::RawAuthPin;
use serde_json::{Value, json};

use crate::Plan;
use crate::connection::Connection;
use crate::failure::{Context as _, Failure};
use crate::load::Until;
use crate::operations::{BAR_CONNECTIONS, Side, call, call_api, encrypt, key_of_value};
use crate::report::{Report, Table};
use crate::requests::{Api, Client};
use crate::server::{Binaries, Served, Server};
use crate::usage::CpuTime;

const LIBRARIES: [&str; 3] =
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];
const PIN: &str = "12345678";
const PASSWORD: &str = "kmsuser-password";
const CLUSTER: &str = "cluster-aaaaaaaaaaa";
/// CPU of server and host together for one request, SoftHSM2's own share included.
const BAR_US: f64 = 100.0;
/// How long the library is measured alone.
const ALONE: Duration = Duration::from_millis(500);

/// Measures it, or says in one line why it cannot.
pub(crate) async fn measure(plan: &Plan, binaries: &Binaries, scratch: &Path, report: &mut Report) -> Result<(), Failure> {
    println!("\n## A key in a token (SoftHSM2)\n");
    let library = LIBRARIES.iter().map(Path::new).find(|path| path.exists());
    let (Some(library), Ok(_)) = (library, Command::new("softhsm2-util").arg("--version").output()) else {
        println!("Not measured: SoftHSM2 is not installed ('apt install softhsm2', 'dnf install softhsm').");
        return Ok(());
    };
    let token = SoftToken::make(library, &scratch.join("softhsm"))?;
    let served = Served::start(binaries, &scratch.join("token"), &token.configuration()).await?;
    let mut connection = Connection::open(served.server.address).await?;
    let client = account(&served.client, &mut connection).await?;
    let key = key_in_store(&client, &mut connection).await?;
    let alone = token.alone_us()?;

    println!(
        "At {BAR_CONNECTIONS} connections. The library alone, one thread in the generator's process: {alone:.1} µs of CPU for AES-GCM of 32 B.\n"
    );
    let mut table = Table::new(&["operation", "requests/s", "p50 ms", "p99 ms", "server µs", "host µs", "both µs"]);
    table.fit(&["GenerateDataKey AES_256".to_owned()]);
    println!("{}", table.head());
    let encrypts: Vec<Value> = (0..8).map(|number| encrypt(&key, 32, number)).collect();
    let mut decrypts = Vec::new();
    for body in &encrypts {
        let made = call(&client, &mut connection, "Encrypt", body).await?;
        decrypts.push(json!({ "CiphertextBlob": made.get("CiphertextBlob") }));
    }
    let data_keys = vec![json!({ "KeyId": key, "KeySpec": "AES_256" })];
    for (title, operation, bodies) in [
        ("Encrypt 32 B", "Encrypt", encrypts),
        ("Decrypt 32 B", "Decrypt", decrypts),
        ("GenerateDataKey AES_256", "GenerateDataKey", data_keys),
    ] {
        let requests = client.requests(operation, &bodies)?;
        let both = take(&served.server, requests, plan.duration(), title, &table).await?;
        if operation == "Encrypt" {
            let got = format!("{both:.1} µs, of which SoftHSM2 alone takes {alone:.1} µs");
            report.bar("Encrypt 32 B with a key in SoftHSM2: CPU of server and host", "≤ 100 µs", got, both <= BAR_US);
        }
    }
    served.server.stop().await
}

/// Measures one operation, prints its row, and answers the CPU of server and host together.
async fn take(server: &Server, requests: Vec<bytes::Bytes>, time: Duration, title: &str, table: &Table) -> Result<f64, Failure> {
    let host = host_of(server.process_id())?;
    let mut side = Side::new(server, requests, BAR_CONNECTIONS).await?;
    side.warm_up().await?;
    let before = CpuTime::of(host)?;
    side.take_turn(Until::Elapsed(time)).await?;
    let used: u64 = CpuTime::of(host)?.since(&before).values().sum();
    let (server_us, host_us) = (side.cpu_us(), used as f64 / 1e3 / side.tally.count().max(1) as f64);
    let cells = [
        title.to_owned(),
        format!("{:.0}", side.tally.per_second()),
        format!("{:.2}", side.tally.quantile_ms(0.5)),
        format!("{:.2}", side.tally.quantile_ms(0.99)),
        format!("{server_us:.1}"),
        format!("{host_us:.1}"),
        format!("{:.1}", server_us + host_us),
    ];
    println!("{}", table.row(&cells));
    Ok(server_us + host_us)
}

/// The process that holds the library: the server's only child.
fn host_of(server: u32) -> Result<u32, Failure> {
    for entry in fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // Behind the name, which may hold anything: the state, and the parent.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        if parent == Some(server) {
            return Ok(id);
        }
    }
    Err(Failure::new("the server has started no hsm-host"))
}

/// A new account; answers its root's client.
pub(crate) async fn account(administrator: &Client, connection: &mut Connection) -> Result<Client, Failure> {
    let made = call_api(Api::Administration, administrator, connection, "CreateAccount", &json!({ "Name": "bench" })).await?;
    let text = |name: &str| made.get(name).and_then(Value::as_str).map(str::to_owned);
    match (text("RootAccessKeyId"), text("RootSecretAccessKey")) {
        (Some(access_key), Some(secret)) => Ok(administrator.with_credentials(access_key, secret)),
        _ => Err(Failure::new("CreateAccount's answer has no credentials")),
    }
}

/// A key in a connected custom key store.
async fn key_in_store(client: &Client, connection: &mut Connection) -> Result<String, Failure> {
    let store = json!({
        "CustomKeyStoreName": "bench",
        "CloudHsmClusterId": CLUSTER,
        "KeyStorePassword": PASSWORD,
        "TrustAnchorCertificate": TRUST_ANCHOR,
    });
    let made = call(client, connection, "CreateCustomKeyStore", &store).await?;
    let id = made.get("CustomKeyStoreId").cloned().unwrap_or_default();
    call(client, connection, "ConnectCustomKeyStore", &json!({ "CustomKeyStoreId": id })).await?;
    let begun = Instant::now();
    loop {
        let found = call(client, connection, "DescribeCustomKeyStores", &json!({ "CustomKeyStoreId": id })).await?;
        match found.pointer("/CustomKeyStores/0/ConnectionState").and_then(Value::as_str) {
            Some("CONNECTED") => break,
            Some("CONNECTING") if begun.elapsed() < Duration::from_secs(60) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            _ => return Err(Failure::new(format!("the custom key store does not connect: {found}"))),
        }
    }
    let key = call(client, connection, "CreateKey", &json!({ "Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": id })).await?;
    key_of_value(&key)
}

/// A token of SoftHSM2 in a directory of its own.
struct SoftToken {
    library: PathBuf,
    directory: PathBuf,
}

impl SoftToken {
    fn make(library: &Path, directory: &Path) -> Result<Self, Failure> {
        let tokens = directory.join("tokens");
        fs::create_dir_all(&tokens).context("cannot make a directory for a token")?;
        let write = |name: &str, text: String| fs::write(directory.join(name), text).context(format!("cannot write {name}"));
        write("softhsm2.conf", format!("directories.tokendir = {}\n", tokens.display()))?;
        write("pin", PIN.to_owned())?;
        write("password", PASSWORD.to_owned())?;
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "bench", "--so-pin", PIN, "--pin", PIN])
            .env("SOFTHSM2_CONF", directory.join("softhsm2.conf"))
            .output()
            .context("cannot run softhsm2-util")?;
        if !made.status.success() {
            return Err(Failure::new(format!("softhsm2-util: {}", String::from_utf8_lossy(&made.stderr))));
        }
        Ok(Self { library: library.to_owned(), directory: directory.to_owned() })
    }

    /// What a server's configuration has to say of it.
    fn configuration(&self) -> String {
        let (library, at) = (self.library.display(), self.directory.display());
        format!(
            "[tokens.bench]\nlibrary = \"{library}\"\nlabel = \"bench\"\npin.file = \"{at}/pin\"\n\
             environment = {{ SOFTHSM2_CONF = \"{at}/softhsm2.conf\" }}\n\
             [clusters.{CLUSTER}]\ntokens = [\"bench\"]\npassword.file = \"{at}/password\"\n"
        )
    }

    /// CPU microseconds of the library alone, for what a request needs of it.
    fn alone_us(&self) -> Result<f64, Failure> {
        // The library reads it when it is initialised, and this process has one thread.
        let child = std::env::current_exe().context("cannot find this program's own path")?;
        let measured = Command::new(child)
            .args(["token-alone", "--library"])
            .arg(&self.library)
            .env("SOFTHSM2_CONF", self.directory.join("softhsm2.conf"))
            .output()
            .context("cannot start this program again")?;
        let text = String::from_utf8_lossy(&measured.stdout);
        text.trim().parse().map_err(|_| {
            Failure::new(format!("the library alone cannot be measured: {}", String::from_utf8_lossy(&measured.stderr)))
        })
    }
}

/// In a process of its own: encrypts with the library alone, and prints the CPU microseconds of one encryption.
pub(crate) fn alone(library: &Path) -> Result<(), Failure> {
    let failed = |error: cryptoki::error::Error| Failure::new(error.to_string());
    let library = Pkcs11::new(library).map_err(failed)?;
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(failed)?;
    let slots = library.get_slots_with_initialized_token().map_err(failed)?;
    let slot = *slots.first().ok_or_else(|| Failure::new("there is no token"))?;
    let session = library.open_rw_session(slot).map_err(failed)?;
    session.login_with_raw(UserType::User, &RawAuthPin::new(Box::new(PIN.as_bytes().to_vec()))).map_err(failed)?;
    let template = [Attribute::Token(true), Attribute::ValueLen(32.into()), Attribute::Encrypt(true), Attribute::Sensitive(true)];
    let key = session.generate_key(&Mechanism::AesKeyGen, &template).map_err(failed)?;
    let me = std::process::id();
    let (before, begun) = (CpuTime::of(me)?, Instant::now());
    let mut done = 0_u32;
    while begun.elapsed() < ALONE {
        let mut iv = [0; 12];
        iv[..4].copy_from_slice(&done.to_be_bytes());
        let parameters = GcmParams::new(&mut iv, b"associated data of forty bytes or so....", 128.into()).map_err(failed)?;
        session.encrypt(&Mechanism::AesGcm(parameters), key, &[7; 32]).map_err(failed)?;
        done += 1;
    }
    let used: u64 = CpuTime::of(me)?.since(&before).values().sum();
    session.destroy_object(key).map_err(failed)?;
    println!("{}", used as f64 / 1e3 / f64::from(done.max(1)));
    Ok(())
}

/// A certificate, because CreateCustomKeyStore wants one. Nobody looks into it.
const TRUST_ANCHOR: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBMDCB16ADAgECAgEBMAoGCCqGSM49BAMCMBUxEzARBgNVBAMMCmN1c3RvbWVy\n\
Q0EwIBcNMjUwMTAxMDAwMDAwWhgPMjA3NTAxMDEwMDAwMDBaMBUxEzARBgNVBAMM\n\
CmN1c3RvbWVyQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQGWR9zoH+/hCOp\n\
K0Q7E4iuEvxi4gi8nxINk4weC/pw5o0yLg7iIz6zJO+aSiUtz4bRDYHtXNiAOK/Z\n\
Z1JXhtMGoxYwFDASBgNVHRMBAf8ECDAGAQH/AgEBMAoGCCqGSM49BAMCA0gAMEUC\n\
IQDATLPzU5DtwycyXsSqSGgmc6Q568P/6IN3j49OMPUSiAIgQyvH91Iak1TAZoyQ\n\
lmZxEg8ZbQ+ZKYaHrYrwn1P6WWQ=\n\
-----END CERTIFICATE-----\n";
