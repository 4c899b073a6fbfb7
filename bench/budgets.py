#!/usr/bin/env python3
"""Holds commands to what they are known to cost: requests, and instructions with 5 % to spare.

    python3 bench/budgets.py [--update]

Each command runs on the strict fake, over TLS with the certificates of bench/roots.pem, so that the count depends neither
on the machine's certificates nor on what else it does (valgrind's callgrind; times are never judged). What is known
stands in bench/budgets.json: a dependency that costs a start more shows in the change that brings it. --update writes
what is found there; do that in the change that means to cost more or less, and say why.

Needs target/release/microsecrets, target/debug/strict-fake (both are built when they are missing) and valgrind.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import figures
import world

BUDGETS = world.ROOT / "bench" / "budgets.json"
SLACK = 0.05
START = ["with-env", "-a", "--", "/bin/true"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="take what is found as what is known")
    update = parser.parse_args().update
    program = world.built("release", "microsecrets-cli", "microsecrets")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(program, pathlib.Path(folder))
    if update:
        BUDGETS.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(judge(found, json.loads(BUDGETS.read_text())))


def measure(program, folder):
    found = {}
    with world.Fake(folder) as fake:
        environment = world.environment_of(folder, fake.endpoint)
        for variables in range(1, 21):
            world.upload(program, environment, variables)
        cost = Cost(program, environment, folder, fake)
        found["with-env"] = cost.of(START, until="execve")
        found["history"] = cost.of(["history"])
        found["upload"] = cost.of(["upload", "-q", pairs_file(folder)])
        found["with-env, signed"] = cost.of(signed_start(program, environment, folder), until="execve")
    # A start costs the same whatever the length of the history.
    with world.Fake(folder, versions=10_000) as fake:
        environment = world.environment_of(folder, fake.endpoint)
        world.upload(program, environment)
        cost = Cost(program, environment, folder, fake)
        found["with-env, 10,000 versions"] = cost.of(START, until="execve")
    return found


def signed_start(program, environment, folder):
    """Signs what is there, and gives the words of a start that pins the key."""
    key = folder / "signing-key.pem"
    export = [program, "signing-key", "export"]
    key.write_bytes(subprocess.run(export, env=environment, check=True, capture_output=True).stdout)
    sign = [program, "re-sign", "--sign", "--verify-key", key, "--adopt", "--yes"]
    subprocess.run(sign, env=environment, check=True, stderr=subprocess.DEVNULL)
    return ["with-env", "--verify-key", key, "--", "/bin/true"]


def pairs_file(folder):
    file = folder / "pairs"
    file.write_text(world.pairs(21))
    return file


class Cost:
    """What commands cost in one world."""

    def __init__(self, program, environment, folder, fake):
        self.program, self.environment, self.folder, self.fake = program, environment, folder, fake

    def of(self, words, until=None):
        found = {}

        def run():
            command = [self.program, *words]
            found["instructions"] = figures.instructions(command, self.environment, self.folder, until)

        # Some requests go out together, in either order.
        found["requests"] = dict(sorted(collections.Counter(self.fake.requests_of(run)).items()))
        return found


def judge(found, known):
    """Prints what was found beside what is known; 1 when something costs more."""
    failed = 0
    print("command                    instructions         known            requests")
    for name, cost in found.items():
        budget = known.get(name)
        if budget is None:
            print(f"over budget: nothing is known of {name}; --update", file=sys.stderr)
            failed = 1
            continue
        change = cost["instructions"] / budget["instructions"] - 1
        requests = ", ".join(f"{count} {operation}" for operation, count in cost["requests"].items())
        print(f"{name:25}  {cost['instructions']:12,}  {budget['instructions']:12,}  {change:+6.1%}  {requests}")
        if change > SLACK:
            print(f"over budget: {name} has {change:.1%} more instructions, {SLACK:.0%} are allowed", file=sys.stderr)
            failed = 1
        if cost["requests"] != budget["requests"]:
            print(f"over budget: {name} made {cost['requests']}, not {budget['requests']}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    main()
