"""Two editions of the programs, for tests of what happens between them: copies in a directory of
their own, one with another version written into it, or scripts around them that fail in one way."""

import shutil

import inlet

OLD, NEW = b"0.1.0", b"0.1.9"


class Programs:
    """A directory that a node is started from; install() is what an operator does."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.inlet, self.ship = directory / "inlet", directory / "inlet-ship"
        self.originals = (inlet.INLET, inlet.SHIP)

    def put(self, path, data):
        """Under a new inode: a file that runs cannot be written to."""
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.chmod(0o755)
        fresh.rename(path)

    def install(self, version=OLD, programs=("inlet", "ship")):
        for name, original in zip(("inlet", "ship"), self.originals):
            if name in programs:
                data = original.read_bytes()
                assert OLD in data
                self.put(getattr(self, name), data.replace(OLD, version))
        return self

    def wrap(self, name, version, cases):
        """A script in place of a program: does what `cases` says, else what the real one does."""
        real = self.directory / f"real-{name}"
        self.install(version)
        shutil.copy(getattr(self, name), real)
        script = f'#!/bin/sh\ncase "$*" in\n{cases}\nesac\nexec {real} "$@"\n'
        self.put(getattr(self, name), script.encode())
