#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 1800
#
# The daemon is killed at a random moment of a restore, while another program saves the catalogue all
# the time as Qubes does.  After the next start there is the whole restore or no trace of it, and the
# catalogue is well-formed and has that program's last save.
#   RESTORE_KILLS   how often (10)
#   RESTORE_SEED    of the random numbers
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/faulty.sh"
python3 "${0%.sh}.py"
