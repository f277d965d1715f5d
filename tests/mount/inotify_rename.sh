#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A renamed VM is the same directory: one cookie, MOVE_SELF, the same inode, and watches inside go on.
# So too when names are swapped, handed on, or used for another VM in the same save.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount

python3 -IB "${0%.sh}.py" "$LIB" "$P" "$CATALOGUE"
