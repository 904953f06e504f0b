"""Goal: every configuration in docs/SINKS.md is right as printed.

Method: each block goes through `inlet check`; each type of sink has its page."""

import re

import pytest

import inlet

TEXT = (inlet.ROOT / "docs/SINKS.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", TEXT, re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=[b.split("]")[0] + "]" for b in BLOCKS])
def test_a_printed_configuration_is_right(here, block):
    (here / "inlet.toml").write_text(block)
    done = inlet.run("check", "--config", here / "inlet.toml", "--data", here / "data")
    assert done.returncode == 0, done.stderr


def test_every_type_has_its_page():
    types = set(re.findall(r'^type = "(\w+)"', TEXT, re.M))
    assert types == {"file", "s3", "kafka", "kinesis", "firehose", "http"}
    for name in types:
        assert f"\n## {name}\n" in TEXT
