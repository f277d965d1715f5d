# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of a restore that change the disk fail with EIO or ENOSPC; see restore_faults.sh."""
import collections
import errno
import os
import random
import sys

sys.path.insert(0, os.environ['LIB'])
import faulty  # noqa: E402

count = int(os.environ.get('RESTORE_FAULTS') or 8)
seed = int(os.environ.get('RESTORE_SEED') or random.SystemRandom().randrange(1 << 31))
print('seed', seed, flush=True)
random.seed(seed)
faulty.make_backup()

found = collections.Counter()
for number in range(count):
    faulty.empty_host()
    before = faulty.tree()
    # a restore changes the disk by some 55 calls
    at = random.randrange(1, 56)
    code = random.choice((errno.EIO, errno.ENOSPC))
    daemon = faulty.Daemon({'FAULTS_AT': str(at), 'FAULTS_WHAT': str(code)})
    saver = faulty.Saver()
    faulty.write_file(faulty.PLAN + '/passphrase', faulty.PASSPHRASE)
    faulty.write_file(faulty.ARM, '')
    error = faulty.feed()
    os.unlink(faulty.ARM)
    saved = saver.end()
    where = 'seed %d, number %d, %s at call %d' % (seed, number, errno.errorcode[code], at)
    daemon.end()
    # what could not even be removed, the next start removes
    faulty.Daemon().end()
    try:
        result = faulty.outcome(before, saved)
        assert (error is None) == (result == 'whole'), (error, result)
        assert error is None or error.errno == code, error
    except AssertionError:
        print(where, flush=True)
        raise
    found[result, errno.errorcode[code]] += 1
print(dict(found))
