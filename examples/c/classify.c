/* Names a photo: classify [-l LABELS] PHOTO...
 *
 * Everything about the network comes from its header. LABELS has the name of a class in each line. */
#include "image.h"
#include "mobilenet_v2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS MOBILENET_V2_ROWS
#define COLUMNS MOBILENET_V2_COLUMNS
#define CLASSES (MOBILENET_V2_OUTPUT_BYTES / sizeof(float))
#define TOP 5

static const float mean[3] = MOBILENET_V2_MEAN;
static const float deviation[3] = MOBILENET_V2_STD;

/* Memory of the network, aligned by hand: C99 has no other way. */
static unsigned char memory[MOBILENET_V2_WORKSPACE_BYTES_FOR(1) + MOBILENET_V2_ALIGN];
static unsigned char levels[ROWS * COLUMNS * 3];
static float input[3 * ROWS * COLUMNS];
static float scores[CLASSES];

/* The line of a file, or the class's number. */
static const char *label(FILE *labels, size_t class)
{
    static char line[256];
    size_t i;
    if (labels != NULL) {
        rewind(labels);
        for (i = 0; i <= class && fgets(line, sizeof line, labels) != NULL; i++) {
        }
        if (i == class + 1) {
            line[strcspn(line, "\r\n")] = '\0';
            return line;
        }
    }
    sprintf(line, "class %lu", (unsigned long)class);
    return line;
}

static int classify(const char *path, FILE *labels)
{
    uintptr_t start = ((uintptr_t)memory + MOBILENET_V2_ALIGN - 1) / MOBILENET_V2_ALIGN * MOBILENET_V2_ALIGN;
    image photo;
    size_t channel, i, place;
    int error;

    if (image_read(path, &photo) != 0) {
        return 1;
    }
    error = image_fit(&photo, MOBILENET_V2_RESIZE, ROWS, COLUMNS, levels);
    free(photo.levels);
    if (error != 0) {
        fprintf(stderr, "%s: too little memory\n", path);
        return 1;
    }
    for (channel = 0; channel < 3; channel++) {
        for (i = 0; i < ROWS * COLUMNS; i++) {
            float level = levels[3 * i + channel];
            input[channel * ROWS * COLUMNS + i] = (level / 255.0f - mean[channel]) / deviation[channel];
        }
    }
    error = mobilenet_v2_run(input, scores, (void *)start, NULL);
    if (error != 0) {
        fprintf(stderr, "mobilenet_v2_run returned %d\n", error);
        return 1;
    }
    printf("%s\n", path);
    for (place = 0; place < TOP; place++) {
        size_t best = 0;
        for (i = 1; i < CLASSES; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        printf("  %8.4f  %s\n", (double)scores[best], label(labels, best));
        scores[best] = -1e30f;
    }
    return 0;
}

int main(int argc, char **argv)
{
    FILE *labels = NULL;
    int i = 1, failed = 0;
    if (argc > 2 && strcmp(argv[1], "-l") == 0) {
        labels = fopen(argv[2], "r");
        if (labels == NULL) {
            fprintf(stderr, "%s: cannot be opened\n", argv[2]);
            return 1;
        }
        i = 3;
    }
    if (i == argc) {
        fprintf(stderr, "usage: %s [-l LABELS] PHOTO...\n", argv[0]);
        return 2;
    }
    for (; i < argc; i++) {
        failed |= classify(argv[i], labels);
    }
    if (labels != NULL) {
        fclose(labels);
    }
    return failed;
}
