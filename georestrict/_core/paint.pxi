# Painting: ranges that may overlap become runs, and two layers of runs become one.
# The twin of _paint.py, where the rules are told.

cdef struct Start:
    uint64_t high
    uint64_t low


cdef inline bint _before(uint64_t a_high, uint64_t a_low, uint64_t b_high, uint64_t b_low) noexcept nogil:
    return a_high < b_high or (a_high == b_high and a_low < b_low)


cdef struct Span:
    uint64_t first_high
    uint64_t first_low
    uint64_t last_high
    uint64_t last_low
    uint32_t value
    uint32_t order
    int32_t rank


cdef int _compare_spans(const void *left, const void *right) noexcept nogil:
    cdef const Span *a = <const Span *>left
    cdef const Span *b = <const Span *>right
    if a.first_high != b.first_high:
        return -1 if a.first_high < b.first_high else 1
    if a.first_low != b.first_low:
        return -1 if a.first_low < b.first_low else 1
    return -1 if a.order < b.order else 1


cdef inline bint _beats(const Span *a, const Span *b) noexcept nogil:
    """The higher rank wins; of equal ranks the narrower range; of equally narrow ones the later."""
    if a.rank != b.rank:
        return a.rank > b.rank
    cdef uint64_t a_low = a.last_low - a.first_low, b_low = b.last_low - b.first_low
    cdef uint64_t a_high = a.last_high - a.first_high - (a.last_low < a.first_low)
    cdef uint64_t b_high = b.last_high - b.first_high - (b.last_low < b.first_low)
    if a_high != b_high:
        return a_high < b_high
    if a_low != b_low:
        return a_low < b_low
    return a.order > b.order


cdef void _heap_push(uint32_t *heap, Py_ssize_t size, uint32_t item, const Span *spans) noexcept nogil:
    cdef Py_ssize_t at = size, parent
    while at:
        parent = (at - 1) >> 1
        if not _beats(&spans[item], &spans[heap[parent]]):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = item


cdef void _heap_pop(uint32_t *heap, Py_ssize_t size, const Span *spans) noexcept nogil:
    """Remove the top of a heap of ``size`` items."""
    cdef uint32_t item = heap[size - 1]
    cdef Py_ssize_t at = 0, child
    size -= 1
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _beats(&spans[heap[child + 1]], &spans[heap[child]]):
            child += 1
        if not _beats(&spans[heap[child]], &spans[item]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = item


cdef class _RunWriter:
    """Growing runs; a run that continues the one before is not written."""

    cdef Start *starts
    cdef uint32_t *values
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity

    def __dealloc__(self):
        free(self.starts)
        free(self.values)

    cdef int reserve(self, Py_ssize_t capacity) except -1 nogil:
        cdef Start *starts = <Start *>realloc(self.starts, capacity * sizeof(Start))
        if starts != NULL:
            self.starts = starts
        cdef uint32_t *values = <uint32_t *>realloc(self.values, capacity * sizeof(uint32_t))
        if values != NULL:
            self.values = values
        if starts == NULL or values == NULL:
            with gil:
                raise MemoryError
        self.capacity = capacity
        return 0

    cdef inline int put(self, uint64_t high, uint64_t low, uint32_t value) except -1 nogil:
        if self.count and self.values[self.count - 1] == value:
            return 0
        if self.count == self.capacity:
            self.reserve(2 * self.capacity + 1024)
        self.starts[self.count].high = high
        self.starts[self.count].low = low
        self.values[self.count] = value
        self.count += 1
        return 0

    cdef object runs(self):
        runs = Runs(_zeros_of("Q", self.count), _zeros_of("Q", self.count), _zeros_of("I", self.count))
        cdef uint64_t[::1] high = runs.high, low = runs.low
        cdef uint32_t[::1] value = runs.value
        cdef Py_ssize_t i
        with nogil:
            for i in range(self.count):
                high[i] = self.starts[i].high
                low[i] = self.starts[i].low
                value[i] = self.values[i]
        return runs


def resolve(columns, ranks=None):
    """Ranges to runs; see the twin in ``_paint.py``."""
    cdef const int32_t[:] rank
    cdef const uint64_t[:] first_high = columns.first_high, first_low = columns.first_low
    cdef const uint64_t[:] last_high = columns.last_high, last_low = columns.last_low
    cdef const uint32_t[:] value = columns.value
    cdef Py_ssize_t count = first_high.shape[0], i
    if not (first_low.shape[0] == last_high.shape[0] == last_low.shape[0] == value.shape[0] == count):
        raise ValueError("the columns are not equally long")
    cdef bint ranked = ranks is not None
    if ranked:
        rank = ranks
        if rank.shape[0] != count:
            raise ValueError("the columns are not equally long")
    if count >= 0xFFFFFFFF:
        raise OverflowError("a layer holds at most 2**32 - 2 ranges")
    cdef _RunWriter out = _RunWriter()
    cdef Span *spans = <Span *>malloc((count + 1) * sizeof(Span))
    cdef uint32_t *heap = <uint32_t *>malloc((count + 1) * sizeof(uint32_t))
    cdef bint sorted_already = True
    try:
        if spans == NULL or heap == NULL:
            raise MemoryError
        with nogil:
            for i in range(count):
                spans[i].first_high = first_high[i]
                spans[i].first_low = first_low[i]
                spans[i].last_high = last_high[i]
                spans[i].last_low = last_low[i]
                spans[i].value = value[i]
                spans[i].order = <uint32_t>i
                spans[i].rank = rank[i] if ranked else 0
                if i and _compare_spans(&spans[i - 1], &spans[i]) > 0:
                    sorted_already = False
            if not sorted_already:
                qsort(spans, count, sizeof(Span), _compare_spans)
            _sweep(spans, count, heap, out)
    finally:
        free(spans)
        free(heap)
    return out.runs()


cdef int _sweep(const Span *spans, Py_ssize_t count, uint32_t *heap, _RunWriter out) except -1 nogil:
    """Walk sorted ranges from left to right; the heap's top is the range that wins here."""
    cdef Py_ssize_t upcoming = 0, active = 0
    cdef uint64_t high = 0, low = 0
    cdef const Span *top
    if count == 0 or spans[0].first_high or spans[0].first_low:
        out.put(0, 0, 0)
    while active or upcoming < count:
        if not active:
            high = spans[upcoming].first_high
            low = spans[upcoming].first_low
        while upcoming < count and not _before(high, low, spans[upcoming].first_high, spans[upcoming].first_low):
            _heap_push(heap, active, <uint32_t>upcoming, spans)
            active += 1
            upcoming += 1
        while active and _before(spans[heap[0]].last_high, spans[heap[0]].last_low, high, low):
            _heap_pop(heap, active, spans)
            active -= 1
        if not active:
            out.put(high, low, 0)
            continue
        top = &spans[heap[0]]
        out.put(high, low, top.value)
        high = top.last_high
        low = top.last_low + 1
        if low == 0:
            high += 1
        if upcoming < count and (
            (high == 0 and low == 0)
            or _before(spans[upcoming].first_high, spans[upcoming].first_low, high, low)
        ):
            high = spans[upcoming].first_high
            low = spans[upcoming].first_low
        elif high == 0 and low == 0:
            break
    return 0


cdef int _check_runs(runs) except -1:
    """Refuse runs that do not cover the space, or whose columns are not equally long."""
    if not len(runs.high) == len(runs.low) == len(runs.value) or not len(runs.value):
        raise ValueError("runs must cover the whole space, in columns equally long")
    return 0


def merge(left, right):
    """Lay one layer of runs over another; see the twin in ``_paint.py``."""
    cdef const uint64_t[:] a_high = left.high, a_low = left.low
    cdef const uint64_t[:] b_high = right.high, b_low = right.low
    cdef const uint32_t[:] a_value = left.value, b_value = right.value
    cdef Py_ssize_t a = 0, b = 0, a_count = a_high.shape[0], b_count = b_high.shape[0]
    cdef uint64_t high = 0, low = 0
    cdef _RunWriter out = _RunWriter()
    cdef _PairIds ids = _PairIds()
    _check_runs(left)
    _check_runs(right)
    with nogil:
        while True:
            out.put(high, low, ids.id_of((<uint64_t>a_value[a] << 32) | b_value[b]))
            if a + 1 < a_count and (
                b + 1 == b_count or not _before(b_high[b + 1], b_low[b + 1], a_high[a + 1], a_low[a + 1])
            ):
                high = a_high[a + 1]
                low = a_low[a + 1]
                if b + 1 < b_count and b_high[b + 1] == high and b_low[b + 1] == low:
                    b += 1
                a += 1
            elif b + 1 < b_count:
                high = b_high[b + 1]
                low = b_low[b + 1]
                b += 1
            else:
                break
    return out.runs(), ids.pairs()


cdef class _PairIds:
    """Dense ids for pairs, in the order of their first appearance (open addressing)."""

    cdef uint64_t *keys
    cdef uint32_t *slots  # id + 1, 0 is free
    cdef uint32_t count
    cdef uint32_t mask
    cdef uint32_t capacity

    def __cinit__(self):
        self.mask = 1023
        self.capacity = 512
        self.slots = <uint32_t *>calloc(self.mask + 1, sizeof(uint32_t))
        self.keys = <uint64_t *>malloc(self.capacity * sizeof(uint64_t))
        if self.slots == NULL or self.keys == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.slots)
        free(self.keys)

    cdef inline uint32_t find(self, uint64_t key) noexcept nogil:
        """The slot that holds the key, or the free one where it belongs."""
        cdef uint32_t slot = <uint32_t>((key * <uint64_t>0x9E3779B97F4A7C15) >> 32) & self.mask
        while self.slots[slot] and self.keys[self.slots[slot] - 1] != key:
            slot = (slot + 1) & self.mask
        return slot

    cdef uint32_t id_of(self, uint64_t key) except? 0xFFFFFFFF nogil:
        cdef uint32_t slot = self.find(key)
        if self.slots[slot]:
            return self.slots[slot] - 1
        if self.count == self.capacity:
            self.grow()
            slot = self.find(key)
        self.keys[self.count] = key
        self.count += 1
        self.slots[slot] = self.count
        return self.count - 1

    cdef int grow(self) except -1 nogil:
        cdef uint32_t i
        cdef uint64_t *keys = <uint64_t *>realloc(self.keys, <size_t>2 * self.capacity * sizeof(uint64_t))
        cdef uint32_t *slots = <uint32_t *>calloc(<size_t>2 * (self.mask + 1), sizeof(uint32_t))
        if keys != NULL:
            self.keys = keys
        if keys == NULL or slots == NULL or self.mask >= 0x7FFFFFFF:
            free(slots)
            with gil:
                raise MemoryError
        free(self.slots)
        self.slots = slots
        self.capacity *= 2
        self.mask = 2 * self.mask + 1
        for i in range(self.count):
            self.slots[self.find(self.keys[i])] = i + 1
        return 0

    cdef list pairs(self):
        cdef uint32_t i
        found = []
        for i in range(self.count):
            if i & 0xFFF == 0xFFF:
                with nogil:  # a place where other threads may run
                    pass
            found.append((int(self.keys[i] >> 32), int(self.keys[i] & 0xFFFFFFFF)))
        return found


def relabel(runs, labels):
    """Replace each value by ``labels[value]``; see the twin in ``_paint.py``."""
    cdef const uint64_t[:] high = runs.high, low = runs.low
    cdef const uint32_t[:] value = runs.value
    cdef const uint32_t[:] table = array("I", labels)
    cdef Py_ssize_t i, known = table.shape[0]
    cdef _RunWriter out = _RunWriter()
    _check_runs(runs)
    with nogil:
        for i in range(value.shape[0]):
            if value[i] >= known:
                with gil:
                    raise IndexError(f"value {value[i]} has no label")
            out.put(high[i], low[i], table[value[i]])
    return out.runs()
