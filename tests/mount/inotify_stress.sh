#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Thirty seconds of a catalogue rewritten at random, VMs started and stopped, readers and watchers:
# afterwards the tree is the catalogue, and so is a tree kept up from the events alone.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
python3 -IB "${0%.sh}.py" "$LIB" "$P" "$CATALOGUE" "${SECONDS_OF_STRESS:-30}"
