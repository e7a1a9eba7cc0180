/* A prompt to a PNG in ten lines:  cc example-ten-lines.c $(pkg-config --cflags --libs mezzotint)
 *   ./a.out models/sprite "a red apple" apple.png */
#include <mezzotint.h>
#include <stdio.h>
int main(int argc, char **argv) {
    mzt_context *c; mzt_model *m; mzt_device *d; mzt_pipeline *p; mzt_job *j; mzt_job_params q; mzt_error e = {MZT_ERROR_INVALID, "expected MODEL PROMPT FILE.png"};
    mzt_job_params_init(&q, sizeof q);
    q.prompt = argv[argc > 2 ? 2 : 0];
    if (argc != 4 || mzt_context_create(NULL, &c, &e) || mzt_model_open(c, argv[1], NULL, &m, &e) || mzt_device_open(c, "auto", &d, &e) ||
        mzt_pipeline_create(m, d, NULL, &p, &e) || mzt_job_create(p, &q, &j, &e) || mzt_job_run(j, &e) || mzt_job_write_png(j, 0, argv[3], &e))
        return fprintf(stderr, "%s\n", e.message), 1;
    mzt_job_destroy(j); mzt_pipeline_destroy(p); mzt_device_destroy(d); mzt_model_close(m); mzt_context_destroy(c);
}
