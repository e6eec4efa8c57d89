# Addresses and networks from text, read in place. The twin of _text.py, where the grammar is told.

cdef extern from "wide.h" nogil:
    # the same with few branches: 1 an address, 0 none, -1 not for it to say
    int gr_ipv4(const unsigned char *text, size_t length, uint64_t *out) noexcept
    int gr_ipv6(const unsigned char *text, size_t length, uint64_t *high, uint64_t *low) noexcept


cdef bint _parse_ipv4(const unsigned char *text, Py_ssize_t length, uint64_t *out) noexcept nogil:
    """Dotted quad to a number. Every octet: one to three digits, no leading zero, at most 255."""
    cdef uint32_t value = 0, octet = 0, digit
    cdef int digits = 0, dots = 0
    cdef Py_ssize_t i
    cdef int known = gr_ipv4(text, length, out)
    if known >= 0:
        return known
    if length < 7 or length > 15:
        return False
    for i in range(length):
        digit = <uint32_t>text[i] - 48
        if digit <= 9:
            if digits and octet == 0:
                return False
            octet = octet * 10 + digit
            digits += 1
            if octet > 255:
                return False
        elif text[i] == 46:
            if digits == 0 or dots == 3:
                return False
            value = (value << 8) | octet
            octet = 0
            digits = 0
            dots += 1
        else:
            return False
    if dots != 3 or digits == 0:
        return False
    out[0] = (value << 8) | octet
    return True


cdef inline int _hex_digit(unsigned char c) noexcept nogil:
    if 48 <= c <= 57:
        return c - 48
    c |= 32
    if 97 <= c <= 102:
        return c - 87
    return -1


cdef bint _parse_ipv6(const unsigned char *text, Py_ssize_t length, uint64_t *high, uint64_t *low) noexcept nogil:
    """RFC 4291 text to two 64-bit halves; a dotted quad may fill the last 32 bits."""
    cdef uint16_t groups[8]
    cdef uint64_t quad
    cdef int count = 0, gap = -1, digits = 0, digit, missing, i
    cdef uint32_t group = 0
    cdef Py_ssize_t at = 0, start = 0
    cdef int known = gr_ipv6(text, length, high, low)
    if known >= 0:
        return known
    if length < 2 or length > 45:
        return False
    if text[0] == 58:
        if text[1] != 58:
            return False
        at = 1  # the loop sees one colon with an empty group before it: the gap
    while at < length:
        digit = _hex_digit(text[at])
        if digit >= 0:
            if digits == 0:
                start = at
            if digits == 4:
                return False
            group = (group << 4) | <uint32_t>digit
            digits += 1
            at += 1
        elif text[at] == 58:
            if digits == 0:
                if gap >= 0:
                    return False
                gap = count
            else:
                if count == 8 or at + 1 == length:
                    return False
                groups[count] = group
                count += 1
                group = 0
                digits = 0
            at += 1
        elif text[at] == 46 and digits and count <= 6:
            if not _parse_ipv4(text + start, length - start, &quad):
                return False
            groups[count] = <uint16_t>(quad >> 16)
            groups[count + 1] = <uint16_t>(quad & 0xFFFF)
            count += 2
            digits = 0
            at = length
            break
        else:
            return False
    if digits:
        if count == 8:
            return False
        groups[count] = group
        count += 1
    if gap < 0:
        if count != 8:
            return False
    elif count == 8:
        return False
    missing = 8 - count
    high[0] = 0
    low[0] = 0
    for i in range(8):
        if gap < 0 or i < gap:
            group = groups[i]
        elif i < gap + missing:
            group = 0
        else:
            group = groups[i - missing]
        if i < 4:
            high[0] = (high[0] << 16) | group
        else:
            low[0] = (low[0] << 16) | group
    return True


cdef inline int _parse(const unsigned char *text, Py_ssize_t length, uint64_t *high, uint64_t *low) noexcept nogil:
    """Return 4, 6 or 0 (not an address). IPv4 is left in ``low``; IPv4-mapped IPv6 is IPv4."""
    cdef int known = gr_ipv4(text, length, low)  # in place; the rest is a call
    if known == 1 or (known < 0 and _parse_ipv4(text, length, low)):
        return 4
    if not _parse_ipv6(text, length, high, low):
        return 0
    if high[0] == 0 and low[0] >> 32 == 0xFFFF:
        low[0] &= <uint64_t>0xFFFFFFFF
        return 4
    return 6


cdef inline int _parse_str(str text, uint64_t *high, uint64_t *low) noexcept:
    """As ``_parse``, on a str in place: an address is always in compact ASCII form."""
    if not PyUnicode_IS_COMPACT_ASCII(text):
        return 0
    return _parse(<const unsigned char *>PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text), high, low)


cdef inline int _parse_any(object text, uint64_t *high, uint64_t *low) except -1:
    """As ``_parse_str``; a subclass of str keeps its text elsewhere, so a copy of it is read."""
    if PyUnicode_CheckExact(text):
        return _parse_str(<str>text, high, low)
    if not PyUnicode_Check(text):
        raise TypeError(f"an address is text, not {type(text).__name__}")
    return _parse_str(<str>PyUnicode_FromObject(text), high, low)


def parse_address(text):
    """Return ``(version, value)`` of an address in text, or None if it is not one."""
    cdef uint64_t high = 0, low = 0
    cdef int version = _parse_any(text, &high, &low)
    if version == 0:
        return None
    if version == 4:
        return 4, low
    return 6, (int(high) << 64) | low


cdef struct Range:
    uint64_t first_high
    uint64_t first_low
    uint64_t last_high
    uint64_t last_low
    uint32_t value
    uint32_t line


cdef inline bint _is_space(unsigned char c) noexcept nogil:
    return c == 32 or c == 9


cdef int _parse_end(const unsigned char *text, Py_ssize_t length, uint64_t *high, uint64_t *low) noexcept nogil:
    """Parse an address into left-aligned halves; return its version or 0."""
    cdef int version = _parse(text, length, high, low)
    if version == 4:
        high[0] = low[0] << 32
        low[0] = 0
    return version


cdef int _parse_cidr(const unsigned char *text, Py_ssize_t length, Py_ssize_t slash, Range *out) noexcept nogil:
    cdef int version = _parse_end(text, slash, &out.first_high, &out.first_low)
    cdef Py_ssize_t i
    cdef int bits = 0
    cdef bint colon = False
    if version == 0 or length - slash - 1 < 1 or length - slash - 1 > 3:
        return 0
    for i in range(slash + 1, length):
        if not 48 <= text[i] <= 57:
            return 0
        bits = bits * 10 + (text[i] - 48)
    if text[slash + 1] == 48 and length - slash - 1 > 1:
        return 0
    if version == 4:
        for i in range(slash):
            colon |= text[i] == 58
        if colon:
            bits -= 96
        if bits < 0 or bits > 32:
            return 0
    elif bits > 128:
        return 0
    cdef uint64_t mask_high = 0, mask_low = ~<uint64_t>0  # the host bits
    if bits == 0:
        mask_high = ~<uint64_t>0
    elif bits < 64:
        mask_high = (~<uint64_t>0) >> bits
    elif bits < 128:
        mask_low = (~<uint64_t>0) if bits == 64 else (~<uint64_t>0) >> (bits - 64)
    else:
        mask_low = 0
    if (out.first_high & mask_high) or (out.first_low & mask_low):
        return 0
    out.last_high = out.first_high | mask_high
    out.last_low = out.first_low | mask_low
    return version


cdef int _parse_entry(const unsigned char *text, Py_ssize_t length, Range *out) noexcept nogil:
    """An address, a CIDR network or a range; return its version or 0."""
    cdef Py_ssize_t i, dash = -1, end
    cdef int version, other
    for i in range(length):
        if text[i] == 47:
            return _parse_cidr(text, length, i, out)
        if text[i] == 45 and dash < 0:
            dash = i
    if dash < 0:
        version = _parse_end(text, length, &out.first_high, &out.first_low)
        out.last_high = out.first_high
        out.last_low = out.first_low
    else:
        end = dash
        while end > 0 and _is_space(text[end - 1]):
            end -= 1
        dash += 1
        while dash < length and _is_space(text[dash]):
            dash += 1
        version = _parse_end(text, end, &out.first_high, &out.first_low)
        other = _parse_end(text + dash, length - dash, &out.last_high, &out.last_low)
        if version != other:
            return 0
        if out.first_high > out.last_high or (out.first_high == out.last_high and out.first_low > out.last_low):
            return 0
    if version == 4:
        out.last_high |= <uint64_t>0xFFFFFFFF
        out.last_low = ~<uint64_t>0
    return version


cdef Py_ssize_t _entry_length(const unsigned char *text, Py_ssize_t length) noexcept nogil:
    """How much of a stripped line stands before its comment; 0 for a comment."""
    cdef Py_ssize_t i
    if length and (text[0] == 35 or text[0] == 59):
        return 0
    for i in range(1, length):
        if (text[i] == 35 or text[i] == 59) and _is_space(text[i - 1]):
            length = i
            break
    while length and _is_space(text[length - 1]):
        length -= 1
    return length


def parse_networks(bytes data not None):
    """Read a list of networks, one a line; see the twin in ``_text.py``."""
    cdef const unsigned char *text = data
    cdef Py_ssize_t size = len(data), at = 0, start, end
    cdef Range row
    cdef uint32_t number = 0
    cdef int version
    cdef _Growing ipv4 = _Growing(), ipv6 = _Growing()
    bad = []
    with nogil:
        if size >= 3 and text[0] == 0xEF and text[1] == 0xBB and text[2] == 0xBF:
            at = 3
        while at <= size:
            start = at
            while at < size and text[at] != 10:
                at += 1
            end = at
            at += 1
            if number == <uint32_t>0xFFFFFFFF:
                with gil:
                    raise OverflowError("a list has at most 2**32 - 1 lines")
            number += 1
            while start < end and (_is_space(text[start]) or text[start] == 13):
                start += 1
            while end > start and (_is_space(text[end - 1]) or text[end - 1] == 13):
                end -= 1
            end = start + _entry_length(text + start, end - start)
            if end == start:
                continue
            version = _parse_entry(text + start, end - start, &row)
            row.value = 1
            row.line = number
            if version == 4:
                ipv4.add(&row)
            elif version == 6:
                ipv6.add(&row)
            else:
                with gil:
                    bad.append(number)
    return ipv4.columns(), ipv6.columns(), bad


cdef class _Growing:
    """A growing array of ranges, handed out as columns."""

    cdef Range *rows
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity

    def __dealloc__(self):
        free(self.rows)

    cdef int add(self, Range *row) except -1 nogil:
        cdef Range *grown
        if self.count == self.capacity:
            self.capacity = 2 * self.capacity if self.capacity else 256
            grown = <Range *>realloc(self.rows, self.capacity * sizeof(Range))
            if grown == NULL:
                with gil:
                    raise MemoryError
            self.rows = grown
        self.rows[self.count] = row[0]
        self.count += 1
        return 0

    cdef object columns(self):
        columns = Columns(*(_zeros_of(code, self.count) for code in "QQQQII"))
        cdef uint64_t[::1] first_high = columns.first_high, first_low = columns.first_low
        cdef uint64_t[::1] last_high = columns.last_high, last_low = columns.last_low
        cdef uint32_t[::1] value = columns.value, line = columns.line
        cdef Py_ssize_t i
        with nogil:
            for i in range(self.count):
                first_high[i] = self.rows[i].first_high
                first_low[i] = self.rows[i].first_low
                last_high[i] = self.rows[i].last_high
                last_low[i] = self.rows[i].last_low
                value[i] = self.rows[i].value
                line[i] = self.rows[i].line
        return columns
