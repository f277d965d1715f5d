#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# Random writes to prefs/ and services/ by 8 processes, while an independent program saves too, as
# Qubes does: no update is lost, and what nobody has changed is the same byte for byte.
# PREFS_WRITES: how many, 400 unless told otherwise.
. "$(dirname "$0")/../lib/mount.sh"
make_host
# what no reader knows
sed -i -e 's|default_kernel=|future = "1 > 0"  default_kernel=|' \
    -e "s|</QubesVmCollection>|  <!-- kept --><Unknown  a='\&#x41;'/>\n&|" "$CATALOGUE"
qfs_mount
"${0%.sh}.py" "$P" "$CATALOGUE" "${PREFS_WRITES:-400}"
