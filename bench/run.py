#!/usr/bin/env python3
"""Measures Microsecrets beside its peers and writes docs/BENCHMARKS.md.

    python3 bench/run.py [--runs N] [--quick] [--output FILE]

All rows of a table are measured in one run, in turn, on the same local server: the strict fake, over TLS, behind a relay
that adds the round trip time. It takes about half an hour; --quick measures a little of everything in a few minutes,
to see that it works.

Needs cargo, valgrind, curl and GNU time; for the gigabyte 5 GB of disk. Installs the peers below target/bench.
"""

import argparse
import contextlib
import datetime
import hashlib
import os
import pathlib
import platform
import subprocess
import tempfile
import time

import figures
import peers as peers_of
import report
import world

ROUND_TRIPS = (0, 10, 50)


class Bench:
    """What all measurements share."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.runs = 3 if options.quick else options.runs
        self.program = world.built("release", "microsecrets-cli", "microsecrets")
        self.floor = world.built("release", "sdk-floor")
        world.built("release", "strict-fake")
        world.built("release", "fault-proxy")
        self.peers = peers_of.Peers()
        self.start = [self.program, "with-env", "-a", "--", "/bin/true"]

    def fake(self, versions=1, token=None):
        return world.Fake(self.folder, versions=versions, profile="release", token=token)

    def relay(self, authority, milliseconds):
        count = self.folder / f"count.{os.urandom(4).hex()}"
        count.touch()
        return world.Relay(authority, milliseconds, count)

    def ours(self, endpoint):
        """The command itself, the bare request, and the least that its SDK can do."""
        environment = world.environment_of(self.folder, endpoint)
        return {
            "microsecrets with-env": (self.start, environment),
            "curl, one GET": peers_of.curl(endpoint, environment),
            "AWS SDK for Rust, one GET": ([self.floor, world.BUCKET, world.HEAD], environment),
        }


def at(relay):
    return f"https://localhost:{relay.address.split(':')[1]}"


# The main row


def main_rows(bench):
    """Every contender at every round trip time; the counts once, as they do not depend on it."""
    rows, tables = {}, []
    with bench.fake() as fake, peers_of.Replay(bench.peers) as replay:
        direct = world.environment_of(bench.folder, fake.endpoint)
        world.upload(bench.program, direct)
        replay.record(direct)
        for milliseconds in ROUND_TRIPS:
            with bench.relay(fake.authority, milliseconds) as relay, bench.relay(replay.authority, milliseconds) as other:
                commands = contenders(bench, relay, other, offline=milliseconds == 0)
                if milliseconds == 0:
                    rows = counts(bench, commands, fake, replay, relay, other)
                times = figures.in_turn(commands, bench.runs)
                tables.append((milliseconds, times))
    return rows, tables


def contenders(bench, relay, replay, offline):
    environment = world.environment_of(bench.folder, at(relay))
    commands = bench.ours(at(relay))
    if bench.peers.python2:
        commands["microsecrets 0.3.4"] = bench.peers.microsecrets_0_3_4(environment)
    commands["aws s3 cp to a pipe"] = bench.peers.aws_cp(environment)
    commands["credstash getall"] = bench.peers.credstash(environment, at(replay))
    if offline:
        commands["sops exec-env"] = bench.peers.sops_exec_env(bench.folder)
    return commands


def counts(bench, commands, fake, replay, *relays):
    """Instructions, requests, bytes, memory and size of each."""
    rows = {}
    for name, (command, environment) in commands.items():
        before = [relay.bytes() for relay in relays]
        asked = replay.requests
        requests = fake.requests_of(lambda: figures.run_once(command, environment))
        asked = replay.requests - asked
        after = settled(relays, before, expected=name != "sops exec-env")
        up, down = (sum(b[way] - a[way] for a, b in zip(before, after)) for way in (0, 1))
        until = "execve" if name in ("microsecrets with-env", "microsecrets 0.3.4") else None
        # Python's are billions, for minutes; and valgrind does not run what Go has compiled.
        skipped = name == "sops exec-env" or bench.options.quick and name not in bench.ours("")
        counted = None if skipped else figures.instructions(command, environment, bench.folder, until)
        rows[name] = {
            "requests": len(requests) + asked,
            "up": up,
            "down": down,
            "memory": figures.peak_memory(command, environment),
            "instructions": counted,
            "size": size_of(bench, name, command[0]),
        }
    return rows


def settled(relays, before, expected):
    """Bytes once they are counted: that is when a connection has ended, on either side."""
    for _ in range(100):
        time.sleep(0.02)
        after = [relay.bytes() for relay in relays]
        if after != before or not expected:
            break
    return after


def size_of(bench, name, program):
    """Bytes on disk of what must be installed, without the Python that runs it; `None` of what shares its folder."""
    if name in ("aws s3 cp to a pipe", "credstash getall"):
        return None
    if name == "microsecrets 0.3.4":
        return sum(file.stat().st_size for file in bench.peers.legacy.rglob("*") if file.is_file())
    return pathlib.Path(peers_of.find(program)).stat().st_size


# One variable at a time


def by_variables(bench):
    found = {}
    for variables in (1, 20, 1_000):
        with bench.fake() as fake:
            environment = world.environment_of(bench.folder, fake.endpoint)
            world.upload(bench.program, environment, variables)
            found[variables] = series(bench, bench.ours(fake.endpoint), fake)
    return found


def by_versions(bench):
    found = {}
    for versions in (1, 1_000, 100_000):
        with bench.fake(versions) as fake:
            environment = world.environment_of(bench.folder, fake.endpoint)
            world.upload(bench.program, environment)
            commands = bench.ours(fake.endpoint)
            if bench.peers.python2 and not (bench.options.quick and versions > 1_000):
                commands["microsecrets 0.3.4"] = bench.peers.microsecrets_0_3_4(environment)
            few = min(bench.runs, 3) if versions > 1_000 else bench.runs
            found[versions] = series(bench, commands, fake, few)
    return found


def by_credentials(bench):
    found = {}
    with bench.fake(token=world.TOKEN) as fake, world.Credentials() as credentials:
        environment = {**world.environment_of(bench.folder, fake.endpoint), "AWS_SESSION_TOKEN": world.TOKEN}
        world.upload(bench.program, environment)
        said = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        without = {name: value for name, value in environment.items() if name not in said}
        kinds = {
            "environment": environment,
            "web identity": {**without, **credentials.of_web_identity(bench.folder)},
            "container": {**without, **credentials.of_container()},
        }
        for kind, variables in kinds.items():
            commands = {name: (command, variables) for name, (command, _) in bench.ours(fake.endpoint).items()}
            # curl gets its credentials told.
            del commands["curl, one GET"]
            commands["aws s3 cp to a pipe"] = bench.peers.aws_cp(variables)
            found[kind] = series(bench, commands, fake)
    return found


def series(bench, commands, fake, runs=None):
    """Times, requests and (of what is compiled) instructions of a few commands."""
    rows = {}
    times = figures.in_turn(commands, runs or bench.runs)
    for name, (command, environment) in commands.items():
        requests = fake.requests_of(lambda: figures.run_once(command, environment))
        until = "execve" if name == "microsecrets with-env" else None
        compiled = name in bench.ours("")
        rows[name] = {
            "times": times[name],
            "requests": len(requests),
            "instructions": figures.instructions(command, environment, bench.folder, until) if compiled else None,
        }
    return rows


def at_once(bench, starts=64):
    """Many starts at the same moment: milliseconds until the last has ended, and of our CPU for each."""
    found = {}
    with bench.fake() as fake:
        world.upload(bench.program, world.environment_of(bench.folder, fake.endpoint))
        commands = bench.ours(fake.endpoint)
        for _ in range(max(bench.runs // 4, 1)):
            for name, (command, environment) in commands.items():
                wall, cpu = figures.together(command, environment, starts)
                found.setdefault(name, []).append((wall, cpu / starts))
    return found


# The gigabyte


def gigabyte(bench):
    size = (1 << 30) if not bench.options.quick else (64 << 20)
    file, copy = bench.folder / "gigabyte", bench.folder / "gigabyte.copy"
    make_noise(file, size)
    found = {}
    with bench.fake() as fake:
        environment = world.environment_of(bench.folder, fake.endpoint)
        bundled = bench.peers.with_bundle(environment)
        aws = bench.peers.program("aws")
        remote = f"s3://{world.BUCKET}/gigabyte"
        commands = {
            ("up", "microsecrets upload -f"): ([bench.program, "upload", "-q", "--force", "-f", "gigabyte", file], environment),
            ("up", "aws s3 cp"): ([aws, "s3", "cp", "--quiet", file, remote], bundled),
            ("down", "microsecrets download -f"): ([bench.program, "download", "-f", f"gigabyte:{copy}"], environment),
            ("down", "aws s3 cp"): ([aws, "s3", "cp", "--quiet", remote, copy], bundled),
        }
        runs = 1 if bench.options.quick else 3
        for name, (command, variables) in commands.items():
            times = figures.Times([], [], [])
            for _ in range(runs):
                copy.unlink(missing_ok=True)
                times.add(*figures.run_once(command, variables))
                if copy.exists() and digest(copy) != digest(file):
                    raise SystemExit(f"error: {command} brought other bytes")
            copy.unlink(missing_ok=True)
            found[name] = (times, figures.peak_memory(command, variables))
            copy.unlink(missing_ok=True)
    return size, found


def make_noise(path, size):
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def machine(bench):
    """Where this was measured, and what."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=world.ROOT, capture_output=True, text=True)
    rust = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    ours = subprocess.run([bench.program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return [
        f"{os.cpu_count()} cores ({model}), {platform.machine()}, Linux {platform.release().split('-')[0]}",
        f"{ours} ({revision.stdout.strip() or 'no revision'}), {rust}",
        *bench.peers.versions(),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="timed runs of each command")
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    parser.add_argument("--output", type=pathlib.Path, default=world.ROOT / "docs" / "BENCHMARKS.md")
    options = parser.parse_args()
    output = options.output.resolve()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="microsecrets-bench-")))
        bench = Bench(options, folder)
        # credstash writes its log where it is called.
        os.chdir(folder)
        found = {"runs": bench.runs, "date": datetime.date.today().isoformat(), "machine": machine(bench)}
        for name, measure in [
            ("main", main_rows),
            ("variables", by_variables),
            ("versions", by_versions),
            ("credentials", by_credentials),
            ("at once", at_once),
            ("gigabyte", gigabyte),
        ]:
            print(f"{name} ...", flush=True)
            found[name] = measure(bench)
        output.write_text(report.document(found))
        print(f"wrote {output}")


if __name__ == "__main__":
    main()
