# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For bash tests with a mount:
#
#   #!/bin/bash
#   . "$(dirname "$0")/../lib/mount.sh"
#   requires inotifywait
#   make_host
#   qfs_mount
#   ...
#
# sets `-eu -o pipefail`, and gives
#   LIB        this directory
#   TEST_TMP   a directory of the test's own (from tests/run, or made and removed here)
#   BUILD, QUBESFS   the build's directory and the daemon in it, build/ unless told otherwise
#   HOST       $TEST_TMP/host: what goes to --root
#   P          $TEST_TMP/qubes: the mount point
#   WITHIN     seconds in which a change has to be seen
# and the functions below.  A failed command ends the test as failed, and so does `fail REASON`.

set -eu -o pipefail

LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$(cd "$LIB/../.." && pwd)/build}
QUBESFS=${QUBESFS:-$BUILD/qubesfs}
if [ -z "${TEST_TMP:-}" ]; then
    TEST_TMP=$(mktemp -d "${TMPDIR:-/tmp}/qubesfs-test.XXXXXX")
    _own_tmp=true
fi
export BUILD QUBESFS TEST_TMP
HOST=$TEST_TMP/host
P=$TEST_TMP/qubes
CATALOGUE=$HOST/var/lib/qubes/qubes.xml
WITHIN=${WITHIN:-10}

# Loop devices are the machine's: those of tests that run beside this one come and go.  A test that is not
# about devices sees none; one that is sets WITH_BLOCK_DEVICES before it sources this.
if [ -n "${TEST_SANDBOX:-}" ] && [ -z "${WITH_BLOCK_DEVICES:-}" ]; then
    mount -t tmpfs -o ro,size=4k none /sys/class/block
fi

# --- the end ---

_cleanups=()

# cleanup_fn COMMAND ARGUMENT...: run at the end whatever happens; the last one first
cleanup_fn() {
    local words
    printf -v words '%q ' "$@"
    _cleanups=("$words" ${_cleanups[@]+"${_cleanups[@]}"})
}

# The line that failed, for a test that ends by `set -e`.
_failed_at() {
    local status=$?
    echo "$0:${BASH_LINENO[0]}: status $status: $BASH_COMMAND" >&2
}
trap _failed_at ERR

_end() {
    local status=$? command
    trap - ERR EXIT
    set +e
    _ending=true
    for command in ${_cleanups[@]+"${_cleanups[@]}"}; do
        eval "$command" || {
            [ $status != 0 ] || { echo "$0: at the end: $command" && status=1; }
        }
    done
    if [ $status != 0 ] && [ $status != 77 ] && [ -s "$TEST_TMP/daemon.log" ]; then
        echo "--- the daemon's log:"
        tail -n 40 "$TEST_TMP/daemon.log"
    fi
    [ -z "${_own_tmp:-}" ] || rm -rf --one-file-system "$TEST_TMP"
    exit $status
}
trap _end EXIT
trap 'exit 130' INT TERM

# fail WORD...: says why and where, and ends the test
fail() {
    local i=0
    # the line of the test, not that of a function here
    while [ "${BASH_SOURCE[i]}" = "${BASH_SOURCE[0]}" ] && [ -n "${BASH_SOURCE[i + 1]:-}" ]; do
        i=$((i + 1))
    done
    echo "$0:${BASH_LINENO[i - 1]}: $*" >&2
    [ -z "${_ending:-}" ] || return 1
    exit 1
}

# skip WORD...: ends the test as not possible here
skip() {
    echo "$*"
    exit 77
}

# requires PROGRAM...
requires() {
    local program
    for program; do
        command -v "$program" >/dev/null || skip "needs $program"
    done
}

# exclusively NAME: no other test that says so runs beside this one (a lock on a system-wide thing)
exclusively() {
    exec {_lock}>"/tmp/qubesfs-test.$1.lock"
    flock "$_lock"
}

# until_true SECONDS COMMAND...: waits until the command succeeds, 1 if it does not
until_true() {
    local end=$(($(date +%s%N) + $1 * 1000000000))
    shift
    until "$@"; do
        [ "$(date +%s%N)" -lt $end ] || return 1
        sleep 0.02
    done
}

# --- the host and the daemon ---

# make_host [DIR]: dom0, fedora-23, sys-firewall, work, personal (tests/lib/sample-host)
make_host() {
    "$LIB/sample-host" "${1:-$HOST}"
}

# mount_image KIND SIZE DIR [OPTION-OF-MKFS...]: a new file system of that kind, through a loop device;
# status 1, with the reason in its output, where there is none
mount_image() {
    local kind=$1 size=$2 directory=$3 image=$TEST_TMP/$1.fs
    shift 3
    command -v "mkfs.$kind" >/dev/null || { echo "no mkfs.$kind" && return 1; }
    truncate -s "$size" "$image"
    "mkfs.$kind" "$@" "$image" >/dev/null 2>"$TEST_TMP/mkfs" || { cat "$TEST_TMP/mkfs" && return 1; }
    mkdir -p "$directory"
    mount -o loop "$image" "$directory" 2>"$TEST_TMP/mkfs" ||
        { echo "$kind can't be mounted: $(cat "$TEST_TMP/mkfs")" && return 1; }
    cleanup_fn umount "$directory"
}

is_mounted() {
    grep -qF " $1 " /proc/self/mountinfo
}

_answers() {
    ! kill -0 "$QFS_PID" 2>/dev/null || [ -e "$1/version" ]
}

# qfs_mount [OPTION...]: starts the daemon at $P and waits until it answers.
# The log is $TEST_TMP/daemon.log, its process QFS_PID; it is ended with the test.
qfs_mount() {
    mkdir -p "$P"
    "$QUBESFS" -f --root "$HOST" --connect test:///default --xenstore none "$@" "$P" \
        >>"$TEST_TMP/daemon.log" 2>&1 &
    QFS_PID=$!
    cleanup_fn _qfs_end
    until_true 20 _answers "$P" || fail "no mount after 20 s"
    kill -0 $QFS_PID 2>/dev/null || fail "the daemon did not start"
}

_qfs_end() {
    [ -n "${QFS_PID:-}" ] || return 0
    qfs_unmount
}

# qfs_unmount: ends the daemon by an unmount; it must end by itself and with status 0
qfs_unmount() {
    local pid=$QFS_PID status=0
    QFS_PID=
    fusermount3 -u "$P" || { kill "$pid" && echo "could not unmount $P"; } || true
    until_true 20 _ended "$pid" || { kill -KILL "$pid" && fail "the daemon does not end"; }
    wait "$pid" || status=$?
    [ $status = 0 ] || fail "the daemon ended with status $status"
}

_ended() {
    case $(ps -o stat= -p "$1") in '' | Z*) return 0 ;; *) return 1 ;; esac
}

# loop_for FILE [OPTION...]: a loop device, let go at the end; LOOP is its name.  Other tests take them too.
loop_for() {
    local file=$1 try
    shift
    for try in {1..20}; do
        if LOOP=$(losetup -f --show "$@" "$file"); then
            cleanup_fn _loop_end "$LOOP" "$file"
            LOOP=${LOOP#/dev/}
            return
        fi
        sleep 0.1
    done
    skip "no loop devices here"
}

# it may be another's by now
_loop_end() {
    ! losetup -a | grep -qF "$1: " || ! losetup -O BACK-FILE -n "$1" | grep -qxF "$2" || losetup -d "$1"
}

# --- looking ---

# same WHAT EXPECTED ACTUAL
same() {
    [ "$2" = "$3" ] || fail "$1: expected '$2', but it is '$3'"
}

# content_is FILE TEXT: now
content_is() {
    same "$1" "$2" "$(cat "$1")"
}

_content_is() {
    [ "$(cat "$1" 2>/dev/null)" = "$2" ]
}

# becomes FILE TEXT: within WITHIN seconds
becomes() {
    until_true "$WITHIN" _content_is "$1" "$2" ||
        fail "$1: expected '$2', but it is still '$(cat "$1" 2>&1)'"
}

# appears PATH, vanishes PATH: within WITHIN seconds
appears() {
    until_true "$WITHIN" test -e "$1" || fail "$1 does not appear"
}

vanishes() {
    until_true "$WITHIN" _absent "$1" || fail "$1 does not vanish"
}

_absent() {
    ! [ -e "$1" ]
}

# expect_errno ERROR OPERATION PATH...: one operation of tests/lib/sysop; ERROR may be OK
expect_errno() {
    local expected=$1 actual
    shift
    actual=$("$LIB/sysop" "$@")
    same "$*" "$expected" "$actual"
}

# expect_error FILE REGEX: a line of an error file (or of events) is like that
expect_error() {
    grep -Eq -- "$2" "$1" || fail "no line like '$2' in $1:
$(cat "$1")"
}

# --- the catalogue, changed by somebody else (see tests/lib/catalogue) ---

catalogue() {
    "$LIB/catalogue" "$CATALOGUE" "$@"
}
catalogue_add() {
    catalogue add "$@"
}
catalogue_remove() {
    catalogue remove "$1"
}
catalogue_rename() {
    catalogue rename "$1" "$2"
}
catalogue_set() {
    catalogue set "$1" "$2" "$3"
}

# --- qubesd ---

# begin_qubesd: a socket that answers where a running qubesd's is; end_qubesd ends it
begin_qubesd() {
    mkdir -p "$HOST/var/run"
    /usr/bin/python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); time.sleep(100)' \
        "$HOST/var/run/qubesd.sock" >"$TEST_TMP/listens" &
    qubesd=$!
    cleanup_fn end_qubesd
    until_true 60 test -s "$TEST_TMP/listens"
}
end_qubesd() {
    kill $qubesd 2>/dev/null || true
}

# --- inotify ---
# A watch's events are lines like `CREATE,ISDIR vms/new` or `MODIFY vms/work/state`, with paths below
# $P, in $TEST_TMP/watch.NAME.

# watch_start NAME PATH...: one inotifywait on these (not on what is below them)
watch_start() {
    local name=$1 log=$TEST_TMP/watch.$1
    shift
    : >"$log"
    inotifywait -m --format '%e %w%f' -o "$log" -- "$@" 2>"$log.stderr" &
    declare -g "_watch_$name=$!"
    cleanup_fn watch_stop "$name"
    until_true 10 grep -q 'Watches established' "$log.stderr" || fail "$(cat "$log.stderr")"
}

watch_stop() {
    local pid="_watch_$1"
    [ -n "${!pid:-}" ] || return 0
    kill "${!pid}" 2>/dev/null || true
    wait "${!pid}" 2>/dev/null || true
    declare -g "$pid="
}

# watch_events NAME: all until now
watch_events() {
    sed -e "s|$P/||" -e 's|/$||' "$TEST_TMP/watch.$1"
}

# watch_clear NAME: forgets those until now
watch_clear() {
    : >"$TEST_TMP/watch.$1"
}

# watch_count NAME EVENT: how many lines are exactly so
watch_count() {
    watch_events "$1" | grep -cxF -- "$2" || true
}

_watch_has() {
    watch_events "$1" | awk -v wanted="$2" '
        BEGIN { count = split(wanted, lines, "\n"); next_one = 1 }
        next_one <= count && $0 == lines[next_one] { next_one++ }
        END { exit next_one <= count }'
}

# watch_expect NAME EVENT...: within WITHIN seconds all of these, in this order (others may be between)
watch_expect() {
    local name=$1 wanted
    shift
    wanted=$(printf '%s\n' "$@")
    until_true "$WITHIN" _watch_has "$name" "$wanted" || fail "expected of watch $name, in order:
$wanted
but there is:
$(watch_events "$name")"
}

# watch_exactly NAME EVENT...: these, each once, and within half a second nothing else but what readers
# cause (OPEN, ACCESS, CLOSE_NOWRITE)
watch_exactly() {
    local name=$1 wanted
    watch_expect "$@"
    shift
    wanted=$(printf '%s\n' "$@" | grep -v '^OPEN' || true)
    sleep 0.5
    same "watch $name" "$wanted" \
        "$(watch_events "$name" | grep -Ev '^(OPEN|ACCESS|CLOSE_NOWRITE)' || true)"
}

# watch_nothing NAME: nothing for half a second but what readers cause
watch_nothing() {
    sleep 0.5
    same "watch $1" '' "$(watch_events "$1" | grep -Ev '^(OPEN|ACCESS|CLOSE_NOWRITE)' || true)"
}
