"""aiomqtt against the listener: aiomqtt_client.py tcp|tls|websocket|websocket-tls HOST PORT CA USER PASSWORD

Both protocol versions, every QoS, a retained message, and a hundred messages one after the other. Exits with 0 only
when all of it went as the standard says."""

import asyncio
import sys

import aiomqtt

transport, host, port, ca, user, password = sys.argv[1:7]
LIMIT = 20


def client(identifier, version):
    return aiomqtt.Client(
        host, int(port), identifier=identifier, protocol=version, username=user or None, password=password or None,
        transport="websockets" if transport.startswith("websocket") else "tcp",
        tls_params=aiomqtt.TLSParameters(ca_certs=ca) if transport.endswith("tls") else None, timeout=LIMIT)


async def check(version, name):
    root = f"aiomqtt/{transport}/{name}"
    async with client(f"aiomqtt-{name}-r", version) as receiver, client(f"aiomqtt-{name}-s", version) as sender:
        await sender.publish(f"{root}/retained", "kept", qos=1, retain=True)
        await receiver.subscribe(f"{root}/#", qos=2)
        for number in range(100):
            await sender.publish(f"{root}/{number % 3}", f"{number}", qos=number % 3)
        got = []
        async with asyncio.timeout(LIMIT):
            async for message in receiver.messages:
                got.append((str(message.topic), message.payload, message.qos, bool(message.retain)))
                if len(got) == 101:
                    break
        assert got[0] == (f"{root}/retained", b"kept", 1, True), got[0]
        wanted = {(f"{root}/{n % 3}", b"%d" % n, n % 3, False) for n in range(100)}
        assert set(got[1:]) == wanted, wanted.symmetric_difference(got[1:])
        await sender.publish(f"{root}/retained", b"", qos=1, retain=True)


for version, name in ((aiomqtt.ProtocolVersion.V311, "311"), (aiomqtt.ProtocolVersion.V5, "5")):
    asyncio.run(check(version, name))
print("ok")
