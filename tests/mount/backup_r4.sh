#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 120
# An R4 host's backups in formats 4 and 3, restored: the state of the last stop, also while a VM runs.
. "$(dirname "$0")/../lib/mount.sh"
requires openssl gzip scrypt
export PASSPHRASE='correct horse'
make_host
qubes=$HOST/var/lib/qubes
mkdir -p "$qubes/appvms/work" "$qubes/vm-templates/fedora"
for image in appvms/work/private vm-templates/fedora/root vm-templates/fedora/private; do
    truncate -s 20M "$qubes/$image.img"
    head -c 3M /dev/urandom | dd of="$qubes/$image.img" bs=1M seek=4 conv=notrunc status=none
    # what a running VM, or one that crashed, has beside it
    head -c 1M /dev/urandom >"$qubes/$image-dirty.img"
done
echo '<firewall version="2"><rules/></firewall>' >"$qubes/appvms/work/firewall.xml"
volume() {
    echo "<volume name=\"$1\" pool=\"varlibqubes\" vid=\"$2/$1\" size=\"20971520\" rw=\"True\" save_on_stop=\"$3\"/>"
}
domain() {
    echo "<domain id=\"domain-$1\" class=\"$2\"><properties><property name=\"qid\">$1</property>
<property name=\"name\">$3</property><property name=\"label\">label-1</property>$4</properties><features/>
<devices class=\"pci\"/><tags/><volume-config>$5</volume-config></domain>"
}
cat >"$CATALOGUE" <<END
<?xml version='1.0' encoding='UTF-8'?>
<qubes version="3.0"><labels><label id="label-1" color="0xcc0000">red</label></labels>
<pools><pool name="varlibqubes" driver="file-reflink" dir_path="/var/lib/qubes"/></pools>
<properties><property name="default_template">fedora</property></properties><domains>
<domain id="domain-0" class="AdminVM"><properties><property name="qid">0</property>
<property name="label">label-1</property></properties><features/><devices class="pci"/><tags/></domain>
$(domain 1 TemplateVM fedora '' "$(volume root vm-templates/fedora True)$(volume private vm-templates/fedora True)")
$(domain 2 AppVM work '<property name="template">fedora</property>' \
    "$(volume root appvms/work False)$(volume private appvms/work True)")
</domains></qubes>
END
qfs_mount --state "$TEST_TMP/state"
plan=$P/backups/default
printf '%s\n' "$PASSPHRASE" >"$plan/passphrase"
echo 14 >"$plan/kdf"
out=$TEST_TMP/restored

: "--- format 4, a VM running"
echo start >"$P/vms/work/control" || true
cat "$plan/backup" >"$TEST_TMP/copy"
"$LIB/../../docs/emergency-restore-4.sh" "$TEST_TMP/copy" "$out"
cmp "$qubes/appvms/work/private.img" "$out/vm2/private.img"
cmp "$qubes/appvms/work/firewall.xml" "$out/vm2/firewall.xml"
cmp "$qubes/vm-templates/fedora/root.img" "$out/vm1/root.img"
cmp "$qubes/vm-templates/fedora/private.img" "$out/vm1/private.img"
[ ! -e "$out/vm2/root.img" ] || fail "the template's root is stored for work"
[ "$(readlink "$out/dom0-home/user/notes")" = Documents/notes.txt ] || fail "a link in dom0's home is another"
grep -q '<feature name="backup-path">vm2/<' "$out/qubes.xml" || fail "qubes.xml has no path of work"
rm -r "$out"
grep -q 'backup_timestamp' "$CATALOGUE" || fail "the time of the backup is not in the catalogue"

: "--- format 3: R3's form of the same"
echo 3 >"$plan/format"
grep -q '	vm2/firewall.xml	' "$plan/contents" || fail "$(cat "$plan/contents")"
for encrypted in 1 0; do
    echo $encrypted >"$plan/encrypted"
    cat "$plan/backup" >"$TEST_TMP/copy"
    "$LIB/../../docs/emergency-restore.sh" "$TEST_TMP/copy" "$out"
    work=vm2 fedora=vm1
    [ $encrypted = 1 ] || work=appvms/work fedora=vm-templates/fedora
    cmp "$qubes/appvms/work/private.img" "$out/$work/private.img"
    cmp "$qubes/vm-templates/fedora/root.img" "$out/$fedora/root.img"
    cmp "$qubes/vm-templates/fedora/private.img" "$out/$fedora/private.img"
    grep -q "backup_path=\"$work\"" "$out/qubes.xml" || fail "qubes.xml has no path of work"
    rm -r "$out"
done
