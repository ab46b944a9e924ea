/* Password hashes and digests: a thin door to libcrypt (libxcrypt, crypt(3)) and OpenSSL's libcrypto.
 *
 * Every function may be called from any thread. Where a result is compared, the comparison takes the same time
 * whatever the content (CRYPTO_memcmp(3)). Copies of passwords are overwritten before they are freed. */
#ifndef CCRYPT_H
#define CCRYPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a SHA-512 digest, and of what ccrypt_pbkdf2_sha512_equals derives. */
#define CCRYPT_SHA512_BYTES 64
/* Bytes of a SHA-256 digest. */
#define CCRYPT_SHA256_BYTES 32
/* Room for a hash of crypt(3) with its NUL (CRYPT_OUTPUT_SIZE). */
#define CCRYPT_TEXT_BYTES 384
/* The longest password that crypt(3) takes, in bytes (CRYPT_MAX_PASSPHRASE_SIZE counts the NUL). */
#define CCRYPT_PASSWORD_BYTES 511

/* A fresh yescrypt setting with a random salt (crypt_gensalt_rn(3)). cost: 1 ... 11, as in crypt(5). */
bool ccrypt_yescrypt_setting(unsigned long cost, char setting[CCRYPT_TEXT_BYTES]);

/* Hashes a password by a setting (crypt_rn(3)). The password holds no NUL. Blocks for as long as the setting asks. */
bool ccrypt_hash(const uint8_t *password, size_t length, const char *setting, char hash[CCRYPT_TEXT_BYTES]);

/* Whether the password gives this very hash. A password with a NUL gives none. */
bool ccrypt_equals(const uint8_t *password, size_t length, const char *hash);

/* Whether PBKDF2-HMAC-SHA512 (RFC 8018) of password and salt is the 64 bytes expected. */
bool ccrypt_pbkdf2_sha512_equals(
    const uint8_t *password, size_t length, const uint8_t *salt, size_t salt_length, int iterations,
    const uint8_t expected[CCRYPT_SHA512_BYTES]);

/* Whether SHA-512 of the password followed by the salt is the 64 bytes expected. */
bool ccrypt_sha512_equals(
    const uint8_t *password, size_t length, const uint8_t *salt, size_t salt_length,
    const uint8_t expected[CCRYPT_SHA512_BYTES]);

/* HMAC-SHA256 (RFC 2104) of the bytes. */
bool ccrypt_hmac_sha256(
    const uint8_t *key, size_t key_length, const uint8_t *bytes, size_t length, uint8_t digest[CCRYPT_SHA256_BYTES]);

#endif
