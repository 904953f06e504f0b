"""What the image is made of, as SPDX 2.3: Inlet, the Debian packages whose files are in it, and
those that are only compiled into the programs. Says nothing that dpkg does not: licences are in the
image, as files."""

import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import urllib.parse

# Headers alone: they leave no file in the image.
COMPILED_IN = ("libspdlog-dev", "libcli11-dev", "libtomlplusplus-dev", "libjs-chart.js")
FIELDS = ("Package", "Version", "Architecture", "Maintainer", "source:Package", "source:Version",
          "Homepage")
DATABASE = "/var/lib/dpkg/status"


def query(*words):
    """dpkg-query, which ends with 1 if one of several is not known."""
    return subprocess.run(["dpkg-query", *words], check=False, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def owners(paths):
    """Names of the packages that the files are from. A file of none is an error."""
    found = {}
    # Merged /usr: a package may say /lib for what is in /usr/lib.
    asked = sorted({p for path in paths for p in (path, path.removeprefix("/usr"))})
    for line in query("--search", *asked).splitlines():
        packages, _, path = line.partition(": ")
        found[path] = packages.split(", ")[0].partition(":")[0]  # Without its architecture.
    names = set()
    for path in paths:
        # The bundle of certificates is made when its package is installed.
        made = "ca-certificates" if path == "/etc/ssl/certs/ca-certificates.crt" else None
        made = "openssl" if path == "/etc/ssl/openssl.cnf" else made
        name = found.get(path) or found.get(path.removeprefix("/usr")) or made
        if name is None:
            raise LookupError(f"{path} is of no package")
        names.add(name)
    return names


def describe(names):
    """One dict a package, sorted by name."""
    form = "".join(f"${{{field}}}\\t" for field in FIELDS) + "\\n"
    rows = [dict(zip(("name", "version", "architecture", "maintainer", "source", "source_version",
                      "homepage"), line.split("\t")))
            for line in query("--show", f"--showformat={form}", *sorted(names)).splitlines()]
    return sorted(rows, key=lambda row: row["name"])


def packages_of(paths):
    compiled_in = {name for name in COMPILED_IN
                   if query("--show", "--showformat=${db:Status-Status}", name) == "installed"}
    inside = describe(owners(paths))
    for row in inside:
        row["relation"] = "DYNAMIC_LINK"
    built = describe(compiled_in) if compiled_in else []
    for row in built:
        row["relation"] = "STATIC_LINK"
    return sorted(inside + built, key=lambda row: row["name"])


def identifier(name):
    return "SPDXRef-Package-" + "".join(c if c.isalnum() or c in ".-" else "-" for c in name)


def purl(row):
    """https://github.com/package-url/purl-spec, type deb."""
    version = urllib.parse.quote(row["version"], safe="")
    return f"pkg:deb/debian/{row['name']}@{version}?arch={row['architecture']}&distro=bookworm"


def package(row):
    out = {"name": row["name"], "SPDXID": identifier(row["name"]), "versionInfo": row["version"],
           "supplier": f"Person: {row['maintainer'].replace('<', '(').replace('>', ')')}",
           "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
           "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
           "copyrightText": "NOASSERTION",
           "sourceInfo": f"built from {row['source']} {row['source_version']}",
           "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                             "referenceLocator": purl(row)}]}
    if row["homepage"]:
        out["homepage"] = row["homepage"]
    return out


def document(packages, programs, epoch):
    """Of programs that are files here; their digests name the document."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in programs}
    made = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    unique = hashlib.sha256(json.dumps([packages, digests], sort_keys=True).encode()).hexdigest()
    inlet = {"name": "inlet", "SPDXID": "SPDXRef-inlet", "versionInfo": version(programs),
             "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
             "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
             "copyrightText": "NOASSERTION", "primaryPackagePurpose": "CONTAINER",
             "comment": "; ".join(f"{n} sha256:{d}" for n, d in sorted(digests.items()))}
    # SPDX 2.3, 11.1: how the program and the package are linked is said from the program's side.
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                  "relatedSpdxElement": "SPDXRef-inlet"}]
    relations += [{"spdxElementId": "SPDXRef-inlet", "relationshipType": row["relation"],
                   "relatedSpdxElement": identifier(row["name"])} for row in packages]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": "inlet-image",
            "documentNamespace": f"https://spdx.org/spdxdocs/inlet-{unique}",
            "creationInfo": {"created": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
                             "creators": ["Tool: inlet-deploy-image-sbom"]},
            "packages": [inlet, *map(package, packages)],
            "relationships": relations}


def version(programs):
    path = next(p for p in programs if pathlib.Path(p).name == "inlet")
    return subprocess.run([path, "--version"], check=True, capture_output=True,
                          text=True).stdout.split()[-1]
