#![allow(clippy::unwrap_used, reason = "tests may panic")]

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<CommandLine, clap::Error> {
    CommandLine::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn every_documented_command_is_understood() {
    for line in [
        "claviger dev",
        "claviger dev --data d --listen 127.0.0.1:0 --observability 127.0.0.1:0",
        "claviger init --config c.toml",
        "claviger init --config c.toml --credentials administrator.env",
        "claviger recover-administrator --config c.toml --credentials administrator.env",
        "claviger serve --config c.toml",
        "claviger serve --config c.toml --node n-1",
        "claviger status --endpoint https://kms.example.org --ca ca.pem --json",
        "claviger ready --config c.toml --alive",
        "claviger doctor --config c.toml",
        "claviger account create payroll --id 111122223333",
        "claviger account list",
        "claviger account set-availability strict --account 111122223333",
        "claviger key set-availability alias/a strict --json",
        "claviger cluster status --json",
        "claviger user create alice --account 111122223333",
        "claviger user create store --account 000000000000 --service s3.amazonaws.com --tag team=red",
        "claviger user get alice",
        "claviger user tag alice team=red floor=3",
        "claviger user untag alice team",
        "claviger user list",
        "claviger user delete alice",
        "claviger access-key create --user alice",
        "claviger access-key list",
        "claviger access-key deactivate AKIAIOSFODNN7EXAMPLE",
        "claviger access-key activate AKIAIOSFODNN7EXAMPLE",
        "claviger access-key delete AKIAIOSFODNN7EXAMPLE --account 111122223333",
        "claviger role create backup --trust t.json --description d --max-session-duration 7200 --tag team=red",
        "claviger role get backup --json",
        "claviger role list --account 111122223333",
        "claviger role trust backup -",
        "claviger role tag backup team=red",
        "claviger role untag backup team",
        "claviger role delete backup",
        "claviger policy put - --role backup --name p",
        "claviger policy list --role backup",
        "claviger policy put - --user alice --name p",
        "claviger policy get --user alice --name p",
        "claviger policy list --user alice",
        "claviger policy delete --user alice --name p",
        "claviger audit verify --data d --vkey k --checkpoint c --checkpoint d --every-signature",
        "claviger audit export out --config c.toml",
        "claviger audit tail --data d --follow -n 5 --json",
        "claviger encrypt f --key alias/a -o - --force",
        "claviger decrypt f.claviger -o f",
        "claviger store verify --data d",
        "claviger token list --config c.toml",
        "claviger token check one --config c.toml",
        "claviger token keys one --config c.toml",
        "claviger token adopt-key --label k --store cks-1 --account 111122223333 --region us-east-1",
        "claviger token adopt-key --id a1 --store c --account 111122223333 --region us-east-1 --spec RSA_2048 --usage SIGN_VERIFY",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn wrong_use_is_refused_with_what_would_be_right() {
    for (line, expected) in [
        ("claviger serv", "serve"),
        ("claviger account create x --id 12", "an account id (12 digits)"),
        ("claviger user create a/b", "a user name"),
        ("claviger encrypt f", "--key"),
        ("claviger audit verify --config c --data d", "cannot be used with"),
        ("claviger status --endpoint kms.example.org", "https://"),
        ("claviger dev --listen here", "invalid"),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
}
