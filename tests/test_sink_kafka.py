"""Goal: with the `kafka` sink every record that was answered 2xx is in its topic as it was sent, in
the order of its stream, whatever brokers and shippers go through; transactions show it once.
Method: real nodes against real brokers (kafka_cluster.py), records remembered by the ids they were
answered with, topics read back by a client nobody here wrote."""

import base64
import contextlib
import gzip
import json
import random
import signal
import subprocess
import threading
import time

import pytest
from kafka.admin import (KafkaAdminClient, NewTopic, ScramMechanism,
                         UserScramCredentialUpsertion)

import inlet
from conftest import directory
from kafka_cluster import Cluster, header
from wire import Wire, request, wait_until

DELIVERY_S = 90
SECRET = "correct-horse-battery"
# For what piles up while a sink has no shipper or no broker.
ROOMY = {"journal": {"max_bytes": "768MiB"}}


@pytest.fixture(scope="module")
def kafka():
    """One broker for all tests that leave it alone."""
    with directory() as path, Cluster(path / "kafka") as cluster:
        yield cluster.start()


def settings(cluster, topic, node=None, **more):
    """A node whose sink `bus` writes to topics that begin so. `node`: other sections."""
    return {"sinks.bus": {"type": "kafka", "brokers": cluster.addresses, "timeout": "30s",
                          "topic": f"{topic}.{{stream}}", **more}, **(node or {})}


def status(node):
    """What the shipper of `bus` said last, or nothing."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((node.data / "journal/cursors/bus.status").read_text())
    return {}


def wait_delivered(node, count, timeout_s=DELIVERY_S):
    def dealt_with():
        said = status(node)
        return said.get("delivered_records", 0) + said.get("dead_records", 0) >= count
    try:
        wait_until(dealt_with, f"{count} records went through the sink", timeout_s, 0.1)
    except AssertionError as error:
        raise AssertionError(f"{error}; the shipper says {status(node)}") from None


class Sent:
    """Records by the ids they were answered with, per stream in order of acceptance."""

    def __init__(self):
        self.streams = {}

    @property
    def count(self):
        return sum(len(records) for records in self.streams.values())

    def post(self, node, stream, *bodies, headers=()):
        """Sends them one behind the other over one connection."""
        with Wire(node.address, 30) as wire:
            for body in bodies:
                wire.send(request(stream, body, *headers))
            for body in bodies:
                answer = wire.read()
                assert answer.status == 200, answer
                self.streams.setdefault(stream, []).append((answer.json()["id"], body))
        return self

    def numbers(self, node, stream, count, size=200):
        for start in range(0, count, 200):
            self.post(node, stream, *(b"%06d" % (start + i) + b"x" * (size - 6)
                                      for i in range(min(200, count - start))))
        return self

    def check(self, cluster, topic, duplicates_max=0, but=()):
        """Everything is there with its body, in order of its stream. Returns the duplicates."""
        duplicates = 0
        for stream, records in self.streams.items():
            seen = {}
            for message in cluster.read(f"{topic}.{stream}"):
                number = header(message, "inlet-id")
                if number in seen:
                    duplicates += 1
                    assert seen[number] == message.value
                else:
                    seen[number] = message.value
            wanted = [record for record in records if record[0] not in but]
            missing = [number for number, _ in wanted if number not in seen]
            assert not missing, f"{stream}: {len(missing)} missing, first {missing[:3]}"
            assert list(seen.items()) == wanted, f"{stream}: another order, or other bodies"
        assert duplicates <= duplicates_max
        return duplicates


class Feeder(threading.Thread):
    """Posts to one stream until told to stop."""

    def __init__(self, node, stream, sent):
        super().__init__(daemon=True)
        self.node, self.stream, self.sent = node, stream, sent
        self.stopping = threading.Event()
        self.error = None

    def run(self):
        number = 0
        try:
            while not self.stopping.is_set():
                bodies = [b"%s-%d" % (self.stream.encode(), number + i) for i in range(20)]
                number += len(bodies)
                self.sent.post(self.node, self.stream, *bodies)
                time.sleep(0.05)  # Several hundred a second are enough.
        except Exception as error:  # For the test's own thread.
            self.error = error


@contextlib.contextmanager
def feeding(node, sent, *streams):
    feeders = [Feeder(node, stream, sent) for stream in streams]
    for feeder in feeders:
        feeder.start()
    try:
        yield
    finally:
        for feeder in feeders:
            feeder.stopping.set()
        for feeder in feeders:
            feeder.join(60)
    for feeder in feeders:
        assert feeder.error is None, feeder.error


def create_topic(cluster, name, **config):
    admin = KafkaAdminClient(bootstrap_servers=cluster.addresses.split(","), **cluster.client)
    try:
        admin.create_topics([NewTopic(name, num_partitions=1, topic_configs=config)])
    finally:
        admin.close()


# ---- What arrives.

def test_bodies_of_all_kinds_come_back_as_they_were_sent(kafka, make_node):
    big = random.Random(1).randbytes(10 << 20)
    node = make_node(settings(kafka, "kinds", message_bytes=11_000_000, node={
        "server": {"max_body": "11MiB"}, "journal": {"segment_bytes": "32MiB",
                                                     "max_bytes": "256MiB"}})).start()
    sent = Sent()
    sent.post(node, "json", b'{"a":1}', headers=["Content-Type: application/json",
                                                 "Idempotency-Key: \"k-1\""])
    sent.post(node, "zipped", gzip.compress(b'{"a":1}\n{"a":2}\n'),
              headers=["Content-Type: application/x-ndjson", "Content-Encoding: gzip"])
    sent.post(node, "opaque", bytes(range(256)), b"", b"\n", b"\0")
    sent.post(node, "big", big)
    wait_delivered(node, sent.count)
    sent.check(kafka, "kinds")
    message, = kafka.read("kinds.json")
    said = {name: value.decode() for name, value in message.headers}
    assert said.pop("peer").startswith("127.0.0.1")
    assert said.pop("inlet-received-at").endswith("Z")
    tenant = said.pop("inlet-tenant")
    said.pop("trace", None)
    assert said == {"inlet-id": sent.streams["json"][0][0], "inlet-stream": "json",
                    "content-type": "application/json", "idempotency-key": '"k-1"'}
    assert message.key.decode() == f"{tenant}/json"
    zipped, = kafka.read("kinds.zipped")
    assert header(zipped, "content-encoding") == "gzip"


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_reads_back(kafka, make_node, compression):
    topic = f"packed-{compression}"
    node = make_node(settings(kafka, topic, compression=compression)).start()
    sent = Sent().numbers(node, "web", 500)
    wait_delivered(node, sent.count)
    sent.check(kafka, topic)


def test_events_are_messages_of_their_own(kafka, make_node):
    node = make_node(settings(kafka, "events", events="event")).start()
    lines = b"".join(b'{"n":%d}\n' % i for i in range(3000))
    sent = Sent()
    sent.post(node, "web", lines, headers=["Content-Type: application/x-ndjson"])
    sent.post(node, "web", b"[4,5]", headers=["Content-Type: application/json"])
    sent.post(node, "web", b"text", b"\xff\xfe")
    wait_delivered(node, sent.count)
    (first, _), (second, _), (third, _), (fourth, _) = sent.streams["web"]
    messages = kafka.read("events.web")
    events = [json.loads(message.value) for message in messages]
    assert [event["id"] for event in events] == \
        [f"{first}.{i}" for i in range(3000)] + [f"{second}.0", f"{second}.1", third, fourth]
    assert [header(message, "inlet-id") for message in messages] == [e["id"] for e in events]
    assert events[2999]["data"] == {"n": 2999}
    assert events[3001]["data"] == 5
    assert events[3002]["text"] == "text"
    assert base64.b64decode(events[3003]["base64"]) == b"\xff\xfe"


def test_partitions_follow_tenant_and_stream_or_the_id(kafka, make_node):
    used = {}
    for key in ("stream", "none", "id"):
        node = make_node(settings(kafka, f"key-{key}", key=key)).start()
        sent = Sent().numbers(node, "web", 300)
        wait_delivered(node, sent.count)
        messages = kafka.read(f"key-{key}.web")
        assert len(messages) == 300
        used[key] = {message.partition for message in messages}
        assert all((message.key is None) == (key == "none") for message in messages)
        if key != "id":
            sent.check(kafka, f"key-{key}")
        node.stop()
    assert len(used["stream"]) == 1 and used["none"] == used["stream"]
    assert len(used["id"]) == 3


def test_what_is_too_large_goes_to_the_dead_letters(kafka, make_node):
    # Over our limit in one topic; over the broker's, which we do not know, in the other.
    create_topic(kafka, "large.small-topic", **{"max.message.bytes": "20000"})
    node = make_node(settings(kafka, "large", message_bytes=100_000, compression="none")).start()
    sent = Sent()
    for stream, size in (("web", 150_000), ("small-topic", 30_000)):
        sent.numbers(node, stream, 100)
        sent.post(node, stream, b"y" * size)
        sent.numbers(node, stream, 100)
        sent.post(node, stream, b"z" * size)
        sent.numbers(node, stream, 100)
    wait_delivered(node, sent.count)
    dead = [json.loads(line) for path in sorted((node.data / "dead/bus").glob("*.ndjson"))
            for line in path.read_text().splitlines()]
    wanted = [number for stream in ("web", "small-topic")
              for number, body in sent.streams[stream] if body[:1] in b"yz"]
    assert sorted(letter["id"] for letter in dead) == sorted(wanted)
    for letter in dead:
        words = "message_bytes" if letter["stream"] == "web" else "Kafka refused"
        assert words in letter["reason"], letter["reason"]
    sent.check(kafka, "large", but=wanted)


# ---- What brokers go through.

def test_a_broker_that_is_not_there_at_the_start_is_waited_for(here, make_node):
    with Cluster(here / "kafka") as cluster:
        node = make_node(settings(cluster, "late", timeout="2s")).start()
        sent = Sent().numbers(node, "web", 1000)
        wait_until(lambda: status(node).get("retries", 0) > 0, "the sink has retried", 30)
        assert "Kafka took nothing for 2 s" in status(node)["last_error"]
        cluster.start()
        wait_delivered(node, sent.count)
        sent.check(cluster, "late")


def test_a_broker_killed_in_the_middle_costs_nothing(here, make_node):
    with Cluster(here / "kafka") as cluster:
        cluster.start()
        node = make_node(settings(cluster, "killed", node=ROOMY)).start()
        sent = Sent()
        with feeding(node, sent, "a", "b", "c"):
            for _ in range(2):
                count = sent.count
                wait_delivered(node, count)
                cluster.brokers[0].kill()
                time.sleep(1)
                cluster.brokers[0].start()
                cluster.wait()
        wait_delivered(node, sent.count)
        sent.check(cluster, "killed")


class Waiter(threading.Thread):
    """Asks for `replicated`, one record after the other; remembers when each answer came."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.stopping = threading.Event()
        self.answers = []  # (id, status, durability, when the answer was there in ms)

    def run(self):
        with Wire(self.node.address, 60) as wire:
            while not self.stopping.is_set():
                wire.send(request("waiting", b"x" * 100, "Inlet-Ack: replicated"))
                answer = wire.read()
                self.answers.append((answer.json()["id"], answer.status,
                                     answer.headers["inlet-durability"], time.time() * 1000))

    def check(self, cluster, topic):
        """The brokers had every record by the time it was called replicated."""
        appended = {}
        for message in cluster.read(topic):
            appended.setdefault(header(message, "inlet-id"), message.timestamp)
        called = [one for one in self.answers if one[2] == "replicated"]
        assert len(called) > 100, self.answers[-3:]
        assert {status for _, status, _, _ in called} == {200}
        assert {status for _, status, durability, _ in self.answers
                if durability == "disk"} <= {202}
        false = [one for one in called if one[0] not in appended or appended[one[0]] > one[3]]
        assert not false, f"{len(false)} of {len(called)} were not there, first {false[:3]}"
        assert all(name in appended for name, _, _, _ in self.answers)


@contextlib.contextmanager
def waiting(node):
    waiter = Waiter(node)
    waiter.start()
    try:
        yield waiter
    finally:
        waiter.stopping.set()
        waiter.join(60)
    assert not waiter.is_alive()


def test_of_three_brokers_one_may_die(here, make_node):
    # One clock for all: brokers stamp what they append.
    stamps = {"log.message.timestamp.type": "LogAppendTime"}
    with Cluster(here / "kafka", brokers=3, properties=stamps) as cluster:
        cluster.start()
        node = make_node(settings(cluster, "three", node=ROOMY, replica=True)).start()
        sure = make_node(settings(cluster, "sure", node=ROOMY, transactional=True))
        sure.deaths_expected = True  # librdkafka 2.0 may crash when a broker dies in a transaction.
        sure.start()
        sent, sent_sure = Sent(), Sent()
        with feeding(node, sent, "a", "b", "c"), feeding(sure, sent_sure, "a", "b"), \
                waiting(node) as waiter:
            for broker in cluster.brokers[:2]:
                count = sent.count, sent_sure.count
                wait_delivered(node, count[0])
                wait_delivered(sure, count[1])
                broker.kill()
                wait_delivered(node, sent.count + 500)
                wait_delivered(sure, sent_sure.count + 500)
                broker.start()
                cluster.wait()
        wait_delivered(node, sent.count)
        wait_delivered(sure, sent_sure.count)
        sent.check(cluster, "three")
        waiter.check(cluster, "three.waiting")
        sent_sure.check(cluster, "sure")


# ---- What shippers go through.

class Shipper:
    """`inlet-ship bus` beside a node that only serves."""

    def __init__(self, node):
        self.node = node
        with open(node.directory / "ship", "ab") as log:
            self.process = subprocess.Popen(
                [str(inlet.SHIP), "bus", "--config", str(node.config), "--data", str(node.data)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=inlet.environment())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.node.text("ship")[-2000:]


def kill_shippers(node, sent, kills, seed):
    """Kills shippers at random until there were `kills`, then lets one finish."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    for kill in range(kills):
        shipper = Shipper(node)
        try:
            # Often while it starts, oftener while it delivers.
            time.sleep(chance.uniform(0.02, 1.2))
        finally:
            shipper.kill()
        sent.numbers(node, chance.choice("abc"), 2000)
    shipper = Shipper(node)
    try:
        wait_delivered(node, sent.count, 180)
        shipper.stop()
    finally:
        shipper.kill()


def test_killed_shippers_lose_nothing_and_repeat_one_batch_at_most(kafka, make_node):
    node = make_node(settings(kafka, "kills", batch_records=1000, node=ROOMY),
                     command="serve").start()
    sent = Sent()
    for stream in "abc":
        sent.numbers(node, stream, 8000)
    kills = 20
    kill_shippers(node, sent, kills, random.randrange(1 << 30))
    print("duplicates", sent.check(kafka, "kills", duplicates_max=kills * 1000))


def test_killed_shippers_with_transactions_show_everything_once(kafka, make_node):
    node = make_node(settings(kafka, "exact", transactional=True, batch_records=300, node=ROOMY),
                     command="serve").start()
    sent = Sent()
    for stream in "abc":
        sent.numbers(node, stream, 8000)
    kill_shippers(node, sent, 20, random.randrange(1 << 30))
    sent.check(kafka, "exact")
    print("found there already", node.text("ship").count("records are there already"))
    raw = sum(len(kafka.read(f"exact.{s}", committed=False)) for s in "abc")
    assert raw >= sent.count


def test_two_nodes_with_one_transactional_id_say_so(kafka, make_node):
    nodes = [make_node(settings(kafka, f"fenced-{i}", transactional=True,
                                transactional_id="fenced", node={"node": {"name": f"n{i}"}}))
             .start() for i in range(2)]
    sent = [Sent(), Sent()]

    def fenced():
        for node, records in zip(nodes, sent):
            records.numbers(node, "web", 1)
        return any('another instance took the transactional id fenced over' in node.errors()
                   for node in nodes)
    wait_until(fenced, "one says that it was fenced", 60, 0.2)
    for node, records in zip(nodes, sent):
        wait_delivered(node, records.count)
    for i, records in enumerate(sent):
        records.check(kafka, f"fenced-{i}")


# ---- Who may speak.

def certificate(path):
    """A certificate of its own making for 127.0.0.1, and its key, as two PEM files and one."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-keyout", path / "key.pem", "-out", path / "cert.pem", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    both = path / "both.pem"
    both.write_text((path / "key.pem").read_text() + (path / "cert.pem").read_text())
    return path / "cert.pem", both


def guarded(path):
    """A broker that wants TLS and a password."""
    cert, both = certificate(path)
    modules = "org.apache.kafka.common.security"
    plain = f'{modules}.plain.PlainLoginModule required username="inlet" ' \
            f'password="{SECRET}" user_inlet="{SECRET}";'
    scram = f"{modules}.scram.ScramLoginModule required;"
    return cert, Cluster(path / "kafka", protocol="SASL_SSL", properties={
        "ssl.keystore.type": "PEM", "ssl.keystore.location": both,
        "ssl.truststore.type": "PEM", "ssl.truststore.location": cert,
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": plain,
        "listener.name.client.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.client.scram-sha-512.sasl.jaas.config": scram,
    }, client={"security_protocol": "SASL_SSL", "ssl_cafile": str(cert),
               "sasl_mechanism": "PLAIN", "sasl_plain_username": "inlet",
               "sasl_plain_password": SECRET})


def add_scram_user(cluster):
    admin = KafkaAdminClient(bootstrap_servers=cluster.addresses.split(","), **cluster.client)
    try:
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion("scrammy", mechanism, SECRET)])
    finally:
        admin.close()


def test_tls_and_passwords_open_the_door_and_stay_secret(here, make_node):
    cert, cluster = guarded(here)
    with cluster:
        cluster.start()
        add_scram_user(cluster)
        for mechanism, user in (("PLAIN", "inlet"), ("SCRAM-SHA-256", "scrammy"),
                                ("SCRAM-SHA-512", "scrammy")):
            topic = mechanism.lower()
            node = make_node(settings(cluster, topic, tls=True, ca_file=cert, user=user,
                                      password=SECRET, sasl_mechanism=mechanism)).start()
            sent = Sent().numbers(node, "web", 50)
            wait_delivered(node, sent.count)
            sent.check(cluster, topic)
            node.stop()
            assert SECRET not in node.errors()
        wrong = make_node(settings(cluster, "wrong", tls=True, ca_file=cert, user="inlet",
                                   password="wrong-horse", sasl_mechanism="PLAIN",
                                   timeout="2s")).start()
        Sent().numbers(wrong, "web", 5)
        wait_until(lambda: status(wrong).get("retries", 0) > 0, "the sink has retried", 30)
        assert "wrong-horse" not in wrong.errors()
        assert "uthenticat" in status(wrong)["last_error"]
        wrong.deaths_expected = True
        wrong.kill()
