/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For LD_PRELOAD into the daemon: a hypervisor that hangs.  virDomainShutdown and virDomainSuspend
 * wait as long as the file named by SLOW_LIBVIRT exists, then do what they do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_while_told(void)
{
    const char *file = getenv("SLOW_LIBVIRT");

    while (file && access(file, F_OK) == 0)
        usleep(20000);
}

#define SLOW(function)                                                                             \
    int function(void *domain);                                                                    \
    int function(void *domain)                                                                     \
    {                                                                                              \
        int (*real)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, #function);                        \
                                                                                                   \
        wait_while_told();                                                                         \
        return real(domain);                                                                       \
    }

SLOW(virDomainShutdown)
SLOW(virDomainSuspend)
