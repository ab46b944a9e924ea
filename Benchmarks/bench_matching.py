#!/usr/bin/env python3
"""Does the rate stay flat while subscriptions grow? One client holds N subscriptions, of several shapes, that the measured
messages do not match; another pair publishes and receives as fast as it can.

  bench_matching.py peers/mosquitto-2.0.11.toml peers/tidegate-lan.toml -r 3"""
import argparse, json, socket, statistics
from benchlib import *

A = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
A.add_argument("peers", nargs="+")
A.add_argument("-r", "--rounds", type=int, default=3)
A.add_argument("-n", "--subscriptions", type=int, nargs="+", default=[10, 1000, 100000])
A.add_argument("-o", "--out", default="matching.json")
A.add_argument("-w", "--work", default="/tmp/bench-work/matching")
a = A.parse_args()


def varlen(n):
    out = b""
    while True:
        n, low = n >> 7, n & 0x7F
        out += bytes([low | (0x80 if n else 0)])
        if not n:
            return out


def text(s):
    return len(s).to_bytes(2, "big") + s.encode()


def read_packet(f):
    head = f.read(1)
    n = shift = 0
    while True:
        b = f.read(1)[0]
        n |= (b & 0x7F) << shift
        shift += 7
        if b < 0x80:
            return head[0], f.read(n)


def hold(port_no, count):
    """Subscribes `count` filters over as many connections as needed, and keeps them open."""
    held = []
    for first in range(0, count, 1000):
        s = socket.create_connection(("127.0.0.1", port_no))
        f = s.makefile("rb")
        body = text("MQTT") + bytes([4, 2, 0, 0]) + text(f"holder{first}")
        s.sendall(b"\x10" + varlen(len(body)) + body)
        assert read_packet(f)[1][1] == 0
        shapes = ["site/{0}/+/temperature", "site/+/{0}/#", "b/{0}", "site/{0}/a/b"]
        filters = b"".join(text(shapes[i % 4].format(i)) + b"\x00" for i in range(first, min(first + 1000, count)))
        body = b"\x00\x01" + filters
        s.sendall(b"\x82" + varlen(len(body)) + body)
        assert all(x < 0x80 for x in read_packet(f)[1][2:])
        held.append((s, f))
    return held


peers = [Peer(p) for p in a.peers]
rows = {p.name: [] for p in peers}
for rnd in range(a.rounds):
    for k in range(len(peers)):
        p = peers[(k + rnd) % len(peers)]
        row = {}
        for n in a.subscriptions:
            d = fresh(os.path.join(a.work, p.name))
            s = Server(p, d, port())
            s.start()
            try:
                held = hold(s.port, n)
                j = load(s.port, "-m", "p2p", "-q", 0, "-s", 16, "-n", 200000, "-W", 2000, "-t", "b/%c", "-f", "b/+",
                         "--idle", 4, timeout=300)
                row[f"subscriptions_{n}_rate"] = j["rx_rate"]
                log(f"[{rnd}] {p.name} {n}: {j['rx_rate']}/s lost {j['lost']}")
                for c, _ in held:
                    c.close()
            finally:
                s.stop()
        row["last_over_first"] = row[f"subscriptions_{a.subscriptions[-1]}_rate"] / row[f"subscriptions_{a.subscriptions[0]}_rate"]
        rows[p.name].append(row)
        json.dump(rows, open(a.out, "w"), indent=1)
names = [p.name for p in peers]
table(names, list(rows[names[0]][0]), rows)
