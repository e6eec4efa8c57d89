/* What the core does for many bytes at once, where the machine can (SSE2, NEON).
 *
 * Addresses from text with few branches: the fast twin of _parse_ipv4 and _parse_ipv6 in text.pxi.
 * Which characters are separators and which are digits is found for the whole text at once (SSE2 or
 * NEON: 16 bytes a step), and the grammar is checked on those masks. Each group of digits is then read
 * as one 32-bit word that ends at its separator, and four of them are turned into numbers side by
 * side. So the time does not depend on how long the groups are, which no branch predictor can guess.
 * What does not look like a plain address is left to the plain parser (-1), which also serves other
 * machines.
 */
#ifndef GEORESTRICT_WIDE_H
#define GEORESTRICT_WIDE_H

#include <stdint.h>
#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && defined(__BYTE_ORDER__) && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && (defined(__SSE2__) || defined(__aarch64__))
#define GEORESTRICT_WIDE_TEXT 1
#else
#define GEORESTRICT_WIDE_TEXT 0
#endif

#if GEORESTRICT_WIDE_TEXT

#if defined(__SSE2__)
#include <emmintrin.h>

/* One bit for each of 16 bytes that equals c. */
static inline uint64_t gr_equal(const unsigned char *text, char c) {
    __m128i chunk = _mm_loadu_si128((const __m128i *)text);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(chunk, _mm_set1_epi8(c)));
}

/* One bit for each of 16 bytes that is a hexadecimal digit. */
static inline uint64_t gr_hex(const unsigned char *text) {
    __m128i chunk = _mm_loadu_si128((const __m128i *)text), folded = _mm_or_si128(chunk, _mm_set1_epi8(0x20));
    __m128i digit = _mm_subs_epu8(_mm_sub_epi8(chunk, _mm_set1_epi8('0')), _mm_set1_epi8(9));
    __m128i letter = _mm_subs_epu8(_mm_sub_epi8(folded, _mm_set1_epi8('a')), _mm_set1_epi8(5));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(digit, letter), _mm_setzero_si128()));
}

/* The same for decimal ones. */
static inline uint64_t gr_decimal(const unsigned char *text) {
    __m128i from = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)text), _mm_set1_epi8('0'));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_subs_epu8(from, _mm_set1_epi8(9)), _mm_setzero_si128()));
}

#else
#include <arm_neon.h>

static inline uint64_t gr_mask(uint8x16_t hits) {
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t chosen = vandq_u8(hits, vld1q_u8(bits));
    return (uint64_t)vaddv_u8(vget_low_u8(chosen)) | (uint64_t)vaddv_u8(vget_high_u8(chosen)) << 8;
}

static inline uint64_t gr_equal(const unsigned char *text, char c) {
    return gr_mask(vceqq_u8(vld1q_u8(text), vdupq_n_u8((uint8_t)c)));
}

static inline uint64_t gr_hex(const unsigned char *text) {
    uint8x16_t chunk = vld1q_u8(text), folded = vorrq_u8(chunk, vdupq_n_u8(0x20));
    uint8x16_t digit = vcleq_u8(vsubq_u8(chunk, vdupq_n_u8('0')), vdupq_n_u8(9));
    return gr_mask(vorrq_u8(digit, vcleq_u8(vsubq_u8(folded, vdupq_n_u8('a')), vdupq_n_u8(5))));
}

static inline uint64_t gr_decimal(const unsigned char *text) {
    return gr_mask(vcleq_u8(vsubq_u8(vld1q_u8(text), vdupq_n_u8('0')), vdupq_n_u8(9)));
}
#endif

enum { GR_BEFORE = 4, GR_ROOM = 48 };

/* The text is read where it lies, in whole chunks: from 3 bytes before it to `room` bytes behind its
 * start. Where that leaves the memory page on which the text begins (a buffer of somebody else's may
 * begin or end with a page), and under AddressSanitizer, a padded copy is read. (A copy each time
 * costs more than all the rest: the loads wait for its stores.)
 */
#if defined(__SANITIZE_ADDRESS__)
#define GR_LIES_WELL(text, room) 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GR_LIES_WELL(text, room) 0
#endif
#endif
#ifndef GR_LIES_WELL
#define GR_LIES_WELL(text, room) \
    ((((uintptr_t)(text) - (GR_BEFORE - 1)) & 4095) <= 4096 - (GR_BEFORE - 1) - (room))
#endif

static inline const unsigned char *gr_padded(const unsigned char *text, size_t length, unsigned char *buffer) {
    memset(buffer, 0, GR_BEFORE + GR_ROOM);
    memcpy(buffer + GR_BEFORE, text, length);
    return buffer + GR_BEFORE;
}

/* How many bits are set: plain x86-64 has no instruction for it. */
static inline unsigned gr_count(uint64_t bits) {
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    return (unsigned)(((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
}

/* Four words side by side, in the vectors of GCC and Clang: the compiler knows the machine. */
typedef uint8_t gr_bytes __attribute__((vector_size(16)));
typedef uint16_t gr_halves __attribute__((vector_size(16)));
typedef uint32_t gr_words __attribute__((vector_size(16)));
typedef uint64_t gr_pair __attribute__((vector_size(16)));

/* The four bytes that end before `end`. */
static inline uint32_t gr_word(const unsigned char *text, unsigned end) {
    uint32_t word;
    memcpy(&word, text + end - 4, 4);
    return word;
}

/* The same for the first group, whose word would begin before the text: zeros stand there. */
static inline uint32_t gr_first(const unsigned char *text, unsigned end) {
    return gr_word(text, 4) << (32 - 8 * end);
}

/* The bytes of each word up to its last separator, which is not its last byte. */
static inline gr_words gr_before(gr_words words, uint8_t separator) {
    gr_words found = (gr_words)((gr_bytes)words == separator);
    return found | found >> 8 | found >> 16;
}

/* Dotted quad: 1 and the value, 0 if it is none. */
static inline int gr_ipv4(const unsigned char *text, size_t length, uint64_t *out) {
    unsigned char buffer[GR_BEFORE + GR_ROOM];
    uint32_t end, dots, digits, edges, second, third, fourth, begins, wrong;
    gr_words words;
    gr_halves even, odd;
    gr_pair octets;
    uint64_t value;
    if (length < 7 || length > 15)
        return 0;
    if (!GR_LIES_WELL(text, 16))
        text = gr_padded(text, length, buffer);
    end = (uint32_t)1 << length;
    dots = (uint32_t)gr_equal(text, '.') & (end - 1);
    digits = (uint32_t)gr_decimal(text) & (end - 1);
    edges = dots | end;
    begins = edges << 1 | 1;
    second = edges & (edges - 1);
    third = second & (second - 1);
    fourth = third & (third - 1);
    wrong = (dots | digits) ^ (end - 1);                               /* another character */
    wrong |= fourth ^ end;                                             /* not three dots */
    wrong |= begins & edges;                                           /* an empty octet */
    wrong |= digits & digits >> 1 & digits >> 2 & digits >> 3;         /* a long one */
    wrong |= (uint32_t)gr_equal(text, '0') & begins & digits >> 1;     /* a leading zero */
    if (wrong)
        return 0;
    words = (gr_words){ /* in the order 0, 2, 1, 3: two shifts then put all four together */
        gr_first(text, (unsigned)__builtin_ctz(edges)),
        gr_word(text, (unsigned)__builtin_ctz(third)),
        gr_word(text, (unsigned)__builtin_ctz(second)),
        gr_word(text, (unsigned)length),
    };
    words &= ~gr_before(words, '.') & 0x0F0F0F00;
    even = (gr_halves)words & 0x00FF;
    odd = (gr_halves)words >> 8;
    words = (gr_words)(odd * (gr_halves){100, 1, 100, 1, 100, 1, 100, 1} + even * (gr_halves){0, 10, 0, 10, 0, 10, 0, 10});
    octets = (gr_pair)((words + (words >> 16)) & 0xFFFF);
    if ((octets[0] | octets[1]) & 0x0000FF000000FF00u)
        return 0; /* above 255 */
    value = octets[0] << 8 | octets[1];
    *out = (uint32_t)(value << 16 | value >> 32);
    return 1;
}

/* Words of up to four hexadecimal digits as one number; they stand in the order 0, 2, 1, 3. */
static inline uint64_t gr_groups(gr_words words) {
    gr_words before = gr_before(words, ':'), letters = words >> 6 & 0x01010101;
    gr_pair groups;
    uint64_t value;
    words = ((words & 0x0F0F0F0F) + letters + (letters << 3)) & ~before; /* A to F: 1 to 6, and 9 */
    words = (words << 4 | words >> 8) & 0x00FF00FF;
    groups = (gr_pair)((words << 8 | words >> 16) & 0xFFFF);
    value = groups[0] << 16 | groups[1];
    return value << 32 | value >> 32;
}

/* The groups of an address with a "::", one by one. */
static inline int gr_gapped(
    const unsigned char *text, size_t length, uint64_t colons, uint64_t *high, uint64_t *low
) {
    uint64_t gap = colons & colons >> 1, edges = colons | (uint64_t)1 << length;
    uint64_t empty = edges & (edges << 1 | 1), full = edges & ~empty;
    unsigned place, missing, at, start, end;
    if (gap & (gap - 1))
        return 0; /* two, or ":::" */
    place = (unsigned)__builtin_ctzll(gap);
    empty ^= (gap << 1) | (place == 0) | (uint64_t)(place + 2 == length) << length;
    if (empty || gr_count(full) > 7)
        return 0; /* the groups beside the gap are empty, no others; the gap leaves out at least one */
    missing = 8 - gr_count(full);
    at = place ? 0 : missing;
    start = place ? 0 : 2;
    *high = *low = 0;
    for (; full; full &= full - 1) {
        uint64_t group;
        end = (unsigned)__builtin_ctzll(full);
        group = __builtin_bswap32(gr_word(text, end)) & (uint32_t)(((uint64_t)1 << (8 * (end - start))) - 1);
        group = (group & 0x0F0F0F0Fu) + 9 * (group >> 6 & 0x01010101u);
        group = (group | group >> 4) & 0x00FF00FFu;
        group = ((group | group >> 8) & 0xFFFFu) << (48 - 16 * (at & 3));
        *high |= at < 4 ? group : 0;
        *low |= at < 4 ? 0 : group;
        at += end == place ? 1 + missing : 1;
        start = end == place ? end + 2 : end + 1;
    }
    return 1;
}

/* RFC 4291 text without a dotted quad: 1 and the halves, 0 if it is none, -1 to ask the plain
 * parser. */
static inline int gr_ipv6(const unsigned char *text, size_t length, uint64_t *high, uint64_t *low) {
    unsigned char buffer[GR_BEFORE + GR_ROOM];
    uint64_t end, colons, hex, edges[8];
    gr_words first, last;
    int i;
    if (length < 2 || length > 39)
        return length > 45 ? 0 : -1;
    if (!GR_LIES_WELL(text, GR_ROOM))
        text = gr_padded(text, length, buffer);
    end = (uint64_t)1 << length;
    colons = gr_equal(text, ':') | gr_equal(text + 16, ':') << 16 | gr_equal(text + 32, ':') << 32;
    hex = gr_hex(text) | gr_hex(text + 16) << 16 | gr_hex(text + 32) << 32;
    colons &= end - 1;
    hex &= end - 1;
    if ((colons | hex) != end - 1)
        return -1;
    if (hex & hex >> 1 & hex >> 2 & hex >> 3 & hex >> 4)
        return 0; /* a group of five digits */
    if (colons & colons >> 1)
        return gr_gapped(text, length, colons, high, low);
    edges[0] = colons | end;
    for (i = 1; i < 8; i++)
        edges[i] = edges[i - 1] & (edges[i - 1] - 1);
    if (edges[7] != end || (edges[0] & (edges[0] << 1 | 1)))
        return 0; /* not eight groups, or an empty one */
    first = (gr_words){
        gr_first(text, (unsigned)__builtin_ctzll(edges[0])),
        gr_word(text, (unsigned)__builtin_ctzll(edges[2])),
        gr_word(text, (unsigned)__builtin_ctzll(edges[1])),
        gr_word(text, (unsigned)__builtin_ctzll(edges[3])),
    };
    last = (gr_words){
        gr_word(text, (unsigned)__builtin_ctzll(edges[4])),
        gr_word(text, (unsigned)__builtin_ctzll(edges[6])),
        gr_word(text, (unsigned)__builtin_ctzll(edges[5])),
        gr_word(text, (unsigned)length),
    };
    *high = gr_groups(first);
    *low = gr_groups(last);
    return 1;
}

#else

static inline int gr_ipv4(const unsigned char *text, size_t length, uint64_t *out) {
    (void)text, (void)length, (void)out;
    return -1;
}

static inline int gr_ipv6(const unsigned char *text, size_t length, uint64_t *high, uint64_t *low) {
    (void)text, (void)length, (void)high, (void)low;
    return -1;
}

#endif
/* The place of the last of 4, 8 or 16 (1 << size) sorted keys that is not greater than key. Keys that
 * are not greater stand first, so counting them is counting the ones at the low end of a mask.
 */
#if GEORESTRICT_WIDE_TEXT && defined(__SSE2__)
#define GR_WIDE_KEYS 1

static inline uint32_t gr_rank(const uint16_t *keys, uint32_t size, uint16_t key) {
    const __m128i wanted = _mm_set1_epi16((short)key), none = _mm_setzero_si128();
    /* Of 16 keys the second half; of fewer the first again, so that nothing behind the node is read. */
    const __m128i first = _mm_loadu_si128((const __m128i *)keys);
    const __m128i second = _mm_loadu_si128((const __m128i *)(keys + (size & 4) * 2));
    uint64_t mask = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_subs_epu16(first, wanted), none));
    mask |= (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_subs_epu16(second, wanted), none)) << 16;
    mask = ~mask | (uint64_t)1 << (2 << size);
    return ((uint32_t)__builtin_ctzll(mask) >> 1) - 1;
}

#else
#define GR_WIDE_KEYS 0

static inline uint32_t gr_rank(const uint16_t *keys, uint32_t size, uint16_t key) {
    (void)keys, (void)size, (void)key;
    return 0;
}

#endif
#endif
