//! GenerateRandom. Source: AWS KMS API Reference, "GenerateRandom".

use claviger_domain::key_store::KeyStoreType;
use claviger_domain::{Caller, Refusal};
use claviger_hsm::Attestation;
use zeroize::Zeroizing;

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Ask, Effect, Event, Operation};
use crate::recipient::{Attested, Recipient, Released};
use crate::service::Service;

/// The request.
pub struct GenerateRandom {
    /// How many bytes, 1 to 1,024.
    pub length: usize,
    /// Who alone may read them, if not the caller.
    pub recipient: Option<Recipient>,
    /// The custom key store whose cluster is to make them, if not this deployment's hsm.
    pub key_store: Option<String>,
}

impl Operation for GenerateRandom {
    const EVENT: Event = Event::kms_read("GenerateRandom");
    type Target = Attested<()>;
    type Output = Released;

    async fn resolve(&self, service: &Service, caller: &Caller) -> Result<Attested<()>, Refusal> {
        Ok(Attested { subject: (), recipient: service.attest(self.recipient.as_ref(), caller)? })
    }

    fn demands<'a>(&'a self, caller: &'a Caller, _target: &'a Attested<()>) -> Vec<Ask<'a>> {
        vec![Ask::anything("kms:GenerateRandom", caller)]
    }

    fn recipient<'a>(&self, target: &'a Attested<()>) -> Option<&'a Attestation> {
        target.recipient.as_deref()
    }

    async fn execute(
        &self,
        service: &Service,
        caller: &Caller,
        target: &Attested<()>,
        allowed: Allowed<Self>,
    ) -> Result<Effect<Released>, Refusal> {
        if let Some(store) = &self.key_store {
            let random = random_of_store(service, caller, store, self.length).await?;
            return Ok(Effect::answer(service.release(random, target.recipient.as_deref())?));
        }
        let (hsm, permit) = (service.hsm(), allowed.first()?);
        let released = match &target.recipient {
            None => Released::Plaintext(hsm.generate_random(permit, self.length)?),
            Some(recipient) => Released::ForRecipient(hsm.generate_random_for_recipient(permit, self.length, recipient)?),
        };
        Ok(Effect::answer(released))
    }

    fn parameters(&self) -> Parameters<'_> {
        let custom_key_store_id = self.key_store.as_deref();
        Parameters { custom_key_store_id, number_of_bytes: Some(self.length), ..Parameters::default() }
    }
}

/// Random bytes of the cluster behind a store. Never are those of the hsm answered instead.
async fn random_of_store(service: &Service, caller: &Caller, store: &str, length: usize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let kept = service.key_stores(caller).await?;
    let (id, store) = kept.stores.get(store)?;
    if store.kind() == KeyStoreType::External {
        return Err(Refusal::unsupported("External key stores make no random bytes."));
    }
    store.must_be_connected(id)?;
    let opened = service.open_key_store(caller.identity.account, &caller.request.region, id, store).await?;
    service.key_store_backends.of(store).random(&opened, length).await
}
