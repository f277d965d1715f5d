/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gzip, one member a block.  Its header has an extra field that tells the member's length, so that
 * a reader finds the next one without decoding this one:
 *
 *     0   10  1f 8b 08, flags 04 (extra field), no time, no hints, system 255 (unknown)
 *     10   2  length of the extra field: 8
 *     12   4  'Q' 'F', its length: 4
 *     16   4  length of the whole member
 *     20   n  deflate
 *     20+n 8  CRC-32 and length of the data
 *
 * Numbers are little endian.
 */
#ifndef ARCHIVE_CODEC_GZIP_H
#define ARCHIVE_CODEC_GZIP_H

#define GZIP_HEADER_SIZE  20u
#define GZIP_TRAILER_SIZE 8u

/** What all of them begin with. */
static const unsigned char gzip_head[16] = {0x1f, 0x8b, 8, 4, 0,   0,   0, 0,
                                            0,    0xff, 8, 0, 'Q', 'F', 4, 0};

#endif
