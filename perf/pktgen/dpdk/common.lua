-- What the clear and the ESP profile have in common. Loaded by them.

send, receive = send or "0", receive or "1"
size, flows, family = size or 64, flows or 1, family or 4

-- The MAC address of the gateway that is sent to, and the generator's own there.
gateway_mac = gateway_mac or "02:00:00:00:00:01"
own_mac = own_mac or "02:00:00:00:01:01"

ethernet_bytes = 14
-- Pktgen counts the checksum at the end of a frame.
fcs_bytes = 4

-- Bytes of the inner packets of a round: seven small ones, four in the middle, one large one.
imix = { 64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 64, 576 }

function frame(bytes)
    return bytes + ethernet_bytes + fcs_bytes
end

function kind()
    return family == 6 and "ipv6" or "ipv4"
end

-- Everything as it was at the start, and probes of latency between these two addresses.
function reset(source, destination)
    pktgen.screen("off")
    pktgen.stop("all")
    pktgen.reset("all")
    pktgen.clr()
    pktgen.set(send, "count", 0)
    pktgen.set(send, "burst", 32)
    pktgen.set(send, "rate", 100)
    pktgen.set_mac(send, "dst", gateway_mac)
    pktgen.set_type(send, kind())
    pktgen.set_proto(send, "udp")
    local bits = family == 6 and "/64" or "/24"
    pktgen.set_ipaddr(send, "dst", destination)
    pktgen.set_ipaddr(send, "src", source .. bits)
end

-- Each packet from the next of these addresses and ports; first and last are the same where they do not change.
function range(source, destination, port, bytes)
    -- The kind comes first: it says of which kind addresses are, and how short a packet may be.
    pktgen.range.set_type(send, kind())
    local none, one = "0.0.0.0", "0.0.0.1"
    if family == 6 then
        none, one = "::", "::1"
    end
    pktgen.range.dst_mac(send, "start", gateway_mac)
    pktgen.range.src_mac(send, "start", own_mac)
    for _, key in ipairs({ "start", "min", "max" }) do
        local at = key == "max" and "last" or "first"
        pktgen.range.src_ip(send, key, source[at])
        pktgen.range.dst_ip(send, key, destination)
        pktgen.range.pkt_size(send, key, frame(bytes))
        pktgen.range.src_port(send, key, port.source[at])
        pktgen.range.dst_port(send, key, port.destination)
    end
    pktgen.range.src_ip(send, "inc", source.first == source.last and none or one)
    pktgen.range.dst_ip(send, "inc", none)
    pktgen.range.pkt_size(send, "inc", 0)
    pktgen.range.src_port(send, "inc", port.source.first == port.source.last and 0 or 1)
    pktgen.range.dst_port(send, "inc", 0)
    pktgen.range.ip_proto(send, "udp")
    pktgen.set_range(send, "on")
end

-- A sequence of packets of these sizes, each of one flow: Pktgen has 16 at most, so a mixture of twelve sizes has twelve flows.
function sequence(source, destination, sizes, port)
    for number, bytes in ipairs(sizes) do
        pktgen.seqTable(number - 1, send, {
            ["eth_dst_addr"] = gateway_mac, ["eth_src_addr"] = own_mac,
            ["ip_dst_addr"] = destination, ["ip_src_addr"] = source .. (family == 6 and "/64" or "/24"),
            ["sport"] = 5000 + number, ["dport"] = port,
            ["ethType"] = kind(), ["ipProto"] = "udp", ["vlanid"] = 1, ["pktSize"] = frame(bytes),
        })
    end
    pktgen.set(send, "seq_cnt", #sizes)
end
