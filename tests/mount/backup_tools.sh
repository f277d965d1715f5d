#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 300
# A backup of three VMs, copied out of the mount by each tool, is restored with tar, openssl and gzip alone,
# byte for byte: a 300 MB image with holes, an empty one, and one whose stream is exactly one chunk.
. "$(dirname "$0")/../lib/mount.sh"
requires openssl gzip rsync busybox python3
export PASSPHRASE='Größe & "quotes" $x'
make_host
vms=$HOST/var/lib/qubes/appvms

for name in large empty exact; do
    catalogue add $name AppVm and set $name template_qid none and set $name uses_default_netvm False \
        and set $name netvm_qid none
    mkdir -p "$vms/$name"
    truncate -s 4M "$vms/$name/root.img"
done
: >"$vms/empty/private.img"
truncate -s 300M "$vms/large/private.img"
for at in 0 7 100 101 250; do
    head -c 1M /dev/urandom | dd of="$vms/large/private.img" bs=1M seek=$at conv=notrunc status=none
done
# data to the last byte, no multiple of a block
printf tail | dd of="$vms/large/private.img" bs=1 seek=$((300 * 1024 * 1024 - 4)) conv=notrunc status=none

qfs_mount
plan=$P/backups/default
echo 3 >"$plan/format"
printf '%s\n' large empty exact >"$plan/include"
printf '%s\n' "$PASSPHRASE" >"$plan/passphrase"

# the sum of a file's chunks in a backup
stream_size() {
    tar -tvif "$1" | awk -v name="$2" 'index($6, name ".") == 1 && $6 !~ /hmac$/ { sum += $3 } END { print sum + 0 }'
}
qid() {
    grep -o "<[^>]* name=\"$1\"[^>]*>" "$CATALOGUE" | grep -o ' qid="[0-9]*"' | tr -dc 0-9
}

: "--- one whose stream is exactly 104857600 bytes: as it is, with a header, padded to 10240"
chunk=104857600
head -c $((chunk - 10240)) /dev/urandom >"$vms/exact/private.img"
printf 'exact\n' >"$plan/include"
echo 0 >"$plan/encrypted"
echo none >"$plan/compression"
cat "$plan/backup" >"$TEST_TMP/exact"
same "the stream of exact" $chunk "$(stream_size "$TEST_TMP/exact" appvms/exact/private.img)"
same "the size told" "$(stat -c %s "$plan/backup")" "$(stat -c %s "$TEST_TMP/exact")"
tar -tif "$TEST_TMP/exact" | grep -x appvms/exact/private.img.001 >/dev/null || fail "no empty chunk follows"
"$LIB/../../docs/emergency-restore.sh" "$TEST_TMP/exact" "$TEST_TMP/restored"
cmp "$vms/exact/private.img" "$TEST_TMP/restored/appvms/exact/private.img" || fail "exact differs"
rm -r "$TEST_TMP/exact" "$TEST_TMP/restored"
echo 1 >"$plan/encrypted"
echo gzip >"$plan/compression"
printf '%s\n' large empty exact >"$plan/include"

: "--- what is where"
grep -q "private.img.*$vms/large/private.img" "$plan/contents" || fail "$(cat "$plan/contents")"
reported=$(stat -c %s "$plan/backup")
blocks=$(stat -c %b "$plan/backup")
[ $((blocks * 512)) -ge "$reported" ] || fail "it looks sparse: $blocks blocks of $reported bytes"

check() {
    local out=$TEST_TMP/restored size
    size=$(stat -c %s "$TEST_TMP/copy")
    [ "$size" -le "$reported" ] || fail "$1: $size bytes are more than the $reported reported"
    "$LIB/../../docs/emergency-restore.sh" "$TEST_TMP/copy" "$out"
    for name in large empty exact; do
        cmp "$vms/$name/private.img" "$out/vm$(qid $name)/private.img" || fail "$1: $name differs"
        cmp "$vms/$name/root.img" "$out/vm$(qid $name)/root.img" || fail "$1: $name's root differs"
    done
    grep -q 'backup_content="True"' "$out/qubes.xml" || fail "$1: nothing is marked in qubes.xml"
    [ -e "$out/dom0-home" ] && fail "$1: dom0's home was not asked for"
    rm -r "$out" "$TEST_TMP/copy"
}

: "--- the whole, restored"
cat "$plan/backup" >"$TEST_TMP/copy"
check cat

# The rest of the tools: a whole backup ends with its last member's padding, and it reads to the end.
# A smaller selection keeps this quick.
printf '%s\n' large empty >"$plan/include"
whole() {
    local out=$TEST_TMP/restored
    "$LIB/../../docs/emergency-restore.sh" "$TEST_TMP/copy" "$out" || fail "$1: not restored"
    cmp "$vms/large/private.img" "$out/vm$(qid large)/private.img" || fail "$1: large differs"
    [ -e "$out/vm$(qid empty)/private.img" ] || fail "$1: empty is not there"
    # who reads through the page cache (sendfile) may get zeros after the end, as tape padding
    [ $(($(stat -c %s "$TEST_TMP/copy") % 512)) = 0 ] || fail "$1: cut within a block"
    tar -tif "$TEST_TMP/copy" >/dev/null || fail "$1: tar finds fault"
    rm -r "$out" "$TEST_TMP/copy"
}
cp "$plan/backup" "$TEST_TMP/copy" && whole cp
dd if="$plan/backup" of="$TEST_TMP/copy" bs=64k status=none && whole dd
busybox cp "$plan/backup" "$TEST_TMP/copy" && whole 'busybox cp'
python3 -I -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$plan/backup" "$TEST_TMP/copy" &&
    whole shutil.copyfile
head -c 1T "$plan/backup" >"$TEST_TMP/copy" && whole 'head -c'
install "$plan/backup" "$TEST_TMP/copy" && whole install
pv -q "$plan/backup" >"$TEST_TMP/copy" && whole pv
tail -c +1 "$plan/backup" >"$TEST_TMP/copy" && whole 'tail -c +1'
split -b 40M "$plan/backup" "$TEST_TMP/part." && cat "$TEST_TMP"/part.* >"$TEST_TMP/copy" && rm "$TEST_TMP"/part.* &&
    whole split
# these can't know the size before: the whole, or loud
for tool in 'curl -s -o COPY file://FROM' 'scp -q FROM COPY' 'tar -cf COPY.tar -C DIR backup'; do
    rm -f "$TEST_TMP/copy"
    words=${tool//FROM/$plan/backup}
    words=${words//COPY/$TEST_TMP/copy}
    command -v "${tool%% *}" >/dev/null || continue
    if ${words//DIR/$plan} 2>"$TEST_TMP/message"; then
        [ ! -e "$TEST_TMP/copy.tar" ] || tar -xOf "$TEST_TMP/copy.tar" >"$TEST_TMP/copy"
        whole "$tool"
    else
        [ -s "$TEST_TMP/message" ] || [ "${tool%% *}" = curl ] || fail "$tool failed in silence"
    fi
    rm -f "$TEST_TMP/copy" "$TEST_TMP/copy.tar"
done
# mv copies, and then can't remove: loud, and the copy is whole
! mv "$plan/backup" "$TEST_TMP/copy" 2>/dev/null || fail "mv removed the backup"
[ ! -e "$TEST_TMP/copy" ] || whole mv
: "--- with a size that is exact, the others, too"
echo none >"$plan/compression"
rsync "$plan/backup" "$TEST_TMP/copy" && whole 'rsync of an exact size'
if command -v curl >/dev/null; then
    curl -s -o "$TEST_TMP/copy" "file://$plan/backup" && whole 'curl of an exact size'
fi
tar -cf "$TEST_TMP/copy.tar" -C "$plan" backup && tar -xOf "$TEST_TMP/copy.tar" >"$TEST_TMP/copy" && whole tar
echo gzip >"$plan/compression"
# rsync cannot know the size before: the whole, or loud
if rsync "$plan/backup" "$TEST_TMP/copy" 2>"$TEST_TMP/rsync"; then
    whole rsync
else
    [ -s "$TEST_TMP/rsync" ] || fail "rsync failed in silence"
fi

: "--- refusals: loud, and with a line"
vm=$P/vms/large
echo start >"$vm/control"
expect_errno EBUSY pread "$plan/backup" 0
expect_error "$plan/error" large
! cat "$plan/backup" >/dev/null 2>&1 || fail "a running VM was backed up"
echo kill >"$vm/control"
echo >"$plan/passphrase"
expect_errno ENOKEY pread "$plan/backup" 0
expect_error "$plan/error" passphrase
