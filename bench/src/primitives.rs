//! What the bare algorithms cost in this process, without a server around them.

use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ML_DSA_65,
    ML_DSA_65_SIGNING, PqdsaKeyPair, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use aws_lc_rs::{hmac, rsa};
use claviger_hsm::{Hsm, PassphraseCost, SealSecret};
use rustix::thread::ClockId;

use crate::failure::Failure;

/// One call of an algorithm. Each thread makes its own.
pub(crate) type Call = Box<dyn FnMut() -> Result<(), Failure>>;

/// What is signed, and the plaintext of what is encrypted: as many bytes as the requests have.
pub(crate) const MESSAGE: [u8; 32] = [0xa5; 32];

/// CPU time of one call on this thread, in microseconds.
pub(crate) fn cpu_us(make: impl Fn() -> Result<Call, Failure>, time: Duration) -> Result<f64, Failure> {
    let mut call = make()?;
    // The first calls pay for tables and caches.
    call()?;
    let (begun, before) = (Instant::now(), thread_cpu());
    let mut calls = 0_u32;
    while begun.elapsed() < time {
        call()?;
        calls += 1;
    }
    Ok((thread_cpu() - before).as_secs_f64() * 1e6 / f64::from(calls.max(1)))
}

/// Calls per second of as many threads as there are processors.
pub(crate) fn rate_of_all_cores(make: impl Fn() -> Result<Call, Failure> + Sync, time: Duration) -> Result<f64, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let one = || -> Result<f64, Failure> {
            let mut call = make()?;
            call()?;
            let begun = Instant::now();
            let mut calls = 0_u32;
            while begun.elapsed() < time {
                call()?;
                calls += 1;
            }
            Ok(f64::from(calls) / begun.elapsed().as_secs_f64())
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        handles.into_iter().map(|handle| handle.join().map_err(|_| Failure::new("a thread broke"))?).sum()
    })
}

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn broken<E>(_: E) -> Failure {
    Failure::new("a primitive failed")
}

/// KC-XAES-256-GCM of 32 bytes with an empty context, as Encrypt does it; the hsm's tokens are sealed in the same way.
pub(crate) fn seal() -> Result<Call, Failure> {
    let hsm = hsm()?;
    Ok(Box::new(move || hsm.seal_token("bench", &MESSAGE).map(drop).map_err(broken)))
}

/// The opposite of it and once more: what ReEncrypt does.
pub(crate) fn open_and_seal() -> Result<Call, Failure> {
    let hsm = hsm()?;
    let sealed = hsm.seal_token("bench", &MESSAGE).map_err(broken)?;
    Ok(Box::new(move || {
        let opened = hsm.open_token("bench", &sealed).map_err(broken)?;
        hsm.seal_token("bench", &opened).map(drop).map_err(broken)
    }))
}

fn hsm() -> Result<Hsm, Failure> {
    let cheap = PassphraseCost { memory_kib: 8, passes: 1, lanes: 1 };
    let secret = SealSecret::Passphrase("bench".to_owned().into());
    Hsm::initialize_with_cost(uuid::Uuid::nil(), &[("bench", secret)], cheap).map(|(hsm, _)| hsm).map_err(broken)
}

/// HMAC-SHA-256.
pub(crate) fn hmac_sha256() -> Result<Call, Failure> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    Ok(Box::new(move || {
        std::hint::black_box(hmac::sign(&key, &MESSAGE));
        Ok(())
    }))
}

/// RSASSA-PSS with SHA-256.
pub(crate) fn rsa_sign(size: KeySize) -> impl Fn() -> Result<Call, Failure> + Sync {
    // One key for all threads: generating one takes longer than measuring.
    let pkcs8 = rsa::KeyPair::generate(size).map_err(broken).and_then(|key| key.as_der().map_err(broken));
    move || {
        let der = pkcs8.as_ref().map_err(|_| Failure::new("no RSA key could be made"))?;
        let key = RsaKeyPair::from_pkcs8(der.as_ref()).map_err(broken)?;
        let mut signature = vec![0; key.public_modulus_len()];
        let random = SystemRandom::new();
        Ok(Box::new(move || key.sign(&RSA_PSS_SHA256, &random, &MESSAGE, &mut signature).map_err(broken)))
    }
}

/// The verification of such a signature.
pub(crate) fn rsa_verify(size: KeySize) -> Result<Call, Failure> {
    let key = rsa::KeyPair::generate(size).map_err(broken)?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &MESSAGE, &mut signature).map_err(broken)?;
    verify(&RSA_PSS_2048_8192_SHA256, key.public_key().as_ref(), signature)
}

/// ECDSA on P-256 with SHA-256.
pub(crate) fn p256_sign() -> Result<Call, Failure> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(broken)?;
    let random = SystemRandom::new();
    Ok(Box::new(move || key.sign(&random, &MESSAGE).map(drop).map_err(broken)))
}

/// The verification of such a signature.
pub(crate) fn p256_verify() -> Result<Call, Failure> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(broken)?;
    let signature = key.sign(&SystemRandom::new(), &MESSAGE).map_err(broken)?;
    verify(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref(), signature.as_ref().to_vec())
}

/// Ed25519.
pub(crate) fn ed25519_sign() -> Result<Call, Failure> {
    let key = Ed25519KeyPair::generate().map_err(broken)?;
    Ok(Box::new(move || {
        std::hint::black_box(key.sign(&MESSAGE));
        Ok(())
    }))
}

/// The verification of such a signature.
pub(crate) fn ed25519_verify() -> Result<Call, Failure> {
    let key = Ed25519KeyPair::generate().map_err(broken)?;
    verify(&ED25519, key.public_key().as_ref(), key.sign(&MESSAGE).as_ref().to_vec())
}

/// ML-DSA-65.
pub(crate) fn ml_dsa_65_sign() -> Result<Call, Failure> {
    let key = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).map_err(broken)?;
    let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
    Ok(Box::new(move || key.sign(&MESSAGE, &mut signature).map(drop).map_err(broken)))
}

/// The verification of such a signature.
pub(crate) fn ml_dsa_65_verify() -> Result<Call, Failure> {
    let key = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).map_err(broken)?;
    let mut signature = vec![0; ML_DSA_65_SIGNING.signature_len()];
    key.sign(&MESSAGE, &mut signature).map_err(broken)?;
    verify(&ML_DSA_65, key.public_key().as_ref(), signature)
}

fn verify(algorithm: &'static dyn VerificationAlgorithm, public: &[u8], signature: Vec<u8>) -> Result<Call, Failure> {
    let public = UnparsedPublicKey::new(algorithm, public.to_vec());
    Ok(Box::new(move || public.verify(&MESSAGE, &signature).map_err(broken)))
}
