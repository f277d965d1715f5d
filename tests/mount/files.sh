#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What stat says: owners, modes, kinds, exact sizes; nothing of it moves without a change.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
group=root
! getent group qubes >/dev/null || group=qubes

# is MODE KIND PATH...
is() {
    local mode=$1 kind=$2 path
    shift 2
    for path; do
        same "$path" "$mode root $group $kind" "$(stat -c '%a %U %G %F' "$P/$path")"
    done
}
is 750 directory . devices backups/default vms vms/work vms/dom0 vms/work/prefs
is 770 directory backups vms/work/services
is 440 'regular file' README version events vms/work/{state,class,xid,uuid,stats,domain.xml,firewall.xml,backup}
for file in error vms/work/error vms/dom0/error; do
    same "$file" "440 root $group" "$(stat -c '%a %U %G' "$P/$file")"
done
is 660 'regular file' vms/work/control debug
same passphrase "200 root" "$(stat -c '%a %U' "$P/backups/default/passphrase")"
same backup 600 "$(stat -c '%a' "$P/backups/default/backup")"

same "the VMs" "dom0 fedora-23 personal sys-firewall work" "$(ls "$P/vms" | paste -sd ' ')"
content_is "$P/vms/work/class" AppVM
content_is "$P/vms/fedora-23/class" TemplateVM
content_is "$P/vms/sys-firewall/class" ProxyVM
content_is "$P/vms/dom0/class" AdminVM
content_is "$P/vms/dom0/state" Running
content_is "$P/vms/work/xid" -1
content_is "$P/vms/work/uuid" 8b1e5f6a-3c6d-4d0e-9a52-0c6f0f6b2a03
content_is "$P/vms/work/prefs/netvm" sys-firewall
content_is "$P/vms/work/prefs/template" fedora-23
content_is "$P/vms/work/prefs/label" blue
content_is "$P/vms/work/services/cups" 1
same firewall.xml "$(cat "$HOST/var/lib/qubes/appvms/work/firewall.xml")" "$(cat "$P/vms/work/firewall.xml")"
[ ! -e "$P/vms/fedora-23/firewall.xml" ] || fail "a firewall.xml where there is none"

# sizes are exact, and text is text: whole lines of UTF-8
find "$P" -type f ! -name backup ! -name passphrase ! -path "*/volumes/*" -perm /u+r >"$TEST_TMP/files"
while read -r file; do
    same "size of $file" "$(stat -c %s "$file")" "$(wc -c <"$file")"
    iconv -f UTF-8 -t UTF-8 <"$file" >/dev/null || fail "$file is no UTF-8"
    [ ! -s "$file" ] || [ "$(tail -c 1 "$file" | od -An -tx1 | tr -d ' ')" = 0a ] ||
        fail "$file has no newline at its end"
done <"$TEST_TMP/files"
grep -q vms/work/prefs/label "$TEST_TMP/files"

# nothing moves by being looked at
facts() {
    find "$P" ! -path "$P/vms/*/backup" -printf '%P %i %m %s %T@\n' | sort
}
before=$(facts)
grep -r --exclude=backup Halted "$P/vms" >/dev/null
sleep 1.1
diff <(echo "$before") <(facts) || fail "something moved"

# a change moves what changed and nothing else
class=$(stat -c '%i %Y' "$P/vms/work/class")
old=$(stat -c %.Y "$P/vms/work/state")
echo start >"$P/vms/work/control"
content_is "$P/vms/work/state" Running
same "size of state" 8 "$(stat -c %s "$P/vms/work/state")"
new=$(stat -c %.Y "$P/vms/work/state")
awk "BEGIN { exit !($new > $old) }" ||
    fail "state changed, its mtime went from $old to $new"
same class "$class" "$(stat -c '%i %Y' "$P/vms/work/class")"

# an open file keeps its value
exec {held}<"$P/vms/work/state"
echo kill >"$P/vms/work/control"
content_is "$P/vms/work/state" Halted
same "what was opened before" Running "$(cat <&"$held")"
exec {held}<&-
