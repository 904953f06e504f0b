"""Turns the figures of delivery.py into tables for docs/PERFORMANCE.md. A part that was not
measured is left out."""

from report import number, table


def change(before, after):
    return "–" if not before else f"{(after / before - 1) * 100:+.1f} %"


def file_lines(rows):
    yield from ["## File sink", "", "`inlet-ship --drain` on one core, a backlog of 1 KiB JSON "
                "records read from the disk, level 1.", ""]
    yield from table(["compression", "MB/s of journal", "records/s", "CPU µs a record", "busy"], [
        [row["compression"], number(row["mb_per_s"], 0), number(row["records_per_s"], 0),
         number(row["cpu_us"], 2), number(row["busy"] * 100, 0) + " %"] for row in rows])


def kafka_lines(rows):
    yield from ["## Kafka sink", "", "`inlet-ship --drain` on one core, one broker on the other, "
                "one partition, 1 KiB records, default settings of the sink. Busy: the share of "
                "its core.", ""]
    yield from table(["producer", "records/s", "CPU µs a record", "busy", "broker busy"], [
        [row["mode"], number(row["records_per_s"], 0), number(row["cpu_us"], 2),
         number(row["busy"] * 100, 0) + " %", number(row["broker_busy"] * 100, 0) + " %"]
        for row in rows])


def replicated_lines(result):
    yield from ["## Inlet-Ack: replicated, ms", "", "Three brokers on one core, the node and the "
                "load on the other. Two open loops at once, each of "
                f"{number(result['asked_rate'], 0)}/s for {number(result['seconds'], 0)} s, 1 KiB "
                "bodies. 202: the brokers had not confirmed in time.", ""]
    yield from table(["answer after", "requests/s", "p50", "p99", "p99.9", "max", "200", "202",
                      "failed"], [
        ["disk and brokers" if row["ack"] == "replicated" else "disk", number(row["rate"], 0),
         *times(row), number(row["max_ms"], 2), number(row["answered_200"], 0),
         number(row["answered_202"], 0), number(row["failed"], 0)] for row in result["rows"]])


def times(row):
    return [number(row[key], 2) for key in ("p50_ms", "p99_ms", "p999_ms")]


def isolation_lines(result):
    first, back = result["phases"][0], result["catch_up"]
    yield from ["## One dead sink", "", "A node with a file and an http sink, all of it on "
                f"core {result['node_cores']}, the load and the receiver on core 1, takes "
                f"{number(result['asked_rate'], 0)} requests/s (half of its "
                f"{number(result['top_rate'], 0)}, or what the disk holds) in an open loop, 1 KiB "
                f"bodies; the http sink is dead for {number(result['dead_seconds'], 0)} s. Times "
                "in ms, changes against phase A; late: p99 of how late the load itself sent.", ""]
    yield from table(["phase", "requests/s", "p50", "p99", "p99.9", "late", "failed", "file sink "
                      "records/s", "p99 changed", "file sink changed"], [
        [row["phase"], number(row["rate"], 0), *times(row), number(row["late_ms"], 2),
         number(row["failed"], 0), number(row["file_per_s"], 0), *(["", ""] if row is first else [
             change(first["p99_ms"], row["p99_ms"]),
             change(first["file_per_s"], row["file_per_s"])])]
        for row in result["phases"]])
    yield from table(["memory, MiB", "start of B", "end of B"], [
        [row["process"], number(row["start_mib"]), number(row["end_mib"])]
        for row in result["memory"]])
    yield from [f"Revived, the http sink delivers after {number(back['idle_seconds'])} s, then "
                f"{number(back['records_per_s'], 0)} records/s, {number(back['times_ingest'])} × "
                f"what comes in, and is level after {number(back['level_seconds'])} s.", ""]


LINES = {"file": file_lines, "kafka": kafka_lines, "replicated": replicated_lines,
         "isolation": isolation_lines}


def markdown(results):
    return "\n".join(line for part, lines in LINES.items() if part in results
                     for line in lines(results[part]))
