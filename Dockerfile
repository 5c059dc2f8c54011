# dicomnode with PyTorch for an NVIDIA GPU; PyTorch brings its own CUDA libraries, so the small base is enough.
# docs/operations.md shows how to run it.

FROM nvidia/cuda:12.8.1-base-ubuntu24.04 AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/dicomnode \
    && /opt/dicomnode/bin/pip install -c constraints.txt '.[torch]'

FROM nvidia/cuda:12.8.1-base-ubuntu24.04
ENV PATH="/opt/dicomnode/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    DICOMNODE_CONFIG=/etc/dicomnode/dicomnode.toml
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/dicomnode /opt/dicomnode
COPY docker/healthcheck.py /usr/local/lib/dicomnode/healthcheck.py
RUN mkdir -p /etc/dicomnode /data /models \
    && dicomnode config init "$DICOMNODE_CONFIG" \
    && dicomnode config set node.data_dir /data \
    && dicomnode config set model.folder /models \
    && dicomnode config set model.engine torch \
    && dicomnode config set log.format json \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin dicomnode \
    && chown dicomnode /data /models \
    && chmod 0700 /data
USER 10001
WORKDIR /data
# /models is for imported models (docs/models.md); those that come along lie in the package.
VOLUME ["/data", "/models"]
EXPOSE 11112
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=20s --retries=3 \
    CMD ["python3", "/usr/local/lib/dicomnode/healthcheck.py"]
ENTRYPOINT ["dicomnode"]
CMD ["serve"]
