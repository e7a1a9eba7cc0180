/* SHA-256 (FIPS 180-4), fed piece by piece. Thread-safety: a sha256 is a plain value of one thread. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
} sha256;

void sha256_begin(sha256 *s);
void sha256_add(sha256 *s, const void *data, size_t size);
void sha256_end(sha256 *s, uint8_t digest[32]);

/* The first `digits` <= 64 digits of the digest in lower-case hexadecimal, terminated. */
void sha256_hex(const uint8_t digest[32], uint32_t digits, char *text);

#endif
