/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closing manifest: an archive's last file, which tells what the archive holds, so that a
 * missing or exchanged part, or one of another archive, is found.  docs/FORMAT.md has its text.
 */
#ifndef ARCHIVE_MANIFEST_H
#define ARCHIVE_MANIFEST_H

#include "chunk.h"
#include "qubesfs/archive.h"
#include "qubesfs/text.h"

/** Notes the SHA-256 of the document that the catalogue is.  0 or -ENOMEM. */
int manifest_catalogue(struct archive_manifest *manifest, const void *document, size_t length);
/** Fills in the digest of a chunk that is there as a whole.  0 or -ENOMEM. */
int manifest_digest(struct chunk *chunk);
/** Notes a chunk that is about to be written: size and digest.  The first one of a file begins that
 * file.  Called in the order of the archive.  0 or -ENOMEM. */
int manifest_add(struct archive_manifest *manifest, const struct chunk *chunk);
/** Appends the manifest of all that was noted. */
void manifest_text(const struct archive_manifest *manifest, const char *backup_id,
                   struct text *text);

/** How long parts of that text are: of the frame around the files, when there are so many; of a
 * file whose stream (as it is cut into chunks) has that length, `overhead` bytes being added to
 * each chunk; of the catalogue's line. */
uint64_t manifest_frame_length(const char *backup_id, uint64_t files);
uint64_t manifest_file_length(const char *name, uint64_t stream, unsigned overhead);
uint64_t manifest_catalogue_length(void);

#endif
