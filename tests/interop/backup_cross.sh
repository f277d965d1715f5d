#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 300
# Backups in the other release's format: of an R3 host in format 4, of an R4 host in format 3.  Those in tests/golden
# are restored with the scripts in docs/ and read by the readers in Python; one that is made now of the same host
# restores to the same.
#     backup_cross.sh --make    writes them anew, after a change that is meant
set -u
. "$(dirname "$0")/driver.sh"

[ "$(id -u)" = 0 ] || skip "owners can be restored by root only"
build mkbackup
golden=$top/tests/golden
export PASSPHRASE='golden pässphrase'

r3_host() {
    "$top/tests/lib/sample-host" "$1" || fail "sample-host"
    cp "$golden/firewall/deny-r3.xml" "$1/var/lib/qubes/appvms/work/firewall.xml"
    sed -i 's/\(name="fedora-23".*\)include_in_backups="False"/\1include_in_backups="True"/' "$1/var/lib/qubes/qubes.xml"
}
domain() {
    echo "<domain id=\"domain-$1\" class=\"$2\"><properties><property name=\"qid\">$1</property>
<property name=\"name\">$3</property><property name=\"label\">label-1</property>$4</properties><features/>
<devices class=\"pci\"/><tags/><volume-config>$5</volume-config></domain>"
}
volume() {
    echo "<volume name=\"$1\" pool=\"varlibqubes\" vid=\"$2/$1\" size=\"4194304\" rw=\"True\" save_on_stop=\"$3\"/>"
}
r4_host() {
    local qubes=$1/var/lib/qubes image
    "$top/tests/lib/sample-host" "$1" || fail "sample-host"
    rm -r "$qubes/vm-templates/fedora-23" "$qubes"/{appvms,servicevms}/*
    mkdir -p "$qubes/appvms/work" "$qubes/vm-templates/fedora"
    for image in appvms/work/private vm-templates/fedora/root vm-templates/fedora/private; do
        truncate -s 4M "$qubes/$image.img"
        seq 20000 | dd of="$qubes/$image.img" bs=64K seek=16 conv=notrunc status=none
    done
    cp "$golden/firewall/deny-r4.xml" "$qubes/appvms/work/firewall.xml"
    cat >"$qubes/qubes.xml" <<END
<?xml version='1.0' encoding='UTF-8'?>
<qubes version="3.0"><labels><label id="label-1" color="0xcc0000">red</label></labels>
<pools><pool name="varlibqubes" driver="file" dir_path="/var/lib/qubes"/></pools>
<properties><property name="default_template">fedora</property></properties><domains>
<domain id="domain-0" class="AdminVM"><properties><property name="qid">0</property>
<property name="label">label-1</property></properties><features/><devices class="pci"/><tags/></domain>
$(domain 1 TemplateVM fedora '' "$(volume root vm-templates/fedora True)$(volume private vm-templates/fedora True)")
$(domain 2 AppVM work '<property name="template">fedora</property>' \
    "$(volume root appvms/work False)$(volume private appvms/work True)")
</domains></qubes>
END
}
# restore FORMAT ARCHIVE DIRECTORY
restore() {
    local script=emergency-restore.sh
    [ "$1" = 3 ] || script=emergency-restore-4.sh
    "$top/docs/$script" "$2" "$3" || fail "$2 is not restored"
    python3 "$here/read_format$1.py" "$2" >/dev/null || fail "$2: read_format$1.py"
}

for release in 3 4; do
    format=$((7 - release))
    name=r$release-host-format$format.qbk
    rm -rf host kept made
    "r${release}_host" "$TEST_TMP/host"
    ./mkbackup "$TEST_TMP/host" format $format kdf 14 compression gzip >backup || fail "$name: mkbackup: status $?"
    if [ "${1:-}" = --make ]; then
        cp backup "$golden/$name"
    fi
    restore $format "$golden/$name" kept
    restore $format "$TEST_TMP/backup" made
    rm -f {kept,made}/qubesfs-manifest # each has an id of its own
    diff -r --no-dereference kept made || fail "$name restores to something else than a backup that is made now"

    # it is what the host has, in the other form
    host=host/var/lib/qubes
    if [ $release = 3 ]; then
        grep -q '<qubes' kept/qubes.xml && ! grep -q QubesVmCollection kept/qubes.xml || fail "$name: $(cat kept/qubes.xml)"
        same=(vm3/private.img appvms/work/private.img vm1/root.img vm-templates/fedora-23/root.img)
        firewall=vm3/firewall.xml
    else
        grep -q '<QubesVmCollection' kept/qubes.xml || fail "$name: $(cat kept/qubes.xml)"
        same=(vm2/private.img appvms/work/private.img vm1/root.img vm-templates/fedora/root.img)
        firewall=vm2/firewall.xml
    fi
    for ((i = 0; i < ${#same[@]}; i += 2)); do
        cmp "kept/${same[i]}" "$host/${same[i + 1]}" || fail "$name: ${same[i]} differs"
    done
    cmp "kept/$firewall" "$golden/firewall/deny-r$release-to-r$format.xml" || fail "$name: $firewall"
    [ "$(readlink kept/dom0-home/user/notes)" = Documents/notes.txt ] || fail "$name: dom0's home"
    # with the catalogue's marks
    grep -q "$([ $release = 3 ] && echo 'backup-path">vm3/<' || echo 'backup_path="vm2"')" kept/qubes.xml ||
        fail "$name: no path of work in $(cat kept/qubes.xml)"
done
exit 0
