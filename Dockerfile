# The production image: the server alone. URLs connect it to Kafka, a registry and ClickHouse (docker-compose.yml). It has
# no engine library, so an embedded ClickHouse cannot be started in it by mistake.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches keep the 600 crates between builds. They are not part of any layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked --bin roundhouse \
    && install -D /target/release/roundhouse /out/roundhouse

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/roundhouse --create-home roundhouse
COPY --from=build /out/roundhouse /usr/local/bin/roundhouse
USER roundhouse
WORKDIR /var/lib/roundhouse
ENV ROUNDHOUSE_LISTEN=0.0.0.0:8000 \
    ROUNDHOUSE_DATA_DIR=/var/lib/roundhouse \
    ROUNDHOUSE_LOG_FORMAT=json
VOLUME /var/lib/roundhouse
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8000/readyz"]
ENTRYPOINT ["roundhouse"]
CMD ["serve"]
