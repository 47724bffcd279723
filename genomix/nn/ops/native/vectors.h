/* Vectors, GELU, and products of small matrices whose rows are positions. */

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
#define STEP 12 /* positions: a multiple of those that each product below works on at a time */

#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

static inline vec load(const float *from) { return *(const vec *)from; }
static inline void store(float *to, vec value) { *(vec *)to = value; }
static inline vec splat(float value) { return value - (vec){0}; }
static inline vec pick(ivec where, vec yes, vec no) { return (vec)((where & (ivec)yes) | (~where & (ivec)no)); }
static inline int64_t padded(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

/* ---- GELU ------------------------------------------------------------------------------------------------------------------------------------ */

/* Vectors that a function below works on together, step by step: the steps on one wait for each other, and only those on others fill the time. */
#define TOGETHER 4
_Static_assert(STEP % TOGETHER == 0, "arrays of whole steps and vectors are whole groups of vectors");

/* By Horner's rule, from the highest power; `degree` is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void polynomial(vec *p, const float *from_highest, int degree, const vec *x) {
    EACH(v, TOGETHER) p[v] = splat(from_highest[0]);
    EACH(i, degree) EACH(v, TOGETHER) p[v] = p[v] * x[v] + from_highest[i + 1];
}

/* Phi(x), so that gelu(x) = x Phi(x). Phi(x) - 1/2 = x P(x^2) for |x| < 5, P a minimax polynomial in s = x^2 / 12.5 - 1: within 2e-7, but for rounding;
   beyond, 0 or 1, within 3e-7. */
static inline __attribute__((always_inline)) void normal(vec *share, const vec *x) {
    static const float P[] = {
        6.087127145e-04f, -1.613260411e-03f, 1.722840300e-03f, -2.685586923e-03f, 6.410467655e-03f, -1.116432856e-02f, 1.640219494e-02f,
        -2.326865689e-02f, 3.144216793e-02f, -4.044260671e-02f, 5.152052266e-02f, -7.029628065e-02f, 1.413637876e-01f,
    };
    vec s[TOGETHER], p[TOGETHER];
    EACH(v, TOGETHER) s[v] = x[v] * x[v] * 0.08f - 1.0f;
    polynomial(p, P, 12, s);
    EACH(v, TOGETHER) share[v] = pick(s[v] < 1.0f, 0.5f + x[v] * p[v], (vec)((x[v] > 0.0f) & (ivec)splat(1.0f)));
}

/* phi(x) = e^(-x^2 / 2) / sqrt(2 pi), the derivative of Phi: 2^(whole + f) / sqrt(2 pi), by a minimax polynomial for f in [-1/2, 1/2] (that of Cephes's exp2f). */
static inline __attribute__((always_inline)) void bell(vec *density, const vec *x) {
    static const float P[] = {
        6.125105200e-05f, 5.345377508e-04f, 3.837201333e-03f, 2.214262293e-02f, 9.583649938e-02f, 2.765257258e-01f, 3.989422804e-01f,
    };
    ivec whole[TOGETHER];
    vec f[TOGETHER];
    EACH(v, TOGETHER) f[v] = x[v] * x[v] * -0.72134752f;
    EACH(v, TOGETHER) f[v] = pick(f[v] > -127.0f, f[v], splat(-127.0f)); /* 0 from there on */
    EACH(v, TOGETHER) whole[v] = __builtin_convertvector(f[v] - 0.5f, ivec); /* towards zero, that is up */
    EACH(v, TOGETHER) f[v] -= __builtin_convertvector(whole[v], vec);
    polynomial(density, P, 6, f);
    EACH(v, TOGETHER) density[v] *= (vec)((whole[v] + 127) << 23);
}

/* GELU of `size` numbers, in their place; `size` is a multiple of STEP times LANES. */
static void gelu(float *x, int64_t size) {
    for (int64_t i = 0; i < size; i += TOGETHER * LANES) {
        vec in[TOGETHER], share[TOGETHER];
        EACH(v, TOGETHER) in[v] = load(x + i + v * LANES);
        normal(share, in);
        EACH(v, TOGETHER) store(x + i + v * LANES, in[v] * share[v]);
    }
}

/* The same, and its slope. */
static void gelu_and_slope(float *x, float *slope, int64_t size) {
    for (int64_t i = 0; i < size; i += TOGETHER * LANES) {
        vec in[TOGETHER], share[TOGETHER], density[TOGETHER];
        EACH(v, TOGETHER) in[v] = load(x + i + v * LANES);
        normal(share, in);
        bell(density, in);
        EACH(v, TOGETHER) store(slope + i + v * LANES, share[v] + in[v] * density[v]);
        EACH(v, TOGETHER) store(x + i + v * LANES, in[v] * share[v]);
    }
}

/* ---- products of small matrices -------------------------------------------------------------------------------------------------------------- */

/* out[p][c] = start[c] + sum over k of in[p][k] weight[k][c], for P positions and V vectors of columns: as many sums as the registers of AVX2 hold. */
#define PRODUCT(P, V)                                                                                                                               \
    static inline void product_##V(float *out, const float *in, const float *weight, const float *start, int64_t depth, int64_t columns) {          \
        vec sum[P][V];                                                                                                                              \
        EACH(p, P) EACH(v, V) sum[p][v] = start ? load(start + v * LANES) : (vec){0};                                                               \
        for (int64_t k = 0; k < depth; k++) {                                                                                                       \
            vec w[V];                                                                                                                               \
            EACH(v, V) w[v] = load(weight + k * columns + v * LANES);                                                                               \
            EACH(p, P) {                                                                                                                            \
                vec x = splat(in[p * depth + k]);                                                                                                   \
                EACH(v, V) sum[p][v] += x * w[v];                                                                                                   \
            }                                                                                                                                       \
        }                                                                                                                                           \
        EACH(p, P) EACH(v, V) store(out + p * columns + v * LANES, sum[p][v]);                                                                      \
    }
PRODUCT(12, 1) PRODUCT(6, 2) PRODUCT(4, 3)

#define PRODUCTS(P, V)                                                                                                                              \
    for (int64_t p = 0; p < positions; p += P)                                                                                                      \
        product_##V(out + p * columns + c, in + p * depth, weight + c, start ? start + c : 0, depth, columns);

/* out = start + in weight, [position][column] = [position][depth] [depth][column]. `positions` is a multiple of STEP, `columns` of LANES. */
static void product(float *out, const float *in, int64_t positions, const float *weight, const float *start, int64_t depth, int64_t columns) {
    int64_t c = 0;
    for (; columns - c == 2 * LANES || columns - c > 3 * LANES; c += 2 * LANES) PRODUCTS(6, 2)
    if (columns - c == 3 * LANES) PRODUCTS(4, 3)
    if (columns - c == LANES) PRODUCTS(12, 1)
}

/* sum[r][c] += sum over positions of left[p][r] right[p][c], for R rows and V vectors of columns. */
#define OUTER(R, V)                                                                                                                                 \
    static inline void outer_##R##_##V(float *sum, const float *left, int64_t rows, const float *right, int64_t columns, int64_t positions) {       \
        vec s[R][V];                                                                                                                                \
        EACH(r, R) EACH(v, V) s[r][v] = (vec){0}; /* a tile is added up by itself: fewer roundings */                                               \
        for (int64_t p = 0; p < positions; p++) {                                                                                                   \
            vec x[V];                                                                                                                               \
            EACH(v, V) x[v] = load(right + p * columns + v * LANES);                                                                                \
            EACH(r, R) {                                                                                                                            \
                vec y = splat(left[p * rows + r]);                                                                                                  \
                EACH(v, V) s[r][v] += y * x[v];                                                                                                     \
            }                                                                                                                                       \
        }                                                                                                                                           \
        EACH(r, R) EACH(v, V) store(sum + r * columns + v * LANES, load(sum + r * columns + v * LANES) + s[r][v]);                                  \
    }
OUTER(8, 1) OUTER(2, 2) OUTER(6, 2) OUTER(4, 3)

#define OUTERS(R, V)                                                                                                                                \
    for (; r + R <= rows; r += R) outer_##R##_##V(sum + r * columns + c, left + r, rows, right + c, columns, positions);

/* sum += left' right, [row][column] = [position][row]' [position][column]. `rows` is a multiple of 8, `columns` of LANES. */
static void outer(float *sum, const float *left, int64_t rows, const float *right, int64_t columns, int64_t positions) {
    for (int64_t c = 0; c < columns;) {
        int64_t r = 0, vectors = columns - c == LANES ? 1 : columns - c == 3 * LANES ? 3 : 2;
        if (vectors == 1) OUTERS(8, 1)
        if (vectors == 2) { OUTERS(6, 2) OUTERS(2, 2) }
        if (vectors == 3) OUTERS(4, 3)
        c += vectors * LANES;
    }
}

/* rows *= by, and sum[c] += the column's sum over positions. */
static void scale_and_add_columns(float *sum, float *rows, const float *by, int64_t columns, int64_t positions) {
    for (int64_t c = 0; c < columns; c += LANES) {
        vec total = {0};
        for (int64_t p = 0; p < positions; p++) {
            vec scaled = load(rows + p * columns + c) * load(by + p * columns + c);
            store(rows + p * columns + c, scaled);
            total += scaled;
        }
        store(sum + c, load(sum + c) + total);
    }
}

/* sum[c] += the column's sum over positions. */
static void add_columns(float *sum, const float *rows, int64_t columns, int64_t positions) {
    for (int64_t c = 0; c < columns; c += LANES) {
        vec total = {0};
        for (int64_t p = 0; p < positions; p++) total += load(rows + p * columns + c);
        store(sum + c, load(sum + c) + total);
    }
}

/* ---- rows and columns ------------------------------------------------------------------------------------------------------------------------ */

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLED(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define SHUFFLED(a, b, i, j, k, l) __builtin_shuffle(a, b, (int32_t __attribute__((vector_size(16)))){i, j, k, l})
#endif

/* Four rows of four become four columns. */
static inline void turn_quads(quad *q) {
    quad a = SHUFFLED(q[0], q[1], 0, 4, 1, 5), b = SHUFFLED(q[2], q[3], 0, 4, 1, 5);
    quad c = SHUFFLED(q[0], q[1], 2, 6, 3, 7), d = SHUFFLED(q[2], q[3], 2, 6, 3, 7);
    q[0] = SHUFFLED(a, b, 0, 1, 4, 5), q[1] = SHUFFLED(a, b, 2, 3, 6, 7);
    q[2] = SHUFFLED(c, d, 0, 1, 4, 5), q[3] = SHUFFLED(c, d, 2, 3, 6, 7);
}

/* turned[c][r] = from[r][c], rows of `stride` and `turned_stride`. Along the rows that are farther apart: they may share their places in the cache. */
static void turn(float *turned, int64_t turned_stride, const float *from, int64_t stride, int64_t rows, int64_t columns) {
    int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4, by_row = stride > turned_stride;
    for (int64_t outer = 0; outer < (by_row ? whole_rows : whole_columns); outer += 4)
        for (int64_t inner = 0; inner < (by_row ? whole_columns : whole_rows); inner += 4) {
            int64_t r = by_row ? outer : inner, c = by_row ? inner : outer;
            quad q[4];
            EACH(i, 4) q[i] = *(const quad *)(from + (r + i) * stride + c);
            turn_quads(q);
            EACH(i, 4) *(quad *)(turned + (c + i) * turned_stride + r) = q[i];
        }
    for (int64_t c = 0; c < columns; c++)
        for (int64_t r = c < whole_columns ? whole_rows : 0; r < rows; r++) turned[c * turned_stride + r] = from[r * stride + c];
}

#endif
