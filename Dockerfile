# A service by docker alone, with the build arguments of OpenStack LOCI:
#
#   docker build . --build-arg FROM=loci-base:debian --build-arg PROJECT=keystone \
#       --build-arg WHEELS=registry.example.org/loci/requirements:master-debian --tag loci-keystone:debian
#
# The wheels are in a registry or at a URL (WHEELS), or in an image that the engine has and mounts
# (WHEELS_IMAGE), and then no network is needed for them. See README.md for all the arguments.
ARG FROM=debian:bookworm
ARG LOCI=loci-built
ARG WHEELS_IMAGE=loci

# loci, linked so that it runs on any distribution. `--build-arg LOCI=IMAGE` takes an image that has it
# at /loci.
FROM rust:1.95-bookworm AS loci-built
WORKDIR /src
COPY . .
RUN RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --release --target x86_64-unknown-linux-gnu \
    && cp target/x86_64-unknown-linux-gnu/release/loci /loci

FROM ${LOCI} AS loci

FROM ${WHEELS_IMAGE} AS wheels

FROM ${FROM}
ENV PATH=/var/lib/openstack/bin:$PATH
ARG PROJECT
ARG PROJECT_REPO
ARG PROJECT_REF
ARG PROJECT_RELEASE
ARG PROJECT_PIP_EXTRAS
ARG EXTRA_PROJECTS
ARG WHEELS
ARG PROFILES
ARG DISTRO
ARG UID
ARG GID
ARG PLUGIN
ARG PIP_PACKAGES
ARG PIP_ARGS
ARG PIP_WHEEL_ARGS
ARG PIP_BUILD_CONSTRAINT
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
ARG PIP_PRE
ARG PIP_NO_BINARY
ARG PIP_ONLY_BINARY
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
ARG PIP_PROXY
ARG PIP_RETRIES
ARG PIP_DEFAULT_TIMEOUT
ARG KEEP_ALL_WHEELS
ARG DIST_PACKAGES
ARG EXTRA_BINDEP
ARG EXTRA_PYDEP
ARG REGISTRY_PROTOCOL
ARG REGISTRY_INSECURE
ARG LOCI_PYTHON
ARG LOCI_STEPS
ARG LOCI_JOBS
ARG LOCI_OFFLINE
ARG LOCI_PROGRESS
ARG SOURCE_DATE_EPOCH
# What the steps of keystone and nova take: see steps/.
ARG LIBOAUTH2_URL
ARG LIBOAUTH2_SHA256
ARG MOD_OAUTH2_URL
ARG MOD_OAUTH2_SHA256
ARG NOVA_TSS_USER
ARG NOVA_TSS_UID
ARG NOVA_TSS_GID
ARG NOVNC_REPO
ARG NOVNC_REF
ARG SPICE_REPO
ARG SPICE_REF
ARG http_proxy
ARG https_proxy
ARG no_proxy
# Everything is mounted where every base has a directory already, so that no trace of it stays.
RUN --mount=type=bind,from=loci,source=/,target=/mnt \
    --mount=type=bind,from=wheels,source=/,target=/media \
    --mount=type=bind,source=.,target=/srv \
    cd /srv && WHEELS="${WHEELS:-dir:/media}" /mnt/loci install
# What is known here, by the names that `loci build` has for it; the version that a base's label tells is its own.
ARG FROM
LABEL org.opencontainers.image.title=$PROJECT \
    org.opencontainers.image.version= \
    org.opencontainers.image.base.name=$FROM \
    org.openstack.loci.project=$PROJECT \
    org.openstack.loci.ref=$PROJECT_REF
