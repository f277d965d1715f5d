# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For tests with tests/lib/faulty.py, after mount.sh: builds faults.so, and names the plain daemon, since
# a library that is preloaded and the address sanitizer do not go together.
requires gcc python3
export LIB QUBESFS_PLAIN=$QUBESFS
case $BUILD in */asan | */tsan) QUBESFS_PLAIN=${BUILD%/*}/qubesfs ;; esac
[ -x "$QUBESFS_PLAIN" ] || skip "needs $QUBESFS_PLAIN"
gcc -shared -fPIC -D_GNU_SOURCE -O1 -o "$TEST_TMP/faults.so" "$LIB/faults.c" -ldl
