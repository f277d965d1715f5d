#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each change that another program makes is told exactly once, on the object and on its directory: a
# value, a file that comes or goes, a VM that comes or goes with all that somebody knows in it.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
python3 -IB "${0%.sh}.py" "$LIB" "$P" "$CATALOGUE"
