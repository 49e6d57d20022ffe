/* A program without a C library: x86-64 Linux. Exits with 0 if the network's first two runs agree. */
#include HEADER

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define L(name) JOIN(LOWER, name)
#define U(name) JOIN(UPPER, name)

/* What a compiler may call anywhere. */
void *memcpy(void *to, const void *from, size_t bytes)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    while (bytes-- > 0) {
        *t++ = *f++;
    }
    return to;
}

void *memset(void *to, int byte, size_t bytes)
{
    unsigned char *t = to;
    while (bytes-- > 0) {
        *t++ = (unsigned char)byte;
    }
    return to;
}

static float input[U(_INPUT_BYTES) / 4];
static float outputs[2][U(_OUTPUT_BYTES) / 4];
static unsigned char workspace[U(_WORKSPACE_BYTES_FOR)(1)] __attribute__((aligned(U(_ALIGN))));

static int check(void)
{
    size_t i;
    for (i = 0; i < U(_INPUT_BYTES) / 4; i++) {
        input[i] = (float)(i % 17) / 8.0f - 1.0f;
    }
    for (i = 0; i < 2; i++) {
        if (L(_run)(input, outputs[i], workspace, NULL) != 0) {
            return 1;
        }
    }
    for (i = 0; i < U(_OUTPUT_BYTES) / 4; i++) {
        if (outputs[0][i] != outputs[1][i]) {
            return 2;
        }
    }
    return outputs[0][0] == outputs[0][1] ? 3 : 0;
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
    long status = check();
    __asm__ volatile("syscall" : : "a"(60L), "D"(status) : "rcx", "r11", "memory");
    for (;;) {
    }
}
