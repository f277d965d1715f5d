# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For the benchmarks, called with a new directory of their own as argument: sets `-eu -o pipefail`, and
# gives W (that directory), P (the mount point), QUBESFS, and the functions below.

# shellcheck disable=SC2034  # for the scripts
set -eu -o pipefail
# as many decimal points as scripts expect
export LC_ALL=C

W=$1
P=$W/mount
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIB=$(cd "$HERE/../lib" && pwd)
BUILD=${BUILD:-$HERE/../../build}
QUBESFS=$BUILD/qubesfs
QFS_PID=
mkdir -p "$P"

# say WORD...: what is going on, to people
say() {
    echo "bench: $*" >&2
}

now_us() {
    echo "${EPOCHREALTIME/./}"
}

# milliseconds COMMAND...: runs it, prints how long it took
milliseconds() {
    local began
    began=$(now_us)
    "$@" >/dev/null 2>"$W/stderr" || { say "$*: $(tail -n 3 "$W/stderr")" && return 1; }
    awk -v us=$(($(now_us) - began)) 'BEGIN { printf us < 100000 ? "%.1f" : "%.0f", us / 1000 }'
}

# best COMMAND...: the shortest of three runs: what the others have more is other work on the machine
best() {
    for _ in 1 2 3; do
        milliseconds "$@"
        echo
    done | sort -n | head -n 1
}

# ratio A B: "A / B"
ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { x = a / b; printf x < 0.1 ? "%.3f" : x < 10 ? "%.2f" : "%.0f", x }'
}

# mount_ms OPTION...: mounts, prints how long it took until the mount answered
mount_ms() {
    milliseconds "$QUBESFS" --xenstore none "$@" "$P"
}

# find_daemon: sets QFS_PID, which mount_ms (in a subshell) can't
find_daemon() {
    QFS_PID=$(pgrep -n -f -- "^$QUBESFS .*$P\$")
}

unmount() {
    [ -n "$QFS_PID" ] || return 0
    fusermount3 -u "$P" || umount -l "$P"
    while kill -0 "$QFS_PID" 2>/dev/null; do
        sleep 0.02
    done
    QFS_PID=
}

# memory: the daemon's "RSS / PSS" in MiB
memory() {
    awk '/^Rss:/ { rss = $2 } /^Pss:/ { pss = $2 }
         END { printf "%.0f / %.0f", rss / 1024, pss / 1024 }' "/proc/$QFS_PID/smaps_rollup"
}

# with cat, as a shell would; by xargs, since ten thousand names are too many for one command line
read_states() {
    printf '%s\0' "$P"/vms/*/state | xargs -0 cat
}

read_everything() {
    # a VM's `backup` is a stream of all its data, and wants a passphrase; its volumes are data too
    find "$P/vms" -type f ! -name backup ! -path '*/volumes/*' -print0 | xargs -0 cat
}

# mixed_image FILE MIB: a quarter each, in stripes of 16 MiB: what does not compress, text, programs, holes
mixed_image() {
    local at image=$1
    rm -f "$image"
    truncate -s "$2M" "$image"
    for at in $(seq 0 4 $(($2 / 16 - 1))); do
        { openssl enc -aes-128-ctr -pass pass:"$at" -pbkdf2 -nosalt -in /dev/zero 2>/dev/null || true; } | _stripe "$at"
        { seq -f "%.0f: an entry of a log, number $at" 1000000 9999999 2>/dev/null || true; } | _stripe $((at + 1))
        { _programs "$at" && _programs 0; } | _stripe $((at + 2))
    done
}

_stripe() {
    head -c 16M | dd of="$image" bs=1M iflag=fullblock seek=$(($1 * 16)) conv=notrunc status=none || true
}

_programs() {
    cat /usr/bin/* 2>/dev/null | tail -c +$(($1 * 4000000 + 1)) || true
}
