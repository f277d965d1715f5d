# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# For tests of restoring, after mount.sh: hosts to restore onto, and what is compared.
#   PASSPHRASE   that of all plans

export PASSPHRASE='correct horse battery staple'

# empty_host r3|r4|fresh: makes $HOST a host without VMs; fresh: without a catalogue, too
empty_host() {
    rm -rf --one-file-system "$HOST"
    case $1 in
    r4) "$LIB/sample-host-r4" "$HOST" empty ;;
    r3 | fresh)
        "$LIB/sample-host" "$HOST"
        rm -r "$HOST"/var/lib/qubes/*vms/* "$HOST"/var/lib/qubes/vm-templates/*
        rm -r "$HOST"/home/user/.bashrc "$HOST"/home/user/*
        sed -i -e '/<Qubes[A-Z][A-Za-z]*Vm /{/QubesAdminVm/!d}' \
            -e 's/default_template="1" default_netvm="2" default_fw_netvm="2" updatevm="2" clockvm="2"/default_template="None" default_netvm="None" default_fw_netvm="None" updatevm="None" clockvm="None"/' \
            "$CATALOGUE"
        [ "$1" = r3 ] || rm "$CATALOGUE"
        ;;
    esac
}

# plan_ready [KEY VALUE]...: the default plan with passphrase and options
plan_ready() {
    local plan=$P/backups/default
    printf '%s\n' "$PASSPHRASE" >"$plan/passphrase"
    echo 14 >"$plan/kdf"
    while [ $# -gt 0 ]; do
        echo "$2" >"$plan/$1"
        shift 2
    done
}

# disk_state: a line for everything on the host's disk, without times; plans and the like left out
disk_state() {
    (cd "$HOST" && find . -path ./var/lib/qubesfs -prune -o -printf '%y %m %U:%G %s %p %l\n' |
        sed -E 's/^d ([0-9]+ [0-9:]+) [0-9]+ /d \1 - /' | sort)
    (cd "$HOST" && find . -path ./var/lib/qubesfs -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
}

# staged: what a restore has left behind
staged() {
    find "$HOST/var/lib/qubesfs/restore" -mindepth 1 2>/dev/null
    find "$HOST" -name '.qubesfs-restore-*' 2>/dev/null
    return 0
}

# expect_untouched STATE: the disk is as it was, and nothing is staged
expect_untouched() {
    same 'what is staged' '' "$(staged)"
    diff <(echo "$1") <(disk_state) || fail "the disk is not as it was"
}

# properties NAME: what the mount shows of the VM, but for what each restore makes anew
properties() {
    (cd "$P/vms/$1" && { echo "class $(cat class)"; grep -rs . prefs services features tags || true; } |
        grep -Ev '^prefs/(qid|uuid|backup_[a-z]*|dir_path|netid|mac|pool_name|installed_by_rpm):' | sort)
}

status_field() {
    sed -n "s/^$1=//p" "$P/backups/${2:-default}/status"
}

_status_is() {
    [ "$(status_field "$1")" = "$2" ]
}

# status_becomes KEY VALUE
status_becomes() {
    until_true 60 _status_is "$1" "$2" || fail "status does not become $1=$2:
$(cat "$P/backups/default/status" "$P/backups/default/error")"
}

# restore_ok FILE: writes it, and everything must say that it is restored
restore_ok() {
    cat "$1" >"$P/backups/default/backup" || fail "not restored: $(cat "$P/backups/default/error")"
    same 'state' done "$(status_field state)"
    same 'operation' restore "$(status_field operation)"
    same 'percent' 100 "$(status_field percent)"
    same 'what is staged' '' "$(staged)"
}

# same_image A B: byte for byte, and as sparse
same_image() {
    cmp "$1" "$2"
    [ "$(du -k "$2" | cut -f1)" -le $(($(du -k "$1" | cut -f1) + 64)) ] ||
        fail "$2 has lost holes: $(du -k "$1" "$2")"
}
