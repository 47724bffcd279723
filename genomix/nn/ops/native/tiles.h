/* A factor's work on a tile of positions: links, the perceptron, and their gradients. */

#ifndef GENOMIX_TILES_H
#define GENOMIX_TILES_H

#include "vectors.h"

#define MOST_LINKS 64 /* the caller sees to it */
#define TILE (8 * STEP) /* long enough that what each link reads is a stream for the processor to foresee, short enough for the cache */

/* What the caller fills in, and, from `sources` on, what `plan` and `begin` do. Padded sizes are whole vectors; weights and biases are zero there. */
typedef struct {
    int64_t records, width, channels, rows, units, heads, links;
    int64_t alone; /* a perceptron alone, whose arrays are channel-first ([record][channel][position]), and whose outputs are one head's links */
    const int64_t *offsets;  /* [link] */
    const int64_t *lengths;  /* [record] */
    const uint8_t *circular; /* [record] */
    const float *source;     /* [record][position][source], padded */
    const float *values;     /* [record][position][channel] */
    const float *w1, *b1;    /* [unit][row], [unit] */
    const float *w2, *b2;    /* [head link][unit], [head link] */
    /* the backward pass only: */
    const float *grad;       /* of the result */
    float *weights;          /* work space, [record][position][head link], padded */

    int64_t sources, hidden, outputs; /* rows, units and head links, padded */
    int64_t parts;                    /* that the tiles are shared out to */
    float *first, *first_bias, *second, *second_bias; /* the perceptron, padded: [source][hidden], [hidden], [hidden][head link], [head link] */
    float *first_turned, *second_turned;              /* the backward pass only: [hidden][source], [head link][hidden] */
} Factor;

/* What the links of one tile read, position by position: the values, and in the backward pass the weights, at their other ends. */
typedef struct {
    int64_t count;
    int64_t link[MOST_LINKS];
    const float *from[MOST_LINKS], *weight[MOST_LINKS];
} Links;

/* ---- mixing ---------------------------------------------------------------------------------------------------------------------------------- */

/* Rows of positions that begin at `first`, where that may be outside of the record: beyond a ring's end it goes round, beyond a line's are zeros. */
static const float *gather(float *tile, const float *rows, int64_t columns, int64_t first, int64_t count, int64_t length, int64_t circular) {
    memset(tile, 0, count * columns * sizeof(float));
    for (int64_t round = circular ? -length : 0; round <= (circular ? length : 0); round += length) {
        int64_t begin = first + round < 0 ? 0 : first + round, end = first + round + count < length ? first + round + count : length;
        if (begin < end) memcpy(tile + (begin - first - round) * columns, rows + begin * columns, (end - begin) * columns * sizeof(float));
    }
    return tile;
}

/* Where the links of a tile lead (sign 1) or come from (sign -1), in arrays of one record. */
static Links find_links(const Factor *f, const float *values, const float *weights, int64_t start, int64_t count, int64_t length, int64_t circular, int sign,
                        float *spare) {
    Links found = {.count = 0};
    for (int64_t l = 0; l < f->links; l++) {
        int64_t first = start + sign * f->offsets[l], i = found.count;
        if (f->offsets[l] >= length || -f->offsets[l] >= length || (!circular && (first >= length || first + count <= 0))) continue;
        int64_t place = first < 0 ? first + length : first >= length ? first - length : first; /* a link is shorter than its record */
        int whole = place + count <= length && (circular || place == first);
        found.link[i] = l;
        found.from[i] = whole ? values + place * f->channels : gather(spare, values, f->channels, first, count, length, circular);
        spare += whole ? 0 : TILE * f->channels;
        if (sign < 0) {
            found.weight[i] = whole ? weights + place * f->outputs : gather(spare, weights, f->outputs, first, count, length, circular);
            spare += whole ? 0 : TILE * f->outputs;
        } else found.weight[i] = weights;
        found.count++;
    }
    return found;
}

/* `size` channels of a head, UNIT of them at a time, V units together. */
#define MIX(TYPE, UNIT, V)                                                                                                                          \
    for (; c + V * UNIT <= end; c += V * UNIT) {                                                                                                    \
        TYPE sum[V];                                                                                                                                \
        EACH(v, V) sum[v] = *(const TYPE *)(values + c + v * UNIT);                                                                                 \
        for (int64_t i = 0; i < links->count; i++) {                                                                                                \
            const float *from = links->from[i] + at + c;                                                                                            \
            float w = links->weight[i][of_head + links->link[i]];                                                                                   \
            EACH(v, V) sum[v] += w * *(const TYPE *)(from + v * UNIT);                                                                              \
        }                                                                                                                                           \
        EACH(v, V) *(TYPE *)(out + c + v * UNIT) = sum[v];                                                                                          \
    }

/* Whole heads of V vectors, four together. */
#define MIX_HEADS(V)                                                                                                                                \
    if (size == V * LANES)                                                                                                                          \
        for (; h + 4 <= f->heads; h += 4) {                                                                                                         \
            const int64_t c = h * size;                                                                                                             \
            vec sum[4 * V];                                                                                                                         \
            EACH(v, 4 * V) sum[v] = load(values + c + v * LANES);                                                                                   \
            for (int64_t i = 0; i < links->count; i++) {                                                                                            \
                const float *from = links->from[i] + at + c, *w = links->weight[i] + weight + h * f->links + links->link[i];                        \
                EACH(v, 4 * V) sum[v] += w[v / V * f->links] * load(from + v * LANES);                                                              \
            }                                                                                                                                       \
            EACH(v, 4 * V) store(out + c + v * LANES, sum[v]);                                                                                      \
        }

/* Mix a tile: out and values begin at its first position. */
static void mix(const Factor *f, float *out, const float *values, const Links *links, int64_t count) {
    int64_t size = f->channels / f->heads;
    for (int64_t p = 0; p < count; p++, out += f->channels, values += f->channels) {
        int64_t at = p * f->channels, weight = p * f->outputs, h = 0;
        MIX_HEADS(2) MIX_HEADS(1)
        for (; h < f->heads; h++) {
            int64_t c = h * size, end = c + size, of_head = weight + h * f->links;
            MIX(vec, LANES, 4) MIX(vec, LANES, 2) MIX(vec, LANES, 1) MIX(quad, 4, 1) MIX(float, 1, 1)
        }
    }
}

/* A vector's parts added up. */
static inline quad folded(vec wide) {
    const quad *parts = (const quad *)&wide;
    quad sum = parts[0];
    EACH(i, LANES / 4 - 1) sum += parts[i + 1];
    return sum;
}

/* What the numbers of each of four quads add up to; the quads are turned on the way. */
static inline quad added(quad *sums) {
    turn_quads(sums);
    return sums[0] + sums[1] + sums[2] + sums[3];
}

/* Products of a head's gradients and values of L links, each added up to a quad. */
#define WEIGH(L)                                                                                                                                    \
    static inline void weigh_##L(quad *sums, const float *grad, const float *const *from, int64_t at, int64_t size) {                               \
        vec wide[L] = {{0}};                                                                                                                        \
        int64_t c = 0;                                                                                                                              \
        for (; c + LANES <= size; c += LANES) {                                                                                                     \
            vec g = load(grad + c);                                                                                                                 \
            EACH(i, L) wide[i] += g * load(from[i] + at + c);                                                                                       \
        }                                                                                                                                           \
        EACH(i, L) sums[i] = folded(wide[i]);                                                                                                       \
        for (; c + 4 <= size; c += 4) EACH(i, L) sums[i] += *(const quad *)(grad + c) * *(const quad *)(from[i] + at + c);                          \
        for (; c < size; c++) EACH(i, L) sums[i][0] += grad[c] * from[i][at + c];                                                                   \
    }
WEIGH(1) WEIGH(4)

/* The same of a position's heads, whole ones of V vectors, four together. */
#define WEIGH_HEADS(V)                                                                                                                              \
    if (size == V * LANES)                                                                                                                          \
        for (; h + 4 <= f->heads; h += 4) {                                                                                                         \
            vec g[4 * V];                                                                                                                           \
            EACH(v, 4 * V) g[v] = load(grad + h * size + v * LANES);                                                                                \
            for (int64_t i = 0; i < links->count; i++) {                                                                                            \
                const float *from = links->from[i] + at + h * size;                                                                                 \
                float *to = out + h * f->links + links->link[i];                                                                                    \
                quad sums[4];                                                                                                                       \
                EACH(k, 4) {                                                                                                                        \
                    vec wide = g[k * V] * load(from + k * size);                                                                                    \
                    EACH(v, V - 1) wide += g[k * V + v + 1] * load(from + k * size + (v + 1) * LANES);                                              \
                    sums[k] = folded(wide);                                                                                                         \
                }                                                                                                                                   \
                quad of = added(sums);                                                                                                              \
                EACH(k, 4) to[k * f->links] = of[k];                                                                                                \
            }                                                                                                                                       \
        }

/* Gradient of a tile's link weights: out[t][head link] = sum over the head's channels of grad[t][c] v[t + offset][c]. */
static void weigh(const Factor *f, float *out, const float *grad, const Links *links, int64_t count) {
    int64_t size = f->channels / f->heads;
    for (int64_t p = 0; p < count; p++, out += f->outputs, grad += f->channels) {
        int64_t at = p * f->channels, h = 0;
        WEIGH_HEADS(2) WEIGH_HEADS(1)
        for (; h < f->heads; h++) {
            float *to = out + h * f->links;
            int64_t i = 0;
            for (; i + 1 < links->count; i += 4) {
                int64_t left = links->count - i; /* where it is less than four, the second stands in for the others, to no end */
                const float *const *from = links->from + i, *few[4] = {from[0], from[1], from[left > 2 ? 2 : 1], from[left > 3 ? 3 : 1]};
                quad sums[4];
                weigh_4(sums, grad + h * size, few, at + h * size, size);
                quad of = added(sums);
                EACH(k, 4) if (k < left) to[links->link[i + k]] = of[k];
            }
            if (i < links->count) {
                quad sum;
                weigh_1(&sum, grad + h * size, links->from + i, at + h * size, size);
                to[links->link[i]] = sum[0] + sum[1] + sum[2] + sum[3];
            }
        }
    }
}

/* ---- the factor --------------------------------------------------------------------------------------------------------------------------------- */

/* Floats of the sums of `backward`, which lie at the start of its work space (see there). */
static int64_t sums_size(const Factor *f) { return f->hidden * (f->sources + f->outputs + 1) + f->outputs; }

/* Floats of work space that a part needs. */
static int64_t part_size(const Factor *f) {
    int64_t spare = f->alone ? 0 : f->links * (f->channels + f->outputs);
    return sums_size(f) + TILE * (3 * f->hidden + 2 * f->outputs + 2 * f->sources + spare);
}

/* Go through tiles first .. last - 1 of all records' tiles, counted one record after the other. */
#define FOR_TILES(f, first, last)                                                                                                                   \
    for (int64_t record = 0, before = 0; record < (f)->records && before < (last); before += padded((f)->lengths[record], TILE) / TILE, record++)  \
        for (int64_t length = (f)->lengths[record], circular = (f)->circular[record],                                                               \
                     tile = (first) > before ? (first) - before : 0;                                                                                \
             tile * TILE < length && before + tile < (last); tile++)

/* Positions of the source, zeros behind them up to a whole step if they are fewer than a tile's. */
static const float *sources_of(const Factor *f, float *tile, int64_t record, int64_t start, int64_t count) {
    const float *from = f->source + (record * f->width + start) * f->sources;
    if (count == TILE && !f->alone) return from;
    memset(tile, 0, padded(count, STEP) * f->sources * sizeof(float));
    if (f->alone) turn(tile, f->sources, f->source + record * f->rows * f->width + start, f->width, f->rows, count);
    else memcpy(tile, from, count * f->sources * sizeof(float));
    return tile;
}

/* The result at the tiles' positions. */
static void forward_tiles(const Factor *f, float *out, int64_t first, int64_t last, float *work) {
    float *sources = work, *hidden = sources + TILE * f->sources, *weights = hidden + TILE * f->hidden, *spare = weights + TILE * f->outputs;
    FOR_TILES(f, first, last) {
        int64_t start = tile * TILE, count = length - start < TILE ? length - start : TILE, full = padded(count, STEP);
        product(hidden, sources_of(f, sources, record, start, count), full, f->first, f->first_bias, f->sources, f->hidden);
        gelu(hidden, full * f->hidden);
        product(weights, hidden, full, f->second, f->second_bias, f->hidden, f->outputs);
        if (f->alone) {
            turn(out + record * f->links * f->width + start, f->width, weights, f->outputs, count, f->links);
            continue;
        }
        const float *values = f->values + record * f->width * f->channels;
        Links links = find_links(f, values, weights, start, count, length, circular, 1, spare);
        mix(f, out + (record * f->width + start) * f->channels, values + start * f->channels, &links, count);
    }
}

/* Gradients of the source, added to what is there, and, added up over the tiles at the start of `work`, of the perceptron; and the link weights, into f->weights.

   Sums: W1 [hidden][source], W2 turned [hidden][head link], b1 [hidden], b2 [head link]. */
static void backward_tiles(const Factor *f, float *grad_source, int64_t first, int64_t last, float *work) {
    float *sum1 = work, *sum2 = sum1 + f->hidden * f->sources, *bias1 = sum2 + f->hidden * f->outputs, *bias2 = bias1 + f->hidden;
    float *sources = bias2 + f->outputs, *grad_x = sources + TILE * f->sources;
    float *hidden = grad_x + TILE * f->sources, *slope = hidden + TILE * f->hidden, *grad_hidden = slope + TILE * f->hidden;
    float *weights = grad_hidden + TILE * f->hidden, *grad_weights = weights + TILE * f->outputs, *spare = grad_weights + TILE * f->outputs;
    memset(work, 0, sums_size(f) * sizeof(float));
    FOR_TILES(f, first, last) {
        int64_t start = tile * TILE, count = length - start < TILE ? length - start : TILE, full = padded(count, STEP);
        int64_t position = record * f->width + start;
        const float *x = sources_of(f, sources, record, start, count);
        product(hidden, x, full, f->first, f->first_bias, f->sources, f->hidden);
        gelu_and_slope(hidden, slope, full * f->hidden);
        memset(grad_weights, 0, full * f->outputs * sizeof(float));
        if (f->alone) turn(grad_weights, f->outputs, f->grad + record * f->links * f->width + start, f->width, f->links, count);
        else {
            product(weights, hidden, full, f->second, f->second_bias, f->hidden, f->outputs);
            memcpy(f->weights + position * f->outputs, weights, count * f->outputs * sizeof(float));
            Links links = find_links(f, f->values + record * f->width * f->channels, weights, start, count, length, circular, 1, spare);
            weigh(f, grad_weights, f->grad + position * f->channels, &links, count);
        }
        product(grad_hidden, grad_weights, full, f->second_turned, 0, f->outputs, f->hidden);
        scale_and_add_columns(bias1, grad_hidden, slope, f->hidden, full);
        product(grad_x, grad_hidden, full, f->first_turned, 0, f->hidden, f->sources);
        if (f->alone) turn(grad_source + record * f->rows * f->width + start, f->width, grad_x, f->sources, count, f->rows);
        else
            for (int64_t i = 0; i < count * f->sources; i += LANES) {
                float *to = grad_source + position * f->sources + i;
                store(to, load(to) + load(grad_x + i));
            }
        outer(sum1, grad_hidden, f->hidden, x, f->sources, full);
        outer(sum2, hidden, f->hidden, grad_weights, f->outputs, full);
        add_columns(bias2, grad_weights, f->outputs, full);
    }
}

/* Gradient of the values at the tiles' positions, once `backward` has seen all tiles: every value takes from the positions that link to it. */
static void backward_values_tiles(const Factor *f, float *grad_values, int64_t first, int64_t last, float *work) {
    FOR_TILES(f, first, last) {
        int64_t start = tile * TILE, count = length - start < TILE ? length - start : TILE, of_record = record * f->width;
        const float *grad = f->grad + of_record * f->channels;
        Links links = find_links(f, grad, f->weights + of_record * f->outputs, start, count, length, circular, -1, work);
        mix(f, grad_values + (of_record + start) * f->channels, grad + start * f->channels, &links, count);
    }
}

#endif
