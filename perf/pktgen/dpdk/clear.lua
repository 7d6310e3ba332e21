-- Clear packets from site A's hosts to site B's, UDP. Wants size, flows and family; see README.md.

dofile((profiles or "perf/pktgen/dpdk/") .. "common.lua")

reset()
local source = family == 6 and "fd00:1::99" or "10.1.0.99"
if size == "imix" then
    flows = #imix
    sequence(source, family == 6 and "fd00:2::99" or "10.2.0.99", family == 6 and "ipv6" or "ipv4", imix, 5001)
else
    range(source, host(2, 0), host(2, flows - 1), "udp", size)
end
printf("clear: %s bytes, %d flows, IPv%d, ports %s to %s\n", tostring(size), flows, family, send, receive)
