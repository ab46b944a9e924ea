#!/usr/bin/env python3
"""Broker benchmark: start-up, memory, throughput, latency and CPU per 100k messages, several brokers interleaved.

  bench_broker.py peers/mosquitto-2.0.11.toml peers/tidegate.toml -r 3 -o out.json
  bench_broker.py --cmd 'mine=/path/broker --port {port} --dir {dir}' ...

Throughput is closed loop (undelivered messages bounded by -W in mqttload), so no broker is asked to drop.
cpu100k_* = broker CPU seconds per 100,000 messages (fan-out: per 100,000 deliveries)."""
import argparse, json, os, time
from benchlib import *

A = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
A.add_argument("peers", nargs="*", help="peer .toml files")
A.add_argument("--cmd", action="append", default=[], help="name=command with {port} {dir}")
A.add_argument("-r", "--rounds", type=int, default=3)
A.add_argument("-s", "--scale", type=float, default=1.0, help="multiply message counts")
A.add_argument("-c", "--conns", type=int, default=5000)
A.add_argument("-o", "--out", default="broker.json")
A.add_argument("-w", "--work", default="/tmp/bench-work/broker")
A.add_argument("-t", "--tests", default="", help="comma list, default all")
a = A.parse_args()

n = lambda x: max(1, int(x * a.scale))
TESTS = {                                                # name: (mqttload arguments, deliveries per message)
    "p2p_q0_16": (["-m", "p2p", "-q", 0, "-s", 16, "-n", n(200000), "-W", 2000], 1),
    "p2p_q0_256": (["-m", "p2p", "-q", 0, "-s", 256, "-n", n(200000), "-W", 2000], 1),
    "p2p_q1_16": (["-m", "p2p", "-q", 1, "-s", 16, "-n", n(100000), "-W", 1000], 1),
    "p2p_q1_256": (["-m", "p2p", "-q", 1, "-s", 256, "-n", n(100000), "-W", 1000], 1),
    "fanout50_q0_16": (["-m", "fanout", "-K", 50, "-q", 0, "-s", 16, "-n", n(4000), "-W", 200], 50),
    "fanout50_q0_256": (["-m", "fanout", "-K", 50, "-q", 0, "-s", 256, "-n", n(4000), "-W", 200], 50),
    "fanout50_q1_16": (["-m", "fanout", "-K", 50, "-q", 1, "-s", 16, "-n", n(2000), "-W", 200], 50),
    "fanout50_q1_256": (["-m", "fanout", "-K", 50, "-q", 1, "-s", 256, "-n", n(2000), "-W", 200], 50),
    "fanin50_q0_16": (["-m", "fanin", "-M", 50, "-q", 0, "-s", 16, "-n", n(200000), "-W", 40], 1),
    "fanin50_q0_256": (["-m", "fanin", "-M", 50, "-q", 0, "-s", 256, "-n", n(200000), "-W", 40], 1),
    "fanin50_q1_16": (["-m", "fanin", "-M", 50, "-q", 1, "-s", 16, "-n", n(100000), "-W", 10, "-w", 20], 1),
    "fanin50_q1_256": (["-m", "fanin", "-M", 50, "-q", 1, "-s", 256, "-n", n(100000), "-W", 10, "-w", 20], 1),
    "lat_q1_1000": (["-m", "p2p", "-q", 1, "-s", 64, "-r", 1000, "-n", n(5000)], 1),
}
want = a.tests.split(",") if a.tests else list(TESTS) + ["conns", "many"]
peers = [Peer(p) for p in a.peers] + [Peer(name=c.split("=", 1)[0], cmd=c.split("=", 1)[1]) for c in a.cmd]
rows, raw = {p.name: [] for p in peers}, []
for rnd in range(a.rounds):
    for k in range(len(peers)):
        p = peers[(k + rnd) % len(peers)]
        r = {"loadavg": os.getloadavg()[0]}
        d = fresh(os.path.join(a.work, p.name))
        s = Server(p, d, port())
        try:
            r["startup_ms"] = s.start() * 1000
            time.sleep(1)
            r["idle_rss_kib"] = s.rss()
            for t, (args, fan) in TESTS.items():
                if t not in want:
                    continue
                c0 = s.cpu()
                j = load(s.port, *args, "-t", "b/%c", "-f", "b/#", "--idle", 4, *p.auth(), timeout=300)
                time.sleep(0.1)
                cpu = s.cpu() - c0
                raw.append({"round": rnd, "peer": p.name, "test": t, "broker_cpu_s": cpu, **j})
                if "error" in j or not j.get("recv"):
                    r[t + "_lost"] = j.get("lost", -1)
                    log(p.name, t, "FAILED", j)
                    continue
                if t.startswith("lat"):
                    for q in ("p50", "p99", "max"):
                        r[f"{t}_{q}_us"] = j["lat_us"][q]
                else:
                    r[t + "_rate"] = j["rx_rate"]
                    r["cpu100k_" + t] = cpu / j["recv"] * 1e5
                    r["gen_cpu100k_" + t] = j["cpu_s"] / j["recv"] * 1e5
                r["lost_" + t], r["dup_" + t] = j["lost"], j["dup"]
                log(f"[{rnd}] {p.name} {t}: {j['rx_rate']}/s cpu {cpu:.2f} gen {j['cpu_s']:.2f} lost {j['lost']} lat {j['lat_us']['p50']}")
            if "conns" in want:
                r["peak_rss_kib"] = s.rss("VmHWM")
                s.stop()                               # a fresh process: its heap has no reusable space yet
                s = Server(p, fresh(d), port())
                r["startup2_ms"] = s.start() * 1000
                time.sleep(1)
                base = s.rss()
                g = Load(s.port, "-m", "conns", "-N", a.conns, "-d", 3, *p.auth(), work=d)
                ok = g.wait_ready(60)
                time.sleep(1)
                full = s.rss()
                j = g.result()
                raw.append({"round": rnd, "peer": p.name, "test": "conns", "rss_before": base, "rss_full": full, **j})
                if ok:
                    r["conns_alive"], r["rss_bytes_per_conn"] = j["alive"], (full - base) * 1024 / a.conns
                    r["connects_per_s"] = a.conns / j["connect_s"]
                log(f"[{rnd}] {p.name} conns: {j.get('alive')} {r.get('rss_bytes_per_conn')}")
            if "many" in want:
                s.stop()
                s = Server(p, fresh(d), port())
                s.start()
                g = Load(s.port, "-m", "conns", "-N", 2 * a.conns, "-d", 3, *p.auth(), work=d)
                g.wait_ready(60)
                j = g.result()
                raw.append({"round": rnd, "peer": p.name, "test": "many", **j})
                r["many_alive"] = j.get("alive")
                log(f"[{rnd}] {p.name} many: {j.get('alive')} of {2 * a.conns}")
        except Exception as e:
            r["error"] = str(e)
            log(p.name, "ERROR", e)
        finally:
            s.stop()
        rows[p.name].append(r)
        json.dump({"rows": rows, "raw": raw}, open(a.out, "w"), indent=1)
names = [p.name for p in peers]
keys = []
for x in names:
    for r in rows[x]:
        keys += [k for k in r if k not in keys and k != "error" and not k.startswith("gen_")]
keys = [k for k in keys if not (k.startswith(("lost_", "dup_")) and not any(r.get(k) for x in names for r in rows[x]))]
table(names, keys, rows)
