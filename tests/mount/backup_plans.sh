#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Plans: made and removed by mkdir and rmdir, every option's good and bad values, kept over a restart; what
# is hostile in the state directory is left out.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
state=$TEST_TMP/state
qfs_mount --state "$state"
backups=$P/backups
plan=$backups/default

: "--- what is there"
for file in backup passphrase include exclude format encrypted kdf compression level conflict missing \
    dom0_home contents status control error; do
    [ -f "$plan/$file" ] || fail "there is no $file"
done
content_is "$plan/encrypted" 1
content_is "$plan/kdf" 17
content_is "$plan/compression" gzip
content_is "$plan/level" default
content_is "$plan/conflict" refuse
content_is "$plan/missing" default
content_is "$plan/dom0_home" 1
same status 'state=idle
operation=
bytes_done=0
bytes_total=0
percent=0
bytes_per_second=0
eta_seconds=
current=
error=' "$(cat "$plan/status")"

: "--- mkdir and rmdir: the kernel's own events, and no others"
ls "$backups" >/dev/null
watch_start plans "$backups"
mkdir "$backups/usb"
watch_exactly plans 'CREATE,ISDIR backups/usb'
[ -f "$backups/usb/format" ] || fail "a new plan has no files"
same 'P/backups' 'default
usb' "$(ls "$backups")"
expect_errno EEXIST mkdir "$backups/usb"
expect_errno EEXIST mkdir "$backups/default"
for name in .hidden -x 'a b' 'ü' "$(printf '%065d' 0)"; do
    expect_errno EINVAL mkdir "$backups/$name"
done
expect_error "$P/error" 'no name for a plan'
expect_errno EPERM rmdir "$backups/default"
expect_error "$plan/error" 'always there'
expect_errno EPERM create "$backups/file"
expect_errno EPERM rename "$backups/usb" "$backups/other"
expect_errno EPERM mkdir "$plan/sub"
expect_errno EPERM unlink "$plan/format"
watch_clear plans
rmdir "$backups/usb"
watch_exactly plans 'DELETE,ISDIR backups/usb'
[ ! -e "$backups/usb" ] || fail "usb is still there"
expect_errno ENOENT stat "$backups/usb/format"
expect_errno ENOENT rmdir "$backups/usb"
longest=$(printf '%064d' 0)
mkdir "$backups/$longest" "$backups/A.b_c-9"
rmdir "$backups/$longest"
watch_stop plans

: "--- options"
good() {
    local option=$1 value
    shift
    for value; do
        expect_errno OK write "$plan/$option" "$value\\n"
        content_is "$plan/$option" "$value"
    done
    expect_errno OK write "$plan/$option" "$value" # without its newline
    for value in '\n' ' ' 5 13 21 017 true "$value\\n\\n" "$value " "$value\\0"; do
        expect_errno EINVAL write "$plan/$option" "$value"
    done
    expect_error "$plan/error" "$option: $option cannot be .*it is one of"
    content_is "$plan/$option" "$(printf '%b' "${!#}")"
    expect_errno OK write "$plan/$option" "${!#}"
    ! grep -q " $option: " "$plan/error" || fail "the line of $option stays"
}
good format 3 4
good kdf 14 15 16 18 19 20 17
good compression none zstd gzip
good level fast small default
good conflict rename skip refuse
good missing refuse skip default
good dom0_home 0 1
expect_errno EINVAL write "$plan/encrypted" 0
expect_error "$plan/error" 'format 4 is always encrypted'
good format 3
good encrypted 0 1
good encrypted 0
expect_errno EINVAL write "$plan/format" 4
expect_error "$plan/error" '`encrypted` is 0'
content_is "$plan/format" 3
echo 1 >"$plan/encrypted"
echo 4 >"$plan/format"
content_is "$plan/format" 4
expect_errno EACCES open "$plan/control" r
expect_errno EINVAL write "$plan/control" 'start\n'
expect_error "$plan/error" 'no command here'
expect_errno OK write "$plan/control" 'cancel\n'
before=$(stat -c %.9Y "$plan/kdf")
echo 17 >"$plan/kdf"
same 'the time of an option that did not change' "$before" "$(stat -c %.9Y "$plan/kdf")"

: "--- kept over a restart, but for passphrases"
other=$backups/A.b_c-9
echo 3 >"$other/format"
echo zstd >"$other/compression"
echo 19 >"$other/kdf"
printf '%s\n' work personal >"$other/include"
echo sys-firewall >"$other/exclude"
echo secret-of-it >"$other/passphrase"
echo 0 >"$plan/dom0_home"
mkdir "$backups/gone" && rmdir "$backups/gone"
mkdir "$backups/again" && rmdir "$backups/again" && mkdir "$backups/again"
until_true 60 grep -q exclude=sys-firewall "$state/plans/A.b_c-9" || fail "it is not saved"
qfs_unmount
same 'what is saved' 'A.b_c-9
again
default' "$(ls -A "$state/plans")"
! grep -rq secret-of-it "$state" || fail "the passphrase is on the disk"
same 'mode' 600 "$(stat -c %a "$state/plans/default")"

# what somebody put there
: "--- hostile files"
plans=$state/plans
ln -s /etc/passwd "$plans/link"
mkfifo "$plans/fifo"
mkdir "$plans/directory"
echo 'format=3' >"$plans/bad name"
head -c 1M /dev/zero >"$plans/large"
head -c 10K /dev/urandom >"$plans/noise"
printf '%s\n' format=4 encrypted=0 kdf=63 no-line =x include=../../etc 'include=ok' level=small bogus=1 \
    >"$plans/mixed"
printf 'level=fast\ninclude=a\0b\n' >"$plans/nul"
printf 'format=3\n' >"$plans/.new"
qfs_mount --state "$state"
same 'plans' 'A.b_c-9
again
default
mixed
noise
nul' "$(ls "$backups")"
content_is "$other/format" 3
content_is "$other/compression" zstd
content_is "$other/kdf" 19
content_is "$other/include" 'work
personal'
content_is "$other/exclude" sys-firewall
content_is "$plan/dom0_home" 0
expect_errno ENOKEY pread "$other/backup" 0
content_is "$backups/mixed/encrypted" 1
content_is "$backups/mixed/format" 4
content_is "$backups/mixed/kdf" 17
content_is "$backups/mixed/level" small
content_is "$backups/mixed/include" ''
content_is "$backups/nul/level" fast
echo 16 >"$backups/mixed/kdf"
until_true 60 grep -q kdf=16 "$plans/mixed" || fail "mixed is not saved"
rmdir "$backups/mixed"
until_true 60 test ! -e "$plans/mixed" || fail "mixed is still on the disk"
rm -r "$plans"
: >"$plans" # nothing can be saved any more
echo 15 >"$plan/kdf"
content_is "$plan/kdf" 15
until_true 60 grep -q 'save: .*only until the daemon ends' "$plan/error" || fail "nobody says that it is not saved"
