"""S3 that nobody here wrote (moto), which can also verify signatures and permissions, and its
objects as a directory tree, which is what the proofs read."""

import json
import urllib.request

import boto3
from botocore.config import Config

from moto_server import KEYS, REGION, Moto

POLICY = "inlet"


class S3Server(Moto):
    def __init__(self, directory):
        super().__init__(directory)
        self.keys = KEYS

    def client(self, service):
        return boto3.client(service, endpoint_url=self.url, region_name=REGION,
                            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
                            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
                            config=Config(retries={"max_attempts": 0}, read_timeout=20,
                                          s3={"addressing_style": "path"}))

    def create_bucket(self, name):
        self.client("s3").create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    # ---- Who may do what. Until require_signatures() everybody may do everything.

    def create_user(self, name, *actions):
        """Variables with the keys of a user that may do `actions`, such as s3:PutObject."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.allow(name, *actions)
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def allow(self, name, *actions):
        statement = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]
        if actions:
            self.client("iam").put_user_policy(
                UserName=name, PolicyName=POLICY,
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}))

    def require_signatures(self, reader):
        """From now on; `reader` are the keys that this class uses itself."""
        self.keys = reader
        urllib.request.urlopen(urllib.request.Request(
            f"{self.url}/moto-api/reset-auth", data=b"0", method="POST",
            headers={"Content-Type": "text/plain"}), timeout=20).close()

    # ---- What is in it.

    def objects(self, bucket):
        """key -> what a listing says of it."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {found["Key"]: found for page in pages for found in page.get("Contents", [])}

    def download(self, bucket, directory):
        """All objects as files under the directory."""
        client = self.client("s3")
        for key in self.objects(bucket):
            path = directory / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        return directory
