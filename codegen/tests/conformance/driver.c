/* Runs kernels from an object on their operands, and compares what they compute with what is expected.
 *
 * Every buffer lies between two pages that fault on any access: at the lower one, then at the upper one. All units
 * are computed at once, then in two and in three pieces; the results must be the same bits each time. What kernels
 * only read may not be written. Prints each case that fails, and its first wrong value. The status is 0 if none fails, 1 if some
 * do, 2 for a fault or if the machine refuses memory. */
#define _GNU_SOURCE
#include "table.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *current = "";

static void fault(int number)
{
    static const char text[] = ": touches memory that is not its own\n";
    ssize_t written = write(STDERR_FILENO, current, strlen(current));
    written += write(STDERR_FILENO, text, sizeof text - 1);
    (void)number;
    (void)written;
    _exit(2);
}

struct buffer {
    unsigned char *map;
    size_t map_bytes;
    unsigned char *start;
};

static void require(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(2);
    }
}

/* Memory behind the lower guard page (side 0), or before the upper one (side 1) as far as `align` allows. Filled with
   `values`, and then only to be read; or, if there are none, with a pattern that is a NaN. */
static struct buffer guarded(size_t bytes, size_t align, int side, const unsigned char *values)
{
    struct buffer result;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (bytes + page - 1) / page * page;
    result.map_bytes = inner + 2 * page;
    result.map = mmap(NULL, result.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(result.map != MAP_FAILED, "mmap");
    result.start = result.map + page;
    if (side == 1)
        result.start += (inner - bytes) / align * align;
    if (inner > 0) {
        require(mprotect(result.map + page, inner, PROT_READ | PROT_WRITE) == 0, "mprotect");
        memset(result.map + page, 0xff, inner);
        if (values != NULL) {
            memcpy(result.start, values, bytes);
            require(mprotect(result.map + page, inner, PROT_READ) == 0, "mprotect");
        }
    }
    return result;
}

static void unmap(struct buffer buffer)
{
    require(munmap(buffer.map, buffer.map_bytes) == 0, "munmap");
}

/* Runs a case once, and copies its outputs to `out`, one after the other. */
static void run(const struct test_case *test, int side, int64_t pieces, float *out)
{
    struct buffer buffers[MAX_OPERANDS];
    void *addresses[MAX_OPERANDS];
    struct buffer scratch = guarded(test->scratch, 64, side, NULL);
    for (size_t i = 0; i < test->operand_count; i++) {
        const struct operand *operand = &test->operands[i];
        size_t align = operand->role == WEIGHTS ? 64 : 4;
        const unsigned char *values = operand->role == OUTPUT ? NULL : data + operand->at;
        buffers[i] = guarded(operand->bytes, align, side, values);
        addresses[i] = buffers[i].start;
    }
    for (int64_t piece = 0; piece < pieces; piece++)
        test->function(addresses, test->units * piece / pieces, test->units * (piece + 1) / pieces, scratch.start);
    for (size_t i = 0; i < test->operand_count; i++) {
        if (test->operands[i].role == OUTPUT) {
            memcpy(out, buffers[i].start, test->operands[i].bytes);
            out += test->operands[i].bytes / sizeof *out;
        }
        unmap(buffers[i]);
    }
    unmap(scratch);
}

static double number(size_t at)
{
    double value;
    memcpy(&value, data + at, sizeof value);
    return value;
}

/* Whether values are as expected; prints the first that is not. */
static int compare(const struct test_case *test, const float *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double got = out[i];
        double want = number(test->expected + i * sizeof want);
        double allowed = number(test->allowed + i * sizeof allowed);
        if (got == want || (isnan(got) && isnan(want)) || fabs(got - want) <= allowed)
            continue;
        fprintf(stderr, "%s: value %zu is %.9g instead of %.17g, where %.2g is allowed\n", test->name, i, got, want,
                allowed);
        return 0;
    }
    return 1;
}

static int check(const struct test_case *test)
{
    size_t bytes = 0;
    for (size_t i = 0; i < test->operand_count; i++) {
        if (test->operands[i].role == OUTPUT)
            bytes += test->operands[i].bytes;
    }
    float *first = malloc(bytes);
    float *again = malloc(bytes);
    require(first != NULL && again != NULL, "malloc");
    run(test, 0, 1, first);
    int passed = compare(test, first, bytes / sizeof *first);
    for (int64_t pieces = 2; pieces <= 3 && passed; pieces++) {
        run(test, 1, pieces, again);
        passed = memcmp(first, again, bytes) == 0;
        if (!passed)
            fprintf(stderr, "%s: %d pieces give other bits\n", test->name, (int)pieces);
    }
    free(first);
    free(again);
    return passed;
}

int main(void)
{
    /* Systems tell of forbidden accesses by either signal. */
    signal(SIGSEGV, fault);
    signal(SIGBUS, fault);
    size_t failed = 0;
    for (size_t i = 0; i < case_count; i++) {
        current = cases[i].name;
        failed += !check(&cases[i]);
    }
    printf("%zu of %zu cases passed\n", case_count - failed, case_count);
    return failed > 0;
}
