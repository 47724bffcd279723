/* Letters to base codes, and the small hashes of k-mers: what genomix/formats/letters.py and genomix/data/kmer_hashes.py say in Python. */

#include <stdint.h>
#include <string.h>

enum { K = 16, HALF = K / 2, TILE = 4096, GROUP = 32, OTHER = 4 };

/* Where the next header line of a piece of FASTA begins; -1 where there is none. */
static int64_t next_header(const uint8_t *text, int64_t size, int64_t from, int line_start)
{
    while (from < size) {
        const uint8_t *found = memchr(text + from, '>', (size_t)(size - from));
        if (!found)
            return -1;
        int64_t place = found - text;
        if (place ? text[place - 1] == '\n' : line_start)
            return place;
        from = place + 1;
    }
    return -1;
}

static int64_t copy_lines(const uint8_t *text, int64_t start, int64_t stop, uint8_t *letters)
{
    int64_t count = 0;
    while (start < stop) {
        const uint8_t *end = memchr(text + start, '\n', (size_t)(stop - start));
        int64_t size = (end ? end - text : stop) - start;
        memcpy(letters + count, text + start, (size_t)size);
        count += size;
        start += size + 1;
    }
    return count;
}

/* Codes of some letters; returns the highest, or 3. A C G T, in either case, are coded by arithmetic that vectors do; if there is anything else, by the table. */
static uint8_t code_tile(const uint8_t *letters, int count, const uint8_t *table, uint8_t *codes)
{
    uint8_t odd = 0;
    for (int i = 0; i < count; i++) {
        uint8_t letter = letters[i], code = (letter >> 1 & 3) ^ (letter >> 2 & 1);
        uint8_t expected = (uint8_t)('A' + 2 * code + (code >= 2 ? 2 : 0) + (code == 3 ? 11 : 0));
        odd |= (letter & 0xDF) ^ expected;
        codes[i] = code;
    }
    if (!odd)
        return 3;
    uint8_t highest = 3;
    for (int i = 0; i < count; i++) {
        codes[i] = table[letters[i]];
        highest = codes[i] > highest ? codes[i] : highest;
    }
    return highest;
}

/* Everything of a piece of FASTA but its header lines: letters without line ends, and their codes by a table.
 *
 * spans: [most][3], start and stop of each header line and the letters before it.
 * found: number of headers, letters in all, highest code.
 * Returns 0, or -1 where there are more than `most` headers.
 */
int64_t scan(const uint8_t *text, int64_t size, int64_t line_start, const uint8_t *table, int64_t *spans, int64_t most, uint8_t *letters,
             uint8_t *codes, int64_t *found)
{
    int64_t headers = 0, count = 0, place = 0;
    for (int64_t start; (start = next_header(text, size, place, line_start && place == 0)) >= 0; headers++) {
        if (headers == most)
            return -1;
        count += copy_lines(text, place, start, letters + count);
        const uint8_t *end = memchr(text + start, '\n', (size_t)(size - start));
        place = end ? end - text : size;
        spans[3 * headers] = start, spans[3 * headers + 1] = place, spans[3 * headers + 2] = count;
    }
    count += copy_lines(text, place, size, letters + count);
    uint8_t highest = 0;
    for (int64_t tile = 0; tile < count; tile += TILE) {
        uint8_t found_here = code_tile(letters + tile, count - tile < TILE ? (int)(count - tile) : TILE, table, codes + tile);
        highest = found_here > highest ? found_here : highest;
    }
    found[0] = headers, found[1] = count, found[2] = highest;
    return 0;
}

static int all_known(const uint8_t *codes)
{
    uint8_t any = 0;
    for (int j = 0; j < K; j++)
        any |= codes[j];
    return any < OTHER;
}

/* Places and hashes of the k-mers without an unknown base whose hash is at most `limit`, in order. At most `most` are written.
 *
 * codes: kmers + K - 1 of them, 0 to 4.
 * Returns how many there are; where that is more than `most`, call again with more room.
 */
int64_t small_hashes(const uint8_t *codes, int64_t kmers, uint32_t limit, int64_t *places, uint32_t *hashes, int64_t most)
{
    uint8_t letter[TILE + K], two[TILE + K], four[TILE + K];
    uint16_t ahead[TILE + K], back[TILE + K], upper[TILE + GROUP], chosen[TILE + GROUP];
    int64_t found = 0;
    const uint16_t highest = (uint16_t)(limit >> 16);
    for (int64_t tile = 0; tile < kmers; tile += TILE) {
        const int count = kmers - tile < TILE ? (int)(kmers - tile) : TILE;
        const int bases = count + K - 1;
        const uint8_t *here = codes + tile;
        for (int i = 0; i < bases; i++)
            letter[i] = here[i] & 3;
        for (int i = 0; i < bases - 1; i++)
            two[i] = (uint8_t)(letter[i] << 2 | letter[i + 1]);
        for (int i = 0; i < bases - 3; i++)
            four[i] = (uint8_t)(two[i] << 4 | two[i + 2]);
        for (int i = 0; i < bases - 7; i++)
            ahead[i] = (uint16_t)(four[i] << 8 | four[i + 4]);
        for (int i = 0; i < bases - 1; i++)
            two[i] = (uint8_t)(letter[i + 1] << 2 | letter[i]);
        for (int i = 0; i < bases - 3; i++)
            four[i] = (uint8_t)(two[i + 2] << 4 | two[i]);
        for (int i = 0; i < bases - 7; i++)
            back[i] = (uint16_t)~(four[i + 4] << 8 | four[i]);
        for (int i = 0; i < count; i++)
            upper[i] = (uint16_t)((uint16_t)(ahead[i] + back[i + HALF]) * 0x9E6Du);
        memset(upper + count, 0xFF, GROUP * sizeof *upper);
        int candidates = 0;
        for (int group = 0; group < count; group += GROUP) {
            uint16_t lowest = 0xFFFF;
            for (int i = group; i < group + GROUP; i++)
                lowest = upper[i] < lowest ? upper[i] : lowest;
            if (lowest > highest)
                continue;
            for (int i = group; i < group + GROUP; i++) {
                chosen[candidates] = (uint16_t)i;
                candidates += upper[i] <= highest && i < count; /* without a branch, which nobody could foresee */
            }
        }
        for (int candidate = 0; candidate < candidates; candidate++) {
            const int i = chosen[candidate];
            const uint32_t forward = (uint32_t)ahead[i] << 16 | ahead[i + HALF], reverse = (uint32_t)back[i + HALF] << 16 | back[i];
            const uint32_t canonical = forward < reverse ? forward : reverse;
            const uint32_t hash = (uint32_t)upper[i] << 16 | ((canonical ^ 0x9E3779B9u) * 0x21F0AAADu) >> 16;
            if (hash > limit || !all_known(here + i))
                continue;
            if (found < most)
                places[found] = tile + i, hashes[found] = hash;
            found++;
        }
    }
    return found;
}
