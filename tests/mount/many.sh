#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A thousand VMs: listed and read without a call to the hypervisor, so fast; one change is told fast too.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait
make_host
python3 -I - "$CATALOGUE" <<'END'
import re, sys
text = open(sys.argv[1]).read()
element = re.search(r"  <QubesAppVm [^>]*name=\"personal\"[^>]*/>\n", text).group(0)
more = "".join(element.replace('qid="4"', f'qid="{i}"').replace("personal", f"vm{i}")
               .replace("2a04", f"{i:04x}") for i in range(1000, 2000))
open(sys.argv[1], "w").write(text.replace("</QubesVmCollection>", more + "</QubesVmCollection>"))
END
qfs_mount
same "VMs" 1005 "$(ls "$P/vms" | wc -l)"
began=$(date +%s%N)
same "halted" 1004 "$(cat "$P"/vms/*/state | grep -c Halted)"
took=$((($(date +%s%N) - began) / 1000000))
echo "1005 states read in $took ms"

watch_start vms "$P/vms"
watch_start state "$P/vms/vm1999/state"
watch_start label "$P/vms/vm1500/prefs/label"
catalogue remove vm1000 and rename vm1001 vm5000 and set vm1500 label red
watch_expect vms 'DELETE,ISDIR vms/vm1000'
watch_expect vms 'MOVED_FROM,ISDIR vms/vm1001' 'MOVED_TO,ISDIR vms/vm5000'
watch_expect label 'MODIFY vms/vm1500/prefs/label' 'CLOSE_WRITE,CLOSE vms/vm1500/prefs/label'
echo start >"$P/vms/vm1999/control"
watch_expect state 'MODIFY vms/vm1999/state' 'CLOSE_WRITE,CLOSE vms/vm1999/state'
content_is "$P/vms/vm1999/state" Running
