/* The door to libmosquitto (2.0 or later): its headers, and what Swift cannot import or should not do per message. */
#ifndef CMOSQUITTO_SHIM_H
#define CMOSQUITTO_SHIM_H

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

/* What an MQTT 5.0 publication carries beside its payload, as user properties. */
typedef struct {
    const char *stream;
    const char *epoch;
    const char *boot;
    const char *time_quality;
    int64_t sequence;
    int64_t unix_milliseconds;
    /* Since the boot; negative where the wall clock says it all. */
    int64_t up_milliseconds;
    bool is_historical;
} cmosquitto_envelope;

/* Holds back (true) what is written to the socket until it fills a segment, or lets it go (false): a burst of small
 * packets then costs one segment instead of one each. tcp(7), TCP_CORK: never for more than 200 ms. */
static inline void cmosquitto_cork(int socket, bool corked) {
    int value = corked;
    setsockopt(socket, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
}

/* Acknowledges what was received without the usual delay, once; tcp(7), TCP_QUICKACK. A broker that does not set
 * TCP_NODELAY holds its next PUBACKs back until then. */
static inline void cmosquitto_acknowledge(int socket) {
    int value = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &value, sizeof value);
}

/* Lets the kernel give up on the connection when what was sent stays without an answer for this long; tcp(7),
 * TCP_USER_TIMEOUT. Where the kernel does not know it, the link's own deadlines remain. */
static inline void cmosquitto_user_timeout(int socket, unsigned milliseconds) {
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

/* A number's decimal digits, at the end of `buffer`; snprintf(3) takes ten times as long. */
static inline const char *cmosquitto_digits(int64_t number, char buffer[24]) {
    char *place = buffer + 23;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *place = 0;
    do {
        *--place = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) *--place = '-';
    return place;
}

/* Publishes with QoS 1. `envelope` is NULL for MQTT 3.1.1. `properties` are sent besides and freed, whatever happens.
 * Returns an MOSQ_ERR_ value; all arguments are copied. */
static inline int cmosquitto_publish(
    struct mosquitto *client, int *packet_identifier, const char *topic, const void *payload, int length, bool retain,
    const cmosquitto_envelope *envelope, mosquitto_property *properties
) {
    int result = MOSQ_ERR_SUCCESS;
    if (envelope) {
        char sequence[24], time[24], up[24];
        const char *pairs[][2] = {
            { "stream", envelope->stream },
            { "epoch", envelope->epoch },
            { "seq", cmosquitto_digits(envelope->sequence, sequence) },
            { "boot", envelope->boot },
            { "tq", envelope->time_quality },
            { "ts", cmosquitto_digits(envelope->unix_milliseconds, time) },
            { NULL, NULL },
            { NULL, NULL },
        };
        unsigned count = 6;
        if (envelope->up_milliseconds >= 0) {
            pairs[count][0] = "up";
            pairs[count++][1] = cmosquitto_digits(envelope->up_milliseconds, up);
        }
        if (envelope->is_historical) {
            pairs[count][0] = "historical";
            pairs[count++][1] = "1";
        }
        for (unsigned i = 0; i < count && result == MOSQ_ERR_SUCCESS; i++)
            result = mosquitto_property_add_string_pair(
                &properties, MQTT_PROP_USER_PROPERTY, pairs[i][0], pairs[i][1]
            );
    }
    if (result == MOSQ_ERR_SUCCESS)
        result = mosquitto_publish_v5(client, packet_identifier, topic, length, payload, 1, retain, properties);
    mosquitto_property_free_all(&properties);
    return result;
}

/* Keeps the properties that the next mosquitto_connect_async() sends in its CONNECT.
 *
 * Only the blocking connect takes properties. It stores them before it looks at its other arguments, so a keep-alive
 * that is out of range (1, where 5 is the least) makes it store them and return without touching the network. Anything
 * but the refusal expected is reported as MOSQ_ERR_UNKNOWN. */
static inline int cmosquitto_set_connect_properties(struct mosquitto *client, const mosquitto_property *properties) {
    int result = mosquitto_connect_bind_v5(client, "localhost", 1883, 1, NULL, properties);
    return result == MOSQ_ERR_INVAL ? MOSQ_ERR_SUCCESS : MOSQ_ERR_UNKNOWN;
}

/* A non-blocking eventfd(2) to wake the thread that polls the client's socket; -1 and errno on failure. */
static inline int cmosquitto_alarm(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

/* Names the calling thread, as `top -H` shows it; prctl(2) is variadic. */
static inline void cmosquitto_name_thread(const char *name) { prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0); }

#endif
