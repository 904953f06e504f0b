#!/usr/bin/env python3
"""What TLS costs: Inlet with and without it, beside nginx, which terminates TLS and throws the body
away, and beside nginx in front of Inlet. Prints a table; writes build/bench/tls.json.

Servers pinned to one core, load to the other; with nginx in front both share the core. CPU is of
all processes of a server. nginx speaks the same versions and suites with the same certificate
(ECDSA P-256, and RSA 2048 for handshakes). A figure is the median of the repeats, in which the
servers take turns."""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from servers import (BUILD, DATA, FILE_BYTES, LOAD_CORE, SERVER_CORE, Shipped,  # noqa: E402
                     free_port)

SERVERS = ("inlet plain", "inlet tls", "nginx tls", "nginx tls + inlet")
SIZES = (256, 1024, 16384, 262144)
CONNECTIONS = 64
IDLE_CONNECTIONS = 10_000
KEYS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
SUITES = ("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
          "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384")
NGINX = """
worker_processes 1;
daemon off;
error_log {data}/error.log;
pid {data}/nginx.pid;
events {{ worker_connections 30000; }}
http {{
  access_log off;
  client_body_temp_path {data}/body;
  proxy_temp_path {data}/proxy;
  fastcgi_temp_path {data}/fastcgi;
  uwsgi_temp_path {data}/uwsgi;
  scgi_temp_path {data}/scgi;
  client_max_body_size 32m;
  client_body_buffer_size 512k;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  upstream inlet {{ server 127.0.0.1:{behind}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers {suites};
    ssl_prefer_server_ciphers on;
    ssl_session_tickets on;
    location / {{ {location} }}
  }}
}}
"""
THROW_AWAY = "return 200 '{\"id\":\"000000000000-000000000000\",\"bytes\":1}';"
PASS_ON = ("proxy_pass http://inlet; proxy_http_version 1.1; proxy_set_header Connection '';"
           "proxy_request_buffering off;")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def make_certificate(directory, kind):
    cert, key = directory / f"{kind}.pem", directory / f"{kind}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-keyout", key,
                    "-out", cert, "-days", "30", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


class Server:
    """One of SERVERS, running; what it consists of is in processes."""

    def __init__(self, name, pair):
        self.name, self.pair, self.port = name, pair, free_port()
        self.data = DATA / "tls" / name.replace(" ", "-")
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True)
        self.log = open(self.data / "log", "wb")
        self.processes, self.shipped = [], None
        self.has_tls = name != "inlet plain"
        if name.startswith("inlet"):
            self.start_inlet(self.port, tls=self.has_tls)
        else:
            behind = free_port()
            if name.endswith("inlet"):
                self.start_inlet(behind, tls=False)
            self.start_nginx(behind)
        self.wait()

    def spawn(self, words, **more):
        self.processes.append(subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *map(str, words)], stdout=self.log, stderr=self.log,
            stdin=subprocess.DEVNULL, env=dict(os.environ, **more)))

    def start_inlet(self, port, tls):
        secured = {"INLET_SERVER_TLS_CERT": str(self.pair[0]),
                   "INLET_SERVER_TLS_KEY": str(self.pair[1])} if tls else {}
        self.spawn([BUILD / "inlet", "serve", "--data", self.data, "--listen",
                    f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{free_port()}"],
                   INLET_SERVER_LOOPS="1", INLET_JOURNAL_MAX_BYTES=str(FILE_BYTES),
                   INLET_SERVER_MEMORY="512MiB", **secured)
        self.shipped = Shipped(self.data / "journal")

    def start_nginx(self, behind):
        config = self.data / "nginx.conf"
        config.write_text(NGINX.format(
            data=self.data, port=self.port, cert=self.pair[0], key=self.pair[1], suites=SUITES,
            behind=behind, location=PASS_ON if self.name.endswith("inlet") else THROW_AWAY))
        self.spawn([nginx(), "-p", self.data, "-c", config])

    def wait(self):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if any(each.poll() is not None for each in self.processes):
                break
            try:
                self.load(connections=1, seconds=0.1)
                return
            except RuntimeError:
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"{self.name} did not start; see {self.log.name}")

    def pids(self):
        """nginx's worker is a child."""
        found = []
        for each in self.processes:
            children = pathlib.Path(f"/proc/{each.pid}/task/{each.pid}/children").read_text()
            found += [each.pid, *map(int, children.split())]
        return found

    def cpu_s(self):
        ticks = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        kib = 0
        for pid in self.pids():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            kib += int(status.split("VmRSS:")[1].split()[0])
        return kib / 1024

    def load(self, seconds, size=1024, connections=CONNECTIONS):
        scheme = "https" if self.has_tls else "http"
        words = [BUILD / "inlet", "load", f"{scheme}://127.0.0.1:{self.port}/ingest/bench",
                 "--insecure", "--connections", connections, "--size", size, "--duration",
                 seconds, "--json", "-"]
        before = self.cpu_s()
        done = subprocess.run(["taskset", "-c", LOAD_CORE, *map(str, words)], check=False,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stderr.strip()[-500:]}")
        figures = json.loads(done.stdout)
        accepted = figures["accepted"]
        return {"rate": accepted / seconds, "cpu_us": (self.cpu_s() - before) * 1e6 / accepted,
                "p99_ms": figures["latency_us"]["p99"] / 1000}

    def shake_hands(self, seconds):
        """One full handshake after the other, without requests."""
        before = self.cpu_s()
        done = subprocess.run(
            ["taskset", "-c", LOAD_CORE, "openssl", "s_time", "-connect",
             f"127.0.0.1:{self.port}", "-new", "-time", str(max(1, round(seconds)))],
            check=True, capture_output=True, text=True)
        count, real_s = re.search(r"(\d+) connections in (\d+) real seconds", done.stdout).groups()
        return {"rate": int(count) / int(real_s),
                "cpu_us": (self.cpu_s() - before) * 1e6 / int(count)}

    def stop(self):
        if self.shipped:
            self.shipped.stop()
        for each in self.processes:
            each.terminate()
            each.wait(60)
        self.log.close()


def median(samples):
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}


def nginx():
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


def measure_requests(pair, repeats, seconds, sizes=SIZES):
    samples = {}
    names = [name for name in SERVERS if nginx() or not name.startswith("nginx")]
    if not nginx():
        say("without nginx, which is not installed (nginx-light)")
    for repeat in range(repeats):
        for name in names:
            server = Server(name, pair)
            try:
                server.load(size=262144, seconds=1)  # Every segment written once.
                for size in sizes:
                    samples.setdefault((name, size), []).append(server.load(seconds, size))
            finally:
                server.stop()
            say(f"requests {repeat + 1}/{repeats} {name}")
    return [{"server": name, "size": size, **median(values)}
            for (name, size), values in samples.items()]


def measure_handshakes(pairs, repeats, seconds):
    samples = {}
    for _ in range(repeats):
        for kind, pair in pairs.items():
            for name in ("inlet tls", "nginx tls"):
                server = Server(name, pair)
                try:
                    samples.setdefault((name, kind), []).append(server.shake_hands(seconds))
                finally:
                    server.stop()
    say("handshakes")
    return [{"server": name, "key": kind, **median(values)}
            for (name, kind), values in samples.items()]


def open_idle(server, count):
    """Connections that each did one POST and stay."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    body = b"x" * 256
    raw = (f"POST /ingest/bench HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
           .encode() + body)
    sockets = []
    for _ in range(count):
        each = socket.create_connection(("127.0.0.1", server.port), 10)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.has_tls:
            each = context.wrap_socket(each)
        each.sendall(raw)
        answer = each.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{server.name} answered {answer[:60]!r}")
        sockets.append(each)
    return sockets


def measure_idle(pair, count):
    rows = []
    for name in ("inlet plain", "inlet tls", "nginx tls"):
        server = Server(name, pair)
        try:
            before = server.memory_mib()
            sockets = open_idle(server, count)
            time.sleep(1)
            after = server.memory_mib()
            for each in sockets:
                each.close()
        finally:
            server.stop()
        rows.append({"server": name, "connections": count, "before_mib": before,
                     "after_mib": after, "each_kib": (after - before) * 1024 / count})
        say(f"idle {name}")
    return rows


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
            *("| " + " | ".join(row) + " |" for row in rows), ""]


def markdown(results):
    lines = ["## TLS", "", "TLS 1.3, AES-128-GCM. nginx alone throws the body away; Inlet and what "
             "stands before it acknowledge after the flush.", ""]
    if "requests" in results:
        found = {(row["server"], row["size"]): row for row in results["requests"]}
        for key, title, digits in (("cpu_us", "CPU per request, µs", 1),
                                   ("rate", "requests a second", 0)):
            names = list(dict.fromkeys(name for name, _ in found))
            lines += table([title, *names], [
                [f"{size:,} B", *(f"{found[name, size][key]:,.{digits}f}" for name in names)]
                for size in dict.fromkeys(size for _, size in found)])
    if "handshakes" in results:
        head = ["full handshakes, one after the other", "certificate", "a second", "CPU, µs"]
        lines += table(head, [
            [row["server"], row["key"], f"{row['rate']:,.0f}", f"{row['cpu_us']:,.0f}"]
            for row in results["handshakes"]])
    if "idle" in results:
        lines += table(["idle connections", "count", "before, MiB", "with them, MiB", "KiB each"], [
            [row["server"], f"{row['connections']:,}", f"{row['before_mib']:.1f}",
             f"{row['after_mib']:.1f}", f"{row['each_kib']:.1f}"] for row in results["idle"]])
    return "\n".join(lines)


def measure(repeats, seconds, idle_connections, parts=("requests", "handshakes", "idle"),
            sizes=SIZES):
    directory = DATA / "tls"
    directory.mkdir(parents=True, exist_ok=True)
    pairs = {kind: make_certificate(directory, kind) for kind in KEYS}
    results = {}
    if "requests" in parts:
        results["requests"] = measure_requests(pairs["ecdsa"], repeats, seconds, sizes)
    if "handshakes" in parts:
        results["handshakes"] = measure_handshakes(pairs, repeats, seconds)
    if "idle" in parts:
        results["idle"] = measure_idle(pairs["ecdsa"], idle_connections)
    shutil.rmtree(directory, ignore_errors=True)
    return results


def measure_part(plan):
    """As a part of the whole bench: requests only, of the sizes that tell."""
    return measure(plan.repeats, plan.cell_seconds, 0, ("requests",), (1024, 262144))


PARTS = {"tls": measure_part}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every piece once and briefly")
    parser.add_argument("--only", help="of requests,handshakes,idle, by commas")
    options = parser.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts = options.only.split(",") if options.only else ("requests", "handshakes", "idle")
    results = measure(1 if options.quick else 5, 1 if options.quick else 3,
                      500 if options.quick else min(IDLE_CONNECTIONS, hard - 500), parts)
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "tls.json").write_text(json.dumps(results, indent=1))
    print(markdown(results))


if __name__ == "__main__":
    main()
