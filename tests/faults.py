"""Faults from outside: small disks of our own, and system calls that fail or wait.

Needs root, loop devices and ptrace, as CI has them; where they are missing a test fails and says
so."""

import contextlib
import os
import re
import signal
import subprocess

from wire import wait_until


def must(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, \
        f"this test needs root and loop devices; {' '.join(map(str, words))}: {done.stderr}"
    return done.stdout.strip()


class Disk:
    """A file system of its own, mounted at `path`."""

    def __init__(self, path, mib, options="errors=remount-ro"):
        self.path, self.image, self.options = path, path.with_suffix(".img"), options
        self.path.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(mib << 20)
        must("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0", self.image)
        self.mount()

    def mount(self):
        must("mount", "-o", f"loop,{self.options}", self.image, self.path)
        self.device = must("findmnt", "-no", "SOURCE", self.path)

    def unmount(self):
        must("umount", self.path)

    def repair(self):
        done = subprocess.run(["e2fsck", "-fy", self.image], capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stdout

    def free_bytes(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    @contextlib.contextmanager
    def frozen(self):
        """Whoever writes waits, as on a disk that does not answer."""
        must("fsfreeze", "-f", self.path)
        try:
            yield
        finally:
            must("fsfreeze", "-u", self.path)


@contextlib.contextmanager
def disk(path, mib, **more):
    made = Disk(path, mib, **more)
    try:
        yield made
    finally:
        # After a failure a node may still use it: it goes when the node does.
        subprocess.run(["umount", "-l", path], capture_output=True, check=False)


@contextlib.contextmanager
def failing(pid, *injections):
    """Every thread of a process meets these injections, as strace spells them, for a while."""
    calls = ",".join(i.split(":")[0] for i in injections)
    words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    for injection in injections:
        words += ["-e", f"inject={injection}"]
    tracer = subprocess.Popen([*words, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: all_traced(pid) or tracer.poll() is not None, "strace is attached")
        assert tracer.poll() is None, f"this test needs ptrace: {tracer.stderr.read()}"
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)


def all_traced(pid):
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as status:
            if re.search(r"TracerPid:\s+0\b", status.read()):
                return False
    return True
