//! Every counter of a worker, drop reasons included: one enum, one table.
//!
//! The table ([`Counter::row`]) is what console, metrics and documents print; a row is one line of `counters!` at the
//! end of this file. A worker sums in a [`Local`] while it handles a burst and stores the sums once per burst into its
//! [`Counters`], which it alone writes; the control thread reads them at any time.
//!
//! Kinds make packets add up: whatever [`Kind::Enter`]s a worker [`Kind::Leave`]s it or is a [`Kind::Drop`], apart from
//! what still waits inside (for a neighbour, for the rest of its fragments). [`Snapshot::balance`] computes that.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a counter takes part in the sum "entered = left + dropped + waiting inside".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A packet began to exist for this worker: received, injected, handed over to it, made by it.
    Enter,
    /// A packet ended well: sent, punted, handed over to another worker, or consumed because it was for us.
    Leave,
    /// A packet ended as a drop; the counter's name is the reason.
    Drop,
    /// Takes no part in the sum: bytes, stages passed, events.
    Note,
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Whole packets or frames.
    Packets,
    /// Bytes, frame headers included, without the Ethernet checksum.
    Bytes,
    /// Occurrences that are not packets.
    Events,
}

/// A row of the table: all that a reader needs to know about a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The counter that the row describes.
    pub counter: Counter,
    /// Name in console, metrics and documents; snake case, never changes its meaning.
    pub name: &'static str,
    /// How it takes part in the balance of packets.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// What it means when it moves.
    pub meaning: &'static str,
    /// What an operator can do about it; empty where nothing is wrong.
    pub remedy: &'static str,
}

macro_rules! counters {
    ($($variant:ident $name:literal $kind:ident $unit:ident $meaning:literal $remedy:literal;)+) => {
        /// A counter of a worker. Those of [`Kind::Drop`] are the drop reasons.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Counter { $(#[doc = $meaning] $variant,)+ }

        const TABLE: &[Row] = &[$(Row {
            counter: Counter::$variant, name: $name, kind: Kind::$kind, unit: Unit::$unit, meaning: $meaning, remedy: $remedy,
        },)+];
    };
}

impl Counter {
    /// Number of counters.
    pub const COUNT: usize = TABLE.len();

    /// All rows, in the order of the enum.
    #[must_use]
    pub fn table() -> &'static [Row] {
        TABLE
    }

    /// The row of this counter.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self.index()]
    }

    /// Whether this is a drop reason.
    #[must_use]
    pub fn is_drop(self) -> bool {
        self.row().kind == Kind::Drop
    }

    fn index(self) -> usize {
        usize::from(self as u8)
    }
}

/// A worker's counters: written by that worker alone, readable by any thread at any time.
#[derive(Debug)]
#[repr(align(128))] // Two lines, because the neighbour prefetcher fetches pairs: no other thread's data shares them.
pub struct Counters {
    cells: [AtomicU64; Counter::COUNT],
}

impl Counters {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { cells: [const { AtomicU64::new(0) }; Counter::COUNT] }
    }

    /// The present value of one counter.
    #[must_use]
    pub fn read(&self, counter: Counter) -> u64 {
        self.cells[counter.index()].load(Ordering::Relaxed)
    }

    /// All values. Not one instant's picture while the worker runs: each cell is read by itself.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { values: std::array::from_fn(|index| self.cells[index].load(Ordering::Relaxed)) }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// Sums of the burst at hand; owned by one worker.
#[derive(Debug, Clone)]
pub struct Local {
    sums: [u64; Counter::COUNT],
    touched: [u64; WORDS],
}

const WORDS: usize = Counter::COUNT.div_ceil(64);

impl Local {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { sums: [0; Counter::COUNT], touched: [0; WORDS] }
    }

    /// Counts one.
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `amount` (in the unit of the counter's row).
    pub fn add(&mut self, counter: Counter, amount: u64) {
        let index = counter.index();
        self.sums[index] = self.sums[index].wrapping_add(amount);
        self.touched[index / 64] |= 1 << (index % 64);
    }

    /// What has been counted and not yet stored.
    #[must_use]
    pub fn pending(&self, counter: Counter) -> u64 {
        self.sums[counter.index()]
    }

    /// Adds the sums to `counters` and clears them. Only the worker that owns `counters` may call this: the add is a
    /// load and a store, not an atomic read-modify-write.
    pub fn store(&mut self, counters: &Counters) {
        for (word, touched) in self.touched.iter_mut().enumerate() {
            while *touched != 0 {
                let index = word * 64 + touched.trailing_zeros() as usize;
                *touched &= *touched - 1;
                let cell = &counters.cells[index];
                cell.store(cell.load(Ordering::Relaxed).wrapping_add(self.sums[index]), Ordering::Relaxed);
                self.sums[index] = 0;
            }
        }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

/// The values of a worker's counters, or of several workers' added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    values: [u64; Counter::COUNT],
}

impl Snapshot {
    /// All zero: the start of a sum over workers.
    #[must_use]
    pub const fn zero() -> Self {
        Self { values: [0; Counter::COUNT] }
    }

    /// One value.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter.index()]
    }

    /// Adds another worker's values.
    pub fn add(&mut self, other: &Self) {
        for (value, more) in self.values.iter_mut().zip(&other.values) {
            *value = value.wrapping_add(*more);
        }
    }

    /// What has moved since `earlier`, a previous snapshot of the same workers.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self { values: std::array::from_fn(|index| self.values[index].wrapping_sub(earlier.values[index])) }
    }

    /// The counters that are not zero, in table order.
    pub fn moved(&self) -> impl Iterator<Item = (&'static Row, u64)> + '_ {
        TABLE.iter().map(|row| (row, self.get(row.counter))).filter(|(_, value)| *value != 0)
    }

    /// The sum of all counters of one kind that count packets.
    #[must_use]
    pub fn total(&self, kind: Kind) -> u64 {
        TABLE
            .iter()
            .filter(|row| row.kind == kind && row.unit == Unit::Packets)
            .map(|row| self.get(row.counter))
            .fold(0, u64::wrapping_add)
    }

    /// Packets that entered and neither left nor were dropped: those that wait inside a worker (for a neighbour, for
    /// more fragments). Zero when nothing waits; anything else then is a leak or a packet counted twice.
    #[must_use]
    pub fn balance(&self) -> i64 {
        let out = self.total(Kind::Leave).wrapping_add(self.total(Kind::Drop));
        self.total(Kind::Enter).wrapping_sub(out).cast_signed()
    }
}

// Add a row: variant, name, kind, unit, meaning, remedy. The order is the path of a packet.
counters! {
    // In and out.
    RxPackets "rx_packets" Enter Packets "Frames received from ports." "";
    RxBytes "rx_bytes" Note Bytes "Bytes received from ports." "";
    TxPackets "tx_packets" Leave Packets "Frames that ports took for sending." "";
    TxBytes "tx_bytes" Note Bytes "Bytes that ports took for sending." "";
    Originated "originated" Enter Packets "Packets this worker made itself: ARP and ND, ICMP answers and errors, keepalives, fragments." "";
    Injected "injected" Enter Packets "Packets from the control thread, to be routed in the underlay." "";
    HandoverReceived "handover_received" Enter Packets "ESP packets that came from another worker, or out of a tunnel to an address of our own, because this one is the SA's home." "";
    HandoverSent "handover_sent" Leave Packets "ESP packets handed over to the SA's home worker." "";
    HandoverFull "handover_full" Drop Packets "The ring to the SA's home worker was full." "Spread the tunnels over more workers, or let the NIC steer by SPI.";
    PuntedIke "punted_ike" Leave Packets "IKE datagrams given to the control thread." "";
    PuntRingFull "punt_ring_full" Drop Packets "The ring to the control thread was full." "The control core is overloaded: look at its load.";
    PuntFirstFull "punt_first_full" Drop Packets "First messages of IKE SAs had filled their half of the ring to the control thread." "A flood of IKE_SA_INIT, or all peers come at once: peers that are up have the other half, true ones try again; block the source upstream.";
    TxRingFull "tx_ring_full" Drop Packets "The port did not take the packet: its send ring was full." "The link is slower than what is offered: shape the senders or use a faster link.";
    StageFull "stage_full" Drop Packets "A list between two stages of the packet path was full." "A defect of this program: please report it.";
    TxNoQueue "tx_no_queue" Drop Packets "The packet's interface is on a port that this worker has no send queue for." "Give the port as many queues as there are workers.";
    SegmentsMerged "segments_merged" Note Packets "Packets in several buffers that were copied into one, where something needs all of a packet: what is for ourselves, transforms other than AES-GCM, ports that cannot gather." "";
    SegmentsNotMerged "segments_not_merged" Drop Packets "A packet in several buffers had to be copied into one, and was too long for it, or none was left." "Lower the sender's MTU, or raise mtu_bytes: buffers are as long as the largest.";
    NoBuffer "no_buffer" Note Events "A packet could not be made because the mempool was empty." "Raise memory_mib.";
    EventRingFull "event_ring_full" Note Events "An event for the control thread was lost because its ring was full." "The control core is overloaded: look at its load.";

    // Ethernet and VLAN.
    EthernetRunt "ethernet_runt" Drop Packets "Frame shorter than its Ethernet header (or VLAN tag)." "A broken sender or driver on this link.";
    EthernetSegmented "ethernet_segmented" Drop Packets "Frame spread over more than 64 buffers, or with no room for all its headers in the first." "A strange driver or sender: ports fill a buffer before they begin another.";
    EthernetNotForUs "ethernet_not_for_us" Drop Packets "Destination MAC address is not this interface's, nor a group that it listens to." "Normal on a flooding switch.";
    EthernetUnknownType "ethernet_unknown_type" Drop Packets "EtherType is neither IPv4, IPv6 nor ARP." "Normal for LLDP, STP and the like.";
    InterfaceUnknown "interface_unknown" Drop Packets "No interface is configured for this port and VLAN." "Configure the VLAN, or stop sending it to this port.";

    // ARP and neighbour discovery.
    ArpMalformed "arp_malformed" Drop Packets "ARP packet of unknown kind, length or operation." "A broken sender on this link.";
    ArpIgnored "arp_ignored" Drop Packets "ARP packet that concerns neither us nor a neighbour that we wait for." "Normal.";
    ArpConsumed "arp_consumed" Leave Packets "ARP packets that were for us." "";
    NdMalformed "nd_malformed" Drop Packets "Neighbour discovery message that RFC 4861 7.1 tells to discard." "A broken or hostile sender on this link.";
    NdIgnored "nd_ignored" Drop Packets "Neighbour discovery message that does not concern us." "Normal.";
    NdConsumed "nd_consumed" Leave Packets "Neighbour discovery messages that were for us." "";
    NeighbourUnresolved "neighbour_unresolved" Drop Packets "The next hop did not answer ARP or ND in time." "Check the next hop's address, cable and VLAN.";
    NeighbourRouteChanged "neighbour_route_changed" Drop Packets "While the packet waited for its next hop, its destination got another one: it would have left by the wrong way, perhaps in clear." "Normal when routes, tunnels or circuits change.";
    NeighbourTableFull "neighbour_table_full" Drop Packets "Too many next hops are unknown, or known, at once." "Somebody scans addresses of a connected network; else connect fewer hosts to one interface.";
    AddressConflict "address_conflict" Drop Packets "Another station on the link claims an address of ours." "Find the station by its MAC address and give it another address.";
    NeighbourQueueFull "neighbour_queue_full" Drop Packets "Too many packets already wait for this next hop." "Check the next hop; if it answers, this is a burst at start only.";

    // IPv4.
    Ipv4Runt "ipv4_runt" Drop Packets "Frame ends inside its IPv4 header." "A broken sender on this link.";
    Ipv4BadVersion "ipv4_bad_version" Drop Packets "Version field is not 4." "A broken sender on this link.";
    Ipv4BadHeaderLength "ipv4_bad_header_length" Drop Packets "Header length field is below 20 bytes or beyond the packet." "A broken sender on this link.";
    Ipv4BadTotalLength "ipv4_bad_total_length" Drop Packets "Total length is below the header's or beyond the frame." "On an af_packet port, fragments that the kernel joined and cut to the port's frame size (see its framesz=); else a broken sender.";
    Ipv4BadChecksum "ipv4_bad_checksum" Drop Packets "Header checksum is wrong." "Bad cable or memory, or a sender's checksum offload that does not work here.";
    Ipv4Options "ipv4_options" Drop Packets "IPv4 options, which this gateway does not forward." "Let the sender leave options out.";
    Ipv4BadAddress "ipv4_bad_address" Drop Packets "Source or destination that must not be forwarded (loopback, unspecified, multicast or broadcast source)." "A misconfigured or hostile sender.";
    Ipv4Multicast "ipv4_multicast" Drop Packets "IPv4 multicast or broadcast, which is not forwarded." "Normal.";
    Ipv4TtlExpired "ipv4_ttl_expired" Drop Packets "TTL ran out here; the sender was told (rate-limited)." "A routing loop, or somebody runs traceroute.";
    // IPv6.
    Ipv6Runt "ipv6_runt" Drop Packets "Frame ends inside its IPv6 header." "A broken sender on this link.";
    Ipv6BadVersion "ipv6_bad_version" Drop Packets "Version field is not 6." "A broken sender on this link.";
    Ipv6BadLength "ipv6_bad_length" Drop Packets "Payload length is beyond the frame." "A broken sender on this link.";
    Ipv6ExtensionHeader "ipv6_extension_header" Drop Packets "Extension headers that are broken or that this gateway does not handle." "Let the sender leave them out.";
    Ipv6BadAddress "ipv6_bad_address" Drop Packets "Source or destination that must not be forwarded (loopback, unspecified, multicast source)." "A misconfigured or hostile sender.";
    Ipv6Multicast "ipv6_multicast" Drop Packets "IPv6 multicast, which is not forwarded." "Normal.";
    Ipv6LinkLocal "ipv6_link_local" Drop Packets "From or to a link-local address, and not for us: such packets never leave their link (RFC 4291, 2.5.6)." "Let the sender use an address of its network.";
    Ipv6HopLimitExpired "ipv6_hop_limit_expired" Drop Packets "Hop limit ran out here; the sender was told (rate-limited)." "A routing loop, or somebody runs traceroute.";
    // UDP and ICMP to ourselves.
    UdpRunt "udp_runt" Drop Packets "Packet ends inside its UDP header." "A broken sender.";
    UdpBadLength "udp_bad_length" Drop Packets "UDP length is below 8 or beyond the packet." "A broken sender.";
    UdpBadChecksum "udp_bad_checksum" Drop Packets "UDP checksum is wrong." "Bad cable or memory, or a broken sender.";
    IcmpMalformed "icmp_malformed" Drop Packets "ICMP message that is truncated or has a wrong checksum." "A broken sender.";
    IcmpEchoConsumed "icmp_echo_consumed" Leave Packets "Echo requests to our own addresses, answered." "";
    IcmpIgnored "icmp_ignored" Drop Packets "ICMP message to us of a type that is not used." "Normal.";
    IcmpTooBigConsumed "icmp_too_big_consumed" Leave Packets "Path MTU messages about our own ESP packets, taken into account." "";
    IcmpErrorSent "icmp_error_sent" Note Packets "ICMP errors sent to senders (too big, TTL expired, unreachable)." "";
    IcmpErrorSuppressed "icmp_error_suppressed" Note Packets "ICMP errors not sent: the rate limit, or RFC 1122 3.2.2 forbids one." "";
    LocalNotServed "local_not_served" Drop Packets "Packet to one of our own addresses for a protocol or port that nothing serves." "A scan, or a service that is expected here and is not.";

    // Fragments.
    FragmentsHeld "fragments_received" Note Packets "Fragments that went to reassembly." "";
    FragmentsMerged "fragments_merged" Leave Packets "Fragments that became part of a whole packet." "";
    Reassembled "reassembled" Enter Packets "Whole packets out of reassembly." "";
    FragmentMalformed "fragment_malformed" Drop Packets "Fragment with an impossible offset or length, or an overlap." "A broken or hostile sender.";
    FragmentTimeout "fragment_timeout" Drop Packets "Fragments whose packet did not become whole: in time, in at most eight fragments, without overlaps, and among no more packets than the table holds." "Loss on the path, or a flood of fragments: lower the tunnel's MTU.";
    Fragmented "fragmented" Leave Packets "Packets that were cut into fragments because the path is smaller." "Lower the senders' MTU or switch MSS clamping on.";
    TooBig "too_big" Drop Packets "Larger than the path allows and not to be fragmented; the sender was told (rate-limited)." "Normal while path MTU discovery works; otherwise a firewall eats the ICMP messages.";
    MssClamped "mss_clamped" Note Packets "TCP handshakes whose MSS was lowered to fit the tunnel." "";

    // Routing and policy.
    NoRoute "no_route" Drop Packets "No route to the destination." "Add the route, or the prefix to the local network gateway.";
    RouteBlackhole "route_blackhole" Drop Packets "The route says to discard." "";
    ClearText "clear_text" Drop Packets "A packet arrived in clear text that policy wants protected by a tunnel, or would leave unprotected between networks." "Somebody spoofs tunnel addresses on the public side, or the route to the tunnel is missing.";
    PeeringWrongSource "peering_wrong_source" Drop Packets "A packet of a network has a source that is another network's: of one that is peered with it, or that the network where it goes knows better." "Find out who spoofs addresses there, or give the host an address of its own network; if it is a network behind a router, add its prefix to the address space.";
    CircuitDown "circuit_down" Drop Packets "To a prefix behind a private circuit that is down, and no tunnel leads there." "See the circuit's reason in `crossgate connections`; a connection of a Vpn gateway to the same prefix would be its fallback.";
    CircuitTransit "circuit_transit" Drop Packets "Out of a tunnel or a circuit and on to a circuit, or from a circuit into a tunnel: nothing passes from one to the other." "Connect the sites that have to reach each other to the same kind of gateway.";
    CircuitWrongSource "circuit_wrong_source" Drop Packets "A packet from a circuit whose source is not behind that circuit, or a packet from elsewhere whose source is." "Add the prefix to the circuit if it is there; otherwise find out who spoofs addresses.";
    SelectorOutbound "selector_outbound" Drop Packets "Routed into a tunnel whose traffic selectors do not cover it." "Widen traffic_selectors on both sides, or correct the route.";
    NatTranslated "nat_translated" Note Packets "Packets whose addresses NAT rules translated, into a tunnel or out of one." "";
    NatNoMapping "nat_no_mapping" Drop Packets "An address is on this side that of another host by the connection's NAT rules, so that the packet could not be answered." "Send from and to the internal address of a host here, and the external one of a host there (crossgate connection NAME lists both).";
    NatUntranslatable "nat_untranslatable" Drop Packets "NAT rules cannot translate the packet: AH or a routing header binds its addresses, its transport header is cut off, a dynamic rule finds neither TCP, UDP nor an ICMP echo in it, or an ICMP error does not quote whose packet it is about." "Take ESP or TLS instead of AH; fragments have to hold the whole transport header.";
    NatNoSession "nat_no_session" Drop Packets "A dynamic NAT rule hides the packet's destination, and no session has begun there for which it is an answer." "Sessions begin on the side of the rule's internal_mapping alone: let the other side begin by a static rule.";
    NatPortsExhausted "nat_ports_exhausted" Drop Packets "A new session through a dynamic NAT rule found no external port that is free." "Take an external_mapping of more addresses, up to 16 (/28): each has all of its ports then, and beyond that they share a million. `crossgate connection NAME` tells how many are in use.";
    NatFragmentUnknown "nat_fragment_unknown" Drop Packets "A later fragment for a dynamic NAT rule, whose first one has not come before it." "Lower the senders' MTU: fragments arrive out of order.";
    TunnelDown "tunnel_down" Drop Packets "The tunnel has no SA: nothing may leave in clear text, so it is dropped and the tunnel is asked for." "See the connection's reason in `crossgate connections`.";

    // ESP outbound.
    EspSealed "esp_sealed" Note Packets "Packets encrypted into ESP." "";
    EspSealedBytes "esp_sealed_bytes" Note Bytes "Inner bytes encrypted into ESP." "";
    SaExpiredOutbound "sa_expired_outbound" Drop Packets "The outbound SA reached a hard lifetime." "Rekeying failed: see the connection's reason.";
    SequenceExhausted "sequence_exhausted" Drop Packets "The outbound SA has used up its sequence numbers." "Rekeying failed: see the connection's reason; use ESN.";
    EspNoRoom "esp_no_room" Drop Packets "The buffer has no room for the ESP headers or trailer." "A frame larger than the port's MTU: raise mtu_bytes.";
    SkuBandwidthOutbound "sku_bandwidth_outbound" Drop Packets "Packets on their way into a tunnel or a circuit beyond the bandwidth of the gateway's size, which all its tunnels or circuits share." "Take a larger sku (crossgate skus); apply resizes without dropping a tunnel.";
    EspTooLong "esp_too_long" Drop Packets "The packet with its ESP headers would exceed 65535 bytes." "Lower the sender's MTU.";
    KeepaliveSent "keepalive_sent" Note Packets "NAT keepalives sent." "";

    // ESP inbound.
    EspRunt "esp_runt" Drop Packets "Shorter than ESP header, IV, trailer and ICV." "A broken or hostile sender.";
    EspMisaligned "esp_misaligned" Drop Packets "Ciphertext does not end on a 4-byte boundary (RFC 4303, 2.4), or not with one of the cipher's blocks." "A broken or hostile sender.";
    EspUnknownSpi "esp_unknown_spi" Drop Packets "No SA has this SPI." "The peer kept an SA that we no longer have: it is told so, and will notice at once (RFC 6290) or by dead peer detection.";
    EspWrongEncapsulation "esp_wrong_encapsulation" Drop Packets "ESP in UDP for an SA without it, or the reverse." "The peer and we disagree about a NAT between us.";
    EspReplayed "esp_replayed" Drop Packets "Sequence number seen before." "A duplicating path, or an attacker.";
    EspTooOld "esp_too_old" Drop Packets "Sequence number left of the replay window." "Reordering beyond the window: raise replay_window_packets.";
    EspSequenceZero "esp_sequence_zero" Drop Packets "Sequence number 0, which is never sent (RFC 4303, 3.3.3)." "A broken or hostile sender.";
    EspAuthFailed "esp_auth_failed" Drop Packets "The ICV does not match: damaged, forged, or another key." "Some: damage on the path. All: keys differ, reset the connection.";
    EspOpened "esp_opened" Note Packets "ESP packets that were authentic." "";
    EspOpenedBytes "esp_opened_bytes" Note Bytes "Inner bytes decrypted from ESP." "";
    EspBadPadding "esp_bad_padding" Drop Packets "Padding is longer than the packet or not 1, 2, 3, .. (RFC 4303, 2.4)." "The peer's ESP is broken.";
    EspDummy "esp_dummy" Drop Packets "Dummy packet for traffic flow confidentiality (next header 59)." "Normal if the peer hides its traffic's shape.";
    EspBadNextHeader "esp_bad_next_header" Drop Packets "Next header is neither IPv4, IPv6 nor 59." "The peer uses transport mode or another protocol in the tunnel.";
    EspInnerMalformed "esp_inner_malformed" Drop Packets "The inner packet is truncated, or its version disagrees with the next header." "The peer's ESP is broken.";
    EspSelectorMismatch "esp_selector_mismatch" Drop Packets "The inner packet is outside of the SA's traffic selectors (RFC 4301, 5.2)." "The peer routes more into the tunnel than was agreed: compare traffic selectors.";
    EspWrongSource "esp_wrong_source" Drop Packets "The inner packet's source belongs to us or to another tunnel, here or in the peered network where it goes, or (where the traffic selectors are any-to-any) to nobody that is routed." "The peer sends for others: if it may, add the prefix to its local network gateway; otherwise find out who spoofs addresses there.";
    EcnIllegal "ecn_illegal" Drop Packets "Outer header says congestion experienced, the inner cannot carry it (RFC 6040, 4.2)." "A router on the path marks packets that it must not.";
    SaExpiredInbound "sa_expired_inbound" Drop Packets "The inbound SA reached a hard lifetime." "Rekeying failed: see the connection's reason.";
    SkuBandwidthInbound "sku_bandwidth_inbound" Drop Packets "Packets out of a circuit, or authentic ones out of a tunnel, beyond the bandwidth of the gateway's size, which all its tunnels or circuits share." "Take a larger sku (crossgate skus); apply resizes without dropping a tunnel.";
    KeepaliveReceived "keepalive_received" Leave Packets "NAT keepalives received and eaten (RFC 3948, 2.3)." "";
    ReassemblyTooLong "reassembly_too_long" Drop Packets "A packet out of reassembly did not fit into one buffer." "Lower the peer's MTU or raise the port's buffers.";
}

#[cfg(test)]
mod tests;
