#!/usr/bin/env python3
"""modbus_slaves.py LINK FAULTS [ADDRESS...] -- Modbus RTU slaves on one line, by pymodbus, and a cable that can misbehave.

LINK becomes a symbolic link to the terminal that the master opens. FAULTS is a file that may be changed at any time, a line
each: "ADDRESS dead", "ADDRESS late SECONDS", "ADDRESS garbage", "ADDRESS as OTHER" (answers with another address), "ADDRESS
noise" (garbage before the answer), "ADDRESS cut" (half an answer). Each slave with address A has
  input registers      0: A, 1: A*100, 2-3: the float A + 0.5, 10...: their own numbers
  holding registers    0...: their own numbers; writable
  coils                address & 1;   discrete inputs: the other way round
Registers from 200 on do not exist. The value of each single register that is written becomes a line of FAULTS.writes. Prints "ready" once it serves. Ends with its standard input, or when it is killed.
"""
import asyncio, os, pty, struct, sys, tty

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

link, faults_path, addresses = sys.argv[1], sys.argv[2], [int(a) for a in sys.argv[3:]] or [1]


def device(address):
    half = struct.unpack(">HH", struct.pack(">f", address + 0.5))
    words = [address, address * 100, *half] + [0] * 6 + list(range(10, 200))
    return SimDevice(
        address,
        simdata=(
            [SimData(0, values=[bool(i & 1) for i in range(64)], datatype=DataType.BITS)],
            [SimData(0, values=[not i & 1 for i in range(64)], datatype=DataType.BITS)],
            [SimData(0, values=list(range(200)), datatype=DataType.REGISTERS)],
            [SimData(0, values=words, datatype=DataType.REGISTERS)],
        ),
    )


def crc(frame):
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


def faults():
    try:
        with open(faults_path) as file:
            return {int(words[0]): words[1:] for words in (line.split() for line in file) if words}
    except FileNotFoundError:
        return {}


async def main():
    near_master, near = pty.openpty()
    far_master, far = pty.openpty()
    for fd in (near_master, near, far_master, far):
        tty.setraw(fd)
    for fd in (near_master, far_master):
        os.set_blocking(fd, False)
    # The master opens it itself: while nobody does, reading here says EIO.
    loop = asyncio.get_running_loop()
    server = ModbusSerialServer(
        [device(a) for a in addresses], framer=FramerType.RTU, port=os.ttyname(far), baudrate=115200,
        ignore_missing_devices=True)
    asyncio.create_task(server.serve_forever())

    def send(fd, data):
        try:
            os.write(fd, data)
        except OSError:
            pass

    def from_master():
        try:
            data = os.read(near_master, 4096)
        except OSError:
            return
        if len(data) >= 8 and data[0] in addresses and data[1] in (6, 16):
            with open(faults_path + ".writes", "a") as file:
                file.write(f"{int.from_bytes(data[4:6] if data[1] == 6 else data[7:9], 'big')}\n")
        # pymodbus answers for addresses that are not there, with an exception; on a real line nobody does.
        if data and data[0] in addresses and faults().get(data[0], [""])[0] != "dead":
            send(far_master, data)

    def from_slave():
        data = os.read(far_master, 4096)
        fault = faults().get(data[0], [""])
        if fault[0] == "late":
            loop.call_later(float(fault[1]), send, near_master, data)
        elif fault[0] == "garbage":
            send(near_master, bytes((b * 31 + 7) & 255 for b in data))
        elif fault[0] == "noise":
            send(near_master, b"\xff\x00\x55" + data)
        elif fault[0] == "cut":
            send(near_master, data[: len(data) // 2])
        elif fault[0] == "as":
            other = bytes([int(fault[1])]) + data[1:-2]
            send(near_master, other + crc(other))
        else:
            send(near_master, data)

    loop.add_reader(near_master, from_master)
    loop.add_reader(far_master, from_slave)
    await asyncio.sleep(0)
    while server.transport is None:
        await asyncio.sleep(0.01)
    temporary = f"{link}.{os.getpid()}"
    os.symlink(os.ttyname(near), temporary)
    os.replace(temporary, link)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
