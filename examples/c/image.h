/* Photos as bytes, and the resizing that networks were trained with. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>

/* Levels from 0 to 255, three a pixel (red, green, blue), rows from top to bottom. */
typedef struct {
    size_t width, height;
    unsigned char *levels; /* free() */
} image;

/* Reads PPM; PNG and JPEG where their libraries were there when this was compiled (HAVE_PNG, HAVE_JPEG).
   Returns 0, or -1 after a message on stderr. */
int image_read(const char *path, image *out);

/* Scales so that the shorter side is `side`, and cuts `columns` x `rows` out of the middle. Bilinear with
   antialiasing, as Pillow and torchvision do it. Returns 0, or -1 where there is no memory. */
int image_fit(const image *in, size_t side, size_t rows, size_t columns, unsigned char *out);

#endif
