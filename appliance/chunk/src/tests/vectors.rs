//! Wycheproof's vectors against exactly the ciphers that we use, called the way we call them.

use crate::{
    aead::{self, NONCE, TAG},
    escrow::PrivateKey,
};
use wycheproof::{TestResult, aead as known, xdh};
use zeroize::Zeroizing;

#[test]
fn aes_256_gcm() {
    let set = known::TestSet::load(known::TestName::AesGcm).unwrap();
    let (mut good, mut bad) = (0, 0);
    let groups = set
        .test_groups
        .iter()
        .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, NONCE * 8, TAG * 8));
    for test in groups.flat_map(|group| &group.tests) {
        let key: [u8; 32] = test.key[..].try_into().unwrap();
        let nonce: [u8; NONCE] = test.nonce[..].try_into().unwrap();
        let tag: [u8; TAG] = test.tag[..].try_into().unwrap();
        let mut buffer = test.ct.to_vec();
        let opened = aead::open(&key, &nonce, &test.aad, &mut buffer, &tag);
        if test.result == TestResult::Valid {
            opened.unwrap_or_else(|_| panic!("test {}: a good message was refused", test.tc_id));
            assert_eq!(buffer, test.pt[..], "test {}", test.tc_id);
            let sealed = aead::seal(&key, &nonce, &test.aad, &mut buffer).unwrap();
            assert_eq!((&buffer[..], sealed), (&test.ct[..], tag), "test {}", test.tc_id);
            good += 1;
        } else {
            assert!(opened.is_err(), "test {}: a bad message was taken", test.tc_id);
            assert!(buffer.iter().all(|byte| *byte == 0), "test {}: something is left", test.tc_id);
            bad += 1;
        }
    }
    assert!(good > 30 && bad > 20, "{good} good and {bad} bad vectors were found");
}

#[test]
fn x25519() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(public) = <[u8; 32]>::try_from(&test.public_key[..]) else { continue };
        let secret: [u8; 32] = test.private_key[..].try_into().unwrap();
        let shared = PrivateKey::from_bytes(Zeroizing::new(secret)).agree(&public);
        // What is no secret is refused, though the curve itself would let it pass.
        if test.shared_secret.iter().all(|byte| *byte == 0) {
            assert!(shared.is_none(), "test {}: no secret was taken for one", test.tc_id);
            refused += 1;
        } else {
            assert!(test.result != TestResult::Invalid, "test {}", test.tc_id);
            assert_eq!(shared.unwrap()[..], test.shared_secret[..], "test {}", test.tc_id);
            agreed += 1;
        }
    }
    assert!(agreed > 400 && refused > 20, "{agreed} agreed, {refused} refused");
}
