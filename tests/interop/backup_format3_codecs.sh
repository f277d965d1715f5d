#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 900
# Format 3 with each codec, encrypted or not: restored byte for byte with docs/emergency-restore.sh, that is with
# tar, openssl, and gzip or zstd alone, and read by a reader of its own in Python.
set -u
. "$(dirname "$0")/every_codec.sh"

script=emergency-restore.sh reader=read_format3.py
for encrypted in 1 0; do
    for codec in gzip zstd none; do
        check format=3 compression=$codec encrypted=$encrypted
    done
done
# when encrypted, salt and padding are in the way of an even end
grep -q "vm1/root.img 2 1" list || fail "no empty part after exactly 100 MiB: $(cat list)"
head -c 5000000 files/big >files/less
sources=(qubes.xml files/qubes.xml vm1/private.img files/one vm2/private.img files/less)
for level in fast small; do
    check format=3 compression=gzip level=$level
    check format=3 compression=zstd level=$level
done
exit 0
