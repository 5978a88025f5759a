//! The evaluator against a second one, written from AWS's prose alone: slow, over raw JSON, without any of the first one's code. They
//! have to agree on every generated policy, caller and request, down to the text of the denial.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod policy_support;

use std::sync::Arc;

use claviger_domain::ids::GrantId;
use claviger_domain::policy::{Demand, Granted, Policy, authorize};
use claviger_domain::{AccountId, Grant, GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms, Identity};
use policy_support::{Held, KEY, KEY_ARN, Keys, OTHER, OWNER, account, root, service, session, user};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The service that asks in these tests.
const SERVICE: &str = "logs.amazonaws.com";

/// Who asks, within an account.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Root,
    User(&'static str),
    /// Role and session.
    Session(&'static str, &'static str),
    Service,
}

/// The evaluator from the prose.
mod naive {
    use super::*;
    use std::net::IpAddr;

    pub(crate) struct Request<'a> {
        /// The caller's account, and who it is there.
        pub(crate) account: &'a str,
        pub(crate) who: Who,
        pub(crate) identity_policies: &'a [Value],
        /// What limits a session.
        pub(crate) session_policy: Option<&'a Value>,
        /// The key's policy, unless the action is not about a key.
        pub(crate) key_policy: Option<&'a Value>,
        pub(crate) owner: &'a str,
        pub(crate) action: &'a str,
        pub(crate) resource: &'a str,
        pub(crate) keys: &'a Keys,
        /// The grants on the key, and the request's encryption context, which they look at.
        pub(crate) grants: &'a [Value],
        pub(crate) context: &'a [(String, String)],
    }

    /// `None` when allowed, or how the message ends. Grants are asked where policies neither allow nor deny.
    pub(crate) fn denial(request: &Request<'_>) -> Option<String> {
        let denied = denial_by_policies(request)?;
        let Some(key_policy) = request.key_policy else { return Some(denied) };
        let fitting: Vec<&Value> = request.grants.iter().filter(|grant| grant_fits(grant, request)).collect();
        if fitting.is_empty() || matching([key_policy], "Deny", request).any(|statement| denied_by(statement, request)) {
            return Some(denied);
        }
        if matching(request.identity_policies.iter(), "Deny", request).next().is_some() {
            return Some("with an explicit deny in an identity-based policy".to_owned());
        }
        if matching(request.session_policy, "Deny", request).next().is_some() {
            return Some("with an explicit deny in a session policy".to_owned());
        }
        let to = |name: &str| fitting.iter().any(|grant| grant["grantee"] == name);
        let to_session = fitting.iter().any(|grant| is_session(&grantee(grant), request));
        let agrees = request.who == Who::Root || matching(request.identity_policies.iter(), "Allow", request).next().is_some();
        let within_session =
            request.session_policy.is_none() || matching(request.session_policy, "Allow", request).next().is_some();
        if to_session || within_session && (to(&caller(request).1) || agrees) { None } else { Some(denied) }
    }

    fn grantee(grant: &Value) -> (String, String) {
        ("AWS".to_owned(), grant["grantee"].as_str().unwrap().to_owned())
    }

    /// "The key in each pair is not case sensitive, but the value is."
    fn grant_fits(grant: &Value, request: &Request<'_>) -> bool {
        let pairs = |name: &str| -> Option<Vec<(String, String)>> {
            let pairs = grant[name].as_object()?;
            Some(pairs.iter().map(|(key, value)| (key.to_lowercase(), value.as_str().unwrap().to_owned())).collect())
        };
        let given: Vec<(String, String)> =
            request.context.iter().map(|(key, value)| (key.to_lowercase(), value.clone())).collect();
        let includes = |wanted: &[(String, String)]| wanted.iter().all(|pair| given.contains(pair));
        let grantee = grantee(grant);
        let of_account = request.who != Who::Service && is_account(&grantee, request.account);
        let reaches = grantee == caller(request) || is_session(&grantee, request) || of_account;
        let operation = request.action.strip_prefix("kms:").unwrap();
        let allows = grant["operations"].as_array().unwrap().iter().any(|name| name == operation);
        let constrained = operation != "DescribeKey";
        let equals = pairs("equals").is_none_or(|wanted| includes(&wanted) && wanted.len() == given.len());
        let subset = pairs("subset").is_none_or(|wanted| includes(&wanted));
        reaches && allows && (!constrained || equals && subset)
    }

    fn denial_by_policies(request: &Request<'_>) -> Option<String> {
        let own = request.account == request.owner;
        let hidden = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based \
                      policy explicitly denies access";
        let identity_denies = matching(request.identity_policies.iter(), "Deny", request).next().is_some();
        let identity_allows =
            request.who == Who::Root || matching(request.identity_policies.iter(), "Allow", request).next().is_some();
        // "The permissions for a session are the intersection of the identity-based policies and the session policies."
        let session_denies = matching(request.session_policy, "Deny", request).next().is_some();
        let session_allows =
            request.session_policy.is_none() || matching(request.session_policy, "Allow", request).next().is_some();
        let session_denial = "with an explicit deny in a session policy".to_owned();
        let no_session_allow = format!("because no session policy allows the {} action", request.action);
        let no_identity_allow = format!("because no identity-based policy allows the {} action", request.action);
        let identity_denial = "with an explicit deny in an identity-based policy".to_owned();

        let Some(key_policy) = request.key_policy else {
            return if !own {
                Some(hidden.to_owned())
            } else if identity_denies {
                Some(identity_denial)
            } else if session_denies {
                Some(session_denial)
            } else if !identity_allows {
                Some(no_identity_allow)
            } else if !session_allows {
                Some(no_session_allow)
            } else {
                None
            };
        };

        let key_denies = matching([key_policy], "Deny", request).any(|statement| denied_by(statement, request));
        let names_caller = |statement: &Value| {
            let named = names(&statement["Principal"]);
            named.contains(&("AWS".into(), "*".into())) || named.contains(&caller(request))
        };
        let names_account = |statement: &Value| {
            let account = |name: &(String, String)| is_account(name, request.account);
            !matches!(request.who, Who::Service) && names(&statement["Principal"]).iter().any(account)
        };
        let names_session = |statement: &Value| names(&statement["Principal"]).iter().any(|name| is_session(name, request));
        let allowed_directly = matching([key_policy], "Allow", request).any(names_caller);
        let allowed_to_session = matching([key_policy], "Allow", request).any(names_session);
        let allowed_through_account = matching([key_policy], "Allow", request).any(names_account);

        if request.who == Who::Service {
            // Services have nothing but what key policies give them; those of a tenant, by keys of the tenant.
            let within_reach = own || request.account == "000000000000";
            return if within_reach && allowed_directly && !key_denies {
                None
            } else if !own {
                Some(hidden.to_owned())
            } else if key_denies {
                Some("with an explicit deny in a resource-based policy".to_owned())
            } else {
                Some(format!("because no resource-based policy allows the {} action", request.action))
            };
        }

        if !own {
            return if key_denies || !(allowed_directly || allowed_to_session || allowed_through_account) {
                Some(hidden.to_owned())
            } else if identity_denies {
                Some(identity_denial)
            } else if session_denies {
                Some(session_denial)
            } else if !identity_allows {
                Some(no_identity_allow)
            } else if !session_allows {
                Some(no_session_allow)
            } else {
                None
            };
        }
        if key_denies {
            return Some("with an explicit deny in a resource-based policy".to_owned());
        }
        if identity_denies {
            return Some(identity_denial);
        }
        if session_denies {
            return Some(session_denial);
        }
        // "Permissions of a policy that specifies the ARN of the session are not limited by the session policy."
        if allowed_to_session {
            return None;
        }
        if allowed_directly || (allowed_through_account && identity_allows) {
            return (!session_allows).then_some(no_session_allow);
        }
        if allowed_through_account {
            return Some(no_identity_allow);
        }
        Some(format!("because no resource-based policy allows the {} action", request.action))
    }

    /// The caller as a policy names it; of a session, its role.
    fn caller(request: &Request<'_>) -> (String, String) {
        let of_iam = |resource: String| ("AWS".to_owned(), format!("arn:aws:iam::{}:{resource}", request.account));
        match request.who {
            Who::Root => of_iam("root".to_owned()),
            Who::User(name) => of_iam(format!("user/{name}")),
            Who::Session(role, _) => of_iam(format!("role/{role}")),
            Who::Service => ("Service".to_owned(), SERVICE.to_owned()),
        }
    }

    fn is_session((kind, name): &(String, String), request: &Request<'_>) -> bool {
        match request.who {
            Who::Session(role, session) => {
                kind == "AWS" && *name == format!("arn:aws:sts::{}:assumed-role/{role}/{session}", request.account)
            }
            _ => false,
        }
    }

    fn is_account((kind, name): &(String, String), account: &str) -> bool {
        kind == "AWS" && (name == account || *name == format!("arn:aws:iam::{account}:root"))
    }

    /// A denial of the account hits all its users. `NotPrincipal` spares whom it names together with the account.
    fn denied_by(statement: &Value, request: &Request<'_>) -> bool {
        let everyone = ("AWS".to_owned(), "*".to_owned());
        let caller = caller(request);
        if let Some(except) = statement.get("NotPrincipal") {
            let spared = names(except);
            let account = spared.iter().any(|name| is_account(name, request.account));
            let spared_by_name = spared.contains(&caller)
                && match request.who {
                    Who::Service => true,
                    Who::Session(..) => account && spared.iter().any(|name| is_session(name, request)),
                    Who::Root | Who::User(_) => account,
                };
            let root_spared = request.who == Who::Root && account;
            // Everyone spared: nobody is left, whatever else is named.
            return !(spared.contains(&everyone) || spared_by_name || root_spared);
        }
        let named = names(&statement["Principal"]);
        named.contains(&everyone)
            || named.contains(&caller)
            || named.iter().any(|name| is_session(name, request))
            || request.who != Who::Service && named.iter().any(|name| is_account(name, request.account))
    }

    fn names(principal: &Value) -> Vec<(String, String)> {
        if principal == "*" {
            return vec![("AWS".into(), "*".into())];
        }
        let Some(object) = principal.as_object() else {
            return Vec::new();
        };
        object.iter().flat_map(|(kind, value)| texts(value).into_iter().map(|name| (kind.clone(), name))).collect()
    }

    fn texts(value: &Value) -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().flat_map(texts).collect(),
            Value::String(text) => vec![text.clone()],
            other => vec![other.to_string()],
        }
    }

    /// The statements of an effect that concern the request, apart from their principals.
    fn matching<'a>(
        policies: impl IntoIterator<Item = &'a Value>,
        effect: &'a str,
        request: &'a Request<'a>,
    ) -> impl Iterator<Item = &'a Value> {
        policies.into_iter().flat_map(move |policy| {
            let variables = policy.get("Version").is_some_and(|version| version == "2012-10-17");
            let statements: Vec<&Value> = match &policy["Statement"] {
                Value::Array(items) => items.iter().collect(),
                single => vec![single],
            };
            statements
                .into_iter()
                .filter(move |statement| statement["Effect"] == effect && concerns(statement, variables, request))
        })
    }

    fn concerns(statement: &Value, variables: bool, request: &Request<'_>) -> bool {
        let action_fits = |pattern: &String| {
            let pattern: Vec<Symbol> = symbols(&pattern.to_lowercase(), true, false, request.keys).unwrap();
            fits(&pattern, &request.action.to_lowercase().chars().collect::<Vec<_>>())
        };
        let resource_fits = |pattern: &String| {
            symbols(pattern, true, variables, request.keys)
                .is_some_and(|pattern| fits(&pattern, &request.resource.chars().collect::<Vec<_>>()))
        };
        let action = match statement.get("Action") {
            Some(actions) => texts(actions).iter().any(action_fits),
            None => !texts(&statement["NotAction"]).iter().any(action_fits),
        };
        let resource = match statement.get("Resource") {
            Some(resources) => texts(resources).iter().any(resource_fits),
            None => !texts(&statement["NotResource"]).iter().any(resource_fits),
        };
        let empty = serde_json::Map::new();
        let operators = statement.get("Condition").and_then(Value::as_object).unwrap_or(&empty);
        let conditions = operators.iter().all(|(operator, keys)| {
            keys.as_object()
                .unwrap()
                .iter()
                .all(|(key, values)| condition(operator, key, &texts(values), variables, request.keys))
        });
        action && resource && conditions
    }

    fn condition(operator: &str, key: &str, wanted: &[String], variables: bool, keys: &Keys) -> bool {
        let given: Option<Vec<String>> = match keys.get(key) {
            None => None,
            Some(Held::One(value)) => Some(vec![value.clone()]),
            Some(Held::Many(values)) if values.is_empty() => None,
            Some(Held::Many(values)) => Some(values.clone()),
        };
        let (quantifier, operator) = operator.split_once(':').unwrap_or(("", operator));
        let (operator, if_exists) = match operator.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (operator, false),
        };
        // "NotEquals" is "Equals", negated; "NotIpAddress" is "IpAddress", negated.
        let positive = operator.replace("Not", "");
        let negated = positive != operator;
        let equals_any = |value: &str| wanted.iter().any(|wanted| compare(&positive, value, wanted, variables, keys));

        let Some(given) = given else {
            if if_exists {
                return true;
            }
            return match quantifier {
                "ForAllValues" => true,
                "ForAnyValue" => false,
                _ if operator == "Null" => wanted.iter().any(|wanted| wanted.to_lowercase() == "true"),
                _ => negated,
            };
        };
        let only_empty_texts = given.iter().all(String::is_empty);
        match quantifier {
            "ForAllValues" if only_empty_texts => true,
            "ForAnyValue" if only_empty_texts => false,
            "ForAllValues" => given.iter().all(|value| equals_any(value) ^ negated),
            "ForAnyValue" => given.iter().any(|value| equals_any(value) ^ negated),
            _ if negated => !given.iter().any(|value| equals_any(value)),
            _ => given.iter().any(|value| equals_any(value)),
        }
    }

    fn compare(operator: &str, value: &str, wanted: &str, variables: bool, keys: &Keys) -> bool {
        let characters: Vec<char> = value.chars().collect();
        match operator {
            "StringEquals" => symbols(wanted, false, variables, keys).is_some_and(|wanted| fits(&wanted, &characters)),
            "StringLike" => symbols(wanted, true, variables, keys).is_some_and(|wanted| fits(&wanted, &characters)),
            "StringEqualsIgnoreCase" | "Bool" => {
                let lower: Vec<char> = value.to_lowercase().chars().collect();
                symbols(wanted, false, variables, keys).is_some_and(|wanted| {
                    let wanted: Vec<Symbol> = wanted
                        .into_iter()
                        .flat_map(|symbol| match symbol {
                            Symbol::Character(c) => c.to_lowercase().map(Symbol::Character).collect(),
                            other => vec![other],
                        })
                        .collect();
                    fits(&wanted, &lower)
                })
            }
            "ArnEquals" | "ArnLike" => {
                let Some(wanted) = symbols(wanted, true, variables, keys) else {
                    return false;
                };
                let parts: Vec<&[Symbol]> = wanted.splitn(6, |symbol| *symbol == Symbol::Character(':')).collect();
                let values: Vec<&[char]> = characters.splitn(6, |c| *c == ':').collect();
                let any_arn = wanted == [Symbol::AnyRun];
                values.len() == 6
                    && (any_arn || (parts.len() == 6 && parts.iter().zip(&values).all(|(part, value)| fits(part, value))))
            }
            "Null" => wanted.to_lowercase() == "false",
            "BinaryEquals" => value == wanted,
            "IpAddress" => {
                let Ok(address) = value.parse::<IpAddr>() else {
                    return false;
                };
                let (network, bits) =
                    wanted.split_once('/').map_or((wanted, None), |(n, b)| (n, Some(b.parse::<u32>().unwrap())));
                match (network.parse::<IpAddr>().unwrap(), address) {
                    (IpAddr::V4(network), IpAddr::V4(address)) => {
                        let shift = 32 - bits.unwrap_or(32);
                        (u64::from(u32::from(network)) >> shift) == (u64::from(u32::from(address)) >> shift)
                    }
                    (IpAddr::V6(network), IpAddr::V6(address)) => {
                        let shift = 128 - bits.unwrap_or(128);
                        u128::from(network).checked_shr(shift).unwrap_or(0) == u128::from(address).checked_shr(shift).unwrap_or(0)
                    }
                    _ => false,
                }
            }
            _ => {
                let (parse, order): (fn(&str) -> Option<f64>, &str) = match operator.strip_prefix("Numeric") {
                    Some(order) => (|text| text.parse().ok(), order),
                    None => (seconds, operator.strip_prefix("Date").unwrap()),
                };
                let (Some(value), Some(wanted)) = (parse(value), parse(wanted)) else {
                    return false;
                };
                match order {
                    "Equals" => value == wanted,
                    "LessThan" => value < wanted,
                    "LessThanEquals" => value <= wanted,
                    "GreaterThan" => value > wanted,
                    "GreaterThanEquals" => value >= wanted,
                    other => panic!("operator {other}"),
                }
            }
        }
    }

    fn seconds(text: &str) -> Option<f64> {
        let whole = if text.len() == 10 && text.contains('-') { format!("{text}T00:00:00Z") } else { text.to_owned() };
        match whole.parse::<jiff::Timestamp>() {
            Ok(moment) => Some(moment.as_millisecond() as f64 / 1000.0),
            Err(_) => text.parse().ok(),
        }
    }

    #[derive(Clone, Debug, PartialEq)]
    enum Symbol {
        Character(char),
        AnyRun,
        AnyOne,
    }

    /// A policy's text, character by character, with variables replaced. `None` when a variable has no value.
    fn symbols(text: &str, wildcards: bool, variables: bool, keys: &Keys) -> Option<Vec<Symbol>> {
        let mut out = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if variables && rest.starts_with("${") {
                let close = rest.find('}').unwrap();
                let inside = &rest[2..close];
                rest = &rest[close + 1..];
                if ["*", "?", "$"].contains(&inside) {
                    out.extend(inside.chars().map(Symbol::Character));
                    continue;
                }
                let (name, default) = match inside.split_once(", '") {
                    Some((name, default)) => (name, Some(default.trim_end_matches('\'').to_owned())),
                    None => (inside, None),
                };
                let value = match keys.get(name) {
                    Some(Held::One(value)) if !value.is_empty() => Some(value.clone()),
                    _ => default,
                };
                out.extend(value?.chars().map(Symbol::Character));
                continue;
            }
            let c = rest.chars().next().unwrap();
            rest = &rest[c.len_utf8()..];
            out.push(match c {
                '*' if wildcards => Symbol::AnyRun,
                '?' if wildcards => Symbol::AnyOne,
                c => Symbol::Character(c),
            });
        }
        Some(out)
    }

    /// By trying everything.
    fn fits(pattern: &[Symbol], text: &[char]) -> bool {
        match pattern.first() {
            None => text.is_empty(),
            Some(Symbol::AnyRun) => (0..=text.len()).any(|skip| fits(&pattern[1..], &text[skip..])),
            Some(Symbol::AnyOne) => !text.is_empty() && fits(&pattern[1..], &text[1..]),
            Some(Symbol::Character(c)) => text.first() == Some(c) && fits(&pattern[1..], &text[1..]),
        }
    }
}

/// One of these texts.
fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(texts).prop_map(str::to_owned)
}

/// One text, or a list of them, as the language lets both stand.
fn one_or_many(texts: &'static [&'static str], least: usize) -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => one_of(texts).prop_map(Value::from),
        1 => prop::collection::vec(one_of(texts), least..4).prop_map(Value::from),
    ]
}

const ACTIONS: &[&str] = &[
    "*",
    "kms:*",
    "KMS:Encrypt",
    "kms:encrypt",
    "kms:*crypt",
    "kms:Decryp?",
    "kms:Dec*",
    "k*:?n*",
    "s3:*",
    "kms:List*",
    "*:*Keys",
];

const RESOURCES: &[&str] = &[
    "*",
    KEY_ARN,
    "arn:aws:kms:*",
    "arn:aws:kms:*:111111111111:key/*",
    "arn:aws:kms:us-east-?:*:key/1234abcd-*",
    "arn:aws:kms:us-east-1:111111111111:alias/${aws:username}-*",
    "arn:aws:kms:us-east-1:111111111111:*/${aws:PrincipalTag/team, '1234abcd-12ab-34cd-56ef-1234567890ab'}",
    "arn:aws:kms:us-east-1:222222222222:key/*",
];

const PRINCIPALS: &[&str] = &[
    "*",
    "111111111111",
    "arn:aws:iam::111111111111:root",
    "222222222222",
    "arn:aws:iam::222222222222:root",
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:iam::222222222222:user/alice",
    "arn:aws:iam::111111111111:user/bob",
    "arn:aws:iam::222222222222:user/bob",
    "arn:aws:iam::111111111111:user/team/alice",
    "arn:aws:iam::111111111111:role/alice",
    "arn:aws:iam::222222222222:role/alice",
    "arn:aws:sts::111111111111:assumed-role/alice/monday",
    "arn:aws:sts::222222222222:assumed-role/alice/monday",
    "arn:aws:sts::111111111111:assumed-role/alice/tuesday",
];

const TEXTS: &[&str] = &[
    "",
    "alice",
    "Alice",
    "al*",
    "*",
    "?lice",
    "${aws:username}",
    "x-${aws:PrincipalTag/team, 'none'}",
    "${*}",
    "a${$}",
    "x-none",
];
const NUMBERS: &[&str] = &["1", "2", "2.0", "-1", "10"];
const DATES: &[&str] =
    &["2026-11-22", "2026-11-22T00:00:00Z", "2026-11-22T01:00:00+01:00", "1795305600", "2027-01-01T00:00:00.500Z"];
const ADDRESSES: &[&str] = &["192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "2001:db8::1", "0.0.0.0/0", "::/0"];
const ARNS: &[&str] = &[
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:iam::*:user/*",
    "arn:*:???::1*:*",
    "arn:aws:iam::111111111111:user/${aws:username}",
    "*",
];

const CONTEXT_KEYS: &[&str] = &[
    "aws:username",
    "AWS:UserName",
    "aws:PrincipalTag/team",
    "kms:EncryptionContextKeys",
    "kms:number",
    "aws:CurrentTime",
    "aws:SourceIp",
    "aws:PrincipalArn",
];
const CONTEXT_VALUES: &[&str] = &[
    "",
    "alice",
    "Alice",
    "x-alice",
    "x-none",
    "*",
    "a$",
    "1",
    "2",
    "2.00",
    "2026-11-22",
    "2026-11-22T00:00:00Z",
    "1795305601",
    "192.0.2.7",
    "198.51.100.1",
    "2001:db8::1",
    "2001:db9::1",
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:iam::222222222222:user/a:b",
    "true",
    "FALSE",
    "YQ==",
    "word",
];

/// An operator with its key and values. Values are of the operator's type: others are refused when the policy is parsed.
fn condition() -> impl Strategy<Value = (String, String, Value)> {
    let typed = prop_oneof![
        4 => (one_of(&["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"]), one_or_many(TEXTS, 0)),
        1 => (one_of(&["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals"]), one_or_many(NUMBERS, 0)),
        1 => (one_of(&["DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"]), one_or_many(DATES, 0)),
        1 => (one_of(&["Bool"]), one_or_many(&["true", "false", "True", "${aws:username}"], 0)),
        1 => (one_of(&["BinaryEquals"]), one_or_many(&["YQ==", "YWI="], 0)),
        1 => (one_of(&["IpAddress", "NotIpAddress"]), one_or_many(ADDRESSES, 0)),
        1 => (one_of(&["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"]), one_or_many(ARNS, 0)),
        1 => (one_of(&["Null"]), one_or_many(&["true", "false"], 0)),
    ];
    let set = prop_oneof![3 => Just(""), 1 => Just("ForAllValues:"), 1 => Just("ForAnyValue:")];
    (set, typed, any::<bool>(), one_of(CONTEXT_KEYS)).prop_map(|(set, (operator, values), if_exists, key)| {
        let suffix = if if_exists && operator != "Null" { "IfExists" } else { "" };
        (format!("{set}{operator}{suffix}"), key, values)
    })
}

fn statement(of_key: bool) -> impl Strategy<Value = Value> {
    let conditions = prop_oneof![2 => prop::collection::vec(condition(), 0..1), 3 => prop::collection::vec(condition(), 1..3)];
    let negations = (prop::bool::weighted(0.15), prop::bool::weighted(0.15), prop::bool::weighted(0.2));
    let principal = prop_oneof![
        1 => Just(json!("*")),
        5 => one_or_many(PRINCIPALS, 1).prop_map(|names| json!({ "AWS": names })),
        1 => one_or_many(PRINCIPALS, 1).prop_map(|names| json!({ "AWS": names, "Service": SERVICE })),
        2 => Just(json!({ "Service": SERVICE })),
        1 => Just(json!({ "Service": "s3.amazonaws.com" })),
    ];
    (prop::bool::weighted(0.7), negations, principal, one_or_many(ACTIONS, 1), one_or_many(RESOURCES, 1), conditions).prop_map(
        move |(allow, (not_action, not_resource, not_principal), principal, actions, resources, conditions)| {
            let mut statement = json!({ "Effect": if allow { "Allow" } else { "Deny" } });
            statement[if not_action { "NotAction" } else { "Action" }] = actions;
            statement[if not_resource { "NotResource" } else { "Resource" }] = resources;
            if of_key {
                statement[if not_principal && !allow { "NotPrincipal" } else { "Principal" }] = principal;
            }
            for (operator, key, values) in conditions {
                statement["Condition"][operator][key] = values;
            }
            statement
        },
    )
}

fn policy(of_key: bool) -> impl Strategy<Value = Value> {
    let version = prop_oneof![4 => Just(Some("2012-10-17")), 1 => Just(Some("2008-10-17")), 1 => Just(None)];
    (version, prop::collection::vec(statement(of_key), 1..5)).prop_map(|(version, statements)| {
        let mut policy = json!({ "Statement": statements });
        if let Some(version) = version {
            policy["Version"] = version.into();
        }
        if version != Some("2012-10-17") {
            // Without variables `${aws:username}` is no truth value, and the dollar sign is plain text in ARNs.
            let text = policy.to_string().replace("\"${aws:username}\"", "\"true\"");
            policy = serde_json::from_str(&text).unwrap();
            for statement in policy["Statement"].as_array_mut().unwrap() {
                if let Some(condition) = statement.get_mut("Condition").and_then(Value::as_object_mut) {
                    condition
                        .retain(|operator, values| !operator.contains("Arn") || !values.to_string().contains("aws:username"));
                }
            }
        }
        policy
    })
}

/// What limits a session: often everything or much of what there is, since two policies must agree before it is of any consequence.
fn session_policy() -> impl Strategy<Value = Option<Value>> {
    let allow = |action: &str| {
        Some(json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": action, "Resource": "*" } }))
    };
    prop_oneof![2 => Just(None), 3 => policy(false).prop_map(Some), 3 => Just(allow("kms:*")), 1 => Just(allow("kms:Encrypt"))]
}

fn keys() -> impl Strategy<Value = Keys> {
    let held = prop_oneof![
        3 => one_of(CONTEXT_VALUES).prop_map(Held::One),
        1 => prop::collection::vec(one_of(CONTEXT_VALUES), 0..3).prop_map(Held::Many),
    ];
    prop::collection::vec((one_of(CONTEXT_KEYS), held), 0..8).prop_map(Keys)
}

/// Account, and who it is there.
fn caller() -> impl Strategy<Value = (&'static str, Who)> {
    let people = (
        proptest::sample::select(&[OWNER, OWNER, OTHER][..]),
        proptest::sample::select(
            &[Who::User("alice"), Who::User("bob"), Who::Root, Who::Session("alice", "monday"), Who::Session("alice", "monday")]
                [..],
        ),
    );
    let services = proptest::sample::select(&[OWNER, OTHER, "000000000000"][..]).prop_map(|account| (account, Who::Service));
    prop_oneof![5 => people, 1 => services]
}

/// An action and the resource it is about; whether that is the key.
fn demand() -> impl Strategy<Value = (&'static str, &'static str, bool)> {
    proptest::sample::select(
        &[
            ("kms:Encrypt", KEY_ARN, true),
            ("kms:Decrypt", KEY_ARN, true),
            ("kms:PutKeyPolicy", KEY_ARN, true),
            ("kms:ListKeys", "*", false),
            ("kms:CreateAlias", "arn:aws:kms:us-east-1:111111111111:alias/alice-1", false),
        ][..],
    )
}

/// An encryption context: keys that differ by more than their case.
fn encryption_context() -> impl Strategy<Value = Vec<(String, String)>> {
    let pair = |lower: &'static str, upper: &'static str| {
        prop::option::of((prop_oneof![Just(lower), Just(upper)], prop_oneof![2 => Just("1"), 1 => Just("x"), 1 => Just("X")]))
    };
    (pair("a", "A"), pair("b", "B"))
        .prop_map(|(a, b)| [a, b].into_iter().flatten().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn grant() -> impl Strategy<Value = Value> {
    let grantees = proptest::sample::select(
        &[
            "arn:aws:iam::111111111111:user/alice",
            "arn:aws:iam::111111111111:root",
            "arn:aws:iam::222222222222:user/alice",
            "arn:aws:iam::222222222222:root",
            "arn:aws:iam::111111111111:user/bob",
            "arn:aws:iam::111111111111:role/alice",
            "arn:aws:sts::111111111111:assumed-role/alice/monday",
            "arn:aws:sts::222222222222:assumed-role/alice/monday",
        ][..],
    );
    let operations = proptest::sample::subsequence(vec!["Encrypt", "Decrypt", "DescribeKey"], 1..=3);
    let constraint = || prop::option::weighted(0.3, encryption_context());
    (grantees, operations, constraint(), constraint()).prop_map(|(grantee, operations, equals, subset)| {
        let object = |pairs: Option<Vec<(String, String)>>| {
            pairs.map_or(Value::Null, |pairs| pairs.into_iter().map(|(key, value)| (key, json!(value))).collect())
        };
        json!({ "grantee": grantee, "operations": operations, "equals": object(equals), "subset": object(subset) })
    })
}

/// The same for the evaluator.
fn parse_grant(grant: &Value) -> Grant {
    let context = |name: &str| serde_json::from_value(grant[name].clone()).unwrap();
    Grant {
        id: GrantId::new([7; 32]),
        account: account(OWNER),
        region: "us-east-1".parse().unwrap(),
        key: KEY.parse().unwrap(),
        name: None,
        created: claviger_domain::Timestamp(0),
        issuing_account: account(OWNER),
        terms: GrantTerms {
            grantee: GrantPrincipal::Principal(grant["grantee"].as_str().unwrap().to_owned()),
            retiring: None,
            operations: serde_json::from_value(grant["operations"].clone()).unwrap(),
            constraints: GrantConstraints {
                encryption_context_equals: context("equals"),
                encryption_context_subset: context("subset"),
                source_arn: None,
            },
        },
    }
}

/// The condition keys of a request with this encryption context.
fn keys_of(context: &[(String, String)]) -> Keys {
    let mut keys = Keys::default();
    for (key, value) in context {
        keys.0.push((format!("kms:EncryptionContext:{key}"), Held::One(value.clone())));
    }
    let names = context.iter().map(|(key, _)| key.clone()).collect();
    keys.0.push(("kms:EncryptionContextKeys".to_owned(), Held::Many(names)));
    keys
}

fn identity_of(account: &str, who: Who, policies: &[Value], session_policy: Option<&Value>) -> Identity {
    let texts: Vec<String> = policies.iter().map(Value::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    match who {
        Who::Root => root(account),
        Who::User(name) => user(account, name, &texts),
        Who::Session(role, name) => session(account, role, name, &texts, session_policy.map(Value::to_string).as_deref()),
        Who::Service => service(account, SERVICE),
    }
}

/// Both evaluators' verdicts: `None` when allowed, or the message.
fn both(
    (account_id, who): (&str, Who),
    (identity_policies, session_policy): (&[Value], Option<&Value>),
    key_policy: &Value,
    demand: (&'static str, &str, bool),
    keys: &Keys,
) -> (Option<String>, Option<String>) {
    both_with_grants((account_id, who), (identity_policies, session_policy), key_policy, demand, keys, (&[], &[]))
}

fn both_with_grants(
    (account_id, who): (&str, Who),
    (identity_policies, session_policy): (&[Value], Option<&Value>),
    key_policy: &Value,
    (action, resource, about_key): (&'static str, &str, bool),
    keys: &Keys,
    (grants, context): (&[Value], &[(String, String)]),
) -> (Option<String>, Option<String>) {
    let identity = identity_of(account_id, who, identity_policies, session_policy);
    let text = key_policy.to_string();
    let parsed = Policy::parse_key_policy(&text).unwrap_or_else(|malformed| panic!("{malformed}: {text}"));
    let owner: AccountId = account(OWNER);
    let key = about_key.then(|| (KEY.parse().unwrap(), &parsed));
    let held: [Arc<[Grant]>; 1] = [grants.iter().map(parse_grant).collect()];
    let granted = Granted::Held { grants: &held, proposed: None };
    let verdict =
        authorize(&identity, &Demand { action, resource, owner, key, granted }, keys).err().map(|denial| denial.message);
    let has_policies = matches!(who, Who::User(_) | Who::Session(..));
    let expected = naive::denial(&naive::Request {
        account: account_id,
        who,
        identity_policies: if has_policies { identity_policies } else { &[] },
        session_policy: session_policy.filter(|_| matches!(who, Who::Session(..))),
        key_policy: about_key.then_some(key_policy),
        owner: OWNER,
        action,
        resource,
        keys,
        grants,
        context,
    });
    let expected = expected
        .map(|end| format!("User: {} is not authorized to perform: {action} on resource: {resource} {end}", identity.arn));
    (verdict, expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn both_evaluators_agree(
        caller in caller(),
        identity_policies in prop::collection::vec(policy(false), 0..3),
        session_policy in session_policy(),
        key_policy in policy(true),
        demand in demand(),
        keys in keys(),
    ) {
        let (verdict, expected) = both(caller, (&identity_policies, session_policy.as_ref()), &key_policy, demand, &keys);
        prop_assert_eq!(verdict, expected);
    }

    /// With grants, and so many policies that are silent that these matter.
    #[test]
    fn both_agree_on_grants(
        caller in caller(),
        identity_policies in prop::collection::vec(policy(false), 0..2),
        session_policy in session_policy(),
        key_policy in policy(true),
        action in one_of(&["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:PutKeyPolicy"]),
        grants in prop::collection::vec(grant(), 0..4),
        context in encryption_context(),
    ) {
        let action: &'static str =
            ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:PutKeyPolicy"].into_iter().find(|name| *name == action).unwrap();
        let (demand, keys) = ((action, KEY_ARN, true), keys_of(&context));
        let (verdict, expected) = both_with_grants(caller, (&identity_policies, session_policy.as_ref()), &key_policy, demand, &keys, (&grants, &context));
        prop_assert_eq!(verdict, expected);
    }

    /// What a grant that was made through another one allows, that one allows, too.
    #[test]
    fn nothing_is_gained_by_delegation(parent in grant(), child in grant(), context in encryption_context()) {
        let (parent, child) = (parse_grant(&parent).terms, parse_grant(&child).terms);
        let keys = keys_of(&context);
        if child.are_within(&parent) {
            prop_assert!(child.operations.is_subset(&parent.operations));
            if child.constraints.hold(GrantOperation::Encrypt, &keys) {
                prop_assert!(parent.constraints.hold(GrantOperation::Encrypt, &keys), "{child:?} {parent:?} {context:?}");
            }
        }
    }

    /// One condition at a time, where it alone decides.
    #[test]
    fn both_agree_on_every_condition((operator, key, values) in condition(), deny in any::<bool>(), keys in keys()) {
        let mut key_policy = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" },
            { "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*" },
        ] });
        if !deny {
            key_policy["Statement"].as_array_mut().unwrap().truncate(1);
        }
        key_policy["Statement"][usize::from(deny)]["Condition"][operator][key] = values;
        let (verdict, expected) = both((OWNER, Who::User("alice")), (&[], None), &key_policy, ("kms:Encrypt", KEY_ARN, true), &keys);
        prop_assert_eq!(verdict, expected);
    }
}

/// The comparison is only worth something while the generated cases spread over all outcomes.
#[test]
fn generated_cases_reach_every_outcome() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let identity_policies = prop::collection::vec(policy(false), 0..3);
    let cases = (caller(), identity_policies, session_policy(), policy(true), demand(), keys());
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..9000 {
        let (caller, identity_policies, session_policy, key_policy, demand, keys) =
            cases.new_tree(&mut runner).unwrap().current();
        let (verdict, _) = both(caller, (&identity_policies, session_policy.as_ref()), &key_policy, demand, &keys);
        let outcome = match verdict {
            None if caller.1 == Who::Service => "allowed to a service",
            None if matches!(caller.1, Who::Session(..)) && session_policy.is_some() => "allowed in a limited session",
            None => "allowed",
            Some(message) => {
                let ends = [
                    "no identity-based",
                    "no resource-based policy allows the",
                    "no session policy",
                    "deny in an identity",
                    "deny in a resource",
                    "deny in a session",
                    "does not exist",
                ];
                *ends.iter().find(|part| message.contains(**part)).unwrap()
            }
        };
        *counts.entry(outcome.to_owned()).or_default() += 1;
    }
    assert_eq!(counts.len(), 10, "{counts:?}");
    assert!(counts.values().all(|count| *count >= 40), "{counts:?}");
}

/// The same of the cases with grants: they allow often enough, and are often enough refused.
#[test]
fn generated_grants_matter() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut granted, mut refused, mut within) = (0, 0, 0);
    for _ in 0..2000 {
        let cases = (
            caller(),
            prop::collection::vec(policy(false), 0..2),
            policy(true),
            prop::collection::vec(grant(), 1..4),
            encryption_context(),
        );
        let (caller, identity_policies, key_policy, grants, context) = cases.new_tree(&mut runner).unwrap().current();
        let (demand, keys) = (("kms:Encrypt", KEY_ARN, true), keys_of(&context));
        let verdict =
            |grants| both_with_grants(caller, (&identity_policies, None), &key_policy, demand, &keys, (grants, &context)).0;
        match (verdict(&[]), verdict(&grants)) {
            (Some(_), None) => granted += 1,
            (Some(_), Some(_)) => refused += 1,
            (None, after) => assert_eq!(after, None, "a grant takes nothing away"),
        }
        let [one, other] = [0, grants.len() - 1].map(|index| parse_grant(&grants[index]).terms);
        within += usize::from(grants.len() > 1 && one.are_within(&other));
    }
    assert!(granted >= 100 && refused >= 100 && within >= 40, "{granted} {refused} {within}");
}
