"""A terminal for programs that draw on one: a pseudo-terminal, and pyte to know what it shows."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

import inlet

# pyte knows all that this terminal is told.
KIND = "linux"
ESCAPE, ENTER, TAB, UP, DOWN = "\x1b", "\r", "\t", "\x1b[A", "\x1b[B"
PATIENCE_S = 10
PAUSE_S = 0.02  # Nothing for so long: what was being drawn is there.


def set_size(descriptor, rows, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """`inlet WORDS` on a terminal of its own."""

    def __init__(self, *words, rows=24, columns=80, environment=None):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.ours, theirs = os.openpty()
        set_size(theirs, rows, columns)
        more = {"TERM": KIND, **(environment or {})}
        self.process = subprocess.Popen(
            [str(inlet.INLET), *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs,
            env=inlet.environment(**more), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.ours)

    def pump(self, wait_s):
        """Takes what was written, waiting for some, up to a pause, so that a page is seen whole;
        False once the program let go of it."""
        while select.select([self.ours], [], [], wait_s)[0]:
            try:
                data = os.read(self.ours, 65536)
            except OSError:  # EIO: nobody has the other end.
                return False
            if not data:
                return False
            self.stream.feed(data)
            wait_s = PAUSE_S
        return True

    def press(self, keys):
        os.write(self.ours, keys.encode())

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        set_size(self.ours, rows, columns)

    @property
    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self):
        return "\n".join(self.lines)

    def line_of(self, start):
        """The line that begins so; None: there is none."""
        return next((line for line in self.lines if line.startswith(start)), None)

    def looks_of(self, start, words):
        """The character at the beginning of the words, on the line that begins so, as drawn."""
        row = self.lines.index(self.line_of(start))
        return self.screen.buffer[row][self.lines[row].index(words)]

    def wait(self, predicate, what, timeout_s=PATIENCE_S):
        """Waits until the screen satisfies; returns what the predicate said."""
        deadline = time.monotonic() + timeout_s
        while True:
            said = predicate()
            if said:
                return said
            if time.monotonic() > deadline or not self.pump(0.1):
                raise AssertionError(f"not within {timeout_s} s: {what}; the screen:\n{self.text}")

    def wait_text(self, text, timeout_s=PATIENCE_S):
        return self.wait(lambda: text in self.text, f"{text!r} is shown", timeout_s)

    def wait_gone(self, text, timeout_s=PATIENCE_S):
        return self.wait(lambda: text not in self.text, f"{text!r} is gone", timeout_s)

    def end(self, timeout_s=PATIENCE_S):
        """Waits for the program to end by itself; returns its exit code."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < deadline:
            self.pump(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(0.1)
            self.pump(0)  # Its last words.
            return code
        raise AssertionError(f"it still runs; the screen:\n{self.text}")
