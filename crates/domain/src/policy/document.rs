//! Policy documents: their elements, and everything that makes a document not a policy. Source: AWS IAM User Guide, "Grammar of the IAM
//! JSON policy language"; the texts of complaints are AWS's where it has one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::arn_pattern::ResourcePattern;
use super::condition::{self, Condition};
use super::evaluation::Evaluation;
use super::json::Json;
use super::pattern::ActionPattern;
use super::principal::{self, Principals};
use super::{MalformedPolicy, Policy};

/// One statement: to whom, for which actions on which resources, under which conditions it allows or denies.
#[derive(Debug)]
pub(super) struct Statement {
    /// What decisions call it: `statement "SID"`, or `statement 2` (counted from 1) where it has no Sid.
    pub(super) name: Arc<str>,
    pub(super) effect: Effect,
    pub(super) principals: Principals,
    actions: Listed<ActionPattern>,
    resources: Listed<ResourcePattern>,
    conditions: Box<[Condition]>,
}

/// Whether a statement allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug)]
enum Listed<T> {
    Only(Box<[T]>),
    Except(Box<[T]>),
}

impl<T> Listed<T> {
    fn includes(&self, fits: impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Only(items) => items.iter().any(fits),
            Self::Except(items) => !items.iter().any(fits),
        }
    }
}

impl Statement {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let (Listed::Only(actions) | Listed::Except(actions)) = &self.actions;
        let (Listed::Only(resources) | Listed::Except(resources)) = &self.resources;
        let actions: usize = actions.iter().map(ActionPattern::weight).sum();
        let resources: usize = resources.iter().map(ResourcePattern::weight).sum();
        let conditions: usize = self.conditions.iter().map(Condition::weight).sum();
        let names = size_of_val(self.principals.names()) + 64 * self.principals.names().len();
        size_of::<Self>() + self.name.len() + actions + resources + conditions + names
    }

    /// Whether it speaks about this action on this resource in this request. Who asks is for [`Principals`] to say.
    pub(super) fn concerns(&self, action: &str, resource: &str, evaluation: &Evaluation<'_>) -> bool {
        let denies = self.effect == Effect::Deny;
        self.actions.includes(|pattern| pattern.matches(action))
            && evaluation.told(denies, |context| self.resources.includes(|pattern| pattern.matches(resource, context)))
            && self.conditions.iter().all(|condition| evaluation.told(denies, |context| condition.holds(context)))
    }
}

/// What a policy belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyKind {
    Key,
    Identity,
    /// A role's trust policy: it names principals and no resources, since it speaks about the role that it belongs to.
    Trust,
}

/// Reads a policy.
///
/// # Errors
/// What is wrong with the document.
pub(super) fn parse(text: &str, kind: PolicyKind) -> Result<Policy, MalformedPolicy> {
    if text.len() > Policy::TEXT_BYTES_MAX {
        return Err(MalformedPolicy::new(format!("The policy is longer than {} bytes.", Policy::TEXT_BYTES_MAX)));
    }
    let json = Json::parse(text).map_err(|error| MalformedPolicy::new(format!("This policy contains invalid Json: {error}.")))?;
    let Json::Object(mut document) = json else {
        return Err(syntax_error("The policy must be an object."));
    };
    let variables = parse_version(document.remove("Version"))?;
    if let Some(id) = document.remove("Id") {
        text_of("Id", id)?;
    }
    let statements = match document.remove("Statement") {
        None => return Err(syntax_error("The policy has no Statement.")),
        Some(Json::List(statements)) => statements,
        Some(single) => vec![single],
    };
    if let Some(unknown) = document.keys().next() {
        return Err(syntax_error(&format!("Unknown element {unknown:?}; there are Version, Id and Statement.")));
    }
    if statements.is_empty() {
        return Err(syntax_error("The policy has no Statement."));
    }
    let mut sids = BTreeSet::new();
    let statements = statements.into_iter().enumerate().map(|(index, statement)| {
        let number = index + 1;
        parse_statement(statement, number, kind, variables, &mut sids).map_err(|malformed| malformed.in_statement(number))
    });
    Ok(Policy { statements: statements.collect::<Result<_, _>>()? })
}

/// Whether the version of the language has policy variables. A policy without a version is of the oldest.
fn parse_version(version: Option<Json>) -> Result<bool, MalformedPolicy> {
    let Some(version) = version else {
        return Ok(false);
    };
    match text_of("Version", version)?.as_str() {
        "2012-10-17" => Ok(true),
        "2008-10-17" => Ok(false),
        other => Err(syntax_error(&format!("Unknown Version {other:?}; there are 2012-10-17 and 2008-10-17."))),
    }
}

fn parse_statement(
    statement: Json,
    number: usize,
    kind: PolicyKind,
    variables: bool,
    sids: &mut BTreeSet<String>,
) -> Result<Statement, MalformedPolicy> {
    let Json::Object(mut elements) = statement else {
        return Err(syntax_error("A statement must be an object."));
    };
    let sid = elements.remove("Sid").map(|sid| text_of("Sid", sid)).transpose()?.filter(|sid| !sid.is_empty());
    let name = match sid {
        None => format!("statement {number}"),
        Some(sid) => {
            check_sid(&sid, kind)?;
            let name = format!("statement {sid:?}");
            if !sids.insert(sid) {
                return Err(MalformedPolicy::new("Statement IDs (SID) in a single policy must be unique."));
            }
            name
        }
    };
    let effect = parse_effect(elements.remove("Effect"))?;
    let principals = parse_principals(&mut elements, kind, effect)?;
    let actions = parse_listed(&mut elements, ("Action", "NotAction"), "Policy statement must contain actions.", |text| {
        check_action(text, kind)?;
        ActionPattern::parse(text)
    })?;
    let resources = parse_resources(&mut elements, kind, variables)?;
    let conditions = match elements.remove("Condition") {
        None => Box::default(),
        Some(value) => condition::parse(value, variables)?,
    };
    if let Some(unknown) = elements.keys().next() {
        return Err(syntax_error(&format!("Unknown element {unknown:?} in a statement.")));
    }
    Ok(Statement { name: name.into(), effect, principals, actions, resources, conditions })
}

/// A trust policy is about being assumed, and about nothing else.
fn check_action(text: &str, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    let of_sts = text.get(..4).is_some_and(|vendor| vendor.eq_ignore_ascii_case("sts:"));
    if kind == PolicyKind::Trust && !of_sts {
        return Err(MalformedPolicy::new("AssumeRole policy may only specify STS AssumeRole actions."));
    }
    Ok(())
}

fn parse_resources(
    elements: &mut BTreeMap<String, Json>,
    kind: PolicyKind,
    variables: bool,
) -> Result<Listed<ResourcePattern>, MalformedPolicy> {
    if kind == PolicyKind::Trust {
        let prohibited = ["Resource", "NotResource"].into_iter().any(|element| elements.contains_key(element));
        return match prohibited {
            true => Err(MalformedPolicy::new("Has prohibited field Resource")),
            // Nothing excepted: whatever it is about, which is the role.
            false => Ok(Listed::Except(Box::default())),
        };
    }
    parse_listed(elements, ("Resource", "NotResource"), "Policy statement must contain resources.", |text| {
        ResourcePattern::parse(text, variables)
    })
}

/// Sids of identity policies are letters and digits. Key policies may have spaces and more in theirs, as the default key policy does.
fn check_sid(sid: &str, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    if kind == PolicyKind::Identity && !sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(MalformedPolicy::new(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ));
    }
    Ok(())
}

fn parse_effect(effect: Option<Json>) -> Result<Effect, MalformedPolicy> {
    let Some(effect) = effect else {
        return Err(syntax_error("A statement must have an Effect."));
    };
    match text_of("Effect", effect)?.as_str() {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(syntax_error(&format!("Invalid effect {other:?}; there are Allow and Deny."))),
    }
}

fn parse_principals(
    elements: &mut BTreeMap<String, Json>,
    kind: PolicyKind,
    effect: Effect,
) -> Result<Principals, MalformedPolicy> {
    let named = (elements.remove("Principal"), elements.remove("NotPrincipal"));
    let named = match (kind, named) {
        (PolicyKind::Identity, (None, None)) => return Ok(Principals::Holder),
        (PolicyKind::Identity, _) => return Err(MalformedPolicy::new("Policy document should not specify a principal.")),
        (PolicyKind::Key | PolicyKind::Trust, named) => named,
    };
    match named {
        (Some(only), None) => principal::parse(only).map(Principals::Only),
        (None, Some(_)) if effect == Effect::Allow => Err(syntax_error("NotPrincipal must be used with the Effect Deny.")),
        (None, Some(except)) => principal::parse(except).map(Principals::Except),
        (None, None) => Err(MalformedPolicy::new("Missing required field Principal")),
        (Some(_), Some(_)) => Err(syntax_error("A statement has either Principal or NotPrincipal.")),
    }
}

/// Reads one of a pair of elements such as `Action` and `NotAction`: a text or a list of texts.
fn parse_listed<T>(
    elements: &mut BTreeMap<String, Json>,
    (only, except): (&str, &str),
    missing: &str,
    parse: impl Fn(&str) -> Result<T, MalformedPolicy>,
) -> Result<Listed<T>, MalformedPolicy> {
    let (element, value, excepted) = match (elements.remove(only), elements.remove(except)) {
        (Some(value), None) => (only, value, false),
        (None, Some(value)) => (except, value, true),
        (None, None) => return Err(MalformedPolicy::new(missing)),
        (Some(_), Some(_)) => return Err(syntax_error(&format!("A statement has either {only} or {except}."))),
    };
    let texts = match value {
        Json::List(items) => items,
        single => vec![single],
    };
    if texts.is_empty() {
        return Err(MalformedPolicy::new(missing));
    }
    let items: Box<[T]> = texts.into_iter().map(|item| parse(&text_of(element, item)?)).collect::<Result<_, _>>()?;
    Ok(if excepted { Listed::Except(items) } else { Listed::Only(items) })
}

fn text_of(element: &str, value: Json) -> Result<String, MalformedPolicy> {
    match value {
        Json::Text(text) => Ok(text),
        _ => Err(syntax_error(&format!("{element} must be a text."))),
    }
}

fn syntax_error(what: &str) -> MalformedPolicy {
    MalformedPolicy::new(format!("Syntax errors in policy. {what}"))
}
