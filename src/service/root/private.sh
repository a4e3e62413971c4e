# The first process of a private root: `loci` runs it in namespaces of its own, where all that it mounts
# is gone with it.
#
#   ROOT PROC DEV TMP RUN [FROM TO]... -- PROGRAM [ARGUMENT]...
#
# Everything but FROM is below ROOT, with no link left in it. When its standard input ends, which it does when
# loci is gone, however that came, this ends, and the kernel ends all others in the namespace.
set -eu
trap 'exit 143' TERM
umask 022
exec 3<&0 </dev/null
{ while read -r _ <&3; do :; done; kill -s TERM 1; } &

root=$1 proc=$2 dev=$3 tmp=$4 run=$5
shift 5
mount -t proc proc "$proc"
mount -t tmpfs -o mode=755,nosuid tmpfs "$dev"
for name in null zero full random urandom tty; do
    [ -e "/dev/$name" ] || continue
    : >"$dev/$name"
    mount -o bind "/dev/$name" "$dev/$name"
done
mkdir -m 1777 "$dev/shm"
ln -s /proc/self/fd "$dev/fd"
ln -s /proc/self/fd/0 "$dev/stdin"
ln -s /proc/self/fd/1 "$dev/stdout"
ln -s /proc/self/fd/2 "$dev/stderr"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$tmp"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$run"
mkdir -m 1777 "$run/lock"

# Packages put it into what they make.
hostname localhost 2>/dev/null || :

while [ "$1" != -- ]; do
    # What is not there yet is in one of the above.
    if [ -d "$1" ]; then
        mkdir -p "$2"
    elif [ ! -e "$2" ]; then
        mkdir -p "${2%/*}"
        : >"$2"
    fi
    mount -o bind "$1" "$2"
    # A user namespace may not let go of other flags, and then keeps this one from being set.
    mount -o remount,bind,ro "$2" 2>/dev/null || :
    shift 2
done
shift

echo 'loci: the root is ready'
chroot "$root" "$@" 3<&- &
status=0
wait $! || status=$?
exit "$status"
