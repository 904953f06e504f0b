"""Every destination behind one interface, so that one proof can be held against all of them.

    with make_world("s3", directory, servers) as world:
        node = make_node(world.settings()).start(world.environment)
        world.spoil("lost answers", chance); world.heal(); world.down(); world.up()
        world.read()             # everything that arrived, as Arrived
        world.expect(record)     # what must arrive of one that was sent, as Arrived

The sink is called `out`. What it connects to is a proxy that spoils connections as it is told,
unless settings(direct=True). Servers that take long to start are shared by a module: Servers.

A content is b"data " and canonical JSON, or b"body " and bytes. Order of read() is that of arrival
or of names. Firehose in moto tells the second of arrival only; within one, objects are put in the
order of their first lines."""

import collections
import contextlib
import json
import pathlib

import inlet
from aws_fakes import NOTHING
from faulty_proxy import FaultyProxy
from kafka_cluster import Cluster, header
from moto_server import KEYS, REGION, unique_name
from receiver import Receiver
from s3_server import S3Server

SINK = "out"
TENANT = "default"
STREAMS = ("web.page", "app", "logs")
TIMEOUT_S = 2
BATCH_RECORDS = 50
LONG_S = 0.03  # Of make_long(), each way.

JSON, NDJSON = "application/json", "application/x-ndjson"

# Sent: `plain` is the body without its encoding.
Sent = collections.namedtuple("Sent", "id stream type plain body")
Arrived = collections.namedtuple("Arrived", "id tenant stream content")


def data(value):
    return b"data " + json.dumps(value, sort_keys=True).encode()


def from_line(event):
    """Of a line in the envelope."""
    content = data(event["data"]) if "data" in event else b"body " + inlet.body_of(event)
    return Arrived(event["id"], event["tenant"], event["stream"], content)


def by_id(name):
    """ID and ID.0, ID.1, … in the order they have."""
    record, _, index = name.partition(".")
    return record, int(index or 0)


def http_answer(status, kind, body, **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}",
             "Connection: close", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def busy_service(status, code):
    """As the services that speak JSON say it."""
    return http_answer(status, "application/x-amz-json-1.1",
                       json.dumps({"__type": code, "message": "slow down"}))


SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"


class World:
    """What all have in common: a proxy before the server, and lines in the envelope."""

    takes_large = True     # A body of 10 MiB.
    exactly_once = False
    archive = None         # A function: the directory that `inlet audit --archive` reads.
    faults = ("down", "lost answers", "late answers", "torn requests", "silence", "slow", "busy")
    torn_max = 500         # No request is smaller, and a connection may carry only one.
    tells_retries = True   # A spoilt connection counts as a retry of the shipper.
    busy = ()              # Answers that ask for less.
    environment = {**NOTHING, **KEYS}

    def __init__(self, directory, servers):
        self.directory = pathlib.Path(directory)
        self.servers = servers
        self.proxy = None
        self.interruptions = 0  # Moments at which a batch under way may have been cut off.
        self.since = 0          # In the proxy's log, where the last fault begins.

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.proxy = FaultyProxy(self.open())
        return self

    def stop(self):
        if self.proxy is not None:
            self.proxy.close()

    def open(self):
        """Makes the place records go to; the port of its server."""
        raise NotImplementedError

    # ---- Settings.

    def sink(self, host, port):
        """The keys of this type that name `host` and `port`."""
        raise NotImplementedError

    def port(self):
        raise NotImplementedError

    def settings(self, direct=False, host="127.0.0.1", **more):
        keys = {"batch_age": "20ms", "batch_records": BATCH_RECORDS, "timeout": f"{TIMEOUT_S}s",
                **self.sink(host, self.port() if direct else self.proxy.port), **more}
        return {"sinks.archive": {"streams": ["none"]}, f"sinks.{SINK}": keys}

    def settings_for_large(self):
        return self.settings(direct=True, timeout="30s", batch_records=1000, batch_age="100ms")

    def misplaced(self):
        """The same with a name that nobody has."""
        return self.settings(host="nobody.invalid")

    # ---- Faults.

    def down(self):
        self.interruptions += 1
        self.proxy.set("refuse")

    def up(self):
        self.proxy.set("pass")

    def spoil(self, how, chance):
        mode, options = {
            "lost answers": ("cut", {"after": self.answer_bytes(chance)}),
            "late answers": ("delay", {"seconds": TIMEOUT_S * 0.6}),
            "torn requests": ("reset", {"after": chance.randrange(1, self.torn_max)}),
            "silence": ("blackhole", {}),
            "slow": ("throttle", {"rate": 100_000}),
            "busy": ("garbage", {"data": chance.choice(self.busy or [b""])}),
        }[how]
        self.since = self.proxy.connections
        self.interruptions += 1
        self.proxy.set(mode, **options)

    def answer_bytes(self, chance):  # pylint: disable=unused-argument
        """How many bytes of answers pass before one is lost."""
        return 0

    def spoilt(self):
        """The connections that the last fault met and that did something."""
        return [entry for entry in self.proxy.log[self.since:]
                if entry.mode != "pass" and (entry.sent or entry.mode == "blackhole")]

    def heal(self):
        self.interruptions += 1
        self.proxy.set("pass")

    def make_long(self):
        """Requests take a while, so that whoever is killed has most often one under way."""
        self.proxy.set("delay", seconds=LONG_S)

    # ---- What is there.

    def read(self):
        return [from_line(event) for event in self.events()]

    def events(self):
        raise NotImplementedError

    def check(self):
        """What else must be true at the end."""

    def expect(self, sent):
        def arrived(index, content):
            return Arrived(sent.id + index, TENANT, sent.stream, content)
        if sent.type == NDJSON:
            return [arrived(f".{i}", data(json.loads(line)))
                    for i, line in enumerate(sent.plain.splitlines())]
        if sent.type == JSON:
            value = json.loads(sent.plain)
            if isinstance(value, list):
                return [arrived(f".{i}", data(element)) for i, element in enumerate(value)]
            return [arrived("", data(value))]
        return [arrived("", b"body " + sent.plain)]


class FileWorld(World):
    """A directory behind a symbolic link, which can be pointed at something else at once."""

    exactly_once = True
    faults = ("down",)

    def start(self):
        self.real, self.link = self.directory / "real", self.directory / "out"
        self.real.mkdir()
        self.point_at(self.real)
        return self

    def point_at(self, target):
        fresh = self.directory / "fresh"
        fresh.symlink_to(target)
        fresh.replace(self.link)

    def settings(self, direct=False, host=None, **more):
        path = self.link if host is None else self.directory / "file" / "out"
        (self.directory / "file").touch()
        more.pop("timeout", None)
        return {"sinks.archive": {"streams": ["none"]},
                f"sinks.{SINK}": {"type": "file", "path": path, "batch_age": "20ms",
                                  "batch_records": BATCH_RECORDS, **more}}

    def down(self):
        self.interruptions += 1
        self.point_at(self.directory / "file")

    def up(self):
        self.point_at(self.real)

    def make_long(self):
        pass  # It flushes files all the time.

    def archive(self):
        return self.real

    def events(self):
        return inlet.events(self.real)


class S3World(World):
    exactly_once = True
    busy = (http_answer("503 Slow Down", "application/xml", SLOW_DOWN),
            http_answer("503 Slow Down", "application/xml", SLOW_DOWN, Retry_After=1),
            http_answer("429 Too Many", "application/xml", SLOW_DOWN))

    def open(self):
        self.server = self.servers.moto()
        self.bucket = unique_name("bucket")
        self.server.create_bucket(self.bucket)
        return self.server.port

    def port(self):
        return self.server.port

    def sink(self, host, port):
        return {"type": "s3", "bucket": self.bucket, "region": REGION,
                "endpoint": f"http://{host}:{port}", "path_style": True}

    def archive(self):
        return self.server.download(self.bucket, self.directory / "downloaded")

    def events(self):
        return inlet.events(self.archive())


class HttpWorld(World):
    busy = (http_answer("429 Too Many", "text/plain", "slow"),
            http_answer("429 Too Many", "text/plain", "slow", Retry_After=1),
            http_answer("503 Unavailable", "text/plain", "slow"),
            http_answer("503 Unavailable", "text/plain", "slow", Retry_After=1))

    def open(self):
        self.receiver = Receiver()
        return self.receiver.port

    def stop(self):
        super().stop()
        self.receiver.down()

    def port(self):
        return self.receiver.port

    def sink(self, host, port):
        return {"type": "http", "url": f"http://{host}:{port}/in/{{tenant}}/{{stream}}"}

    def settings_for_large(self):
        made = super().settings_for_large()
        made[f"sinks.{SINK}"]["request_bytes"] = "16MiB"
        return made

    def down(self):
        super().down()
        self.receiver.down()  # Ends what is being answered.

    def up(self):
        self.receiver.up()
        super().up()

    def events(self):
        """With the repeats that the receiver knows by their keys."""
        with self.receiver.lock:
            stored = [request for request in self.receiver.requests if request.status == 200]
        for request in stored:
            for event in request.events():
                assert request.path == f"/in/{event['tenant']}/{event['stream']}"
                yield event

    def check(self):
        """To whom goes by Idempotency-Key nothing is there twice."""
        assert not self.receiver.mistakes
        kept = [event["id"] for event in self.receiver.events()]
        assert len(kept) == len(set(kept)), "an event came under two keys"


class KinesisWorld(World):
    """A stream for each of STREAMS: moto loses records where two requests meet in one shard."""

    takes_large = False
    busy = (busy_service("400 Bad Request", "ProvisionedThroughputExceededException"),
            busy_service("503 Unavailable", "ServiceUnavailableException"))

    def open(self):
        self.server = self.servers.moto()
        self.name = unique_name("stream")
        for stream in STREAMS:
            self.server.create_stream(f"{self.name}-{stream}")
        return self.server.port

    def port(self):
        return self.server.port

    def sink(self, host, port):
        return {"type": "kinesis", "kinesis_stream": f"{self.name}-{{stream}}", "region": REGION,
                "endpoint": f"http://{host}:{port}"}

    def events(self):
        return [json.loads(got.data) for stream in STREAMS
                for got in self.server.read_stream(f"{self.name}-{stream}")]


class FirehoseWorld(KinesisWorld):
    busy = (busy_service("400 Bad Request", "ServiceUnavailableException"),
            busy_service("503 Unavailable", "ServiceUnavailableException"))

    def open(self):
        self.server = self.servers.moto()
        self.name = unique_name("hose")
        self.server.create_delivery(self.name)
        return self.server.port

    def sink(self, host, port):
        return {"type": "firehose", "delivery_stream": self.name, "region": REGION,
                "endpoint": f"http://{host}:{port}"}

    def events(self):
        client, bucket = self.server.client("s3"), f"bucket-of-{self.name}"
        objects = []
        for key, found in self.server.objects(bucket).items():
            text = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            lines = [json.loads(line) for line in text.splitlines()]
            objects.append((found["LastModified"], by_id(lines[0]["id"]), lines))
        objects.sort(key=lambda one: one[:2])
        return [event for *_, lines in objects for event in lines]


class KafkaWorld(World):
    """Messages are bodies as they were sent, described by their headers."""

    faults = ("down", "lost answers", "torn requests", "silence", "slow")
    torn_max = 3000
    tells_retries = False  # librdkafka connects again by itself.
    more = {}

    def start(self):
        self.server = self.servers.kafka()
        self.topic = unique_name("topic")
        self.proxy = self.server.proxy
        return self

    def stop(self):
        self.proxy.set("pass")  # It is the server's.

    def port(self):
        return self.server.cluster.brokers[0].port

    def sink(self, host, port):
        return {"type": "kafka", "brokers": f"{host}:{port}", "topic": self.topic,
                "timeout": f"{TIMEOUT_S * 2}s", "compression": "gzip", **self.more}

    def settings_for_large(self):
        made = super().settings_for_large()
        made[f"sinks.{SINK}"]["message_bytes"] = "11000000"
        return made

    def misplaced(self):
        return self.settings(host="nobody.invalid", timeout="2s")

    def down(self):
        self.interruptions += 1
        self.server.cluster.brokers[0].kill()

    def up(self):
        self.server.cluster.brokers[0].start()
        self.server.cluster.wait()

    def answer_bytes(self, chance):
        return chance.randrange(400, 3000)  # It begins with talk of versions and topics.

    def read(self):
        return [Arrived(header(message, "inlet-id"), header(message, "inlet-tenant"),
                        header(message, "inlet-stream"), b"body " + message.value)
                for message in self.server.cluster.read(self.topic)]

    def expect(self, sent):
        return [Arrived(sent.id, TENANT, sent.stream, b"body " + sent.body)]


class TransactionalWorld(KafkaWorld):
    """As a read_committed consumer sees it."""

    exactly_once = True
    more = {"transactional": True}


WORLDS = {"file": FileWorld, "s3": S3World, "http": HttpWorld, "kinesis": KinesisWorld,
          "firehose": FirehoseWorld, "kafka": KafkaWorld,
          "kafka-transactional": TransactionalWorld}


def make_world(name, directory, servers):
    return WORLDS[name](directory, servers)


class ProxiedKafka:
    """One broker with a second listener, which it says is at the proxy's address."""

    def __init__(self, directory):
        self.cluster = Cluster(directory)
        broker, = self.cluster.brokers
        behind = inlet.free_port()
        self.proxy = FaultyProxy(behind)
        said = broker.listeners()
        ours = f"CLIENT://127.0.0.1:{broker.port}"
        again = {"listeners": f"{said['listeners']},PROXIED://127.0.0.1:{behind}",
                 "advertised.listeners": f"{ours},PROXIED://127.0.0.1:{self.proxy.port}",
                 "listener.security.protocol.map":
                     f"{said['listener.security.protocol.map']},PROXIED:PLAINTEXT"}
        with open(broker.directory / "server.properties", "a", encoding="utf-8") as file:
            file.writelines(f"{key}={value}\n" for key, value in again.items())

    def start(self):
        self.cluster.start()
        return self

    def stop(self):
        self.proxy.close()
        self.cluster.stop()


class Servers:
    """Those that were asked for, until the end."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.started = {}
        self.ends = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ends.close()

    def moto(self):
        return self.get("moto", S3Server)

    def kafka(self):
        return self.get("kafka", ProxiedKafka)

    def get(self, name, make):
        if name not in self.started:
            path = self.directory / name
            path.mkdir()
            server = make(path)
            self.ends.callback(server.stop)
            self.started[name] = server.start()
        return self.started[name]
