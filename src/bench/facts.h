/* What a benchmark ran on, as far as the system tells: stated in every result, so that figures can be
 * compared. */
#ifndef BENCH_FACTS_H
#define BENCH_FACTS_H

#include "json/json_write.h"

typedef struct bench_facts {
    char date[32];       /* UTC, "2026-01-31T12:00:00Z" */
    char processor[128]; /* of the host; "" where it cannot be told, as below */
    char system[128];    /* "Linux 6.1.0 x86_64" */
    char power[16];      /* "mains", "battery" */
    uint32_t processors; /* online */
    double megahertz;    /* of the first, now; 0: unknown */
    double load;         /* average over the last minute, before the benchmark; negative: unknown */
} bench_facts;

/* Reads /proc and /sys where there are such; never fails. Thread-safety: any thread. */
bench_facts bench_facts_read(void);

void bench_facts_write(json_writer *w, const char *key, const bench_facts *f);

#endif
