-- Clear packets from site A's hosts to site B's, UDP. Wants size, flows and family; see README.md.

dofile((profiles or "perf/pktgen/dpdk/") .. "common.lua")

reset()
if family == 6 then
    -- A sequence: one flow, or as many as Pktgen's sequences have packets.
    sequence("fd00:1::99", "fd00:2::99", "ipv6", sizes_of(flows > 1 and 16 or 1))
elseif size == "imix" then
    sequence("10.1.0.99", "10.2.0.99", "ipv4", imix)
else
    range("10.1.0.99", host(2, 0), host(2, flows - 1), "udp", size)
end
printf("clear: %s bytes, %d flows, IPv%d, ports %s to %s\n", tostring(size), flows, family, send, receive)
