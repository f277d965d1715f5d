#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make demo` and `make demo-stop`, each twice, and every command that the demo prints.
. "$(dirname "$0")/../lib/mount.sh"
demo=$LIB/../demo/demo.sh

stop() {
    sh "$demo" stop "$TEST_TMP" || fail "demo-stop"
}
cleanup_fn stop
for _ in 1 2; do
    sh "$demo" start "$TEST_TMP" >"$TEST_TMP/said" 2>&1 || fail "demo: $(cat "$TEST_TMP/said")"
done
sed -n 's/^  //p' "$TEST_TMP/said" >"$TEST_TMP/commands"
same "commands" 10 "$(wc -l <"$TEST_TMP/commands")"
while read -r command; do
    status=0
    output=$(bash -c "$command" 2>&1 </dev/null) || status=$?
    # the one that shows an error is there to fail
    case $command in
    *control*error) grep -q 'write error' <<<"$output" || fail "no error from $command: $output" ;;
    *) [ $status = 0 ] || fail "status $status: $command: $output" ;;
    esac
    [ -n "$output" ] || [[ $command = echo* ]] || fail "prints nothing: $command"
done <"$TEST_TMP/commands"
sh "$demo" stop "$TEST_TMP"
[ ! -e "$TEST_TMP/demo" ] || fail "demo-stop leaves something"
