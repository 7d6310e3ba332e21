-- Packets on the ESP side, UDP 4500 to the gateway's public address: without the keys they are refused (unknown SPI or forged), which
-- shows what a flood costs. Sizes are those that the inner size has once it is sealed. Wants size, flows and family; see README.md.

dofile((profiles or "perf/pktgen/dpdk/") .. "common.lua")

public = public or { [4] = { "192.0.2.2", "192.0.2.1" }, [6] = { "2001:db8::2", "2001:db8::1" } }

-- Outer header, UDP, SPI and sequence number, IV, trailer in steps of four, tag.
function sealed(bytes)
    local outer = family == 6 and 40 or 20
    return outer + 8 + 8 + 8 + math.floor((bytes + 2 + 3) / 4) * 4 + 16
end

local source, destination = table.unpack(public[family])
reset(source, destination)
if size == "imix" then
    flows = #imix
    local sizes = {}
    for number, bytes in ipairs(imix) do
        sizes[number] = sealed(bytes)
    end
    sequence(source, destination, sizes, 4500)
else
    -- A flow is a source port here.
    local port = { source = { first = 1024, last = 1024 + flows - 1 }, destination = 4500 }
    range({ first = source, last = source }, destination, port, sealed(size))
end
io.write(string.format("ESP side: inner %s bytes, %d flows, IPv%d, ports %s to %s\n", tostring(size), flows, family, send, receive))
