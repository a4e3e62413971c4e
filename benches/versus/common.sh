# Sourced by the scripts beside it: where things are, the peers, and how a run is measured.
# shellcheck shell=bash
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
LOCI=$(realpath "${LOCI:-${CARGO_TARGET_DIR:-$root/target}/release/loci}")
python=$(command -v "${PYTHON:-python3}")
runs=${RUNS:-1}

[ -x "$LOCI" ] || {
    echo "versus: no $LOCI; run \`cargo build --release\` or set LOCI" >&2
    exit 2
}

# Everything happens below one new folder, so that the file system measured is the one chosen.
work=$(mktemp -d "${WORK:-${TMPDIR:-/tmp}}/versus.XXXXXX")
results=$work/results.tsv
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT

# measured LABEL COMMAND...: a command that fails is in the table with its exit code, and the rest
# still runs.
measured() {
    "$python" "$here/measure.py" "$results" "$@" || true
}

# The peers, newest versions, in an environment of their own.
peers() {
    "$python" -m venv "$work/peers"
    "$work/peers/bin/pip" install --quiet --disable-pip-version-check --upgrade pip "$@"
    pip=$work/peers/bin/pip
    uv=$work/peers/bin/uv
}

# What the figures were taken on.
machine() {
    echo
    date -u +'date: %Y-%m-%d'
    echo "machine: $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)," \
        "$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo)," \
        "$(stat -f -c %T "$work") under the work folder"
    echo "versions: $("$LOCI" --version), $("$python" --version), $*"
}

# The table of all runs so far, as Markdown.
table() {
    echo
    echo "| run | exit | wall s | CPU s | own peak MB | largest process MB |"
    echo "|---|---|---|---|---|---|"
    sed 's/\t/ | /g; s/^/| /; s/$/ |/' "$results"
}
