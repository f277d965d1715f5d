#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A user's own write makes the kernel's own events, and one pair for what changed by it; the written
# file gets one more pair only where its content is another now, and `control` never.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
python3 -IB "${0%.sh}.py" "$LIB" "$P" "$CATALOGUE"
