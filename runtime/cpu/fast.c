/* The `cpu` executor's table of kernels by op. */
#include "cpu/fast.h"
#include "cpu/reference.h"

static mzt_status fast_run(cpu_program *g, cpu_call *call, mzt_error *error) {
    return reference_run(g, call, error);
}

mzt_status cpu_create(const base_host *host, uint32_t threads, executor **out, mzt_error *error) {
    static const cpu_backend backend = {.run = fast_run};
    return cpu_executor_create(host, &backend, threads, "CPU", "cpu", out, error);
}
