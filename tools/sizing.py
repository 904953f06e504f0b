#!/usr/bin/env python3
"""How many nodes of which kind take how many records, and what they cost: prints the tables of
docs/SIZING.md.

  sizing.py           prints them
  sizing.py --write   puts them into docs/SIZING.md

What a record costs is read from docs/PERFORMANCE.md, which ./dev bench writes, and follows from the
format of the journal. What machines give and cost are list values of AWS, us-east-1, not measured
here: check them."""

import argparse
import dataclasses
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/SIZING.md"
PERFORMANCE = ROOT / "docs/PERFORMANCE.md"
BEGIN, END = "<!-- tools/sizing.py -->\n", "<!-- end -->\n"

RATES = (1_000, 10_000, 100_000, 1_000_000)
RECORD_BYTES = 1024
BATCH_RECORDS = 256  # Of 1 KiB: the bench's body of 256 KiB.
UTILISATION = 0.5    # Of what a node can do: one of three zones may go, and the rest is at 75 %.
NODES_MIN = 3        # One a zone.
NODES_MANY = 20      # From here on, larger nodes instead of more of them.
OUTAGE_S = 3600      # That the journal holds while the sink is away.
VOLUME_GIB_MIN = 100
HOURS = 730

# Of a request that a load balancer passes on, beside the body; of its answer. Of a frame:
# docs/JOURNAL.md.
HEAD_BYTES, METADATA_BYTES = 400, 160
FRAME_HEADER_BYTES, FRAME_UNIT_BYTES, BLOCK_BYTES = 64, 64, 4096
FLUSH_S = 0.001      # Of gp3; one flush at a time.


@dataclasses.dataclass(frozen=True)
class Instance:
    """Baselines, not bursts. disk: what the instance passes to its volumes."""
    name: str
    vcpus: int
    network_mb: float
    disk_mb: float
    usd_an_hour: float


INSTANCES = (Instance("c7i.large", 2, 97.6, 81.25, 0.08925),
             Instance("c7i.xlarge", 4, 195.3, 156.25, 0.1785),
             Instance("c7i.2xlarge", 8, 390.6, 312.5, 0.357),
             Instance("c7i.4xlarge", 16, 781.3, 625.0, 0.714),
             Instance("c7i.8xlarge", 32, 1562.5, 1250.0, 1.428))
GP3_MIB_FREE, GP3_MIB_MAX = 125, 1000
GP3_USD_A_GIB, GP3_USD_A_MIB = 0.08, 0.04
BALANCER_USD, LCU_USD_AN_HOUR, LCU_BYTES_AN_HOUR = 16.43, 0.008, 1e9
ADDRESS_USD = 3.65


def cell(text, section, row, column):
    """A figure of PERFORMANCE.md: of the row whose first cells are these, under that heading."""
    part = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in part.splitlines()
             if line.startswith("|")]
    at = lines[0].index(column)
    for line in lines:
        if tuple(line[:len(row)]) == row:
            return float(line[at].replace(",", ""))
    raise LookupError(f"{PERFORMANCE.name} has no row {row} under {section}")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one record. CPU in seconds of one core."""
    what: str
    cpu_s: float
    disk_bytes: float      # Written once and read once by the shipper.
    network_bytes: float   # In; about as much goes out.
    records_a_request: int
    ship_records_a_s: float  # The most that one shipper delivers: it has one core.

    def commit_bytes_a_s(self, records_a_s):
        """Half a block is padding in each flush, and there are at most as many as one after the
        other."""
        return min(records_a_s / self.records_a_request, 1 / FLUSH_S) * BLOCK_BYTES / 2


def frame_bytes(body):
    whole = FRAME_HEADER_BYTES + METADATA_BYTES + body
    return math.ceil(whole / FRAME_UNIT_BYTES) * FRAME_UNIT_BYTES


def costs(text):
    small = cell(text, "CPU per durable request, µs", ("64", "1 KiB"), "Inlet")
    large = cell(text, "CPU per durable request, µs", ("64", "256 KiB"), "Inlet")
    ship = cell(text, "File sink", ("zstd",), "CPU µs a record")
    ship_most = cell(text, "File sink", ("zstd",), "records/s")
    body = RECORD_BYTES * BATCH_RECORDS
    return (Cost("one record a request", (small + ship) / 1e6, 2 * frame_bytes(RECORD_BYTES),
                 RECORD_BYTES + HEAD_BYTES, 1, ship_most),
            Cost(f"{BATCH_RECORDS} records a request", (large / BATCH_RECORDS + ship) / 1e6,
                 2 * frame_bytes(body) / BATCH_RECORDS, RECORD_BYTES + HEAD_BYTES / BATCH_RECORDS,
                 BATCH_RECORDS, ship_most))


def limits(cost, instance):
    """What it is limited by -> records a second."""
    disk_bytes_a_s = min(instance.disk_mb * 1e6, GP3_MIB_MAX * (1 << 20))
    padding = min(BLOCK_BYTES / 2 / FLUSH_S, disk_bytes_a_s / 2)
    return {"CPU": instance.vcpus / cost.cpu_s,
            "shipper": cost.ship_records_a_s,
            "disk": (disk_bytes_a_s - padding) / cost.disk_bytes,
            "network": instance.network_mb * 1e6 / cost.network_bytes}


def first(found):
    name = min(found, key=found.get)
    return name, found[name]


def balancer_usd(cost, records_a_s):
    """An Application Load Balancer, by its bytes: clients keep their connections, and it has one
    rule."""
    units = records_a_s * cost.network_bytes * 3600 / LCU_BYTES_AN_HOUR
    return BALANCER_USD + units * LCU_USD_AN_HOUR * HOURS


@dataclasses.dataclass(frozen=True)
class Fleet:
    nodes: int
    instance: Instance
    limit: str
    share: float          # Of what a node can do.
    volume_gib: int
    volume_mib_a_s: int
    nodes_usd: float
    volumes_usd: float


def fleet_of(cost, instance, records_a_s):
    limit, most = first(limits(cost, instance))
    nodes = max(NODES_MIN, math.ceil(records_a_s / (most * UTILISATION)))
    each = records_a_s / nodes
    disk_a_s = each * cost.disk_bytes + cost.commit_bytes_a_s(each)
    # The volume gives what a node takes when a third of the fleet is gone, and reads as much again
    # after an outage.
    mib_a_s = min(GP3_MIB_MAX, max(GP3_MIB_FREE, math.ceil(1.5 * disk_a_s / (1 << 20) / 25) * 25))
    held = (each * cost.disk_bytes / 2 + cost.commit_bytes_a_s(each)) * OUTAGE_S / (1 << 30)
    gib = max(VOLUME_GIB_MIN, math.ceil(1.5 * held / 50) * 50)
    volume_usd = gib * GP3_USD_A_GIB + (mib_a_s - GP3_MIB_FREE) * GP3_USD_A_MIB
    return Fleet(nodes, instance, limit, each / most, gib, mib_a_s,
                 nodes * (instance.usd_an_hour * HOURS + ADDRESS_USD), nodes * volume_usd)


def cheapest(cost, records_a_s):
    """The cheapest fleet that is not of too many nodes; of the largest kind if all are."""
    every = [fleet_of(cost, instance, records_a_s) for instance in INSTANCES]
    few = [f for f in every if f.nodes <= NODES_MANY] or every[-1:]
    return min(few, key=lambda f: f.nodes_usd + f.volumes_usd)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def tables(text):
    known = costs(text)
    out = ["What a record of 1 KiB costs a node:\n",
           table(["", "CPU, µs", "journal, written and read, bytes", "network in, bytes"],
                 [[c.what, f"{c.cpu_s * 1e6:.1f}", f"{c.disk_bytes:,.0f}",
                   f"{c.network_bytes:,.0f}"] for c in known])]
    for cost in known:
        rows = []
        for instance in INSTANCES:
            found = limits(cost, instance)
            name, most = first(found)
            rows.append([f"`{instance.name}`", instance.vcpus,
                         *(f"{found[n]:,.0f}" for n in ("CPU", "shipper", "disk", "network")), name,
                         f"{most * UTILISATION:,.0f}"])
        out += [f"Records a second by which a node is full, {cost.what}:\n",
                table(["node", "vCPU", "CPU", "shipper", "disk", "network", "first", "planned"],
                      rows)]
    for cost in known:
        rows = []
        for rate in RATES:
            f = cheapest(cost, rate)
            balancer = balancer_usd(cost, rate)
            rows.append([f"{rate:,}", f"{f.nodes} × `{f.instance.name}`",
                         f"{f.limit}, {f.share * 100:.0f} %",
                         f"{f.volume_gib} GiB, {f.volume_mib_a_s} MiB/s", f"{f.nodes_usd:,.0f}",
                         f"{f.volumes_usd:,.0f}", f"{balancer:,.0f}",
                         f"{f.nodes_usd + f.volumes_usd + balancer:,.0f}"])
        out += [f"Fleets, {cost.what}; USD a month:\n",
                table(["records/s", "nodes", "first limit, used", "volume of each", "nodes",
                       "volumes", "balancer", "together"], rows)]
    return "\n".join(out)


def page_with(page, made):
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + made + "\n" + END + rest.split(END)[1]


def main():
    parser = argparse.ArgumentParser(description="Prints the tables of docs/SIZING.md.")
    parser.add_argument("--write", action="store_true", help="put them into the page")
    given = parser.parse_args()
    made = tables(PERFORMANCE.read_text())
    if given.write:
        PAGE.write_text(page_with(PAGE.read_text(), made))
    else:
        sys.stdout.write(made)


if __name__ == "__main__":
    main()
