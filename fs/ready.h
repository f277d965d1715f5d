/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QUBESFS_FS_READY_H
#define QUBESFS_FS_READY_H

/** Tells systemd `state` ("READY=1") where it asked for that by NOTIFY_SOCKET; source:
 * sd_notify(3). */
void ready_notify(const char *state);

#endif
