#!/usr/bin/env bash
# A service installed from a directory of wheels with no network, side by side with pip and uv.
#
#   benches/versus/install.sh PROJECT WHEELS [SOURCE]
#
# WHEELS is what `loci build requirements -o dir:WHEELS` wrote; SOURCE is the project's source tree,
# by default its newest sdist, unpacked. Each peer gets a new environment for each of RUNS runs (3),
# no cache, no byte compilation, and builds the project from the same tree. LOCI, PYTHON, WORK and
# KEEP are as in requirements.sh. Run by root, every peer runs without network interfaces.
RUNS=${RUNS:-3}
. "$(dirname "$0")/common.sh"

[ $# -ge 2 ] || {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
project=$1
wheels=$(realpath "$2")
peers uv

source=${3:-}
if [ -z "$source" ]; then
    "$pip" download --quiet --no-deps --no-binary :all: --dest "$work/sdist" "$project"
    mkdir "$work/source"
    tar -xf "$work"/sdist/*.tar.gz -C "$work/source" --strip-components=1
    source=$work/source
fi
source=$(realpath "$source")

alone=()
if unshare -n true 2>/dev/null; then alone=(unshare -n); fi

# A backend writes into the tree it builds (egg-info, build/), so each run has a fresh copy.
fresh_source() {
    rm -rf "$work/tree"
    cp -a "$source" "$work/tree"
}

offline=(--no-index --find-links "$wheels" -c "$wheels/upper-constraints.txt")
for n in $(seq "$runs"); do
    rm -rf "$work/loci" "$work/pip" "$work/uv" "$work/store"

    fresh_source
    measured loci "${alone[@]}" "$LOCI" install "$project" --project-repo "$work/tree" \
        --wheels "dir:$wheels" --python "$python" --store "$work/store" --prefix "$work/loci"
    rm -rf "$work/loci"
    fresh_source
    measured "loci, again" "${alone[@]}" "$LOCI" install "$project" --project-repo "$work/tree" \
        --wheels "dir:$wheels" --python "$python" --store "$work/store" --prefix "$work/loci"

    # The environments of the peers are made before the clock starts; loci makes its own within.
    fresh_source
    "$python" -m venv --without-pip "$work/pip"
    PIP_CONSTRAINT= measured pip "${alone[@]}" "$pip" --python "$work/pip/bin/python" install \
        --quiet --disable-pip-version-check --no-cache-dir --no-compile "${offline[@]}" "$work/tree"

    fresh_source
    "$uv" venv --quiet --python "$python" "$work/uv"
    measured uv "${alone[@]}" "$uv" pip install --quiet --offline --no-cache \
        --python "$work/uv/bin/python" "${offline[@]}" "$work/tree"
done

# What is installed, as pip sees it; the project itself is named with the folder it came from.
frozen() {
    "$pip" --python "$work/$1/bin/python" freeze --all --disable-pip-version-check |
        sed 's/ @ file:.*//' | sort -f
}

machine "$("$pip" --version | cut -d' ' -f1,2), $("$uv" --version)"
echo "input: $project, $(frozen loci | wc -l) distributions," \
    "$(find "$work/loci" -type f | wc -l) files, $(du -sm "$work/loci" | cut -f1) MiB;" \
    "network: $([ ${#alone[@]} -gt 0 ] && echo cut off || echo left on)"
table
for peer in pip uv; do
    if diff <(frozen loci) <(frozen "$peer") >"$work/freeze.diff"; then
        echo "freeze: loci and $peer installed the same"
    else
        echo "freeze: loci (<) and $peer (>) differ:"
        cat "$work/freeze.diff"
    fi
done
