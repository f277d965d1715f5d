#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 900
#
# One call of a restore that changes the disk fails, with EIO or since the disk is full: the writer gets
# that error, and there is no trace; or it was one that is not needed any more, and all is there.
#   RESTORE_FAULTS   how often (8)
#   RESTORE_SEED     of the random numbers
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/faulty.sh"
python3 "${0%.sh}.py"
