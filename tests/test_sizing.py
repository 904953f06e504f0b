"""Goal: docs/SIZING.md says what tools/sizing.py works out of the figures that are published, and
its sums hold.

Method: the page's tables are made again; limits and costs are checked against sums done by hand."""

import dataclasses
import sys

import pytest

import inlet

sys.path.insert(0, str(inlet.ROOT / "tools"))
import sizing  # noqa: E402

TEXT = sizing.PERFORMANCE.read_text()


def test_the_page_has_the_tables_of_today():
    page = sizing.PAGE.read_text()
    assert page == sizing.page_with(page, sizing.tables(TEXT)), "tools/sizing.py --write"


def test_figures_are_those_of_the_published_page():
    text = ("\n## A\n\n| x | y | Inlet |\n|---|---|---|\n| 64 | 1 KiB | 1,234.5 |\n"
            "\n## B\n| x | y | Inlet |\n|---|---|---|\n| 64 | 1 KiB | 9 |\n")
    assert sizing.cell(text, "A", ("64", "1 KiB"), "Inlet") == 1234.5
    with pytest.raises(LookupError):
        sizing.cell(text, "A", ("64", "2 KiB"), "Inlet")


def test_a_frame_is_as_long_as_the_format_says():
    assert sizing.frame_bytes(0) == 256 and sizing.frame_bytes(32) == 256
    assert sizing.frame_bytes(33) == 320


def test_the_least_of_the_limits_decides():
    cost = sizing.costs(TEXT)[0]
    for instance in sizing.INSTANCES:
        found = sizing.limits(cost, instance)
        assert sizing.first(found)[1] == min(found.values())
    starved = dataclasses.replace(sizing.INSTANCES[0], network_mb=0.1)
    assert sizing.first(sizing.limits(cost, starved))[0] == "network"


@pytest.mark.parametrize("rate", sizing.RATES)
def test_a_fleet_bears_the_loss_of_a_zone_and_of_its_sink(rate):
    for cost in sizing.costs(TEXT):
        fleet = sizing.cheapest(cost, rate)
        _, most = sizing.first(sizing.limits(cost, fleet.instance))
        left = fleet.nodes - -(-fleet.nodes // 3)
        assert rate / left <= most
        each = rate / fleet.nodes
        bytes_a_s = each * cost.disk_bytes / 2 + cost.commit_bytes_a_s(each)
        assert bytes_a_s * sizing.OUTAGE_S <= fleet.volume_gib * (1 << 30)


def test_more_records_never_cost_less():
    for cost in sizing.costs(TEXT):
        sums = [f.nodes_usd + f.volumes_usd
                for f in (sizing.cheapest(cost, rate) for rate in sizing.RATES)]
        assert sums == sorted(sums)
