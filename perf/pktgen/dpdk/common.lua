-- What the clear and the ESP profile have in common. Loaded by them.

send, receive = send or "0", receive or "1"
size, flows, family = size or 64, flows or 1, family or 4

-- The gateway's MAC address on the generator's side, and the generator's own.
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

function reset()
    pktgen.screen("off")
    pktgen.stop("all")
    pktgen.reset("all")
    pktgen.clr()
    pktgen.set(send, "count", 0)
    pktgen.set(send, "burst", 32)
    pktgen.set(send, "rate", 100)
    pktgen.set_mac(send, "dst", gateway_mac)
end

-- One flow, or one for each host from first to last: the range changes the address of each packet.
function range(source, first, last, protocol, bytes)
    -- The kind comes first: it says of which kind addresses are, and how short a packet may be.
    pktgen.range.set_type(send, family == 6 and "ipv6" or "ipv4")
    local none, one = "0.0.0.0", "0.0.0.1"
    if family == 6 then
        none, one = "::", "::1"
    end
    pktgen.range.dst_mac(send, "start", gateway_mac)
    pktgen.range.src_mac(send, "start", own_mac)
    for _, key in ipairs({ "start", "min", "max" }) do
        pktgen.range.src_ip(send, key, source)
        pktgen.range.pkt_size(send, key, frame(bytes))
        pktgen.range.src_port(send, key, 5001)
        pktgen.range.dst_port(send, key, 5001)
    end
    pktgen.range.src_ip(send, "inc", none)
    pktgen.range.pkt_size(send, "inc", 0)
    pktgen.range.src_port(send, "inc", 0)
    pktgen.range.dst_port(send, "inc", 0)
    pktgen.range.dst_ip(send, "start", first)
    pktgen.range.dst_ip(send, "min", first)
    pktgen.range.dst_ip(send, "max", last)
    pktgen.range.dst_ip(send, "inc", first == last and none or one)
    pktgen.range.ip_proto(send, protocol)
    pktgen.set_range(send, "on")
end

-- A sequence of packets of these sizes, each of one flow: Pktgen has 16 at most, so a mixture of twelve sizes has twelve flows.
function sequence(source, destination, kind, sizes, port)
    for number, bytes in ipairs(sizes) do
        pktgen.seqTable(number - 1, send, {
            ["eth_dst_addr"] = gateway_mac, ["eth_src_addr"] = own_mac,
            ["ip_dst_addr"] = destination, ["ip_src_addr"] = source,
            ["sport"] = 5000 + number, ["dport"] = port,
            ["ethType"] = kind, ["ipProto"] = "udp", ["vlanid"] = 1, ["pktSize"] = frame(bytes),
        })
    end
    pktgen.set(send, "seq_cnt", #sizes)
end

-- 10.B.1.0 or fd00:B::1:0, and so many addresses after it.
function host(site, number)
    if family == 6 then
        return string.format("fd00:%d::1:%x", site, number)
    end
    return string.format("10.%d.%d.%d", site, 1 + math.floor(number / 256), number % 256)
end
