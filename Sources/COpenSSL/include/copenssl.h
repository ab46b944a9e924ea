/* The door to OpenSSL, the TLS that libmosquitto speaks: the context of a client, which the library takes as it is, and
 * what its certificates say. */
#ifndef COPENSSL_H
#define COPENSSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct copenssl_client copenssl_client;

typedef struct {
    /* PEM file of the authorities to trust; NULL for the system's. */
    const char *authority_file;
    /* PEM files of the own certificate, with those that lead to its root, and of its key; NULL for none. */
    const char *certificate_file;
    const char *key_file;
    /* Protocol to ask for by ALPN, 1...255 bytes; NULL for none. */
    const char *alpn;
    /* 12 or 13: TLS 1.2 or 1.3 at least. */
    int minimum_version;
} copenssl_settings;

/* What is wrong with the file that could not be used. */
typedef enum {
    copenssl_no_problem,
    copenssl_memory,
    copenssl_authority_file,
    copenssl_certificate_file,
    copenssl_key_file,
    /* The key is not the certificate's. */
    copenssl_key_of_another
} copenssl_problem;

/* Reads the files. NULL, `problem` and OpenSSL's words in `reason` when that fails. Blocks for as long as reading takes. */
copenssl_client *copenssl_client_new(
    const copenssl_settings *settings, copenssl_problem *problem, char *reason, size_t reason_size
);
void copenssl_client_free(copenssl_client *client);

/* For the connections that are made from now on: the name or address that the server's certificate must be for, the name
 * to ask for (SNI, RFC 6066 section 3: none for an address), and the time that certificates are held against, Unix
 * seconds. The last refusal and alert are forgotten. False when the name cannot be used. */
bool copenssl_client_expect(copenssl_client *client, const char *name, bool is_address, int64_t unix_seconds);

/* The SSL_CTX, for MOSQ_OPT_SSL_CTX. */
void *copenssl_client_context(copenssl_client *client);

/* Why the server's certificate was refused: an X509_V_ERR_ value, or 0 when it was not; and in words. */
int copenssl_client_refusal(const copenssl_client *client);
const char *copenssl_refusal_text(int refusal);
bool copenssl_is_expired(int refusal);
bool copenssl_is_not_yet_valid(int refusal);
bool copenssl_is_another_name(int refusal);

/* What the server ended the connection with (RFC 8446 section 6), or -1; and in words. */
int copenssl_client_alert(const copenssl_client *client);
const char *copenssl_alert_text(int alert);
/* Whether it speaks of the own certificate, or of there being none. */
bool copenssl_is_certificate_alert(int alert);

/* When the own certificate ends, and the server's of a connection (an SSL as mosquitto_ssl_get() gives it); Unix seconds,
 * 0 where there is none. */
int64_t copenssl_client_expiry(const copenssl_client *client);
int64_t copenssl_server_expiry(void *connection);
/* When the first certificate in a PEM file ends; 0 when there is none. */
int64_t copenssl_file_expiry(const char *path);

#endif
