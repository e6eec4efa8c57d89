# Growing the radix trie from runs. The twin of _grow.py, where the choice of nodes is told.

cdef enum:
    MOST_KEYS = 16
    RUNS_PER_CHILD = 8


cdef struct Piece:
    uint32_t slot
    Py_ssize_t first
    Py_ssize_t last


cdef inline uint32_t _filled_bits(uint32_t count) noexcept nogil:
    return 2 if count <= 4 else 3 if count <= 8 else 4


cdef class _Grower:
    """The growing cells, and a hash table of the nodes in them."""

    cdef uint32_t *cells
    cdef uint64_t count
    cdef uint64_t capacity
    cdef uint32_t *slots  # a cell that names a node, 0 is free
    cdef uint8_t *depths
    cdef uint64_t stored
    cdef uint64_t mask
    cdef const Start *starts
    cdef const uint32_t *values
    cdef uint32_t width

    def __dealloc__(self):
        free(self.cells)
        free(self.slots)
        free(self.depths)

    cdef uint32_t root(self, _RunWriter runs, uint32_t width) except? 0xFFFFFFFF nogil:
        self.starts = runs.starts
        self.values = runs.values
        self.width = width
        self.forget()
        return self.dense(0, 0, runs.count, 0, 0, ROOT_BITS) & BASE_MASK

    cdef int forget(self) except -1 nogil:
        """Begin a new family: nodes are not shared between families."""
        free(self.slots)
        free(self.depths)
        self.stored = 0
        self.mask = 0xFFFF
        self.slots = <uint32_t *>calloc(self.mask + 1, sizeof(uint32_t))
        self.depths = <uint8_t *>malloc(self.mask + 1)
        if self.slots == NULL or self.depths == NULL:
            with gil:
                raise MemoryError
        return 0

    cdef inline bint starts_within(self, Py_ssize_t run, uint64_t high, uint64_t low, uint32_t bits) noexcept nogil:
        """Does the run's start share the first ``bits`` bits of the prefix?"""
        if bits <= 64:
            return (self.starts[run].high ^ high) >> (64 - bits) == 0
        return self.starts[run].high == high and (self.starts[run].low ^ low) >> (128 - bits) == 0

    cdef inline bint starts_at_or_before(self, Py_ssize_t run, uint64_t high, uint64_t low) noexcept nogil:
        return not _before(high, low, self.starts[run].high, self.starts[run].low)

    cdef uint32_t node(self, uint32_t depth, Py_ssize_t first, Py_ssize_t last, uint64_t high, uint64_t low) except? 0xFFFFFFFF nogil:
        """The cell for the piece at a prefix that runs ``first`` to ``last - 1`` cover."""
        cdef uint32_t cell, bits = 0, most
        cdef Py_ssize_t wanted = (last - first - 1) // RUNS_PER_CHILD
        if last - first == 1:
            return self.values[first]
        cell = self.keyed(depth, first, last, high, low)
        if cell:
            return cell
        while wanted:
            bits += 1
            wanted >>= 1
        most = _key_bits(depth)
        if most > self.width - depth:
            most = self.width - depth
        bits = 1 if bits < 1 else most if bits > most else bits
        return self.dense(depth, first, last, high, low, bits)

    cdef uint32_t dense(self, uint32_t depth, Py_ssize_t first, Py_ssize_t last, uint64_t high, uint64_t low, uint32_t bits) except? 0xFFFFFFFF nogil:
        cdef uint32_t size = <uint32_t>1 << bits, slot, cell
        cdef uint32_t *node = <uint32_t *>malloc(size * sizeof(uint32_t))
        cdef uint64_t piece, start_high, start_low
        cdef Py_ssize_t run = first, stop
        if node == NULL:
            with gil:
                raise MemoryError
        try:
            for slot in range(size):
                piece = <uint64_t>slot << (64 - (depth & 63) - bits)
                start_high = high | piece if depth < 64 else high
                start_low = low if depth < 64 else low | piece
                while run + 1 < last and self.starts_at_or_before(run + 1, start_high, start_low):
                    run += 1
                stop = run + 1
                while stop < last and self.starts_within(stop, start_high, start_low, depth + bits):
                    stop += 1
                node[slot] = self.node(depth + bits, run, stop, start_high, start_low)
                run = stop - 1
            return self.store(<uint32_t>DENSE << 30 | (bits - 1) << 26, depth, node, size)
        finally:
            free(node)

    cdef uint32_t keyed(self, uint32_t depth, Py_ssize_t first, Py_ssize_t last, uint64_t high, uint64_t low) except? 0xFFFFFFFF nogil:
        """A NARROW or WIDE node, or 0 if more than 16 keys would be needed."""
        cdef Piece pieces[16]
        cdef uint32_t node[24]
        cdef uint16_t *keys = <uint16_t *>node
        cdef uint32_t bits = _key_bits(depth), shift = 64 - (depth & 63) - bits
        cdef uint32_t count = 0, slot = 0, size, room, i
        cdef uint64_t start_high, start_low, word
        cdef Py_ssize_t run = first, stop
        cdef bint narrow = True
        while True:
            if count == MOST_KEYS:
                return 0
            start_high = high | <uint64_t>slot << shift if depth < 64 else high
            start_low = low if depth < 64 else low | <uint64_t>slot << shift
            if run + 1 < last and self.starts_at_or_before(run + 1, start_high, start_low):
                run += 1
            stop = run + 1
            while stop < last and self.starts_within(stop, start_high, start_low, depth + bits):
                stop += 1
            pieces[count].slot = slot
            pieces[count].first = run
            pieces[count].last = stop
            count += 1
            if stop - run == 1:
                narrow = narrow and self.values[run] <= 0xFFFF
                if stop == last:
                    break
                word = self.starts[stop].high if depth < 64 else self.starts[stop].low
                slot = <uint32_t>((word << (depth & 63)) >> (64 - bits))
            else:
                narrow = False
                run = stop - 1
                slot += 1
                if slot == <uint32_t>1 << bits:
                    break
        size = _filled_bits(count)
        room = <uint32_t>1 << size
        for i in range(room):
            keys[i] = <uint16_t>(pieces[i].slot << (16 - bits)) if i < count else 0xFFFF
        for i in range(count):
            if narrow:
                keys[room + i] = <uint16_t>self.values[pieces[i].first]
                continue
            start_high = high | <uint64_t>pieces[i].slot << shift if depth < 64 else high
            start_low = low if depth < 64 else low | <uint64_t>pieces[i].slot << shift
            node[room // 2 + i] = self.node(depth + bits, pieces[i].first, pieces[i].last, start_high, start_low)
        for i in range(count, room):
            if narrow:
                keys[room + i] = keys[room + count - 1]
            else:
                node[room // 2 + i] = node[room // 2 + count - 1]
        if narrow:
            return self.store(<uint32_t>NARROW << 30 | size << 26, depth, node, room)
        return self.store(<uint32_t>WIDE << 30 | size << 26, depth, node, room // 2 * 3)

    cdef uint32_t store(self, uint32_t name, uint32_t depth, const uint32_t *node, uint32_t size) except? 0xFFFFFFFF nogil:
        """Append a node, or find the equal one; return the cell that names it."""
        cdef uint64_t slot = self.find(name, depth, node, size)
        cdef uint64_t base, step
        if self.slots[slot]:
            return self.slots[slot]
        step = (16 if size > 16 else size) if name >> 30 != WIDE else 2
        base = (self.count + step - 1) // step * step
        if base + size > BASE_MASK:
            with gil:
                raise OverflowError(f"the table needs more than {BASE_MASK} cells")
        if base + size > self.capacity:
            self.enlarge(base + size)
        memset(self.cells + self.count, 0, (base - self.count) * sizeof(uint32_t))
        memcpy(self.cells + base, node, size * sizeof(uint32_t))
        self.count = base + size
        self.slots[slot] = name | <uint32_t>base
        self.depths[slot] = <uint8_t>depth
        self.stored += 1
        if 2 * self.stored > self.mask:
            self.rehash()
        return name | <uint32_t>base

    cdef inline uint64_t find(self, uint32_t name, uint32_t depth, const uint32_t *node, uint32_t size) noexcept nogil:
        """The slot of an equal node, or the free one where it belongs."""
        cdef uint64_t slot = _hash(name, depth, node, size) & self.mask
        while self.slots[slot] and not (
            self.slots[slot] & ~<uint32_t>BASE_MASK == name
            and self.depths[slot] == depth
            and memcmp(self.cells + (self.slots[slot] & BASE_MASK), node, size * sizeof(uint32_t)) == 0
        ):
            slot = (slot + 1) & self.mask
        return slot

    cdef int enlarge(self, uint64_t least) except -1 nogil:
        cdef uint64_t capacity = 2 * self.capacity if 2 * self.capacity > least else 2 * least
        cdef uint32_t *cells = <uint32_t *>realloc(self.cells, capacity * sizeof(uint32_t))
        if cells == NULL:
            with gil:
                raise MemoryError
        self.cells = cells
        self.capacity = capacity
        return 0

    cdef int rehash(self) except -1 nogil:
        cdef uint32_t *slots = self.slots
        cdef uint8_t *depths = self.depths
        cdef uint64_t old = self.mask + 1, i, slot
        cdef uint32_t name
        self.slots = <uint32_t *>calloc(2 * old, sizeof(uint32_t))
        self.depths = <uint8_t *>malloc(2 * old)
        self.mask = 2 * old - 1
        if self.slots != NULL and self.depths != NULL:
            for i in range(old):
                if slots[i] == 0:
                    continue
                name = slots[i] & ~<uint32_t>BASE_MASK
                slot = self.find(name, depths[i], self.cells + (slots[i] & BASE_MASK), _node_cells(name))
                self.slots[slot] = slots[i]
                self.depths[slot] = depths[i]
        free(slots)
        free(depths)
        if self.slots == NULL or self.depths == NULL:
            with gil:
                raise MemoryError
        return 0

    cdef object taken(self):
        """Hand the cells out as an array."""
        cells = _zeros_of("I", self.count)
        cdef uint32_t[::1] view = cells
        with nogil:
            memcpy(&view[0], self.cells, self.count * sizeof(uint32_t))
        return cells


cdef inline uint64_t _hash(uint32_t name, uint32_t depth, const uint32_t *node, uint32_t size) noexcept nogil:
    cdef uint64_t value = (<uint64_t>name << 8 | depth) * <uint64_t>0x9E3779B97F4A7C15
    cdef uint32_t i
    for i in range(size):
        value = (value ^ node[i]) * <uint64_t>0x9E3779B97F4A7C15
        value ^= value >> 29
    return value ^ value >> 32


cdef _RunWriter _read_runs(runs):
    """Copy runs from their columns, and check that every class id fits its width."""
    cdef const uint64_t[:] high = runs.high, low = runs.low
    cdef const uint32_t[:] value = runs.value
    cdef _RunWriter out = _RunWriter()
    cdef Py_ssize_t i
    _check_runs(runs)
    out.reserve(high.shape[0] + 1)
    with nogil:
        for i in range(high.shape[0]):
            if value[i] >= VALUE_LIMIT:
                with gil:
                    raise OverflowError(f"a class id of {value[i]} does not fit in 30 bits")
            out.starts[i].high = high[i]
            out.starts[i].low = low[i]
            out.values[i] = value[i]
    out.count = high.shape[0]
    return out


def grow(runs4, runs6):
    """Return the cells of a trie over both families, and where their roots lie; see the twin."""
    cdef _RunWriter ipv4 = _read_runs(runs4), ipv6 = _read_runs(runs6)
    cdef _Grower grower = _Grower()
    cdef uint32_t root4, root6
    with nogil:
        root4 = grower.root(ipv4, 32)
        root6 = grower.root(ipv6, 128)
    return grower.taken(), root4, root6
