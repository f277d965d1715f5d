#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Fifty watchers at once lose nothing over a thousand changes, and each event's read is the new value.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount

python3 -IB "${0%.sh}.py" "$LIB" "$P"
