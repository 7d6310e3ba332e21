//! Longest-prefix match: an immutable compressed multibit trie, six bits a step, the same for IPv4 and IPv6. Built by the
//! control thread with everything else of a [`crate::forwarding::Forwarding`], read by the pipeline's route stage.
//!
//! DPDK's `rte_fib` is not used: its DIR24-8 costs 32 to 64 MiB for each table, and a gateway has a table for each
//! virtual network. Here a table costs 24 bytes a node and 4 bytes a distinct run of next hops, so that an empty
//! network costs nothing; an IPv4 /24 is found in four steps. The layout follows Poptrie (Asai and Ohara,
//! SIGCOMM 2015): a node's children, and its leaves, stand side by side, and two bitmaps say which is where.

/// Bits that one step consumes; a node has as many slots as a bitmap has bits.
const STRIDE: u32 = 6;
const SLOTS: usize = 1 << STRIDE;
const KEY_BITS: u32 = u128::BITS;

/// What a lookup returns: whatever number the builder was given.
pub type Leaf = u32;

/// A prefix of a key. Keys are addresses with their first bit on top; IPv4 fills the upper 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    key: u128,
    length: u32,
}

impl Prefix {
    /// The upper `length` bits of `key`; lower bits are cleared, lengths above 128 are 128.
    #[must_use]
    pub fn new(key: u128, length: u8) -> Self {
        let length = u32::from(length).min(KEY_BITS);
        let mask = u128::MAX.checked_shl(KEY_BITS - length).unwrap_or(0);
        Self { key: key & mask, length }
    }
}

impl From<ipnet::IpNet> for Prefix {
    fn from(prefix: ipnet::IpNet) -> Self {
        Self::new(key(prefix.addr()), prefix.prefix_len())
    }
}

/// The key of an address.
#[must_use]
pub fn key(address: std::net::IpAddr) -> u128 {
    match address {
        std::net::IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        std::net::IpAddr::V6(address) => address.to_bits(),
    }
}

/// The upper and the lower half of a key, as what hashes take.
pub(crate) fn halves(word: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, lower @ ..] = word.to_be_bytes();
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(lower)]
}

/// Prefixes of one family of one virtual network, each with a leaf.
#[derive(Debug)]
pub struct Trie {
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Slots with a child node.
    children: u64,
    /// Slots at which a new run of leaves begins.
    runs: u64,
    first_child: u32,
    first_leaf: u32,
}

impl Trie {
    /// Builds the trie; `default` is the leaf of what no prefix covers. Of two equal prefixes the later one wins.
    ///
    /// # Panics
    /// Above four thousand million nodes or leaves, which no machine holds.
    #[must_use]
    pub fn build(default: Leaf, prefixes: impl IntoIterator<Item = (Prefix, Leaf)>) -> Self {
        let mut prefixes: Vec<_> = prefixes.into_iter().collect();
        prefixes.sort_by_key(|(prefix, _)| *prefix); // stable: of equal ones the later stays later
        let mut trie = Self { nodes: vec![Node::default()], leaves: Vec::new() };
        trie.fill(0, &prefixes, 0, default);
        trie
    }

    /// The leaf of the longest prefix that covers `key`.
    #[must_use]
    pub fn lookup(&self, key: u128) -> Leaf {
        let mut node = &self.nodes[0];
        let mut rest = key;
        loop {
            let slot = slot_of(rest);
            let below = (1u64 << slot) - 1;
            if node.children & (1 << slot) == 0 {
                // The run that a slot belongs to is the last one that begins at or before it.
                let run = (node.runs & (below | 1 << slot)).count_ones();
                return self.leaves[(node.first_leaf + run - 1) as usize];
            }
            node = &self.nodes[(node.first_child + (node.children & below).count_ones()) as usize];
            rest <<= STRIDE;
        }
    }

    /// Memory that the trie takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.leaves.len() * size_of::<Leaf>()
    }

    /// Fills one node from the sorted prefixes inside it; `depth` bits have been consumed, `inherited` is the leaf of
    /// the longest prefix above it.
    fn fill(&mut self, at: usize, prefixes: &[(Prefix, Leaf)], depth: u32, inherited: Leaf) {
        let slot_of = |prefix: &Prefix| slot_of(prefix.key << depth);
        let mut slots = [inherited; SLOTS];
        let mut short: Vec<_> = prefixes.iter().filter(|(p, _)| p.length <= depth + STRIDE).collect();
        short.sort_by_key(|(prefix, _)| prefix.length); // stable: longer ones, then later ones, overwrite
        for (prefix, leaf) in short {
            let first = slot_of(prefix);
            let count = SLOTS >> prefix.length.saturating_sub(depth).min(STRIDE);
            slots[first..first + count].fill(*leaf);
        }

        let deep = |(prefix, _): &(Prefix, Leaf)| prefix.length > depth + STRIDE;
        let mut node = Node {
            first_leaf: index(self.leaves.len()),
            first_child: index(self.nodes.len()),
            ..Node::default()
        };
        for prefix in prefixes.iter().filter(|p| deep(p)) {
            node.children |= 1 << slot_of(&prefix.0);
        }
        let mut last = None;
        for (slot, leaf) in slots.iter().enumerate() {
            if node.children & (1 << slot) == 0 && last != Some(*leaf) {
                node.runs |= 1 << slot;
                self.leaves.push(*leaf);
                last = Some(*leaf);
            }
        }
        self.nodes[at] = node;
        let first_child = self.nodes.len();
        self.nodes.resize(first_child + node.children.count_ones() as usize, Node::default());
        let children = prefixes
            .chunk_by(|(a, _), (b, _)| slot_of(a) == slot_of(b))
            .filter(|group| group.iter().any(deep));
        for (child, group) in children.enumerate() {
            let inherited = slots[slot_of(&group[0].0)];
            let inside: Vec<_> = group.iter().filter(|p| deep(p)).copied().collect();
            self.fill(first_child + child, &inside, depth + STRIDE, inherited);
        }
    }
}

/// The slot that the uppermost bits of a key name.
fn slot_of(key: u128) -> usize {
    usize::from((key >> (KEY_BITS - STRIDE)) as u8)
}

fn index(length: usize) -> u32 {
    u32::try_from(length).expect("fewer than 2^32 nodes and leaves")
}

#[cfg(test)]
mod tests;
