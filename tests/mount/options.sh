#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Options: -V and -h; whatever is wrong gives status 1 and one clear line on stderr, and no mount.
. "$(dirname "$0")/../lib/mount.sh"
make_host
mkdir "$P"

"$QUBESFS" -V >"$TEST_TMP/out" 2>"$TEST_TMP/err" || fail "-V failed"
grep -Eq '[0-9]+\.[0-9]+' "$TEST_TMP/out" || fail "-V prints no version"
"$QUBESFS" -h >"$TEST_TMP/out" 2>"$TEST_TMP/err" || fail "-h failed"
for option in --connect --root --store --xenstore --state --templates --kdf-memory -o -f -d -V -h; do
    grep -Eq -- "(^|[^-[:alnum:]])$option\b" "$TEST_TMP/out" || fail "-h does not mention $option"
done
[ ! -s "$TEST_TMP/err" ] || fail "-h writes to stderr"

# refuses WORDS ARGUMENT...: and the line on stderr matches
refuses() {
    local words=$1 status=0
    shift
    timeout 20 "$QUBESFS" "$@" >"$TEST_TMP/out" 2>"$TEST_TMP/err" </dev/null || status=$?
    same "status of qubesfs $*" 1 $status
    same "lines of qubesfs $*" 1 "$(wc -l <"$TEST_TMP/err")"
    grep -Eq -- "$words" "$TEST_TMP/err" || fail "qubesfs $*: $(cat "$TEST_TMP/err")"
    ! is_mounted "$P" || fail "qubesfs $* has mounted"
}

common=(--root "$HOST" --connect test:///default --xenstore none)
refuses 'bogus' --bogus "${common[@]}" "$P"
refuses 'MOUNTPOINT' "${common[@]}"
refuses 'nosuch' "${common[@]}" "$P/nosuch"
refuses "$CATALOGUE" "${common[@]}" "$CATALOGUE"
refuses '--connect|argument' --root "$HOST" "$P" --connect
refuses 'extra|one' "${common[@]}" "$P" extra
refuses "$TEST_TMP/none.xml" "${common[@]}" --store "$TEST_TMP/none.xml" "$P"
refuses "unknown option.*nosuchoption" "${common[@]}" -o nosuchoption "$P"
refuses 'MiB' "${common[@]}" --kdf-memory 1g "$P"
refuses 'MiB' "${common[@]}" --kdf-memory 0 "$P"
refuses "inotify" "${common[@]}" -o noatime,ro "$P"

# a broken catalogue is told with its line
sed '4s/ qid="[0-9]*"/ qid="one"/' "$CATALOGUE" >"$TEST_TMP/broken.xml"
refuses "$TEST_TMP/broken.xml:4" "${common[@]}" --store "$TEST_TMP/broken.xml" "$P"
head -n 4 "$CATALOGUE" >"$TEST_TMP/half.xml"
refuses "$TEST_TMP/half.xml:[45]" "${common[@]}" --store "$TEST_TMP/half.xml" "$P"
