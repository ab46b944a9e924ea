#!/usr/bin/env python3
"""Reloads under load: mqttload -> tidegate -> upstream mosquitto -> counting subscriber, and `tidegate reload` all the time.

  bench_reload.py [-r 200] [--rate 5000] [--binary PATH]

Each reload changes classes, rules, LAN limits, a second listener, sensors and, every fourth time, the link. The publishers do
not reconnect: a connection that is dropped shows. Fails when a message is lost or out of order, when a connection was
dropped, or when a reload failed. The default rate and number take about four minutes."""
import argparse, json, os, subprocess, sys, time
from benchlib import *

A = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
A.add_argument("-r", "--reloads", type=int, default=200)
A.add_argument("--rate", type=int, default=5000, help="messages a second, all publishers together")
A.add_argument("-M", "--pubs", type=int, default=10)
A.add_argument("--pause", type=float, default=1.0, help="seconds from one reload to the next, at least")
A.add_argument("--binary", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.build-release/tidegate"))
A.add_argument("-w", "--work", default="/tmp/bench-work/reload")
a = A.parse_args()

UP = Peer(name="upstream", cmd="mosquitto -c {dir}/up.conf")
UP.files = {"up.conf": "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
            "set_tcp_nodelay true\npersistence false\nlog_type error\n"}
GATEWAY = Peer(name="tidegate", cmd=a.binary + " run --config {dir}/tidegate.toml")
BASE = """[gateway]
id = "gw"
data_dir = "{dir}/data"
[upstream]
url = "mqtt://127.0.0.1:{up}"
reconnect_min = "100ms"
reconnect_max = "1s"
"""


def settings(n, second):
    """The settings of round n. What the load needs is the same in all of them."""
    text = f'keep_alive = "{10 + n % 7}s"\n' if n % 4 == 3 else ""
    text += f'[lan]\nlisten = ["127.0.0.1:{{port}}"]\nmax_connections = {100 + n % 5}\n'
    if n % 2:
        text += f'[[listener]]\nlisten = ["127.0.0.1:{second[n // 2 % 2]}"]\n'
    text += f"[class.telemetry]\nmax_count = {10_000_000 + n}\n"
    if n % 3 == 1:
        text += f'[class.extra]\nmax_bytes = "{1 + n % 4}MB"\n'
    text += '[[forward]]\nfrom = "bench/#"\nto = "{topic}"\n'
    text += f'[[forward]]\nfrom = "other/{n % 3}/#"\n' + ('class = "extra"\n' if n % 3 == 1 else "")
    if n % 2 == 0:
        text += f'[[sensor]]\nid = "sim{n % 4}"\ndriver = "simulated"\nwaveform = "sine"\ninterval = "{100 + n % 3 * 50}ms"\n'
    return BASE + text


def main():
    work = fresh(a.work)
    up = Server(UP, os.path.join(work, "up"), port())
    up.start()
    second = [port(), port()]
    GATEWAY.files = {"tidegate.toml": settings(0, second)}
    gw = Server(GATEWAY, os.path.join(work, "gw"), port(), up.port)
    gw.start()
    path = os.path.join(work, "gw", "tidegate.toml")
    count = int(a.rate * a.reloads * a.pause)
    sub = Load(up.port, "-m", "sub", "-q", 1, "-f", "bench/#", "-e", count, "-i", "sub", "--trace-ms", 20, "--linger", 1, tag="sub", work=work)
    if not sub.wait_ready():
        sys.exit("the subscriber is not ready")
    pub = Load(gw.port, "-m", "pub", "-q", 1, "-M", a.pubs, "-n", count, "-r", a.rate, "-s", 64, "-t", "bench/%c", "-i", "pub",
               "--drain", 60, tag="pub", work=work)
    failed, took = [], []
    for n in range(1, a.reloads + 1):
        at = time.monotonic()
        with open(path + ".new", "w") as f:
            f.write(fill(settings(n, second), **gw.kw))
        os.rename(path + ".new", path)
        r = subprocess.run([a.binary, "reload", "--config", path], capture_output=True, text=True, timeout=120)
        took.append(time.monotonic() - at)
        if r.returncode:
            failed.append(r.stderr.strip())
        time.sleep(max(0, a.pause - (time.monotonic() - at)))
    p = pub.result(300)
    end = time.monotonic() + 120
    while sub.alive() and time.monotonic() < end:
        time.sleep(0.1)
    s = sub.result(30)
    gw.stop()
    up.stop()
    result = dict(reloads=a.reloads, failed=len(failed), sent=p["sent"], acked=p["acked"], dropped_connections=p["dropped"],
                  received=s["distinct"], lost=p["acked"] - s["distinct"], repeated=s["dup"], out_of_order=s["ooo"],
                  reload_p50_s=sorted(took)[len(took) // 2], reload_max_s=max(took), ack_p99_us=p["ack_us"]["p99"])
    print(json.dumps(result, indent=1))
    for text in failed[:3]:
        print(text, file=sys.stderr)
    if failed or result["lost"] > 0 or result["out_of_order"] or result["dropped_connections"]:
        sys.exit(1)


main()
