#!/usr/bin/env python3
"""Allocations per delivered QoS 0 message: the shipped binary under alloccount.so, one publisher, 1 and then 51 subscribers.

What the other 50 cost is what delivering costs: (allocations with 51 - allocations with 1) / 50 / messages. A turn of the
event loop hands each subscriber one buffer with everything that the turn brought it, which is two allocations (the
buffer and what refers to it) per write. Exits with 1 when there are more than that, by 0.05 a message.

  bench_allocations.py peers/tidegate-lan.toml"""
import argparse, os, struct, sys, tempfile
from benchlib import *

A = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
A.add_argument("peer")
A.add_argument("-n", "--messages", type=int, default=5000)
A.add_argument("-l", "--limit", type=float, default=0.05)
a = A.parse_args()


def measure(subscribers):
    peer = Peer(a.peer)
    with tempfile.TemporaryDirectory(prefix="tidegate-allocations.") as d:
        counters = os.path.join(d, "counters")
        peer.env = dict(peer.env, LD_PRELOAD=os.path.join(HERE, "alloccount.so"), ALLOCCOUNT=counters)
        s = Server(peer, d, port())
        try:
            s.start()
            run = lambda n: load(s.port, "-m", "fanout", "-K", subscribers, "-q", 0, "-s", 64, "-n", n, "-W", 200,
                                 "-t", "b/%c", "-f", "b/#", "--idle", 4, timeout=120)
            read = lambda: struct.unpack("QQ", open(counters, "rb").read(16))
            run(500)
            # Two runs of different lengths: connecting and subscribing drop out.
            x = read(); first = run(a.messages); y = read(); second = run(3 * a.messages); z = read()
            for j in (first, second):
                if "error" in j or j.get("lost"):
                    sys.exit(f"not all was delivered: {j}")
            return [(z[k] - y[k] - (y[k] - x[k])) / (2 * a.messages) for k in (0, 1)]
        finally:
            s.stop()


(one_a, one_w), (many_a, many_w) = measure(1), measure(51)
allocations, writes = (many_a - one_a) / 50, (many_w - one_w) / 50
beyond = allocations - 2 * writes
print(f"a published message: {one_a:.2f} allocations with one subscriber")
print(f"a delivered message: {allocations:.3f} allocations, {writes:.3f} writes: {beyond:+.3f} beyond the write buffers"
      f" (limit {a.limit})")
sys.exit(beyond > a.limit)
