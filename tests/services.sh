#!/usr/bin/env bash
# Images of the ten services upon a base made by debootstrap, in both ways: by `docker build` with the
# Dockerfile of this folder, and by `loci build` without an engine. In each the service's own command
# starts, `pip check` is clean, users and owners are right; all their files are the same; a child image
# can be made; and skopeo, umoci, podman and buildah take what `loci build` wrote.
#
#   tests/services.sh                       with debug builds, which it makes
#   tests/services.sh 'keystone nova'       only these services
#   SUITE=trixie tests/services.sh keystone  another release of Debian, whose wheels are built in its own root
#   LOCI=... STATIC=... tests/services.sh   STATIC is linked so that it runs in any root
#
# It needs root, Debian's archives and the package index. What is missing is named, and what needs it is
# skipped; with CI=true that is a failure. KEEP=1 leaves the folder with all that was made; BASE=FILE takes the
# base from a tar.
set -euo pipefail
# What services are made of is said here alone. UID is bash's own, which cannot be unset in it.
ours=(PROJECT PROJECT_REPO PROJECT_REF PROJECT_RELEASE PROJECT_PIP_EXTRAS EXTRA_PROJECTS WHEELS FROM
    PROFILES DISTRO UID GID PLUGIN PIP_PACKAGES DIST_PACKAGES EXTRA_BINDEP EXTRA_PYDEP PIP_ARGS PIP_WHEEL_ARGS
    PIP_BUILD_CONSTRAINT KEEP_ALL_WHEELS REGISTRY_PROTOCOL REGISTRY_INSECURE LOCI_BUILD_PYTHON LOCI_STEPS
    SOURCE_DATE_EPOCH LIBOAUTH2_URL LIBOAUTH2_SHA256 MOD_OAUTH2_URL MOD_OAUTH2_SHA256 NOVA_TSS_USER NOVA_TSS_UID
    NOVA_TSS_GID NOVNC_REPO NOVNC_REF SPICE_REPO SPICE_REF)
if [ -z "${SERVICES_ALONE:-}" ]; then
    exec env "${ours[@]/#/--unset=}" SERVICES_ALONE=1 bash "$0" "$@"
fi
cd "$(dirname "$0")/.."

services=${1:-keystone nova neutron glance cinder heat horizon ironic octavia manila}
suite=${SUITE:-bookworm}
target=x86_64-unknown-linux-gnu
if [ "$(uname -m)" != x86_64 ]; then
    target=$(uname -m)-unknown-linux-gnu
fi
if [ -z "${LOCI:-}" ]; then
    cargo build --quiet
    LOCI=${CARGO_TARGET_DIR:-target}/debug/loci
fi
if [ -z "${STATIC:-}" ]; then
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --target "$target"
    STATIC=${CARGO_TARGET_DIR:-target}/$target/debug/loci
fi
LOCI=$(realpath "$LOCI") STATIC=$(realpath "$STATIC")
work=$(mktemp -d "${WORK:-${TMPDIR:-/tmp}}/services.XXXXXX")
. tests/parts.sh
export LOCI_STORE=$work/store LOCI_PROGRESS=none LOCI_PYTHON=python3

say() {
    echo "services: $*" >&2
}
fail() {
    say "FAILED: $*"
    exit 1
}
# What is not there is nobody's fault but where everything has to be.
absence() {
    [ "${CI:-}" != true ] || fail "$*, and nothing is skipped in CI"
    say "SKIPPED $*"
}
skip() {
    absence "all of it: $*"
    exit 0
}

[ "$(id -u)" -eq 0 ] || skip 'only root can make the base and start an engine'
engine
! reason=$(missing docker) || skip "Docker Engine is missing: $reason"

# The base: as debootstrap makes it, with this machine's mirror and authorities.
root=$work/root
mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\).*/\2/p' /etc/apt/sources.list \
    /etc/apt/sources.list.d/* 2>/dev/null | grep -v -- '-security' | head -1 | cut -d' ' -f1) || true
if [ -n "${BASE:-}" ]; then
    mkdir "$root" && tar -C "$root" -xf "$BASE"
else
    command -v debootstrap >/dev/null || skip 'there is no `debootstrap` here'
    say "a base of $suite"
    debootstrap --variant=minbase --include=python3,ca-certificates "$suite" "$root" \
        "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
        skip "debootstrap cannot make $suite here: $(tail -1 "$work/debootstrap.log")"
    for file in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf; do
        [ ! -f "$file" ] || cp "$file" "$root$file"
    done
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
fi
cp -r /etc/ssl/certs "$root/etc/ssl/"
tar -C "$root" --numeric-owner -c . >"$work/base.tar"
"$docker" import -m base "$work/base.tar" "loci-base:$suite" >/dev/null
"$docker" save "loci-base:$suite" >"$work/base-image.tar"
from=docker-archive:$work/base-image.tar

# loci as an image, as the Dockerfile's stage makes it of the source.
mkdir "$work/loci"
cp "$STATIC" "$work/loci/loci"
tar -C "$work/loci" -c . | "$docker" import - loci:static >/dev/null

# The context of builds: the files that Dockerfiles and lists are, without what was compiled.
context=$work/context
mkdir "$context"
cp -r Dockerfile dockerfiles bindep pydep steps constraints "$context"
proxies=()
for name in http_proxy https_proxy no_proxy; do
    [ -z "${!name:-}" ] || proxies+=(--build-arg "$name=${!name}")
done
build() {
    "$docker" build --quiet --network host "${proxies[@]}" --build-arg "FROM=loci-base:$suite" \
        --build-arg LOCI=loci:static "$@"
}

say 'the wheels'
if [ "$suite" = bookworm ] && [ "$(/usr/bin/python3 -c 'import sys; print(*sys.version_info[:2])')" = '3 11' ]; then
    "$LOCI" build requirements --python /usr/bin/python3 -o "dir:$work/wheels" -q
    tar -C "$work/wheels" -c . | "$docker" import - loci-wheels >/dev/null
else
    index=()
    [ -z "${PIP_INDEX_URL:-}" ] || index+=(--build-arg "PIP_ARGS=--index-url $PIP_INDEX_URL")
    build "${index[@]}" --file "$context/dockerfiles/requirements/Dockerfile" --tag loci-wheels "$context" \
        >"$work/build.log" 2>&1 || fail "the requirements: $(tail -5 "$work/build.log")"
    "$docker" save loci-wheels >"$work/wheels.tar"
    "$LOCI" copy -q "docker-archive:$work/wheels.tar" "dir:$work/wheels"
fi
pip=$(ls "$work/wheels"/pip-*.whl)

# What nova's consoles come from.
for name in novnc spice-html5; do
    git init -q "$work/$name"
    (
        cd "$work/$name"
        echo "<title>$name</title>" >vnc.html
        git add . && git -c user.name=loci -c user.email=loci@example.org commit -qm "$name"
        git tag v1.0.0 && git tag spice-html5-0.1.6
    )
    git clone -q --mirror "$work/$name" "$context/$name.git"
done

# The command by which a service shows that it starts.
command_of() {
    case $1 in
    horizon) echo 'manage.py check' ;;
    neutron | octavia) echo "$1-db-manage --help" ;;
    ironic) echo 'ironic-dbsync --help' ;;
    *) echo "$1-manage --version" ;;
    esac
}

# Everything in an image, with bytes, modes and owners, but for what the engine puts there and the bill, which knows
# its base in one way only.
listing='cd /
    others="-path ./proc -o -path ./sys -o -path ./dev -o -path ./.dockerenv -o -path ./etc/hostname
        -o -path ./etc/hosts -o -path ./etc/resolv.conf -o -path ./etc/mtab -o -path ./etc/image_info/sbom.cdx.json"
    # In a RUN git may have come and gone: then dpkg lists the same in another order, with priorities of the archive.
    grep -v ^Priority: var/lib/dpkg/status | sort | sha256sum
    find . -xdev \( $others \) -prune -o -printf "%y %m %U %G %p %l\n" | sort
    find . -xdev \( $others \) -prune -o -type f ! -path ./var/lib/dpkg/status -print0 |
        sort -z | xargs -0 sha256sum'

inspect() {
    local service=$1 image=$2
    run() { "$docker" run --rm --network none "$image" "$@"; }
    run sh -c "$(command_of "$service")" >"$work/said" 2>&1 ||
        fail "$service does not start: $(tail -3 "$work/said")"
    "$docker" run --rm --network none -v "$pip:/mnt/$(basename "$pip"):ro" "$image" \
        python "/mnt/$(basename "$pip")/pip" check >"$work/said" 2>&1 ||
        fail "pip check of $service: $(tail -5 "$work/said")"
    run sh -ec "
        id '$service' | grep -q 'uid=42424($service) gid=42424($service)'
        for dir in /etc/$service /var/log/$service /var/lib/$service /var/cache/$service; do
            test \"\$(stat -c '%U:%G %a' \$dir)\" = '$service:$service 755'
        done
        test \"\$(stat -c '%U %a' /var/lib/openstack)\" = 'root 755'
        grep -q 'include-system-site-packages = true' /var/lib/openstack/pyvenv.cfg
        grep -q 'PROJECT=$service' /etc/image_info/project.txt
        grep -qi '^oslo' /etc/image_info/pip.txt
        test -z \"\$(find /var/lib/openstack -name '*.pyc' | head -1)\"
        test -z \"\$(ls /var/cache/apt/archives/*.deb /root/.cache 2>/dev/null)\"
        ! command -v git && ! command -v gcc && ! test -e /mnt/loci
        test ! -e /usr/sbin/policy-rc.d
    " >"$work/said" 2>&1 || fail "what is in the image of $service is not right: $(cat "$work/said")"
}

say "$services, without an engine"
export NOVNC_REPO=file://$work/novnc SPICE_REPO=file://$work/spice-html5
# shellcheck disable=SC2086
"$LOCI" build $services --from "$from" --wheels "dir:$work/wheels" -o "oci:$work/images:{project}" -q
# The Python part needs no network at all, once the distribution's is there.
# shellcheck disable=SC2086
unshare --net "$LOCI" build $services --from "$from" --wheels "dir:$work/wheels" -q \
    -o "oci:$work/again:{project}"
diff -r "$work/images" "$work/again" || fail 'without a network the images are others'

for service in $services; do
    begun=$SECONDS
    "$LOCI" copy -q "oci:$work/images:$service" "docker-archive:$work/$service.tar:loci-assembled/$service"
    "$docker" load -qi "$work/$service.tar" >/dev/null
    rm "$work/$service.tar"
    inspect "$service" "loci-assembled/$service"

    build --build-arg "PROJECT=$service" --build-arg WHEELS_IMAGE=loci-wheels \
        --build-arg NOVNC_REPO=file:///srv/novnc.git --build-arg SPICE_REPO=file:///srv/spice-html5.git \
        --tag "loci-built/$service" "$context" >"$work/build.log" 2>&1 ||
        fail "docker build of $service: $(tail -25 "$work/build.log")"
    inspect "$service" "loci-built/$service"

    for way in assembled built; do
        "$docker" run --rm --network none "loci-$way/$service" sh -c "$listing" >"$work/$way.files"
        "$docker" run --rm --network none "loci-$way/$service" cat /etc/image_info/pip.txt >"$work/$way.pip"
    done
    grep -q ' ./etc/passwd$' "$work/assembled.files" || fail "nothing is seen of $service"
    diff "$work/assembled.files" "$work/built.files" >"$work/said" ||
        fail "the two ways give other files of $service: $(head -40 "$work/said")"
    diff "$work/assembled.pip" "$work/built.pip" || fail "pip.txt of $service"
    [ "$service" = nova ] || "$docker" rmi -f "loci-built/$service" >/dev/null
    say "$service: $((SECONDS - begun)) s"
done

first=${services%% *}
say 'a child image'
printf 'FROM loci-assembled/%s\nRUN apt-get update && apt-get install -y --no-install-recommends tree\n' "$first" |
    "$docker" build --quiet --network host "${proxies[@]}" --tag child - >/dev/null || fail 'a child image'

say 'other readers'
# Some take capitals in a path for those of a name.
cd "$work"
for reader in skopeo umoci buildah podman; do
    command -v "$reader" >/dev/null || absence "$reader: there is no \`$reader\` here"
done
if command -v skopeo >/dev/null; then
    skopeo inspect "oci:images:$first" >/dev/null || fail skopeo
fi
if command -v umoci >/dev/null; then
    umoci unpack --image "images:$first" "$work/unpacked" >/dev/null 2>&1 || fail umoci
    chroot "$work/unpacked/rootfs" /usr/bin/env -i PATH=/var/lib/openstack/bin:/usr/bin:/bin \
        sh -c "$(command_of "$first")" >"$work/said" 2>&1 || fail "umoci, run: $(tail -3 "$work/said")"
fi
if command -v buildah >/dev/null; then
    container=$(buildah from --quiet "oci:images:$first" 2>"$work/said") || fail buildah
    buildah run --isolation chroot "$container" -- /bin/sh -c "$(command_of "$first")" >/dev/null 2>&1 ||
        fail 'buildah, run'
    buildah rm "$container" >/dev/null
fi
if command -v podman >/dev/null; then
    podman pull -q "oci:images:$first" >/dev/null || fail podman
fi
say "all of $services are right, in both ways"
