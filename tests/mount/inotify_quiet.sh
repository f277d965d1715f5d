#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nothing is told without a change: sweeps, readings, listings, a catalogue written anew as it was.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
qfs_mount
echo start >"$P/vms/work/control"
ls -lR "$P" >/dev/null
sleep 0.5
mapfile -t everything < <(find "$P" -not -name events)
watch_start all "${everything[@]}"

# readings and listings: only what the kernel itself makes of them
find "$P/vms" -type f -not -path '*/volumes/*' -perm -400 -not -name backup -exec cat {} + >/dev/null
ls -lR "$P" >/dev/null
find "$P" -exec stat {} + >/dev/null
watch_nothing all

# the kernel's own events of these writes are on control, and nothing is anywhere else
watch_clear all
for _ in {1..1000}; do echo refresh >"$P/vms/dom0/control"; done
sleep 0.5
same "1000 sweeps" '' "$(watch_events all | grep -Ev '^(OPEN|ACCESS|CLOSE_NOWRITE)|vms/dom0/control$' || true)"
watch_clear all
for _ in {1..50}; do kill -HUP "$QFS_PID"; sleep 0.01; done
watch_nothing all

# the catalogue as it was
touch "$CATALOGUE"
sleep 0.2
cp "$CATALOGUE" "$TEST_TMP/same" && cat "$TEST_TMP/same" >"$CATALOGUE"
sleep 0.2
cp "$CATALOGUE" "$CATALOGUE.new" && mv "$CATALOGUE.new" "$CATALOGUE"
catalogue set work label blue
watch_nothing all
# and the watch was no empty one
catalogue set work label red
watch_expect all 'MODIFY vms/work/prefs/label'
