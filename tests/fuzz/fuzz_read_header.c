/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-header: whatever it says, what comes out is a header that the reader can work with. */
#include <stdlib.h>
#include <string.h>

#include "archive/read_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct read_header header;
    struct error error = {.code = 0};
    int result = read_header_parse((const char *)data, size, &header, &error);

    if (result < 0) {
        if (!error.text[0] || error.code != result)
            abort();
        return 0;
    }
    if (header.version < 2 || header.version > 4 || header.scrypt != (header.version == 4) ||
        (header.version == 4 && !header.backup_id[0]) || (header.manifest && !header.backup_id[0]))
        abort();
    if (strlen(read_filter_name(header.filter)) > 5)
        abort();
    return 0;
}
