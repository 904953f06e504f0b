"""Certificates made by the openssl command, and a Wire inside TLS."""

import os
import socket
import ssl
import subprocess

from wire import PATIENCE_S, Wire

# Its certificates cannot be revoked, but say where that would be told.
LEAF = """basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
crlDistributionPoints = URI:http://localhost/ca.crl
"""


def openssl(*words, **more):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True,
                          timeout=60, **more)


class Authority:
    """A CA in a directory; issues pairs NAME.pem and NAME.key."""

    def __init__(self, directory, name="ca"):
        self.directory, self.name, self.issued = directory, name, 0
        directory.mkdir(exist_ok=True)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.path("key"), "-out", self.path("pem"), "-days", 30, "-subj",
                f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")

    def path(self, suffix):
        return self.directory / f"{self.name}.{suffix}"

    @property
    def certificate(self):
        return self.path("pem")

    def issue(self, name, days=90):
        """The paths of certificate and key. An existing pair is replaced, a file at a time."""
        self.issued += 1
        new = self.directory / f"{name}.new"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                f"{new}.key", "-out", f"{new}.csr", "-subj", f"/CN={name}")
        (self.directory / "leaf.ext").write_text(LEAF)
        openssl("x509", "-req", "-in", f"{new}.csr", "-CA", self.path("pem"), "-CAkey",
                self.path("key"), "-set_serial", self.issued, "-days", days, "-out", f"{new}.pem",
                "-extfile", self.directory / "leaf.ext")
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        os.rename(f"{new}.pem", cert)
        os.rename(f"{new}.key", key)
        return cert, key


def client_context(authority, pair=None, version=None):
    """Verifies the server; `version` alone, or any."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if pair:
        context.load_cert_chain(*pair)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class SecureWire(Wire):
    """`before` is sent ahead of the handshake."""

    def __init__(self, address, context, timeout_s=PATIENCE_S, session=None, before=b""):
        super().__init__(address, timeout_s)
        if before:
            self.socket.sendall(before)
        self.plain = self.socket
        self.socket = context.wrap_socket(self.plain, server_hostname="localhost",
                                          session=session, suppress_ragged_eofs=False)

    def cut(self):
        """Ends the connection without saying so inside TLS."""
        socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def serial(self):
        """Of the server's certificate."""
        return int(self.socket.getpeercert()["serialNumber"], 16)


def secure_post(address, context, stream, body=b"", *headers):
    with SecureWire(address, context) as wire:
        return wire.post(stream, body, *headers)
