#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual: clean for mandoc and groff, and it knows every option that the program knows.
. "$(dirname "$0")/../lib/mount.sh"
requires mandoc groff
manual=$LIB/../../docs/qubesfs.8

# whether this machine has the other manuals is not ours
mandoc -T lint "$manual" 2>&1 | grep -v -e 'outdated mandoc.db' -e 'referenced manual not found' \
    >"$TEST_TMP/lint" || true
[ ! -s "$TEST_TMP/lint" ] || fail "mandoc: $(cat "$TEST_TMP/lint")"
groff -mdoc -Tutf8 -ww -z "$manual" 2>"$TEST_TMP/groff"
[ ! -s "$TEST_TMP/groff" ] || fail "groff: $(cat "$TEST_TMP/groff")"

mandoc -T utf8 "$manual" | col -b >"$TEST_TMP/text"
"$QUBESFS" -h >"$TEST_TMP/help"
grep -oE -- '--[a-z]+' "$TEST_TMP/help" | sort -u >"$TEST_TMP/options"
while read -r option; do
    grep -q -- "$option" "$TEST_TMP/text" || fail "$option is not in the manual"
done <"$TEST_TMP/options"
