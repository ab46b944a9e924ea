#!/usr/bin/env python3
"""What well-behaved clients feel while others misbehave: end-to-end latency at 1,000 msg/s, QoS 1, beside each attack.

  half    500 connections that send half a CONNECT and no more
  drip    200 logged-in connections that send a PUBLISH one byte a second
  pings   one connection that sends PINGREQs as fast as they are answered
  deaf    a subscriber that never reads, of a topic with 5,000 messages of 256 bytes a second
  storm   1,000 clients that connect at once and leave, over and over

  bench_attack.py peers/mosquitto-2.0.11.toml peers/tidegate-lan.toml -r 3"""
import argparse, json, multiprocessing, socket, subprocess, time
from benchlib import *

A = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
A.add_argument("peers", nargs="+")
A.add_argument("-r", "--rounds", type=int, default=3)
A.add_argument("-t", "--tests", default="none,half,drip,pings,deaf,storm")
A.add_argument("-o", "--out", default="attack.json")
A.add_argument("-w", "--work", default="/tmp/bench-work/attack")
a = A.parse_args()


def packet(kind, body):
    n, length = len(body), b""
    while True:
        n, low = n >> 7, n & 0x7F
        length += bytes([low | (0x80 if n else 0)])
        if not n:
            return bytes([kind]) + length + body


def text(s):
    return len(s).to_bytes(2, "big") + s.encode()


def connect(name):
    return packet(0x10, text("MQTT") + bytes([4, 2, 0, 0]) + text(name))


def opened(port_no, name):
    s = socket.create_connection(("127.0.0.1", port_no))
    s.sendall(connect(name))
    s.recv(4)
    return s


def half(port_no):
    kept = []
    for i in range(500):
        s = socket.create_connection(("127.0.0.1", port_no))
        s.sendall(connect(f"half{i}")[:9])
        kept.append(s)
    time.sleep(3600)


def drip(port_no):
    kept = [opened(port_no, f"drip{i}") for i in range(200)]
    publish = packet(0x30, text("drip") + bytes(60))
    for byte in publish:
        for s in kept:
            s.send(bytes([byte]))
        time.sleep(1)


def pings(port_no):
    s = opened(port_no, "pings")
    while True:
        s.sendall(b"\xc0\x00" * 4096)
        got = 0
        while got < 8192:
            got += len(s.recv(65536))


def deaf(port_no):
    s = opened(port_no, "deaf")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(packet(0x82, b"\0\1" + text("flood/#") + b"\0"))
    p = opened(port_no, "flood")
    burst = packet(0x30, text("flood/x") + bytes(256)) * 50
    while True:
        p.sendall(burst)
        time.sleep(0.01)


def storm(port_no):
    while True:
        subprocess.run([LOAD, "-p", str(port_no), "-m", "conns", "-N", "1000", "-d", "0", "-i", "storm"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


peers = [Peer(p) for p in a.peers]
rows = {p.name: [] for p in peers}
for rnd in range(a.rounds):
    for k in range(len(peers)):
        p = peers[(k + rnd) % len(peers)]
        row = {}
        for name in a.tests.split(","):
            s = Server(p, fresh(os.path.join(a.work, p.name)), port())
            s.start()
            attack = multiprocessing.Process(target=globals()[name], args=(s.port,)) if name != "none" else None
            try:
                if attack:
                    attack.start()
                    time.sleep(2)
                before = s.rss()
                j = load(s.port, "-m", "p2p", "-q", 1, "-s", 64, "-r", 1000, "-n", 5000, "-t", "b/%c", "-f", "b/#",
                         "--idle", 4, timeout=120)
                if attack and not attack.is_alive():
                    raise RuntimeError(f"the attack {name} ended early")
                row[name + "_p50_us"], row[name + "_p99_us"] = j["lat_us"]["p50"], j["lat_us"]["p99"]
                row[name + "_lost"], row[name + "_rss_growth_kib"] = j["lost"], s.rss() - before
                log(f"[{rnd}] {p.name} {name}: {j['lat_us']} lost {j['lost']}")
            finally:
                if attack and attack.is_alive():
                    attack.kill()
                    attack.join()
                subprocess.run(["pkill", "-f", f"mqttload -p {s.port} -m conns"])
                s.stop()
        rows[p.name].append(row)
        json.dump(rows, open(a.out, "w"), indent=1)
names = [p.name for p in peers]
table(names, list(rows[names[0]][0]), rows)
