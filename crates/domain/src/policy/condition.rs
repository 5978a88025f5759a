//! Conditions: an operator, a condition key, and the values to compare with. Source: AWS IAM User Guide, "IAM JSON policy elements:
//! Condition operators" and "Set operators for multivalued context keys".
//!
//! Where AWS's prose leaves room:
//! - A multivalued key under an operator without `ForAllValues` or `ForAnyValue` matches when any of its values does; a negated
//!   operator is the opposite of that. An empty list of values is an absent key.
//! - For the set operators a key whose values are all empty texts holds nothing ("resolves to an empty data set").
//! - A value of the request that is not of the operator's type (a word under `NumericEquals`) matches nothing.
//! - `Null` with a set operator asks of each present value whether it is null, as AWS's policy simulator does.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::{IpNet, Ipv4Net};

use super::arn_pattern::ArnPattern;
use super::json::Json;
use super::moment::Moment;
use super::pattern::{Pattern, Syntax};
use super::variables::is_condition_key;
use super::{ConditionContext, MalformedPolicy};

/// One key of one operator of a `Condition` element.
#[derive(Debug)]
pub(super) struct Condition {
    key: Box<str>,
    set: SetOperator,
    negated: bool,
    if_exists: bool,
    test: Test,
}

impl Condition {
    /// Whether the request meets it.
    pub(super) fn holds(&self, context: &dyn ConditionContext) -> bool {
        let values = context.values(&self.key);
        let values = values.as_slice();
        if values.is_empty() {
            return self.holds_for_absent();
        }
        let matched = |value: &str| self.test.matches(value, context);
        let empty = values.iter().all(|value| value.is_empty());
        match self.set {
            SetOperator::None => values.iter().any(|value| matched(value)) != self.negated,
            SetOperator::ForAllValues => empty || values.iter().all(|value| matched(value) != self.negated),
            SetOperator::ForAnyValue => !empty && values.iter().any(|value| matched(value) != self.negated),
        }
    }

    fn holds_for_absent(&self) -> bool {
        match (self.set, &self.test) {
            _ if self.if_exists => true,
            (SetOperator::ForAllValues, _) => true,
            (SetOperator::ForAnyValue, _) => false,
            (SetOperator::None, Test::Null(values)) => values.contains(&true),
            (SetOperator::None, _) => self.negated,
        }
    }
}

impl Condition {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let values = match &self.test {
            Test::Like(patterns) | Test::EqualIgnoringCase(patterns) => patterns.iter().map(Pattern::weight).sum(),
            Test::Arn(patterns) => patterns.iter().map(ArnPattern::weight).sum(),
            Test::Binary(texts) => texts.iter().map(|text| text.len() + 40).sum(),
            test => test.values() * 40,
        };
        size_of::<Self>() + self.key.len() + values
    }
}

/// How the values of a multivalued key are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetOperator {
    None,
    ForAllValues,
    ForAnyValue,
}

/// What an operator compares with. A value of the request matches when it fits any of the policy's values.
#[derive(Debug)]
enum Test {
    /// Whether the key is absent.
    Null(Box<[bool]>),
    /// Strings, with or without wildcards.
    Like(Box<[Pattern]>),
    /// Strings without regard to case; `Bool`, too.
    EqualIgnoringCase(Box<[Pattern]>),
    Arn(Box<[ArnPattern]>),
    Number(Order, Box<[f64]>),
    Date(Order, Box<[Moment]>),
    Address(Box<[IpNet]>),
    Binary(Box<[Vec<u8>]>),
}

impl Test {
    fn matches(&self, value: &str, context: &dyn ConditionContext) -> bool {
        if !context.charge(self.values()) {
            return false;
        }
        match self {
            Self::Null(wanted) => wanted.contains(&false),
            Self::Like(patterns) => patterns.iter().any(|pattern| pattern.matches(value, context)),
            Self::EqualIgnoringCase(patterns) => patterns.iter().any(|pattern| pattern.equals_ignoring_case(value, context)),
            Self::Arn(patterns) => patterns.iter().any(|pattern| pattern.matches(value, context)),
            Self::Number(order, bounds) => {
                parse_number(value).is_some_and(|value| bounds.iter().any(|bound| order.holds(value.partial_cmp(bound))))
            }
            Self::Date(order, bounds) => {
                Moment::parse(value).is_some_and(|value| bounds.iter().any(|bound| order.holds(value.partial_cmp(bound))))
            }
            Self::Address(nets) => parse_address(value).is_some_and(|address| nets.iter().any(|net| net.contains(&address))),
            Self::Binary(texts) => STANDARD.decode(value).is_ok_and(|value| texts.contains(&value)),
        }
    }
}

impl Test {
    /// With how many values it compares.
    fn values(&self) -> usize {
        match self {
            Self::Null(values) => values.len(),
            Self::Like(patterns) | Self::EqualIgnoringCase(patterns) => patterns.len(),
            Self::Arn(patterns) => patterns.len(),
            Self::Number(_, bounds) => bounds.len(),
            Self::Date(_, bounds) => bounds.len(),
            Self::Address(nets) => nets.len(),
            Self::Binary(texts) => texts.len(),
        }
    }
}

/// How a value of the request has to stand to the policy's value.
#[derive(Debug, Clone, Copy)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds(self, ordering: Option<std::cmp::Ordering>) -> bool {
        ordering.is_some_and(|ordering| match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        })
    }
}

/// Reads a `Condition` element. `variables` says whether the version of the language has policy variables.
///
/// # Errors
/// Unknown operators, keys without a vendor, and values that are not of the operator's type and could never match.
pub(super) fn parse(value: Json, variables: bool) -> Result<Box<[Condition]>, MalformedPolicy> {
    let Json::Object(operators) = value else {
        return Err(MalformedPolicy::new("Syntax errors in policy. Condition must be an object."));
    };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let Json::Object(keys) = keys else {
            return Err(MalformedPolicy::new(format!("Syntax errors in policy. {operator:?} in Condition must be an object.")));
        };
        let name = OperatorName::parse(&operator);
        let name = name.ok_or_else(|| MalformedPolicy::new(format!("Invalid Condition type : {operator}.")))?;
        for (key, values) in keys {
            if !is_condition_key(&key) {
                return Err(MalformedPolicy::new("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."));
            }
            let (negated, test) = name.test(&texts(&key, values)?, variables)?;
            conditions.push(Condition { key: key.into(), set: name.set, negated, if_exists: name.if_exists, test });
        }
    }
    Ok(conditions.into())
}

/// An operator's name, taken apart: `ForAllValues:StringLikeIfExists`.
struct OperatorName<'a> {
    set: SetOperator,
    if_exists: bool,
    base: &'a str,
}

impl<'a> OperatorName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (set, name) = match name.split_once(':') {
            None => (SetOperator::None, name),
            Some(("ForAllValues", name)) => (SetOperator::ForAllValues, name),
            Some(("ForAnyValue", name)) => (SetOperator::ForAnyValue, name),
            Some(_) => return None,
        };
        let (base, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |base| (base, true));
        let known = BASE_OPERATORS.contains(&base) && !(base == "Null" && if_exists);
        known.then_some(Self { set, if_exists, base })
    }

    /// The test with its values, and whether the operator asks for the opposite.
    fn test(&self, values: &[String], variables: bool) -> Result<(bool, Test), MalformedPolicy> {
        let exact = Syntax { wildcards: false, variables };
        let wild = Syntax { wildcards: true, variables };
        let negated = self.base.contains("Not");
        let test = match self.base {
            "StringEquals" | "StringNotEquals" => Test::Like(each(values, |text| Pattern::parse(text, exact))?),
            "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase" => {
                Test::EqualIgnoringCase(each(values, |text| Pattern::parse(text, exact))?)
            }
            "StringLike" | "StringNotLike" => Test::Like(each(values, |text| Pattern::parse(text, wild))?),
            "ArnEquals" | "ArnLike" | "ArnNotEquals" | "ArnNotLike" => {
                Test::Arn(each(values, |text| ArnPattern::parse(text, variables))?)
            }
            "Bool" => Test::EqualIgnoringCase(each(values, |text| parse_bool_pattern(text, exact))?),
            "Null" => Test::Null(each(values, |text| parse_bool(text).ok_or_else(|| mistyped(text, "true or false")))?),
            "BinaryEquals" => Test::Binary(each(values, |text| STANDARD.decode(text).map_err(|_| mistyped(text, "base64")))?),
            "IpAddress" | "NotIpAddress" => {
                Test::Address(each(values, |text| parse_net(text).ok_or_else(|| mistyped(text, "an IP address or range")))?)
            }
            name => match name.strip_prefix("Date") {
                Some(order) => Test::Date(
                    parse_order(order),
                    each(values, |text| Moment::parse(text).ok_or_else(|| mistyped(text, "a date")))?,
                ),
                None => Test::Number(
                    parse_order(name.strip_prefix("Numeric").unwrap_or_default()),
                    each(values, |text| parse_number(text).ok_or_else(|| mistyped(text, "a number")))?,
                ),
            },
        };
        Ok((negated, test))
    }
}

/// Every operator, without set operator and `IfExists`.
const BASE_OPERATORS: [&str; 27] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "Null",
];

fn parse_order(name: &str) -> Order {
    match name {
        "LessThan" => Order::Less,
        "LessThanEquals" => Order::LessOrEqual,
        "GreaterThan" => Order::Greater,
        "GreaterThanEquals" => Order::GreaterOrEqual,
        // "Equals", and "NotEquals", which is its opposite.
        _ => Order::Equal,
    }
}

fn each<T>(texts: &[String], parse: impl Fn(&str) -> Result<T, MalformedPolicy>) -> Result<Box<[T]>, MalformedPolicy> {
    texts.iter().map(|text| parse(text)).collect()
}

fn mistyped(text: &str, expected: &str) -> MalformedPolicy {
    MalformedPolicy::new(format!("Syntax errors in policy. The condition value {text:?} must be {expected}."))
}

/// A condition's values: one or a list of texts, numbers and truth values.
fn texts(key: &str, values: Json) -> Result<Vec<String>, MalformedPolicy> {
    let items = match values {
        Json::List(items) => items,
        single => vec![single],
    };
    items
        .into_iter()
        .map(|item| match item {
            Json::Text(text) | Json::Number(text) => Ok(text),
            Json::Bool(value) => Ok(value.to_string()),
            Json::Null | Json::List(_) | Json::Object(_) => {
                Err(MalformedPolicy::new(format!("Syntax errors in policy. The values of condition key {key:?} must be texts.")))
            }
        })
        .collect()
}

fn parse_bool(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn parse_bool_pattern(text: &str, syntax: Syntax) -> Result<Pattern, MalformedPolicy> {
    let pattern = Pattern::parse(text, syntax)?;
    if !pattern.has_variables() && parse_bool(text).is_none() {
        return Err(mistyped(text, "true or false"));
    }
    Ok(pattern)
}

/// A decimal number with an optional sign and fraction. Compared as IEEE 754 doubles: integers are exact up to 2^53.
fn parse_number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let decimal = match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    };
    if decimal { text.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

/// An address, with IPv4 addresses in IPv6 clothing (`::ffff:192.0.2.1`) taken for what they are.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn parse_net(text: &str) -> Option<IpNet> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    match (net.addr().to_canonical(), net.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(length)) if matches!(net, IpNet::V6(_)) => Ipv4Net::new(address, length).ok().map(IpNet::V4),
        _ => Some(net),
    }
}
