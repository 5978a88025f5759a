//! ListKeys: the account's keys in the Region. Source: AWS KMS API Reference, "ListKeys".

use claviger_domain::{Caller, KeyArn, Refusal};

use crate::event_parameters::Parameters;
use crate::marker::{self, Page};
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::records::key_record_id;
use crate::service::Service;

/// The request.
pub struct ListKeys {
    /// How many keys at most.
    pub limit: usize,
    /// Where to go on.
    pub marker: Option<String>,
}

impl Operation for ListKeys {
    const EVENT: Event = Event::kms_read("ListKeys");
    type Output = Page<KeyArn>;
    about_the_account!("kms:ListKeys");

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        (): &(),
        _: Allowed<Self>,
    ) -> Result<Effect<Page<KeyArn>>, Refusal> {
        let (account, region) = (caller.identity.account, &caller.request.region);
        let list = format!("keys/{account}/{region}");
        let after = self.marker.as_deref().map(|marker| marker::open(service.hsm(), &list, marker)).transpose()?;
        let arns = service.list_keys(account, region, after.as_deref(), self.limit + 1).await?;
        Ok(Effect::answer(Page::cut(arns, self.limit, service.hsm(), &list, |arn: &KeyArn| key_record_id(&arn.region, arn.key))?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { limit: Some(self.limit), ..Parameters::default() }
    }
}
