#![allow(clippy::unwrap_used, reason = "tests may panic")]

use claviger_domain::AccountId;
use claviger_service::quotas::{Rate, RateClass};

use super::*;

const SMALLEST: &str = r#"
node = "one"
data = "data"
listen = ["127.0.0.1:9911"]
regions = "any"
[seal.development_file]
path = "seal"
"#;

fn parse(text: &str) -> Result<Config, Problem> {
    Config::parse(text, Path::new("/etc/claviger/claviger.toml"))
}

fn problem(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_smallest_file_has_the_documented_defaults() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(config.data, Path::new("/etc/claviger/data"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.limits.body_bytes, 524_288);
    assert_eq!(config.seal.iter().collect::<Vec<_>>(), [&Seal::DevelopmentFile("/etc/claviger/seal".into())]);
    assert!(config.regions.serves(&"eu-west-1".parse().unwrap()));
    assert!(!config.china_algorithms);
    assert_eq!(config.cluster, Cluster::default());
}

#[test]
fn the_service_is_told_what_it_has_to_know() {
    let settings = parse(SMALLEST).unwrap().settings();
    assert_eq!((settings.node.as_str(), settings.regions, settings.china_algorithms), ("one", None, false));
    let text = format!("china_algorithms = true\n{}", SMALLEST.replace("\"any\"", "[\"cn-north-1\"]"));
    let settings = parse(&text).unwrap().settings();
    assert_eq!((settings.regions, settings.china_algorithms), (Some(vec!["cn-north-1".parse().unwrap()]), true));
    let cluster = "[cluster]\nlease_milliseconds = 500\neffective = \"acknowledged\"\n";
    let settings = parse(&format!("{SMALLEST}{cluster}")).unwrap().settings();
    assert_eq!((settings.lease.as_millis(), settings.effective), (500, claviger_service::Effective::Acknowledged));
    assert!(problem(&format!("{SMALLEST}[cluster]\nlease_milliseconds = 50\n")).contains("a lease has 200 to 10000"));
}

#[test]
fn the_example_file_is_valid_and_shows_every_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/claviger.example.toml");
    let config = Config::load(&path).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.quotas, Quotas::default());
    assert_eq!(config.log, Log::default());
    assert_eq!(config.attestation, Attestation::default());
    assert_eq!(config.cluster, Cluster::default());
    assert!(!config.china_algorithms);
    assert!(config.tls.is_some() && config.observability.is_some());
}

#[test]
fn roots_of_attestation_are_meant_from_the_files_directory() {
    let config = parse(&format!("{SMALLEST}[attestation]\nroots = [\"nitro-root.pem\", \"/other.pem\"]\n")).unwrap();
    assert_eq!(config.attestation.roots, [Path::new("/etc/claviger/nitro-root.pem"), Path::new("/other.pem")]);
}

#[test]
fn an_unknown_field_is_named_with_its_line() {
    let text = problem(&format!("lisen = 1\n{SMALLEST}"));
    assert!(text.starts_with("/etc/claviger/claviger.toml, line 1: unknown field `lisen`"), "{text}");
    let text = problem(&format!("{SMALLEST}\n[limits]\nconections = 5\n"));
    assert!(text.contains("line 10: unknown field `conections`"), "{text}");
    for table in [
        "[cluster]\nlease = 1",
        "[tls]\ncertificate = \"a\"\nkey = \"b\"\nca = \"c\"",
        "[log]\ncolour = 1",
        "[observability]\nport = 1",
        "[attestation]\nroot = 1",
    ] {
        assert!(problem(&format!("{SMALLEST}\n{table}\n")).contains("unknown field"), "{table}");
    }
}

#[test]
fn a_missing_field_is_named() {
    let text = problem(&SMALLEST.replace("node = \"one\"\n", ""));
    assert!(text.contains("missing field `node`"), "{text}");
    assert!(text.contains("\n  add it; packaging/claviger.example.toml"), "{text}");
    let text = problem(&format!("{SMALLEST}\n[observability]\nlisten = \"localhost:1\"\n"));
    assert!(text.contains("\"localhost:1\" is not an address with a port") && text.contains("\n  correct that line;"), "{text}");
}

#[test]
fn wrong_values_say_what_would_be_right() {
    for (from, to, expected) in [
        ("\"one\"", "\"One!\"", "line 2: a node name has 1 to 63"),
        ("\"any\"", "\"all\"", "line 5: invalid value: string \"all\", expected \"any\", or a list of Regions"),
        ("\"any\"", "[]", "expected \"any\", or a list of Regions"),
        ("\"any\"", "[\"EU\"]", "this is not a Region"),
        ("127.0.0.1:9911", "127.0.0.1", "line 4: \"127.0.0.1\" is not an address with a port, such as 127.0.0.1:9911"),
        ("[\"127.0.0.1:9911\"]", "[]", "`listen` is empty"),
        ("path = \"seal\"", "path = 5", "line 7: invalid type: integer"),
    ] {
        let text = problem(&SMALLEST.replace(from, to));
        assert!(text.contains(expected), "{to}: {text}");
    }
}

#[test]
fn plain_http_beyond_loopback_has_to_be_asked_for() {
    let open = SMALLEST.replace("127.0.0.1:9911", "0.0.0.0:9911");
    assert!(problem(&open).contains("there is no [tls]"));
    assert!(parse(&format!("insecure_plain_http = true\n{open}")).is_ok());
    let tls = "\n[tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"\n";
    let config = parse(&format!("{open}{tls}")).unwrap();
    assert_eq!(config.tls.unwrap(), Tls { certificate: "/etc/claviger/c.pem".into(), key: "/k.pem".into() });
    assert!(problem(&format!("insecure_plain_http = true\n{open}{tls}")).contains("both [tls]"));
}

#[test]
fn a_database_is_named_by_a_url_that_leaves_nothing_open() {
    let with = |store: &str| format!("{SMALLEST}\n[store]\n{store}\n");
    let config = parse(&with("url = \"postgres://c@db.example/claviger\"\nca = \"ca.pem\"\npassword.file = \"p\"")).unwrap();
    let store = config.store.unwrap();
    assert_eq!((store.connections, store.schema.as_str()), (8, "claviger"));
    assert_eq!(store.ca, Some("/etc/claviger/ca.pem".into()));
    assert_eq!(store.password, Some(PassphraseSource::File("/etc/claviger/p".into())));
    for (store, expected) in [
        ("url = \"postgres://c:secret@db.example/claviger\"", "contains a password"),
        ("url = \"postgres://c@db.example/claviger?sslmode=require\"", "verify-full"),
        ("url = \"sqlite:///x\"", "postgres://"),
        ("url = \"postgres://c@db.example/claviger\"\nconnections = 0", "connections is 0"),
        ("url = \"postgres://c@db.example/claviger\"\nschema = \"a\\\"b\"", "store.schema"),
        ("url = \"postgres://c@db.example/claviger\"\nhost = 1", "unknown field"),
        ("ca = \"x\"", "missing field `url`"),
    ] {
        let text = problem(&with(store));
        assert!(text.contains(expected) && !text.contains("secret"), "{store}: {text}");
    }
}

#[test]
fn a_passphrase_has_one_source() {
    let seal = |lines: &str| SMALLEST.replace("[seal.development_file]\npath = \"seal\"", &format!("[seal.passphrase]\n{lines}"));
    for (lines, expected) in [
        ("file = \"p\"", PassphraseSource::File("/etc/claviger/p".into())),
        ("environment = \"P\"", PassphraseSource::Environment("P".into())),
        ("systemd_credential = \"p\"", PassphraseSource::SystemdCredential("p".into())),
        ("prompt = true", PassphraseSource::Prompt),
    ] {
        assert_eq!(parse(&seal(lines)).unwrap().seal.iter().next().unwrap(), &Seal::Passphrase(expected));
    }
    for lines in ["", "prompt = false", "file = \"p\"\nprompt = true"] {
        let text = problem(&seal(lines));
        assert!(text.contains("exactly one of"), "{lines}: {text}");
    }
    assert!(problem(&SMALLEST.replace("[seal.development_file]\npath = \"seal\"", "[seal]")).contains("a seal is needed"));
}

#[test]
fn limits_have_bounds() {
    for (line, expected) in [
        ("connections = 0", "may be 1 to 1000000"),
        ("body_bytes = 1", "may be 65536 to"),
        ("request_seconds = 0", "it has to be 1 to 86400"),
        ("idle_seconds = -1", "line 10"),
    ] {
        let text = problem(&format!("{SMALLEST}\n[limits]\n{line}\n"));
        assert!(text.contains(expected), "{line}: {text}");
    }
}

#[test]
fn without_quotas_nothing_is_throttled_and_awss_numbers_hold() {
    assert_eq!(parse(SMALLEST).unwrap().quotas, Quotas::default());
    assert_eq!(parse(&format!("{SMALLEST}\n[quotas]\n")).unwrap().quotas, Quotas::default());
    let quotas = Quotas::default();
    assert!(quotas.every.rates.are_unlimited() && quotas.accounts.is_empty());
    let of = quotas.every.resources;
    assert_eq!((of.keys, of.aliases_per_key, of.grants_per_key), (100_000, 50, 50_000));
    assert_eq!((of.on_demand_rotations_per_key, of.users, of.roles), (25, 5000, 1000));
}

#[test]
fn quotas_of_accounts_lie_over_those_of_the_deployment() {
    let text = r#"
[quotas]
keys = 7
rates = "aws"
[quotas.requests_per_second]
CreateKey = 0.5
DescribeKey = 0
cryptographic_rsa = 20
[quotas.accounts.123456789012]
users = 3
[quotas.accounts.000000000042]
rates = "none"
keys = 0
requests_per_second = { CreateKey = 9 }
"#;
    let quotas = parse(&format!("{SMALLEST}{text}")).unwrap().quotas;
    let rate = |account: u64, class: &str| {
        let account = AccountId::from_number(account).unwrap();
        quotas.of(account).rates.of(RateClass::parse(class).unwrap())
    };
    let resources = |account: u64| quotas.of(AccountId::from_number(account).unwrap()).resources;
    for account in [1, 123_456_789_012] {
        assert_eq!(rate(account, "CreateKey"), Rate::per_second(0.5));
        assert_eq!(rate(account, "DescribeKey"), None);
        assert_eq!(rate(account, "cryptographic_rsa"), Rate::per_second(20.0));
        assert_eq!(rate(account, "cryptographic_symmetric"), Rate::per_second(10_000.0), "AWS's");
        assert_eq!(resources(account).keys, 7);
    }
    assert_eq!((resources(1).users, resources(123_456_789_012).users), (5000, 3));
    assert_eq!((rate(42, "CreateKey"), rate(42, "cryptographic_rsa")), (Rate::per_second(9.0), None));
    assert_eq!((resources(42).keys, resources(42).users), (0, 5000));
}

#[test]
fn quotas_that_make_no_sense_say_what_would() {
    for (lines, expected) in [
        ("kees = 1", "unknown field `kees`"),
        ("keys = -1", "line 10"),
        ("rates = \"fast\"", "unknown variant `fast`, expected `none` or `aws`"),
        ("requests_per_second = { MakeKey = 1 }", "there is no request quota `MakeKey`, but there are cryptographic_symmetric, "),
        ("requests_per_second = { Encrypt = 1 }", "there is no request quota `Encrypt`"),
        ("requests_per_second = { CreateKey = -1 }", "-1 requests per second for CreateKey: it has to be 0.001 to 1000000, or 0"),
        ("requests_per_second = { CreateKey = nan }", "requests per second for CreateKey: it has to be"),
        ("[quotas.accounts.1]", "quotas.accounts.1: "),
        ("[quotas.accounts.123456789012.accounts]", "unknown field `accounts`"),
    ] {
        let text = problem(&format!("{SMALLEST}\n[quotas]\n{lines}\n"));
        assert!(text.contains(expected), "{lines}: {text}");
    }
}

#[test]
fn a_missing_file_says_where_to_start() {
    let text = Config::load(Path::new("/nowhere/claviger.toml")).unwrap_err().to_string();
    assert!(text.contains("/nowhere/claviger.toml") && text.contains("claviger.example.toml"), "{text}");
}
