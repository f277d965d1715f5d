# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For tests that write archives without a daemon: driver.sh, and ./mkarchive in TEST_TMP.
. "$(dirname "${BASH_SOURCE[0]}")/driver.sh"
build mkarchive
