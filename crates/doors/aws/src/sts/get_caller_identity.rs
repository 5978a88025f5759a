//! GetCallerIdentity on the wire.

use claviger_domain::Refusal;
use claviger_service::operations::sts as op;

use super::form::Form;
use super::{QueryMapping, Xml};

/// The mapping.
pub(super) struct GetCallerIdentity;

impl QueryMapping for GetCallerIdentity {
    type Operation = op::GetCallerIdentity;

    fn decode(_form: &Form) -> Result<op::GetCallerIdentity, Refusal> {
        Ok(op::GetCallerIdentity)
    }

    fn encode(identity: op::CallerIdentity, xml: &mut Xml) {
        xml.text("Arn", &identity.arn);
        xml.text("UserId", &identity.user_id);
        xml.text("Account", &identity.account.to_string());
    }
}
