#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""saver.py CATALOGUE LOG: saves the catalogue again and again as Qubes' own tools do (a lock by
lockf, stat compared, a new file renamed over), each time with the next number in its mark `saver-N`,
and notes the number of the last save in LOG.  Ends at SIGTERM, never within a save."""
import fcntl
import os
import re
import signal
import sys
import time

path, log = sys.argv[1:]
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(True))


def locked():
    """The catalogue, open and locked, and still the one at its path."""
    while True:
        file = open(path, 'r+b')
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            if os.fstat(file.fileno()) == os.stat(path):
                return file
        except FileNotFoundError:
            pass
        file.close()


def save(number):
    with locked() as old:
        text = old.read()
        changed = re.sub(rb'saver-[0-9]+', b'saver-%d' % number, text)
        assert changed != text, 'the mark is lost'
        with open(path + '.saver', 'wb') as new:
            fcntl.lockf(new, fcntl.LOCK_EX)
            new.write(changed)
            new.flush()
            os.chmod(path + '.saver', 0o660)
            os.rename(path + '.saver', path)


count = 0
while not ending:
    count += 1
    save(count)
    with open(log, 'w') as file:
        file.write(str(count))
    time.sleep(0.002)
