"""gmqtt against the listener: gmqtt_client.py tcp|tls HOST PORT CA USER PASSWORD

Both protocol versions, every QoS, user properties. Exits with 0 only when all of it went as the standard says."""

import asyncio
import ssl
import sys

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

transport, host, port, ca, user, password = sys.argv[1:7]
LIMIT = 20


async def check(version, name):
    root = f"gmqtt/{transport}/{name}"
    client = gmqtt.Client(f"gmqtt-{name}", clean_session=True)
    if user:
        client.set_auth_credentials(user, password)
    subscribed, finished = asyncio.Event(), asyncio.Event()
    messages = []

    def on_message(client, topic, payload, qos, properties):
        messages.append((topic, payload, qos, properties))
        if len(messages) == 4:
            finished.set()
        return 0

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    context = None
    if transport == "tls":
        context = ssl.create_default_context(cafile=ca)
    await client.connect(host, int(port), ssl=context or False, version=version, keepalive=30)
    client.subscribe(f"{root}/#", qos=2)
    await asyncio.wait_for(subscribed.wait(), LIMIT)
    for qos in (0, 1, 2):
        client.publish(f"{root}/{qos}", f"value {qos}", qos=qos)
    if version == MQTTv50:
        client.publish(f"{root}/3", "value 3", qos=1, user_property=[("a", "1"), ("a", "2")], content_type="text/plain")
    else:
        client.publish(f"{root}/3", "value 3", qos=1)
    await asyncio.wait_for(finished.wait(), LIMIT)
    assert {(t, p, q) for t, p, q, _ in messages} == {
        (f"{root}/{n}", f"value {n}".encode(), {3: 1}.get(n, n)) for n in range(4)
    }, messages
    if version == MQTTv50:
        properties = next(m for m in messages if m[0].endswith("/3"))[3]
        assert [tuple(p) for p in properties["user_property"]] == [("a", "1"), ("a", "2")], properties
        assert properties["content_type"] == ["text/plain"], properties
    try:
        await client.disconnect()
    except ssl.SSLError as error:
        # It shuts TLS down without reading the PUBREL or PUBCOMP that is on its way.
        assert "APPLICATION_DATA_AFTER_CLOSE_NOTIFY" in str(error), error


for version, name in ((MQTTv311, "311"), (MQTTv50, "5")):
    asyncio.run(check(version, name))
print("ok")
