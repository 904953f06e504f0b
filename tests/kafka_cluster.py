"""Apache Kafka for tests: real brokers (KRaft) on free loopback ports, and a client that looks.

The jars come through Maven once, into build/kafka/. Every broker is a process of its own that can
be killed, stopped in order and started again with its data; all end with the cluster."""

import base64
import contextlib
import fcntl
import logging
import os
import pathlib
import signal
import socket
import subprocess
import uuid

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from inlet import ROOT, free_port
from wire import wait_until

logging.getLogger("kafka").setLevel(logging.CRITICAL)  # Brokers come and go here.

VERSION = "3.9.1"
CACHE = pathlib.Path(os.environ.get("INLET_KAFKA_CACHE", ROOT / "build/kafka"))
READY = f"ready-{VERSION}"
FETCH_S, START_S, STOP_S, READ_S = 600, 90, 30, 60
HEAP = "-Xmx400m"

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>inlet.tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

LOG4J = """log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c %m%n
"""


def jars():
    """The directory of the jars, fetched if it is not there yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lib = CACHE / VERSION
        if not (CACHE / READY).exists():
            (CACHE / "pom.xml").write_text(POM)
            done = subprocess.run(
                ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={lib}"],
                cwd=CACHE, check=False, capture_output=True, text=True, timeout=FETCH_S)
            assert done.returncode == 0, f"Maven could not fetch Kafka: {done.stdout[-2000:]}"
            (CACHE / READY).touch()
        return lib


class Broker:
    """One broker. Its command line carries its directory."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.directory = cluster.directory / f"broker-{number}"
        self.port, self.controller_port = free_port(), free_port()
        self.process = None

    def configure(self):
        logs = self.directory / "logs"
        logs.mkdir(parents=True)
        lines = {**self.cluster.properties, **self.listeners(),
                 "process.roles": "broker,controller", "node.id": self.number,
                 "controller.quorum.voters": self.cluster.voters(),
                 "controller.listener.names": "CONTROLLER", "log.dirs": logs}
        (self.directory / "server.properties").write_text(
            "".join(f"{key}={value}\n" for key, value in lines.items()))
        (self.directory / "log4j.properties").write_text(LOG4J)
        # What "kafka-storage format" writes.
        (logs / "meta.properties").write_text(
            f"version=1\ncluster.id={self.cluster.id}\nnode.id={self.number}\n"
            f"directory.id={short_id()}\n")

    def listeners(self):
        protocol = self.cluster.protocol
        ours = f"CLIENT://127.0.0.1:{self.port}"
        return {"listeners": f"{ours},CONTROLLER://127.0.0.1:{self.controller_port}",
                "advertised.listeners": ours, "inter.broker.listener.name": "CLIENT",
                "listener.security.protocol.map": f"CLIENT:{protocol},CONTROLLER:PLAINTEXT"}

    def start(self):
        with open(self.directory / "out", "ab") as out:
            self.process = subprocess.Popen(
                ["java", HEAP, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
                 f"-Dlog4j.configuration=file:{self.directory}/log4j.properties", "-cp",
                 f"{jars()}/*", "kafka.Kafka", str(self.directory / "server.properties")],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.directory)
        return self

    def listens(self):
        with contextlib.suppress(OSError), \
                socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        self.end(signal.SIGTERM)

    def end(self, how):
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


class Cluster:
    def __init__(self, directory, brokers=1, properties=None, protocol="PLAINTEXT", client=None):
        """`client`: what kafka-python needs besides the addresses."""
        self.directory = pathlib.Path(directory)
        self.id, self.protocol, self.client = short_id(), protocol, client or {}
        copies = min(brokers, 3)
        self.properties = {
            "num.partitions": 3, "default.replication.factor": copies,
            "min.insync.replicas": min(copies, 2),
            "offsets.topic.replication.factor": copies, "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": min(copies, 2),
            "transaction.state.log.num.partitions": 3,
            "group.initial.rebalance.delay.ms": 0,
            "controlled.shutdown.enable": str(brokers > 1).lower(),
            "message.max.bytes": 12_000_000, "replica.fetch.max.bytes": 12_000_000,
            "log.cleaner.enable": "false", **(properties or {})}
        self.brokers = [Broker(self, number + 1) for number in range(brokers)]
        for broker in self.brokers:
            broker.configure()

    @property
    def addresses(self):
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)

    def voters(self):
        return ",".join(f"{b.number}@127.0.0.1:{b.controller_port}" for b in self.brokers)

    def start(self):
        for broker in self.brokers:
            broker.start()
        return self.wait()

    def wait(self):
        """Until every broker that runs is known to the cluster."""
        running = sum(broker.process is not None for broker in self.brokers)

        def answers():
            for broker in self.brokers:
                gone = broker.process is not None and broker.process.poll() is not None
                assert not gone, f"a broker ended: {self.said(broker)}"
                if broker.process is not None and not broker.listens():
                    return False
            with contextlib.suppress(KafkaError, OSError):
                consumer = self.consumer()
                try:
                    consumer.topics()
                    return len(self.known(consumer)) >= running
                finally:
                    consumer.close()
            return False
        wait_until(answers, "Kafka answers", START_S, 0.3)
        return self

    @staticmethod
    def known(consumer):
        return consumer._client.cluster.brokers()  # There is no public way to ask.

    def said(self, broker):
        return (broker.directory / "out").read_text(errors="replace")[-3000:]

    def stop(self):
        for broker in self.brokers:
            broker.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- Looking.

    def consumer(self, **more):
        return KafkaConsumer(bootstrap_servers=self.addresses.split(","), enable_auto_commit=False,
                             auto_offset_reset="earliest", **{**self.client, **more})

    def topics(self):
        consumer = self.consumer()
        try:
            return set(consumer.topics())
        finally:
            consumer.close()

    def read(self, topic, committed=True):
        """All messages of a topic, partition after partition, each in order."""
        consumer = self.consumer(
            isolation_level="read_committed" if committed else "read_uncommitted",
            fetch_max_bytes=64 << 20, max_partition_fetch_bytes=16 << 20)
        try:
            numbers = consumer.partitions_for_topic(topic) or ()
            partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
            if not partitions:
                return []
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            found = {partition: [] for partition in partitions}

            def at_end():
                for partition, messages in consumer.poll(timeout_ms=200).items():
                    found[partition] += messages
                # Markers of transactions have offsets too, so the position says it.
                return all(consumer.position(p) >= ends[p] for p in partitions)
            wait_until(at_end, f"{topic} can be read to its end", READ_S, 0)
            return [message for partition in partitions for message in found[partition]]
        finally:
            consumer.close()


def header(message, name):
    for key, value in message.headers:
        if key == name:
            return value.decode()
    return None


def short_id():
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
