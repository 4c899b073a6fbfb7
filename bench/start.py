#!/usr/bin/env python3
"""What starting a program with its secrets costs, beside a bare `curl` of the same object over the same TLS.

    python3 bench/start.py [--check] [--runs N] [--versions N]

Prints requests, instructions (valgrind's callgrind: repeatable whatever else the machine does) and times. With --check
it fails when a start takes more than one request or more than 40 million instructions, or one that verifies a signature
more than 3 million on top of that; times are never judged.

Needs target/release/microsecrets, target/debug/strict-fake (both are built when they are missing), valgrind and curl.
The store is the strict fake of the tests, on loopback; bench/roots.pem holds 149 made-up root certificates and the
fake's own, so that the count does not depend on the machine's.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CERTIFICATES = ROOT / "bench" / "roots.pem"
MOST_INSTRUCTIONS = 40_000_000
MOST_FOR_A_SIGNATURE = 3_000_000
KEY, SECRET = "AKIAEXAMPLE", "example-secret-key"
BUCKET, SERVICE = "example-microsecrets", "api"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail when requests or instructions are over budget")
    parser.add_argument("--runs", type=int, default=20, help="timed runs of each command")
    parser.add_argument("--versions", type=int, default=10_000, help="old versions in the second row")
    options = parser.parse_args()
    program = built("release", "microsecrets", ["--release", "-p", "microsecrets-cli"])
    fake = built("debug", "strict-fake", ["-p", "strict-fake"])
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(program, fake, pathlib.Path(folder), versions, options.runs) for versions in (1, options.versions)]
    report(rows)
    if options.check:
        sys.exit(check(rows))


def built(profile, name, arguments):
    path = ROOT / "target" / profile / name
    if not path.exists():
        subprocess.run(["cargo", "build", "--locked", *arguments], cwd=ROOT, check=True)
    return path


class Fake:
    """The strict fake over TLS, for as long as the block runs."""

    def __init__(self, program, log, versions):
        self.log = log
        tls = ROOT / "tests" / "strict-fake" / "tls"
        command = [program, "--bucket", BUCKET, "--access-key", KEY, "--secret-key", SECRET]
        command += ["--key-alias", f"microsecrets-{SERVICE}", "--signing-key-alias", f"microsecrets-signing/{SERVICE}"]
        command += ["--tls-cert", tls / "server.pem"]
        command += ["--tls-key", tls / "server.key", "--log", log, "--until-stdin-closes"]
        if versions > 1:
            command += ["--history", f"{SERVICE}={versions - 1}"]
        self.command = command

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.endpoint = line.removeprefix("endpoint: ").strip()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def requests(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def measure(program, fake_program, folder, versions, runs):
    log = folder / f"requests-{versions}"
    with Fake(fake_program, log, versions) as fake:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "SSL_CERT_FILE": str(CERTIFICATES),
            "MICROSECRETS_ENDPOINT": fake.endpoint,
            "MICROSECRETS_REGION": "us-east-1",
            "MICROSECRETS_BUCKET": BUCKET,
            "MICROSECRETS_SERVICE": SERVICE,
        }
        pairs = "".join(f"VARIABLE_{n}=a value of some length, number {n}\n" for n in range(20))
        subprocess.run([program, "upload", "-q"], input=pairs, text=True, env=environment, check=True, stdout=subprocess.DEVNULL)
        # The old versions are 0.3.4's: without this, readers would go on looking for newer ones of it.
        finish = [program, "migrate", "--finish", "--yes"]
        subprocess.run(finish, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        start = [program, "with-env", "-a", "--", "/bin/true"]
        requests = requests_of(start, environment, fake)
        unsigned_instructions = instructions(start, environment, folder, until="execve")
        url = f"{fake.endpoint}/{BUCKET}/services/{SERVICE}/head/environment"
        curl = ["curl", "-sSf", "-o", "/dev/null", "--cacert", CERTIFICATES]
        curl += ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{KEY}:{SECRET}"]
        # S3 wants the hash of the (empty) body, which curl does not send by itself.
        curl += ["-H", "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", url]
        curl_instructions = instructions(curl, environment, folder)
        times = paired(start, curl, environment, runs)
        key = folder / "signing-key.pem"
        export = [program, "signing-key", "export"]
        key.write_bytes(subprocess.run(export, env=environment, check=True, capture_output=True).stdout)
        sign = [program, "re-sign", "--sign", "--verify-key", key, "--adopt", "--yes"]
        subprocess.run(sign, env=environment, check=True, stderr=subprocess.DEVNULL)
        signed_start = [program, "with-env", "--verify-key", key, "--", "/bin/true"]
        return {
            "versions": versions,
            "requests": requests,
            "instructions": unsigned_instructions,
            "signed_requests": requests_of(signed_start, environment, fake),
            "signed_instructions": instructions(signed_start, environment, folder, until="execve"),
            "curl_instructions": curl_instructions,
            "times": times,
        }


def requests_of(command, environment, fake):
    """What a command asks of the store."""
    before = len(fake.requests())
    subprocess.run(command, env=environment, check=True)
    return [request["operation"] for request in fake.requests()[before:]]


def instructions(command, environment, folder, until=None):
    """Instructions of a command; up to a function, when it never returns from there (execve replaces the process)."""
    out = folder / "callgrind.out"
    for old in folder.glob("callgrind.out*"):
        old.unlink()
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
    if until:
        valgrind.append(f"--dump-before={until}")
    subprocess.run([*valgrind, *command], env=environment, check=True)
    profile = folder / "callgrind.out.1" if until else out
    return int(re.search(r"^(?:summary|totals): (\d+)", profile.read_text(), re.MULTILINE).group(1))


def paired(first, second, environment, runs):
    """Milliseconds of both commands, run in turn so that a busy machine is busy for both."""
    times = ([], [])
    for _ in range(runs + 1):
        for command, into in zip((first, second), times):
            begin = time.perf_counter()
            subprocess.run(command, env=environment, check=True)
            into.append((time.perf_counter() - begin) * 1000)
    return tuple(statistics.median(sorted(into[1:])) for into in times)


def report(rows):
    print("versions  requests  instructions  and verifying  curl's instructions  ratio   wall (median)  curl's  ratio")
    for row in rows:
        ours, curls = row["times"]
        print(
            f"{row['versions']:8}  {len(row['requests']):8}  {row['instructions']:12,}"
            f"  {row['signed_instructions'] - row['instructions']:+13,}  {row['curl_instructions']:19,}"
            f"  {row['instructions'] / row['curl_instructions']:5.2f}  {ours:11.1f} ms  {curls:3.0f} ms  {ours / curls:5.2f}"
        )


def check(rows):
    failed = 0
    for row in rows:
        for requests in (row["requests"], row["signed_requests"]):
            if requests != ["GetObject"]:
                print(f"over budget: {requests} with {row['versions']} versions, one GetObject is allowed", file=sys.stderr)
                failed = 1
        most = MOST_INSTRUCTIONS
        for found in (row["instructions"], row["signed_instructions"]):
            if found > most:
                print(f"over budget: {found:,} instructions, {most:,} are allowed", file=sys.stderr)
                failed = 1
            most = row["instructions"] + MOST_FOR_A_SIGNATURE
    return failed


if __name__ == "__main__":
    main()
