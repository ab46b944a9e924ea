#!/usr/bin/env python3
"""Takes each message of a gateway once, as its cloud would, and says at the end whether one is missing.

    consumer.py HOST PORT GATEWAY        (needs paho-mqtt 2; Ctrl-C ends it)

Every message carries its stream, its epoch and its sequence, which counts from 1 in each epoch. What has a place that
was seen before is a repetition; a gap record speaks for the messages that the gateway could not keep; what is left
below the highest sequence has not come yet, or, in an epoch that a crash ended, was on its way then."""
import json, signal, sys
import paho.mqtt.client as mqtt

seen = {}


def on_message(client, _, message):
    place = dict(message.properties.UserProperty) if hasattr(message.properties, "UserProperty") else {}
    if "seq" not in place:
        return  # the gateway's own: its state, a canary
    sequences = seen.setdefault((place["stream"], place["epoch"]), set())
    sequence = int(place["seq"])
    if sequence in sequences:
        return
    if "/$gap/" in message.topic:
        gap = json.loads(message.payload)["gap"]
        sequences.update(range(gap["first_seq"], gap["last_seq"] + 1))
    else:
        sequences.add(sequence)
        print(message.topic, message.payload.decode(errors="replace"), flush=True)


def on_connect(client, *_):
    client.subscribe(f"{sys.argv[3]}/#", qos=1)


def on_subscribe(*_):
    print("subscribed", file=sys.stderr, flush=True)


def end(*_):
    for (stream, epoch), sequences in seen.items():
        missing = sorted(set(range(1, max(sequences) + 1)) - sequences)
        print(json.dumps({"stream": stream, "epoch": epoch, "last": max(sequences), "missing": missing}),
              file=sys.stderr, flush=True)
    sys.exit(0)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.on_message, client.on_connect, client.on_subscribe = on_message, on_connect, on_subscribe
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
