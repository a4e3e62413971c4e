#!/usr/bin/env bash
# The whole set as an image: packed, pushed to a registry on this machine and pulled from it, side by
# side with skopeo; what an update of five pins and a service's installation move.
#
#   benches/versus/images.sh CONSTRAINTS [STORE]
#
# STORE has the wheels of CONSTRAINTS already; without it a new one is filled first, which is not
# measured. RUNS (3) is how often each is measured, CHANGED the pins of the set before the update,
# PROJECT (keystone) the service. LOCI, PYTHON, WORK and KEEP are as in requirements.sh. Needs
# docker-registry and skopeo. The registry is new and empty for every push, and the disk is at rest
# before the clock starts. What skopeo does by itself is to compress every layer; with
# --preserve-digests it only copies, as loci does.
RUNS=${RUNS:-3}
. "$(dirname "$0")/common.sh"

[ $# -ge 1 ] || {
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
constraints=$(realpath "$1")
store=$(realpath -m "${2:-$work/store}")
project=${PROJECT:-keystone}
changed=${CHANGED:-SQLAlchemy===2.0.51 lxml===6.1.0 urllib3===2.6.3 requests===2.34.1 oslo.messaging===18.1.0}
home=$HOME
. "$root/tests/parts.sh"
export LOCI_STORE=$store LOCI_PYTHON=$python LOCI_PROGRESS=none
quiet=("$LOCI" --quiet)

# In the store only: the pins of an earlier set, and then those of the file, both with all bodies here.
earlier=$work/earlier.txt
cp "$constraints" "$earlier"
for pin in $changed; do
    sed -i -E "s/^${pin%%===*}===[^;[:space:]]*/$pin/" "$earlier"
    grep -qF -- "$pin" "$earlier" || {
        echo "versus: ${pin%%===*} is not in $constraints" >&2
        exit 2
    }
done
echo "versus: filling the store" >&2
HOME=$home "${quiet[@]}" build requirements -c "$earlier" --tag earlier --json >"$work/earlier.json"
HOME=$home "${quiet[@]}" build requirements -c "$constraints" --tag latest --json >"$work/latest.json"

# said KEY FILE: a number in loci's JSON.
said() {
    "$python" -c 'import json, sys; print(json.load(open(sys.argv[2]))[sys.argv[1]])' "$@"
}

# One more measured run; what it wrote before is on the disk.
take() {
    sync
    measured "$@"
}

# A new and empty registry, for the command in `to`, `from` or wherever $registry stands.
fresh_registry() {
    registry registry
    ! missing registry >&2 || exit 2
}

for n in $(seq "$runs"); do
    rm -rf "$work/layout"
    take "pack: loci copy store: oci:" "${quiet[@]}" copy store: "oci:$work/layout:set"
    rm -rf "$work/layout" "$store/loci/layers"
    take "pack: the same, layers not remembered" "${quiet[@]}" copy store: "oci:$work/layout:set"
    rm -rf "$work/layout"
    take "pack: loci build requirements -o oci:" "${quiet[@]}" build requirements -c "$constraints" -o "oci:$work/layout:set"
    take "pack: again into the same layout" "${quiet[@]}" copy store: "oci:$work/layout:set"

    fresh_registry
    take "push: loci copy oci: docker:" "${quiet[@]}" copy "oci:$work/layout:set" "docker://$registry/loci/r:set"
    rm -rf "$work/pulled"
    take "pull: loci copy docker: oci:" "${quiet[@]}" copy "docker://$registry/loci/r:set" "oci:$work/pulled:set"
    rm -rf "$work/pulled"
    take "pull: skopeo copy (compresses)" "${skopeo_here[@]}" copy --quiet --src-tls-verify=false \
        "docker://$registry/loci/r:set" "oci:$work/pulled:set"
    rm -rf "$work/pulled"
    take "pull: skopeo copy --preserve-digests" "${skopeo_here[@]}" copy --quiet --preserve-digests \
        --src-tls-verify=false "docker://$registry/loci/r:set" "oci:$work/pulled:set"
    rm -rf "$work/pulled"
    stop_last "$registry_dir"

    fresh_registry
    take "push: skopeo copy --preserve-digests" "${skopeo_here[@]}" copy --quiet --preserve-digests \
        --dest-tls-verify=false "oci:$work/layout:set" "docker://$registry/loci/r:set"
    stop_last "$registry_dir"

    fresh_registry
    take "push: skopeo copy (compresses)" "${skopeo_here[@]}" copy --quiet --dest-tls-verify=false \
        "oci:$work/layout:set" "docker://$registry/loci/r:set"
    stop_last "$registry_dir"

    fresh_registry
    take "push: loci copy store: docker:" "${quiet[@]}" copy store: "docker://$registry/loci/r:set"
    stop_last "$registry_dir"
done

# An update: what arrives in the registry's folder, and what loci says of it.
fresh_registry
"${quiet[@]}" copy store:earlier "docker://$registry/loci/r:set"
before=$(registry_bytes "$registry_dir")
measured "update: loci copy store: docker:" "$LOCI" copy store: "docker://$registry/loci/r:set" --json >"$work/update.json"
arrived=$(($(registry_bytes "$registry_dir") - before))
different=$("$python" - "$work/earlier.json" "$work/latest.json" <<'PYTHON'
import json, sys
earlier, latest = ({w["digest"]: w["size"] for w in json.load(open(f))["wheels"]} for f in sys.argv[1:])
print(sum(size for digest, size in latest.items() if digest not in earlier))
PYTHON
)

# A service: what the registry sends, and the wheels it is for.
for n in $(seq "$runs"); do
    lines=$(wc -l <"$registry_dir/log")
    rm -rf "$work/service-store" "$work/prefix"
    HOME=$home measured "install $project from docker:" "$LOCI" --store "$work/service-store" install "$project" \
        --wheels "docker://$registry/loci/r:set" --project-repo pypi --prefix "$work/prefix" --json >"$work/install.json"
    sent=$(served "$registry_dir" "$lines")
done
# Its own wheels, and with them what its source was built with.
needed=$("$python" - "$work/install.json" "$work/latest.json" "$work/service-store" <<'PYTHON'
import json, os, re, sys
installed = {re.sub("[-_.]+", "-", p.split("==")[0]).lower() for p in json.load(open(sys.argv[1]))["packages"]}
wheels = json.load(open(sys.argv[2]))["wheels"]
kept = lambda w: os.path.exists(f"{sys.argv[3]}/blobs/sha256/{w['digest'].split(':')[-1]}")
print(sum(w["size"] for w in wheels if w["name"] in installed), sum(w["size"] for w in wheels if kept(w)))
PYTHON
)

machine "$(skopeo --version), $(docker-registry --version 2>&1 | sed 's/ github.com[^ ]*//')"
echo "input: $(basename "$constraints"), $(find "$work/layout/blobs" -type f | wc -l) blobs," \
    "$(du -sm "$work/layout" | cut -f1) MiB; load: $(cut -d' ' -f1-3 /proc/loadavg)"
table
echo
"$python" - "$results" <<'PYTHON'
import statistics, sys
runs = {}
for line in open(sys.argv[1]):
    label, code, wall, cpu, own, _ = line.rstrip("\n").split("\t")
    runs.setdefault(label, []).append((float(wall), float(cpu), float(own)))
print("| run | median wall s | CPU s | own peak MB |", "|---|---|---|---|", sep="\n")
median = {}
for label, taken in runs.items():
    median[label] = [statistics.median(column) for column in zip(*taken)]
    print("| {} | {:.2f} | {:.1f} | {:.0f} |".format(label, *median[label]))
print()
for one, other in [("push: loci copy oci: docker:", "push: skopeo copy --preserve-digests"),
                   ("push: loci copy store: docker:", "push: skopeo copy --preserve-digests"),
                   ("pull: loci copy docker: oci:", "pull: skopeo copy --preserve-digests")]:
    print(f"{one} takes {median[one][0] / median[other][0]:.2f} of {other}")
PYTHON
say() { awk -v a="$2" -v b="$3" -v text="$1" 'BEGIN { printf "%s\n", sprintf(text, a / 1e6, b / 1e6, a / b) }'; }
echo "update of five pins: $changed"
echo "  changed wheels: $different bytes; in the registry's folder: $arrived bytes more; loci says $(said bytes "$work/update.json")"
say '  arrived %.1f MB for %.1f MB' "$arrived" "$different"
say "$project: %.1f MB sent for %.1f MB of its wheels, %.3f times" "$sent" "${needed% *}"
say "$project: %.1f MB sent for %.1f MB of its wheels and its build's, %.3f times" "$sent" "${needed#* }"
