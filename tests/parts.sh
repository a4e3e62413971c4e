# Sourced: starts and stops the real programs that images are exchanged with, on loopback ports the
# kernel chooses. Nothing of the user's own is read or written: not their logins, engines or
# containers' storage; only root's cache of where blobs were seen (/var/lib/containers/cache) cannot be
# put elsewhere.
#
#   . tests/parts.sh              everything happens below $work, a folder that the script has just
#                                 made; at its end what was started stops, and the folder is removed
#                                 (KEEP=1: is kept)
#   registry NAME [SECURE]        $registry is its host:port, $registry_dir its folder; SECURE is TLS
#                                 by a certificate authority of its own ($authority) and a login
#                                 ($login, $password)
#   stop_last FOLDER              ends it and removes its folder
#   engine                        Docker Engine: $docker speaks to it from then on
#
# A program that is not there, or cannot run here, is no failure: `missing PART` says why it is.
# What it sets is for those who source it.
# shellcheck shell=bash disable=SC2034
set -euo pipefail

: "${work:?is the new folder of the script that sources this}"
started=()
declare -A why_missing=()

# Ends what was started, newest first, and leaves nothing behind.
stop_parts() {
    local pid target
    for ((n = ${#started[@]} - 1; n >= 0; n--)); do
        pid=${started[n]}
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    started=()
    # Engines mount below their folders; one that was killed did not unmount.
    while read -r _ target _; do
        case $target in "$work"/*) umount -l "$target" 2>/dev/null || true ;; esac
    done < <(tac /proc/mounts)
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap stop_parts EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Homes, logins and storage of our own.
export HOME=$work/home XDG_RUNTIME_DIR=$work/run DOCKER_CONFIG=$work/docker-config
export REGISTRY_AUTH_FILE=$work/docker-config/config.json
mkdir -p "$HOME" "$XDG_RUNTIME_DIR" "$DOCKER_CONFIG"
chmod 700 "$XDG_RUNTIME_DIR"
# Registries here are on loopback, which no proxy reaches.
export no_proxy="${no_proxy:+$no_proxy,}127.0.0.1,localhost" NO_PROXY="${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost"
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$work/policy.json"
echo '{}' >"$DOCKER_CONFIG/config.json"
# podman's locks are in shared memory otherwise, for good.
export CONTAINERS_CONF=$work/containers.conf
printf '[engine]\nlock_type = "file"\n' >"$CONTAINERS_CONF"

# absent PART REASON: it will be skipped, and this says why.
absent() {
    why_missing[$1]=$2
}

# missing PART: why a part is not there; nothing, and false, when it is.
missing() {
    [ -n "${why_missing[$1]:-}" ] && printf '%s\n' "${why_missing[$1]}"
}

# program PART COMMAND: whether the command is there; else the part is absent.
program() {
    command -v "$2" >/dev/null && return
    absent "$1" "there is no \`${2##*/}\` here"
    return 1
}

# settled FILE PATTERN PID: waits until the pattern is in the file, which a started program writes;
# false when the program ends before, or after half a minute.
settled() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        ! grep -q -- "$2" "$1" 2>/dev/null || return 0
        kill -0 "$3" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# The registry of the distribution, with a new store.
registry() {
    local name=$1 secure=${2:-} pid
    program "$name" docker-registry || return 0
    registry_dir=$work/$name
    mkdir -p "$registry_dir/data"
    if [ -n "$secure" ]; then
        program "$name" openssl && program "$name" htpasswd || return 0
        certificates "$registry_dir"
        login=loci password="secret of $name"
        htpasswd -Bbn "$login" "$password" >"$registry_dir/htpasswd"
        authority=$registry_dir/authority.crt
    fi
    {
        cat <<CONFIG
version: 0.1
log: {level: info, formatter: json, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$registry_dir/data"}, delete: {enabled: true}}
http:
  addr: 127.0.0.1:0
CONFIG
        [ -z "$secure" ] || cat <<CONFIG
  tls: {certificate: "$registry_dir/server.crt", key: "$registry_dir/server.key"}
auth: {htpasswd: {realm: loci, path: "$registry_dir/htpasswd"}}
CONFIG
    } >"$registry_dir/config.yml"
    # Its settings may also come from variables, of which containers' tools have one by the same name.
    env -i docker-registry serve "$registry_dir/config.yml" >"$registry_dir/log" 2>&1 &
    pid=$!
    started+=("$pid")
    settled "$registry_dir/log" 'listening on' "$pid" || {
        absent "$name" "docker-registry does not start: $(tail -1 "$registry_dir/log")"
        return 0
    }
    registry=localhost:$(sed -n 's/.*listening on [^"]*:\([0-9]*\).*/\1/p' "$registry_dir/log" | head -1)
}

# An authority of our own, and a certificate by it for loopback.
certificates() {
    local dir=$1
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=loci tests' \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
        -keyout "$dir/authority.key" -out "$dir/authority.crt" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' \
        -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
    openssl x509 -req -in "$dir/server.csr" -days 2 -CAcreateserial \
        -CA "$dir/authority.crt" -CAkey "$dir/authority.key" -out "$dir/server.crt" \
        -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') 2>/dev/null
}

# Ends the part that was started last, and removes its folder.
stop_last() {
    local pid=${started[-1]}
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    unset 'started[-1]'
    rm -rf "$1"
}

# Docker Engine without networks: builds and containers use the host's.
engine() {
    local dir=$work/engine pid driver
    # The distribution's client goes with its engine; a newer one may want another builder.
    docker=${DOCKER:-/usr/bin/docker}
    program docker dockerd && program docker "$docker" || return 0
    [ "$(id -u)" -eq 0 ] || {
        absent docker "only root can start Docker Engine"
        return 0
    }
    export DOCKER_HOST=unix://$dir/docker.sock DOCKER_BUILDKIT=1
    mkdir -p "$dir"
    # Its own choice first; where no overlay can be mounted it does not find that out by itself.
    for driver in '' vfs; do
        dockerd --iptables=false --ip6tables=false --bridge=none --data-root "$dir/data" \
            --exec-root "$dir/exec" --host "$DOCKER_HOST" --pidfile "$dir/pid" \
            ${driver:+--storage-driver "$driver"} >"$dir/log" 2>&1 &
        pid=$!
        started+=("$pid")
        ! settled "$dir/log" 'API listen on' "$pid" || return 0
        kill "$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    absent docker "Docker Engine does not start: $(tail -1 "$dir/log")"
}

# What the containers' tools need to leave the user's storage and settings alone.
containers_storage=(--root "$work/containers" --runroot "$work/run/containers")
# skopeo, buildah and podman find neither logins nor rules of the user's.
skopeo_here=(skopeo --policy "$work/policy.json" --tmpdir "$work")
skopeo() {
    command "${skopeo_here[@]}" "$@"
}
buildah() {
    command buildah "${containers_storage[@]}" "$@"
}
podman() {
    command podman "${containers_storage[@]}" --tmpdir "$work/run/podman" "$@"
}

# Bytes of blobs that a registry has in its folder.
registry_bytes() {
    du -sb "$1/data/docker/registry/v2/blobs" 2>/dev/null | cut -f1 || echo 0
}

# served DIR [SINCE]: bytes of bodies that the registry in the folder sent, after line SINCE of its log.
served() {
    tail -n "+$((${2:-0} + 1))" "$1/log" |
        sed -n 's/.*"http.response.written":\([0-9]*\).*/\1/p' | awk '{ sum += $1 } END { print sum + 0 }'
}
