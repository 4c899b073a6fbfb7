"""Figures of a whole command: times, memory, instructions."""

import dataclasses
import os
import re
import resource
import statistics
import subprocess
import time


@dataclasses.dataclass
class Times:
    """Milliseconds of each run of one command, until it has ended."""

    wall: list
    user: list
    system: list

    def add(self, wall, usage):
        self.wall.append(wall * 1000)
        self.user.append(usage.ru_utime * 1000)
        self.system.append(usage.ru_stime * 1000)


def run_once(command, environment, into=None):
    """Starts a command and waits for it; gives its wall time and what the system has counted."""
    quiet = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, quiet, 0), (os.POSIX_SPAWN_DUP2, quiet, 1)]
    begin = time.perf_counter()
    process = os.posix_spawn(command[0], [str(word) for word in command], environment, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - begin
    os.close(quiet)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"error: {command} ended with {os.waitstatus_to_exitcode(status)}")
    return wall, usage


def in_turn(commands, runs, warm_up=1):
    """Times of several commands, run in turn so that a busy machine is busy for all of them.

    `commands` has the words and the environment of each by its name.
    """
    times = {name: Times([], [], []) for name in commands}
    for run in range(warm_up + runs):
        for name, (command, environment) in commands.items():
            figures = run_once(command, environment)
            if run >= warm_up:
                times[name].add(*figures)
    return times


def peak_memory(command, environment):
    """Peak of resident memory in KiB. By GNU time: what a child of Python's is counted begins at Python's own."""
    words = ["/usr/bin/time", "-f", "%M", *command]
    done = subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return int(done.stderr.split()[-1])


def instructions(command, environment, folder, until=None):
    """Instructions of a command and its children, by valgrind's callgrind: repeatable whatever else the machine does.

    Up to a function, when it never returns from there (execve replaces the process).
    """
    for old in folder.glob("callgrind.out*"):
        old.unlink()
    valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out.%p"]
    valgrind += [f"--dump-before={until}"] if until else ["--trace-children=yes"]
    subprocess.run([*valgrind, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    # What is dumped before the function has a number of its own; what comes after it does not count.
    profiles = sorted(folder.glob("callgrind.out.*.1" if until else "callgrind.out.*"))
    if not profiles:
        raise SystemExit(f"error: callgrind has no figures of {command}")
    found = (re.search(r"^(?:summary|totals): (\d+)", profile.read_text(), re.MULTILINE) for profile in profiles)
    return sum(int(match.group(1)) for match in found)


def median(values):
    return statistics.median(values)


def spread(values):
    """The middle half, as text: from the lower quartile to the upper one."""
    if len(values) < 4:
        return f"{min(values):.1f} to {max(values):.1f}"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.1f} to {high:.1f}"


def together(command, environment, count):
    """Starts a command so often at once; milliseconds until the last has ended, and of CPU that all of them took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    running = [subprocess.Popen(command, env=environment, **quiet) for _ in range(count)]
    if any([process.wait() for process in running]):
        raise SystemExit(f"error: one of {count} starts of {command} failed")
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall * 1000, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000
