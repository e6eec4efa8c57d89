# Finding the client in a chain of hops. The twin of _chain.py, where the grammars are told.

cdef enum:
    LIST = 0
    FORWARDED = 1
    EMPTY = 0
    MALFORMED = 1
    UNKNOWN = 2
    ALL_TRUSTED = 3
    TOO_FEW = 4
    MOST_ENTRIES = 64
    MOST_BYTES = 8192


cdef struct Span_:
    int version
    uint64_t first_high
    uint64_t first_low
    uint64_t last_high
    uint64_t last_low


cdef class Trusted:
    """The networks of trusted proxies. See the twin."""

    cdef readonly tuple spans
    cdef Span_ *held
    cdef Py_ssize_t count

    def __cinit__(self, spans):
        cdef Py_ssize_t i
        self.spans = tuple((version, first, last) for version, first, last in spans)
        self.count = len(self.spans)
        self.held = <Span_ *>calloc(self.count + 1, sizeof(Span_))
        if self.held == NULL:
            raise MemoryError
        for i in range(self.count):
            version, first, last = self.spans[i]
            self.held[i].version = version
            self.held[i].first_high = first >> 64
            self.held[i].first_low = first & 0xFFFFFFFFFFFFFFFF
            self.held[i].last_high = last >> 64
            self.held[i].last_low = last & 0xFFFFFFFFFFFFFFFF

    def __dealloc__(self):
        free(self.held)

    def holds(self, version, value):
        """Return whether an address is in one of them."""
        return self.has(version, value >> 64, value & 0xFFFFFFFFFFFFFFFF)

    cdef inline bint has(self, int version, uint64_t high, uint64_t low) noexcept nogil:
        cdef Py_ssize_t i
        cdef Span_ *span
        if version == 4:
            high = 0
        for i in range(self.count):
            span = &self.held[i]
            if (
                span.version == version
                and not _before(high, low, span.first_high, span.first_low)
                and not _before(span.last_high, span.last_low, high, low)
            ):
                return True
        return False


cdef int _find_client(
    const unsigned char *chain, Py_ssize_t length, bint whole, int grammar, Trusted trusted, int count,
    uint64_t *high, uint64_t *low,
) noexcept nogil:
    """Return the client's IP version, or the negative of what is told, less one."""
    cdef Py_ssize_t start, end = length
    cdef int number, found
    for number in range(1, MOST_ENTRIES + 1):
        start = _begin(chain, end, grammar)
        if start == 0 and not whole:
            return -1 - MALFORMED if number == 1 else _none_left(count)
        if count == 0 or number == count:
            high[0] = 0
            if grammar == LIST:
                found = _parse_hop(chain + start, end - start, high, low)
            else:
                found = _parse_element(chain + start, end - start, high, low)
            if found < 0 or trusted is None or count or not trusted.has(found, high[0], low[0]):
                return found
        if start == 0:
            break
        end = start - 1
    return _none_left(count)


cdef inline int _none_left(int count) noexcept nogil:
    return -1 - TOO_FEW if count else -1 - ALL_TRUSTED


cdef Py_ssize_t _begin(const unsigned char *chain, Py_ssize_t end, int grammar) noexcept nogil:
    """Where the entry that ends at ``end`` begins: behind a comma, or at 0."""
    cdef bint quoted = False
    cdef Py_ssize_t at = end
    while at:
        at -= 1
        if chain[at] == 34 and grammar == FORWARDED:
            quoted = not quoted or _is_escaped(chain, at)
        elif chain[at] == 44 and not quoted:
            return at + 1
    return 0


cdef bint _is_escaped(const unsigned char *chain, Py_ssize_t at) noexcept nogil:
    """Does an odd number of backslashes stand before a place?"""
    cdef bint odd = False
    while at and chain[at - 1] == 92:
        odd = not odd
        at -= 1
    return odd


cdef inline void _trim(const unsigned char *text, Py_ssize_t *first, Py_ssize_t *last) noexcept nogil:
    while first[0] < last[0] and _is_space(text[first[0]]):
        first[0] += 1
    while last[0] > first[0] and _is_space(text[last[0] - 1]):
        last[0] -= 1


cdef inline bint _is_word(const unsigned char *text, Py_ssize_t length, const char *word, Py_ssize_t size) noexcept nogil:
    """Is text a word of lower-case letters, in any case?"""
    cdef Py_ssize_t i
    if length != size:
        return False
    for i in range(size):
        if (text[i] | 32) != <unsigned char>word[i] or not (65 <= (text[i] & 0xDF) <= 90):
            return False
    return True


cdef int _parse_hop(const unsigned char *text, Py_ssize_t length, uint64_t *high, uint64_t *low) noexcept nogil:
    """Parse an entry of the grammar ``LIST``; return its IP version, or as ``_find_client``."""
    cdef Py_ssize_t first = 0, last = length
    cdef int version
    _trim(text, &first, &last)
    text += first
    length = last - first
    if length == 0:
        return -1 - EMPTY
    version = _parse(text, length, high, low)
    if version:
        return version
    if text[0] == 95 or _is_word(text, length, b"unknown", 7):
        return -1 - UNKNOWN
    version = _parse_with_port(text, length, False, high, low)
    return version if version else -1 - MALFORMED


cdef int _parse_with_port(const unsigned char *text, Py_ssize_t length, bint obfuscated, uint64_t *high, uint64_t *low) noexcept nogil:
    """Parse ``IPv4:port``, ``[IPv6]`` or ``[IPv6]:port``; return the IP version or 0."""
    cdef Py_ssize_t at = 0
    cdef bint colon = False
    high[0] = 0
    if length and text[0] == 91:
        at = 1
        while at < length and text[at] != 93:
            colon |= text[at] == 58
            at += 1
        if at == length or not colon:
            return 0
        if at + 1 < length and (text[at + 1] != 58 or not _is_port(text + at + 2, length - at - 2, obfuscated)):
            return 0
        return _parse(text + 1, at - 1, high, low)
    while at < length and text[at] != 58:
        at += 1
    if at == length or not _is_port(text + at + 1, length - at - 1, obfuscated):
        return 0
    return _parse(text, at, high, low)


cdef bint _is_port(const unsigned char *text, Py_ssize_t length, bint obfuscated) noexcept nogil:
    cdef uint32_t port = 0
    cdef Py_ssize_t i
    if obfuscated and length > 1 and text[0] == 95:
        for i in range(1, length):
            if not (
                48 <= text[i] <= 57 or 65 <= text[i] <= 90 or 97 <= text[i] <= 122
                or text[i] == 46 or text[i] == 95 or text[i] == 45
            ):
                return False
        return True
    if not 1 <= length <= 5:
        return False
    for i in range(length):
        if not 48 <= text[i] <= 57:
            return False
        port = port * 10 + (text[i] - 48)
    return port <= 65535


cdef inline bint _is_token(unsigned char c) noexcept nogil:
    """RFC 9110 tchar."""
    if c < 33 or c > 126:
        return False
    return not (
        c == 34 or c == 40 or c == 41 or c == 44 or c == 47 or 58 <= c <= 64 or 91 <= c <= 93
        or c == 123 or c == 125
    )


cdef enum:
    MOST_NAMES = 16  # of pairs in an element; the twin's limit is the same
    LONGEST_NODE = 64


cdef struct Name:
    Py_ssize_t start
    Py_ssize_t length


cdef int _parse_element(const unsigned char *text, Py_ssize_t length, uint64_t *high, uint64_t *low) noexcept nogil:
    """Parse an element of ``Forwarded`` down to its node; as ``_parse_hop``."""
    cdef Py_ssize_t at = 0, end = length, start, size
    cdef Name names[MOST_NAMES]
    cdef int count = 0, i
    cdef unsigned char node[LONGEST_NODE]
    cdef Py_ssize_t node_length = -1
    cdef bint is_for
    _trim(text, &at, &end)
    if at == end:
        return -1 - EMPTY
    while at < end:
        while at < end and _is_space(text[at]):
            at += 1
        start = at
        while at < end and _is_token(text[at]):
            at += 1
        size = at - start
        if size:
            if at == end or text[at] != 61 or count == MOST_NAMES:
                return -1 - MALFORMED
            for i in range(count):
                if names[i].length == size and _same_name(text + names[i].start, text + start, size):
                    return -1 - MALFORMED
            names[count].start = start
            names[count].length = size
            count += 1
            is_for = _is_word(text + start, size, b"for", 3)
            at += 1
            if at < end and text[at] == 34:
                at = _quoted(text, at, end, node if is_for else NULL, &size)
            else:
                start = at
                while at < end and _is_token(text[at]):
                    at += 1
                size = at - start
                if size == 0:
                    return -1 - MALFORMED
                if is_for:
                    memcpy(node, text + start, size if size < LONGEST_NODE else LONGEST_NODE)
            if at < 0:
                return -1 - MALFORMED
            if is_for:
                node_length = size
        while at < end and _is_space(text[at]):
            at += 1
        if at < end:
            if text[at] != 59:
                return -1 - MALFORMED
            at += 1
    if node_length < 0:
        return -1 - UNKNOWN
    return _parse_node(node, node_length, high, low)


cdef inline bint _same_name(const unsigned char *one, const unsigned char *other, Py_ssize_t length) noexcept nogil:
    """Are two tokens the same, in any case?"""
    cdef Py_ssize_t i
    cdef unsigned char a, b
    for i in range(length):
        a = one[i]
        b = other[i]
        if 65 <= a <= 90:
            a |= 32
        if 65 <= b <= 90:
            b |= 32
        if a != b:
            return False
    return True


cdef Py_ssize_t _quoted(const unsigned char *text, Py_ssize_t at, Py_ssize_t end, unsigned char *out, Py_ssize_t *size) noexcept nogil:
    """Read a quoted string; return the place behind it, or -1. Its first bytes are kept, if wanted."""
    cdef unsigned char c
    size[0] = 0
    at += 1
    while at < end:
        c = text[at]
        if c == 34:
            return at + 1
        if c == 92:
            at += 1
            if at == end:
                return -1
            c = text[at]
        if not (c == 9 or 32 <= c <= 126 or c >= 128):
            return -1
        if out != NULL and size[0] < LONGEST_NODE:
            out[size[0]] = c
        size[0] += 1
        at += 1
    return -1


cdef int _parse_node(const unsigned char *node, Py_ssize_t length, uint64_t *high, uint64_t *low) noexcept nogil:
    """Parse ``for``'s value: RFC 7239 §6."""
    cdef Py_ssize_t colon = 0
    cdef int version = 0
    if length and node[0] == 95:
        return -1 - UNKNOWN
    while colon < length and colon < LONGEST_NODE and node[colon] != 58:
        colon += 1
    if _is_word(node, colon, b"unknown", 7):
        return -1 - UNKNOWN
    if length > LONGEST_NODE:
        return -1 - MALFORMED
    high[0] = 0
    if colon == length:
        version = _parse(node, length, high, low)
    if version == 0:
        version = _parse_with_port(node, length, True, high, low)
    return version if version else -1 - MALFORMED


def find_client(bytes chain not None, bint whole, int grammar, Trusted trusted, int count):
    """Return ``(version, value)`` of the client, or what is told of a chain; see the twin."""
    cdef uint64_t high = 0, low = 0
    cdef int found = _find_client(
        <const unsigned char *>PyBytes_AS_STRING(chain), PyBytes_GET_SIZE(chain), whole, grammar,
        trusted, count, &high, &low,
    )
    return _told(found, high, low)


def parse_entry(bytes entry not None):
    """Parse an entry of the grammar ``LIST``; see the twin."""
    cdef uint64_t high = 0, low = 0
    cdef int found = _parse_hop(
        <const unsigned char *>PyBytes_AS_STRING(entry), PyBytes_GET_SIZE(entry), &high, &low
    )
    return _told(found, high, low)


cdef object _told(int found, uint64_t high, uint64_t low):
    if found < 0:
        return -1 - found
    if found == 4:
        return 4, low
    return 6, (int(high) << 64) | low
