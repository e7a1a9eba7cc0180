/* Makes one picture of a compiled model and writes its pixels: built against each of the two libraries, they
 * must write the same.   compiled MODEL.plan OUT.rgba */
#include <mezzotint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    mzt_context *context = NULL;
    mzt_model *model = NULL;
    mzt_device *device = NULL;
    mzt_pipeline *pipeline = NULL;
    mzt_job *job = NULL;
    mzt_job_params params;
    mzt_job_info info = {sizeof info};
    mzt_error error = {MZT_OK, ""};
    mzt_job_params_init(&params, sizeof params);
    params.prompt = "a red apple";
    params.steps = 4;
    if (argc != 3 || mzt_context_create(NULL, &context, &error) ||
        mzt_model_open(context, argv[1], NULL, &model, &error) ||
        mzt_device_open(context, "cpu-reference", &device, &error) ||
        mzt_pipeline_create(model, device, NULL, &pipeline, &error) ||
        mzt_job_create(pipeline, &params, &job, &error) || mzt_job_run(job, &error) ||
        mzt_job_get_info(job, &info, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    size_t size = (size_t)info.width * info.height * 4;
    unsigned char *pixels = malloc(size);
    FILE *out = fopen(argv[2], "wb");
    int ok = pixels && out && !mzt_job_read_rgba8(job, 0, pixels, 0, &error) &&
             fwrite(pixels, 1, size, out) == size && !fclose(out);
    free(pixels);
    mzt_job_destroy(job);
    mzt_pipeline_destroy(pipeline);
    mzt_device_destroy(device);
    mzt_model_close(model);
    mzt_context_destroy(context);
    return !ok;
}
