#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# A backup of format 3, written by the library and restored with tar, openssl and gzip alone: every byte,
# hole, link, owner and mode comes back, in Qubes' order of members; refusals say why.
set -u
. "$(dirname "$0")/driver.sh"

[ "$(id -u)" = 0 ] || skip "owners can be restored by root only"
build mkbackup

host=$TEST_TMP/host
qubes=$host/var/lib/qubes
"$top/tests/lib/sample-host" "$host" || fail "sample-host"

# more of everything: a big image with holes, an empty one, links, long names, odd owners
work=$qubes/appvms/work
truncate -s 300M "$work/private.img"
for at in 0 1 64 65 66 128 200 250 299; do
    head -c 3000000 /dev/urandom | head -c 1048576 |
        dd of="$work/private.img" bs=1M seek=$at conv=notrunc status=none
done
dd if=/dev/urandom of="$work/private.img" bs=1M seek=70 count=110 conv=notrunc status=none
: >"$qubes/appvms/personal/private.img"
mkdir -p "$host/usr/share/icons"
echo red >"$host/usr/share/icons/red.png"
ln -s /usr/share/icons/red.png "$work/icon.png"
echo firefox.desktop >"$work/whitelisted-appmenus.list"
touch "$work/work.conf"
template=$qubes/vm-templates/fedora-23
ln -s ../../appvms/work/whitelisted-appmenus.list "$template/linked"
mkdir -p "$template/apps/$(printf '%0100d' 1)/$(printf '%0200d' 2)"
echo deep >"$template/apps/$(printf '%0100d' 1)/$(printf '%0200d' 2)/$(printf '%0255d' 3)"
home=$host/home/user
mkdir -p "$home/private" "$home/empty" "$home/$(printf '%0255d' 4)/$(printf '%0255d' 5)"
echo x >"$home/$(printf '%0255d' 4)/$(printf '%0255d' 5)/$(printf 'n\303\244me with spaces\n')"
ln "$home/.bashrc" "$home/.zshrc"
ln -s /nowhere/at/all "$home/dangling"
ln -s "$(printf '%0150d' 6)" "$home/longlink"
truncate -s 5M "$home/hole"
chown -R 1000:1000 "$home"
chmod 700 "$home/private" && chmod 4751 "$home/Documents/notes.txt"
chown 4000000000:3000000 "$home/hole"
mkfifo "$home/pipe"
sed -i 's/\(name="fedora-23".*\)include_in_backups="False"/\1include_in_backups="True"/' "$qubes/qubes.xml"

export PASSPHRASE='correct horse b?tt*ry $(staple) \ "'"'"' ä'
./mkbackup "$host" >backup || fail "mkbackup: status $?"
[ $(($(stat -c %s backup) % 10240)) = 0 ] || fail "not a multiple of 10240"

# the order of members: personal, sys-firewall, work; then the template; then dom0's home
order='backup-header qubes.xml.000 vm4/private.img.000 vm4/firewall.xml.000 vm2/private.img.000
vm3/private.img.000 vm3/private.img.001 vm3/icon.png.000 vm3/firewall.xml.000 vm3/whitelisted-appmenus.list.000 vm1/..000
dom0-home/user.000 qubesfs-manifest.000'
for name in $order; do echo "$name" && echo "$name.hmac"; done >expected
mkdir outer
tar -ixvf backup -C outer >members || fail "tar can't read the outer archive"
diff expected members || fail "the order of members is another"
diff <(printf '%s\n' version=3 hmac-algorithm=SHA512 crypto-algorithm=aes-256-cbc encrypted=True \
    compressed=True compression-filter=gzip backup-id=ID qubesfs-manifest=1) \
    <(sed -E 's/^(backup-id=)[0-9]{8}T[0-9]{6}-[0-9a-f]{32}$/\1ID/' outer/backup-header) || fail "backup-header"

restore() { rm -rf restored && "$top/docs/emergency-restore.sh" "$1" restored; }
restore backup || fail "emergency-restore"

same() { cmp "$1" "$2" || fail "$2 differs"; }
same "$work/private.img" restored/vm3/private.img
[ "$(stat -c %s restored/vm4/private.img)" = 0 ] || fail "the empty image is not empty"
[ "$(stat -c %b restored/vm3/private.img)" -le "$(($(stat -c %b "$work/private.img") + 64))" ] ||
    fail "holes were lost"
same "$host/usr/share/icons/red.png" restored/vm3/icon.png
same "$work/firewall.xml" restored/vm3/firewall.xml
same "$qubes/servicevms/sys-firewall/private.img" restored/vm2/private.img
diff -r "$template" restored/vm1 || fail "the template differs"
[ -f restored/vm1/linked ] && [ ! -L restored/vm1/linked ] || fail "a link in a template was kept"

# dom0's home: names, types, modes, owners, times, link targets, number of names
listing() { (cd "$1" && find . ! -type p -printf '%p %y %m %U:%G %s %l %Ts\n' | sed 's/\(^[^ ]* d .*:[0-9]*\) [0-9]*/\1/' | LC_ALL=C sort); }
diff <(listing "$home") <(listing restored/dom0-home/user) || fail "dom0's home differs"
diff -r --no-dereference --exclude=pipe "$home" restored/dom0-home/user || fail "dom0's home differs"
[ "$(stat -c %h restored/dom0-home/user/.zshrc)" = 2 ] || fail "a hard link was lost"

# the catalogue inside says what is where
for mark in 'name="work".*backup_path="vm3"' 'name="fedora-23".*backup_path="vm1"' \
    'name="dom0".*backup_path="dom0-home/user"'; do
    grep "$mark" restored/qubes.xml | grep 'backup_content="True"' >/dev/null || fail "qubes.xml: no $mark"
done

# a reader of its own: checks MACs, names and layout of every member, and decrypts with its own KDF
python3 "$here/read_format3.py" backup >/dev/null || fail "read_format3.py"

# damage and a wrong passphrase are found before anything is unpacked
PASSPHRASE=wrong restore backup 2>messages && fail "a wrong passphrase restores"
grep -q 'wrong passphrase' messages || fail "$(cat messages)"
cp backup damaged
printf X | dd of=damaged bs=1 seek=$(($(stat -c %s backup) / 2)) conv=notrunc status=none
restore damaged 2>messages && fail "damage is not found"
[ -z "$(find restored -name '*.img' -o -name qubes.xml)" ] || fail "something of a damaged backup was unpacked"

# one VM alone; lists; refusals
./mkbackup "$host" vm personal >one || fail "mkbackup vm"
restore one && [ "$(cd restored && echo *)" = "qubes.xml qubesfs-manifest vm4" ] || fail "a VM alone: $(ls restored)"
grep 'name="work"' restored/qubes.xml | grep 'backup_content="False"' >/dev/null || fail "work is no part of it"
[ "$(./mkbackup "$host" include personal include dom0 contents | cut -f 2 | paste -sd ' ')" = \
    "qubes.xml vm4/private.img vm4/firewall.xml dom0-home/user" ] || fail "include"
[ "$(./mkbackup "$host" exclude dom0 exclude fedora-23 exclude work contents | cut -f 2 | paste -sd ' ')" = \
    "qubes.xml vm4/private.img vm4/firewall.xml vm2/private.img" ] || fail "exclude"
refused() {
    local reason=$1
    shift
    "$@" >refused 2>messages && fail "not refused: $*"
    [ ! -s refused ] || fail "bytes came before the refusal: $*"
    grep -q "$reason" messages || fail "$* said: $(cat messages)"
}
refused 'there is no passphrase' env -u PASSPHRASE ./mkbackup "$host"
refused 'no VM "nobody"' ./mkbackup "$host" include nobody
mv "$work/private.img" away
refused 'private.img' ./mkbackup "$host"
mkdir "$work/private.img"
refused 'no regular file' ./mkbackup "$host"
exit 0
