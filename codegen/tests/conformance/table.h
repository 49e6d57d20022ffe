/* The cases that driver.c runs: what cases.c, which is generated, holds. */
#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Most operands of a kernel. */
#define MAX_OPERANDS 40

/* Computes the units `begin` to `end` of a kernel. */
typedef void kernel_function(void *const *operands, int64_t begin, int64_t end, void *scratch);

enum role { INPUT, WEIGHTS, OUTPUT };

struct operand {
    enum role role;
    size_t bytes;
    size_t at; /* where the values are in the data; of outputs unused */
};

struct test_case {
    const char *name;
    kernel_function *function;
    int64_t units;
    size_t scratch; /* bytes */
    size_t operand_count;
    struct operand operands[MAX_OPERANDS];
    size_t expected; /* where in the data as many doubles as the outputs have values are */
    size_t allowed;  /* and how far each value may be off */
};

extern const struct test_case cases[];
extern const size_t case_count;
extern const unsigned char data[];

#endif
