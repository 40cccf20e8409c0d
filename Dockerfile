# The miner, or a node of a cluster (command: node --join ...); bitcoind is another container, or another machine (deploy/).
# It runs as user 10001 with a read-only root; only /var/lib/solominer and /var/cache/solominer are written.
FROM python:3.12-slim AS build
ARG EXTRAS=stratum,stratum2,web,mqtt,cluster
COPY . /source
RUN python -m venv /opt/solominer \
    && /opt/solominer/bin/pip install --no-cache-dir "/source[$EXTRAS]"

FROM python:3.12-slim
# For graphics cards, see deploy/compose/gpu: a package with an OpenCL driver, if the host does not bring it along.
ARG OPENCL_DRIVER=
# hadolint ignore=DL3008
RUN if [ -n "$OPENCL_DRIVER" ]; then \
        apt-get update && apt-get install --yes --no-install-recommends "$OPENCL_DRIVER" \
        && rm -rf /var/lib/apt/lists/*; \
    fi
RUN groupadd --gid 10001 solominer \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/solominer --shell /usr/sbin/nologin solominer \
    && install -d -m 0700 -o solominer -g solominer /var/lib/solominer /var/cache/solominer
COPY --from=build /opt/solominer /opt/solominer
ENV PATH=/opt/solominer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SOLOMINER_DATA_DIR=/var/lib/solominer \
    SOLOMINER_CACHE=/var/cache/solominer
USER 10001:10001
VOLUME ["/var/lib/solominer", "/var/cache/solominer"]
STOPSIGNAL SIGTERM
# Compiling the kernels comes before the first answer.
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 CMD ["solominer", "status"]
ENTRYPOINT ["solominer"]
CMD ["run", "--plain", "--yes", "--config", "/etc/solominer/config.json"]
