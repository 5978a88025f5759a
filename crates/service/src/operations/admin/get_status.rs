//! GetStatus: what a node says of itself and of the deployment.

use claviger_domain::{Caller, Refusal, Timestamp};
use claviger_store::RecordKind;
use uuid::Uuid;

use super::about_the_deployment;
use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::records::store_refusal;
use crate::service::Service;

/// The request.
pub struct GetStatus;

/// The answer.
pub struct Status {
    /// The deployment's id.
    pub deployment: Uuid,
    /// This node's name.
    pub node: String,
    /// When it was started.
    pub started: Timestamp,
    /// The Regions that are served; none when any is.
    pub regions: Option<Vec<String>>,
    /// How many accounts there are, the deployment's own included.
    pub accounts: u64,
    /// How many keys there are.
    pub keys: u64,
    /// How many users there are.
    pub users: u64,
    /// How many entries this node's audit log has.
    pub log_size: u64,
    /// The key that verifies this node's audit log.
    pub verifier_key: String,
}

impl Operation for GetStatus {
    const EVENT: Event = Event::admin("GetStatus", true);
    type Output = Status;
    about_the_deployment!("claviger:GetStatus");

    async fn execute(&self, service: &Service, _caller: &Caller, (): &(), _: Allowed<Self>) -> Result<Effect<Status>, Refusal> {
        let store = &service.records.store;
        let head = store.log_head(&service.node).await.map_err(store_refusal)?;
        Ok(Effect::answer(Status {
            deployment: service.deployment,
            node: service.node.clone(),
            started: service.started,
            regions: service.regions(),
            accounts: store.count(RecordKind::Account, None).await.map_err(store_refusal)?,
            keys: store.count(RecordKind::Key, None).await.map_err(store_refusal)?,
            users: store.count(RecordKind::User, None).await.map_err(store_refusal)?,
            log_size: head.map_or(0, |head| head.size),
            verifier_key: service.verifier_key(),
        }))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
    }
}
