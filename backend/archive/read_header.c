/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "read_header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "qubesfs/cleanup.h"

enum key { VERSION, ENCRYPTED, COMPRESSED, FILTER, CIPHER, HMAC, ID, MANIFEST, KEYS };

static const char *const key_names[KEYS] = {
    [VERSION] = "version",
    [ENCRYPTED] = "encrypted",
    [COMPRESSED] = "compressed",
    [FILTER] = "compression-filter",
    [CIPHER] = "crypto-algorithm",
    [HMAC] = "hmac-algorithm",
    [ID] = "backup-id",
    [MANIFEST] = "qubesfs-manifest",
};

/* a value that is not there is "" */
struct values {
    char text[KEYS][ARCHIVE_ID_SIZE];
    bool there[KEYS];
};

static bool is_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'A' && text[i] <= 'Z') ||
              (text[i] >= 'a' && text[i] <= 'z') || text[i] == '-'))
            return false;
    return true;
}

static int take_line(const char *line, size_t length, struct values *values,
                     struct error *ret_error)
{
    const char *equals = memchr(line, '=', length), *value;
    size_t key_length, value_length;

    for (size_t i = 0; i < length; i++)
        if ((line[i] < ' ' && line[i] != '\t') || line[i] == 127)
            return error_set(ret_error, -EINVAL, "backup-header has a byte that is no ASCII text");
    if (!equals || memchr(equals + 1, '=', length - (size_t)(equals + 1 - line)))
        return error_set(ret_error, -EINVAL,
                         "backup-header has a line that is not KEY=VALUE: \"%.*s\"",
                         length < 80 ? (int)length : 80, line);
    key_length = (size_t)(equals - line);
    value = equals + 1;
    value_length = length - key_length - 1;
    if (!is_word(line, key_length))
        return error_set(ret_error, -EINVAL, "backup-header has a strange key: \"%.*s\"",
                         key_length < 80 ? (int)key_length : 80, line);
    for (size_t key = 0; key < KEYS; key++) {
        if (key_length != strlen(key_names[key]) || memcmp(line, key_names[key], key_length) != 0)
            continue;
        if (values->there[key])
            return error_set(ret_error, -EINVAL, "backup-header says %s twice", key_names[key]);
        if (value_length >= ARCHIVE_ID_SIZE || !is_word(value, value_length))
            return error_set(ret_error, -EINVAL, "backup-header has a strange value for %s",
                             key_names[key]);
        memcpy(values->text[key], value, value_length);
        values->there[key] = true;
    }
    return 0;
}

static bool is_true(const struct values *values, enum key key)
{
    const char *text = values->text[key];

    return !strcmp(text, "1") || !strcasecmp(text, "true") || !strcasecmp(text, "yes");
}

static int missing(enum key key, struct error *ret_error)
{
    return error_set(ret_error, -EINVAL, "backup-header does not say %s", key_names[key]);
}

static int find_filter(const char *name, enum read_filter *ret_filter, struct error *ret_error)
{
    static const struct {
        const char *name;
        enum read_filter filter;
    } filters[] = {{"gzip", FILTER_GZIP},    {"pigz", FILTER_GZIP},  {"bzip2", FILTER_BZIP2},
                   {"pbzip2", FILTER_BZIP2}, {"xz", FILTER_XZ},      {"lzma", FILTER_LZMA},
                   {"zstd", FILTER_ZSTD},    {"zstdmt", FILTER_ZSTD}};

    for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
        if (!strcmp(name, filters[i].name)) {
            *ret_filter = filters[i].filter;
            return 0;
        }
    return error_set(
        ret_error, -ENOTSUP,
        "the backup is compressed by \"%s\"; gzip, bzip2, xz, lzma and zstd can be read", name);
}

static int find_hmac(const char *name, struct read_header *header, struct error *ret_error)
{
    static const struct {
        const char *name;
        enum mac_digest digest;
    } digests[] = {
        {"SHA1", MAC_SHA1}, {"SHA256", MAC_SHA256}, {"SHA384", MAC_SHA384}, {"SHA512", MAC_SHA512}};

    header->scrypt = !strcasecmp(name, "scrypt");
    if (header->scrypt)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
        if (!strcasecmp(name, digests[i].name)) {
            header->digest = digests[i].digest;
            return 0;
        }
    return error_set(
        ret_error, -ENOTSUP,
        "the backup's hmac-algorithm is \"%s\"; SHA1, SHA256, SHA384, SHA512 and scrypt "
        "can be read",
        name);
}

static int check_version(const struct values *values, struct read_header *header,
                         struct error *ret_error)
{
    const char *version = values->text[VERSION];

    /* the first writers of headers had no such line */
    if (!values->there[VERSION])
        header->version = 2;
    else if (!strcmp(version, "2") || !strcmp(version, "3") || !strcmp(version, "4"))
        header->version = (unsigned)(version[0] - '0');
    else
        return error_set(ret_error, -ENOTSUP,
                         "the backup's format is \"%s\"; 2, 3 and 4 can be read", version);
    return 0;
}

/* Formats 2 and 3: what they default to in the readers of their time. */
static int check_older(const struct values *values, struct read_header *header,
                       struct error *ret_error)
{
    header->encrypted = is_true(values, ENCRYPTED);
    if (header->scrypt)
        return error_set(ret_error, -ENOTSUP,
                         "the backup's format is %u, but its hmac-algorithm is scrypt",
                         header->version);
    if (header->encrypted && values->there[CIPHER] &&
        strcasecmp(values->text[CIPHER], "aes-256-cbc") != 0)
        return error_set(ret_error, -ENOTSUP,
                         "the backup is encrypted by \"%s\"; only aes-256-cbc can be read",
                         values->text[CIPHER]);
    if (header->version == 2 && header->encrypted && header->filter != FILTER_NONE)
        return error_set(
            ret_error, -ENOTSUP,
            "a backup of format 2 that is both encrypted and compressed can't be read");
    return 0;
}

static int check_scrypt(const struct values *values, struct read_header *header,
                        struct error *ret_error)
{
    /* Qubes' reader does not look at it in format 4 */
    header->encrypted = true;
    if (!header->scrypt)
        return error_set(ret_error, -ENOTSUP,
                         "the backup's format is 4, but its hmac-algorithm is %s",
                         values->text[HMAC]);
    if (!values->text[ID][0] || values->text[ID][0] == '-')
        return missing(ID, ret_error);
    return 0;
}

static int check(const struct values *values, struct read_header *header, struct error *ret_error)
{
    bool compressed = is_true(values, COMPRESSED);
    int result = check_version(values, header, ret_error);

    if (result < 0)
        return result;
    if (!values->there[COMPRESSED])
        return missing(COMPRESSED, ret_error);
    if (!values->there[ENCRYPTED])
        return missing(ENCRYPTED, ret_error);
    if (!values->there[HMAC])
        return missing(HMAC, ret_error);
    result = find_hmac(values->text[HMAC], header, ret_error);
    if (result == 0 && compressed && !values->there[FILTER] && header->version > 2)
        result = missing(FILTER, ret_error);
    if (result == 0 && compressed)
        result = find_filter(header->version == 2 ? "gzip" : values->text[FILTER], &header->filter,
                             ret_error);
    if (result < 0)
        return result;
    snprintf(header->backup_id, sizeof(header->backup_id), "%s", values->text[ID]);
    result = header->version == 4 ? check_scrypt(values, header, ret_error)
                                  : check_older(values, header, ret_error);
    if (result < 0 || !values->there[MANIFEST])
        return result;
    if (strcmp(values->text[MANIFEST], "1") != 0)
        return error_set(ret_error, -ENOTSUP,
                         "the backup has a manifest of version \"%s\"; only 1 can be read",
                         values->text[MANIFEST]);
    if (!header->backup_id[0])
        return missing(ID, ret_error);
    header->manifest = true;
    return 0;
}

int read_header_parse(const char *text, size_t length, struct read_header *ret_header,
                      struct error *ret_error)
{
    struct values values = {.there = {false}};
    struct read_header header = {.filter = FILTER_NONE};
    int result = 0;

    for (size_t at = 0, end; result == 0 && at < length; at = end + 1) {
        const char *newline = memchr(text + at, '\n', length - at);

        end = newline ? (size_t)(newline - text) : length;
        result = take_line(text + at, end - at, &values, ret_error);
    }
    if (result == 0)
        result = check(&values, &header, ret_error);
    if (result == 0)
        *ret_header = header;
    return result;
}

const char *read_filter_name(enum read_filter filter)
{
    static const char *const names[] = {"", "gzip", "bzip2", "xz", "lzma", "zstd"};

    return names[filter];
}
