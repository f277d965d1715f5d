# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# xenstore.sh: Debian's C xenstored without a Xen (see xenstore/shim.c), one for each test.  Source it
# after mount.sh, or with TEST_TMP set:
#
#   xenstore_start [NAME]        builds what it needs, starts one; XENSTORE is its socket, and the
#                                xenstore-* programs speak with it
#   xenstore_kill; xenstore_restart    by SIGKILL; again, with nothing in it
#   xenstore_stop
#   xen_domain ID [NAME]         makes a running domain: introduced, its keys as a toolstack makes them
#   xen_domain_end ID            it is destroyed, and its keys are removed
#   as_guest ID REQUEST...       one request with the guest's rights (see xenstore/guest.c)
#   guest_offers ID DEVICE DESC SIZE MODE [PATH]   what a VM's agent does when a disk is plugged in
#   guest_takes_back ID DEVICE
#   xen_vbd ID DEVID BACKEND PARAMS [STATE]   a disk that a toolstack has attached
#   xen_vbd_end ID DEVID BACKEND
#
# Several may run side by side, under other NAMEs; the last one started is spoken with.

XENSTORED=/usr/lib/xen-4.17/bin/xenstored
_xenstore_sources=$(cd "$(dirname "${BASH_SOURCE[0]}")/xenstore" && pwd)
_xenstored_pids=

# Exits with 77 where it cannot run.
_xenstore_build() {
    local tools=$TEST_TMP/xenstore flags="-O2 -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra"
    [ -x $XENSTORED ] || { echo "needs xen-utils-4.17" && exit 77; }
    command -v xenstore-write >/dev/null || { echo "needs xenstore-utils" && exit 77; }
    [ ! -x "$tools/domain" ] || return 0
    mkdir -p "$tools"
    # shellcheck disable=SC2086  # several words
    {
        cc $flags -fPIC -shared -include stdbool.h -U_FILE_OFFSET_BITS -o "$tools/shim.so" "$_xenstore_sources/shim.c" -ldl
        cc $flags -o "$tools/guest" "$_xenstore_sources/guest.c"
        cc $flags -o "$tools/domain" "$_xenstore_sources/domain.c" -lxenstore
    }
}

xenstore_start() {
    _xenstore_build
    XENSTORE_RUN=$TEST_TMP/xs${1:+.$1}
    XENSTORE=$XENSTORE_RUN/socket
    mkdir -p "$XENSTORE_RUN/domains"
    export XENSTORE_DOMAINS=$XENSTORE_RUN/domains XENSTORED_RUNDIR=$XENSTORE_RUN \
        XENSTORED_ROOTDIR=$XENSTORE_RUN XENSTORED_PATH=$XENSTORE
    xenstore_restart
}

_xenstore_answers() {
    xenstore-read / >/dev/null 2>&1
}

xenstore_restart() {
    local i
    rm -f "$XENSTORE"
    LD_PRELOAD=$TEST_TMP/xenstore/shim.so $XENSTORED --no-fork --internal-db \
        >>"$XENSTORE_RUN/log" 2>&1 &
    XENSTORED_PID=$!
    _xenstored_pids="$_xenstored_pids $XENSTORED_PID"
    for ((i = 0; i < 3000; i++)); do
        ! _xenstore_answers || return 0
        kill -0 $XENSTORED_PID 2>/dev/null || break
        sleep 0.02
    done
    echo "xenstored does not answer: $(cat "$XENSTORE_RUN/log")" >&2
    exit 1
}

xenstore_kill() {
    kill -KILL "$XENSTORED_PID"
    wait "$XENSTORED_PID" 2>/dev/null || true
}

# ends all that were started
xenstore_stop() {
    local pid
    for pid in $_xenstored_pids; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    _xenstored_pids=
}

xen_domain() {
    local id=$1 name=${2:-}
    echo r >"$XENSTORE_DOMAINS/$id"
    # as libxl does: keys first, then the introduction
    if [ -n "$name" ]; then
        xenstore-write "/local/domain/$id/name" "$name" "/local/domain/$id/domid" "$id" \
            "/local/domain/$id/device" '' "/local/domain/$id/qubes-block-devices" ''
        xenstore-chmod "/local/domain/$id" n0 "r$id"
        xenstore-chmod "/local/domain/$id/qubes-block-devices" "n$id" r0
    fi
    "$TEST_TMP/xenstore/domain" introduce "$id"
}

xen_domain_end() {
    rm -f "$XENSTORE_DOMAINS/$1"
    kill -USR1 "$XENSTORED_PID"
    xenstore-rm "/local/domain/$1" 2>/dev/null || true
}

as_guest() {
    local id=$1
    shift
    printf '%s\n' "$*" | "$TEST_TMP/xenstore/guest" "$XENSTORED_PID" "$id"
}

guest_offers() {
    local path=qubes-block-devices/$2
    printf '%s\n' "write $path/desc $3" "write $path/size $4" "write $path/mode $5" \
        ${6:+"write $path/device $6"} "write qubes-block-devices " |
        "$TEST_TMP/xenstore/guest" "$XENSTORED_PID" "$1" >/dev/null
}

guest_takes_back() {
    printf '%s\n' "rm qubes-block-devices/$2" "write qubes-block-devices " |
        "$TEST_TMP/xenstore/guest" "$XENSTORED_PID" "$1" >/dev/null
}

xen_vbd() {
    local front=/local/domain/$1/device/vbd/$2 back=/local/domain/$3/backend/vbd/$1/$2 state=${5:-4}
    xenstore-write "$front/backend" "$back" "$front/backend-id" "$3" "$front/virtual-device" "$2" \
        "$front/device-type" disk "$front/state" "$state" \
        "$back/frontend" "$front" "$back/frontend-id" "$1" "$back/params" "$4" "$back/type" phy \
        "$back/mode" "${6:-w}" "$back/online" 1 "$back/state" "$state"
    xenstore-chmod "$front" "n$1" r0
    xenstore-chmod "$back" "n$3" "r$1"
}

xen_vbd_end() {
    xenstore-rm "/local/domain/$1/device/vbd/$2"
    xenstore-rm "/local/domain/$3/backend/vbd/$1/$2" 2>/dev/null || true
}
