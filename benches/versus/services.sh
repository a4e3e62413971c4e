#!/usr/bin/env bash
# Service images without an engine: nova's Python layers, keystone from end to end, and ten services into
# one OCI layout, with the distribution's layers cached; how much the ten share; beside them the same
# environment by uv and by pip, and keystone by `docker build` where an engine is there.
#
#   benches/versus/services.sh BASE WHEELS
#
# BASE and WHEELS are as for `loci build --from BASE --wheels WHEELS`; WHEELS is a directory (`dir:DIR`) for
# the peers. RUNS (5) runs each; LOCI, WORK, KEEP as in benches/README.md.
set -euo pipefail

base=${1:?the base} wheels=${2:?the wheels}
LOCI=$(realpath "${LOCI:-target/release/loci}")
RUNS=${RUNS:-5}
work=$(mktemp -d "${WORK:-${TMPDIR:-/tmp}}/services.XXXXXX")
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
export LOCI_STORE=$work/store LOCI_PROGRESS=none NOVNC_REPO='' SPICE_REPO=''
all='keystone nova neutron glance cinder heat horizon ironic octavia manila'

"$LOCI" --version
uname -srm
nproc

# measured NAME COMMAND...: wall and CPU seconds, and the peak of memory in MB.
measured() {
    local name=$1
    shift
    /usr/bin/time -o "$work/time" -f "$name	%e	%U	%S	%M" "$@" >"$work/out" 2>&1 || {
        cat "$work/out" >&2
        exit 1
    }
    cat "$work/time"
}
median() {
    sort -t'	' -k2 -n | awk -F'\t' '{ line[NR] = $0 } END { print line[int((NR + 1) / 2)] }' |
        awk -F'\t' '{ printf "%-34s %6.2f s wall, %5.2f s CPU, %4d MB\n", $1, $2, $3 + $4, $5 / 1024 }'
}
build() {
    rm -rf "$work/layout"
    # shellcheck disable=SC2086
    measured "$1" "$LOCI" build $2 --from "$base" --wheels "$wheels" -q -o "oci:$work/layout:{project}"
}
# Forgets which layers were made, not the distribution's.
forget() {
    rm -rf "$LOCI_STORE/loci/layers"
}

echo "the distribution's packages, once for all"
# shellcheck disable=SC2086
"$LOCI" build $all --from "$base" --wheels "$wheels" -q -o "oci:$work/warm:{project}"
[ "${PAGE_CACHE:-warm}" = warm ] || { sync; echo 3 >/proc/sys/vm/drop_caches; }

for ((run = 0; run < RUNS; run++)); do forget; build 'nova, layers made' nova; done | median
for ((run = 0; run < RUNS; run++)); do build 'nova, layers known' nova; done | median
# The base and the distribution's layer are in the layout: what is made is the Python layers.
for ((run = 0; run < RUNS; run++)); do
    forget
    python3 - "$work/layout" <<'PYTHON'
import json, os, sys
root = sys.argv[1]
read = lambda digest: json.load(open(f"{root}/blobs/sha256/{digest.split(':')[1]}"))
manifest = read(json.load(open(f"{root}/index.json"))["manifests"][0]["digest"])
config = read(manifest["config"]["digest"])
told = [h.get("created_by", "") for h in config["history"] if not h.get("empty_layer")]
for layer, said in zip(manifest["layers"], told):
    if said.endswith(".whl") or "small wheel" in said or "Python environment" in said:
        os.remove(f"{root}/blobs/sha256/{layer['digest'].split(':')[1]}")
PYTHON
    measured "nova's Python layers" "$LOCI" build nova --from "$base" --wheels "$wheels" -q -o "oci:$work/layout:nova"
done | median
for ((run = 0; run < RUNS; run++)); do forget; build 'keystone, layers made' keystone; done | median
for ((run = 0; run < RUNS; run++)); do forget; build 'ten services, layers made' "$all"; done | median
for ((run = 0; run < RUNS; run++)); do build 'ten services, layers known' "$all"; done | median

echo 'what ten services share of their Python layers'
python3 - "$work/layout" "$base" <<'PYTHON'
import json, sys
root, base = sys.argv[1], sys.argv[2]
read = lambda digest: json.load(open(f"{root}/blobs/sha256/{digest.split(':')[1]}"))
index = json.load(open(f"{root}/index.json"))
total, different = 0, {}
for descriptor in index["manifests"]:
    manifest = read(descriptor["digest"])
    config = read(manifest["config"]["digest"])
    told = [h.get("created_by", "") for h in config["history"] if not h.get("empty_layer")]
    for layer, said in zip(manifest["layers"], told):
        if said.endswith(".whl") or "small wheel" in said or "Python environment" in said:
            total += layer["size"]
            different[layer["digest"]] = layer["size"]
unique = sum(different.values())
print(f"{total / 2**20:.1f} MiB in all, {unique / 2**20:.1f} MiB once: {1 - unique / total:.0%} shared")
PYTHON
