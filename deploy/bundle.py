#!/usr/bin/env python3
"""Makes the source bundle for Elastic Beanstalk: the zip of elastic-beanstalk/common, of the
variant's folder and of every switch that is on, with the image pinned by its digest. The same
input gives the same bytes.

usage: bundle.py --variant compose|single --image REPOSITORY@sha256:... OUT.zip"""

import argparse
import json
import pathlib
import re
import sys
import tomllib
import zipfile

import dashboard

HERE = pathlib.Path(__file__).resolve().parent / "elastic-beanstalk"
VARIANTS = ("compose", "single")
IMAGE_FILES = {"compose": "docker-compose.yml", "single": "Dockerrun.aws.json"}
IMAGE_MARK = b"@IMAGE@"
PINNED = re.compile(r"[a-z0-9.:/_-]+@sha256:[0-9a-f]{64}")
PROPERTIES = "aws:elasticbeanstalk:application:environment"
TIME = (1980, 1, 1, 0, 0, 0)  # The earliest that a zip can hold.


def settings():
    return tomllib.loads((HERE / "switches.toml").read_text())


def switches_on(variant):
    return {name for name, switch in settings()["switches"].items()
            if switch["on"] and variant in switch["variants"]}


def properties(variant, on):
    """The environment of the container that does not depend on the environment it runs in."""
    known = settings()
    found = dict(known["variants"][variant]["environment"])
    for name, switch in known["switches"].items():
        found |= switch["environment"] if name in on else switch["off"]
    return found


def lay(files, tree):
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if not path.is_file():
            continue
        if name in files:
            raise ValueError(f"{path}: another folder has {name} too")
        files[name] = path.read_bytes()


def pin(files, variant, image):
    if not PINNED.fullmatch(image):
        raise ValueError(f"{image} is not pinned: REPOSITORY@sha256:DIGEST")
    name = IMAGE_FILES[variant]
    if files[name].count(IMAGE_MARK) != 1:
        raise ValueError(f"{name} does not have {IMAGE_MARK.decode()} once")
    files[name] = files[name].replace(IMAGE_MARK, image.encode())


def make(variant, image, on=None):
    """name -> bytes. on: names of switches, instead of what switches.toml says."""
    on = switches_on(variant) if on is None else set(on)
    files = {}
    for tree in ("common", variant, *(f"switched/{name}" for name in sorted(on))):
        lay(files, HERE / tree)
    pin(files, variant, image)
    # A change of settings runs confighooks, a deployment runs hooks: both must do the same.
    for name in [n for n in files if n.startswith(".platform/hooks/")]:
        files[name.replace("/hooks/", "/confighooks/", 1)] = files[name]
    options = {"option_settings": {PROPERTIES: properties(variant, on)}}
    files[".ebextensions/05-properties.config"] = (json.dumps(options, indent=1) + "\n").encode()
    files[".ebextensions/60-dashboard.config"] = dashboard.config("emf" in on).encode()
    return files


def write(files, out):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix: the mode counts.
            entry.external_attr = (0o100755 if name.endswith(".sh") else 0o100644) << 16
            bundle.writestr(entry, data)


def main():
    parser = argparse.ArgumentParser(description="Makes the bundle for Elastic Beanstalk.")
    parser.add_argument("--variant", choices=VARIANTS, default="compose")
    parser.add_argument("--image", required=True, metavar="REPOSITORY@sha256:DIGEST")
    parser.add_argument("out", type=pathlib.Path)
    given = parser.parse_args()
    try:
        write(make(given.variant, given.image), given.out)
    except (OSError, ValueError) as error:
        sys.exit(f"bundle: {error}")


if __name__ == "__main__":
    main()
