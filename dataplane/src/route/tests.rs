use proptest::prelude::*;

use super::*;

/// The model: look at every prefix.
fn naive(default: Leaf, prefixes: &[(Prefix, Leaf)], key: u128) -> Leaf {
    let covering = prefixes
        .iter()
        .filter(|(prefix, _)| prefix.length == 0 || (prefix.key ^ key) >> (KEY_BITS - prefix.length) == 0);
    covering.max_by_key(|(prefix, _)| prefix.length).map_or(default, |(_, leaf)| *leaf)
}

fn prefix() -> impl Strategy<Value = (Prefix, Leaf)> {
    // Few distinct bits, so that prefixes nest and collide.
    (any::<u128>(), 0u8..=128, 0u32..6, any::<bool>()).prop_map(|(key, length, leaf, is_dense)| {
        let key = if is_dense { key & 0x8421_0000_0300_0000_0000_0000_0000_0003 } else { key };
        (Prefix::new(key, length), leaf)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn finds_what_the_naive_model_finds(
        prefixes in prop::collection::vec(prefix(), 0..60),
        keys in prop::collection::vec(any::<u128>(), 20),
        default in 10u32..12,
    ) {
        let trie = Trie::build(default, prefixes.iter().copied());
        let edges = prefixes.iter().flat_map(|(prefix, _)| {
            let ones = u128::MAX.checked_shr(prefix.length).unwrap_or(0);
            [prefix.key, prefix.key | ones, prefix.key.wrapping_sub(1), (prefix.key | ones).wrapping_add(1)]
        });
        for key in keys.iter().copied().chain(edges) {
            prop_assert_eq!(trie.lookup(key), naive(default, &prefixes, key), "{:032x}", key);
        }
    }
}

#[test]
fn an_empty_table_costs_next_to_nothing() {
    let trie = Trie::build(3, []);
    assert_eq!((trie.lookup(0), trie.lookup(u128::MAX)), (3, 3));
    assert!(trie.memory_bytes() < 64, "{}", trie.memory_bytes());
}

#[test]
fn ten_thousand_ipv4_prefixes_fit_into_a_megabyte() {
    let prefixes =
        (0..10_000u32).map(|i| (Prefix::new(u128::from(i.wrapping_mul(0x9e37_79b1)) << 96, 24), i));
    let trie = Trie::build(0, prefixes.clone());
    for (prefix, leaf) in prefixes.skip(9_000) {
        assert_eq!(trie.lookup(prefix.key | 1 << 100), leaf);
    }
    assert!(trie.memory_bytes() < 1 << 20, "{}", trie.memory_bytes());
}
