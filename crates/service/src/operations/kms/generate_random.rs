//! GenerateRandom. Source: AWS KMS API Reference, "GenerateRandom".

use claviger_domain::{Caller, Refusal};
use zeroize::Zeroizing;

use crate::event_parameters::Parameters;
use crate::operation::{Allowed, Effect, Event, Operation};
use crate::operations::about_the_account;
use crate::service::Service;

/// The request.
pub struct GenerateRandom {
    /// How many bytes, 1 to 1,024.
    pub length: usize,
}

impl Operation for GenerateRandom {
    const EVENT: Event = Event::kms_read("GenerateRandom");
    type Output = Zeroizing<Vec<u8>>;
    about_the_account!("kms:GenerateRandom");

    async fn execute(
        &self,
        service: &Service,
        _caller: &Caller,
        (): &(),
        allowed: Allowed<Self>,
    ) -> Result<Effect<Zeroizing<Vec<u8>>>, Refusal> {
        Ok(Effect::answer(service.hsm().generate_random(allowed.first()?, self.length)?))
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { number_of_bytes: Some(self.length), ..Parameters::default() }
    }
}
