/* Runs a network in every way that its header allows, and compares the bits.
 *
 * Compiled with -DHEADER='"x.h"' -DLOWER=x -DUPPER=X, and -DOUTPUT_COUNT=n where there are several outputs.
 * Arguments: INPUT OUTPUT [WEIGHTS]. Writes the outputs one after the other. */
#define _GNU_SOURCE
#include HEADER

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define L(name) JOIN(LOWER, name)
#define U(name) JOIN(UPPER, name)

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "check.c:%d: %s does not hold\n", __LINE__, #condition); \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

/* Memory between pages that may not be touched: it begins behind one (side 0), or its end lies before one
   (side 1), as far as the alignment allows. */
static unsigned char *guarded(size_t bytes, size_t align, int side)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (bytes + page - 1) / page * page;
    unsigned char *start = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(start != MAP_FAILED);
    CHECK(mprotect(start + page, inner, PROT_READ | PROT_WRITE) == 0);
    return start + page + (side == 0 ? 0 : (inner - bytes) / align * align);
}

static void read_file(const char *path, void *to, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    CHECK(fread(to, 1, bytes, file) == bytes);
    CHECK(fgetc(file) == EOF);
    fclose(file);
}

#ifndef OUTPUT_COUNT
#define OUTPUT_COUNT 1
static const size_t output_bytes[] = { U(_OUTPUT_BYTES) };
#else
/* As many as any test has. */
static const size_t output_bytes[2] = { U(_OUTPUT_0_BYTES), U(_OUTPUT_1_BYTES) };
#endif

static const unsigned char *image;
#ifdef EXTERNAL
static unsigned char *weights;
static size_t weights_bytes;
#endif

static int run(const void *input, float *const *outputs, void *workspace, const L(_options) * options)
{
#ifdef EXTERNAL
    return L(_run)(weights, weights_bytes, input,
#else
    return L(_run)(input,
#endif
#if OUTPUT_COUNT == 1
        outputs[0],
#else
        outputs,
#endif
        workspace, options);
}

struct job {
    float *outputs[OUTPUT_COUNT];
    void *workspace;
    int error;
};

static void prepare(struct job *job, size_t threads, int side)
{
    int k;
    for (k = 0; k < OUTPUT_COUNT; k++) {
        job->outputs[k] = (float *)guarded(output_bytes[k], 4, side);
        memset(job->outputs[k], 0xff, output_bytes[k]);
    }
    job->workspace = guarded(U(_WORKSPACE_BYTES_FOR)(threads), U(_ALIGN), side);
    memset(job->workspace, 0xff, U(_WORKSPACE_BYTES_FOR)(threads));
}

static void same(const struct job *a, const struct job *b)
{
    int k;
    for (k = 0; k < OUTPUT_COUNT; k++) {
        CHECK(memcmp(a->outputs[k], b->outputs[k], output_bytes[k]) == 0);
    }
}

static void *thread(void *argument)
{
    struct job *job = argument;
    int i;
    for (i = 0; i < 2; i++) {
        job->error |= run(image, job->outputs, job->workspace, NULL);
    }
    return NULL;
}

/* A pool that runs the pieces backwards on one thread; some on another. */
struct piece {
    void (*task)(void *, size_t);
    void *argument;
    size_t from, to;
};

static void *pieces(void *argument)
{
    struct piece *piece = argument;
    size_t i;
    for (i = piece->to; i > piece->from; i--) {
        piece->task(piece->argument, i - 1);
    }
    return NULL;
}

static size_t most;

static void parallel_for(void *pool, size_t n, void (*task)(void *, size_t), void *argument)
{
    struct piece upper, lower;
    pthread_t other;
    upper.task = lower.task = task;
    upper.argument = lower.argument = argument;
    upper.from = lower.to = n / 2;
    upper.to = n;
    lower.from = 0;
    CHECK(pool == &most);
    most = n > most ? n : most;
    CHECK(pthread_create(&other, NULL, pieces, &upper) == 0);
    pieces(&lower);
    CHECK(pthread_join(other, NULL) == 0);
}

int main(int argc, char **argv)
{
    struct job first, job, jobs[2];
    L(_options) options = { sizeof options, parallel_for, &most, 3 };
    unsigned char *input;
    int side, k, i;
    FILE *file;
    size_t threads;
    size_t align = INPUT_ALIGN;

    CHECK(argc >= 3);
#ifdef EXTERNAL
    weights_bytes = U(_WEIGHTS_BYTES);
    weights = guarded(weights_bytes, U(_ALIGN), 1);
    CHECK(argc == 4);
    read_file(argv[3], weights, weights_bytes);
#endif
    input = guarded(U(_INPUT_BYTES), align, 1);
    read_file(argv[1], input, U(_INPUT_BYTES));
    image = input;

    prepare(&first, 1, 1);
    CHECK(run(input, first.outputs, first.workspace, NULL) == 0);
    /* Again, in memory that the first run left as it is. */
    prepare(&job, 1, 0);
    memcpy(job.workspace, first.workspace, U(_WORKSPACE_BYTES_FOR)(1));
    CHECK(run(input, job.outputs, job.workspace, NULL) == 0);
    same(&first, &job);

    for (side = 0; side < 2; side++) {
        unsigned char *moved = guarded(U(_INPUT_BYTES), align, side);
        memcpy(moved, input, U(_INPUT_BYTES));
        for (threads = 1; threads < 4; threads++) {
            prepare(&job, threads, side);
            options.threads = threads;
            most = 0;
            CHECK(run(moved, job.outputs, job.workspace, &options) == 0);
            CHECK(most <= threads);
            same(&first, &job);
        }
        CHECK(memcmp(moved, input, U(_INPUT_BYTES)) == 0);
    }
    /* More threads than the object has room for are as many as it has. */
    prepare(&job, 1000, 1);
    options.threads = 1000;
    CHECK(run(input, job.outputs, job.workspace, &options) == 0);
    CHECK(most <= U(_THREADS));
    CHECK(U(_WORKSPACE_BYTES_FOR)(1000) == U(_WORKSPACE_BYTES));
    same(&first, &job);

    /* Two threads at once, each with its own memory. */
    {
        pthread_t ids[2];
        for (i = 0; i < 2; i++) {
            prepare(&jobs[i], 1, i);
            jobs[i].error = 0;
            CHECK(pthread_create(&ids[i], NULL, thread, &jobs[i]) == 0);
        }
        for (i = 0; i < 2; i++) {
            CHECK(pthread_join(ids[i], NULL) == 0);
            CHECK(jobs[i].error == 0);
            same(&first, &jobs[i]);
        }
    }

    /* What is wrong is said, and nothing is written. */
    prepare(&job, 1, 1);
    CHECK(run(NULL, job.outputs, job.workspace, NULL) == U(_E_NULL));
    CHECK(run(input, job.outputs, NULL, NULL) == U(_E_NULL));
    {
        float *none[OUTPUT_COUNT] = { NULL };
        CHECK(run(input, none, job.workspace, NULL) == U(_E_NULL));
    }
    CHECK(run(input, job.outputs, (char *)job.workspace + 4, NULL) == U(_E_ALIGN));
    if (align > 1) {
        CHECK(run(input + 1, job.outputs, job.workspace, NULL) == U(_E_ALIGN));
    }
    options.size = sizeof options - 1;
    CHECK(run(input, job.outputs, job.workspace, &options) == U(_E_OPTIONS));
#ifdef EXTERNAL
    {
        unsigned char *good = weights;
        unsigned char *bad = guarded(weights_bytes, U(_ALIGN), 1);
        size_t at[] = { 0, 8, 12, 16, 24, 31 };
        size_t lengths[] = { 0, 1, 63, 64 };
        memcpy(bad, good, weights_bytes);
        weights = bad;
        for (i = 0; i < (int)(sizeof at / sizeof at[0]); i++) {
            bad[at[i]] ^= 1;
            CHECK(run(input, job.outputs, job.workspace, NULL) == U(_E_WEIGHTS));
            bad[at[i]] ^= 1;
        }
        weights_bytes--;
        CHECK(run(input, job.outputs, job.workspace, NULL) == U(_E_WEIGHTS));
        weights_bytes++;
        /* Of a file that is cut off, nothing is read behind its end. */
        for (i = 0; i < (int)(sizeof lengths / sizeof lengths[0]); i++) {
            weights = guarded(lengths[i], U(_ALIGN), 1);
            memcpy(weights, good, lengths[i]);
            weights_bytes = lengths[i];
            CHECK(run(input, job.outputs, job.workspace, NULL) == U(_E_WEIGHTS));
        }
        weights = NULL;
        CHECK(run(input, job.outputs, job.workspace, NULL) == U(_E_NULL));
        weights = good + 4;
        CHECK(run(input, job.outputs, job.workspace, NULL) == U(_E_ALIGN));
    }
#endif
    for (k = 0; k < OUTPUT_COUNT; k++) {
        size_t byte;
        for (byte = 0; byte < output_bytes[k]; byte++) {
            CHECK(((unsigned char *)job.outputs[k])[byte] == 0xff);
        }
    }

    file = fopen(argv[2], "wb");
    CHECK(file != NULL);
    for (k = 0; k < OUTPUT_COUNT; k++) {
        CHECK(fwrite(first.outputs[k], 1, output_bytes[k], file) == output_bytes[k]);
    }
    CHECK(fclose(file) == 0);
    return 0;
}
