#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 300
# The archives in tests/golden: they can still be restored, and the writer still makes them, byte for byte (the
# compressed ones with these versions of the libraries; another version must at least restore to the same).
#     backup_golden.sh --make    writes them anew, after a change of the format that is meant
set -u
. "$(dirname "$0")/mkarchive.sh"

golden=$top/tests/golden
export PASSPHRASE='golden pässphrase'
# what git does not keep: owner, mode, time, holes
cp -r "$golden/input" input
truncate -s 300K input/root.img
# a whole block of any file system
yes data | head -c 65536 | dd of=input/root.img bs=64K seek=2 conv=notrunc iflag=fullblock status=none
[ "$(id -u)" != 0 ] || chown -R 0:0 input
chmod 640 input/* && touch -d '2015-10-31 12:00:00 UTC' input/*

make() {
    local format=3 encrypted=1 codec=${1##*-}
    case $1 in format4*) format=4 ;; *-plain-*) encrypted=0 ;; esac
    ./mkarchive format=$format encrypted=$encrypted compression="$codec" kdf=14 seed=s time=1446292800 \
        qubes.xml input/qubes.xml vm2/private.img input/private.img vm2/firewall.xml input/firewall.xml \
        vm1/root.img input/root.img
}
restore() {
    local script=emergency-restore.sh
    [[ $1 = *format4* ]] && script=emergency-restore-4.sh
    rm -rf restored
    "$top/docs/$script" "$1" restored || fail "$1 can't be restored"
    cmp input/qubes.xml restored/qubes.xml && cmp input/private.img restored/vm2/private.img &&
        cmp input/firewall.xml restored/vm2/firewall.xml && cmp input/root.img restored/vm1/root.img ||
        fail "$1 restores to something else"
    [ "$(stat -c '%a %Y' restored/vm2/private.img)" = "640 1446292800" ] || fail "$1: mode or time"
    script=read_format3.py
    [[ $1 = *format4* ]] && script=read_format4.py
    python3 "$here/$script" "$1" >/dev/null || fail "$1: $script"
}

[ "$(id -u)" = 0 ] || skip "the golden archives are root's"
for kind in format3-{none,gzip,zstd} format3-plain-{none,gzip,zstd} format4-{none,gzip,zstd}; do
    if [ "${1:-}" = --make ]; then
        make "$kind" >"$golden/$kind.qbk" || fail "$kind: status $?"
        continue
    fi
    restore "$golden/$kind.qbk"
    make "$kind" >"$TEST_TMP/$kind.qbk" || fail "$kind: status $?"
    cmp -s "$golden/$kind.qbk" "$kind.qbk" && continue
    [[ $kind != *none ]] || fail "$kind.qbk is made in another way: $(cmp "$golden/$kind.qbk" "$kind.qbk")"
    echo "$kind.qbk is made in another way; let us see if it restores to the same"
    restore "$TEST_TMP/$kind.qbk"
done
exit 0
