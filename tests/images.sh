#!/usr/bin/env bash
# Images of a small real set exchanged with everything that reads and writes images: a registry
# without and with TLS and a login, skopeo, umoci, buildah, podman, Docker Engine, pip, and LOCI's
# ways of fetching. What is missing here is named, and what needs it is skipped.
#
#   tests/images.sh             with the debug build, which it makes
#   tests/images.sh PATTERN     only the cases whose name matches, an extended regular expression
#   LOCI=/usr/bin/loci tests/images.sh
#
# KEEP=1 leaves the folder with all that was made.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${LOCI:-}" ]; then
    cargo build --quiet
    LOCI=${CARGO_TARGET_DIR:-target}/debug/loci
fi
LOCI=$(realpath "$LOCI")
only=${1:-.}
python=$(command -v "${PYTHON:-python3}")
work=$(mktemp -d "${WORK:-${TMPDIR:-/tmp}}/images.XXXXXX")
. tests/parts.sh
export LOCI_STORE=$work/store LOCI_PYTHON=$python LOCI_PROGRESS=none
unset REGISTRY_PROTOCOL REGISTRY_INSECURE SSL_CERT_FILE WHEELS PROJECT SOURCE_DATE_EPOCH

passed=0 failed=0 skipped=0
declare -A told=()

# try CASE PART...: runs the function, in a shell of its own that ends at the first failure. Its
# words are its function's.
try() {
    local case=$1 part reason begun=$SECONDS code=0
    shift
    [[ $case =~ $only ]] || return 0
    for part in "$@"; do
        reason=$(missing "$part") || continue
        [ -n "${told[$part]:-}" ] || echo "images: $part is missing: $reason" >&2
        told[$part]=1
        echo "images: skipped, $part is missing: ${case//_/ }" >&2
        skipped=$((skipped + 1))
        return 0
    done
    # Not as a condition: the shell would then not stop at a failure within.
    set +e
    (
        set -ex
        cd "$(mktemp -d "$work/case.XXXXXX")"
        "$case"
    ) >"$work/case.log" 2>&1
    code=$?
    set -e
    if [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
        echo "images: ${case//_/ }: $((SECONDS - begun)) s" >&2
    else
        failed=$((failed + 1))
        echo "images: FAILED: ${case//_/ }; the end of what it said:" >&2
        tail -25 "$work/case.log" | cut -c1-400 | sed 's/^/    /' >&2
    fi
    [ -n "${KEEP:-}" ] || rm -rf "$work"/case.*
}

# The set: pure wheels, wheels with extensions, and one of 6 MB that has a layer of its own, and that
# what is installed does not need.
cat >"$work/upper-constraints.txt" <<'PINS'
certifi===2025.8.3
charset-normalizer===3.4.3
idna===3.10
Jinja2===3.1.6
MarkupSafe===3.0.2
pillow===11.3.0
requests===2.32.5
urllib3===2.5.0
zope.interface===7.2
PINS
set_dir=$work/wheels
name=loci/requirements:set
echo "images: a set, to be written everywhere" >&2
"$LOCI" build requirements -c "$work/upper-constraints.txt" -o "dir:$set_dir" -o "oci:$work/layout:set" \
    -o "oci-archive:$work/oci.tar:set" -o "docker-archive:$work/docker.tar:$name" \
    -o "tar:$work/wheels.tar" --json >"$work/built.json"
"$LOCI" --quiet copy store: "oci:$work/single:set" --layout single
(cd "$set_dir" && sha256sum -- *.whl *.txt) >"$work/sums"

# same DIR: all files of the set are in the directory, as they are in ours, and no other wheel.
same() {
    (cd "$1" && sha256sum --quiet -c "$work/sums")
    [ "$(find "$1" -name '*.whl' | wc -l)" = "$(grep -c '\.whl$' "$work/sums")" ]
}

# reads SOURCE [OPTION...]: loci has the whole set from there, and installs from there, with nothing in
# the store before.
reads() {
    local source=$1
    shift
    rm -rf store prefix all
    "$LOCI" --quiet --store "$PWD/store" install requests --wheels "$source" --prefix "$PWD/prefix" "$@"
    ./prefix/bin/python -c 'import certifi, charset_normalizer, idna, requests, urllib3'
    "$LOCI" --quiet --store "$PWD/store" copy "$source" dir:all "$@"
    same all
    [ -z "$(find prefix -name PIL)" ]
}

# refuses WORDS COMMAND...: the command fails, and says that.
refuses() {
    local words=$1 code=0
    shift
    "$@" 2>refused || code=$?
    cat refused >&2
    [ "$code" -eq 1 ]
    grep -qE -- "$words" refused
    ! grep -qF -- "${password:-no password}" refused
}

# unpacked LAYOUT:TAG DIR: the root file system of the image, by umoci.
unpacked() {
    local rootless=()
    [ "$(id -u)" -eq 0 ] || rootless=(--rootless)
    umoci unpack ${rootless[@]+"${rootless[@]}"} --image "$1" bundle
    mv bundle/rootfs "$2"
    rm -rf bundle
}

# The digest of the image that loci's JSON in a file tells of.
manifest_of() {
    "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["manifest"])' "$1"
}

# A base image in which a shell can look at what is mounted.
base() {
    mkdir -p "$work/base/bin" "$work/base/tmp"
    cp "$(command -v busybox)" "$work/base/bin/busybox"
    for applet in sh ls sha256sum find grep wc; do ln -sf busybox "$work/base/bin/$applet"; done
    tar -C "$work/base" -c . >"$work/base.tar"
    # The build's context: how the files of the set look, and what a build checks of them.
    mkdir -p "$work/context"
    cp "$work/sums" "$work/context/"
    cat >"$work/context/Dockerfile" <<'DOCKERFILE'
ARG WHEELS
FROM ${WHEELS} AS wheels
FROM localhost/loci-base
COPY sums /sums
RUN --mount=type=bind,from=wheels,target=/wheels ls -l /wheels && cd /wheels && sha256sum -c /sums && \
    [ "$(find /wheels -name '*.whl' | wc -l)" = "$(grep -c '\.whl$' /sums)" ]
DOCKERFILE
}

# Everything that is there is started once.
for part in skopeo umoci buildah podman; do program $part $part || true; done
registry registry
[ -z "${registry:-}" ] || plain=$registry plain_dir=$registry_dir
# skopeo takes blobs over from other repositories of a registry, compressed as they are there: what it
# compresses itself is to be seen in one that has nothing.
registry "second registry"
[ -z "${registry:-}" ] || empty=$registry
registry "registry with TLS" secure
engine
if program busybox busybox; then base; fi
if [ "$(id -u)" -ne 0 ]; then
    for part in buildah podman; do absent $part "only root can mount as its builds do"; done
    absent root "skopeo reads an archive of a layout only as root, or with subordinate users"
fi
# One that starts may still not be able to do its work, in a container that allows little.
for engine in docker podman; do
    if missing $engine >/dev/null || missing busybox >/dev/null; then continue; fi
    import=(podman import --quiet)
    [ $engine = podman ] || import=("$docker" import)
    "${import[@]}" "$work/base.tar" localhost/loci-base >"$work/import.log" 2>&1 ||
        absent $engine "$engine cannot import an image: $(tail -1 "$work/import.log")"
done
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    absent pip "this Python has no module \`venv\` with pip in it"
fi

# ---- what loci wrote is read --------------------------------------------------------------------

skopeo_and_umoci_read_every_kind_of_image() {
    local source
    for source in "oci:$work/layout:set" "oci-archive:$work/oci.tar:set" "docker-archive:$work/docker.tar" \
        "docker-archive:$work/docker.tar:docker.io/$name" "oci:$work/single:set"; do
        skopeo inspect "$source" >inspected.json
        "$python" -c 'import json; i = json.load(open("inspected.json")); assert i["Os"] == "linux" and i["Layers"], i'
        rm -rf copy root
        skopeo copy --quiet "$source" oci:copy:set
        unpacked copy:set root
        same root
    done
}
try skopeo_and_umoci_read_every_kind_of_image skopeo umoci root

a_plain_registry_takes_and_gives_the_image() {
    "$LOCI" copy "oci:$work/layout:set" "docker://$plain/$name" --json >pushed.json
    skopeo inspect --tls-verify=false "docker://$plain/$name" >inspected.json
    [ "$(manifest_of pushed.json)" = "$("$python" -c 'import json; print(json.load(open("inspected.json"))["Digest"])')" ]
    skopeo inspect --raw "oci:$work/layout:set" >local.json
    skopeo inspect --raw --tls-verify=false "docker://$plain/$name" | cmp - local.json
    skopeo copy --quiet --src-tls-verify=false "docker://$plain/$name" oci:copy:set
    unpacked copy:set root
    same root
    reads "docker://$plain/$name"
    # By a name as LOCI has it, and by digest.
    reads "$plain/loci/requirements@$(manifest_of pushed.json)"
    # A second push moves nothing.
    "$LOCI" copy "oci:$work/layout:set" "docker://$plain/$name" --json >again.json
    "$python" -c 'import json; assert json.load(open("again.json"))["bytes"] == 0'
}
try a_plain_registry_takes_and_gives_the_image registry skopeo umoci

a_set_is_pushed_straight_from_the_store() {
    "$LOCI" copy store: "docker://$plain/loci/from-store:set" --json >pushed.json
    # The same bytes as in a layout.
    skopeo inspect --raw "oci:$work/layout:set" | sha256sum >expected
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/from-store:set" | sha256sum | cmp - expected
    "$LOCI" --quiet build requirements -c "$work/upper-constraints.txt" -o "docker://$plain/loci/built:set"
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/built:set" | sha256sum | cmp - expected
}
try a_set_is_pushed_straight_from_the_store registry skopeo

an_artifact_with_the_index_refers_to_the_image() {
    local digest
    "$LOCI" copy store: "docker://$plain/loci/referred:set" --json >pushed.json
    digest=$(manifest_of pushed.json)
    # This registry has no referrers API: a tag made of the digest stands for it.
    skopeo list-tags --tls-verify=false "docker://$plain/loci/referred" | grep -F "\"${digest/:/-}\""
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/referred:${digest/:/-}" | grep -F artifactType
}
try an_artifact_with_the_index_refers_to_the_image registry skopeo

# bound WHEEL...: their bytes, a tenth more, and what a manifest and the index take.
bound() {
    cat -- "$@" | wc -c | awk '{ print int($1 * 1.1) + 40000 }'
}

only_what_is_needed_moves() {
    "$LOCI" --quiet copy "oci:$work/layout:set" "docker://$plain/loci/needed:set"
    local before bytes
    before=$(wc -l <"$plain_dir/log")
    "$LOCI" --quiet --store "$PWD/store" install requests --wheels "docker://$plain/loci/needed:set" --prefix "$PWD/p"
    bytes=$(served "$plain_dir" "$before")
    echo "served: $bytes"
    [ "$bytes" -lt "$(cd "$set_dir" && bound certifi-* charset_normalizer-* idna-* requests-* urllib3-*)" ]
    # What is there is not asked for again, for another service either.
    before=$(wc -l <"$plain_dir/log")
    "$LOCI" --quiet --store "$PWD/store" install jinja2 --wheels "docker://$plain/loci/needed:set" --prefix "$PWD/q"
    bytes=$(served "$plain_dir" "$before")
    echo "served: $bytes"
    [ "$bytes" -lt "$(cd "$set_dir" && bound jinja2-* MarkupSafe-*)" ]
}
try only_what_is_needed_moves registry

a_service_has_an_image_of_its_layers() {
    "$LOCI" --quiet build requirements -c "$work/upper-constraints.txt" --services requests \
        -o "docker://$plain/loci/services:set"
    skopeo copy --quiet --src-tls-verify=false "docker://$plain/loci/services:set-requests" oci:copy:set
    unpacked copy:set root
    # Whole layers, so perhaps more than its own wheels, but not those that have a layer to themselves.
    (cd "$set_dir" && ls -- certifi-* charset_normalizer-* idna-* requests-* urllib3-*) >expected
    (cd root && ls -- *.whl) | comm -13 - expected | cmp - /dev/null
    [ ! -e root/"$(cd "$set_dir" && ls pillow-*)" ]
    rm -rf store
    "$LOCI" --quiet --store "$PWD/store" install requests --wheels "docker://$plain/loci/services:set-requests" \
        --prefix "$PWD/prefix"
    ./prefix/bin/python -c 'import requests'
}
try a_service_has_an_image_of_its_layers registry skopeo umoci

# ---- a registry that wants to know whom it talks to ---------------------------------------------

log_in() {
    local auth
    auth=$(printf '%s:%s' "$login" "$1" | base64 -w0)
    export DOCKER_CONFIG=$PWD/docker-config
    unset REGISTRY_AUTH_FILE
    mkdir -p "$DOCKER_CONFIG"
    printf '{"auths":{"%s":{"auth":"%s"}}}\n' "$registry" "$auth" >"$DOCKER_CONFIG/config.json"
}

a_private_authority_and_a_login() {
    local to=docker://$registry/$name
    log_in "$password"
    "$LOCI" --quiet copy "oci:$work/layout:set" "$to" --cert "$authority"
    reads "$to" --cert "$authority"
    (unset PIP_CERT && export SSL_CERT_FILE=$authority && reads "$to")
    PIP_CERT=$authority reads "$to"
    REGISTRY_INSECURE=True reads "$to"
    reads "$to" --registry-insecure
    REGISTRY_INSECURE=True REGISTRY_PROTOCOL=https reads "$to"
    mkdir -p home/.config/containers/certs.d/"$registry"
    cp "$authority" home/.config/containers/certs.d/"$registry"/ca.crt
    HOME=$PWD/home reads "$to"
    skopeo inspect --cert-dir "home/.config/containers/certs.d/$registry" --authfile "$DOCKER_CONFIG/config.json" "$to" >/dev/null
}
try a_private_authority_and_a_login "registry with TLS" skopeo

a_stranger_is_told_so() {
    local to=docker://$registry/loci/strangers:set
    refuses 'hint: log in' "$LOCI" copy "oci:$work/layout:set" "$to" --cert "$authority"
    refuses 'hint: log in' "$LOCI" copy "$to" dir:all --cert "$authority"
    log_in "no such $password"
    refuses 'hint: log in' "$LOCI" copy "oci:$work/layout:set" "$to" --cert "$authority"
    log_in "$password"
    refuses 'hint: .*--cert' "$LOCI" copy "oci:$work/layout:set" "$to"
    REGISTRY_PROTOCOL=http refuses . "$LOCI" copy "oci:$work/layout:set" "$to"
    refuses 'there is no image' "$LOCI" copy "$to" dir:all --cert "$authority"
    [ ! -e all ]
}
try a_stranger_is_told_so "registry with TLS"

# ---- engines ------------------------------------------------------------------------------------

docker_loads_pulls_and_mounts() {
    "$docker" load -i "$work/docker.tar"
    "$docker" build --network host --progress plain --no-cache --build-arg "WHEELS=$name" "$work/context"
    "$LOCI" --quiet copy "oci:$work/layout:set" "docker://$plain/loci/docker:set"
    "$docker" pull "$plain/loci/docker:set"
    "$docker" build --network host --progress plain --no-cache --build-arg "WHEELS=$plain/loci/docker:set" "$work/context"
    # Straight from the registry, without a pull before, and straight as a mount's source.
    "$docker" rmi "$plain/loci/docker:set" "$name"
    # shellcheck disable=SC2016 # The builder expands it.
    sed -e '/^FROM ${WHEELS}/d; /^ARG/d' -e "s,from=wheels,from=$plain/loci/docker:set," \
        "$work/context/Dockerfile" >Dockerfile
    "$docker" build --network host --progress plain --no-cache -f Dockerfile "$work/context"
}
try docker_loads_pulls_and_mounts docker busybox registry

docker_pulls_the_single_layer() {
    "$LOCI" --quiet copy "oci:$work/single:set" "docker://$plain/loci/docker-single:set"
    "$docker" pull "$plain/loci/docker-single:set"
    "$docker" build --network host --progress plain --no-cache --build-arg "WHEELS=$plain/loci/docker-single:set" "$work/context"
}
try docker_pulls_the_single_layer docker busybox registry

buildah_mounts() {
    "$LOCI" --quiet copy "oci:$work/layout:set" "docker://$plain/loci/buildah:set"
    buildah bud --isolation chroot --tls-verify=false --signature-policy "$work/policy.json" \
        --build-arg "WHEELS=$plain/loci/buildah:set" "$work/context"
    buildah pull --quiet --signature-policy "$work/policy.json" "oci-archive:$work/oci.tar:set"
    buildah pull --quiet --signature-policy "$work/policy.json" "docker-archive:$work/docker.tar"
    buildah bud --isolation chroot --pull-never --signature-policy "$work/policy.json" \
        --build-arg "WHEELS=docker.io/$name" "$work/context"
}
try buildah_mounts buildah podman busybox registry

podman_loads_and_mounts() {
    podman load --quiet -i "$work/docker.tar" --signature-policy "$work/policy.json"
    same "$(podman image mount "docker.io/$name")"
    podman image umount "docker.io/$name"
    podman load --quiet -i "$work/oci.tar" --signature-policy "$work/policy.json"
    podman build --isolation chroot --pull-never --signature-policy "$work/policy.json" \
        --build-arg "WHEELS=docker.io/$name" "$work/context"
}
try podman_loads_and_mounts podman busybox

# ---- what others wrote is read ------------------------------------------------------------------

loci_reads_what_skopeo_wrote() {
    local kind
    skopeo copy --quiet --dest-tls-verify=false "oci:$work/layout:set" "docker://$empty/loci/skopeo:gzip"
    skopeo inspect --raw --tls-verify=false "docker://$empty/loci/skopeo:gzip" | grep -F 'tar+gzip'
    reads "docker://$empty/loci/skopeo:gzip"
    # Docker's manifest, version 2 of its schema.
    skopeo copy --quiet --dest-tls-verify=false --format v2s2 "oci:$work/layout:set" \
        "docker://$empty/loci/skopeo:v2s2"
    reads "docker://$empty/loci/skopeo:v2s2"
    skopeo copy --quiet --dest-compress --dest-compress-format zstd "oci:$work/layout:set" oci:zstd:set
    skopeo inspect --raw oci:zstd:set | grep -F 'tar+zstd'
    reads oci:zstd:set
    skopeo copy --quiet --preserve-digests --dest-tls-verify=false oci:zstd:set "docker://$empty/loci/skopeo:zstd"
    skopeo inspect --raw --tls-verify=false "docker://$empty/loci/skopeo:zstd" | grep -F 'tar+zstd'
    reads "docker://$empty/loci/skopeo:zstd"
    skopeo copy --quiet --preserve-digests --dest-tls-verify=false "oci:$work/layout:set" \
        "docker://$empty/loci/skopeo:kept"
    reads "docker://$empty/loci/skopeo:kept"
    for kind in oci:gzip:set oci-archive:archive.tar:set docker-archive:docker.tar:loci/skopeo:set; do
        skopeo copy --quiet "oci:$work/layout:set" "$kind"
        reads "$kind"
    done
}
try loci_reads_what_skopeo_wrote skopeo "second registry"

loci_copies_what_skopeo_wrote_and_keeps_it() {
    # Compressed by somebody else: it stays what it is on its way through loci.
    skopeo copy --quiet "oci:$work/layout:set" oci:gzip:set
    "$LOCI" --quiet copy oci:gzip:set "docker://$plain/loci/kept:set"
    skopeo inspect --raw oci:gzip:set >expected
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/kept:set" | cmp - expected
    "$LOCI" --quiet copy "docker://$plain/loci/kept:set" oci-archive:kept.tar:set
    skopeo inspect --raw oci-archive:kept.tar:set | cmp - expected
    "$LOCI" --quiet copy "docker://$plain/loci/kept:set" docker-archive:kept-docker.tar:loci/kept:set
    skopeo copy --quiet docker-archive:kept-docker.tar oci:back:set
    unpacked back:set root
    same root
}
try loci_copies_what_skopeo_wrote_and_keeps_it skopeo umoci registry root

# As LOCI makes its image: nothing but the wheels, in one layer.
made_by_docker() {
    mkdir context
    cp "$set_dir"/*.whl "$set_dir"/*.txt context/
    printf 'FROM scratch\nCOPY *.whl *.txt /%s\n' "${1:-}" >context/Dockerfile
    "$docker" build --progress plain -t "$plain/loci/made${1:+-deep}:set" context
}

loci_reads_what_docker_built() {
    made_by_docker
    "$docker" push --quiet "$plain/loci/made:set"
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/made:set" | grep -F rootfs.diff.tar.gzip
    reads "docker://$plain/loci/made:set"
    "$docker" save "$plain/loci/made:set" -o saved.tar
    reads docker-archive:saved.tar
    reads "docker-archive:saved.tar:$plain/loci/made:set"
    "$docker" save "$plain/loci/made:set" | gzip >saved.tar.gz
    reads docker-archive:saved.tar.gz
    # Registries and archives of it are copied as they are; within a registry nothing moves.
    "$LOCI" copy "docker://$plain/loci/made:set" "docker://$plain/loci/made-again:set" --json >copied.json
    "$python" -c 'import json; assert json.load(open("copied.json"))["bytes"] == 0'
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/made:set" >expected
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/made-again:set" | cmp - expected
    "$LOCI" --quiet copy docker-archive:saved.tar oci:layout:set
    reads oci:layout:set
}
try loci_reads_what_docker_built docker registry skopeo

loci_reads_wheels_deeper_in_an_image() {
    made_by_docker root/packages/
    "$docker" push --quiet "$plain/loci/made-deep:set"
    reads "docker://$plain/loci/made-deep:set"
    "$docker" save "$plain/loci/made-deep:set" -o saved.tar
    reads docker-archive:saved.tar
}
try loci_reads_wheels_deeper_in_an_image docker registry

loci_reads_what_docker_saved_of_its_own() {
    "$docker" load -i "$work/docker.tar"
    "$docker" save "$name" -o saved.tar
    reads docker-archive:saved.tar
    "$docker" tag "$name" "$plain/loci/repushed:set"
    "$docker" push --quiet "$plain/loci/repushed:set"
    reads "docker://$plain/loci/repushed:set"
}
try loci_reads_what_docker_saved_of_its_own docker registry

loci_reads_what_buildah_and_podman_wrote() {
    mkdir context
    cp "$set_dir"/*.whl "$set_dir"/*.txt context/
    printf 'FROM scratch\nCOPY *.whl *.txt /\n' >context/Dockerfile
    buildah bud --isolation chroot --signature-policy "$work/policy.json" -t localhost/loci/made:set context
    buildah push --signature-policy "$work/policy.json" localhost/loci/made:set oci-archive:buildah.tar:set
    reads oci-archive:buildah.tar
    podman save --quiet --format oci-archive -o podman.tar localhost/loci/made:set
    reads oci-archive:podman.tar
    podman save --quiet --format docker-archive -o podman-docker.tar localhost/loci/made:set
    reads docker-archive:podman-docker.tar
    podman push --quiet --tls-verify=false --signature-policy "$work/policy.json" localhost/loci/made:set \
        "docker://$plain/loci/podman:set"
    reads "docker://$plain/loci/podman:set"
}
try loci_reads_what_buildah_and_podman_wrote buildah podman registry

# ---- LOCI's own ways, and pip's -----------------------------------------------------------------

# Its first fetcher asks for a manifest as Docker and OCI have it, and takes the last layer.
fetched_as_loci_does() {
    "$python" - "$1" "$2" <<'PYTHON'
import json, sys, tarfile, urllib.request

base, directory = sys.argv[1:]
repository, tag = base.rsplit(":", 1)
kinds = ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"]
request = urllib.request.Request(f"{repository}/manifests/{tag}", headers={"Accept": ", ".join(kinds)})
manifest = json.load(urllib.request.urlopen(request))
digest = manifest["layers"][-1]["digest"]
with urllib.request.urlopen(f"{repository}/blobs/{digest}") as blob:
    with tarfile.open(fileobj=blob, mode="r|gz") as tar:
        tar.extractall(directory)
PYTHON
}

locis_fetchers_take_the_single_layer() {
    "$LOCI" --quiet copy store: "docker://$plain/loci/single:set" --layout single
    fetched_as_loci_does "http://$plain/v2/loci/single:set" all
    same all
    reads "docker://$plain/loci/single:set"
}
try locis_fetchers_take_the_single_layer registry

pip_installs_from_the_mounted_root() {
    unpacked "$work/layout:set" root
    "$python" -m venv venv
    # As in a Dockerfile of LOCI, where the image is mounted.
    venv/bin/pip install --quiet --disable-pip-version-check --no-index --find-links root \
        -c root/upper-constraints.txt requests jinja2
    venv/bin/python -c 'import requests, jinja2'
}
try pip_installs_from_the_mounted_root umoci pip

a_tarball_at_a_url() {
    local pid port
    # This server knows no ranges: the tarball comes whole.
    (cd "$work" && exec "$python" -u -m http.server --bind 127.0.0.1 0) >server.log 2>&1 &
    pid=$!
    # shellcheck disable=SC2064 # Its number is of this function's.
    trap "kill $pid" EXIT
    settled server.log 'Serving HTTP on' "$pid"
    port=$(sed -n 's/^Serving HTTP on .* port \([0-9]*\) .*/\1/p' server.log)
    reads "http://127.0.0.1:$port/wheels.tar"
    gzip <"$work/wheels.tar" >"$work/wheels.tar.gz"
    reads "http://127.0.0.1:$port/wheels.tar.gz"
}
try a_tarball_at_a_url

a_tarball_at_a_url_with_ranges() {
    local pid port
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    busybox httpd -f -p "127.0.0.1:$port" -h "$work" >server.log 2>&1 &
    pid=$!
    # shellcheck disable=SC2064 # Its number is of this function's.
    trap "kill $pid" EXIT
    while kill -0 "$pid" && ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
    reads "http://127.0.0.1:$port/wheels.tar"
}
try a_tarball_at_a_url_with_ranges busybox

# ---- several platforms --------------------------------------------------------------------------

images_for_two_platforms_become_one() {
    # The second differs in nothing but what it says it is for.
    skopeo copy --quiet --preserve-digests "oci:$work/layout:set" oci:arm:set
    umoci config --image arm:set --architecture arm64
    "$LOCI" --quiet copy "oci:$work/layout:set" oci:arm:set "docker://$plain/loci/platforms:set"
    skopeo inspect --raw --tls-verify=false "docker://$plain/loci/platforms:set" >index.json
    "$python" -c '
import json
platforms = [m["platform"]["architecture"] for m in json.load(open("index.json"))["manifests"]]
assert platforms == ["amd64", "arm64"], platforms'
    for architecture in amd64 arm64; do
        [ "$(skopeo inspect --tls-verify=false --override-arch "$architecture" "docker://$plain/loci/platforms:set" |
            "$python" -c 'import json, sys; print(json.load(sys.stdin)["Architecture"])')" = "$architecture" ]
    done
    reads "docker://$plain/loci/platforms:set"
    "$LOCI" --quiet copy "docker://$plain/loci/platforms:set" oci:both:set
    skopeo inspect --raw oci:both:set | cmp - index.json
    "$LOCI" --quiet copy --platform linux/arm64 "docker://$plain/loci/platforms:set" oci:one:set
    [ "$(skopeo inspect --raw oci:one:set | sha256sum)" = "$(skopeo inspect --raw oci:arm:set | sha256sum)" ]
}
try images_for_two_platforms_become_one skopeo umoci registry

docker_takes_its_platform_of_two() {
    skopeo copy --quiet --preserve-digests "oci:$work/layout:set" oci:arm:set
    umoci config --image arm:set --architecture arm64
    "$LOCI" --quiet copy oci:arm:set "oci:$work/layout:set" "docker://$plain/loci/two:set"
    "$docker" pull "$plain/loci/two:set"
    [ "$("$docker" image inspect -f '{{.Architecture}}' "$plain/loci/two:set")" = amd64 ]
}
try docker_takes_its_platform_of_two skopeo umoci registry docker

echo "images: $passed passed, $failed failed, $skipped skipped" >&2
[ "$failed" -eq 0 ]
