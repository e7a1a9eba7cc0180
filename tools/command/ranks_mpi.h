/* The processes that mpirun started, for data-parallel training. */
#ifndef COMMAND_RANKS_MPI_H
#define COMMAND_RANKS_MPI_H

#include "train/ranks.h"

/* True if this build can train with several processes. */
bool ranks_mpi_built(void);

/* *out: NULL where this process was started alone. UNSUPPORTED where it was not, and MPI was not built in.
 * ranks_mpi_close ends the connection: once in a process. */
mzt_status ranks_mpi_open(const base_host *host, ranks **out, mzt_error *error);
void ranks_mpi_close(ranks *r); /* NULL is accepted */

/* The place of this process among those on the same machine. */
uint32_t ranks_mpi_local(void);

#endif
