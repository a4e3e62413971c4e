#!/usr/bin/env bash
# A set as a package index, side by side with what else serves a directory of wheels: Python's own
# http.server, pypiserver, and nginx where it is installed.
#
#   benches/versus/serve.sh STORE [TAG]
#
# STORE is a store with a set in it, called TAG (latest). Every peer serves the same wheels, on
# loopback, one after the other. http.server and nginx get the pages as files that loci made. Load comes
# from wrk, one thread, on this machine: SECONDS_EACH (5) a figure, CONNECTIONS (32). LOCI, PYTHON,
# WORK and KEEP are as in requirements.sh.
. "$(dirname "$0")/common.sh"

[ $# -ge 1 ] || {
    sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
store=$(realpath "$1")
tag=${2:-latest}
seconds=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-32}
command -v wrk >/dev/null || {
    echo "versus: no wrk; it is in the distribution's package wrk" >&2
    exit 2
}
peers 'pypiserver[cache]'

server=
stop() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    server=
}
trap 'stop; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT

# An address on which nothing listens.
free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# started COMMAND...: runs it, and waits until it answers on $port.
started() {
    "$@" >"$work/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        if "$python" -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; then
            return
        fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "versus: \`$1\` does not listen:" >&2
    cat "$work/server.log" >&2
    exit 1
}

# loaded PEER WHAT PATH: one line of the table.
loaded() {
    wrk -t1 -c"$connections" -d"${seconds}s" --latency "http://127.0.0.1:$port/$3" >"$work/wrk.log"
    awk -v peer="$1" -v what="$2" '
        /Requests\/sec/ { rate = $2 }
        /Transfer\/sec/ { speed = $2 }
        / 99%/ { slow = $2 }
        /Non-2xx/ { bad = $NF }
        /Socket errors/ { gsub(/[^0-9 ]/, ""); bad += $1 + $2 + $3 + $4 }
        END { printf "%s\t%s\t%.0f\t%s\t%s\t%d\n", peer, what, rate, speed, slow, bad }
    ' "$work/wrk.log" | tee -a "$results" >&2
}

# The most memory a server and its workers held.
peak() {
    local pid sum=0
    for pid in "$server" $(pgrep -P "$server" || true); do
        sum=$((sum + $(awk '/VmHWM/ { print $2 }' "/proc/$pid/status")))
    done
    echo "$1: peak memory $((sum / 1000)) MB" >&2
}

port=$(free_port)
started "$LOCI" serve "$tag" --store "$store" --listen "127.0.0.1:$port" --quiet

# The same wheels and pages as files; the smallest and the largest wheel, by their addresses.
"$python" - "http://127.0.0.1:$port/" "$work" <<'PYTHON'
import json, os, sys, urllib.parse, urllib.request

root, work = sys.argv[1:]

def get(path, accept="text/html"):
    request = urllib.request.Request(urllib.parse.urljoin(root, path), headers={"Accept": accept})
    return urllib.request.urlopen(request).read()

def put(path, data):
    path = os.path.join(work, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)

JSON = "application/vnd.pypi.simple.v1+json"
put("static/simple/index.html", get("simple/"))
found = []
for project in json.loads(get("simple/", JSON))["projects"]:
    page = f"simple/{project['name']}/"
    put(f"static/{page}index.html", get(page))
    for file in json.loads(get(page, JSON))["files"]:
        path = urllib.parse.urlparse(urllib.parse.urljoin(root + page, file["url"])).path[1:]
        data = get(path)
        put("static/" + urllib.parse.unquote(path), data)
        put("wheels/" + file["filename"], data)
        found.append((file["size"], project["name"], path, file["filename"]))
found.sort()
for name, (size, project, path, filename) in {"small": found[len(found) // 10], "big": found[-1]}.items():
    put(name, "\t".join([str(size), project, path, filename]).encode())
PYTHON
IFS=$'\t' read -r small_size project small small_name <"$work/small" || true
IFS=$'\t' read -r big_size _ big big_name <"$work/big" || true

page="page"
wheel="wheel of $((small_size / 1000)) kB"
large="wheel of $((big_size / 1000000)) MB"

loaded loci "$page" "simple/$project/"
loaded loci "$wheel" "$small"
loaded loci "$large" "$big"
peak loci
stop

if command -v nginx >/dev/null; then
    port=$(free_port)
    cat >"$work/nginx.conf" <<NGINX
daemon off; worker_processes auto; pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections 1024; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    server { listen 127.0.0.1:$port; root $work/static; index index.html; default_type text/html; }
}
NGINX
    chmod -R a+rX "$work"
    started nginx -c "$work/nginx.conf"
    loaded nginx "$page" "simple/$project/"
    loaded nginx "$wheel" "$small"
    loaded nginx "$large" "$big"
    peak nginx
    stop
fi

port=$(free_port)
started "$python" -m http.server --bind 127.0.0.1 --directory "$work/static" "$port"
loaded http.server "$page" "simple/$project/"
loaded http.server "$wheel" "$small"
loaded http.server "$large" "$big"
peak http.server
stop

port=$(free_port)
started "$work/peers/bin/pypi-server" run --disable-fallback -i 127.0.0.1 -p "$port" "$work/wheels"
loaded pypiserver "$page" "simple/$project/"
loaded pypiserver "$wheel" "packages/$small_name"
loaded pypiserver "$large" "packages/$big_name"
peak pypiserver
stop

machine "wrk $(wrk -v 2>&1 | sed -n '1s/^wrk \([^ ]*\).*/\1/p')," \
    "pypiserver $("$pip" show pypiserver | sed -n 's/^Version: //p')," \
    "$(nginx -v 2>&1 | sed 's/.*nginx\//nginx /' || true)"
echo "input: $(find "$work/wheels" -type f | wc -l) wheels; page of $project; $connections connections, $seconds s each"
echo
echo "| peer | what | requests/s | bytes/s | p99 | errors |"
echo "|---|---|---|---|---|---|"
sed 's/\t/ | /g; s/^/| /; s/$/ |/' "$results"
