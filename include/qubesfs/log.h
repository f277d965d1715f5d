/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: stderr in the foreground, syslog in the background.  Thread-safe. */
#ifndef QUBESFS_LOG_H
#define QUBESFS_LOG_H

#include <stdbool.h>

#include "qubesfs/cleanup.h"

/** Sends the log to syslog from now on (facility daemon). */
void log_to_syslog(void);

/** The calling thread's lines never go to syslog: for one that has a table of files of its own.  True
 * if they would have: its stderr may be a terminal or pipe that is to be let go. */
bool log_thread_to_stderr(void);

/** Switches debug lines on or off, at any time from any thread. */
void log_set_debug(bool on);
bool log_debugging(void);

/** One line each, without a final newline; bytes that would break the line are escaped. */
void log_error(const char *format, ...) PRINTF(1, 2);
void log_warning(const char *format, ...) PRINTF(1, 2);
void log_info(const char *format, ...) PRINTF(1, 2);
void log_debug_line(const char *format, ...) PRINTF(1, 2);

/** Costs one load when debug is off. */
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_debugging())                                                                       \
            log_debug_line(__VA_ARGS__);                                                           \
    } while (0)

#endif
