-- Packets on the ESP side, UDP 4500 to the gateway's public address: without the keys they are refused (unknown SPI or forged), which
-- shows what a flood costs. Sizes are those that the inner size has once it is sealed. Wants size, flows and family; see README.md.

dofile((profiles or "perf/pktgen/dpdk/") .. "common.lua")

public = public or { [4] = { "192.0.2.2", "192.0.2.1" }, [6] = { "2001:db8::2", "2001:db8::1" } }

-- Outer header, UDP, SPI and sequence number, IV, trailer in steps of four, tag.
function sealed(bytes)
    local outer = family == 6 and 40 or 20
    return outer + 8 + 8 + 8 + math.floor((bytes + 2 + 3) / 4) * 4 + 16
end

reset()
local ends = public[family]
if size == "imix" then
    flows = #imix
    local sizes = {}
    for number, bytes in ipairs(imix) do
        sizes[number] = sealed(bytes)
    end
    sequence(ends[1], ends[2], family == 6 and "ipv6" or "ipv4", sizes, 4500)
else
    range(ends[1], ends[2], ends[2], "udp", sealed(size))
    -- A flow is a source port here.
    pktgen.range.src_port(send, "min", 1024)
    pktgen.range.src_port(send, "start", 1024)
    pktgen.range.src_port(send, "max", 1024 + flows - 1)
    pktgen.range.src_port(send, "inc", flows > 1 and 1 or 0)
    for _, key in ipairs({ "start", "min", "max" }) do
        pktgen.range.dst_port(send, key, 4500)
    end
end
printf("ESP side: inner %s bytes, %d flows, IPv%d, ports %s to %s\n", tostring(size), flows, family, send, receive)
