# SPDX-License-Identifier: GPL-2.0-or-later
"""Restores in which something goes wrong at one call of the daemon that changes the disk.

A daemon with tests/lib/faults.c preloaded restores a backup onto a small R4 host while another program
(saver.py) saves the catalogue.  Afterwards another daemon looks at what is left: all or nothing."""
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
import xml.etree.ElementTree

LIB = os.environ['LIB']
TMP = os.environ['TEST_TMP']
QUBESFS = os.environ['QUBESFS_PLAIN']
HOST = os.environ.get('FAULTY_HOST', TMP + '/host')
ORIGINAL = TMP + '/original'
MOUNT = TMP + '/qubes'
BACKUP = TMP + '/backup'
ARM = TMP + '/arm'
LOG = TMP + '/calls'
CATALOGUE = HOST + '/var/lib/qubes/qubes.xml'
PLAN = MOUNT + '/backups/default'
PASSPHRASE = 'correct horse\n'
NAMES = {'fedora', 'sys-net', 'work'}


def wait_until(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Daemon:
    def __init__(self, faults=None):
        environment = dict(os.environ)
        if faults:
            environment.update(faults, LD_PRELOAD=TMP + '/faults.so', FAULTS_ARM=ARM, FAULTS_LOG=LOG)
        os.makedirs(MOUNT, exist_ok=True) if not os.path.ismount(MOUNT) else None
        with open(TMP + '/daemon.log', 'a') as log:
            self.log_begin = log.tell()
            self.process = subprocess.Popen(
                [QUBESFS, '-f', '--root', HOST, '--connect', 'none', '--xenstore', 'none', MOUNT],
                env=environment, stdout=log, stderr=log)
        wait_until(self.answers, 'the daemon does not answer')

    def answers(self):
        assert self.process.poll() is None, 'the daemon did not start'
        with open(TMP + '/daemon.log') as log:
            log.seek(self.log_begin)
            return ' mounted at ' in log.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        subprocess.run(['fusermount3', '-u', MOUNT], check=True)
        assert self.process.wait(60) == 0, 'the daemon failed'


class Saver:
    def __init__(self):
        self.log = TMP + '/saver.log'
        if os.path.exists(self.log):
            os.unlink(self.log)
        self.process = subprocess.Popen([LIB + '/saver.py', CATALOGUE, self.log])
        wait_until(lambda: os.path.exists(self.log), 'the saver does not save')

    def end(self):
        """Its last save's number."""
        self.process.terminate()
        assert self.process.wait(60) == 0, 'the saver failed'
        with open(self.log) as log:
            return log.read()


def write_file(path, text):
    with open(path, 'w') as file:
        file.write(text)


def make_backup():
    subprocess.run([LIB + '/sample-host-r4', HOST], check=True)
    daemon = Daemon()
    write_file(PLAN + '/passphrase', PASSPHRASE)
    write_file(PLAN + '/kdf', '14\n')
    shutil.copyfile(PLAN + '/backup', BACKUP)
    daemon.end()
    shutil.copytree(HOST, ORIGINAL, symlinks=True)


def clear(directory):
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def empty_host():
    """A host without VMs, whose catalogue has the mark that the saver counts on."""
    if os.path.exists(HOST):
        clear(HOST)
    subprocess.run([LIB + '/sample-host-r4', HOST, 'empty'], check=True)
    with open(CATALOGUE) as file:
        text = file.read()
    write_file(CATALOGUE, text.replace('<features/>', '<features><feature name="x">saver-0</feature></features>', 1))
    for path in (ARM, LOG):
        if os.path.exists(path):
            os.unlink(path)


def tree():
    """Everything on the host's disk but the catalogue and the daemon's own plans."""
    found = {}
    for directory, directories, files in os.walk(HOST):
        for name in directories + files:
            path = os.path.join(directory, name)
            below = os.path.relpath(path, HOST)
            if below.startswith('var/lib/qubesfs/plans') or path == CATALOGUE:
                continue
            status = os.lstat(path)
            content = ''
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, 'rb') as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            found[below] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    # made by the first restore and kept
    found.pop('var/lib/qubesfs/restore', None)
    return found


def feed(limit=None):
    """Writes the backup, or its first bytes: None, or the error."""
    with open(BACKUP, 'rb') as file:
        data = file.read()
    end = len(data) if limit is None else limit
    try:
        with open(PLAN + '/backup', 'wb', buffering=0) as backup:
            at = 0
            while at < end:
                at += backup.write(data[at:min(at + 65536, end)])
            if limit is not None:
                raise InterruptedError
    except OSError as error:
        return error
    return None


def feed_and_hold(limit):
    """Writes the first bytes and keeps the file open; to be closed."""
    file = os.open(PLAN + '/backup', os.O_WRONLY)
    with open(BACKUP, 'rb') as backup:
        data = backup.read(limit)
    at = 0
    while at < len(data):
        at += os.write(file, data[at:at + 65536])
    return file


def stage():
    """What the daemon was at when its calls ended."""
    lines = open(LOG).read().split('\n')[:-1] if os.path.exists(LOG) else []
    journals = sum(line.startswith('renameat ') and line.endswith('/journal') for line in lines)
    if any(line.startswith('rename ') and line.endswith('/qubes.xml') for line in lines):
        return 'cleaning'
    if journals >= 2:
        return 'committing'
    last = lines[-1] if lines else ''
    if last.startswith('syncfs ') or (last.startswith('fsync ') and last.endswith('.img')):
        return 'syncing'
    if any(line.startswith('pwrite ') for line in lines):
        return 'writing'
    return 'receiving'


def names():
    document = xml.etree.ElementTree.parse(CATALOGUE)
    return {item.text for item in document.iterfind('.//domain/properties/property[@name="name"]')}


def same_file(a, b):
    with open(a, 'rb') as first, open(b, 'rb') as second:
        return first.read() == second.read()


def is_whole():
    qubes = '/var/lib/qubes/'
    for path in ('appvms/work/private.img', 'appvms/sys-net/private.img', 'vm-templates/fedora/root.img',
                 'vm-templates/fedora/private.img', 'appvms/work/firewall.xml'):
        assert same_file(ORIGINAL + qubes + path, HOST + qubes + path), path
    homes = [name for name in os.listdir(HOST + '/home/user') if name.startswith('home-restore-')]
    assert len(homes) == 1, homes
    assert same_file(ORIGINAL + '/home/user/Documents/notes.txt',
                     HOST + '/home/user/' + homes[0] + '/Documents/notes.txt')


def outcome(before, saved=None):
    """What is there after the next start: 'whole' or 'nothing'; anything else is a failed assertion."""
    there = names()
    if saved is not None:
        with open(CATALOGUE) as file:
            assert '>saver-%s<' % saved in file.read(), 'a save of the other program is lost'
    left = os.listdir(HOST + '/var/lib/qubesfs/restore') if os.path.exists(HOST + '/var/lib/qubesfs/restore') else []
    assert left == [], 'left in staging: %s' % left
    if there == NAMES:
        is_whole()
        return 'whole'
    assert there == set(), 'VMs in the catalogue: %s' % there
    after = tree()
    assert before == after, 'on the disk: %s' % sorted(set(before.items()) ^ set(after.items()))
    return 'nothing'
