//! The key policies that keys get when nobody writes one, spelled and spaced as AWS returns them.

use crate::identity::root_arn;
use crate::ids::AccountId;

/// The policy of a key that is created without one: the account decides, through identity policies. Source: AWS KMS Developer Guide,
/// "Default key policy".
pub fn default_key_policy(account: AccountId) -> String {
    let root = root_arn(account);
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "{root}"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

/// The policy of a hold-your-own-key store that is created without one: whoever has the store's credential may do everything with the keys
/// behind it.
pub fn default_store_policy() -> &'static str {
    r#"{
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Sid" : "AllowEverything",
    "Effect" : "Allow",
    "Action" : "xks:*",
    "Resource" : "*"
  } ]
}"#
}

/// The policy of a key that the deployment makes for `service` (`s3`) in an account: everybody in the account may use it, the account
/// may look at it, and nobody can change or delete it. Source: AWS KMS Developer Guide, "AWS managed keys".
///
/// A grant gives the use of the key to anybody, of any account. So only a service creates one, on behalf of a principal of the account, as
/// `kms:ViaService` sees to in AWS's own policies of such keys. Source: AWS KMS Developer Guide, "kms:GrantIsForAWSResource".
///
/// `service` is a name of the program's own, of lower-case letters, digits and `-`; anything else in it is left out.
pub fn service_managed_key_policy(account: AccountId, service: &str) -> String {
    let root = root_arn(account);
    let service: String = service.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect();
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "auto-{service}-1",
  "Statement" : [ {{
    "Sid" : "Allow use by all principals in the account",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "*"
    }},
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {{
      "StringEquals" : {{
        "kms:CallerAccount" : "{account}"
      }}
    }}
  }}, {{
    "Sid" : "Allow services to create grants for all principals in the account",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "*"
    }},
    "Action" : "kms:CreateGrant",
    "Resource" : "*",
    "Condition" : {{
      "StringEquals" : {{
        "kms:CallerAccount" : "{account}"
      }},
      "Bool" : {{
        "kms:GrantIsForAWSResource" : "true"
      }}
    }}
  }}, {{
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "{root}"
    }},
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  }} ]
}}"#
    )
}
