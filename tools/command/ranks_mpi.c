/* Ranks over MPI. Whether there are several is seen from what mpirun leaves in the environment, so that a
 * process alone never starts MPI. */
#define _POSIX_C_SOURCE 200809L
#include "ranks_mpi.h"

#include <stdlib.h>

#ifdef MZT_HAVE_MPI
#include <mpi.h>
#endif

/* The first of these variables that is a number; `otherwise` if none is. Open MPI; MPICH, Intel MPI; PMIx. */
static uint32_t environment_number(const char *const *names, uint32_t otherwise) {
    for (; *names; names++) {
        const char *text = getenv(*names);
        char *end;
        if (!text || !*text) continue;
        const unsigned long value = strtoul(text, &end, 10);
        if (!*end && value < RANKS_MAX * 1024ul) return (uint32_t)value;
    }
    return otherwise;
}

static uint32_t started_with(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", NULL};
    return environment_number(names, 1);
}

uint32_t ranks_mpi_local(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_RANK", NULL};
    return environment_number(names, 0);
}

#ifndef MZT_HAVE_MPI

bool ranks_mpi_built(void) {
    return false;
}

mzt_status ranks_mpi_open(const base_host *host, ranks **out, mzt_error *error) {
    (void)host;
    *out = NULL;
    if (started_with() <= 1) return MZT_OK;
    return error_set(error, MZT_ERROR_UNSUPPORTED,
                     "started as one of %u processes, but built without MPI: install its development files "
                     "(libopenmpi-dev) and build again",
                     (unsigned)started_with());
}

void ranks_mpi_close(ranks *r) {
    (void)r;
}

#else

bool ranks_mpi_built(void) {
    return true;
}

typedef struct mpi_ranks {
    ranks base;
    const base_host *host;
} mpi_ranks;

static bool gather(ranks *r, const void *mine, void *all, uint32_t size) {
    (void)r;
    return MPI_Allgather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, MPI_COMM_WORLD) == MPI_SUCCESS;
}

static bool share(ranks *r, void *data, uint32_t size, uint32_t from) {
    (void)r;
    return MPI_Bcast(data, (int)size, MPI_BYTE, (int)from, MPI_COMM_WORLD) == MPI_SUCCESS;
}

/* The same count in the same order takes the same way through MPI, and addition of two floats is
 * commutative: the sums repeat. That they are the same everywhere is checked (ranks_check_same). */
static bool sum(ranks *r, float *values, uint32_t count) {
    (void)r;
    return MPI_Allreduce(MPI_IN_PLACE, values, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS;
}

mzt_status ranks_mpi_open(const base_host *host, ranks **out, mzt_error *error) {
    static const ranks_functions functions = {gather, share, sum};
    int count = 1, index = 0;
    *out = NULL;
    if (started_with() <= 1) return MZT_OK;
    if (MPI_Init(NULL, NULL) != MPI_SUCCESS)
        return error_set(error, MZT_ERROR_IO, "MPI does not start, though there are %u processes",
                         (unsigned)started_with());
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_size(MPI_COMM_WORLD, &count);
    MPI_Comm_rank(MPI_COMM_WORLD, &index);
    mpi_ranks *r = host_calloc(host, 1, sizeof *r);
    if (!r || count < 1 || count > (int)RANKS_MAX) {
        host_free(host, r);
        MPI_Finalize();
        return error_set(error, MZT_ERROR_UNSUPPORTED, "%d processes: expected 1 to %u", count, RANKS_MAX);
    }
    *r = (mpi_ranks){{.functions = &functions, .count = (uint32_t)count, .index = (uint32_t)index}, host};
    *out = &r->base;
    return MZT_OK;
}

void ranks_mpi_close(ranks *r) {
    mpi_ranks *m = (mpi_ranks *)(void *)r;
    if (!m) return;
    MPI_Finalize();
    host_free(m->host, m);
}

#endif
