# Ranges to bytes and back. The twin of _pack.py, where it is told.

cdef struct Wide:
    uint64_t high
    uint64_t low


cdef inline Wide _wide(uint64_t high, uint64_t low) noexcept nogil:
    cdef Wide value
    value.high = high
    value.low = low
    return value


cdef inline Wide _up(Wide value, uint32_t by) noexcept nogil:
    if by == 0:
        return value
    if by < 64:
        return _wide(value.high << by | value.low >> (64 - by), value.low << by)
    return _wide(value.low << (by - 64) if by < 128 else 0, 0)


cdef inline Wide _down(Wide value, uint32_t by) noexcept nogil:
    if by == 0:
        return value
    if by < 64:
        return _wide(value.high >> by, value.low >> by | value.high << (64 - by))
    return _wide(0, value.high >> (by - 64) if by < 128 else 0)


cdef inline Wide _plus(Wide a, Wide b) noexcept nogil:
    cdef uint64_t low = a.low + b.low
    return _wide(a.high + b.high + (low < a.low), low)


cdef inline Wide _minus(Wide a, Wide b) noexcept nogil:
    return _wide(a.high - b.high - (a.low < b.low), a.low - b.low)


cdef inline bint _less(Wide a, Wide b) noexcept nogil:
    return _before(a.high, a.low, b.high, b.low)


cdef inline uint32_t _zeros(Wide value) noexcept nogil:
    """Trailing zero bits; 128 for 0, which stands for 2**128."""
    cdef uint32_t count = 0
    cdef uint64_t half = value.low
    if half == 0:
        half = value.high
        count = 64
        if half == 0:
            return 128
    while not half & 1:
        half >>= 1
        count += 1
    return count


def spans(runs):
    """Runs as ranges, but for those with value 0; see the twin."""
    cdef const uint64_t[:] high = runs.high, low = runs.low
    cdef const uint32_t[:] value = runs.value
    cdef _Growing out = _Growing()
    cdef Range row
    cdef Py_ssize_t i, count = value.shape[0]
    _check_runs(runs)
    row.line = 0
    with nogil:
        for i in range(count):
            if value[i] == 0:
                continue
            row.first_high = high[i]
            row.first_low = low[i]
            row.last_low = (low[i + 1] if i + 1 < count else 0) - 1
            row.last_high = (high[i + 1] if i + 1 < count else 0) - (1 if i + 1 == count or low[i + 1] == 0 else 0)
            row.value = value[i]
            out.add(&row)
    return out.columns()


cdef inline uint8_t *_put(uint8_t *at, Wide number) noexcept nogil:
    while number.high or number.low >= 128:
        at[0] = <uint8_t>(number.low & 127) | 128
        at += 1
        number = _down(number, 7)
    at[0] = <uint8_t>number.low
    return at + 1


def pack(columns, int version, Py_ssize_t start, Py_ssize_t stop):
    """Pack rows; see the twin. A row takes at most 22 bytes of a column."""
    cdef const uint64_t[:] first_high = columns.first_high, first_low = columns.first_low
    cdef const uint64_t[:] last_high = columns.last_high, last_low = columns.last_low
    cdef const uint32_t[:] value = columns.value, line = columns.line
    cdef uint32_t shift = 96 if version == 4 else 0, zeros
    cdef Py_ssize_t room = 22 * (stop - start) + 1, at
    cdef uint8_t *parts[5]
    cdef uint8_t *ends[5]
    cdef uint8_t head[128]
    cdef uint8_t *head_end = head
    cdef Wide first, last, expected, gap, count
    cdef int64_t step, previous_line = 0
    cdef uint8_t *memory
    cdef int i
    if not (first_low.shape[0] == last_high.shape[0] == last_low.shape[0] == line.shape[0] == first_high.shape[0] == value.shape[0]):
        raise ValueError("the columns are not equally long")
    if version != 4 and version != 6:
        raise ValueError(f"IP version {version}")
    if not 0 <= start <= stop <= value.shape[0]:
        raise IndexError(f"rows {start} to {stop} of {value.shape[0]}")
    memory = <uint8_t *>malloc(5 * room)
    if memory == NULL:
        raise MemoryError
    try:
        for i in range(5):
            parts[i] = memory + i * room
            ends[i] = parts[i]
        for at in range(start, stop):
            first = _down(_wide(first_high[at], first_low[at]), shift)
            last = _down(_wide(last_high[at], last_low[at]), shift)
            if at == start:
                expected = first
            if _less(first, expected) or _less(last, first) or (at > start and not expected.high and not expected.low):
                raise ValueError(f"row {at} overlaps the one before, or ends before it begins")
            gap = _minus(first, expected)
            count = _plus(_minus(last, first), _wide(0, 1))
            if gap.high or gap.low:
                zeros = _zeros(gap)
                ends[0] = _put(_put(ends[0], _wide(0, zeros + 1)), _down(_down(gap, zeros), 1))
            else:
                ends[0][0] = 0
                ends[0] += 1
            zeros = _zeros(count)
            ends[1] = _put(ends[1], _wide(0, zeros))
            ends[2] = _put(ends[2], _down(_down(count, zeros), 1))
            ends[3] = _put(ends[3], _wide(0, value[at]))
            step = <int64_t>line[at] - previous_line
            ends[4] = _put(ends[4], _wide(0, <uint64_t>step << 1 if step >= 0 else (<uint64_t>(-step) << 1) - 1))
            expected = _plus(last, _wide(0, 1))
            previous_line = line[at]
        head_end = _put(head_end, _wide(0, stop - start))
        for i in range(5):
            head_end = _put(head_end, _wide(0, ends[i] - parts[i]))
        pieces = [(<char *>head)[:head_end - head]]
        for i in range(5):
            pieces.append((<char *>parts[i])[:ends[i] - parts[i]])
        return b"".join(pieces)
    finally:
        free(memory)


cdef struct Part:
    const uint8_t *at
    const uint8_t *end


cdef inline bint _take(Part *part, Wide *out) noexcept nogil:
    """Read one number; False if the part ends first or the number has more than 128 bits."""
    cdef uint32_t shift = 0
    cdef uint8_t byte
    cdef Wide piece
    out.high = 0
    out.low = 0
    while part.at < part.end:
        byte = part.at[0]
        part.at += 1
        piece = _wide(0, byte & 127)
        if shift > 126 or (shift == 126 and byte & 127 > 3):
            return False
        piece = _up(piece, shift)
        out.high |= piece.high
        out.low |= piece.low
        if byte < 128:
            return True
        shift += 7
    return False


def unpack(bytes data not None, int version, first):
    """Return the rows of a chunk whose first address is ``first``; see the twin."""
    cdef Part part[6]
    cdef Wide number, at, last, count, size, exponent, mantissa, index, step
    cdef uint64_t rows, i, total = 0
    cdef uint64_t sizes[5]
    cdef uint32_t width = 32 if version == 4 else 128, shift = 128 - width
    cdef int64_t line = 0
    cdef _Growing out = _Growing()
    cdef Range row
    if version != 4 and version != 6:
        raise ValueError(f"IP version {version}")
    part[5].at = data
    part[5].end = part[5].at + len(data)
    if not _take(&part[5], &count) or count.high or count.low > <uint64_t>len(data):
        raise ValueError(f"a chunk of {len(data)} bytes ends too early")
    for i in range(5):
        if not _take(&part[5], &size) or size.high or size.low > <uint64_t>len(data):
            raise ValueError(f"a chunk of {len(data)} bytes ends too early")
        sizes[i] = size.low
        total += size.low
    if total != <uint64_t>(part[5].end - part[5].at):
        raise ValueError(f"a chunk of {len(data)} bytes, its columns say otherwise")
    for i in range(5):
        part[i].at = part[5].at
        part[5].at += sizes[i]
        part[i].end = part[5].at
    if first < 0 or first >> width:
        raise ValueError(f"address {first} in IPv{version}")
    at = _wide(first >> 64, first & 0xFFFFFFFFFFFFFFFF)
    rows = count.low
    for i in range(rows):
        if not _take(&part[0], &number):
            raise ValueError(f"row {i} ends too early")
        if number.high or number.low > 129:
            raise ValueError(f"a gap of 2**{number.low - 1} addresses")
        if number.low:
            if not _take(&part[0], &mantissa):
                raise ValueError(f"row {i} ends too early")
            if (i and not at.high and not at.low) or not _add_odd(&at, mantissa, <uint32_t>number.low - 1, False):
                raise ValueError(f"row {i} begins past the last address")
        elif i and not at.high and not at.low:
            raise ValueError(f"row {i} begins past the last address")
        if not (_take(&part[1], &exponent) and _take(&part[2], &mantissa) and _take(&part[3], &index) and _take(&part[4], &step)):
            raise ValueError(f"row {i} ends too early")
        if exponent.high or exponent.low > 128:
            raise ValueError(f"a range of 2**{exponent.low} addresses")
        last = _minus(at, _wide(0, 1))
        if exponent.low == 128:  # all of IPv6: last is the last address already
            if at.high or at.low or mantissa.high or mantissa.low:
                raise ValueError(f"row {i} ends past the last address")
        elif not _add_odd(&last, mantissa, <uint32_t>exponent.low, True):
            raise ValueError(f"row {i} ends past the last address")
        if _less(last, at) or (width == 32 and (last.high or last.low >> 32 or at.high or at.low >> 32)):
            raise ValueError(f"row {i} ends past the last address")
        if index.high or index.low >> 32 or step.high or step.low >> 34:
            raise ValueError(f"row {i} has value {index.low} and line step {step.low}")
        line += -<int64_t>((step.low + 1) >> 1) if step.low & 1 else <int64_t>(step.low >> 1)
        if not 0 <= line < <int64_t>1 << 32:
            raise ValueError(f"row {i} has line {line}")
        number = _up(at, shift)
        row.first_high = number.high
        row.first_low = number.low
        number = _up(last, shift)
        row.last_high = number.high | (<uint64_t>0xFFFFFFFF if width == 32 else 0)
        row.last_low = ~<uint64_t>0 if width == 32 else number.low
        row.value = <uint32_t>index.low
        row.line = <uint32_t>line
        out.add(&row)
        at = _plus(last, _wide(0, 1))
    return out.columns()


cdef inline bint _add_odd(Wide *value, Wide half, uint32_t zeros, bint from_minus_one) noexcept nogil:
    """Add ``(2 * half + 1) << zeros``; False if that is past 128 bits.

    All ones may stand for -1, the address before the first.
    """
    cdef Wide odd, sum
    if half.high >> 63:
        return False
    odd = _up(half, 1)
    odd.low |= 1
    if zeros and (zeros >= 128 or (_down(odd, 128 - zeros).high or _down(odd, 128 - zeros).low)):
        return False
    odd = _up(odd, zeros)
    sum = _plus(value[0], odd)
    if _less(sum, odd) and not (from_minus_one and value.high == ~<uint64_t>0 and value.low == ~<uint64_t>0):
        return False
    value[0] = sum
    return True
