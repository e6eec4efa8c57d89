/* What the core does for many bytes at once, where the machine can (SSE2, NEON).
 *
 * Addresses from text with few branches: the fast twin of _parse_ipv4 and _parse_ipv6 in text.pxi.
 * Which characters are separators is found for the whole text at once (SSE2 or NEON: 16 bytes a
 * step); each group of digits is then read as one 32-bit word that ends at its separator. So the time
 * does not depend on how long the groups are, which no branch predictor can guess. What does not look
 * like a plain address is left to the plain parser (-1), which also serves other machines.
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

/* One bit for each of 16 bytes that is low <= byte <= high, after or-ing it with fold. */
static inline uint64_t gr_within(const unsigned char *text, char fold, char low, char high) {
    __m128i chunk = _mm_or_si128(_mm_loadu_si128((const __m128i *)text), _mm_set1_epi8(fold));
    __m128i from = _mm_sub_epi8(chunk, _mm_set1_epi8(low));
    __m128i over = _mm_subs_epu8(from, _mm_set1_epi8((char)(high - low)));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(over, _mm_setzero_si128()));
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

static inline uint64_t gr_within(const unsigned char *text, char fold, char low, char high) {
    uint8x16_t chunk = vorrq_u8(vld1q_u8(text), vdupq_n_u8((uint8_t)fold));
    uint8x16_t from = vsubq_u8(chunk, vdupq_n_u8((uint8_t)low));
    return gr_mask(vcleq_u8(from, vdupq_n_u8((uint8_t)(high - low))));
}
#endif

enum { GR_BEFORE = 4, GR_ROOM = 48 };

/* The text is read where it lies, in whole chunks: up to 3 bytes before it (it lies inside a Python
 * object, behind the object's head) and up to `room` bytes from its start. That stays on memory pages
 * that hold the object, unless the page ends there; then, and under AddressSanitizer, a padded copy
 * is read. (A copy each time costs more than all the rest: the loads wait for its stores.)
 */
#if defined(__SANITIZE_ADDRESS__)
#define GR_LIES_WELL(text, room) 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GR_LIES_WELL(text, room) 0
#endif
#endif
#ifndef GR_LIES_WELL
#define GR_LIES_WELL(text, room) (((uintptr_t)(text) & 4095) <= 4096 - (room))
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

/* The four bytes that end before `end`, the last one lowest. */
static inline uint32_t gr_word(const unsigned char *text, unsigned end) {
    uint32_t word;
    memcpy(&word, text + end - 4, 4);
    return __builtin_bswap32(word);
}

/* Dotted quad: 1 and the value, 0 if it is none, -1 to ask the plain parser. */
static inline int gr_ipv4(const unsigned char *text, size_t length, uint64_t *out) {
    unsigned char buffer[GR_BEFORE + GR_ROOM];
    uint64_t dots, digits, whole;
    uint32_t value = 0, wrong = 0;
    unsigned start = 0;
    int i;
    if (length < 7 || length > 15)
        return 0;
    if (!GR_LIES_WELL(text, 16))
        text = gr_padded(text, length, buffer);
    whole = ((uint64_t)1 << length) - 1;
    dots = gr_equal(text, '.') & whole;
    digits = gr_within(text, 0, '0', '9') & whole;
    if ((dots | digits) != whole)
        return 0;
    dots |= (uint64_t)1 << length | (uint64_t)1 << 63; /* the end, and what too few dots run into */
    for (i = 0; i < 4; i++) {
        unsigned end = (unsigned)__builtin_ctzll(dots);
        unsigned count = end - start;
        uint32_t word, octet;
        if (count - 1 > 2)
            return 0;
        word = gr_word(text, end) & (uint32_t)(((uint64_t)1 << (8 * count)) - 1) & 0x0F0F0F0Fu;
        octet = (word & 0xFF) + 10 * (word >> 8 & 0xFF) + 100 * (word >> 16);
        wrong |= (octet > 255) | ((count > 1) & ((word >> (8 * count - 8)) == 0));
        value = value << 8 | octet;
        start = end + 1;
        dots &= dots - 1;
    }
    *out = value;
    return !wrong & (start == length + 1);
}

/* RFC 4291 text without a dotted quad: 1 and the halves, 0 if it is none, -1 to ask the plain
 * parser. */
static inline int gr_ipv6(const unsigned char *text, size_t length, uint64_t *high, uint64_t *low) {
    unsigned char buffer[GR_BEFORE + GR_ROOM];
    uint64_t colons, hex, whole;
    uint64_t half[2] = {0, 0};
    unsigned start = 0, at = 0, groups, missing = 0, gaps = 0;
    if (length < 2 || length > 39)
        return length > 45 ? 0 : -1;
    if (!GR_LIES_WELL(text, GR_ROOM))
        text = gr_padded(text, length, buffer);
    whole = ((uint64_t)1 << length) - 1;
    colons = gr_equal(text, ':') | gr_equal(text + 16, ':') << 16 | gr_equal(text + 32, ':') << 32;
    hex = gr_within(text, 0, '0', '9') | gr_within(text + 16, 0, '0', '9') << 16 |
          gr_within(text + 32, 0, '0', '9') << 32;
    hex |= gr_within(text, 0x20, 'a', 'f') | gr_within(text + 16, 0x20, 'a', 'f') << 16 |
           gr_within(text + 32, 0x20, 'a', 'f') << 32;
    colons &= whole;
    if ((colons | (hex & whole)) != whole)
        return -1;
    groups = gr_count(colons) + 1;
    if (groups > 9)
        return 0;
    if (colons & colons >> 1) { /* "::": the groups beside it are empty, and are not written */
        uint64_t gap = colons & colons >> 1;
        unsigned place = (unsigned)__builtin_ctzll(gap);
        gaps = 1;
        if (gap & (gap - 1))
            return 0; /* two of them, or ":::" */
        groups -= 1;                       /* the empty group in the middle */
        groups -= place == 0;              /* and the one before it at the start */
        groups -= place + 2 == length;     /* and the one after it at the end */
        if (groups > 7)
            return 0;
        missing = 8 - groups;
    } else if (groups != 8) {
        return 0;
    }
    colons |= (uint64_t)1 << length;
    for (;;) {
        unsigned end = (unsigned)__builtin_ctzll(colons);
        unsigned count = end - start;
        if (count == 0) {
            if (!gaps)
                return 0;
            if (missing) { /* leave the gap out, once */
                at += missing;
                missing = 0;
            } else if (end != length && end != 0 && start != 1) {
                return 0;
            }
        } else {
            uint32_t word;
            if (count > 4 || at > 7)
                return 0;
            word = gr_word(text, end) & (uint32_t)(((uint64_t)1 << (8 * count)) - 1);
            word = (word & 0x0F0F0F0Fu) + 9 * (word >> 6 & 0x01010101u);
            word = (word | word >> 4) & 0x00FF00FFu;
            word = (word | word >> 8) & 0xFFFFu;
            half[at >> 2] |= (uint64_t)word << (48 - 16 * (at & 3));
            at++;
        }
        if (end == length)
            break;
        start = end + 1;
        colons &= colons - 1;
    }
    *high = half[0];
    *low = half[1];
    return at == 8;
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
    __m128i first, second;
    uint32_t mask;
    if (size == 2) {
        first = _mm_loadl_epi64((const __m128i *)keys);
        mask = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_subs_epu16(first, wanted), none)) & 0xFF;
    } else {
        first = _mm_loadu_si128((const __m128i *)keys);
        mask = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_subs_epu16(first, wanted), none));
        if (size == 4) {
            second = _mm_loadu_si128((const __m128i *)(keys + 8));
            mask |= (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi16(_mm_subs_epu16(second, wanted), none)) << 16;
        }
    }
    return ((uint32_t)__builtin_ctzll(~(uint64_t)mask) >> 1) - 1;
}

#else
#define GR_WIDE_KEYS 0

static inline uint32_t gr_rank(const uint16_t *keys, uint32_t size, uint16_t key) {
    (void)keys, (void)size, (void)key;
    return 0;
}

#endif
#endif
