/* Vectors, GELU, and products of small matrices whose columns are the positions of a tile. */

#ifndef GENOMIX_VECTORS_H
#define GENOMIX_VECTORS_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define VECTORS 2
#define TILE (LANES * VECTORS)
#define ROWS 8        /* rows that a product works on at a time: with VECTORS of each, what fits into the registers */

#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline vec load(const float *from) { return *(const vec *)from; }
static inline void store(float *to, vec value) { *(vec *)to = value; }
static inline vec splat(float value) { return value - (vec){0}; }
static inline vec pick(ivec where, vec yes, vec no) { return (vec)((where & (ivec)yes) | (~where & (ivec)no)); }
static inline int64_t padded(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

/* ---- GELU ------------------------------------------------------------------------------------------------------------------------------------ */

/* By Horner's rule, from the highest power; `degree` is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) vec polynomial(const float *from_highest, int degree, vec x) {
    vec p = splat(from_highest[0]);
    EACH(i, degree) p = p * x + from_highest[i + 1];
    return p;
}

/* Phi(x), so that gelu(x) = x Phi(x). Phi(x) - 1/2 = x P(x^2) for |x| <= 5, P a minimax polynomial in s = x^2 / 12.5 - 1: within 2e-7. */
static inline vec normal(vec x) {
    static const float P[] = {
        6.087127145e-04f, -1.613260411e-03f, 1.722840300e-03f, -2.685586923e-03f, 6.410467655e-03f, -1.116432856e-02f, 1.640219494e-02f,
        -2.326865689e-02f, 3.144216793e-02f, -4.044260671e-02f, 5.152052266e-02f, -7.029628065e-02f, 1.413637876e-01f,
    };
    vec c = pick(x < 5.0f, x, splat(5.0f));
    c = pick(c > -5.0f, c, splat(-5.0f));
    vec p = polynomial(P, 12, c * c * 0.08f - 1.0f);
    return pick(c > -5.0f, 0.5f + c * p, splat(0.0f)); /* -1e9 must come to nothing */
}

/* e^x for x in [-87, 0]: 2^whole times a polynomial (Taylor's, of 2^f), f in [-1/2, 1/2]. */
static inline vec exponential(vec x) {
    static const float P[] = {
        1.535336188e-4f, 1.339887440e-3f, 9.618437357e-3f, 5.550332471e-2f, 2.402264791e-1f, 6.931472029e-1f, 1.0f,
    };
    vec scaled = x * 1.44269504f;
    ivec whole = __builtin_convertvector(scaled - 0.5f, ivec); /* towards zero, that is up */
    return polynomial(P, 6, scaled - __builtin_convertvector(whole, vec)) * (vec)((whole + 127) << 23);
}

/* phi(x), the derivative of Phi. */
static inline vec bell(vec x) {
    vec square = x * x;
    return 0.39894228f * exponential(-0.5f * pick(square < 170.0f, square, splat(170.0f)));
}

/* ---- products of small matrices -------------------------------------------------------------------------------------------------------------- */

/* out[r][tile] = start[r] + sum over k of weight[r][k] in[k][tile], for R rows. */
#define PRODUCT(R)                                                                                                                                  \
    static inline void product_##R(float *out, const float *weight, int64_t depth, const float *start, const float *in) {                           \
        vec sum[R][VECTORS];                                                                                                                        \
        EACH(r, R) EACH(v, VECTORS) sum[r][v] = splat(start ? start[r] : 0.0f);                                                                     \
        for (int64_t k = 0; k < depth; k++) {                                                                                                       \
            vec x[VECTORS];                                                                                                                         \
            EACH(v, VECTORS) x[v] = load(in + k * TILE + v * LANES);                                                                                \
            EACH(r, R) EACH(v, VECTORS) sum[r][v] += weight[r * depth + k] * x[v];                                                                  \
        }                                                                                                                                           \
        EACH(r, R) EACH(v, VECTORS) store(out + r * TILE + v * LANES, sum[r][v]);                                                                   \
    }
PRODUCT(1) PRODUCT(2) PRODUCT(3) PRODUCT(4) PRODUCT(5) PRODUCT(6) PRODUCT(7) PRODUCT(8)

static void product(float *out, const float *weight, const float *start, const float *in, int64_t rows, int64_t depth) {
    for (int64_t r = 0; r < rows; r += ROWS) {
        const float *from = weight + r * depth, *first = start ? start + r : 0;
        float *to = out + r * TILE;
        switch (rows - r) {
        case 1: product_1(to, from, depth, first, in); break;
        case 2: product_2(to, from, depth, first, in); break;
        case 3: product_3(to, from, depth, first, in); break;
        case 4: product_4(to, from, depth, first, in); break;
        case 5: product_5(to, from, depth, first, in); break;
        case 6: product_6(to, from, depth, first, in); break;
        case 7: product_7(to, from, depth, first, in); break;
        default: product_8(to, from, depth, first, in);
        }
    }
}

/* sum[r][k] += sum over the tile of left[r][t] turned[t][k], for ROWS rows and V vectors of columns. */
#define OUTER(V)                                                                                                                                    \
    static inline void outer_##V(float *sum, const float *left, const float *turned, int64_t columns) {                                             \
        vec s[ROWS][V];                                                                                                                             \
        EACH(r, ROWS) EACH(v, V) s[r][v] = load(sum + r * columns + v * LANES);                                                                     \
        for (int t = 0; t < TILE; t++) {                                                                                                            \
            vec x[V];                                                                                                                               \
            EACH(v, V) x[v] = load(turned + t * columns + v * LANES);                                                                               \
            EACH(r, ROWS) EACH(v, V) s[r][v] += left[r * TILE + t] * x[v];                                                                          \
        }                                                                                                                                           \
        EACH(r, ROWS) EACH(v, V) store(sum + r * columns + v * LANES, s[r][v]);                                                                     \
    }
OUTER(1) OUTER(2)

/* `rows` is rounded up to ROWS and `columns` is a multiple of LANES. */
static void outer(float *sum, const float *left, const float *turned, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r += ROWS) {
        int64_t k = 0;
        for (; k + 2 * LANES <= columns; k += 2 * LANES) outer_2(sum + r * columns + k, left + r * TILE, turned + k, columns);
        for (; k < columns; k += LANES) outer_1(sum + r * columns + k, left + r * TILE, turned + k, columns);
    }
}

static void add_rows(float *sum, const float *rows, int64_t count) {
    for (int64_t r = 0; r < count; r++) EACH(v, VECTORS) store(sum + r * LANES, load(sum + r * LANES) + load(rows + r * TILE + v * LANES));
}

#endif
