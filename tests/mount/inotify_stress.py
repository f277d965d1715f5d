# SPDX-License-Identifier: GPL-2.0-or-later
import os, random, subprocess, sys, threading, time, uuid
import xml.etree.ElementTree as ET
sys.path.insert(0, sys.argv[1])
from inotify import Inotify

mount, store, seconds = sys.argv[2], sys.argv[3], float(sys.argv[4])
vms = mount + "/vms"
seed = random.randrange(1 << 32)
print("seed", seed)
chance = random.Random(seed)
ending = threading.Event()
problems = []


class Catalogue:
    """Rewritten as Qubes does it: a new file takes the old one's place."""

    def __init__(self):
        self.root = ET.parse(store).getroot()
        self.fixed = {element.get("name") for element in self.root}
        self.model = next(e for e in self.root if e.get("name") == "personal")
        self.qid = 100

    def mine(self):
        return [e for e in self.root if e.get("name") not in self.fixed]

    def add(self, name):
        self.qid += 1
        element = ET.SubElement(self.root, "QubesAppVm", dict(self.model.attrib))
        element.set("name", name)
        element.set("qid", str(self.qid))
        element.set("uuid", str(uuid.UUID(int=chance.getrandbits(128))))
        element.set("dir_path", "/var/lib/qubes/appvms/" + name)

    def save(self):
        with open(store + ".new", "wb") as new:
            new.write(ET.tostring(self.root))
        os.rename(store + ".new", store)

    def change(self):
        for i in range(chance.choice((1, 1, 1, 2, 3, 6))):
            mine, what = self.mine(), chance.random()
            names = {e.get("name") for e in mine}
            free = [f"vm{i}" for i in range(40) if f"vm{i}" not in names]
            if len(mine) < 25 and what < 0.3 and free:
                self.add(chance.choice(free))
            elif not mine:
                continue
            elif what < 0.45 and len(mine) > 15:
                self.root.remove(chance.choice(mine))
            elif what < 0.6 and free:
                chance.choice(mine).set("name", chance.choice(free))
            elif what < 0.7 and len(mine) > 1:
                one, other = chance.sample(mine, 2)
                name = one.get("name")
                one.set("name", other.get("name"))
                other.set("name", name)
            elif what < 0.75:   # removed and made anew
                element = chance.choice(mine)
                self.root.remove(element)
                self.add(element.get("name"))
            elif what < 0.85:
                element = chance.choice(mine)
                services = {f"s{i}": True for i in range(4) if chance.random() < 0.5}
                element.set("services", str(services))
            else:
                chance.choice(mine).set("label", chance.choice(("red", "green", "blue", "gray")))
        self.save()


class Shadow:
    """vms/ as the events tell it: name -> files known in services/, and label."""

    def __init__(self):
        self.watch = Inotify()
        self.moved = {}             # cookie -> a directory on its way
        self.names = {}             # name -> identity of a directory (its watch)
        self.watched = {}           # watch -> ("vm" | "services" | "label", directory)
        self.services = {}          # directory -> names
        self.displaced = {}         # name -> a directory whose name was taken in an exchange
        self.top = self.watch.watch(vms, "top")
        for name in os.listdir(vms):
            self.appeared(name)

    def appeared(self, name):
        """A new directory: what is in it was perhaps there before the watch, so it is listed."""
        identity = object()
        self.names[name] = identity
        self.services[identity] = set()
        try:
            self.watch.watch(f"{vms}/{name}/services", ("services", identity))
            self.services[identity] = set(os.listdir(f"{vms}/{name}/services"))
        except FileNotFoundError:
            pass    # gone or renamed already: told next
        except OSError as error:
            problems.append(f"watch {name}: {error}")

    def take(self, events):
        for label, what, name, cookie in events:
            if "Q_OVERFLOW" in what:
                problems.append("overflow")
            elif label == "top":
                self.top_event(what, name, cookie)
            elif isinstance(label, tuple):
                known = self.services[label[1]]
                if what == "CREATE":
                    known.add(name)
                elif what == "DELETE":
                    known.discard(name)

    def top_event(self, what, name, cookie):
        if what == "CREATE|ISDIR":
            if name in self.names:
                problems.append(f"{name} is created though it is there")
            self.appeared(name)
        elif what == "DELETE|ISDIR":
            if self.names.pop(name, None) is None:
                problems.append(f"{name} is deleted though it is not there")
        elif what == "MOVED_FROM|ISDIR":
            # in an exchange the second half's directory was displaced by the first
            identity = self.displaced.pop(name, None) or self.names.pop(name, None)
            if identity is None:
                problems.append(f"{name} is moved though it is not there")
            self.moved[cookie] = identity
        elif what == "MOVED_TO|ISDIR":
            if name in self.names:
                self.displaced[name] = self.names[name]
            self.names[name] = self.moved.pop(cookie)

    def run(self):
        while not ending.is_set():
            self.take(self.watch.read(0.1))
        self.take(self.watch.settle(1.5, 30))


def commands(number):
    mine = random.Random(number)
    while not ending.is_set():
        name = mine.choice(os.listdir(vms))
        try:
            with open(f"{vms}/{name}/control", "w") as file:
                file.write(mine.choice(("start", "kill", "pause", "unpause", "restart", "refresh")))
        except OSError:
            pass


def reads():
    """Readers, and watchers that come and go."""
    states = {"Halted", "Running", "Paused", "Transient", "Halting", "Suspended", "Dying"}
    while not ending.is_set():
        watch = Inotify()
        for name in os.listdir(vms):
            directory = f"{vms}/{name}"
            try:
                watch.watch(directory)
                watch.watch(directory + "/prefs")
                watch.watch(directory + "/state")
                with open(directory + "/state") as file:
                    state = file.read().strip()
                if state not in states:
                    problems.append(f"state of {name} is {state!r}")
                for entry in os.scandir(directory):
                    entry.stat()
                os.listdir(directory + "/prefs")
            except FileNotFoundError:
                pass
            except OSError as error:
                problems.append(f"{name}: {error}")
        watch.read(0)
        os.close(watch.fd)


def listing():
    """What the mount shows now."""
    return {name: (open(f"{vms}/{name}/prefs/label").read().strip(),
                   frozenset(os.listdir(f"{vms}/{name}/services")))
            for name in os.listdir(vms)}


catalogue = Catalogue()
for i in range(20):
    catalogue.add(f"vm{i}")
catalogue.save()
while len(os.listdir(vms)) < 25:
    time.sleep(0.01)
shadow = Shadow()
threads = [threading.Thread(target=shadow.run), threading.Thread(target=reads),
           *(threading.Thread(target=commands, args=(i,)) for i in range(3))]
for thread in threads:
    thread.start()
end = time.monotonic() + seconds
changes = 0
while time.monotonic() < end and not problems:
    catalogue.change()
    changes += 1
    time.sleep(chance.choice((0, 0.001, 0.01, 0.1)))
# the last one is told too
last = next(e for e in catalogue.root if e.get("name") == "work")
last.set("label", "orange")
catalogue.save()
wanted = {e.get("name"): (e.get("label"), frozenset(eval(e.get("services", "{}"))))
          for e in catalogue.root}
limit = time.monotonic() + 30
while time.monotonic() < limit:
    try:
        now = listing()
    except OSError:
        now = None
    if now == wanted:
        break
    time.sleep(0.1)
ending.set()
for thread in threads:
    thread.join()
print(changes, "changes")
now = listing()
for name in sorted(set(now) | set(wanted)):
    if now.get(name) != wanted.get(name):
        problems.append(f"{name}: the mount has {now.get(name)}, the catalogue {wanted.get(name)}")
if sorted(shadow.names) != sorted(wanted):
    problems.append(f"names by events {sorted(shadow.names)}, in the catalogue {sorted(wanted)}")
for name, identity in shadow.names.items():
    if name in wanted and shadow.services[identity] != wanted[name][1]:
        problems.append(f"services of {name} by events: {shadow.services[identity]}, "
                        f"in the catalogue {wanted[name][1]}")
if problems:
    raise SystemExit("\n".join(problems[:20]))
