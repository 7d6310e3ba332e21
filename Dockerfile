# The appliance image: crossgated with its client on Debian 12.
#
#   docker build -t crossgate .
#   docker run --rm --privileged --network host -v /dev/hugepages:/dev/hugepages \
#       -v /etc/crossgate:/etc/crossgate:ro -v /run/crossgate:/run/crossgate \
#       -v /var/lib/crossgate:/var/lib/crossgate crossgate
#
# DPDK needs the host's network devices and hugepages, hence --privileged and the host's network.

FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libdpdk-dev libclang-dev pkg-config
WORKDIR /source
COPY . .
RUN cargo build --release --locked -p crossgate --bins

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends dpdk && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/target/release/crossgated /source/target/release/crossgate /usr/local/bin/
ENTRYPOINT ["crossgated"]
CMD ["/etc/crossgate/crossgate.toml"]
