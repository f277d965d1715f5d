#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# Backups as Qubes' own tools made them (tests/lib/qubes-backup), in each format, form and order that a release
# wrote or read, are read back whole: content, modes, times, links, holes.
set -u
. "$(dirname "$0")/driver.sh"
for program in bzip2 xz lzma; do
    command -v $program >/dev/null || skip "$program is not installed"
done
build readarchive
export PASSPHRASE='Qubes pässphrase'

mkdir -p template/apps home/user/docs apps.templates
echo '<QubesVmCollection/>' >qubes.xml
# more pieces than a header has, and a hole at the end
truncate -s 4M private.img
for at in 0 12 100 300 304 800 1000 1200 1500 2000 2400 2800 3000 3200 3400 3500 3600 3640 3680 3720 3760 3800 3840 \
    3880 3920 3960; do
    head -c 4096 /dev/urandom | dd of=private.img bs=1K seek=$at conv=notrunc status=none
done
head -c 333333 /dev/urandom >root.img
truncate -s 1M empty.img
: >nothing
cp --sparse=always private.img template/root.img
head -c 5000 /dev/urandom >template/private.img
echo app >template/apps/one.desktop
ln -s one.desktop template/apps/two.desktop
echo app >apps.templates/x
echo text >home/user/docs/file
echo text >"home/user/$(printf 'long%.0s' {1..50})"
ln -s docs home/user/link
ln -s "/$(printf 'far/%.0s' {1..50})" home/user/longlink
ln home/user/docs/file home/user/docs/hard
chmod 640 private.img && chmod 700 home/user
touch -d '2014-10-31 12:00:00 UTC' private.img root.img home/user/docs/file

# read_back OPTION...: the reader's options come behind `--`
read_back() {
    local words=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do words+=("$1") && shift; done
    [ $# = 0 ] || shift
    "$top/tests/lib/qubes-backup" "${words[@]}" qubes.xml=qubes.xml vm2/private.img=private.img vm2/apps.templates=apps.templates \
        vm2/root.img=root.img vm3/private.img=empty.img vm3/empty=nothing vm1/.=template dom0-home/user=home/user >backup ||
        fail "${words[*]}: can't be made"
    rm -rf out && mkdir out
    ./readarchive "$@" out <backup >told || fail "${words[*]}: status $?: $(cat told)"
    cmp qubes.xml out/qubes.xml && cmp private.img out/vm2/private.img && cmp root.img out/vm2/root.img &&
        cmp empty.img out/vm3/private.img && cmp nothing out/vm3/empty && diff -r apps.templates out/vm2/apps.templates &&
        diff -r template out/vm1 && diff -r --no-dereference home out/dom0-home || fail "${words[*]}: something else"
    # as many holes as the image has, or as Qubes' own writer would find
    [ "$(stat -c %b out/vm2/private.img)" -le "$(stat -c %b private.img)" ] &&
        [ "$(stat -c %b out/vm3/private.img)" = 0 ] || fail "${words[*]}: holes are filled"
    [ "$(stat -c '%a %Y' out/dom0-home/user/docs/file)" = "644 1414756800" ] || fail "${words[*]}: mode or time"
    [ "$(stat -c %h out/dom0-home/user/docs/hard)" = 2 ] || fail "${words[*]}: a hard link is none"
    echo "${words[*]}: $(stat -c %s backup) bytes"
}

[ "$(id -u)" = 0 ] || skip "as in dom0, root reads"
read_back format=4 filter=gzip
read_back format=4 filter=xz writer=tarwriter outer=gnu kdf=11,4,3
read_back format=4 filter=none single=1 outer=v7 header=last
read_back format=4 filter=bzip2 chunk=65536 -- chunk=65536 piece=random
read_back format=4 filter=none writer=tarwriter chunk=65536 -- chunk=65536
read_back format=3 filter=gzip hmac-text=new
read_back format=3 filter=gzip empty=2 chunk=40960 -- chunk=40960 piece=1000
read_back format=3 filter=zstd md=sha256 hmac=SHA256 hmac-text=file
read_back format=3 filter=lzma encrypted=0 hmac=SHA384 single=1 outer=ustar
read_back format=3 filter=none chunk=20480 last=full -- chunk=20480
read_back format=3 filter=none encrypted=0 empty=1 single=1 outer=gnu header=last -- threads=1
read_back format=2 filter=none hmac=SHA1
read_back format=2 filter=none tape=100 version-line=1 -- piece=random
read_back format=2 filter=gzip encrypted=0 tape=70
read_back format=2 filter=none header=0 hmac=SHA1 tape=90
grep -q '^header version=2 absent=1 encrypted=1 filter= hmac=SHA1 ' told || fail "without a header: $(head -n 1 told)"
read_back format=2 filter=gzip header=0 encrypted=0 tape=130
read_back format=2 filter=none header=0 encrypted=0 md=sha256 empty=1
exit 0
