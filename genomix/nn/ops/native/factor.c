/* One factor of a Paramixer, forward and backward, in float32 (see `genomix.nn.ops.chain`).

       out[t][c] = v[t][c] + sum over links l of w[t][head of c, l] v[t + offset[l]][c]          w = W2 gelu(W1 x + b1) + b2 at every position t

   Arrays are position-first: a position's channels lie together, so that a link reads one piece of memory whatever its offset. A tile of positions passes
   through the whole factor while it lies in the cache, so that the perceptron's hidden layer exists for one tile only. The code is plain C with the
   compiler's vector types: the width of the vectors follows from what it is compiled for. Tiles are independent of each other; ranges of them run in threads. */

#include "tiles.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#define LEAST_TILES 4 /* that are worth a thread */

/* ---- what is called ------------------------------------------------------------------------------------------------------------------------------ */

/* From the padded perceptron at the start of the work space to that of the first part. */
static int64_t perceptron_size(const Factor *f) {
    return (f->grad ? 2 : 1) * f->hidden * (f->sources + f->outputs) + f->hidden + f->outputs;
}

static int64_t all_tiles(const Factor *f) {
    int64_t tiles = 0;
    for (int64_t record = 0; record < f->records; record++) tiles += padded(f->lengths[record], TILE) / TILE;
    return tiles;
}

/* Fill in the sizes, for at most so many threads; gives the floats of work space that are needed. */
int64_t plan(Factor *f, int64_t threads) {
    int64_t most = all_tiles(f) / LEAST_TILES;
    f->sources = padded(f->rows, LANES), f->hidden = padded(f->units, LANES > 8 ? LANES : 8), f->outputs = padded(f->heads * f->links, LANES);
    f->parts = most < 1 ? 1 : most < threads ? most : threads;
    return perceptron_size(f) + f->parts * part_size(f);
}

/* straight[r][c] = from[r][c], and turned[c][r], both zero beyond; either may be none. */
static void pad(float *straight, float *turned, const float *from, int64_t rows, int64_t columns, int64_t padded_rows, int64_t padded_columns) {
    for (int64_t r = 0; r < padded_rows; r++)
        for (int64_t c = 0; c < padded_columns; c++) {
            float value = r < rows && c < columns ? from[r * columns + c] : 0;
            if (straight) straight[r * padded_columns + c] = value;
            if (turned) turned[c * padded_rows + r] = value;
        }
}

/* Lay the perceptron out at the start of the work space. */
void begin(Factor *f, float *work) {
    int64_t outputs = f->heads * f->links;
    f->first = work, f->second = f->first + f->hidden * f->sources, f->first_bias = f->second + f->hidden * f->outputs;
    f->second_bias = f->first_bias + f->hidden;
    f->first_turned = f->grad ? f->second_bias + f->outputs : 0, f->second_turned = f->grad ? f->first_turned + f->hidden * f->sources : 0;
    pad(f->first_turned, f->first, f->w1, f->units, f->rows, f->hidden, f->sources);
    pad(f->second_turned, f->second, f->w2, outputs, f->units, f->outputs, f->hidden);
    pad(f->first_bias, 0, f->b1, 1, f->units, 1, f->hidden);
    pad(f->second_bias, 0, f->b2, 1, outputs, 1, f->outputs);
}

/* What lies beyond a record's end passes unchanged. */
static void pass_on(const Factor *f, float *out, const float *from) {
    for (int64_t record = 0; record < f->records; record++) {
        int64_t end = (record * f->width + f->lengths[record]) * f->channels;
        memcpy(out + end, from + end, (f->width - f->lengths[record]) * f->channels * sizeof(float));
    }
}

/* Parts first .. last - 1, in threads. */
#define IN_PARTS(...)                                                                                                                               \
    int64_t tiles = all_tiles(f), parts = f->parts;                                                                                                 \
    _Pragma("omp parallel for num_threads(last - first) schedule(static, 1)") for (int64_t p = first; p < last; p++) {                              \
        int64_t begins = tiles * p / parts, ends = tiles * (p + 1) / parts;                                                                         \
        float *own = work + perceptron_size(f) + p * part_size(f);                                                                                  \
        __VA_ARGS__;                                                                                                                                \
    }

void forward(const Factor *f, float *out, float *work, int64_t first, int64_t last) {
    IN_PARTS(if (p == 0 && !f->alone) pass_on(f, out, f->values); forward_tiles(f, out, begins, ends, own))
}

void backward(const Factor *f, float *grad_source, float *work, int64_t first, int64_t last) {
    IN_PARTS(backward_tiles(f, grad_source, begins, ends, own))
}

void backward_values(const Factor *f, float *grad_values, float *work, int64_t first, int64_t last) {
    IN_PARTS(if (p == 0) pass_on(f, grad_values, f->grad); backward_values_tiles(f, grad_values, begins, ends, own))
}

/* What all parts' `backward` found of the perceptron, added up: like w1, b1, w2, b2. */
void perceptron_gradients(const Factor *f, float *work, float *w1, float *b1, float *w2, float *b2) {
    int64_t outputs = f->heads * f->links, size = sums_size(f);
    float *sum1 = work + perceptron_size(f), *sum2 = sum1 + f->hidden * f->sources, *bias1 = sum2 + f->hidden * f->outputs, *bias2 = bias1 + f->hidden;
    for (int64_t p = 1; p < f->parts; p++)
        for (int64_t i = 0; i < size; i++) sum1[i] += sum1[p * part_size(f) + i];
    for (int64_t unit = 0; unit < f->units; unit++) {
        memcpy(w1 + unit * f->rows, sum1 + unit * f->sources, f->rows * sizeof(float));
        for (int64_t o = 0; o < outputs; o++) w2[o * f->units + unit] = sum2[unit * f->outputs + o];
    }
    memcpy(b1, bias1, f->units * sizeof(float));
    memcpy(b2, bias2, outputs * sizeof(float));
}

/* Fresh memory may come in pages of 2 MiB: as many fewer faults. Whether it does is the system's matter. */
void advise(float *memory, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    uintptr_t page = 2 << 20, begin = padded((uintptr_t)memory, page), end = ((uintptr_t)memory + bytes) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

int64_t lanes(void) { return LANES; }

int threaded(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

/* Position-first and back: positions[record][position][channel], in rows of `stride`, and channels[record][channel][position]. */
#define STRETCHES(...)                                                                                                                              \
    int64_t stretches = padded(width, TILE) / TILE;                                                                                                 \
    _Pragma("omp parallel for num_threads(threads) schedule(static)") for (int64_t i = 0; i < records * stretches; i++) {                           \
        int64_t record = i / stretches, start = i % stretches * TILE, count = width - start < TILE ? width - start : TILE;                          \
        __VA_ARGS__;                                                                                                                                \
    }

void enter(float *positions, const float *channels, int64_t stride, int64_t records, int64_t rows, int64_t width, int64_t threads) {
    STRETCHES(turn(positions + (record * width + start) * stride, stride, channels + record * rows * width + start, width, rows, count))
}

void leave(float *channels, const float *positions, int64_t stride, int64_t records, int64_t rows, int64_t width, int64_t threads) {
    STRETCHES(turn(channels + record * rows * width + start, width, positions + (record * width + start) * stride, stride, count, rows))
}
