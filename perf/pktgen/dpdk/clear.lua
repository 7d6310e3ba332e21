-- Clear UDP packets from hosts of site 1 to one of site 2. Wants size, flows and family; see README.md.

dofile((profiles or "perf/pktgen/dpdk/") .. "common.lua")

-- A host of a site: 10.S.1.1 or fd00:S::1:0, and so many addresses after it.
local function host(site, number)
    if family == 6 then
        return string.format("fd00:%d::1:%x", site, number)
    end
    return string.format("10.%d.%d.%d", site, 1 + (number + 1) // 256, (number + 1) % 256)
end

local source, destination = host(1, 0), host(2, 0)
reset(source, destination)
-- The receiver is that host: it answers whoever asks for its MAC address (IPv4 only).
pktgen.set_ipaddr(receive, "src", host(2, 0) .. (family == 6 and "/64" or "/16"))
pktgen.process(receive, "on")
if size == "imix" then
    flows = #imix
    sequence(source, destination, imix, 5001)
else
    local port = { source = { first = 5001, last = 5001 }, destination = 5001 }
    range({ first = source, last = host(1, flows - 1) }, destination, port, size)
end
io.write(string.format("clear: %s bytes, %d flows, IPv%d, ports %s to %s\n", tostring(size), flows, family, send, receive))
