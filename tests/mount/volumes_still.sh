#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 200
# On a file system with reflinks: an open volume is the state of the moment of its open, though its VM runs and
# writes; each open file its own, also where several are open at once and the kernel caches.
. "$(dirname "$0")/../lib/mount.sh"
requires losetup python3
[ "$(id -u)" = 0 ] || skip "needs root, to mount images"
mount_image btrfs 400M "$HOST/var/lib/qubes/appvms" -q ||
    mount_image xfs 400M "$HOST/var/lib/qubes/appvms" -q -m reflink=1 ||
    skip "neither btrfs nor XFS can be made and mounted here"
make_host
vms=$HOST/var/lib/qubes/appvms
volumes=$P/vms/work/volumes
image=$vms/work/private.img
head -c 8M /dev/urandom >"$image"
touch -d '2020-01-02' "$image"
qfs_mount

# writer.py IMAGE FIRST LAST: other blocks, one in each MiB for each number
cat >"$TEST_TMP/writer.py" <<'END'
import os, sys
with open(sys.argv[1], "r+b", buffering=0) as image:
    for block in range(int(sys.argv[2]), int(sys.argv[3]) + 1):
        for mib in range(8):
            os.pwrite(image.fileno(), os.urandom(4096), (mib * 256 + block % 256) * 4096)
END
change() {
    python3 "$TEST_TMP/writer.py" "$image" "$1" "$1"
}

: "--- states side by side, each read by read(2)"
sha256sum <"$image" >"$TEST_TMP/0"
exec {first}<"$volumes/private.img"
head -c 2M <&$first >"$TEST_TMP/part"
echo start >"$P/vms/work/control"
change 1
sha256sum <"$image" >"$TEST_TMP/1"
exec {second}<"$volumes/private.img"
change 2
sha256sum <"$image" >"$TEST_TMP/2"
exec {third}<"$volumes/private.img"
change 3
cat "$TEST_TMP/part" - <&$first | sha256sum >"$TEST_TMP/first"
sha256sum <&$second >"$TEST_TMP/second"
sha256sum <&$third >"$TEST_TMP/third"
same "the first" "$(cat "$TEST_TMP/0")" "$(cat "$TEST_TMP/first")"
same "the second" "$(cat "$TEST_TMP/1")" "$(cat "$TEST_TMP/second")"
same "the third" "$(cat "$TEST_TMP/2")" "$(cat "$TEST_TMP/third")"
cmp "$image" "$volumes/private.img" || fail "a fourth is not the newest"
exec {second}<&- {third}<&-

: "--- what can only go through the cache is its own state too, or refused"
exec {first}<&-
for i in 4 5 6; do
    change $i
    python3 -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$volumes/private.img" "$TEST_TMP/copy"
    cmp "$image" "$TEST_TMP/copy" || fail "sendfile: another state"
done

: "--- a writer all the while"
sha256sum <"$image" >"$TEST_TMP/0"
exec {first}<"$volumes/private.img"
python3 "$TEST_TMP/writer.py" "$image" 0 1000000 &
writer=$!
sha256sum <&$first >"$TEST_TMP/first"
for _ in 1 2 3 4 5; do
    exec {other}<"$volumes/private.img"
    sha256sum <&$other >/dev/null
    exec {other}<&-
done
kill $writer
wait $writer || true
same "the state of before" "$(cat "$TEST_TMP/0")" "$(cat "$TEST_TMP/first")"
exec {first}<&-

: "--- nothing is left of it"
same "names" "firewall.xml
private.img
volatile.img" "$(find "$vms/work" -type f -name '*.*' ! -name '*.conf' ! -name '*.list' -printf '%f\n' | sort)"
cmp "$image" "$volumes/private.img"
content_is "$P/vms/work/error" ''
