# Inlet's image: three programs, the libraries they map and nothing that could run anything else.
#
#   docker build -t inlet . && docker run -p 8080:8080 inlet
#
# Built and looked at by ./dev image. The same sources, base image and packages give the same files with the same
# times; deploy/image/README.md says what else a digest depends on. Nothing here names a processor.

ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      g++ cmake ninja-build pkg-config ca-certificates libboost1.81-dev libfmt-dev libspdlog-dev libcli11-dev \
      libtomlplusplus-dev libsimdjson-dev libzstd-dev libxxhash-dev zlib1g-dev libssl-dev libcurl4-openssl-dev librdkafka-dev \
      libseccomp-dev libncurses-dev libjs-chart.js libgtest-dev \
      binutils python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG JOBS=0
RUN cmake --preset release \
    && cmake --build build/release --parallel "$([ "$JOBS" -gt 0 ] && echo "$JOBS" || nproc)" \
         --target inlet inlet-ship inlet-top
# Every file of the image, in /image/root; the programs' symbols in /image/symbols.
ARG SOURCE_DATE_EPOCH=0
RUN python3 deploy/image/assemble.py --programs build/release --out /image --epoch "$SOURCE_DATE_EPOCH"

# docker build --target symbols --output symbols . : for a debugger, by build id.
FROM scratch AS symbols
COPY --from=build /image/symbols/ /

FROM scratch
COPY --from=build /image/root/ /
ENV PATH=/usr/local/bin INLET_CONFIG=/etc/inlet/inlet.toml INLET_DATA=/var/lib/inlet \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt TERM=xterm-256color
USER 10001:10001
WORKDIR /var/lib/inlet
VOLUME /var/lib/inlet
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["inlet", "health"]
ENTRYPOINT ["/usr/local/bin/inlet"]
CMD ["run"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="inlet" \
      org.opencontainers.image.description="The front door for customer data: 2xx only when the bytes are safe on disk." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
