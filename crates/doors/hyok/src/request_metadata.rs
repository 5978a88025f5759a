//! `requestMetadata`: what AWS KMS tells of the request that it has itself. Source: AWS KMS External Keystore Proxy API Specification,
//! appendix B and each operation's parameters.

use claviger_domain::Refusal;
use claviger_service::operations::xks as op;
use serde::Deserialize;

use crate::body::present;

/// The member. Any other member in it is ignored, and any operation of AWS KMS is accepted: it may gain some.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestMetadata {
    aws_principal_arn: Option<String>,
    aws_source_vpc: Option<String>,
    aws_source_vpce: Option<String>,
    kms_key_arn: Option<String>,
    kms_operation: Option<String>,
    kms_request_id: Option<String>,
    kms_via_service: Option<String>,
}

/// Bytes of one text, at most. ARNs have up to 2,048 characters.
const TEXT_BYTES_MAX: usize = 4096;

/// What a request is for, which says what of the members has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Required {
    /// The operation and the request's id.
    Health,
    /// The principal as well.
    KeyMetadata,
    /// The principal and the key's ARN as well.
    Use,
}

impl RequestMetadata {
    /// Checks what is there.
    pub(crate) fn check(metadata: Option<Self>, required: Required) -> Result<op::RequestMetadata, Refusal> {
        let found = present("requestMetadata", metadata)?;
        if required != Required::Health {
            present("requestMetadata.awsPrincipalArn", found.aws_principal_arn.as_ref())?;
        }
        if required == Required::Use {
            present("requestMetadata.kmsKeyArn", found.kms_key_arn.as_ref())?;
        }
        let checked = op::RequestMetadata {
            aws_principal_arn: found.aws_principal_arn,
            aws_source_vpc: found.aws_source_vpc,
            aws_source_vpce: found.aws_source_vpce,
            kms_key_arn: found.kms_key_arn,
            kms_operation: present("requestMetadata.kmsOperation", found.kms_operation)?,
            kms_request_id: present("requestMetadata.kmsRequestId", found.kms_request_id)?,
            kms_via_service: found.kms_via_service,
        };
        let optional = [
            &checked.aws_principal_arn,
            &checked.aws_source_vpc,
            &checked.aws_source_vpce,
            &checked.kms_key_arn,
            &checked.kms_via_service,
        ];
        let texts = optional.into_iter().flatten().chain([&checked.kms_operation, &checked.kms_request_id]);
        if texts.map(String::len).any(|length| length > TEXT_BYTES_MAX) {
            return Err(Refusal::invalid(format!("A text in requestMetadata has more than {TEXT_BYTES_MAX} bytes.")));
        }
        Ok(checked)
    }
}
