"""paho-mqtt against the listener: paho_client.py tcp|tls|websocket|websocket-tls|unix HOST PORT CA USER PASSWORD

Both protocol versions: every QoS, retained messages, properties, a will, a session that is resumed. Exits with 0 only
when all of it went as the standard says."""

import ssl
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

transport, host, port, ca, user, password = sys.argv[1:7]
LIMIT = 20


class Device:
    def __init__(self, identifier, version, **kwargs):
        name = {"tcp": "tcp", "tls": "tcp", "unix": "unix"}.get(transport, "websockets")
        if version == mqtt.MQTTv5:
            kwargs.pop("clean_session", None)
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=identifier, protocol=version, transport=name, **kwargs)
        self.version = version
        if transport.endswith("tls"):
            self.client.tls_set(ca_certs=ca, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if user:
            self.client.username_pw_set(user, password)
        self.condition = threading.Condition()
        self.messages, self.done, self.flags, self.reasons = [], set(), None, []
        self.client.on_connect = self.connected
        self.client.on_message = lambda c, u, message: self.note(self.messages, message)
        self.client.on_publish = lambda c, u, mid, reason, properties: self.note(self.done, ("publish", mid))
        self.client.on_subscribe = lambda c, u, mid, reasons, properties: self.note(self.done, ("subscribe", mid))

    def connected(self, client, userdata, flags, reason, properties):
        with self.condition:
            self.flags = flags
            self.reasons.append(reason)
            self.condition.notify_all()

    def note(self, where, what):
        with self.condition:
            where.append(what) if isinstance(where, list) else where.add(what)
            self.condition.notify_all()

    def wait(self, what, predicate):
        with self.condition:
            assert self.condition.wait_for(predicate, LIMIT), f"{what}: never, within {LIMIT} s"

    def connect(self, **kwargs):
        self.client.connect(host, int(port) or 1, keepalive=60, **kwargs)
        self.client.loop_start()
        self.wait("CONNACK", lambda: self.reasons)
        assert self.reasons[-1] == 0 or not self.reasons[-1].is_failure, self.reasons
        return self

    def subscribe(self, topic, qos, options=None):
        code, mid = self.client.subscribe(topic, options=options) if options else self.client.subscribe(topic, qos=qos)
        self.wait("SUBACK", lambda: ("subscribe", mid) in self.done)

    def publish(self, topic, payload, qos, **kwargs):
        info = self.client.publish(topic, payload, qos=qos, **kwargs)
        info.wait_for_publish(LIMIT)
        assert info.is_published(), f"not acknowledged at QoS {qos}"

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


def check(version, name):
    is_5 = version == mqtt.MQTTv5
    root = f"paho/{transport}/{name}"
    receiver = Device(f"paho-{name}-r", version, clean_session=True).connect()
    if is_5:
        receiver.subscribe(f"{root}/#", 2, SubscribeOptions(qos=2, retainAsPublished=True))
    else:
        receiver.subscribe(f"{root}/#", 2)
    sender = Device(f"paho-{name}-s", version, clean_session=True)
    sender.client.will_set(f"{root}/will", "gone", qos=1)
    sender.connect()
    for qos in (0, 1, 2):
        sender.publish(f"{root}/qos", f"{qos}", qos)
    big = bytes(range(256)) * 600
    sender.publish(f"{root}/big", big, 1)
    if is_5:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = "answers"
        properties.CorrelationData = b"\x00\x01\xff"
        properties.ContentType = "text/plain"
        properties.PayloadFormatIndicator = 1
        properties.MessageExpiryInterval = 600
        properties.UserProperty = [("a", "1"), ("b", "2"), ("a", "3")]
        sender.publish(f"{root}/properties", "x", 2, properties=properties)
    sender.publish(f"{root}/retained", "kept", 1, retain=True)
    count = 6 if is_5 else 5
    receiver.wait("the messages", lambda: len(receiver.messages) >= count)
    got = {(m.topic, m.qos, m.payload) for m in receiver.messages}
    for qos in (0, 1, 2):
        assert (f"{root}/qos", qos, b"%d" % qos) in got, got
    assert (f"{root}/big", 1, big) in got
    if is_5:
        copy = next(m for m in receiver.messages if m.topic == f"{root}/properties").properties
        assert copy.ResponseTopic == "answers" and copy.CorrelationData == b"\x00\x01\xff", copy
        assert copy.ContentType == "text/plain" and copy.PayloadFormatIndicator == 1, copy
        assert copy.UserProperty == [("a", "1"), ("b", "2"), ("a", "3")], copy
        assert copy.MessageExpiryInterval in (599, 600), copy

    late = Device(f"paho-{name}-l", version, clean_session=True).connect()
    late.subscribe(f"{root}/retained", 1)
    late.wait("the retained message", lambda: late.messages)
    assert late.messages[0].retain and late.messages[0].payload == b"kept"
    late.publish(f"{root}/retained", b"", 1, retain=True)
    late.leave()

    # No DISCONNECT: the will is published.
    sender.client.loop_stop()
    sender.client._sock_close()
    receiver.wait("the will", lambda: any(m.topic == f"{root}/will" for m in receiver.messages))
    receiver.leave()

    # A session: messages wait for it.
    properties = None
    if is_5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 300
    arguments = {"clean_start": True, "properties": properties} if is_5 else {}
    away = Device(f"paho-{name}-away", version, clean_session=False).connect(**arguments)
    away.subscribe(f"{root}/away", 2)
    away.leave()
    other = Device(f"paho-{name}-o", version, clean_session=True).connect()
    for number in range(20):
        other.publish(f"{root}/away", f"{number}", 1 + number % 2)
    other.leave()
    arguments = {"clean_start": False, "properties": properties} if is_5 else {}
    back = Device(f"paho-{name}-away", version, clean_session=False)
    back.connect(**arguments)
    assert back.flags.session_present, "the session is gone"
    back.wait("what waited", lambda: len(back.messages) >= 20)
    # paho hands a QoS 2 message on when its PUBREL has come, so the order is that of each QoS.
    for qos in (1, 2):
        got = [m.payload for m in back.messages if m.qos == qos]
        assert got == [b"%d" % n for n in range(20) if 1 + n % 2 == qos], f"not in order: {got}"
    back.leave()
    if is_5:
        end = Device(f"paho-{name}-away", version).connect(clean_start=True)
    else:
        end = Device(f"paho-{name}-away", version, clean_session=True).connect()
    assert not end.flags.session_present
    end.leave()


check(mqtt.MQTTv311, "311")
check(mqtt.MQTTv5, "5")
print("ok")
