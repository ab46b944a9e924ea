#include "ccrypt.h"

#include <crypt.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CCRYPT_TEXT_BYTES >= CRYPT_OUTPUT_SIZE, "a hash must fit");
_Static_assert(CCRYPT_TEXT_BYTES >= CRYPT_GENSALT_OUTPUT_SIZE, "a setting must fit");
_Static_assert(CCRYPT_PASSWORD_BYTES == CRYPT_MAX_PASSPHRASE_SIZE - 1, "the longest password");

bool ccrypt_yescrypt_setting(unsigned long cost, char setting[CCRYPT_TEXT_BYTES]) {
    return crypt_gensalt_rn("$y$", cost, NULL, 0, setting, CCRYPT_TEXT_BYTES) != NULL;
}

bool ccrypt_hash(const uint8_t *password, size_t length, const char *setting, char hash[CCRYPT_TEXT_BYTES]) {
    if (length > CCRYPT_PASSWORD_BYTES || memchr(password, 0, length) != NULL) return false;
    /* 32 KiB, too much for the stack of a small thread. */
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL) return false;
    char phrase[CCRYPT_PASSWORD_BYTES + 1] = {0};
    memcpy(phrase, password, length);
    const char *result = crypt_rn(phrase, setting, data, sizeof *data);
    size_t size = result != NULL && result[0] != '*' ? strlen(result) + 1 : 0;
    bool fits = size > 1 && size <= CCRYPT_TEXT_BYTES;
    if (fits) memcpy(hash, result, size);
    OPENSSL_cleanse(phrase, sizeof phrase);
    OPENSSL_cleanse(data, sizeof *data);
    free(data);
    return fits;
}

bool ccrypt_equals(const uint8_t *password, size_t length, const char *hash) {
    char found[CCRYPT_TEXT_BYTES] = {0};
    if (!ccrypt_hash(password, length, hash, found)) return false;
    size_t size = strlen(hash);
    return size == strlen(found) && CRYPTO_memcmp(hash, found, size) == 0;
}

bool ccrypt_pbkdf2_sha512_equals(
    const uint8_t *password, size_t length, const uint8_t *salt, size_t salt_length, int iterations,
    const uint8_t expected[CCRYPT_SHA512_BYTES]) {
    uint8_t found[CCRYPT_SHA512_BYTES] = {0};
    if (length > INT_MAX || salt_length > INT_MAX || iterations < 1) return false;
    /* With a null password OpenSSL 3 refuses; an empty one is a password. */
    const char *bytes = length > 0 ? (const char *)password : "";
    if (PKCS5_PBKDF2_HMAC(
            bytes, (int)length, salt, (int)salt_length, iterations, EVP_sha512(), sizeof found, found) != 1)
        return false;
    bool same = CRYPTO_memcmp(found, expected, sizeof found) == 0;
    OPENSSL_cleanse(found, sizeof found);
    return same;
}

bool ccrypt_sha512_equals(
    const uint8_t *password, size_t length, const uint8_t *salt, size_t salt_length,
    const uint8_t expected[CCRYPT_SHA512_BYTES]) {
    uint8_t found[CCRYPT_SHA512_BYTES] = {0};
    unsigned int size = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL) return false;
    bool done = EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1 && EVP_DigestUpdate(context, password, length) == 1
        && EVP_DigestUpdate(context, salt, salt_length) == 1 && EVP_DigestFinal_ex(context, found, &size) == 1;
    EVP_MD_CTX_free(context);
    bool same = done && size == sizeof found && CRYPTO_memcmp(found, expected, sizeof found) == 0;
    OPENSSL_cleanse(found, sizeof found);
    return same;
}

bool ccrypt_hmac_sha256(
    const uint8_t *key, size_t key_length, const uint8_t *bytes, size_t length, uint8_t digest[CCRYPT_SHA256_BYTES]) {
    unsigned int size = 0;
    if (key_length > INT_MAX) return false;
    return HMAC(EVP_sha256(), key, (int)key_length, bytes, length, digest, &size) != NULL
        && size == CCRYPT_SHA256_BYTES;
}
