# The three images: docker build --target gateway (or mask-rcnn, sam-2) .
#
# Final stages hold no build tools: what they run is built in a stage beside them. The model images
# stand on one stage with torch, so that its six gigabytes are built, sent and kept once.
# What is installed from an index has its SHA-256 in locks/ (`make locks`); another base, or the same
# one held by its digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
# What labels, GET /version and metrics say of the build: --build-arg REVISION=$(git rev-parse HEAD)
# --build-arg CREATED=$(date -u +%FT%TZ) --build-arg SOURCE=https://...
# Needs nothing of BuildKit's; an index of your own: --build-arg PIP_INDEX_URL=https://...

ARG BASE=python:3.11-slim-bookworm
# Of all distributions here; what else an image says of its build has no default.
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
ARG CREATED=
FROM ${BASE} AS base
# A number for the user: names may differ between the host and the image, numbers do not.
RUN groupadd --gid 10001 diptych \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --no-log-init diptych
ENV PATH=/opt/diptych/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DIPTYCH_HOST=0.0.0.0
LABEL org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="python:3.11-slim-bookworm"


# Our distributions as wheels.
FROM base AS wheels
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY locks/build.txt /opt/locks/
RUN python -m venv --without-pip /tools \
    && pip --python /tools/bin/python install -q --no-cache-dir \
        --require-hashes -r /opt/locks/build.txt
COPY client /src/client
COPY services /src/services
COPY gateway /src/gateway
RUN pip --python /tools/bin/python wheel -q --no-cache-dir --no-deps \
        --no-build-isolation --wheel-dir /wheels \
        /src/client /src/services/*/ /src/gateway


FROM base AS build-gateway
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY locks/gateway.txt /opt/locks/
COPY --from=wheels /wheels /wheels
RUN python -m venv --without-pip /opt/diptych \
    && pip --python /opt/diptych/bin/python install -q --no-cache-dir \
        --require-hashes -r /opt/locks/gateway.txt \
    && pip --python /opt/diptych/bin/python install -q --no-index --no-deps \
        /wheels/diptych-*.whl /wheels/diptych_runtime-*.whl /wheels/diptych_gateway-*.whl

FROM base AS gateway
COPY --from=build-gateway /opt/diptych /opt/diptych
ENV DIPTYCH_ADDRESS=localhost:50051
LABEL org.opencontainers.image.title="diptych-gateway" \
    org.opencontainers.image.description="One door to every Diptych model"
ARG VERSION
ARG REVISION
ARG SOURCE
ARG CREATED
ENV DIPTYCH_REVISION=$REVISION
LABEL org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.created="$CREATED"
USER 10001:10001
EXPOSE 50051
EXPOSE 8080
ENTRYPOINT ["diptych-gateway"]


# torch as PyPI has it, with CUDA, for machines with and without a GPU. An environment of its own:
# those of the services lie above it, and only they are copied.
FROM base AS torch
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY locks/torch.txt /opt/locks/
RUN python -m venv --without-pip /opt/torch \
    && pip --python /opt/torch/bin/python install -q --no-cache-dir \
        --require-hashes -r /opt/locks/torch.txt
# A named volume takes its owner from here.
ENV DIPTYCH_WEIGHTS_DIR=/var/lib/diptych/weights
RUN mkdir -p "$DIPTYCH_WEIGHTS_DIR" && chown 10001:10001 "$DIPTYCH_WEIGHTS_DIR"

FROM torch AS above-torch
RUN python -m venv --without-pip /opt/diptych \
    && echo /opt/torch/lib/python3.11/site-packages \
        > /opt/diptych/lib/python3.11/site-packages/torch.pth
COPY --from=wheels /wheels /wheels


# <<< services.toml: images
FROM above-torch AS build-mask-rcnn
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY locks/mask-rcnn.txt /opt/locks/
RUN pip --python /opt/diptych/bin/python install -q --no-cache-dir \
        --require-hashes -r /opt/locks/mask-rcnn.txt \
    && pip --python /opt/diptych/bin/python install -q --no-index --no-deps \
        /wheels/diptych-*.whl /wheels/diptych_runtime-*.whl /wheels/diptych_torch-*.whl \
        /wheels/diptych_maskrcnn-*.whl

FROM torch AS mask-rcnn
COPY --from=build-mask-rcnn /opt/diptych /opt/diptych
ENV DIPTYCH_ADDRESS=localhost:50061
LABEL org.opencontainers.image.title="diptych-mask-rcnn" \
    org.opencontainers.image.description="Mask R-CNN behind the Diptych contract"
ARG VERSION
ARG REVISION
ARG SOURCE
ARG CREATED
ENV DIPTYCH_REVISION=$REVISION
LABEL org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.created="$CREATED"
USER 10001:10001
EXPOSE 50061
ENTRYPOINT ["diptych-mask-rcnn"]


FROM above-torch AS build-sam-2
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY locks/sam-2.txt /opt/locks/
RUN SAM2_BUILD_CUDA=0 pip --python /opt/diptych/bin/python install -q --no-cache-dir \
        --require-hashes --no-build-isolation -r /opt/locks/sam-2.txt \
    && pip --python /opt/diptych/bin/python install -q --no-index --no-deps \
        /wheels/diptych-*.whl /wheels/diptych_runtime-*.whl /wheels/diptych_torch-*.whl \
        /wheels/diptych_sam2-*.whl

FROM torch AS sam-2
COPY --from=build-sam-2 /opt/diptych /opt/diptych
ENV DIPTYCH_ADDRESS=localhost:50062
LABEL org.opencontainers.image.title="diptych-sam-2" \
    org.opencontainers.image.description="SAM 2 behind the Diptych contract"
ARG VERSION
ARG REVISION
ARG SOURCE
ARG CREATED
ENV DIPTYCH_REVISION=$REVISION
LABEL org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.created="$CREATED"
USER 10001:10001
EXPOSE 50062
ENTRYPOINT ["diptych-sam-2"]
# >>>
