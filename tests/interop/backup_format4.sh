#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 900
# Format 4 with each codec: restored byte for byte with docs/emergency-restore-4.sh, that is with tar, scrypt, and
# gzip or zstd alone, and read by a reader of its own in Python.
set -u
. "$(dirname "$0")/every_codec.sh"

script=emergency-restore-4.sh reader=read_format4.py
for codec in gzip zstd none; do
    check format=4 compression=$codec kdf=14
done
grep -q "vm1/root.img 2 1" list || fail "no empty part after exactly 100 MiB: $(cat list)"

# damage and a wrong passphrase
PASSPHRASE=wrong "$top/docs/$script" "$TEST_TMP/backup" wrong 2>messages && fail "a wrong passphrase restores"
grep -q 'wrong passphrase' messages && [ -z "$(ls wrong)" ] || fail "$(cat messages)"
printf X | dd of=backup bs=1 seek=$(($(stat -c %s backup) / 2)) conv=notrunc status=none
"$top/docs/$script" "$TEST_TMP/backup" damaged 2>/dev/null && fail "damage is not found"
# two parts that change places: the names are covered
sources=(qubes.xml files/qubes.xml vm1/private.img files/one vm2/private.img files/one)
./mkarchive format=4 "${sources[@]}" | sed 's,vm1/private,vm3/private,;s,vm2/private,vm1/private,;s,vm3/private,vm2/private,' >backup
"$top/docs/$script" "$TEST_TMP/backup" exchanged 2>/dev/null && fail "an exchange is not found"
exit 0
