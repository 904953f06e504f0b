"""moto as a process: Kinesis, Firehose and S3 that nobody here wrote, read back with boto3.

Its state is in its memory: what was stored is gone after stop(); pause() keeps it."""

import collections
import gzip
import os
import signal
import subprocess
import sys
import time

import boto3
from botocore.config import Config

import inlet
from wire import try_get, wait_until

REGION = "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-secret-of-the-test"}
# Nothing on the machine that runs the tests may be taken for credentials.
ENVIRONMENT = {**KEYS, "AWS_EC2_METADATA_DISABLED": "true"}
START_S = 60

Got = collections.namedtuple("Got", "data key shard")


class Moto:
    def __init__(self, directory):
        self.directory = directory
        self.port = inlet.free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        with open(self.directory / "moto.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**inlet.environment(), **KEYS})
        wait_until(lambda: try_get(("127.0.0.1", self.port), "/moto-api/", 2) == 200,
                   "moto answers", START_S)
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self):
        """It accepts connections and says nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def client(self, service):
        return boto3.client(service, endpoint_url=self.url, region_name=REGION,
                            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
                            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
                            config=Config(retries={"max_attempts": 0}, read_timeout=20))

    # ---- Kinesis.

    def create_stream(self, name, shards=1):
        self.client("kinesis").create_stream(StreamName=name, ShardCount=shards)

    def read_stream(self, name):
        """Everything in it, shard by shard in order."""
        kinesis = self.client("kinesis")
        found = []
        for shard in kinesis.list_shards(StreamName=name)["Shards"]:
            at = kinesis.get_shard_iterator(StreamName=name, ShardId=shard["ShardId"],
                                            ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            while True:
                answer = kinesis.get_records(ShardIterator=at, Limit=10_000)
                if not answer["Records"]:
                    break
                found += [Got(r["Data"], r["PartitionKey"], shard["ShardId"])
                          for r in answer["Records"]]
                at = answer["NextShardIterator"]
        return found

    def wait_stream(self, name, count, timeout_s=30):
        """Waits until so many different records are in it; returns all."""
        def enough():
            found = self.read_stream(name)
            return found if len({got.data for got in found}) >= count else None
        return wait_until(enough, f"{count} records are in {name}", timeout_s, 0.2)

    # ---- Firehose, which writes to S3.

    def create_delivery(self, name):
        bucket = f"bucket-of-{name}"
        self.client("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.client("firehose").create_delivery_stream(
            DeliveryStreamName=name,
            ExtendedS3DestinationConfiguration={
                "RoleARN": "arn:aws:iam::123456789012:role/any",
                "BucketARN": f"arn:aws:s3:::{bucket}"})

    def read_delivery(self, name):
        """The lines of all objects, in the order they were written."""
        s3 = self.client("s3")
        objects = [found for page in
                   s3.get_paginator("list_objects_v2").paginate(Bucket=f"bucket-of-{name}")
                   for found in page.get("Contents", [])]
        text = b""
        for found in sorted(objects, key=lambda o: o["LastModified"]):
            body = s3.get_object(Bucket=f"bucket-of-{name}", Key=found["Key"])["Body"].read()
            text += gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        return text.splitlines()

    def wait_delivery(self, name, count, timeout_s=30):
        def enough():
            found = self.read_delivery(name)
            return found if len(set(found)) >= count else None
        return wait_until(enough, f"{count} lines came through {name}", timeout_s, 0.2)


def unique_name(prefix):
    return f"{prefix}-{time.time_ns():x}"
