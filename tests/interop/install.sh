#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make install DESTDIR= PREFIX=, and make uninstall.
. "$(dirname "$0")/../lib/mount.sh"
requires make pkg-config
root=$TEST_TMP/root
# the build under test, not another: it is up to date already
cd "$LIB/../.."
unset MAKEFLAGS MAKELEVEL
run() {
    make --no-print-directory -s -o "$BUILD/qubesfs" B="$BUILD" DESTDIR="$root" PREFIX=/usr "$1"
}
run install
cmp "$QUBESFS" "$root/usr/sbin/qubesfs"
[ -s "$root/usr/share/man/man8/qubesfs.8" ] || fail "no manual"
grep -qx 'ExecStart=/usr/sbin/qubesfs -f /qubes' "$root/usr/lib/systemd/system/qubesfs.service" ||
    fail "the unit starts something else"
run uninstall
same "left after uninstall" '' "$(find "$root" ! -type d)"
