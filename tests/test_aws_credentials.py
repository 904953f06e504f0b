"""Goal: credentials are found wherever a node of AWS may have them, are renewed in time, and their
absence, end or refusal, like a wrong clock, is waited out and said, with no secret in any log.

Method: `inlet run` with a sink of type s3; fakes play the bucket and the places that give
credentials, and what was signed with which key is read off the requests."""

import datetime
import time

import pytest

import inlet
from aws_fakes import CANARY, NOTHING, Answer, FakeCredentials, FakeS3, access_key, scope
from test_sink_s3 import no_secrets, send, sink, wait_numbers, why_waiting

PROFILE = f"""[default]
aws_access_key_id = AKIDFILE
aws_secret_access_key = {CANARY}-file-secret
"""


@pytest.fixture
def bucket():
    with FakeS3() as fake:
        yield fake


@pytest.fixture
def source():
    with FakeCredentials() as fake:
        yield fake


def start(make_node, bucket, environment, **more):
    """A node whose only AWS variables are these."""
    changes = sink(bucket.url, "logs", **{"region": "eu-west-1", **more})
    return make_node(changes).start({**NOTHING, **environment})


def delivered(node, bucket, here, count):
    """Waits until the first `count` numbers are there, each once; returns the keys that signed."""
    wait_numbers(lambda: inlet.events(bucket.download(here / "tree")), range(count))
    no_secrets(node)
    return {access_key(asked) for asked in bucket.asked}


def instance(source):
    return {"AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": source.url}


def test_the_role_of_an_instance(make_node, bucket, source, here):
    node = start(make_node, bucket, instance(source), region="")
    send(node, 3)
    assert delivered(node, bucket, here, 3) == {"AKID1"}
    assert scope(bucket.asked[0])[1:] == ("us-east-1", "s3")  # An endpoint of one's own has none.
    assert bucket.asked[0].headers["x-amz-security-token"] == f"{CANARY}-token-1"
    first = source.asked[0]
    assert (first.method, first.path) == ("PUT", "/latest/api/token")
    assert source.given == 1


def test_the_endpoint_of_a_container(make_node, bucket, source, here):
    token = here / "token"
    token.write_text(source.CONTAINER_TOKEN + "\n")
    node = start(make_node, bucket, {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{source.url}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)})
    send(node, 3)
    assert delivered(node, bucket, here, 3) == {"AKID1"}


def test_a_web_identity(make_node, bucket, source, here):
    token = here / "token"
    token.write_text(source.IDENTITY_TOKEN)
    node = start(make_node, bucket, {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ENDPOINT_URL_STS": source.url,
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/inlet"})
    send(node, 3)
    assert delivered(node, bucket, here, 3) == {"AKID1"}


def test_a_profile_and_its_region(make_node, bucket, here):
    (here / "credentials").write_text(PROFILE.replace("default", "prod"))
    (here / "config").write_text("[profile prod]\nregion = sa-east-1\n")
    node = start(make_node, bucket, {
        "AWS_SHARED_CREDENTIALS_FILE": str(here / "credentials"),
        "AWS_CONFIG_FILE": str(here / "config"), "AWS_PROFILE": "prod"}, region="")
    send(node, 3)
    assert delivered(node, bucket, here, 3) == {"AKIDFILE"}
    assert scope(bucket.asked[0])[1:] == ("sa-east-1", "s3")


def test_the_environment_comes_before_all_others(make_node, bucket, source, here):
    (here / "credentials").write_text(PROFILE)
    node = start(make_node, bucket, {
        **instance(source), "AWS_SHARED_CREDENTIALS_FILE": str(here / "credentials"),
        "AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": f"{CANARY}-env",
        "AWS_REGION": "eu-south-1"})
    send(node, 3)
    assert delivered(node, bucket, here, 3) == {"AKIDENV"}
    assert source.asked == []


def test_nothing_anywhere_is_said_and_waited_for(make_node, bucket, here):
    """The door works all the same; credentials that turn up are used without a restart."""
    credentials = here / "credentials"
    node = start(make_node, bucket, {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    send(node, 3)
    why = why_waiting(node, "no AWS credentials")["why"]
    for place in ("environment: AWS_ACCESS_KEY_ID is not set", "web identity: ",
                  f"profile: no profile default in {credentials}", "container: ",
                  "instance metadata: AWS_EC2_METADATA_DISABLED is set"):
        assert place in why
    assert bucket.asked == []
    credentials.write_text(PROFILE)
    assert delivered(node, bucket, here, 3) == {"AKIDFILE"}


def test_a_role_in_a_profile_is_said_to_be_unsupported(make_node, bucket, here):
    credentials = here / "credentials"
    credentials.write_text("[default]\nrole_arn = arn:aws:iam::123456789012:role/x\n")
    node = start(make_node, bucket, {"AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    send(node, 3)
    why_waiting(node, "role_arn of profile default is not supported")
    credentials.write_text(PROFILE)
    assert delivered(node, bucket, here, 3) == {"AKIDFILE"}


def test_they_are_renewed_before_they_end(make_node, bucket, source, here):
    source.lifetime_s = 6
    node = start(make_node, bucket, instance(source))
    sent = 0
    until = time.monotonic() + 60
    while len({access_key(asked) for asked in bucket.asked}) < 4:
        assert time.monotonic() < until
        send(node, 1, start=sent)
        sent += 1
        time.sleep(0.3)
    delivered(node, bucket, here, sent)
    assert node.log("delivery waits") == []


def test_old_ones_serve_while_renewing_fails_and_not_after_their_end(make_node, bucket, source,
                                                                     here):
    source.lifetime_s = 8
    node = start(make_node, bucket, instance(source))
    send(node, 1)
    assert delivered(node, bucket, here, 1) == {"AKID1"}
    source.down = True
    send(node, 1, start=1)
    assert delivered(node, bucket, here, 2) == {"AKID1"}
    time.sleep(8)
    before = len(bucket.asked)
    send(node, 1, start=2)
    why_waiting(node, "instance metadata")
    assert len(bucket.asked) == before  # Nothing is signed with what has ended.
    source.lifetime_s, source.down = 3600, False
    assert len(delivered(node, bucket, here, 3)) == 2


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId"])
def test_refused_ones_are_fetched_again(make_node, bucket, source, here, code):
    bucket.judge = lambda asked: Answer(400, code) if access_key(asked) == "AKID1" else None
    node = start(make_node, bucket, instance(source))
    send(node, 3)
    assert delivered(node, bucket, here, 3) == {"AKID1", "AKID2"}
    why_waiting(node, code)


def test_a_clock_that_is_an_hour_off_is_corrected(make_node, bucket, here):
    """The fake's clock is right by its own account: its Date is an hour ahead of ours."""
    ahead = datetime.timedelta(hours=1)

    def judge(asked):
        now = datetime.datetime.now(datetime.UTC) + ahead
        signed = datetime.datetime.strptime(asked.headers["x-amz-date"] + "+0000",
                                            "%Y%m%dT%H%M%SZ%z")
        if abs(now - signed) < datetime.timedelta(minutes=15):
            return None
        return Answer(403, "RequestTimeTooSkewed",
                      {"Date": now.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    bucket.judge = judge
    node = start(make_node, bucket, {"AWS_ACCESS_KEY_ID": "AKIDENV",
                                     "AWS_SECRET_ACCESS_KEY": f"{CANARY}-env"})
    send(node, 3)
    delivered(node, bucket, here, 3)
    why_waiting(node, "RequestTimeTooSkewed")
    assert len(node.log("delivery waits")) == 1


def test_credentials_that_look_expired_by_a_wrong_clock_are_used(make_node, bucket, source, here):
    """Their source's Date tells: by it they are valid, though our clock is past their end."""
    behind = datetime.timedelta(hours=2)
    source.lifetime_s = 3600 - behind.total_seconds()
    honest = source.answer

    def answer(asked):
        said = honest(asked)
        now = datetime.datetime.now(datetime.UTC) - behind
        said.headers["Date"] = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return said
    source.answer = answer
    node = start(make_node, bucket, instance(source))
    send(node, 3)
    assert delivered(node, bucket, here, 3) == {"AKID1"}
