"""Runs a command at a terminal of its own: terminal.py STEPS COMMAND...

STEPS is a JSON list of [WAIT FOR, TYPE]: each text is typed once the one to wait for was shown. When it begins with
"hidden:", what is typed must not be echoed: the terminal's echo must be off first. Everything that the terminal shows is
printed, and the status is the command's.
"""
import json
import os
import pty
import select
import sys
import termios
import time

PATIENCE = 60


def read(master):
    try:
        return os.read(master, 65536)
    except OSError:
        return b""  # The command's end is an error on Linux.


def main():
    steps = json.loads(sys.argv[1])
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    shown, seen, deadline = b"", 0, time.monotonic() + PATIENCE
    while True:
        if time.monotonic() > deadline:
            sys.exit("nothing happened; shown was: " + shown.decode())
        if steps:
            wanted, typed = steps[0]
            hidden = wanted.startswith("hidden:")
            wanted = wanted.removeprefix("hidden:").encode()
            at = shown.find(wanted, seen)
            echoes = termios.tcgetattr(master)[3] & termios.ECHO
            if at >= 0 and not (hidden and echoes):
                seen = at + len(wanted)
                os.write(master, typed.encode())
                steps.pop(0)
                continue
        if select.select([master], [], [], 0.02)[0]:
            piece = read(master)
            if not piece:
                break
            shown += piece
    _, status = os.waitpid(pid, 0)
    sys.stdout.buffer.write(shown)
    sys.exit("not shown: " + repr(steps) if steps else os.waitstatus_to_exitcode(status))


main()
