#include "copenssl.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct copenssl_client {
    SSL_CTX *context;
    bool is_address;
    int refusal;
    int alert;
    int64_t expiry;
};

/* The context's application data is our client. */
static copenssl_client *client_of(const SSL *connection) {
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection));
}

static int verified(int is_fine, X509_STORE_CTX *store) {
    if (!is_fine) {
        const SSL *connection = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        copenssl_client *client = client_of(connection);
        if (client && !client->refusal) client->refusal = X509_STORE_CTX_get_error(store);
    }
    return is_fine;
}

/* SSL_CTX_set_info_callback(3). libmosquitto asks for the server by what it was told to connect to, which here is one of
 * its addresses: before the ClientHello is made, the name that is checked becomes the name to ask for. */
static void informed(const SSL *connection, int where, int value) {
    copenssl_client *client = client_of(connection);
    if (!client) return;
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL) client->alert = value & 0xFF;
    if (!(where & SSL_CB_HANDSHAKE_START)) return;
    SSL *own = (SSL *)connection;
    SSL_set_tlsext_host_name(own, client->is_address ? NULL : X509_VERIFY_PARAM_get0_host(SSL_get0_param(own), 0));
}

/* Nobody is there to be asked. */
static int no_passphrase(char *buffer, int size, int is_writing, void *user) {
    (void)buffer, (void)size, (void)is_writing, (void)user;
    return 0;
}

static copenssl_client *failed(
    copenssl_client *client, copenssl_problem what, copenssl_problem *problem, char *reason, size_t reason_size
) {
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    *problem = what;
    strncpy(reason, text ? text : "unknown error", reason_size - 1);
    reason[reason_size - 1] = 0;
    ERR_clear_error();
    copenssl_client_free(client);
    return NULL;
}

static int64_t unix_time(const ASN1_TIME *time) {
    struct tm parts;
    if (!time || !ASN1_TIME_to_tm(time, &parts)) return 0;
    return timegm(&parts);
}

copenssl_client *copenssl_client_new(
    const copenssl_settings *settings, copenssl_problem *problem, char *reason, size_t reason_size
) {
    ERR_clear_error();
    copenssl_client *client = calloc(1, sizeof *client);
    if (!client) return failed(client, copenssl_memory, problem, reason, reason_size);
    client->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX *context = client->context;
    if (!context) return failed(client, copenssl_memory, problem, reason, reason_size);
    SSL_CTX_set_app_data(context, client);
    SSL_CTX_set_min_proto_version(context, settings->minimum_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    /* An end without a farewell is an end: MQTT says itself where its packets end. */
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verified);
    SSL_CTX_set_info_callback(context, informed);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (settings->alpn) {
        unsigned char wire[256];
        size_t length = strnlen(settings->alpn, 255);
        wire[0] = (unsigned char)length;
        memcpy(wire + 1, settings->alpn, length);
        if (SSL_CTX_set_alpn_protos(context, wire, (unsigned)length + 1))
            return failed(client, copenssl_memory, problem, reason, reason_size);
    }
    int is_trusting = settings->authority_file ? SSL_CTX_load_verify_file(context, settings->authority_file)
                                               : SSL_CTX_set_default_verify_paths(context);
    if (!is_trusting) return failed(client, copenssl_authority_file, problem, reason, reason_size);
    if (settings->certificate_file) {
        if (SSL_CTX_use_certificate_chain_file(context, settings->certificate_file) != 1)
            return failed(client, copenssl_certificate_file, problem, reason, reason_size);
        if (SSL_CTX_use_PrivateKey_file(context, settings->key_file, SSL_FILETYPE_PEM) != 1) {
            bool is_another = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
            copenssl_problem what = is_another ? copenssl_key_of_another : copenssl_key_file;
            return failed(client, what, problem, reason, reason_size);
        }
        client->expiry = unix_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context)));
    }
    return client;
}

void copenssl_client_free(copenssl_client *client) {
    if (!client) return;
    /* A connection may still hold the context. */
    if (client->context) SSL_CTX_set_app_data(client->context, NULL);
    SSL_CTX_free(client->context);
    free(client);
}

bool copenssl_client_expect(copenssl_client *client, const char *name, bool is_address, int64_t unix_seconds) {
    client->refusal = 0;
    client->alert = -1;
    client->is_address = is_address;
    X509_VERIFY_PARAM *expected = SSL_CTX_get0_param(client->context);
    X509_VERIFY_PARAM_set_time(expected, (time_t)unix_seconds);
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address)
        return X509_VERIFY_PARAM_set1_host(expected, NULL, 0) && X509_VERIFY_PARAM_set1_ip_asc(expected, name);
    return X509_VERIFY_PARAM_set1_ip(expected, NULL, 0) && X509_VERIFY_PARAM_set1_host(expected, name, 0);
}

void *copenssl_client_context(copenssl_client *client) { return client->context; }

int copenssl_client_refusal(const copenssl_client *client) { return client->refusal; }

const char *copenssl_refusal_text(int refusal) { return X509_verify_cert_error_string(refusal); }

bool copenssl_is_expired(int refusal) { return refusal == X509_V_ERR_CERT_HAS_EXPIRED; }

bool copenssl_is_not_yet_valid(int refusal) { return refusal == X509_V_ERR_CERT_NOT_YET_VALID; }

bool copenssl_is_another_name(int refusal) {
    return refusal == X509_V_ERR_HOSTNAME_MISMATCH || refusal == X509_V_ERR_IP_ADDRESS_MISMATCH;
}

int copenssl_client_alert(const copenssl_client *client) { return client->alert; }

const char *copenssl_alert_text(int alert) {
    /* TLS 1.3's, which OpenSSL calls "unknown". */
    return alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required" : SSL_alert_desc_string_long(alert);
}

bool copenssl_is_certificate_alert(int alert) {
    switch (alert) {
    case SSL_AD_NO_CERTIFICATE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
    }
}

int64_t copenssl_client_expiry(const copenssl_client *client) { return client->expiry; }

int64_t copenssl_server_expiry(void *connection) {
    X509 *certificate = connection ? SSL_get0_peer_certificate(connection) : NULL;
    return certificate ? unix_time(X509_get0_notAfter(certificate)) : 0;
}

int64_t copenssl_file_expiry(const char *path) {
    BIO *file = BIO_new_file(path, "r");
    X509 *certificate = file ? PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;
    int64_t expiry = certificate ? unix_time(X509_get0_notAfter(certificate)) : 0;
    X509_free(certificate);
    BIO_free(file);
    ERR_clear_error();
    return expiry;
}
