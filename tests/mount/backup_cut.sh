#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A backup that fails between two files: what was read of it is no well-formed archive, whatever the
# size of the reads was, for those who overlook the reader's error.
. "$(dirname "$0")/../lib/mount.sh"
make_host
vms=$HOST/var/lib/qubes/appvms
# more than what is made ahead of the reader: two parts of 100 MiB
head -c 320M /dev/zero >"$vms/personal/private.img"
qfs_mount
plan=$P/backups/default
echo secret >"$plan/passphrase"
printf '%s\n' personal work >"$plan/include"
echo 3 >"$plan/format"
echo 0 >"$plan/encrypted"
echo none >"$plan/compression"
for size in 512 10240 1M; do
    : "--- reads of $size"
    echo icon >"$vms/work/icon.png"
    {
        dd bs=$size count=4 status=none
        rm "$vms/work/icon.png"
        dd bs=$size status=none 2>"$TEST_TMP/dd" && fail "no error"
    } <"$plan/backup" >"$TEST_TMP/copy"
    expect_error "$plan/error" 'icon.png'
    if tar -ti <"$TEST_TMP/copy" >"$TEST_TMP/names" 2>"$TEST_TMP/tar"; then
        fail "well-formed: $(tail -n 3 "$TEST_TMP/names")"
    fi
    grep -q 'personal/private.img.001.hmac' "$TEST_TMP/names" || fail "$(cat "$TEST_TMP/names")"
    grep -q 'EOF' "$TEST_TMP/tar" || fail "$(cat "$TEST_TMP/tar")"
done
