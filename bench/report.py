"""Puts what was measured into words: docs/BENCHMARKS.md."""

from figures import median, spread

OURS, CURL, FLOOR = "microsecrets with-env", "curl, one GET", "AWS SDK for Rust, one GET"
MOST_OF_CURL, MOST_OF_FLOOR, MOST_MEMORY = 1.2, 1.15, 64 << 10


def document(found):
    parts = [
        head(found),
        main(*found["main"]),
        by(found["variables"], "variables", "The environment's size"),
        by(found["versions"], "versions", "The length of the history"),
        by(found["credentials"], "credentials from", "Where the credentials come from"),
        at_once(found["at once"]),
        gigabyte(*found["gigabyte"]),
        goals(found),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def head(found):
    machine = "\n".join(f"* {line}" for line in found["machine"])
    return f"""
# Benchmarks

Made by `python3 bench/run.py`, which anyone can run again; measured on {found["date"]}.

{machine}

Every command of a table was run in turn with the others, {found["runs"]} times where nothing else is said, against the same
local server over TLS with the same 150 root certificates: the strict fake of the tests, compiled for release, behind a relay
that adds the round trip time (the opening of a connection costs one, too). `credstash` needs DynamoDB, which the fake lacks:
it is answered from memory with what a moto server has answered before. `sops` asks nobody, its file lies on the disk. All of
them read 20 variables, but where another number is said.

Times are medians in milliseconds, of the whole process until the command it starts (`/bin/true`) has ended; in brackets the
middle half of the runs. Instructions are callgrind's, for `microsecrets` until `execve`. Bytes are those of the connection,
TLS included. Memory is the peak of what is resident. Compare the rows, not the milliseconds of two machines."""


def table(header, rows):
    lines = [f"| {' | '.join(header)} |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows])


def ms(values):
    return f"{median(values):.1f} ({spread(values)})"


def millions(count):
    return "" if count is None else f"{count / 1e6:.1f} M"


def kib(count):
    return f"{count / 1024:.1f} KiB"


def mib(count):
    return "" if count is None else f"{count / (1 << 20):.1f} MiB"


def main(rows, tables):
    parts = ["## A start\n"]
    counted = [
        [name, millions(row["instructions"]), row["requests"], kib(row["up"]), kib(row["down"]), mib(row["memory"] << 10), mib(row["size"])]
        for name, row in rows.items()
    ]
    parts.append(table(["", "instructions", "requests", "bytes up", "down", "memory", "size on disk"], counted))
    for milliseconds, times in tables:
        parts.append(f"\nWith {milliseconds} ms of added round trip:\n")
        timed = [
            [name, ms(time.wall), f"{median(time.user):.1f}", f"{median(time.system):.1f}", ratio(time, times[CURL])]
            for name, time in times.items()
        ]
        parts.append(table(["", "wall", "user", "system", "of curl's"], timed))
    parts.append("\nThe size of what runs on Python is given where it is a folder of its own, without Python.")
    return "\n".join(parts)


def ratio(time, of):
    return f"{median(time.wall) / median(of.wall):.2f}"


def by(found, unit, title):
    rows = []
    for value, series in found.items():
        for name, row in series.items():
            value_text = f"{value:,}" if isinstance(value, int) else value
            rows.append([name, value_text, ms(row["times"].wall), row["requests"], millions(row["instructions"])])
    return f"## {title}\n\n" + table(["", unit, "wall", "requests", "instructions"], rows)


def at_once(found):
    rows = [
        [name, f"{median([wall for wall, _ in runs]):.0f}", f"{median([cpu for _, cpu in runs]):.1f}"]
        for name, runs in found.items()
    ]
    about = "64 processes are started at the same moment on the same cores; until the last has ended, and CPU time of each.\n\n"
    return "## Sixty-four starts at once\n\n" + about + table(["", "wall, ms", "CPU of each, ms"], rows)


def gigabyte(size, found):
    rows = []
    for (way, name), (times, memory) in found.items():
        rows.append([way, name, f"{median(times.wall) / 1000:.1f}", f"{median(times.user) / 1000:.1f}", mib(memory << 10)])
    about = f"{size >> 20:,} MiB of noise, from the disk and to it. Ours is verified by SHA-256 on both ways.\n\n"
    return "## A large file\n\n" + about + table(["", "", "wall, s", "user, s", "memory"], rows)


def goals(found):
    rows, tables = found["main"]
    judged = []
    for milliseconds, times in tables:
        found_ratio = median(times[OURS].wall) / median(times[CURL].wall)
        judged.append((f"a start at {milliseconds} ms takes at most {MOST_OF_CURL} times the bare curl", f"{found_ratio:.2f}", found_ratio <= MOST_OF_CURL))
    of_floor = rows[OURS]["instructions"] / rows[FLOOR]["instructions"]
    judged.append((f"at most {MOST_OF_FLOOR} times the instructions of the SDK's floor", f"{of_floor:.2f}", of_floor <= MOST_OF_FLOOR))
    judged.append(("one request", rows[OURS]["requests"], rows[OURS]["requests"] == 1))
    versions = [series[OURS] for series in found["versions"].values()]
    grown = versions[-1]["instructions"] / versions[0]["instructions"]
    flat = abs(grown - 1) < 0.01 and {row["requests"] for row in versions} == {1}
    judged.append(("flat in versions, in instructions and requests", f"{grown:.3f}", flat))
    others = {name for _, times in tables for name in times} - {OURS, FLOOR}
    faster = sorted({name for _, times in tables for name in others & times.keys() if median(times[name].wall) < median(times[OURS].wall)})
    judged.append(("no peer faster in any row of a start", ", ".join(faster) or "none", not faster))
    _, large = found["gigabyte"]
    for way, ours in (("up", "microsecrets upload -f"), ("down", "microsecrets download -f")):
        of_aws = median(large[way, ours][0].wall) / median(large[way, "aws s3 cp"][0].wall)
        judged.append((f"the large file {way} at least as fast as aws s3 cp", f"{of_aws:.2f}", of_aws <= 1))
        memory = large[way, ours][1]
        judged.append((f"in at most {MOST_MEMORY >> 10} MiB", mib(memory << 10), memory <= MOST_MEMORY))
    lines = [[goal, value, "met" if met else "**missed**"] for goal, value, met in judged]
    return "## Goals\n\n" + table(["goal", "measured", ""], lines)
