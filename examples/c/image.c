#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_PNG
#include <png.h>
#endif
#ifdef HAVE_JPEG
#include <jpeglib.h>
#include <setjmp.h>
#endif

/* Most pixels of a photo. */
#define LIMIT ((size_t)1 << 28)

static int fail(const char *path, const char *message)
{
    fprintf(stderr, "%s: %s\n", path, message);
    return -1;
}

static int allocate(image *out, size_t width, size_t height)
{
    if (width == 0 || height == 0 || width > LIMIT / height) {
        return -1;
    }
    out->width = width;
    out->height = height;
    out->levels = malloc(3 * width * height);
    return out->levels == NULL ? -1 : 0;
}

/* The next number of a PPM header; comments reach from # to the end of the line. */
static int ppm_number(FILE *file, size_t *number)
{
    int c = fgetc(file);
    while (c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '#') {
        while (c == '#' && (c = fgetc(file)) != '\n' && c != EOF) {
            c = '#';
        }
        c = fgetc(file);
    }
    for (*number = 0; c >= '0' && c <= '9'; c = fgetc(file)) {
        *number = 10 * *number + (size_t)(c - '0');
        if (*number > LIMIT) {
            return -1;
        }
    }
    return c == ' ' || c == '\n' || c == '\r' || c == '\t' ? 0 : -1;
}

static int read_ppm(FILE *file, const char *path, image *out)
{
    size_t width, height, most;
    if (ppm_number(file, &width) != 0 || ppm_number(file, &height) != 0
        || ppm_number(file, &most) != 0 || most != 255) {
        return fail(path, "not a PPM with 256 levels");
    }
    if (allocate(out, width, height) != 0) {
        return fail(path, "too large");
    }
    if (fread(out->levels, 3 * width, height, file) != height) {
        free(out->levels);
        return fail(path, "the file ends early");
    }
    return 0;
}

#ifdef HAVE_PNG
static int read_png(const char *path, image *out)
{
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_file(&png, path)) {
        return fail(path, png.message);
    }
    png.format = PNG_FORMAT_RGB;
    if (allocate(out, png.width, png.height) != 0) {
        png_image_free(&png);
        return fail(path, "too large");
    }
    if (!png_image_finish_read(&png, NULL, out->levels, 0, NULL)) {
        free(out->levels);
        return fail(path, png.message);
    }
    return 0;
}
#endif

#ifdef HAVE_JPEG
struct jpeg_failure {
    struct jpeg_error_mgr manager;
    jmp_buf place;
};

static void jpeg_failed(j_common_ptr jpeg)
{
    longjmp(((struct jpeg_failure *)(void *)jpeg->err)->place, 1);
}

static int read_jpeg(FILE *file, const char *path, image *out)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_failure failure;
    out->levels = NULL;
    jpeg.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = jpeg_failed;
    if (setjmp(failure.place)) {
        jpeg_destroy_decompress(&jpeg);
        free(out->levels);
        return fail(path, "not a JPEG that can be read");
    }
    jpeg_create_decompress(&jpeg);
    jpeg_stdio_src(&jpeg, file);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    if (allocate(out, jpeg.output_width, jpeg.output_height) != 0) {
        jpeg_destroy_decompress(&jpeg);
        return fail(path, "too large");
    }
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = out->levels + 3 * out->width * jpeg.output_scanline;
        jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return 0;
}
#endif

int image_read(const char *path, image *out)
{
    unsigned char start[2] = { 0, 0 };
    FILE *file = fopen(path, "rb");
    int result;
    if (file == NULL) {
        return fail(path, "cannot be opened");
    }
    if (fread(start, 1, 2, file) == 2 && start[0] == 'P' && start[1] == '6') {
        result = read_ppm(file, path, out);
#ifdef HAVE_PNG
    } else if (start[0] == 0x89 && start[1] == 'P') {
        result = read_png(path, out);
#endif
#ifdef HAVE_JPEG
    } else if (start[0] == 0xff && start[1] == 0xd8) {
        rewind(file);
        result = read_jpeg(file, path, out);
#endif
    } else {
        result = fail(path, "not a kind of photo that this program was compiled for");
    }
    fclose(file);
    return result;
}

/* One axis: `count` places of `to`, which lie `step` apart, from `size` of `from`. Place `i` shows the pixels
   around (first + i + 0.5) * scale. */
static void resample(const unsigned char *from, size_t size, size_t from_step, unsigned char *to,
    size_t to_step, double scale, double first, size_t count)
{
    double reach = scale > 1.0 ? scale : 1.0;
    size_t i, k;
    int channel;
    for (i = 0; i < count; i++) {
        double centre = (first + (double)i + 0.5) * scale;
        double low = centre - reach + 0.5, high = centre + reach + 0.5;
        size_t begin = low > 0.0 ? (size_t)low : 0;
        size_t end = high < (double)size ? (size_t)high : size;
        for (channel = 0; channel < 3; channel++) {
            double sum = 0.0, weights = 0.0, level;
            for (k = begin; k < end; k++) {
                double distance = ((double)k + 0.5 - centre) / reach;
                double weight = 1.0 - (distance < 0.0 ? -distance : distance);
                if (weight > 0.0) {
                    sum += weight * from[k * from_step + (size_t)channel];
                    weights += weight;
                }
            }
            level = sum / weights + 0.5;
            to[i * to_step + (size_t)channel] = (unsigned char)(level > 255.0 ? 255.0 : level);
        }
    }
}

/* Half of what is too much, rounded to even as Python does. */
static double middle(size_t size, size_t crop)
{
    size_t half = (size - crop) / 2;
    return (double)((size - crop) % 2 == 1 && half % 2 == 1 ? half + 1 : half);
}

int image_fit(const image *in, size_t side, size_t rows, size_t columns, unsigned char *out)
{
    size_t shorter = in->width < in->height ? in->width : in->height;
    /* The longer side is rounded down. */
    size_t width = in->width == shorter ? side : side * in->width / shorter;
    size_t height = in->height == shorter ? side : side * in->height / shorter;
    unsigned char *between;
    size_t i;
    if (width < columns || height < rows) {
        return -1;
    }
    between = malloc(3 * columns * in->height);
    if (between == NULL) {
        return -1;
    }
    for (i = 0; i < in->height; i++) {
        resample(in->levels + 3 * in->width * i, in->width, 3, between + 3 * columns * i, 3,
            (double)in->width / (double)width, middle(width, columns), columns);
    }
    for (i = 0; i < columns; i++) {
        resample(between + 3 * i, in->height, 3 * columns, out + 3 * i, 3 * columns,
            (double)in->height / (double)height, middle(height, rows), rows);
    }
    free(between);
    return 0;
}
