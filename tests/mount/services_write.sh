#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# services/: 0 and 1 are written, touch makes one, rm removes it; saved in R3's dict literal.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
qfs_mount
services=$P/vms/work/services
stored() {
    same "the catalogue" "$1" "$(sed -n 's/.*name="work".* services="\([^"]*\)".*/\1/p' "$CATALOGUE" |
        sed "s/&apos;/'/g")"
}

echo 0 >"$services/cups"
content_is "$services/cups" 0
stored "{'meminfo-writer': True, 'cups': False}"
expect_errno EINVAL write "$services/cups" 2
expect_error "$P/vms/work/error" 'services/cups: "work": service "cups" takes 0 or 1, not "2"'
expect_errno EINVAL write "$services/cups" yes
printf 1 >"$services/cups"
content_is "$services/cups" 1
! grep -q cups "$P/vms/work/error" || fail "the error stays"

# made and removed: the kernel's own events, each once
watch_start services "$services"
touch "$services/ntpd"
content_is "$services/ntpd" 1
watch_expect services 'CREATE vms/work/services/ntpd'
stored "{'meminfo-writer': True, 'cups': True, 'ntpd': True}"
touch "$services/ntpd"
content_is "$services/ntpd" 1
rm "$services/ntpd"
watch_expect services 'DELETE vms/work/services/ntpd'
_absent "$services/ntpd" || fail "it is still there"
stored "{'meminfo-writer': True, 'cups': True}"
echo 0 >"$services/crond"
content_is "$services/crond" 0
rm "$services/crond"
sleep 0.5
for name in ntpd crond; do
    same "events of making $name" 1 "$(watch_count services "CREATE vms/work/services/$name")"
    same "events of removing $name" 1 "$(watch_count services "DELETE vms/work/services/$name")"
done
stored "{'meminfo-writer': True, 'cups': True}"

# odd names; what can't be made leaves nothing
touch "$services/it's a \"name\""
content_is "$services/it's a \"name\"" 1
rm "$services/it's a \"name\""
expect_errno EINVAL create "$services/größe"
expect_error "$P/vms/work/error" 'is no name for a service'
_absent "$services/größe" || fail "it was made"
expect_errno EPERM mkdir "$services/directory"
expect_errno EPERM rename "$services/cups" "$services/lpd"
expect_errno ENOENT unlink "$services/nothing"
stored "{'meminfo-writer': True, 'cups': True}"

# somebody else's, while we look: no difference
catalogue set work services "{'cups': False, 'other': True}"
becomes "$services/cups" 0
appears "$services/other"
vanishes "$services/meminfo-writer"
rm "$services/other"
stored "{'cups': False}"

# who holds the catalogue's lock delays the one who asks, and no listing for long
"$LIB/catalogue" "$CATALOGUE" lock 90 >"$TEST_TMP/locked" &
locker=$!
end_locker() {
    kill $locker 2>/dev/null || true
}
cleanup_fn end_locker
until_true 60 grep -q locked "$TEST_TMP/locked"
expect_errno EINPROGRESS create "$services/late"
ls "$services" >/dev/null
end_locker
wait $locker || true
appears "$services/late"
content_is "$services/late" 1
