#!/usr/bin/env python3
"""bench_sensors.py [seconds] -- what sensors cost, with the release binary.

Prints the poll jitter of Modbus devices on a line with a dead one, the processor time of 100 sensors at 1 Hz (in step, and
each with a period of its own), and how memory grows over a million samples. Needs .build-release/tidegate (make release),
mosquitto, and .build/clients (.ci/dependencies test).
"""
import collections, json, os, subprocess, sys, tempfile, time

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
tidegate = f"{root}/.build-release/tidegate"


class Gateway:
    def __init__(self, folder, sensors):
        self.lan, self.upstream = 18830, 18831
        with open(f"{folder}/mosquitto.conf", "w") as file:
            file.write(f"listener {self.upstream} 127.0.0.1\nallow_anonymous true\n")
        with open(f"{folder}/tidegate.toml", "w") as file:
            file.write(f'[gateway]\nid = "gw"\ndata_dir = "{folder}/data"\n[lan]\nlisten = ["127.0.0.1:{self.lan}"]\n')
            file.write(f'[upstream]\nurl = "mqtt://127.0.0.1:{self.upstream}"\n{sensors}')
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.broker = subprocess.Popen(["mosquitto", "-c", f"{folder}/mosquitto.conf"], **quiet)
        self.process = subprocess.Popen([tidegate, "run", "--config", f"{folder}/tidegate.toml"], **quiet)
        time.sleep(5)

    def ticks(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def close(self):
        for process in (self.process, self.broker):
            process.terminate()
            process.wait()


def modbus(folder, interval):
    slaves = subprocess.Popen(
        [f"{root}/.build/clients/bin/python", f"{root}/Tests/Peers/modbus_slaves.py", f"{folder}/line", f"{folder}/faults", "1", "2", "3", "4"],
        stdout=subprocess.PIPE)
    slaves.stdout.readline()
    with open(f"{folder}/faults", "w") as file:
        file.write("3 dead\n")
    gateway = Gateway(folder, "".join(
        f'[[sensor]]\nid = "m{i}"\ndriver = "modbus"\nport = "{folder}/line"\nslave = {i}\n'
        f'interval = "{int(interval * 1000)}ms"\nregisters = ["value input 0 u16"]\n' for i in range(1, 5)))
    heard = subprocess.run(
        ["timeout", str(seconds), "mosquitto_sub", "-p", str(gateway.lan), "-t", "sensors/+", "-v"], capture_output=True, text=True)
    gateway.close()
    slaves.kill()
    times = collections.defaultdict(list)
    for line in heard.stdout.splitlines():
        topic, payload = line.split(" ", 1)
        times[topic].append(json.loads(payload)["ts"] / 1000)
    off = sorted(abs(b - a - interval) for t in times.values() for a, b in zip(t, t[1:]))
    print(f"modbus, one of four dead, every {interval} s: jitter p99 {off[int(len(off) * .99)] * 1e3:.0f} ms of "
          f"{interval * 1e3:.0f} ms, {len(off)} polls")


def simulated(folder, name, period):
    gateway = Gateway(folder, "".join(
        f'[[sensor]]\nid = "s{i}"\ndriver = "simulated"\ninterval = "{period(i)}ms"\n' for i in range(100)))
    before = gateway.ticks()
    time.sleep(seconds)
    print(f"100 sensors at 1 Hz, {name}: {(gateway.ticks() - before) / seconds:.1f} % of one core")
    gateway.close()


def million(folder):
    gateway = Gateway(folder, "".join(
        f'[[sensor]]\nid = "s{i}"\ndriver = "simulated"\ninterval = "1ms"\n' for i in range(10)))
    before = gateway.resident()
    time.sleep(100)
    print(f"a million samples: resident {before} kB before, {gateway.resident()} kB after")
    gateway.close()


for run in (lambda f: modbus(f, 1.0), lambda f: modbus(f, 0.5), lambda f: simulated(f, "in step", lambda i: 1000),
            lambda f: simulated(f, "each with its own period", lambda i: 950 + i), million):
    with tempfile.TemporaryDirectory() as folder:
        run(folder)
