#!/usr/bin/env bash
# The main job, side by side: every pin of a constraints file as a wheel, from nothing and again.
#
#   benches/versus/requirements.sh CONSTRAINTS [loci|pip]...
#
# By default both. LOCI is the binary (default: target/release/loci), PYTHON the interpreter, WORK
# where the folders are made, RUNS how often from nothing (default 1), KEEP=1 keeps the folders.
# pip does it in the way of LOCI: one `pip wheel --no-deps` a pin, 20 at a time. Neither has a cache
# at first; both ask the index that PIP_INDEX_URL names, and get the same pins.
. "$(dirname "$0")/common.sh"

[ $# -ge 1 ] || {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
constraints=$(realpath "$1")
shift
[ $# -gt 0 ] || set -- loci pip

# What pip is given, as it is known to work for the whole of OpenStack's master on CPython 3.11:
# without ceilometer, with uwsgi, builds with a setuptools that still has pkg_resources.
pins=$work/pins.txt
{ grep -Eiv '^[[:space:]]*(#|$)|^ceilometer===' "$constraints" && echo uwsgi; } >"$pins"
echo 'setuptools<81' >"$work/build-constraints.txt"

loci_way() {
    local n
    for n in $(seq "$runs"); do
        rm -rf "$work/store" "$work/loci"
        measured "loci, from nothing" "$LOCI" build requirements -c "$constraints" \
            --python "$python" --store "$work/store" -o "dir:$work/loci"
        measured "loci, again" "$LOCI" build requirements -c "$constraints" \
            --python "$python" --store "$work/store" -o "dir:$work/loci"
    done
    measured "loci store verify" "$LOCI" store verify --store "$work/store"
}

pip_way() {
    local n
    peers
    export PIP_CONSTRAINT=$work/build-constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
    for n in $(seq "$runs"); do
        rm -rf "$work/pip" "$work/pip-cache"
        export PIP_CACHE_DIR=$work/pip-cache
        measured "pip wheel -P20, from nothing" xargs -a "$pins" -d '\n' -P20 -n1 \
            "$pip" wheel --quiet --no-deps --wheel-dir "$work/pip"
        measured "pip wheel -P20, again" xargs -a "$pins" -d '\n' -P20 -n1 \
            "$pip" wheel --quiet --no-deps --wheel-dir "$work/pip"
    done
    unset PIP_CONSTRAINT PIP_CACHE_DIR
}

for way in "$@"; do
    case $way in
        loci | pip) "${way}_way" ;;
        *) echo "versus: \`$way\` is neither loci nor pip" >&2 && exit 2 ;;
    esac
done

# `name-version` of each wheel in a folder, normalised, so that a different file of one release
# (another build tag, a local build) does not hide a missing one.
releases() {
    (cd "$1" && ls -- *.whl) | cut -d- -f1,2 | tr 'A-Z.' 'a-z_' | sort -u
}

machine "$([ -z "${pip:-}" ] || "$pip" --version | cut -d' ' -f1,2)"
echo "input: $(wc -l <"$pins") requirements of $(basename "$constraints")"
table
for way in loci pip; do
    [ ! -d "$work/$way" ] || echo "$way: $(releases "$work/$way" | wc -l) wheels, $(du -sm "$work/$way" | cut -f1) MiB"
done
if [ -d "$work/loci" ] && [ -d "$work/pip" ]; then
    echo "only one of them has:"
    diff <(releases "$work/loci") <(releases "$work/pip") | sed -n 's/^</  loci:/p; s/^>/  pip: /p'
fi
