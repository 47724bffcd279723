/* One factor of a Paramixer, forward and backward, in float32 (see `genomix.nn.ops.factors`).

       out[c][t] = v[c][t] + sum over links l of w[head of c][l][t] v[c][t + offset[l]]          w = W2 gelu(W1 x + b1) + b2 at every position t

   Arrays are channel-first: one row of positions a channel. A tile of positions passes through the whole factor while it lies in the cache, so that the
   perceptron's hidden layer exists for one tile only. The code is plain C with the compiler's vector types: the width of the vectors follows from what it is
   compiled for. Tiles are independent of each other; callers run ranges of them in threads. */

#include "vectors.h"

#define MOST_LINKS 64 /* the caller sees to it */

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

/* What the links of one tile read: rows of values, `stride` apart, and a row of weights for each head, `head_stride` apart. */
typedef struct {
    int count;
    int link[MOST_LINKS];
    const float *from[MOST_LINKS], *weight[MOST_LINKS];
    int64_t stride[MOST_LINKS], head_stride[MOST_LINKS];
} Links;

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

/* Rows of a tile whose positions begin at `first`, where that may be outside of the record: beyond a ring's end it goes round, beyond a line's are zeros. */
static const float *gather(float *tile, const float *rows, int64_t stride, int64_t number, int64_t first, int64_t count, int64_t length, int circular) {
    memset(tile, 0, number * TILE * sizeof(float));
    for (int64_t turn = circular ? -length : 0; turn <= (circular ? length : 0); turn += length) {
        int64_t begin = first + turn < 0 ? 0 : first + turn, end = first + turn + count < length ? first + turn + count : length;
        for (int64_t r = 0; r < number && begin < end; r++)
            memcpy(tile + r * TILE + begin - first - turn, rows + r * stride + begin, (end - begin) * sizeof(float));
    }
    return tile;
}

/* Where the links of a tile lead (sign 1) or come from (sign -1). `weights` are the tile's (sign 1) or the record's, and are then read where the link starts. */
static Links find_links(const Factor *f, const float *values, const float *weights, int64_t start, int64_t count, int64_t length, int circular, int sign,
                        float *spare) {
    Links found = {.count = 0};
    for (int64_t l = 0; l < f->links; l++) {
        int64_t first = start + sign * f->offsets[l], i = found.count;
        if (f->offsets[l] >= length || -f->offsets[l] >= length || (!circular && (first >= length || first + count <= 0))) continue;
        int64_t place = first < 0 ? first + length : first >= length ? first - length : first; /* a link is shorter than its record */
        int whole = count == TILE && place + TILE <= length && (circular || place == first);
        found.link[i] = l;
        found.from[i] = whole ? values + place : gather(spare, values, f->width, f->channels, first, count, length, circular);
        found.stride[i] = whole ? f->width : TILE;
        spare += whole ? 0 : f->channels * TILE;
        if (sign > 0) {
            found.weight[i] = weights + l * TILE;
            found.head_stride[i] = f->links * TILE;
        } else {
            const float *row = weights + l * f->width;
            found.weight[i] = whole ? row + place : gather(spare, row, f->links * f->width, f->heads, first, count, length, circular);
            found.head_stride[i] = whole ? f->links * f->width : TILE;
            spare += whole ? 0 : f->heads * TILE;
        }
        found.count++;
    }
    return found;
}

/* out = values + links for C rows of head h, beginning with row c. */
#define MIX(C)                                                                                                                                      \
    static inline void mix_##C(float *out, int64_t out_stride, const float *values, int64_t stride, const Links *links, int64_t c, int64_t h) {     \
        vec sum[C][VECTORS];                                                                                                                        \
        EACH(r, C) EACH(v, VECTORS) sum[r][v] = load(values + (c + r) * stride + v * LANES);                                                        \
        for (int l = 0; l < links->count; l++) {                                                                                                    \
            const float *from = links->from[l] + c * links->stride[l], *weight = links->weight[l] + h * links->head_stride[l];                      \
            int64_t apart = links->stride[l];                                                                                                       \
            EACH(v, VECTORS) {                                                                                                                      \
                vec w = load(weight + v * LANES);                                                                                                   \
                EACH(r, C) sum[r][v] += w * load(from + r * apart + v * LANES);                                                                     \
            }                                                                                                                                       \
        }                                                                                                                                           \
        EACH(r, C) EACH(v, VECTORS) store(out + (c + r) * out_stride + v * LANES, sum[r][v]);                                                       \
    }
MIX(1) MIX(2) MIX(4) MIX(8)

/* Mix a tile of one record. */
static void mix(const Factor *f, float *out, const float *values, const float *weights, int64_t start, int64_t count, int64_t length, int circular, int sign,
                float *spare) {
    int64_t size = f->channels / f->heads, whole = count == TILE;
    float *tile = spare, *result = tile + f->channels * TILE;
    Links links = find_links(f, values, weights, start, count, length, circular, sign, result + f->channels * TILE);
    if (!whole) take(tile, values, f->width, start, count, f->channels);
    const float *from = whole ? values + start : tile;
    float *to = whole ? out + start : result;
    int64_t stride = whole ? f->width : TILE;
    for (int64_t h = 0; h < f->heads; h++) {
        int64_t c = h * size, end = c + size;
        for (; c + 8 <= end; c += 8) mix_8(to, stride, from, stride, &links, c, h);
        for (; c + 4 <= end; c += 4) mix_4(to, stride, from, stride, &links, c, h);
        for (; c + 2 <= end; c += 2) mix_2(to, stride, from, stride, &links, c, h);
        for (; c < end; c++) mix_1(to, stride, from, stride, &links, c, h);
    }
    if (!whole) give(out, result, f->width, start, count, f->channels);
}

#define WEIGH(L)                                                                                                                                    \
    static inline void weigh_##L(float *out, const float *grad, const Links *links, int first, int64_t c, int64_t size) {                           \
        vec sum[L][VECTORS] = {0};                                                                                                                  \
        for (int64_t end = c + size; c < end; c++) {                                                                                                \
            vec g[VECTORS];                                                                                                                         \
            EACH(v, VECTORS) g[v] = load(grad + c * TILE + v * LANES);                                                                              \
            EACH(l, L) EACH(v, VECTORS) sum[l][v] += g[v] * load(links->from[first + l] + c * links->stride[first + l] + v * LANES);                \
        }                                                                                                                                           \
        EACH(l, L) EACH(v, VECTORS) store(out + links->link[first + l] * TILE + v * LANES, sum[l][v]);                                              \
    }
WEIGH(1) WEIGH(4)

/* Gradient of a tile's link weights: out[head link][tile] = sum over the head's channels of grad[c][t] v[c][t + offset]. */
static void weigh(const Factor *f, float *out, const float *grad, const float *values, int64_t start, int64_t count, int64_t length, int circular, float *spare) {
    Links links = find_links(f, values, out, start, count, length, circular, 1, spare);
    int64_t size = f->channels / f->heads;
    memset(out, 0, f->heads * f->links * TILE * sizeof(float));
    for (int64_t h = 0; h < f->heads; h++) {
        float *of_head = out + h * f->links * TILE;
        int l = 0;
        for (; l + 4 <= links.count; l += 4) weigh_4(of_head, grad, &links, l, h * size, size);
        for (; l < links.count; l++) weigh_1(of_head, grad, &links, l, h * size, size);
    }
}

/* ---- the factor --------------------------------------------------------------------------------------------------------------------------------- */

int64_t tile_size(void) { return TILE; }

/* Floats of work space that a thread needs; the sums of `backward` lie at its start (see there). */
int64_t work_size(const Factor *f) {
    int64_t hidden = padded(f->hidden, ROWS), outputs = padded(f->heads * f->links, LANES), sources = padded(f->sources, LANES);
    int64_t spare = f->values ? f->channels * (f->links + 2) + f->heads * f->links : 0;
    return hidden * (sources + outputs + LANES) + outputs * LANES + TILE * (4 * hidden + 3 * outputs + 3 * sources + f->channels + spare);
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
    float *x = work, *hidden = x + f->sources * TILE, *weights = hidden + padded(f->hidden, ROWS) * TILE, *spare = weights + outputs * TILE;
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
        else mix(f, out + record * f->channels * f->width, f->values + record * f->channels * f->width, weights, start, count, length, circular, 1, spare);
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
    float *g = turned_weights + columns2 * TILE, *spare = g + f->channels * TILE;
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
            weigh(f, grad_weights, g, f->values + record * f->channels * f->width, start, count, length, circular, spare);
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
static void backward_values_tiles(const Factor *f, float *grad_values, int64_t first, int64_t last, float *work) {
    FOR_TILES(f, first, last) {
        int64_t start = tile * TILE, count = length - start < TILE ? length - start : TILE;
        mix(f, grad_values + record * f->channels * f->width, f->grad + record * f->channels * f->width,
            f->weights + record * f->heads * f->links * f->width, start, count, length, circular, -1, work);
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
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int64_t p = 0; p < parts; p++) backward_values_tiles(f, grad_values, borders[p], borders[p + 1], work + p * work_size(f));
}
