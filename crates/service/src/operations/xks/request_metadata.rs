//! What AWS KMS tells of the request that it has itself. Source: AWS KMS External Keystore Proxy API Specification, appendix B.

use std::borrow::Cow;

use claviger_domain::policy::Values;
use serde::Serialize;

/// It stands in the audit entry, and conditions of the store's policy see it. The members are in the order of their names there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMetadata {
    /// Who asked AWS KMS: `xks:AwsPrincipalArn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_principal_arn: Option<String>,
    /// From which VPC: `xks:AwsSourceVpc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_source_vpc: Option<String>,
    /// Through which VPC endpoint: `xks:AwsSourceVpce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_source_vpce: Option<String>,
    /// For which key of AWS KMS: `xks:KmsKeyArn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    /// For which operation of AWS KMS: `xks:KmsOperation`.
    pub kms_operation: String,
    /// The id of the request to AWS KMS, by which CloudTrail knows it.
    pub kms_request_id: String,
    /// By which service on the way: `xks:KmsViaService`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_via_service: Option<String>,
}

impl RequestMetadata {
    /// The value of a condition key, its name in lower case.
    pub(crate) fn condition(&self, key: &str) -> Values<'_> {
        let value = match key {
            "xks:awsprincipalarn" => self.aws_principal_arn.as_deref(),
            "xks:awssourcevpc" => self.aws_source_vpc.as_deref(),
            "xks:awssourcevpce" => self.aws_source_vpce.as_deref(),
            "xks:kmskeyarn" => self.kms_key_arn.as_deref(),
            "xks:kmsoperation" => Some(self.kms_operation.as_str()),
            "xks:kmsviaservice" => self.kms_via_service.as_deref(),
            _ => None,
        };
        value.map_or(Values::Absent, |value| Values::One(Cow::Borrowed(value)))
    }
}
