# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon is killed at a random moment of a restore; see restore_killed.sh."""
import collections
import os
import random
import sys

sys.path.insert(0, os.environ['LIB'])
import faulty  # noqa: E402

STAGES = ('receiving', 'writing', 'syncing', 'committing', 'cleaning')
kills = int(os.environ.get('RESTORE_KILLS') or 10)
seed = int(os.environ.get('RESTORE_SEED') or random.SystemRandom().randrange(1 << 31))
print('seed', seed, flush=True)
random.seed(seed)

faulty.make_backup()
faulty.empty_host()

# one that nothing happens to: its calls, and the stage of each
daemon = faulty.Daemon({'FAULTS_AT': '0', 'FAULTS_WHAT': '0'})
faulty.write_file(faulty.PLAN + '/passphrase', faulty.PASSPHRASE)
faulty.write_file(faulty.ARM, '')
assert faulty.feed() is None
daemon.end()
with open(faulty.LOG) as log:
    lines = log.readlines()
by_stage = collections.defaultdict(list)
for count in range(1, len(lines) + 1):
    faulty.write_file(faulty.LOG, ''.join(lines[:count]))
    by_stage[faulty.stage()].append(count)
print(len(lines), 'calls of a restore change the disk:',
      ', '.join('%d while %s' % (len(by_stage[name]), name) for name in STAGES), flush=True)

size = os.stat(faulty.BACKUP).st_size
found = collections.Counter()
for number in range(kills):
    wanted = STAGES[number % len(STAGES)]
    faulty.empty_host()
    before = faulty.tree()
    at = random.choice(by_stage[wanted])
    what = random.choice(('kill', 'killed'))
    while_bytes_come = wanted == 'receiving' and random.random() < 0.7
    if while_bytes_come:
        at = 0
    daemon = faulty.Daemon({'FAULTS_AT': str(at), 'FAULTS_WHAT': what})
    saver = faulty.Saver()
    faulty.write_file(faulty.PLAN + '/passphrase', faulty.PASSPHRASE)
    faulty.write_file(faulty.ARM, '')
    if while_bytes_come:
        limit = random.randrange(1, size)
        file = faulty.feed_and_hold(limit)
        daemon.kill()
        try:
            os.close(file)
        except OSError:
            pass
    elif faulty.feed() is None:
        daemon.kill()  # the restore is through: it has made fewer calls than the first one
    else:
        daemon.process.wait(60)
    stage = 'receiving' if while_bytes_come else faulty.stage()
    saved = saver.end()
    where = 'seed %d, kill %d, %s call %d of stage %s' % (seed, number, what, at, stage)
    faulty.Daemon().end()
    try:
        result = faulty.outcome(before, saved)
    except AssertionError:
        print(where, flush=True)
        raise
    expected = {'committing': {'whole', 'nothing'}, 'cleaning': {'whole', 'nothing'}}
    assert result in expected.get(stage, {'nothing'}), where + ': ' + result
    found[stage, result] += 1
for stage in STAGES:
    counts = {result: found[stage, result] for result in ('nothing', 'whole')}
    print('%s: %d (%s)' % (stage, sum(counts.values()),
                           ', '.join('%d %s' % (count, result) for result, count in counts.items())))
    # how many calls there are differs a little, so the stage may be another one than was meant
    assert kills < 300 or sum(counts.values()) >= 20, 'too few in stage ' + stage
