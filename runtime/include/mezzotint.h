/* mezzotint.h: text-to-image diffusion on any GPU, inside any program.
 *
 *   mzt_context *context;  mzt_context_create(NULL, &context, &error);
 *   mzt_model *model;      mzt_model_open(context, "models/sprite", NULL, &model, &error);
 *   mzt_device *device;    mzt_device_open(context, "auto", &device, &error);
 *   mzt_pipeline *pipe;    mzt_pipeline_create(model, device, NULL, &pipe, &error);
 *   mzt_job_params params; mzt_job_params_init(&params, sizeof params);
 *   params.prompt = "a red apple";
 *   mzt_job *job;          mzt_job_create(pipe, &params, &job, &error);
 *   while ((status = mzt_job_step(job, 2000, &error)) == MZT_PENDING) draw_a_frame();
 *   mzt_job_read_rgba8(job, 0, pixels, 0, &error);
 *
 * It needs no other header of ours and no Vulkan header (that is mezzotint_vulkan.h; samplers for hosts with
 * a network of their own are in mezzotint_sampler.h), and compiles alone as C99, C11 and C++17. Two libraries
 * implement it: libmezzotint in full, and libmezzotint-runtime, which opens models that `mezzotint compile`
 * made and answers UNSUPPORTED where a function says "full library".
 *
 * Conventions
 *  - Fallible functions return mzt_status; `error` may always be NULL. On failure *out parameters are NULL or
 * zero.
 *  - Structures that a caller passes begin with struct_size and are filled by their _init function or with
 *    {sizeof(the structure)}: they only ever grow at their end, and a library takes shorter ones of older
 * headers and longer ones whose further bytes are zero. mzt_error is fixed for ever.
 *  - What a function is handed (strings, arrays, pictures, structures) is borrowed until it returns, unless
 * it says so.
 *  - Objects are destroyed in the reverse order of their making; a destroy function accepts NULL.
 *  - The library has no writable global state, prints nothing, installs no signal handler and never ends the
 * process.
 *  - Text is UTF-8. Times are in microseconds (budgets) or seconds (reports), memory in bytes, sizes in
 * pixels.
 *
 * Threads. mzt_context and mzt_model are immutable: any thread, several at once. mzt_device, its pipelines
 * and their jobs may be used by several threads (a lock in the device lets one in at a time), but one job
 * belongs to one thread at a time, except for mzt_job_cancel and mzt_job_progress, which never wait.
 * Callbacks come on the thread that made the call, except the allocator and the log, which may be called on
 * any thread. */
#ifndef MEZZOTINT_H
#define MEZZOTINT_H

#include <stddef.h>
#include <stdint.h>

#if defined(MZT_SHARED) && defined(_WIN32)
#define MZT_API __declspec(dllimport)
#elif defined(__GNUC__)
#define MZT_API __attribute__((visibility("default")))
#else
#define MZT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header's ABI: raised when a function or a structure changes other than by growing at its
 * end. */
#define MZT_ABI_VERSION 1

#define MZT_VERSION_STRING "0.1.0"

/* MZT_ABI_VERSION of the library that is linked; *text (may be NULL) receives its version string.
 * Thread-safety: any thread. */
MZT_API int mzt_version(const char **text);

/* -- status -- */

/* What every fallible function returns. Zero is success; errors are negative. */
typedef enum mzt_status {
    MZT_OK = 0,
    MZT_PENDING = 1,              /* not an error: the work is not finished, call again */
    MZT_ERROR_INVALID = -1,       /* an argument, prompt or configuration value is wrong */
    MZT_ERROR_NOT_FOUND = -2,     /* a file, tensor, device or name does not exist */
    MZT_ERROR_IO = -3,            /* reading or writing failed */
    MZT_ERROR_FORMAT = -4,        /* a file is damaged or not what it claims to be */
    MZT_ERROR_UNSUPPORTED = -5,   /* well-formed, but this library cannot do it */
    MZT_ERROR_OUT_OF_MEMORY = -6, /* host or device memory */
    MZT_ERROR_DEVICE = -7,        /* the Vulkan driver reported an error */
    MZT_ERROR_DEVICE_LOST = -8,   /* latched: only destroy functions still work on that device */
    MZT_ERROR_MISMATCH = -9,      /* a validation found results that differ by more than the stated limit */
    MZT_ERROR_INTERNAL = -10,     /* a defect in this library */
    MZT_CANCELLED = -11           /* the caller asked to stop */
} mzt_status;

/* A status with its story: one line without a newline that names the file, tensor or value at fault and what
 * was expected. Filled only when a function fails; `message` is always terminated. */
typedef struct mzt_error {
    mzt_status status;
    char message[500];
} mzt_error;

/* A short English text for a status ("out of memory"). Never NULL. Thread-safety: any thread. */
MZT_API const char *mzt_status_string(mzt_status status);

/* -- context -- */

typedef enum mzt_log_level { MZT_LOG_DEBUG = 0, MZT_LOG_INFO = 1, MZT_LOG_WARNING = 2 } mzt_log_level;

/* Hooks a host may give to a context. Members after struct_size may be NULL.
 * `reallocate` follows C's realloc (size 0 frees, pointer NULL allocates); all host memory of the context
 * comes from it. `log` receives one line without a newline; the library prints nothing by itself. Both may be
 * called from any thread. What drivers and oneDNN allocate for themselves does not pass through the hook. */
typedef struct mzt_hooks {
    size_t struct_size;
    void *user;
    void *(*reallocate)(void *user, void *pointer, size_t size);
    void (*log)(void *user, mzt_log_level level, const char *line);
} mzt_hooks;

/* The root of everything: hooks, and nothing else. Contexts of one process share nothing. */
typedef struct mzt_context mzt_context;

/* `hooks` NULL: C's realloc and no log; else it is copied. INVALID, OUT_OF_MEMORY. */
MZT_API mzt_status mzt_context_create(const mzt_hooks *hooks, mzt_context **context, mzt_error *error);

/* Its models and devices must be gone. */
MZT_API void mzt_context_destroy(mzt_context *context);

/* -- devices -- */

/* A GPU, or the processor, opened. */
typedef struct mzt_device mzt_device;

typedef struct mzt_device_info {
    size_t struct_size;
    char name[256];   /* "llvmpipe (LLVM 15.0.6, 256 bits)" */
    char spec[64];    /* what mzt_device_open takes: "cpu", "vulkan:0" */
    char driver[256]; /* driver name and version; "" for the processor */
    uint32_t tier; /* 0, 1, 2: what the device can do; docs/embedding.md says what each needs. Processor: 0 */
    uint32_t is_gpu;         /* 1: a real GPU, not a processor that pretends */
    uint32_t is_discrete;    /* 1: with memory of its own */
    uint32_t f16, bf16;      /* 1: activations can be stored so */
    uint64_t max_binding;    /* bytes one binding may show */
    uint64_t max_allocation; /* bytes */
    uint64_t memory;         /* bytes of the device's own memory; 0: unknown */
    char
        tier_reason[160]; /* what keeps the device from the next tier; "" at the highest, and where unknown */
} mzt_device_info;

/* Every device that can be opened: cpu, cpu-reference (slow; the judge of the others), then the Vulkan ones.
 * *count receives how many there are, of which at most `capacity` are written to `list`, whose first
 * element's struct_size counts for all. Where no Vulkan loader or driver exists, the processor is listed
 * alone. */
MZT_API mzt_status mzt_device_list(mzt_context *context, mzt_device_info *list, uint32_t capacity,
                                   uint32_t *count, mzt_error *error);

/* Opens by spelling: auto, cpu, cpu-reference, vulkan, vulkan:N, vulkan:PART-OF-NAME. NULL or "auto": the
 * fastest real GPU, else cpu. NOT_FOUND lists the devices there are. */
MZT_API mzt_status mzt_device_open(mzt_context *context, const char *spec, mzt_device **device,
                                   mzt_error *error);

/* The processor with `threads` threads, the calling one included; 0: one per core. */
MZT_API mzt_status mzt_device_open_cpu(mzt_context *context, uint32_t threads, mzt_device **device,
                                       mzt_error *error);

/* Its pipelines must be gone. Works on a lost device. */
MZT_API void mzt_device_destroy(mzt_device *device);

MZT_API mzt_status mzt_device_get_info(const mzt_device *device, mzt_device_info *info, mzt_error *error);

typedef struct mzt_memory_info {
    size_t struct_size;
    uint64_t used;   /* bytes that networks of this device hold on it now, staging included */
    uint64_t peak;   /* the most they held at once so far */
    uint64_t budget; /* what they may hold: the device's own memory; 0: unknown */
} mzt_memory_info;

MZT_API mzt_status mzt_device_memory(const mzt_device *device, mzt_memory_info *info, mzt_error *error);

/* -- models -- */

/* A model's configuration, tokenizers and mapped weights. No GPU work, nothing uploaded. Shareable by
 * threads. */
typedef struct mzt_model mzt_model;

/* A low-rank adaptation laid over a model's weights when a pipeline loads them. */
typedef struct mzt_lora {
    size_t struct_size;
    const char *path;
    double strength; /* of the whole; 1: as trained */
} mzt_lora;

/* How matrices are stored on devices: in the type of activations (or as the file has them, where it has
 * blocks), in 32 or 16 bits, or in blocks of about 8 or 4 bits an element. */
typedef enum mzt_weights {
    MZT_WEIGHTS_AUTO = 0,
    MZT_WEIGHTS_F32 = 1,
    MZT_WEIGHTS_F16 = 2,
    MZT_WEIGHTS_BF16 = 3,
    MZT_WEIGHTS_Q8 = 4,
    MZT_WEIGHTS_Q4 = 5
} mzt_weights;

typedef struct mzt_model_params {
    size_t struct_size;
    /* What stands in for parts of the model: files or component folders; NULL: its own. */
    const char *vae;              /* an autoencoder, full or tiny */
    const char *text_encoders[2]; /* in any order */
    const char *tokenizer;
    const char *data_folder; /* where CLIP's vocabulary is looked for last */
    const char *prediction;  /* "epsilon" or "v", for files that leave it open */
    const mzt_lora *loras;   /* [lora_count]; the first element's struct_size counts for all */
    const char *const
        *embeddings; /* [embedding_count] textual inversions, named in prompts by their file names */
    uint32_t lora_count, embedding_count;
    mzt_weights weights;
    uint32_t reserved; /* 0 */
} mzt_model_params;

MZT_API void mzt_model_params_init(mzt_model_params *params, size_t struct_size);

/* Opens a model folder, a single-file checkpoint (full library), or a file that `mezzotint compile` made.
 * `params` may be NULL. Every component is read and checked; errors name file, key and value. Files stay
 * mapped until mzt_model_close. */
MZT_API mzt_status mzt_model_open(mzt_context *context, const char *path, const mzt_model_params *params,
                                  mzt_model **model, mzt_error *error);

/* One file of a model in memory; `name` is its path in the model's folder, "unet/config.json". */
typedef struct mzt_file {
    size_t struct_size;
    const char *name;
    const void *data;
    uint64_t size;
} mzt_file;

/* A model whose files lie in memory: those of a model folder, or one compiled file alone. `data` must stay
 * alive and unchanged until mzt_model_close; names are copied. Paths in `params` are names of files given
 * here. The first element's struct_size counts for all. */
MZT_API mzt_status mzt_model_open_memory(mzt_context *context, const mzt_file *files, uint32_t count,
                                         const mzt_model_params *params, mzt_model **model, mzt_error *error);

/* A host's own file system, such as a game's archive. Both functions may be called from the thread that opens
 * the model and, until mzt_model_close, from threads that make pipelines of it. `name` is as in mzt_file; a
 * compiled file alone is asked for as "model.plan", and first. */
typedef struct mzt_reader {
    size_t struct_size;
    void *user;
    /* Sets *size and returns 0; non-zero: there is no such file. */
    int (*find)(void *user, const char *name, uint64_t *size);
    /* Copies bytes [offset, offset + size) to `buffer` and returns 0; non-zero: failed, the opening ends with
     * IO. */
    int (*read)(void *user, const char *name, uint64_t offset, void *buffer, size_t size);
} mzt_reader;

/* As mzt_model_open_memory, with files read as they are needed, into memory of the context's allocator. */
MZT_API mzt_status mzt_model_open_reader(mzt_context *context, const mzt_reader *reader,
                                         const mzt_model_params *params, mzt_model **model, mzt_error *error);

/* Its pipelines must be gone. */
MZT_API void mzt_model_close(mzt_model *model);

typedef struct mzt_model_info {
    size_t struct_size;
    uint32_t width, height; /* pixels: the model's own picture size */
    uint32_t size_multiple; /* width and height of pictures divide by it */
    uint32_t channels;      /* of pictures: 3, or 4 with alpha */
    uint32_t latent_factor; /* pixels along a side for one latent pixel */
    uint32_t latent_channels;
    uint32_t is_compiled;   /* 1: a file of `mezzotint compile`, which runs at its one size */
    uint32_t is_inpainting; /* 1: the network was trained to be given a mask */
    char sampler[32];       /* the model's own */
    char schedule[32];
    char weights_file[1024]; /* path of the denoising network's (first) file; "" where it has none */
} mzt_model_info;

MZT_API mzt_status mzt_model_get_info(const mzt_model *model, mzt_model_info *info, mzt_error *error);

/* -- what to make -- */

/* A picture in host memory: rows of `width` pixels of 8-bit sRGB channels, `row_bytes` apart (0: without
 * gaps). channels 3: RGB; 4: RGB and straight alpha. */
typedef struct mzt_image {
    size_t struct_size;
    const uint8_t *pixels;
    uint32_t width, height, channels;
    uint32_t reserved; /* 0 */
    size_t row_bytes;
} mzt_image;

/* Where noise comes from. The same seed gives the same picture on every machine. */
typedef enum mzt_rng {
    MZT_RNG_PHILOX = 0,    /* our own counter-based stream */
    MZT_RNG_TORCH_CPU = 1, /* the streams of PyTorch that users of other programs know their seeds from */
    MZT_RNG_TORCH_CUDA = 2
} mzt_rng;

typedef enum mzt_phase {
    MZT_PHASE_TEXT = 0,    /* encoding the prompts */
    MZT_PHASE_PREPARE = 1, /* noise, the init image, and networks that are not ready yet */
    MZT_PHASE_DENOISE = 2, /* the step loop */
    MZT_PHASE_DECODE = 3,  /* latents to pictures */
    MZT_PHASE_DONE = 4
} mzt_phase;

/* How far a job is. */
typedef struct mzt_progress {
    size_t struct_size;
    mzt_phase phase;
    uint32_t step, steps;   /* finished steps of the step loop, and how many there will be */
    double share;           /* 0...1 of the phase */
    double elapsed_seconds; /* since the job's first step */
    double eta_seconds;     /* until it is done, from what was measured so far; negative: not known yet */
} mzt_progress;

typedef struct mzt_job mzt_job;

/* All that decides a picture. Begin with mzt_job_params_init. Everything is borrowed for mzt_job_create. */
typedef struct mzt_job_params {
    size_t struct_size;

    /* what it shows; docs/prompts.md has the notation. With both texts empty the sampling is unconditional */
    const char *prompt, *negative; /* NULL: empty */
    uint32_t plain_prompt;         /* 1: brackets and BREAK are text, not weights */
    uint32_t clip_skip; /* text encoder's hidden state, counted from its last layer (1); 0: the model's own */

    uint32_t width, height; /* pixels; 0: the init image's size, or the model's own */
    uint32_t count;         /* pictures, with seeds seed, seed + 1, ...; 0: 1 */

    uint32_t steps;                 /* 1 ... 4096; 0: 20 */
    const char *sampler, *schedule; /* names as mzt_sampler_name has them; NULL: the model's own */
    const double
        *sigmas; /* NULL, or [sigma_count] descending, in place of steps and schedule; the last may be 0 */
    uint32_t sigma_count;
    mzt_rng rng;
    double eta,
        s_noise; /* fresh noise of samplers that take any, and its factor; negative: the sampler's own */

    double guidance;                     /* classifier-free; 1: off. Default 7.5 */
    double guidance_rescale;             /* 0...1, arXiv 2305.08891; default 0: off */
    double guidance_begin, guidance_end; /* shares of the steps between which it acts; default 0 and 1 */

    uint64_t seed;
    uint64_t variation_seed;
    double variation_strength; /* 0...1: how far the noise is turned to that of variation_seed */

    const mzt_image *init_image; /* NULL: from noise alone */
    const mzt_image *mask;       /* of init_image's size; white is repainted. NULL: all of it */
    double strength;             /* 0...1, with init_image: share of the steps that run. Default 0.75 */
    uint32_t tile_x, tile_y;     /* 1: the picture continues at the opposite edge */

    uint32_t preview;    /* 1: mzt_job_preview will be asked */
    uint32_t trajectory; /* 1: mzt_job_read_trajectory will be asked: every step's clean estimate is kept and
                            decoded */

    /* NULL, or called on the thread that steps the job, between segments of work and at the end of every
     * step. Returning non-zero cancels. It may call mzt_job_preview, mzt_job_progress and mzt_job_cancel on
     * this job, nothing else. */
    int (*progress)(void *user, mzt_job *job, const mzt_progress *progress);
    void *user;
} mzt_job_params;

/* The defaults above: 20 steps of the model's own sampler, guidance 7.5, seed 0, one picture. */
MZT_API void mzt_job_params_init(mzt_job_params *params, size_t struct_size);

/* -- pipelines -- */

/* How activations are stored. Sums are in f32 whatever this is. */
typedef enum mzt_precision {
    MZT_PRECISION_AUTO = 0, /* f16 on GPUs that can, else f32 */
    MZT_PRECISION_F32 = 1,
    MZT_PRECISION_F16 = 2,
    MZT_PRECISION_BF16 = 3
} mzt_precision;

typedef enum mzt_residency {
    MZT_RESIDENCY_ALL =
        0, /* text encoders, denoiser and decoder stay on the device: jobs begin at once, memory adds up */
    MZT_RESIDENCY_TURNS =
        1 /* one network at a time is on the device, uploaded anew for each job: the least memory */
} mzt_residency;

typedef struct mzt_pipeline_params {
    size_t struct_size;
    mzt_precision precision;
    mzt_residency residency;
    uint64_t memory_limit; /* bytes that this pipeline's networks may hold on the device at once; 0: no limit
                              of its own */
    const mzt_job_params
        *shape; /* mzt_pipeline_prepare builds the networks for jobs like this one; NULL: the defaults */
} mzt_pipeline_params;

MZT_API void mzt_pipeline_params_init(mzt_pipeline_params *params, size_t struct_size);

/* A model's networks, compiled for a device. They are kept for as many jobs as follow: a job of the same
 * shape (sizes, count, number of steps and of prompt chunks, guided or not, tiling, masked or not, watched or
 * not) uses them as they are, one of another shape has them made anew. One unfinished job at a time. */
typedef struct mzt_pipeline mzt_pipeline;

/* Checks that the model has what generating needs and that the device can store the precision; builds nothing
 * yet. `params` may be NULL. Model and device must outlive the pipeline. */
MZT_API mzt_status mzt_pipeline_create(mzt_model *model, mzt_device *device,
                                       const mzt_pipeline_params *params, mzt_pipeline **pipeline,
                                       mzt_error *error);

/* Compiles, uploads and builds device code for about `budget_us` of this thread's time, then returns PENDING,
 * or OK once the networks for params.shape are ready. Optional: mzt_job_create does what is left of it.
 * budget_us 0: to the end. With MZT_RESIDENCY_TURNS nothing is kept, and this is OK at once. OUT_OF_MEMORY
 * names the network and its size. */
MZT_API mzt_status mzt_pipeline_prepare(mzt_pipeline *pipeline, uint64_t budget_us, mzt_error *error);

/* Gives the networks' memory back; later jobs make them anew. INVALID while a job exists. */
MZT_API mzt_status mzt_pipeline_release(mzt_pipeline *pipeline, mzt_error *error);

/* Its jobs must be gone. */
MZT_API void mzt_pipeline_destroy(mzt_pipeline *pipeline);

typedef struct mzt_estimate {
    size_t struct_size;
    uint64_t weights;     /* bytes of all networks' weights on the device */
    uint64_t activations; /* bytes of all networks' activations and inputs */
    uint64_t peak;        /* the most that is on the device at once, by the pipeline's residency */
    uint64_t flops;       /* of the whole job: one addition or multiplication counts one */
} mzt_estimate;

/* What a job would take of a device, computed from the compiled plans; nothing is allocated on it. `pipeline`
 * and `job` may be NULL: the defaults. Executors may hold some percent more for packed copies and staging.
 * Full library. */
MZT_API mzt_status mzt_model_estimate(mzt_model *model, const mzt_device *device,
                                      const mzt_pipeline_params *pipeline, const mzt_job_params *job,
                                      mzt_estimate *estimate, mzt_error *error);

/* Writes what jobs like `pipeline`->shape need into one file that can be mapped: the plans of all networks,
 * packed weights, vocabulary and configuration. mzt_model_open of either library opens it, and its jobs give
 * the same pictures. `device` (may be NULL: any) is what the plans are compiled for. Written aside and
 * renamed. Full library. */
MZT_API mzt_status mzt_model_compile(mzt_model *model, const mzt_device *device,
                                     const mzt_pipeline_params *pipeline, const char *path, mzt_error *error);

/* -- jobs -- */

/* Checks the parameters, makes or finds the networks, and reserves all memory the job will need, on host and
 * device (MZT_RESIDENCY_TURNS: on the host, and no more than the device has): afterwards it does not run
 * out, but for the few hundred bytes that an executor may ask for at the start of a run.
 * INVALID names the value at fault and what the model allows. INVALID while another job of the pipeline
 * exists. */
MZT_API mzt_status mzt_job_create(mzt_pipeline *pipeline, const mzt_job_params *params, mzt_job **job,
                                  mzt_error *error);

/* Does about `budget_us` of work and returns PENDING, or OK when the pictures are ready. On a GPU it submits
 * at most that much estimated device time, polls, and returns without waiting; on a processor it works for
 * that long. It may overrun by one segment of work. budget_us 0 takes in what has finished and submits
 * nothing. CANCELLED after a cancel; any failure is final for the job, and the pipeline stays usable unless
 * the device is lost. */
MZT_API mzt_status mzt_job_step(mzt_job *job, uint64_t budget_us, mzt_error *error);

/* Works until the pictures are ready. */
MZT_API mzt_status mzt_job_run(mzt_job *job, mzt_error *error);

/* Asks the job to stop: seen within one segment of work, after which mzt_job_step and mzt_job_run return
 * CANCELLED. Any thread, any number of times, also on a finished job (which stays finished). Never waits. */
MZT_API void mzt_job_cancel(mzt_job *job);

/* Any thread. Never waits. */
MZT_API mzt_status mzt_job_progress(const mzt_job *job, mzt_progress *progress, mzt_error *error);

/* Waits for what is on the device, gives the job's memory back, leaves the pipeline's networks for the next
 * job. */
MZT_API void mzt_job_destroy(mzt_job *job);

typedef struct mzt_job_info {
    size_t struct_size;
    uint32_t width, height, count; /* of the pictures */
    uint32_t channels;             /* 3, or 4 where the pictures have an alpha that says something */
    uint32_t steps, calls;         /* that run (0 at strength 0), and evaluations of the network */
    uint32_t guided;               /* 1: an unconditional half is computed */
    uint32_t preview_width, preview_height;
    char sampler[32], schedule[32]; /* the sampler's label ("DPM++ 2M") and the schedule's name */
    mzt_precision precision;        /* what MZT_PRECISION_AUTO came to */
    uint64_t device_bytes;          /* held while denoising */
    double seconds[4];              /* spent in each phase so far, by mzt_phase */
} mzt_job_info;

MZT_API mzt_status mzt_job_get_info(const mzt_job *job, mzt_job_info *info, mzt_error *error);

/* A rough look at picture `index`: the last step's clean estimate, one RGBA pixel for each latent pixel, into
 * [preview_height] rows of `row_bytes` (0: without gaps). *step (may be NULL) receives how many steps it has
 * behind it. Costs no network evaluation. INVALID without params.preview; PENDING before the first step is
 * done. */
MZT_API mzt_status mzt_job_preview(mzt_job *job, uint32_t index, void *pixels, size_t row_bytes,
                                   uint32_t *step, mzt_error *error);

/* Picture `index` of a finished job: [height] rows of [width] RGBA pixels, 8-bit sRGB, straight alpha,
 * `row_bytes` apart (0: without gaps). PENDING while it is not ready. */
MZT_API mzt_status mzt_job_read_rgba8(mzt_job *job, uint32_t index, void *pixels, size_t row_bytes,
                                      mzt_error *error);

/* The first picture as step `step` (0 ... steps - 1) took it to be, likewise. INVALID without
 * params.trajectory. */
MZT_API mzt_status mzt_job_read_trajectory(mzt_job *job, uint32_t step, void *pixels, size_t row_bytes,
                                           mzt_error *error);

/* Writes picture `index` of a finished job as a PNG file that carries its parameters as text, as `mezzotint
 * info` and other programs read them. Written aside and renamed. Full library. */
MZT_API mzt_status mzt_job_write_png(mzt_job *job, uint32_t index, const char *path, mzt_error *error);

/* -- validation -- */

typedef struct mzt_validate_row {
    size_t struct_size;
    const char *component; /* "unet"; strings are valid during the callback */
    const char *node;      /* the graph node, or "(whole)" for the end-to-end row */
    const char *op;        /* "conv2d" */
    uint32_t index;        /* dispatch */
    uint32_t passed;
    double error; /* ||device - reference|| / ||reference||; infinite where the device gave NaN or infinity */
    double limit;
    double share; /* 0...1 of the component's work */
} mzt_validate_row;

typedef struct mzt_validate_params {
    size_t struct_size;
    mzt_precision precision;
    uint32_t
        latent_size; /* height and width of the latents that run through; 0: 16, or what the model needs */
    const char *perturb; /* NULL, or a node whose result on the device is spoiled on purpose */
    int (*report)(void *user,
                  const mzt_validate_row *row); /* NULL, or called for every row; non-zero cancels */
    void *user;
} mzt_validate_params;

typedef struct mzt_validate_summary {
    size_t struct_size;
    uint32_t rows, failed;
    char first_component[32], first_node[200], first_op[32]; /* the first failure */
    double first_error, first_limit;
} mzt_validate_summary;

/* Runs every network of the model on the device and on the reference, node by node from the same bytes. OK
 * also when rows fail (the summary tells; NULL: MISMATCH is returned instead). `params` may be NULL. Full
 * library. */
MZT_API mzt_status mzt_validate(mzt_model *model, mzt_device *device, const mzt_validate_params *params,
                                mzt_validate_summary *summary, mzt_error *error);

#ifdef __cplusplus
}
#endif

#endif
