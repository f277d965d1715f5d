/* SPDX-License-Identifier: GPL-2.0-or-later */
/* domain introduce|release|known DOMAIN...: what a toolstack says to xenstored of its domains. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

int main(int argc, char **argv)
{
    struct xs_handle *store = xs_open(0);
    bool failed = false;

    if (!store || argc < 3) {
        perror("xs_open");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        unsigned domain = (unsigned)strtoul(argv[i], NULL, 10);
        bool done;

        if (strcmp(argv[1], "introduce") == 0)
            done = xs_introduce_domain(store, domain, 1, 1);
        else if (strcmp(argv[1], "release") == 0)
            done = xs_release_domain(store, domain);
        else
            done = xs_is_domain_introduced(store, domain);
        if (!done)
            fprintf(stderr, "%s %u: %s\n", argv[1], domain, strerror(errno));
        failed |= !done;
    }
    xs_close(store);
    return failed;
}
