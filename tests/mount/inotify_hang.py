# SPDX-License-Identifier: GPL-2.0-or-later
import errno, os, signal, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from inotify import Inotify, lines

library, mount, store, hangs, daemon = sys.argv[1:]
vms = mount + "/vms"
WRITER = """
import errno, os, signal, sys
signal.signal(signal.SIGUSR1, lambda *ignored: (_ for _ in ()).throw(InterruptedError(4, "")))
fd = os.open(sys.argv[1], os.O_WRONLY)
print("open", flush=True)
try:
    os.write(fd, sys.argv[2].encode())
    print("OK")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def catalogue(*words):
    subprocess.run([library + "/catalogue", store, *words], check=True)


def write(name, command):
    with open(f"{vms}/{name}/control", "w") as file:
        file.write(command)


def writer(name, command):
    """A process in that write, by now."""
    process = subprocess.Popen([sys.executable, "-IB", "-c", WRITER, f"{vms}/{name}/control", command],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    time.sleep(0.3)
    assert process.poll() is None, "the write did not wait"
    return process


def answer(process, seconds=5):
    return process.communicate(timeout=seconds)[0].strip()


def same(what, expected, actual):
    if expected != actual:
        raise SystemExit(f"{what}: expected {expected}, but it is {actual}")


def hang(on):
    if on:
        open(hangs, "w").close()
    else:
        os.unlink(hangs)


def everything_goes_on(what):
    """Twenty processes look at all there is; the other VM is commanded, and told."""
    watch = Inotify()
    watch.watch(f"{vms}/personal/state", "state")
    watch.watch(vms, "vms")
    lookers = [subprocess.Popen(
        ["sh", "-c", 'ls -lR "$1" && cat "$1"/*/state "$1"/*/control && stat "$1"/*/*', "sh", vms],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for i in range(20)]
    write("personal", "unpause" if state("personal") == "Paused" else "start")
    watch.until(lambda event: event[:2] == ("state", "CLOSE_WRITE"))
    write("personal", "kill")
    watch.until(lambda event: event[:2] == ("state", "CLOSE_WRITE"))
    catalogue("add", "brief")
    watch.until(lambda event: event[1:3] == ("CREATE|ISDIR", "brief"))
    catalogue("remove", "brief")
    watch.until(lambda event: event[1:3] == ("DELETE|ISDIR", "brief"))
    for looker in lookers:
        words = looker.communicate(timeout=20)[1].decode()
        # what was in the listing and has gone since
        rest = [line for line in words.splitlines() if "brief" not in line]
        same(f"{what}: a looker's words", [], rest)


def state(name):
    with open(f"{vms}/{name}/state") as file:
        return file.read().strip()


def wait_for(name, wanted):
    end = time.monotonic() + 10
    while state(name) != wanted:
        assert time.monotonic() < end, f"{name} is not {wanted}"
        time.sleep(0.01)


def main():
    write("work", "start")

    # by a signal, and by SIGKILL at once; the command goes on, and the repeated one joins it
    hang(True)
    first, second, third = (writer("work", "shutdown") for i in range(3))
    first.send_signal(signal.SIGUSR1)
    same("a signal", "EINTR", answer(first))
    second.kill()
    second.wait(timeout=5)
    everything_goes_on("a writer waits")
    same("the state meanwhile", "Running", state("work"))
    hang(False)
    same("the one who joined", "OK", answer(third))
    wait_for("work", "Halted")
    # one command and no more: a second one would have found it halted, and said so
    same("error", "", open(f"{vms}/work/error").read())

    # its VM is removed
    catalogue("add", "doomed")
    while not os.path.exists(f"{vms}/doomed"):
        time.sleep(0.01)
    write("doomed", "start")
    watch = Inotify()
    watch.watch(f"{vms}/doomed/control", "control")
    watch.watch(f"{vms}/doomed", "doomed")
    watch.watch(vms, "vms")
    hang(True)
    waiting = [writer("doomed", "shutdown wait 30"), writer("doomed", "pause")]
    catalogue("remove", "doomed")
    # the second one waited in the kernel for the first one's end, and then found the VM gone
    same("removed", ["EINPROGRESS", "ENOENT"], sorted(answer(process) for process in waiting))
    events = lines(watch.until(lambda event: event[1:3] == ("DELETE|ISDIR", "doomed")))
    assert "control DELETE_SELF" in events and "doomed DELETE control" in events, events
    everything_goes_on("after the removal")
    hang(False)

    # after 15 s
    write("work", "start")
    hang(True)
    began = time.monotonic()
    late = writer("work", "pause")
    everything_goes_on("before 15 s")
    same("the clock", "EINPROGRESS", answer(late, 30))
    took = time.monotonic() - began
    assert took > 14, f"answered after {took} s"
    everything_goes_on("after 15 s")
    again = writer("work", "pause")
    hang(False)
    same("repeated", "OK", answer(again))
    wait_for("work", "Paused")

    # the daemon's end
    write("work", "unpause")
    hang(True)
    last = writer("work", "shutdown")
    os.kill(int(daemon), signal.SIGTERM)
    assert answer(last, 10) != "OK"


main()
