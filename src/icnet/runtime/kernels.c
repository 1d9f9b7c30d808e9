/* The inner loops of decoding; built with the package where there is a C compiler, see hatch_build.py.
 *
 * Both functions go over output rows `start` to `stop`. `scores` are (count, height, width) floats. An output row y lies between the
 * rows above[y] and below[y] of `scores`, with the share row_shares[y] of the lower one; left, right and column_shares say the
 * same of the columns. `classes` and `confidence` are (any, size) bytes. They hold no state, so strips can run side by side.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* One copy for each kind of CPU, chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && __GNUC__ >= 12
#define FAST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FAST
#endif

/* Tells which source the library was built from; the readers of this library compare it. */
#ifndef SOURCE_SHA256
#define SOURCE_SHA256 ""
#endif
EXPORT const char *source_sha256(void) { return SOURCE_SHA256; }

typedef struct {
    const float *scores;
    int32_t count, height, width, size;
    const int32_t *above, *below;
    const float *row_shares;
    const int32_t *left, *right;
    const float *column_shares;
} Map;

static inline float between(float one, float other, float share) { return one + share * (other - one); }

/* Write one interpolated row of every class, (count, width). */
static inline void blend_row(const Map *map, int32_t y, float *restrict blend) {
    const float share = map->row_shares[y];
    for (int32_t index = 0; index < map->count; index++) {
        const float *plane = map->scores + (size_t)index * map->height * map->width;
        const float *restrict upper = plane + (size_t)map->above[y] * map->width;
        const float *restrict lower = plane + (size_t)map->below[y] * map->width;
        float *restrict out = blend + (size_t)index * map->width;
        for (int32_t x = 0; x < map->width; x++) out[x] = between(upper[x], lower[x], share);
    }
}

/* Interpolation and argmax in one pass; of equal scores the lowest class wins. Along a row, interpolation between two cells in
 * which the same class is best cannot make another one best, so only pixels between cells of different classes look at all
 * scores. Returns 0, or -1 without memory. */
EXPORT FAST int argmax_rows(const Map *map, int32_t start, int32_t stop, uint8_t *classes) {
    const int32_t count = map->count, width = map->width, size = map->size;
    float *blend = malloc(sizeof(float) * (size_t)(count + 1) * width);
    int32_t *winner = malloc(sizeof(int32_t) * (size_t)width);
    if (!blend || !winner) {
        free(blend);
        free(winner);
        return -1;
    }
    float *restrict best = blend + (size_t)count * width;
    for (int32_t y = start; y < stop; y++) {
        blend_row(map, y, blend);
        memcpy(best, blend, sizeof(float) * (size_t)width);
        memset(winner, 0, sizeof(int32_t) * (size_t)width);
        for (int32_t index = 1; index < count; index++) {
            const float *restrict row = blend + (size_t)index * width;
            for (int32_t x = 0; x < width; x++) {
                const int higher = row[x] > best[x];
                best[x] = higher ? row[x] : best[x];
                winner[x] = higher ? index : winner[x];
            }
        }
        uint8_t *out = classes + (size_t)y * size;
        for (int32_t x = 0; x < size; x++) {
            const int32_t left = map->left[x], right = map->right[x];
            int32_t found = winner[left];
            if (found != winner[right]) {
                float highest = -INFINITY;
                for (int32_t index = 0; index < count; index++) {
                    const float *row = blend + (size_t)index * width;
                    const float score = between(row[left], row[right], map->column_shares[x]);
                    if (score > highest) {
                        highest = score;
                        found = index;
                    }
                }
            }
            out[x] = (uint8_t)found;
        }
    }
    free(blend);
    free(winner);
    return 0;
}

/* 255 times the softmax of the interpolated logits at the given classes, rounded; 0 where they are no numbers. Returns 0, or -1
 * without memory. */
EXPORT FAST int softmax_rows(const Map *map, int32_t start, int32_t stop, const uint8_t *classes, uint8_t *confidence) {
    const int32_t count = map->count, width = map->width, size = map->size;
    float *blend = malloc(sizeof(float) * ((size_t)count * width + 3 * (size_t)size));
    if (!blend) return -1;
    float *restrict highest = blend + (size_t)count * width, *restrict total = highest + size, *restrict score = total + size;
    for (int32_t y = start; y < stop; y++) {
        blend_row(map, y, blend);
        for (int32_t x = 0; x < size; x++) {
            const float *row = blend + (size_t)classes[(size_t)y * size + x] * width;
            highest[x] = between(row[map->left[x]], row[map->right[x]], map->column_shares[x]);
            total[x] = 0;
        }
        for (int32_t index = 0; index < count; index++) {
            const float *row = blend + (size_t)index * width;
            for (int32_t x = 0; x < size; x++) score[x] = between(row[map->left[x]], row[map->right[x]], map->column_shares[x]);
            /* exp(t) = 2^whole * 2^part, the second by its Taylor series, right to 1e-5: vector instructions only, which a call
             * of expf is not. */
            for (int32_t x = 0; x < size; x++) {
                float exponent = (score[x] - highest[x]) * 1.44269504f;
                exponent = exponent > -80.0f ? exponent : -80.0f;
                exponent = exponent < 80.0f ? exponent : 80.0f; /* where another class is far more probable */
                const float whole = floorf(exponent), part = (exponent - whole) * 0.69314718f;
                float series = 1.0f / 24 + part * (1.0f / 120 + part * (1.0f / 720));
                series = 1.0f + part * (1.0f + part * (0.5f + part * (1.0f / 6 + part * series)));
                union {
                    int32_t bits;
                    float value;
                } power = {((int32_t)whole + 127) * (1 << 23)};
                total[x] += power.value * series;
            }
        }
        uint8_t *out = confidence + (size_t)y * size;
        for (int32_t x = 0; x < size; x++) out[x] = total[x] > 0.5f ? (uint8_t)(255.0f / total[x] + 0.5f) : 0; /* one term is 1 */
    }
    free(blend);
    return 0;
}
