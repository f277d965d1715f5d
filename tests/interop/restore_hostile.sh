#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# Backups that somebody made to do harm (hostile.py): each is refused, with the errno that belongs to it, in bounded
# time and memory.
set -u
. "$(dirname "$0")/driver.sh"
build readarchive
limit=300
# a sanitizer has memory of its own
if [ -n "$san" ]; then
    limit=0
    export MEMBERS=${MEMBERS:-50000}
fi
python3 "$here/hostile.py" ./readarchive $limit
