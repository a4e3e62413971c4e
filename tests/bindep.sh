#!/usr/bin/env bash
# `loci bindep` beside the real things: PyPI's bindep answers the same for thousands of profiles and
# platforms, and every name in our lists is one that the releases of Debian and Ubuntu have.
# What cannot be asked from here is named, and skipped.
#
#   tests/bindep.sh             with the debug build, which it makes
#   LOCI=/usr/bin/loci tests/bindep.sh
#   UBUNTU_MIRROR=URL DEBIAN_MIRROR=URL tests/bindep.sh
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
unset PROJECT PROFILES PROJECT_RELEASE DISTRO EXTRA_BINDEP EXTRA_PYDEP
failed=0

say() {
    echo "bindep: $*" >&2
}

# Everything that our lists know, a line each.
profiles() {
    "$LOCI" bindep --profiles --distro debian | sed '1,/^Configuration profiles:$/d'
    "$LOCI" bindep --profiles --distro debian --pydep | sed '1,/^Configuration profiles:$/d'
}

# The mirror of a distribution: the one that is given, the machine's own, or debootstrap's.
mirror() {
    local name=$1 given=$2 script=/usr/share/debootstrap/scripts/$3
    if [ -n "$given" ]; then
        echo "$given"
    elif command -v apt-get >/dev/null &&
        apt-get indextargets --format "\$(REPO_URI)" 'Created-By: Packages' "Origin: $name" 2>/dev/null |
        grep -v -e -security -e /security | head -1 | grep .; then
        :
    elif [ -r "$script" ]; then
        sed -n 's/^[[:space:]]*default_mirror //p' "$script" | grep -v old-releases | head -1
    fi
}

# names RELEASE CODENAME MIRROR COMPONENT...: the names that the lists have for a release are all there.
names() {
    local release=$1 codename=$2 mirror=$3 root=$work/$2 project missing
    shift 3
    if ! command -v apt-get >/dev/null; then
        say "not checked: the names of $release: there is no apt-get here"
        return 0
    elif [ -z "$mirror" ]; then
        say "not checked: the names of $release: no mirror of it is known here; \
${release%-*} is told one by $(tr '[:lower:]' '[:upper:]' <<<"${release%-*}")_MIRROR"
        return 0
    fi
    # A place for apt of its own. Only names are read there, so nobody needs to vouch for them.
    mkdir -p "$root/lists/partial" "$root/archives/partial"
    echo "deb [trusted=yes] $mirror $codename $*" >"$root/sources"
    cat >"$root/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::Cache "$root";
Dir::Etc::SourceList "$root/sources";
Dir::Etc::SourceParts "-";
Dir::State "$root";
Dir::State::Lists "$root/lists";
Dir::State::Status "/dev/null";
CONF
    if ! APT_CONFIG=$root/apt.conf apt-get update -qq -o APT::Update::Error-Mode=any >"$root/log" 2>&1; then
        say "not checked: the names of $release: $(grep -m1 '^E:' "$root/log" || tail -1 "$root/log")"
        return 0
    fi
    # shellcheck disable=SC2046 # Words.
    for project in "${projects[@]}"; do
        "$LOCI" bindep -l newline "$project" $(cat "$work/profiles") --distro "$release"
    done | sort -u >"$root/wanted"
    # Only what is really there has a record; a name that others provide has none.
    # shellcheck disable=SC2046
    APT_CONFIG=$root/apt.conf apt-cache show --no-all-versions $(cat "$root/wanted") 2>/dev/null |
        sed -n 's/^Package: //p' | sort -u >"$root/there"
    missing=$(comm -23 "$root/wanted" "$root/there" | tr '\n' ' ')
    if [ -n "$missing" ]; then
        say "FAILED: $release has no $missing"
        failed=1
        return 0
    fi
    say "names of $release: $(wc -l <"$root/wanted") are there"
}

profiles >"$work/profiles"
projects=()
for list in bindep/*.txt; do
    list=${list#bindep/}
    [ "$list" = common.txt ] || projects+=("${list%.txt}")
done

debian=$(mirror Debian "${DEBIAN_MIRROR:-}" sid)
ubuntu=$(mirror Ubuntu "${UBUNTU_MIRROR:-}" gutsy)
names debian-12 bookworm "$debian" main
names debian-13 trixie "$debian" main
names ubuntu-22.04 jammy "$ubuntu" main universe
names ubuntu-24.04 noble "$ubuntu" main universe
say "not checked: the names of CentOS Stream, Rocky Linux and openEuler: nothing here reads their mirrors"

if ! "$python" -m venv "$work/venv" >"$work/log" 2>&1; then
    say "skipped: comparing with PyPI's bindep: $python has no venv module"
elif ! "$work/venv/bin/pip" install --quiet --disable-pip-version-check 'bindep>=2.14' >"$work/log" 2>&1; then
    say "skipped: comparing with PyPI's bindep: pip cannot install it: $(tail -1 "$work/log")"
else
    "$work/venv/bin/python" tests/ask_bindep.py "$LOCI" "$work" || failed=1
fi

[ "$failed" = 0 ] || exit 1
say "passed"
