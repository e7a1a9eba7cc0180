/* Random numbers of a training run; see draws.h. */
#include "train/draws.h"

#include "sample/random.h"

uint64_t draws_number(train_stream stream, uint64_t major) {
    return (uint64_t)stream << 56 | (major & 0x00ffffffffffffffu);
}

train_draws draws_begin(uint64_t seed, train_stream stream, uint64_t major, uint64_t minor) {
    return (train_draws){.seed = seed, .draw = draws_number(stream, major), .next = minor << 20};
}

uint32_t draws_word(train_draws *d) {
    if (d->next % 4 == 0) random_words(d->seed, d->draw, d->next, 4, d->words);
    return d->words[d->next++ % 4];
}

double draws_uniform(train_draws *d) {
    return draws_word(d) / 4294967296.0;
}

double draws_between(train_draws *d, double low, double high) {
    return low + (high - low) * draws_uniform(d);
}

uint32_t draws_below(train_draws *d, uint32_t count) {
    return (uint32_t)(((uint64_t)draws_word(d) * count) >> 32);
}

uint64_t draws_hash(const char *text) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}
