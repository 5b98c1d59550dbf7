#!/usr/bin/env python3
"""Starts instances over HTTP for some seconds and waits for each: drive.py URL IN-FLIGHT SECONDS.

Prints one line of JSON: how many completed, how long one took (p50 and p99, milliseconds), how many a second, and how much CPU whom an instance cost
(milliseconds, by the name of the program, of the whole machine). A call that does not bring a result is counted as wrong, and the driver ends with 1.
"""
import collections
import http.client
import json
import os
import statistics
import sys
import threading
import time
import urllib.parse

PROGRAMS = {"flow-sidecar", "flowd", "envoy", "example-service"}


def cpu():
    """Milliseconds of CPU that each program has had so far."""
    spent = collections.Counter()
    tick = 1000 / os.sysconf("SC_CLK_TCK")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                comm, rest = stat.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        # the kernel keeps fifteen letters of a name
        for name in PROGRAMS:
            if comm == name[:15]:
                fields = rest.split()
                spent[name] += (int(fields[11]) + int(fields[12])) * tick
    return spent


def drive(url, until, took, wrong):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    path = f"{url.path}?{url.query}"
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("POST", path, b"{}", {"content-type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200 and b"Positive" in body:
            took.append(time.monotonic() - began)
        else:
            wrong.append(f"{answer.status} {body[:200]!r}")


def main():
    url, flight, seconds = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    took, wrong = [], []
    before, began = cpu(), time.monotonic()
    threads = [threading.Thread(target=drive, args=(url, began + seconds, took, wrong)) for _ in range(flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lasted, after = time.monotonic() - began, cpu()
    took.sort()
    print(json.dumps({
        "completed": len(took),
        "wrong": wrong[:3],
        "p50": 1000 * statistics.median(took) if took else None,
        "p99": 1000 * took[int(len(took) * 0.99)] if took else None,
        "second": len(took) / lasted,
        "cpu": {name: (after[name] - before[name]) / max(len(took), 1) for name in sorted(PROGRAMS)},
    }))
    sys.exit(1 if wrong or not took else 0)


main()
