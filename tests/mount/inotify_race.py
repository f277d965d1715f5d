# SPDX-License-Identifier: GPL-2.0-or-later
import errno, os, re, sys, threading, time
sys.path.insert(0, sys.argv[1])
from inotify import Inotify

mount, store = sys.argv[2:]
vms = mount + "/vms"
new, newer = vms + "/new", vms + "/newer"
ending = threading.Event()
problems = []
REFUSED = {errno.EPERM, errno.EACCES, errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR,
           errno.EISDIR, errno.EBUSY, errno.EINVAL}
ATTEMPTS = [
    lambda: os.mkdir(new),
    lambda: os.mkdir(newer),
    lambda: os.rmdir(new),
    lambda: os.rmdir(newer),
    lambda: os.rename(new, vms + "/no such/new"),
    lambda: os.rename(newer, new + "/newer"),
    lambda: os.rename(vms + "/dom0", new),
    lambda: os.mknod(new + "/file"),
    lambda: os.unlink(new + "/state"),
    lambda: os.rmdir(new + "/prefs"),
    lambda: os.unlink(new + "/prefs/label"),
    lambda: os.link(new + "/state", new + "/link"),
    lambda: os.symlink("state", new + "/link"),
    lambda: os.chmod(new + "/state", 0o777),
    lambda: os.truncate(new + "/state", 0),
    lambda: os.utime(new + "/state"),
    lambda: os.close(os.open(new + "/state", os.O_WRONLY)),
    lambda: os.close(os.open(new + "/made", os.O_CREAT | os.O_WRONLY)),
]
tried = [0] * len(ATTEMPTS)


def attempt(start):
    place = start
    while not ending.is_set():
        place = (place + 1) % len(ATTEMPTS)
        tried[place] += 1
        try:
            ATTEMPTS[place]()
            problems.append(f"attempt {place} succeeded")
            return
        except OSError as error:
            if error.errno not in REFUSED:
                problems.append(f"attempt {place}: {error}")


counts = {}


def follow():
    watch = Inotify()
    watch.watch(vms, "vms")
    started.set()
    while not ending.is_set() or time.monotonic() < limit:
        for label, what, name, cookie in watch.read(0.2):
            counts[what, name] = counts.get((what, name), 0) + 1


template = open(store).read()
element = re.search(r"  <QubesAppVm [^>]*name=\"personal\"[^>]*/>\n", template).group(0)
serial = 0


def with_vm(name):
    vm = (element.replace('name="personal"', f'name="{name}"')
          .replace('qid="4"', f'qid="{100 + serial}"').replace("2a04", f"{serial:04x}"))
    return template.replace("</QubesVmCollection>", vm + "</QubesVmCollection>")


def save(text):
    with open(store + ".new", "w") as file:
        file.write(text)
    os.rename(store + ".new", store)


def wait_for(path, there):
    end = time.monotonic() + 10
    while os.path.exists(path) != there:
        if time.monotonic() > end:
            raise SystemExit(f"{path} is {'not ' if there else 'still '}there")
        time.sleep(0.001)


started = threading.Event()
limit = time.monotonic() + 12
threads = [threading.Thread(target=attempt, args=(3 * i,)) for i in range(6)]
threads.append(threading.Thread(target=follow))
for thread in threads:
    thread.start()
started.wait()
rounds = 0
end = time.monotonic() + 10
while time.monotonic() < end and not problems:
    serial += 1
    rounds += 1
    save(with_vm("new"))
    wait_for(new, True)
    if rounds % 2:
        save(with_vm("newer"))
        wait_for(newer, True)
        wait_for(new, False)
    save(template)
    wait_for(new, False)
    wait_for(newer, False)
limit = time.monotonic() + 1
ending.set()
for thread in threads:
    thread.join()
print(rounds, "rounds", sum(tried), "attempts", counts)
if problems:
    raise SystemExit("\n".join(problems))
odd = (rounds + 1) // 2
expected = {("CREATE|ISDIR", "new"): rounds, ("MOVED_FROM|ISDIR", "new"): odd,
            ("MOVED_TO|ISDIR", "newer"): odd, ("DELETE|ISDIR", "newer"): odd,
            ("DELETE|ISDIR", "new"): rounds - odd}
counts = {key: count for key, count in counts.items() if count}
if counts != {key: count for key, count in expected.items() if count}:
    raise SystemExit(f"told: {counts}, expected {expected}")
if sorted(os.listdir(vms)) != ["dom0", "fedora-23", "personal", "sys-firewall", "work"]:
    raise SystemExit(f"at the end: {os.listdir(vms)}")
