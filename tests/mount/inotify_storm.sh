#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 300
# The mount ends in order in the middle of a storm of events: by fusermount3, by umount, by SIGTERM.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
cp "$CATALOGUE" "$TEST_TMP/original"

storm() {
    local i
    for ((i = 0; ; i++)); do
        sed "s/label=\"[a-z]*\"/label=\"$([ $((i % 2)) = 0 ] && echo red || echo blue)\"/g;
            s/name=\"personal\"/name=\"p$((i % 3))\"/" "$TEST_TMP/original" >"$CATALOGUE.new"
        mv "$CATALOGUE.new" "$CATALOGUE"
    done
}

commands() {
    while :; do
        for command in start pause unpause kill; do echo $command >"$P/vms/work/control" || :; done
        ls -lR "$P/vms" >/dev/null || :
        mkdir "$P/vms/none" || :
    done
}

for way in fusermount3 umount term fusermount3 umount term; do
    qfs_mount
    watch_start all "$P/vms" "$P"/vms/* "$P"/vms/*/prefs
    storm 2>/dev/null &
    storming=$!
    commands 2>/dev/null &
    commanding=$!
    sleep 0.$((RANDOM % 5 + 4))
    until_true 10 test -s "$TEST_TMP/watch.all" || fail "no storm"
    pid=$QFS_PID
    QFS_PID=
    case $way in
    fusermount3) fusermount3 -u -z "$P" ;;
    umount) umount -l "$P" ;;
    term) kill "$pid" ;;
    esac
    until_true 60 _ended "$pid" || { kill -KILL "$pid"; fail "$way: the daemon does not end"; }
    status=0
    wait "$pid" || status=$?
    kill $storming $commanding
    wait $storming $commanding || true
    watch_stop all
    [ $status = 0 ] || fail "$way: the daemon ended with status $status"
    ! is_mounted "$P" || fail "$way: still mounted"
    cp "$TEST_TMP/original" "$CATALOGUE"
done
