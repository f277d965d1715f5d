#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# include, exclude, passphrase and debug: collected from the open, taken when closed.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
plan=$P/backups/default

same "include at first" '' "$(cat "$plan/include")"
printf 'work\npersonal\n' >"$plan/include"
content_is "$plan/include" "$(printf 'work\npersonal')"
echo sys-firewall >>"$plan/include"
content_is "$plan/include" "$(printf 'work\npersonal\nsys-firewall')"
(echo work && sleep 0.2 && echo personal) >"$plan/exclude"
content_is "$plan/exclude" "$(printf 'work\npersonal')"
same "size" "$(wc -c <"$plan/exclude")" "$(stat -c %s "$plan/exclude")"

# a bad name changes nothing, and says so
expect_errno EINVAL write "$plan/include" 'work\nno/name\n'
expect_error "$plan/error" 'no/name'
content_is "$plan/include" "$(printf 'work\npersonal\nsys-firewall')"
# a VM that may come later is fine
expect_errno OK write "$plan/include" 'later\n'
[ ! -s "$plan/error" ] || ! grep -q 'no/name' "$plan/error" || fail "the line stays: $(cat "$plan/error")"
: >"$plan/include"
same "include emptied" 0 "$(stat -c %s "$plan/include")"

expect_errno OK write "$plan/passphrase" 'correct horse\n'
expect_errno OK write "$plan/passphrase" 'kor\xc3\xa4kt'
expect_errno EINVAL write "$plan/passphrase" 'two\nlines\n'
expect_errno EINVAL write "$plan/passphrase" 'bell\x07'
expect_error "$plan/error" passphrase
! grep -q bell "$plan/error" "$P/events" || fail "a passphrase is told"
expect_errno OK write "$plan/passphrase" '\n'
expect_errno EACCES open "$plan/passphrase" r
expect_errno ENOKEY pread "$plan/backup" 0
expect_errno ENOKEY pread "$P/vms/work/backup" 0

content_is "$P/debug" 0
echo 1 >"$P/debug"
content_is "$P/debug" 1
expect_errno EINVAL write "$P/debug" 2
content_is "$P/debug" 1
expect_error "$P/error" ' debug: '
expect_errno OK write "$P/debug" '1\n0\n'
content_is "$P/debug" 0
same "the error of before" '' "$(grep debug "$P/error" || true)"
expect_errno EINVAL write "$P/debug" '1\nx\n0\n'
content_is "$P/debug" 1
expect_errno EINVAL write "$P/debug" '\n'
python3 -I -c 'print("0\n" * 3000, end="")' >"$TEST_TMP/long"
expect_errno EINVAL write "$P/debug" "@$TEST_TMP/long"
expect_error "$P/error" 'too long'
expect_errno OK write "$P/debug" 0

# an error of a file that is named by what it is about
expect_errno EINVAL write "$P/vms/work/services/cups" maybe
expect_error "$P/vms/work/error" ' services/cups: '
