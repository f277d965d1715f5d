#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 180
# A hypervisor that hangs costs its caller alone: listings, reads, other VMs and all events go on; the
# waiting writer is answered by a signal, by its VM's removal, or after 15 s; a repeated command joins.
. "$(dirname "$0")/../lib/mount.sh"
requires cc
make_host
cc -shared -fPIC -Wall -Wextra -Werror -o "$TEST_TMP/slow.so" "$LIB/slow_libvirt.c" -ldl
export SLOW_LIBVIRT=$TEST_TMP/hangs
# a sanitizer's library wants to be the first
sanitizer=$(ldd "$QUBESFS" | awk '/lib[at]san/ { print $3 }')
cat >"$TEST_TMP/daemon" <<END
#!/bin/sh
exec env LD_PRELOAD=${sanitizer:+$sanitizer:}$TEST_TMP/slow.so "$QUBESFS" "\$@"
END
chmod +x "$TEST_TMP/daemon"
QUBESFS=$TEST_TMP/daemon
# a daemon that ends while the hypervisor hangs does not wait for the thread that is in it
export TSAN_OPTIONS=${TSAN_OPTIONS:+$TSAN_OPTIONS:}report_thread_leaks=0
qfs_mount
python3 -IB "${0%.sh}.py" "$LIB" "$P" "$CATALOGUE" "$SLOW_LIBVIRT" "$QFS_PID"
# the daemon was ended by SIGTERM, and with order
until_true 20 _ended "$QFS_PID" || fail "the daemon does not end"
wait "$QFS_PID" || fail "the daemon ended with status $?"
QFS_PID=
! is_mounted "$P" || fail "still mounted"
