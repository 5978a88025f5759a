//! AssumeRole on the wire.

use std::collections::{BTreeMap, BTreeSet};

use claviger_domain::Refusal;
use claviger_service::operations::sts as op;

use super::form::Form;
use super::{QueryMapping, Xml};
use crate::validation::{Validator, present};

/// The mapping.
pub(super) struct AssumeRole;

/// Parameters that AWS has and this deployment has not. Never ignored: each of them would limit the session, or prove something.
const NOT_OFFERED: &[&str] = &["PolicyArns", "ProvidedContexts", "SerialNumber", "SourceIdentity", "TokenCode"];

impl QueryMapping for AssumeRole {
    type Operation = op::AssumeRole;

    fn decode(form: &Form) -> Result<op::AssumeRole, Refusal> {
        if let Some(name) = NOT_OFFERED.iter().find(|name| form.has(name)) {
            return Err(Refusal::invalid(format!("{name} is not offered by this deployment.")));
        }
        let text = |name: &str| form.get(name).map(str::to_owned);
        let (role_arn, session_name, external_id) = (text("RoleArn"), text("RoleSessionName"), text("ExternalId"));
        let policy = text("Policy");
        let mut check = Validator::new();
        check.required_length("roleArn", role_arn.as_ref(), 20, 2048);
        check.required_length("roleSessionName", session_name.as_ref(), 2, 64);
        check.pattern("roleSessionName", session_name.as_ref(), "[\\w+=,.@-]*", is_name);
        check.length("externalId", external_id.as_ref(), 2, 1224);
        check.pattern("externalId", external_id.as_ref(), "[\\w+=,.@:\\/-]*", |text| is_name(&text.replace([':', '/'], "")));
        check.length("policy", policy.as_ref(), 1, 131_072);
        let seconds = form.number("DurationSeconds")?;
        check.range("durationSeconds", seconds, 900, 43_200);
        let (tags, transitive) = (tags(form, &mut check), transitive_keys(form, &mut check));
        check.finish()?;
        let role_arn = present(role_arn)?;
        let (account, role) =
            op::AssumeRole::parse_role_arn(&role_arn).ok_or_else(|| Refusal::invalid(format!("{role_arn} is invalid")))?;
        let session_name = present(session_name)?;
        Ok(op::AssumeRole {
            role_arn,
            account,
            role,
            session_name: session_name.parse().map_err(|error| Refusal::invalid(format!("RoleSessionName: {error}.")))?,
            duration_seconds: seconds.and_then(|seconds| u32::try_from(seconds).ok()),
            policy,
            tags: tags?,
            transitive,
            external_id,
        })
    }

    fn encode(assumed: op::AssumedRole, xml: &mut Xml) {
        xml.element("AssumedRoleUser", |xml| {
            xml.text("AssumedRoleId", &assumed.id);
            xml.text("Arn", &assumed.arn);
        });
        let credential = &assumed.credential;
        xml.element("Credentials", |xml| {
            xml.text("AccessKeyId", credential.access_key.as_str());
            xml.text("SecretAccessKey", &credential.secret);
            xml.text("SessionToken", &credential.token);
            xml.text("Expiration", &credential.expires.to_rfc3339());
        });
        if let Some(percent) = assumed.packed_policy_size {
            xml.text("PackedPolicySize", &percent.to_string());
        }
    }
}

/// `Tags.member.N.Key` and `Tags.member.N.Value`.
fn tags(form: &Form, check: &mut Validator) -> Result<BTreeMap<String, String>, Refusal> {
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    let mut doubled = false;
    for number in 1..=form.members("Tags") {
        let part = |part: &str| form.get(&format!("Tags.member.{number}.{part}")).map(str::to_owned);
        let (key, value) = (part("Key"), part("Value"));
        check.required_length(&format!("tags.{number}.member.key"), key.as_ref(), 1, 128);
        check.required_length(&format!("tags.{number}.member.value"), value.as_ref(), 0, 256);
        if let (Some(key), Some(value)) = (key, value) {
            if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
                return Err(Refusal::invalid("Tags beginning with aws: are reserved"));
            }
            doubled |= tags.keys().any(|known| known.eq_ignore_ascii_case(&key));
            tags.insert(key, value);
        }
    }
    if doubled {
        return Err(Refusal::invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
    }
    Ok(tags)
}

/// `TransitiveTagKeys.member.N`.
fn transitive_keys(form: &Form, check: &mut Validator) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for number in 1..=form.members("TransitiveTagKeys") {
        let key = form.get(&format!("TransitiveTagKeys.member.{number}")).map(str::to_owned);
        check.required_length(&format!("transitiveTagKeys.{number}.member"), key.as_ref(), 1, 128);
        keys.extend(key);
    }
    keys
}

/// `[\w+=,.@-]*`.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}
