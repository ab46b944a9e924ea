#!/usr/bin/env python3
"""device.py PORT FIRST [WINDOW] -- publishes FIRST, FIRST + 1 ... with QoS 1 to sensors/count on 127.0.0.1, at most WINDOW of
them unacknowledged, and prints each number that was acknowledged. MQTT 3.1.1, by hand: what it says is what came."""
import socket, struct, sys, time

port, first = int(sys.argv[1]), int(sys.argv[2])
window = int(sys.argv[3]) if len(sys.argv) > 3 else 50
while True:
    try:
        line = socket.create_connection(("127.0.0.1", port))
        break
    except OSError:
        time.sleep(0.05)
line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
line.sendall(bytes([0x10, 18]) + b"\0\4MQTT\4\2\0\0" + b"\0\6device")
received = b""


def take(count):
    global received
    while len(received) < count:
        data = line.recv(65536)
        if not data:
            sys.exit("the gateway closed the connection")
        received += data
    taken, received = received[:count], received[count:]
    return taken


if take(4)[3] != 0:
    sys.exit("not connected")
topic = b"sensors/count"
following, acknowledged = first, first - 1
while True:
    packets = b""
    while following - acknowledged <= window:
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", following % 60000 + 1) + b"%d" % following
        packets += bytes([0x32, len(body)]) + body
        following += 1
    if packets:
        line.sendall(packets)
    identifier, = struct.unpack(">xxH", take(4))
    acknowledged += 1
    if identifier != acknowledged % 60000 + 1:
        sys.exit(f"PUBACK {identifier} instead of {acknowledged % 60000 + 1}")
    print(acknowledged, flush=True)
