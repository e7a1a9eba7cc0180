/* What a benchmark ran on; see facts.h. */
#define _POSIX_C_SOURCE 200809L
#include "bench/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The value of the first line of /proc/cpuinfo that begins with `key`. */
static void cpuinfo(const char *key, char *out, size_t size) {
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    out[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        const char *value = strchr(line, ':');
        if (!value) continue;
        value += strspn(value, ": \t");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file) fclose(file);
}

static bool read_first_line(const char *path, char *out, size_t size) {
    FILE *file = fopen(path, "r");
    const bool read = file && fgets(out, (int)size, file);
    if (file) fclose(file);
    if (read) out[strcspn(out, "\n")] = '\0';
    return read;
}

/* Mains where one power supply says so; battery where one discharges. */
static void find_power(char out[16]) {
    static const char *const mains[] = {"AC", "ACAD", "AC0", "ADP0", "ADP1"};
    char path[96], line[32];
    out[0] = '\0';
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/sys/class/power_supply/BAT%d/status", i);
        if (read_first_line(path, line, sizeof line))
            snprintf(out, 16, "%s", strcmp(line, "Discharging") ? "mains" : "battery");
    }
    for (size_t i = 0; i < sizeof mains / sizeof *mains; i++) {
        snprintf(path, sizeof path, "/sys/class/power_supply/%s/online", mains[i]);
        if (read_first_line(path, line, sizeof line))
            snprintf(out, 16, "%s", line[0] == '1' ? "mains" : "battery");
    }
}

bench_facts bench_facts_read(void) {
    bench_facts f = {.load = -1};
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(f.date, sizeof f.date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    cpuinfo("model name", f.processor, sizeof f.processor);
    char line[64];
    cpuinfo("cpu MHz", line, sizeof line);
    f.megahertz = strtod(line, NULL);
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(f.system, sizeof f.system, "%.40s %.40s %.40s", name.sysname, name.release, name.machine);
    find_power(f.power);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    f.processors = online > 0 ? (uint32_t)online : 1;
    if (read_first_line("/proc/loadavg", line, sizeof line)) f.load = strtod(line, NULL);
    return f;
}

void bench_facts_write(json_writer *w, const char *key, const bench_facts *f) {
    json_write_object(w, key);
    json_write_string(w, "processor", f->processor[0] ? f->processor : NULL);
    json_write_uint(w, "processors", f->processors);
    if (f->megahertz > 0) json_write_double(w, "megahertz", f->megahertz);
    json_write_string(w, "system", f->system[0] ? f->system : NULL);
    json_write_string(w, "power", f->power[0] ? f->power : NULL);
    if (f->load >= 0) json_write_double(w, "load", f->load);
    json_write_end_object(w);
}
