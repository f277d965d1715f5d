/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose the catalogue is: a running qubesd has it in its memory, and would save over our changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "edits.h"

static bool answers(const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int parent CLEANUP_CLOSE = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd CLEANUP_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (parent < 0 || fd < 0)
        return false;
    /* by the descriptor: below --root a path may be longer than an address can be */
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/qubesd.sock", parent);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    return errno == EAGAIN; /* its queue is full, so there is somebody */
}

int host_catalogue_is_owned(const struct host *host, struct error *ret_error)
{
    char *directory CLEANUP_FREE = text_format("%s/var/run", host->root);

    if (!directory || !answers(directory))
        return 0;
    return error_set(ret_error, -EROFS,
                     "%s belongs to the qubesd that runs here (%s/qubesd.sock); use its own tools, "
                     "or stop it first",
                     host->catalogue_path, directory);
}
