/* One factor of a Paramixer, forward and backward, in float32 (see `genomix.nn.ops.factors`).

       out[c][t] = v[c][t] + sum over links l of w[head of c][l][t] v[c][t + offset[l]]          w = W2 gelu(W1 x + b1) + b2 at every position t

   Arrays are channel-first: one row of positions a channel. A tile of positions passes through the whole factor while it lies in the cache, so that the
   perceptron's hidden layer exists for one tile only. The code is plain C with the compiler's vector types: the width of the vectors follows from what it is
   compiled for. Tiles are independent of each other; callers run ranges of them in threads. */

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
#define MOST_LINKS 64 /* the caller sees to it */

#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

typedef struct {
    int64_t records, width, channels, sources, hidden, heads, links;
    const int64_t *offsets;  /* [link] */
    const int64_t *lengths;  /* [record] */
    const uint8_t *circular; /* [record] */
    const float *source;     /* [record][source][width] */
    const float *values;     /* [record][channel][width]; none: the perceptron's outputs themselves are the result */
    const float *w1, *b1;    /* [hidden][source], [hidden] */
    const float *w2, *b2;    /* [head link][hidden], [head link] */
    /* the backward pass only: */
    const float *w1t, *w2t;  /* [source][hidden], [hidden][head link] */
    const float *grad;       /* of the result */
    float *weights;          /* work space, [record][head link][width] */
} Factor;

/* Links of one tile: those whose values lie in one piece are read where they are, the others place by place. */
typedef struct {
    int whole;   /* no link of the tile is in two pieces */
    int count;
    int link[MOST_LINKS];
    int64_t shift[MOST_LINKS];
} Links;

static inline vec load(const float *from) { return *(const vec *)from; }
static inline void store(float *to, vec value) { *(vec *)to = value; }
static inline vec splat(float value) { return value - (vec){0}; }
static inline vec pick(ivec where, vec yes, vec no) { return (vec)((where & (ivec)yes) | (~where & (ivec)no)); }
static inline int64_t padded(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

/* ---- GELU ------------------------------------------------------------------------------------------------------------------------------------ */

/* Phi(x), so that gelu(x) = x Phi(x). Phi(x) - 1/2 = x P(x^2) for |x| <= 5, P a minimax polynomial in s = x^2 / 12.5 - 1: within 2e-7. */
static inline vec normal(vec x) {
    vec c = pick(x < 5.0f, x, splat(5.0f));
    c = pick(c > -5.0f, c, splat(-5.0f));
    vec s = c * c * 0.08f - 1.0f;
    vec p = splat(6.087127145e-04f);
    p = p * s - 1.613260411e-03f;
    p = p * s + 1.722840300e-03f;
    p = p * s - 2.685586923e-03f;
    p = p * s + 6.410467655e-03f;
    p = p * s - 1.116432856e-02f;
    p = p * s + 1.640219494e-02f;
    p = p * s - 2.326865689e-02f;
    p = p * s + 3.144216793e-02f;
    p = p * s - 4.044260671e-02f;
    p = p * s + 5.152052266e-02f;
    p = p * s - 7.029628065e-02f;
    p = p * s + 1.413637876e-01f;
    return pick(c > -5.0f, 0.5f + c * p, splat(0.0f)); /* -1e9 must come to nothing */
}

/* e^x for x in [-87, 0]: 2^whole times a polynomial (Taylor's, of 2^f), f in [-1/2, 1/2]. */
static inline vec exponential(vec x) {
    vec scaled = x * 1.44269504f;
    ivec whole = __builtin_convertvector(scaled - 0.5f, ivec); /* towards zero, that is up */
    vec f = scaled - __builtin_convertvector(whole, vec);
    vec p = splat(1.535336188e-4f);
    p = p * f + 1.339887440e-3f;
    p = p * f + 9.618437357e-3f;
    p = p * f + 5.550332471e-2f;
    p = p * f + 2.402264791e-1f;
    p = p * f + 6.931472029e-1f;
    p = p * f + 1.0f;
    return p * (vec)((whole + 127) << 23);
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

/* ---- tiles ----------------------------------------------------------------------------------------------------------------------------------- */

/* Rows of a tile, one after the other; zeros beyond `count` positions. */
static void take(float *tile, const float *array, int64_t width, int64_t start, int64_t count, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        const float *row = array + r * width + start;
        if (count == TILE) EACH(v, VECTORS) store(tile + r * TILE + v * LANES, load(row + v * LANES));
        else {
            memset(tile + r * TILE, 0, TILE * sizeof(float));
            memcpy(tile + r * TILE, row, count * sizeof(float));
        }
    }
}

static void give(float *array, const float *tile, int64_t width, int64_t start, int64_t count, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) memcpy(array + r * width + start, tile + r * TILE, count * sizeof(float));
}

static void turn(float *turned, const float *tile, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r++)
        for (int t = 0; t < TILE; t++) turned[t * columns + r] = tile[r * TILE + t];
}

/* The position that `place` is in a record, or -1 where there is none. */
static inline int64_t position(int64_t place, int64_t length, int circular) {
    if (place >= 0 && place < length) return place;
    if (!circular) return -1;
    return place < 0 ? place + length : place - length; /* a link is shorter than its record */
}

/* Where the links of a tile lead; with sign -1, where they come from. */
static Links find_links(const Factor *f, int64_t start, int64_t count, int64_t length, int circular, int sign) {
    Links found = {.whole = count == TILE, .count = 0};
    for (int l = 0; l < f->links; l++) {
        int64_t offset = sign * f->offsets[l];
        if (offset >= length || -offset >= length) continue;
        int64_t first = start + offset;
        if (circular) first = position(first, length, 1);
        if (first >= 0 && first + TILE <= length) {
            found.link[found.count] = l;
            found.shift[found.count++] = first - start;
        } else if (circular || (first < length && first + TILE > 0)) found.whole = 0;
    }
    return found;
}

/* out = values + links, C rows of one head. The weights of a link lie `stride` apart; in the backward pass they are read where the link starts. */
#define MIX(C)                                                                                                                                      \
    static inline void mix_##C(float *out, const float *values, int64_t width, const Links *links, const float *weights, int64_t stride, int sign) { \
        vec sum[C][VECTORS];                                                                                                                        \
        EACH(c, C) EACH(v, VECTORS) sum[c][v] = load(values + c * width + v * LANES);                                                               \
        for (int l = 0; l < links->count; l++) {                                                                                                    \
            const float *from = values + links->shift[l], *weight = weights + links->link[l] * stride + (sign < 0 ? links->shift[l] : 0);           \
            EACH(v, VECTORS) {                                                                                                                      \
                vec w = load(weight + v * LANES);                                                                                                   \
                EACH(c, C) sum[c][v] += w * load(from + c * width + v * LANES);                                                                     \
            }                                                                                                                                       \
        }                                                                                                                                           \
        EACH(c, C) EACH(v, VECTORS) store(out + c * width + v * LANES, sum[c][v]);                                                                  \
    }
MIX(1) MIX(8)

/* The same for one row, place by place. */
static void mix_row(const Factor *f, float *out, const float *values, int64_t start, int64_t count, int64_t length, int circular, const float *weights,
                    int64_t stride, int sign) {
    for (int64_t t = 0; t < count; t++) {
        float sum = values[start + t];
        for (int l = 0; l < f->links; l++) {
            int64_t offset = sign * f->offsets[l];
            if (offset >= length || -offset >= length) continue;
            int64_t place = position(start + t + offset, length, circular);
            if (place >= 0) sum += weights[l * stride + (sign < 0 ? place : t)] * values[place];
        }
        out[start + t] = sum;
    }
}

/* Mix a tile of one record. The link weights are the tile's (sign 1) or the whole record's (sign -1). */
static void mix(const Factor *f, float *out, const float *values, int64_t start, int64_t count, int64_t length, int circular, const float *weights, int sign) {
    Links links = find_links(f, start, count, length, circular, sign);
    int64_t size = f->channels / f->heads, stride = sign < 0 ? f->width : TILE;
    for (int64_t h = 0; h < f->heads; h++) {
        const float *of_head = weights + h * f->links * stride;
        int64_t c = h * size, end = c + size;
        const float *weight = of_head + (sign < 0 ? start : 0);
        if (links.whole) {
            for (; c + 8 <= end; c += 8) mix_8(out + c * f->width + start, values + c * f->width + start, f->width, &links, weight, stride, sign);
            for (; c < end; c++) mix_1(out + c * f->width + start, values + c * f->width + start, f->width, &links, weight, stride, sign);
        }
        for (; c < end; c++) mix_row(f, out + c * f->width, values + c * f->width, start, count, length, circular, of_head, stride, sign);
    }
}

#define WEIGH(L)                                                                                                                                    \
    static inline void weigh_##L(float *out, const float *grad, const float *values, int64_t width, int64_t size, const Links *links, int first) {  \
        vec sum[L][VECTORS] = {0};                                                                                                                  \
        for (int64_t c = 0; c < size; c++) {                                                                                                        \
            vec g[VECTORS];                                                                                                                         \
            EACH(v, VECTORS) g[v] = load(grad + c * TILE + v * LANES);                                                                              \
            EACH(l, L) EACH(v, VECTORS) sum[l][v] += g[v] * load(values + c * width + links->shift[first + l] + v * LANES);                         \
        }                                                                                                                                           \
        EACH(l, L) EACH(v, VECTORS) store(out + links->link[first + l] * TILE + v * LANES, sum[l][v]);                                              \
    }
WEIGH(1) WEIGH(4)

/* Gradient of a tile's link weights: out[head link][tile] = sum over the head's channels of grad[c][t] v[c][t + offset]. */
static void weigh(const Factor *f, float *out, const float *grad, const float *values, int64_t start, int64_t count, int64_t length, int circular) {
    Links links = find_links(f, start, count, length, circular, 1);
    int64_t size = f->channels / f->heads;
    memset(out, 0, f->heads * f->links * TILE * sizeof(float));
    for (int64_t h = 0; h < f->heads; h++) {
        const float *g = grad + h * size * TILE, *v = values + h * size * f->width;
        float *of_head = out + h * f->links * TILE;
        if (links.whole) {
            int l = 0;
            for (; l + 4 <= links.count; l += 4) weigh_4(of_head, g, v + start, f->width, size, &links, l);
            for (; l < links.count; l++) weigh_1(of_head, g, v + start, f->width, size, &links, l);
            continue;
        }
        for (int l = 0; l < f->links; l++) {
            int64_t offset = f->offsets[l];
            if (offset >= length || -offset >= length) continue;
            for (int64_t t = 0; t < count; t++) {
                int64_t place = position(start + t + offset, length, circular);
                float sum = 0;
                if (place >= 0)
                    for (int64_t c = 0; c < size; c++) sum += g[c * TILE + t] * v[c * f->width + place];
                of_head[l * TILE + t] = sum;
            }
        }
    }
}

/* ---- the factor --------------------------------------------------------------------------------------------------------------------------------- */

int64_t tile_size(void) { return TILE; }

/* Floats of work space that a thread needs; the sums of `backward` lie at its start (see there). */
int64_t work_size(const Factor *f) {
    int64_t hidden = padded(f->hidden, ROWS), outputs = padded(f->heads * f->links, LANES), sources = padded(f->sources, LANES);
    return hidden * (sources + outputs + LANES) + outputs * LANES + TILE * (4 * hidden + 3 * outputs + 3 * sources + f->channels);
}

/* Go through tiles first .. last - 1 of all records' tiles, counted one record after the other. */
#define FOR_TILES(f, first, last)                                                                                                                   \
    for (int64_t record = 0, before = 0; record < (f)->records && before < (last); before += padded((f)->lengths[record], TILE) / TILE, record++)  \
        for (int64_t length = (f)->lengths[record], circular = (f)->circular[record],                                                               \
                     tile = (first) > before ? (first) - before : 0;                                                                                \
             tile * TILE < length && before + tile < (last); tile++)

/* The result at the tiles' positions. */
static void forward_tiles(const Factor *f, float *out, int64_t first, int64_t last, float *work) {
    int64_t outputs = f->heads * f->links;
    float *x = work, *hidden = x + f->sources * TILE, *weights = hidden + padded(f->hidden, ROWS) * TILE;
    FOR_TILES(f, first, last) {
        int64_t start = tile * TILE, count = length - start < TILE ? length - start : TILE;
        take(x, f->source + record * f->sources * f->width, f->width, start, count, f->sources);
        product(hidden, f->w1, f->b1, x, f->hidden, f->sources);
        for (int64_t i = 0; i < f->hidden * TILE; i += LANES) {
            vec before = load(hidden + i);
            store(hidden + i, before * normal(before));
        }
        product(weights, f->w2, f->b2, hidden, outputs, f->hidden);
        if (!f->values) give(out + record * outputs * f->width, weights, f->width, start, count, outputs);
        else mix(f, out + record * f->channels * f->width, f->values + record * f->channels * f->width, start, count, length, circular, weights, 1);
    }
}

/* Gradients of the source and, added up over the tiles at the start of `work`, of the perceptron; and the link weights, into f->weights.

   Sums: W1 [hidden, rows padded][source, padded], W2 turned [hidden, rows padded][head link, padded], b1 [hidden, padded][lane], b2 [head link][lane]. */
static void backward_tiles(const Factor *f, float *grad_source, int64_t first, int64_t last, float *work) {
    int64_t outputs = f->heads * f->links, rows = padded(f->hidden, ROWS), columns1 = padded(f->sources, LANES), columns2 = padded(outputs, LANES);
    float *sum1 = work, *sum2 = sum1 + rows * columns1, *bias1 = sum2 + rows * columns2, *bias2 = bias1 + rows * LANES;
    float *x = bias2 + columns2 * LANES, *turned = x + columns1 * TILE, *grad_x = turned + columns1 * TILE;
    float *hidden = grad_x + columns1 * TILE, *slope = hidden + rows * TILE, *grad_hidden = slope + rows * TILE;
    float *weights = grad_hidden + rows * TILE, *grad_weights = weights + columns2 * TILE, *turned_weights = grad_weights + columns2 * TILE;
    float *g = turned_weights + columns2 * TILE;
    memset(work, 0, work_size(f) * sizeof(float));
    FOR_TILES(f, first, last) {
        int64_t start = tile * TILE, count = length - start < TILE ? length - start : TILE;
        take(x, f->source + record * f->sources * f->width, f->width, start, count, f->sources);
        product(hidden, f->w1, f->b1, x, f->hidden, f->sources);
        for (int64_t i = 0; i < f->hidden * TILE; i += LANES) {
            vec before = load(hidden + i), share = normal(before);
            store(slope + i, share + before * bell(before));
            store(hidden + i, before * share);
        }
        if (!f->values) take(grad_weights, f->grad + record * outputs * f->width, f->width, start, count, outputs);
        else {
            product(weights, f->w2, f->b2, hidden, outputs, f->hidden);
            give(f->weights + record * outputs * f->width, weights, f->width, start, count, outputs);
            take(g, f->grad + record * f->channels * f->width, f->width, start, count, f->channels);
            weigh(f, grad_weights, g, f->values + record * f->channels * f->width, start, count, length, circular);
        }
        product(grad_hidden, f->w2t, 0, grad_weights, f->hidden, outputs);
        for (int64_t i = 0; i < f->hidden * TILE; i += LANES) store(grad_hidden + i, load(grad_hidden + i) * load(slope + i));
        product(grad_x, f->w1t, 0, grad_hidden, f->sources, f->hidden);
        give(grad_source + record * f->sources * f->width, grad_x, f->width, start, count, f->sources);
        turn(turned, x, f->sources, columns1);
        outer(sum1, grad_hidden, turned, f->hidden, columns1);
        turn(turned_weights, grad_weights, outputs, columns2);
        outer(sum2, hidden, turned_weights, f->hidden, columns2);
        add_rows(bias1, grad_hidden, f->hidden);
        add_rows(bias2, grad_weights, outputs);
    }
}

/* Gradient of the values at the tiles' positions, once `backward` has seen all tiles: every value takes from the positions that link to it. */
static void backward_values_tiles(const Factor *f, float *grad_values, int64_t first, int64_t last) {
    FOR_TILES(f, first, last) {
        int64_t start = tile * TILE, count = length - start < TILE ? length - start : TILE;
        mix(f, grad_values + record * f->channels * f->width, f->grad + record * f->channels * f->width, start, count, length, circular,
            f->weights + record * f->heads * f->links * f->width, -1);
    }
}

/* ---- what is called: parts of the tiles, from borders[part] to borders[part + 1], each with `work_size` floats of work space ---------------------- */

int threaded(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

void forward(const Factor *f, float *out, const int64_t *borders, int64_t parts, float *work) {
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int64_t p = 0; p < parts; p++) forward_tiles(f, out, borders[p], borders[p + 1], work + p * work_size(f));
}

void backward(const Factor *f, float *grad_source, const int64_t *borders, int64_t parts, float *work) {
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int64_t p = 0; p < parts; p++) backward_tiles(f, grad_source, borders[p], borders[p + 1], work + p * work_size(f));
}

void backward_values(const Factor *f, float *grad_values, const int64_t *borders, int64_t parts, float *work) {
    (void)work;
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int64_t p = 0; p < parts; p++) backward_values_tiles(f, grad_values, borders[p], borders[p + 1]);
}
