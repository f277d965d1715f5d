#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Users who make, remove, rename and change what they may not, ten seconds long, while the daemon makes,
# removes and renames the same for itself: they always fail, all is told, and the tree is right at the end.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
python3 -IB "${0%.sh}.py" "$LIB" "$P" "$CATALOGUE"
