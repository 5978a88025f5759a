//! Hold-your-own-key stores, and the cloud that asks them.

use claviger_domain::hyok::{Cloud, ExternalKeyUsage};
use claviger_domain::{Caller, ExternalKeyId, HyokStoreName, KeyArn, Refusal};
use claviger_hsm::XksCiphertext;
use claviger_service::hyok::{ClientCertificate, CredentialFile};
use claviger_service::operations::admin::{AddHyokKey, BreakGlass, CreateHyokStore, GlassReport, Scope};
use claviger_service::operations::xks::{Decrypt, Encrypt, GetKeyMetadata, KeyMetadata, RequestMetadata};
use claviger_service::{Assertions, Clock as _, SignatureClaim};
use zeroize::Zeroizing;

use super::{Node, by_arn, request, sign};

pub(crate) fn store_name(text: &str) -> HyokStoreName {
    text.parse().unwrap()
}

pub(crate) fn external(text: &str) -> ExternalKeyId {
    text.parse().unwrap()
}

/// A store of this name, found at `/NAME/kms/xks/v1`.
pub(crate) fn create(name: &str) -> CreateHyokStore {
    CreateHyokStore {
        account: None,
        name: store_name(name),
        cloud: Cloud::Aws,
        path: format!("/{name}/kms/xks/v1").parse().unwrap(),
        requests_per_second: None,
        client_subjects: None,
        client_authorities: None,
        policy: None,
    }
}

pub(crate) fn metadata() -> RequestMetadata {
    RequestMetadata {
        aws_principal_arn: Some("arn:aws:iam::111122223333:user/Alice".to_owned()),
        aws_source_vpc: Some("vpc-1".to_owned()),
        aws_source_vpce: Some("vpce-1".to_owned()),
        kms_key_arn: Some("arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".to_owned()),
        kms_operation: "Encrypt".to_owned(),
        kms_request_id: "4112f4d6-db54-4af4-ae30-c55a22a8dfae".to_owned(),
        kms_via_service: Some("ebs".to_owned()),
    }
}

pub(crate) const PLAINTEXT: &[u8] = b"a data key of the cloud's";

pub(crate) fn encrypt(key: &str) -> Encrypt {
    Encrypt {
        key: external(key),
        plaintext: Zeroizing::new(PLAINTEXT.to_vec()),
        additional_data: b"context".to_vec(),
        integrity: true,
        metadata: metadata(),
    }
}

pub(crate) fn decrypt(key: &str, made: &XksCiphertext) -> Decrypt {
    Decrypt {
        key: external(key),
        ciphertext: made.ciphertext.clone(),
        initialization_vector: made.initialization_vector.to_vec(),
        tag: made.tag.to_vec(),
        ciphertext_metadata: made.metadata.to_vec(),
        additional_data: b"context".to_vec(),
        metadata: metadata(),
    }
}

/// A certificate that a client has shown.
pub(crate) struct Shown {
    pub(crate) subjects: Vec<Box<str>>,
    /// The authorities that it goes back to, by their certificates.
    pub(crate) of: Vec<String>,
    /// Whether one of them is the listener's.
    pub(crate) of_listener: bool,
}

/// One that the listener believes, with this subject.
pub(crate) fn shown(subject: &str) -> Shown {
    Shown { subjects: vec![subject.into()], of: Vec::new(), of_listener: true }
}

impl ClientCertificate for Shown {
    fn subjects(&self) -> &[Box<str>] {
        &self.subjects
    }

    fn is_of_listener(&self) -> bool {
        self.of_listener
    }

    fn goes_back_to(&self, authorities: &str) -> bool {
        self.of.iter().any(|of| authorities.contains(of))
    }
}

impl Node {
    pub(crate) async fn create_store(&self, root: &Caller, operation: &CreateHyokStore) -> CredentialFile {
        self.service.perform(&self.again(root), operation).await.unwrap().credential
    }

    /// Puts a key behind a store, for everything.
    pub(crate) async fn add_key(&self, root: &Caller, store: &str, name: &str, key: &KeyArn) -> Result<(), Refusal> {
        let operation = AddHyokKey {
            account: None,
            store: store_name(store),
            external: external(name),
            key: by_arn(key),
            usage: ExternalKeyUsage::ALL.iter().copied().collect(),
        };
        self.service.perform(&self.again(root), &operation).await.map(drop)
    }

    /// The cloud signs a request to a path with a credential, perhaps over a connection with a client certificate.
    pub(crate) async fn ask_as(&self, path: &str, file: &CredentialFile, client: Option<&Shown>) -> Result<Caller, Refusal> {
        let found = self.service.find_store(path).await?;
        let (date, message) = ("20261122", b"what was asked");
        let mut key = format!("AWS4{}", *file.secret).into_bytes();
        for part in [date, "us-east-2", "kms-xks-proxy", "aws4_request"] {
            key = sign(&key, part.as_bytes());
        }
        let claim = SignatureClaim {
            access_key: file.access_key.as_str(),
            session_token: None,
            date,
            region: "us-east-2",
            service: "kms-xks-proxy",
            string_to_sign: message,
            signature: &sign(&key, message),
            assertions: Assertions::default(),
        };
        let client = client.map(|client| client as &dyn ClientCertificate);
        self.service.authenticate_store(&found, &claim, client, request(self.clock.now()))
    }

    /// The same at the store's own path.
    pub(crate) async fn cloud(&self, file: &CredentialFile) -> Result<Caller, Refusal> {
        self.ask_as(file.path.as_str(), file, None).await
    }

    pub(crate) async fn xks_encrypt(&self, cloud: &Caller, key: &str) -> Result<XksCiphertext, Refusal> {
        self.service.perform(&self.again(cloud), &encrypt(key)).await
    }

    pub(crate) async fn xks_decrypt(
        &self,
        cloud: &Caller,
        key: &str,
        made: &XksCiphertext,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        self.service.perform(&self.again(cloud), &decrypt(key, made)).await
    }

    pub(crate) async fn xks_metadata(&self, cloud: &Caller, key: &str) -> Result<KeyMetadata, Refusal> {
        let operation = GetKeyMetadata { key: external(key), metadata: metadata() };
        self.service.perform(&self.again(cloud), &operation).await
    }

    pub(crate) async fn glass(&self, who: &Caller, scope: Scope, restore: bool, dry_run: bool) -> Result<GlassReport, Refusal> {
        let operation = BreakGlass { account: None, scope, restore, dry_run, reason: "a drill".to_owned() };
        self.service.perform(&self.again(who), &operation).await
    }
}
