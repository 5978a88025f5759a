//! Keys as objects of a token: templates, searches, attributes.

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::faults::Failure;
use super::token::Token;
use crate::der;
use crate::wire::{Curve, FaultKind, Form, KeyKind, ObjectFacts, Purpose, Selector};

/// Keys that are listed at most.
const LISTED_MAX: usize = 4096;

/// A key that is to be made.
pub(super) struct Wanted<'a> {
    pub(super) kind: KeyKind,
    pub(super) purpose: Purpose,
    pub(super) id: &'a [u8],
    pub(super) label: &'a str,
    pub(super) extractable: bool,
}

impl KeyKind {
    fn class(self) -> ObjectClass {
        match self {
            Self::Aes256 | Self::Secret { .. } => ObjectClass::SECRET_KEY,
            Self::Rsa { .. } | Self::Ec { .. } => ObjectClass::PRIVATE_KEY,
        }
    }
}

/// How an AES key of this token is best used: where it derives keys, nobody has to count its IVs (`docs/tokens.md`).
pub(super) fn best_form(token: &Token) -> Form {
    if token.offers(MechanismType::AES_CBC_ENCRYPT_DATA) { Form::Derived } else { Form::Direct }
}

/// What every key of ours has: it stays in the token, shows nothing, and can be found again.
fn common(wanted: &Wanted<'_>) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(wanted.extractable),
        Attribute::Id(wanted.id.to_vec()),
        Attribute::Label(wanted.label.as_bytes().to_vec()),
    ]
}

/// What a key may be used for, on its secret or private side. What it may not is said as well: tokens differ in what they take for granted.
fn permissions(purpose: Purpose, kind: KeyKind, form: Form) -> Vec<Attribute> {
    let is = |wanted: Purpose| purpose == wanted;
    match kind {
        KeyKind::Aes256 => {
            let (direct, derived) = (is(Purpose::Encrypt) && form == Form::Direct, is(Purpose::Encrypt) && form == Form::Derived);
            vec![
                Attribute::Encrypt(direct),
                Attribute::Decrypt(direct),
                Attribute::Derive(derived),
                Attribute::Wrap(is(Purpose::Wrap)),
                Attribute::Unwrap(is(Purpose::Wrap)),
            ]
        }
        KeyKind::Secret { .. } => vec![Attribute::Sign(true), Attribute::Verify(true)],
        KeyKind::Rsa { .. } => {
            vec![Attribute::Decrypt(is(Purpose::Encrypt)), Attribute::Sign(is(Purpose::Sign)), Attribute::Unwrap(false)]
        }
        KeyKind::Ec { .. } => vec![Attribute::Sign(is(Purpose::Sign)), Attribute::Derive(is(Purpose::Agree))],
    }
}

/// Makes a key. The form is that of [`best_form`].
pub(super) fn generate(session: &Session, token: &Token, wanted: &Wanted<'_>) -> Result<ObjectHandle, Failure> {
    let mut template = common(wanted);
    template.extend(permissions(wanted.purpose, wanted.kind, best_form(token)));
    match (wanted.kind, wanted.purpose) {
        (KeyKind::Aes256, Purpose::Encrypt | Purpose::Wrap) => {
            template.extend([
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::ValueLen(32.into()),
            ]);
            Ok(session.generate_key(&Mechanism::AesKeyGen, &template)?)
        }
        (KeyKind::Secret { bytes }, Purpose::Mac) => {
            let class = Attribute::Class(ObjectClass::SECRET_KEY);
            template.extend([class, Attribute::KeyType(KeyType::GENERIC_SECRET), Attribute::ValueLen(u64::from(bytes).into())]);
            Ok(session.generate_key(&Mechanism::GenericSecretKeyGen, &template)?)
        }
        (KeyKind::Rsa { bits: bits @ (2048 | 3072 | 4096) }, Purpose::Sign | Purpose::Encrypt) => {
            let public = [Attribute::ModulusBits(u64::from(bits).into()), Attribute::PublicExponent(vec![1, 0, 1])];
            Ok(session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public_half(wanted, &public), &template)?.1)
        }
        (KeyKind::Ec { curve }, Purpose::Sign | Purpose::Agree) => {
            let public = [Attribute::EcParams(curve.parameters().to_vec())];
            Ok(session.generate_key_pair(&Mechanism::EccKeyPairGen, &public_half(wanted, &public), &template)?.1)
        }
        _ => Err(Failure::fault(FaultKind::Unsupported, "keys of this kind are not made for this purpose")),
    }
}

fn public_half(wanted: &Wanted<'_>, attributes: &[Attribute]) -> Vec<Attribute> {
    let use_of_it = match wanted.purpose {
        Purpose::Encrypt => Attribute::Encrypt(true),
        Purpose::Sign | Purpose::Mac => Attribute::Verify(true),
        // Derivation needs the private half only.
        Purpose::Agree | Purpose::Wrap => Attribute::Private(false),
    };
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Id(wanted.id.to_vec()),
        Attribute::Label(wanted.label.as_bytes().to_vec()),
        use_of_it,
    ];
    template.extend_from_slice(attributes);
    template
}

/// What an unwrapped key gets: the same as when it is made, without what its value says already.
pub(super) fn unwrapped(wanted: &Wanted<'_>, form: Form) -> Vec<Attribute> {
    let key_type = match wanted.kind {
        KeyKind::Aes256 => KeyType::AES,
        KeyKind::Secret { .. } => KeyType::GENERIC_SECRET,
        KeyKind::Rsa { .. } => KeyType::RSA,
        KeyKind::Ec { .. } => KeyType::EC,
    };
    let mut template = common(wanted);
    template.extend(permissions(wanted.purpose, wanted.kind, form));
    template.extend([Attribute::Class(wanted.kind.class()), Attribute::KeyType(key_type)]);
    template
}

/// Secret and private keys of this id.
pub(super) fn by_id(session: &Session, kind: KeyKind, id: &[u8]) -> Result<Vec<ObjectHandle>, Failure> {
    Ok(session.find_objects(&[Attribute::Class(kind.class()), Attribute::Id(id.to_vec())])?)
}

/// The one secret or private key that is named so.
pub(super) fn by_selector(session: &Session, selector: &Selector) -> Result<ObjectHandle, Failure> {
    let named = match selector {
        Selector::Label { label } => Attribute::Label(label.as_bytes().to_vec()),
        Selector::Id { id } => Attribute::Id(id.clone()),
    };
    let mut found = Vec::new();
    for class in [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY] {
        found.extend(session.find_objects(&[Attribute::Class(class), named.clone()])?);
    }
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::fault(FaultKind::NotFound, format!("the token has no secret or private key {selector}"))),
        several => Err(Failure::fault(
            FaultKind::Ambiguous,
            format!("the token has {} secret or private keys {selector}; name one by its id", several.len()),
        )),
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Label { label } => write!(f, "labelled {label:?}"),
            Self::Id { id } => {
                f.write_str("of id ")?;
                id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Destroys a key and its public half.
pub(super) fn destroy(session: &Session, handle: ObjectHandle, kind: KeyKind, id: &[u8]) -> Result<(), Failure> {
    session.destroy_object(handle)?;
    if kind.class() == ObjectClass::PRIVATE_KEY && !id.is_empty() {
        for public in session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.to_vec())])? {
            session.destroy_object(public)?;
        }
    }
    Ok(())
}

/// What there is to know about a key that we did not make.
pub(super) struct Described {
    pub(super) id: Vec<u8>,
    pub(super) label: String,
    pub(super) kind: KeyKind,
    pub(super) purpose: Purpose,
    pub(super) form: Form,
}

/// Finds out what a key is and what it may be used for.
pub(super) fn describe(session: &Session, handle: ObjectHandle) -> Result<Described, Failure> {
    let all = [
        AttributeType::Id,
        AttributeType::Label,
        AttributeType::KeyType,
        AttributeType::Encrypt,
        AttributeType::Decrypt,
        AttributeType::Sign,
        AttributeType::Derive,
        AttributeType::Wrap,
        AttributeType::Unwrap,
    ];
    let found = session.get_attributes(handle, &all)?;
    let has = |wanted: &Attribute| found.contains(wanted);
    let (mut id, mut label, mut key_type) = (Vec::new(), String::new(), None);
    for attribute in &found {
        match attribute {
            Attribute::Id(bytes) => id.clone_from(bytes),
            Attribute::Label(bytes) => label = String::from_utf8_lossy(bytes).into_owned(),
            Attribute::KeyType(value) => key_type = Some(*value),
            _ => {}
        }
    }
    let kind = kind(session, handle, key_type)?;
    let may = |wanted: Attribute| has(&wanted);
    let (purpose, form) = match kind {
        KeyKind::Aes256 if may(Attribute::Encrypt(true)) && may(Attribute::Decrypt(true)) => (Purpose::Encrypt, Form::Direct),
        KeyKind::Aes256 if may(Attribute::Derive(true)) => (Purpose::Encrypt, Form::Derived),
        KeyKind::Aes256 if may(Attribute::Wrap(true)) && may(Attribute::Unwrap(true)) => (Purpose::Wrap, Form::Direct),
        KeyKind::Secret { .. } if may(Attribute::Sign(true)) => (Purpose::Mac, Form::Direct),
        KeyKind::Rsa { .. } if may(Attribute::Decrypt(true)) && !may(Attribute::Sign(true)) => (Purpose::Encrypt, Form::Direct),
        KeyKind::Rsa { .. } | KeyKind::Ec { .. } if may(Attribute::Sign(true)) => (Purpose::Sign, Form::Direct),
        KeyKind::Ec { .. } if may(Attribute::Derive(true)) => (Purpose::Agree, Form::Direct),
        _ => {
            return Err(Failure::fault(
                FaultKind::Refused,
                "the token lets nobody use this key for anything that we do with keys",
            ));
        }
    };
    Ok(Described { id, label, kind, purpose, form })
}

fn kind(session: &Session, handle: ObjectHandle, key_type: Option<KeyType>) -> Result<KeyKind, Failure> {
    let unknown = || {
        Failure::fault(
            FaultKind::Unsupported,
            "this key is of a kind that we do not use: AES-256, RSA, P-256, P-384, P-521, HMAC",
        )
    };
    let length = || {
        let found = session.get_attributes(handle, &[AttributeType::ValueLen])?;
        Ok::<_, Failure>(found.into_iter().find_map(|attribute| match attribute {
            Attribute::ValueLen(length) => u32::try_from(*length).ok(),
            _ => None,
        }))
    };
    match key_type {
        Some(KeyType::AES) => match length()? {
            Some(32) => Ok(KeyKind::Aes256),
            _ => Err(Failure::fault(FaultKind::Unsupported, "this AES key has not 256 bits")),
        },
        Some(KeyType::GENERIC_SECRET | KeyType::SHA256_HMAC) => {
            length()?.map(|bytes| KeyKind::Secret { bytes }).ok_or_else(unknown)
        }
        Some(KeyType::RSA) => {
            let (modulus, _) = rsa_public(session, handle, &[])?;
            let bits = u32::try_from(modulus.len() * 8).unwrap_or(0);
            if (2048..=4096).contains(&bits) { Ok(KeyKind::Rsa { bits }) } else { Err(unknown()) }
        }
        Some(KeyType::EC) => {
            let found = session.get_attributes(handle, &[AttributeType::EcParams])?;
            let curve = found.iter().find_map(|attribute| match attribute {
                Attribute::EcParams(parameters) => Curve::of_parameters(parameters),
                _ => None,
            });
            curve.map(|curve| KeyKind::Ec { curve }).ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

/// The public key of a private one as SubjectPublicKeyInfo: from the public half of the same id, or from what the private half shows.
pub(super) fn public_key(session: &Session, handle: ObjectHandle, kind: KeyKind, id: &[u8]) -> Result<Vec<u8>, Failure> {
    match kind {
        KeyKind::Rsa { .. } => {
            let (modulus, exponent) = rsa_public(session, handle, id)?;
            Ok(der::rsa_spki(&modulus, &exponent))
        }
        KeyKind::Ec { curve } => {
            let mut places = public_halves(session, id)?;
            places.push(handle);
            for place in places {
                let found = session.get_attributes(place, &[AttributeType::EcPoint])?;
                let point = found.iter().find_map(|attribute| match attribute {
                    Attribute::EcPoint(value) => der::ec_point_of_attribute(curve, value),
                    _ => None,
                });
                if let Some(point) = point {
                    return Ok(der::ec_spki(curve, point));
                }
            }
            Err(Failure::fault(
                FaultKind::NotFound,
                "the token does not show the public half of this key: it needs a public key object of the same id",
            ))
        }
        KeyKind::Aes256 | KeyKind::Secret { .. } => Ok(Vec::new()),
    }
}

fn rsa_public(session: &Session, handle: ObjectHandle, id: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let mut places = vec![handle];
    places.extend(public_halves(session, id)?);
    let (mut modulus, mut exponent) = (None, None);
    for place in places {
        for attribute in session.get_attributes(place, &[AttributeType::Modulus, AttributeType::PublicExponent])? {
            match attribute {
                Attribute::Modulus(value) if !value.is_empty() => modulus = modulus.or(Some(value)),
                Attribute::PublicExponent(value) if !value.is_empty() => exponent = exponent.or(Some(value)),
                _ => {}
            }
        }
    }
    let modulus = modulus.map(|value| {
        let start = value.iter().position(|byte| *byte != 0).unwrap_or(0);
        value.get(start..).unwrap_or_default().to_vec()
    });
    match (modulus, exponent) {
        (Some(modulus), Some(exponent)) => Ok((modulus, exponent)),
        // 65537 is what tokens make that do not show it on the private half.
        (Some(modulus), None) => Ok((modulus, vec![1, 0, 1])),
        _ => Err(Failure::fault(FaultKind::NotFound, "the token does not show the modulus of this key")),
    }
}

fn public_halves(session: &Session, id: &[u8]) -> Result<Vec<ObjectHandle>, Failure> {
    if id.is_empty() {
        return Ok(Vec::new());
    }
    Ok(session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.to_vec())])?)
}

/// What the token says of a key.
pub(super) fn facts(session: &Session, handle: ObjectHandle) -> Result<ObjectFacts, Failure> {
    let all = [
        AttributeType::Id,
        AttributeType::Label,
        AttributeType::KeyType,
        AttributeType::AlwaysSensitive,
        AttributeType::NeverExtractable,
        AttributeType::Local,
    ];
    let found = session.get_attributes(handle, &all)?;
    let key_type = found.iter().find_map(|attribute| match attribute {
        Attribute::KeyType(value) => Some(*value),
        _ => None,
    });
    let mut facts = ObjectFacts {
        label: String::new(),
        id: Vec::new(),
        kind: kind(session, handle, key_type).map_or_else(|_| "other".to_owned(), |kind| kind.to_string()),
        always_sensitive: found.contains(&Attribute::AlwaysSensitive(true)),
        never_extractable: found.contains(&Attribute::NeverExtractable(true)),
        local: found.contains(&Attribute::Local(true)),
    };
    for attribute in found {
        match attribute {
            Attribute::Id(bytes) => facts.id = bytes,
            Attribute::Label(bytes) => facts.label = String::from_utf8_lossy(&bytes).into_owned(),
            _ => {}
        }
    }
    Ok(facts)
}

/// All secret and private keys.
pub(super) fn list(session: &Session) -> Result<Vec<ObjectFacts>, Failure> {
    let mut found = Vec::new();
    for class in [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY] {
        found.extend(session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])?);
    }
    found.into_iter().take(LISTED_MAX).map(|handle| facts(session, handle)).collect()
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Aes256 => f.write_str("AES-256"),
            Self::Rsa { bits } => write!(f, "RSA-{bits}"),
            Self::Ec { curve: Curve::P256 } => f.write_str("P-256"),
            Self::Ec { curve: Curve::P384 } => f.write_str("P-384"),
            Self::Ec { curve: Curve::P521 } => f.write_str("P-521"),
            Self::Secret { bytes } => write!(f, "HMAC-{}", bytes * 8),
        }
    }
}
