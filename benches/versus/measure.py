"""Runs a command and says what it took, as one tab-separated line appended to a file.

    measure.py RESULTS LABEL COMMAND...

Columns: label, exit code, wall seconds, CPU seconds (user and system, with all children), the peak
memory of the command's own process in MB, and that of its largest process in MB.

`/usr/bin/time -v` cannot tell the last two apart: the kernel's figure for a process that was waited
for is the largest of it and its children, so a C++ compiler would count as loci. The process's own
peak is read from /proc while it runs (VmHWM only grows, so only the last 20 ms can be missed).
"""

import os
import re
import subprocess
import sys
import threading
import time


def watch(pid, peak, done):
    while not done.wait(0.02):
        try:
            with open(f"/proc/{pid}/status") as status:
                found = re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE)
        except OSError:
            return
        if found:
            peak[0] = max(peak[0], int(found[1]))


def main():
    results, label, *command = sys.argv[1:]
    peak, done = [0], threading.Event()
    begun = time.monotonic()
    child = subprocess.Popen(command)
    watcher = threading.Thread(target=watch, args=(child.pid, peak, done))
    watcher.start()
    # Not child.wait(): it throws the resource usage away.
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    done.set()
    watcher.join()
    child.returncode = code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    own, largest = peak[0] * 1024 / 1e6, usage.ru_maxrss * 1024 / 1e6
    line = f"{label}\t{code}\t{wall:.2f}\t{cpu:.1f}\t{own:.0f}\t{largest:.0f}"
    with open(results, "a") as out:
        print(line, file=out)
    print(f"measured: {line}", file=sys.stderr)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
