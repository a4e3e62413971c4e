#!/usr/bin/env bash
# One small real run against the default index: three pins, `docopt` among them, of which there is
# only an sdist. The second run must find everything done, the store must be sound, and a pin that
# does not exist must fail with exit code 3 and keep the others.
#
#   tests/smoke.sh              with the debug build, which it makes
#   LOCI=/usr/bin/loci tests/smoke.sh
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${LOCI:-}" ]; then
    cargo build --quiet
    LOCI=${CARGO_TARGET_DIR:-target}/debug/loci
fi
LOCI=$(realpath "$LOCI")
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "smoke: $*" >&2
    exit 1
}

# The summary that `--json` prints, and what must hold of it: an expression over `s`.
expect() {
    "$python" - "$1" "$2" <<'PYTHON' || fail "not so in ${1##*/}: $2"
import json, sys
s = json.load(open(sys.argv[1]))
hows = {w["name"].lower(): w["how"] for w in s["wheels"]}
sys.exit(0 if eval(sys.argv[2]) else print(json.dumps(s, indent=1), file=sys.stderr) or 1)
PYTHON
}

cat >"$work/upper-constraints.txt" <<'PINS'
# Three pins as OpenStack writes them.
docopt===0.6.2
iso8601===2.1.0
six===1.17.0;python_version>='3.8'
PINS

build() {
    local constraints=$1 summary=$2
    "$LOCI" build requirements -c "$constraints" --python "$(command -v "$python")" \
        --store "$work/store" -o "dir:$work/wheels" --json >"$summary"
}

echo "smoke: from nothing" >&2
build "$work/upper-constraints.txt" "$work/first.json"
expect "$work/first.json" 'hows["docopt"] == "built"'
expect "$work/first.json" 'hows["iso8601"] == hows["six"] == "fetched"'
expect "$work/first.json" 'not s["failures"]'
for file in docopt-0.6.2-*.whl iso8601-2.1.0-*.whl six-1.17.0-*.whl upper-constraints.txt global-requirements.txt; do
    compgen -G "$work/wheels/$file" >/dev/null || fail "no $file in the directory"
done

echo "smoke: again" >&2
before=$(cd "$work/wheels" && sha256sum -- *)
build "$work/upper-constraints.txt" "$work/second.json"
expect "$work/second.json" 'set(hows.values()) == {"reused"} and not s["failures"]'
[ "$before" = "$(cd "$work/wheels" && sha256sum -- *)" ] || fail "the directory changed"

echo "smoke: the wheels are good for pip" >&2
if "$python" -m venv "$work/venv" 2>"$work/venv.log"; then
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-index \
        --find-links "$work/wheels" -c "$work/wheels/upper-constraints.txt" docopt iso8601 six
    "$work/venv/bin/python" -c 'import docopt, iso8601, six'
else
    echo "smoke: skipped, $python has no venv module" >&2
fi

echo "smoke: the store is sound" >&2
"$LOCI" store verify --store "$work/store"

echo "smoke: a pin that does not exist" >&2
echo 'six===1.17.0.999' >"$work/wrong.txt"
echo 'iso8601===2.1.0' >>"$work/wrong.txt"
code=0
build "$work/wrong.txt" "$work/wrong.json" || code=$?
[ "$code" = 3 ] || fail "exit code $code, not 3, for a pin that does not exist"
expect "$work/wrong.json" '[f["name"] for f in s["failures"]] == ["six"] and hows["iso8601"] == "reused"'

echo "smoke: passed" >&2
