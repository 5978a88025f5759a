//! What accounts may have, and how often they may ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_domain::AccountId;
use claviger_service::quotas::{AccountQuotas, Quotas, Rate, RateClass, Rates, ResourceQuotas};
use serde::{Deserialize, Deserializer, de};

/// Where an account's rates start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RateSet {
    /// No limit.
    None,
    /// The numbers of AWS.
    Aws,
}

/// The rates that the file gives for classes: none where it takes the limit away.
#[derive(Debug, Default)]
struct RatesByName(Vec<(RateClass, Option<Rate>)>);

/// The settings that the deployment and each account have.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($field:ident,)* } $($more:tt)*) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name {
            $($field: Option<u64>,)*
            rates: Option<RateSet>,
            requests_per_second: RatesByName,
            $($more)*
        }

        impl $name {
            /// What is set here, over what holds otherwise.
            fn over(&self, base: &AccountQuotas) -> AccountQuotas {
                let resources = ResourceQuotas { $($field: self.$field.unwrap_or(base.resources.$field),)* };
                let mut rates = match self.rates {
                    None => Rates::clone(&base.rates),
                    Some(RateSet::None) => Rates::unlimited(),
                    Some(RateSet::Aws) => Rates::aws(),
                };
                for (class, rate) in &self.requests_per_second.0 {
                    rates.set(*class, *rate);
                }
                AccountQuotas { resources, rates: Arc::new(rates) }
            }
        }
    };
}

macro_rules! with_fields {
    ($(#[$doc:meta])* $name:ident $($more:tt)*) => {
        settings! {
            $(#[$doc])*
            $name {
                keys,
                aliases_per_key,
                grants_per_key,
                on_demand_rotations_per_key,
                users,
                roles,
                user_policy_characters,
                role_policy_characters,
            }
            $($more)*
        }
    };
}

with_fields! {
    /// The table `[quotas]`.
    Settings
    accounts: BTreeMap<String, AccountSettings>,
}

with_fields! {
    /// A table `[quotas.accounts.123456789012]`.
    AccountSettings
}

impl TryFrom<Settings> for Quotas {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let every = settings.over(&AccountQuotas::default());
        let account = |(number, own): (&String, &AccountSettings)| {
            let id: AccountId = number.parse().map_err(|error| format!("quotas.accounts.{number}: {error}"))?;
            Ok((id, own.over(&every)))
        };
        let accounts = settings.accounts.iter().map(account).collect::<Result<_, String>>()?;
        Ok(Self { accounts, every })
    }
}

/// Reads the table.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quotas, D::Error> {
    Settings::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
}

impl<'de> Deserialize<'de> for RatesByName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rates = Vec::new();
        for (name, requests) in BTreeMap::<String, f64>::deserialize(deserializer)? {
            let class = RateClass::parse(&name).ok_or_else(|| {
                let names: Vec<&str> = RateClass::all().map(RateClass::name).collect();
                de::Error::custom(format!("there is no request quota `{name}`, but there are {}", names.join(", ")))
            })?;
            let rate = Rate::per_second(requests);
            if rate.is_none() && requests != 0.0 {
                let (least, most) = (Rate::PER_SECOND.start(), Rate::PER_SECOND.end());
                return Err(de::Error::custom(format!(
                    "{requests} requests per second for {name}: it has to be {least} to {most}, or 0 for no limit"
                )));
            }
            rates.push((class, rate));
        }
        Ok(Self(rates))
    }
}
