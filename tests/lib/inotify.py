# SPDX-License-Identifier: GPL-2.0-or-later
"""inotify by ctypes, for tests in Python:  sys.path.insert(0, LIB); from inotify import Inotify

An event is a tuple (label, words, name, cookie); words as "MODIFY" or "CREATE|ISDIR".
"""
import ctypes
import os
import select
import struct
import time

WORDS = {
    0x1: "ACCESS", 0x2: "MODIFY", 0x4: "ATTRIB", 0x8: "CLOSE_WRITE", 0x10: "CLOSE_NOWRITE",
    0x20: "OPEN", 0x40: "MOVED_FROM", 0x80: "MOVED_TO", 0x100: "CREATE", 0x200: "DELETE",
    0x400: "DELETE_SELF", 0x800: "MOVE_SELF", 0x2000: "UNMOUNT", 0x4000: "Q_OVERFLOW",
    0x8000: "IGNORED", 0x40000000: "ISDIR",
}
ALL = 0xfff
READERS = 0x1 | 0x10 | 0x20  # what reading makes
CHANGES = ALL & ~READERS

libc = ctypes.CDLL(None, use_errno=True)


def failed(path):
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def words(mask):
    return "|".join(word for bit, word in WORDS.items() if mask & bit)


class Inotify:
    def __init__(self):
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise failed("inotify")
        self.labels = {}

    def fileno(self):
        return self.fd

    def watch(self, path, label=None, mask=CHANGES):
        """The events of `path` are told under the label (or the path)."""
        number = libc.inotify_add_watch(self.fd, os.fsencode(path), mask)
        if number < 0:
            raise failed(path)
        self.labels[number] = label if label is not None else path
        return number

    def read(self, seconds):
        """What is there, or comes first within so many seconds."""
        events = []
        if select.select([self.fd], [], [], seconds)[0]:
            data = os.read(self.fd, 1 << 16)
            place = 0
            while place < len(data):
                number, mask, cookie, length = struct.unpack_from("iIII", data, place)
                place += 16
                name = data[place:place + length].rstrip(b"\0").decode()
                place += length
                events.append((self.labels.get(number), words(mask), name, cookie))
        return events

    def settle(self, quiet=0.5, seconds=10):
        """All events until there is none for `quiet` seconds."""
        events, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            more = self.read(quiet)
            if not more:
                return events
            events += more
        raise SystemExit(f"events without an end: {events[-10:]}")

    def until(self, wanted, seconds=5):
        """All events until one is `wanted(event)`."""
        events, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            events += self.read(end - time.monotonic())
            if any(wanted(event) for event in events):
                return events
        raise SystemExit(f"what was waited for is not among: {lines(events)}")


def lines(events):
    """For comparing: "label WORDS name", without what ends a watch."""
    return [" ".join(part for part in (label, what, name) if part)
            for label, what, name, cookie in events if what != "IGNORED"]
