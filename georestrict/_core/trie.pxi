# The radix trie: proof and lookup. The twin of _trie.py, where the shape is told.

cdef enum:
    DENSE = 1
    NARROW = 2
    WIDE = 3
    ROOT_BITS = 16
    BASE_MASK = 0x3FFFFFF
    VALUE_LIMIT = 0x40000000
    HOT_FROM_CELLS = 3 << 19
    HOT_BITS = 14
    HOT_BITS_IPV6 = 13


cdef struct Hot:
    uint64_t high
    uint64_t low
    uint32_t found


cdef extern from "wide.h" nogil:
    bint GR_WIDE_KEYS  # whether gr_rank is there
    uint32_t gr_rank(const uint16_t *keys, uint32_t size, uint16_t key) noexcept


cdef inline uint32_t _rank(const uint16_t *keys, uint32_t size, uint16_t key) noexcept nogil:
    """The place of the last of ``1 << size`` keys that is not greater: a search without branches.

    Not a counting loop: gcc 12.2 at -O3 vectorises that one wrongly where it is inlined.
    """
    cdef uint32_t at = 0
    if GR_WIDE_KEYS:
        return gr_rank(keys, size, key)
    if size == 4:
        at = <uint32_t>(keys[8] <= key) << 3
    if size >= 3:
        at |= <uint32_t>(keys[at + 4] <= key) << 2
    at |= <uint32_t>(keys[at + 2] <= key) << 1
    return at | (keys[at + 1] <= key)


cdef inline uint32_t _key_bits(uint32_t depth) noexcept nogil:
    cdef uint32_t left = 64 - (depth & 63)
    return 16 if left > 16 else left


cdef inline uint32_t _walk(const uint32_t *cells, uint32_t cell, uint64_t word, uint64_t low) noexcept nogil:
    """Follow cells from below the root; ``word`` holds the first 64 bits, ``low`` the others."""
    cdef uint32_t depth = ROOT_BITS, kind, size, at
    cdef const uint32_t *node
    while cell >= VALUE_LIMIT:
        kind = cell >> 30
        size = (cell >> 26) & 15
        node = cells + (cell & BASE_MASK)
        if depth == 64:
            word = low
        if kind == DENSE:
            cell = node[(word << (depth & 63)) >> (63 - size)]
            depth += size + 1
        else:
            at = _rank(<const uint16_t *>node, size, <uint16_t>((word << (depth & 63)) >> 48))
            if kind == NARROW:
                return (<const uint16_t *>node)[(1 << size) + at]
            cell = node[(1 << size >> 1) + at]
            depth += _key_bits(depth)
    return cell


cdef inline bint _embedded_ipv4(uint64_t high, uint64_t low, uint32_t *out) noexcept nogil:
    """6to4, Teredo and NAT64; see the twin."""
    if high >> 48 == 0x2002:
        out[0] = <uint32_t>(high >> 16)
    elif high >> 32 == 0x20010000:
        out[0] = <uint32_t>~low
    elif high == <uint64_t>0x0064FF9B00000000 and low >> 32 == 0:
        out[0] = <uint32_t>low
    else:
        return False
    return True


def embedded_ipv4(value):
    """Return the IPv4 address that an IPv6 address carries for its client, if any."""
    cdef uint32_t inner
    if _embedded_ipv4(value >> 64, value & 0xFFFFFFFFFFFFFFFF, &inner):
        return inner
    return None


cdef class Table:
    """A proved trie over a buffer of cells, immutable. See the twin."""

    cdef const uint32_t[::1] view
    cdef const uint32_t *cells
    cdef readonly uint32_t root4
    cdef readonly uint32_t root6
    cdef readonly uint32_t classes
    # Of a large table: the answers for the addresses last asked for, each where its hash says. Those
    # for IPv4 are address << 32 | class. Read and written under the interpreter's lock only.
    cdef uint64_t *hot
    cdef Hot *hot_ipv6

    def __cinit__(self, cells, root4, root6, classes):
        cdef Py_ssize_t at
        self.view = memoryview(cells).cast("B").cast("I")
        if not (0 <= root4 <= BASE_MASK and 0 <= root6 <= BASE_MASK):
            raise ValueError(f"a root lies at {max(root4, root6)}")
        self.root4 = root4
        self.root6 = root6
        self.classes = classes
        if self.view.shape[0] > BASE_MASK + 1:
            raise ValueError(f"{self.view.shape[0]} cells; at most {BASE_MASK + 1} can be named")
        _prove(self.view, self.root4, self.root6, self.classes)
        self.cells = &self.view[0]
        if self.view.shape[0] >= HOT_FROM_CELLS:
            self.hot = <uint64_t *>malloc(sizeof(uint64_t) << HOT_BITS)
            self.hot_ipv6 = <Hot *>malloc(sizeof(Hot) << HOT_BITS_IPV6)
            if self.hot == NULL or self.hot_ipv6 == NULL:
                raise MemoryError
            for at in range(1 << HOT_BITS):  # what is true of 0.0.0.0 and :: is so in any place
                self.hot[at] = self.find_ipv4(0)
            for at in range(1 << HOT_BITS_IPV6):
                self.hot_ipv6[at] = Hot(0, 0, self.find_ipv6(0, 0))

    def __dealloc__(self):
        free(self.hot)
        free(self.hot_ipv6)

    cdef inline uint32_t find_hot(self, uint32_t value) noexcept:
        """As ``find_ipv4``, and faster for the addresses that are asked for again and again.

        A large table sends even those through several nodes, whose kinds no processor foretells.
        """
        cdef uint64_t known
        cdef uint64_t *place
        if self.hot == NULL:
            return self.find_ipv4(value)
        place = self.hot + ((value * <uint32_t>0x9E3779B1) >> (32 - HOT_BITS))
        known = place[0]
        if <uint32_t>(known >> 32) != value:
            known = <uint64_t>value << 32 | self.find_ipv4(value)
            place[0] = known
        return <uint32_t>known

    cdef inline uint32_t find_hot_ipv6(self, uint64_t high, uint64_t low) noexcept:
        cdef Hot *place
        if self.hot_ipv6 == NULL:
            return self.find_ipv6(high, low)
        place = self.hot_ipv6 + (
            ((high ^ low * <uint64_t>0x9E3779B97F4A7C15) * <uint64_t>0xD6E8FEB86659FD93) >> (64 - HOT_BITS_IPV6)
        )
        if place.high != high or place.low != low:
            place[0] = Hot(high, low, self.find_ipv6(high, low))
        return place.found

    cdef inline uint32_t find_ipv4(self, uint32_t value) noexcept nogil:
        return _walk(self.cells, self.cells[self.root4 + (value >> 16)], <uint64_t>value << 32, 0)

    cdef inline uint32_t find_ipv6(self, uint64_t high, uint64_t low) noexcept nogil:
        return _walk(self.cells, self.cells[self.root6 + (high >> 48)], high, low)

    def find(self, text):
        """Return the class id of an address in text, or -1 if it is none."""
        cdef uint64_t high = 0, low = 0
        cdef int version = _parse_any(text, &high, &low)
        if version == 4:
            return self.find_hot(<uint32_t>low)
        if version == 6:
            return self.find_hot_ipv6(high, low)
        return -1

    def find_value(self, version, value):
        """Return the class id of an address given as a number."""
        if version == 4:
            return self.find_ipv4(value)
        return self.find_ipv6(value >> 64, value & 0xFFFFFFFFFFFFFFFF)

    def runs(self, version):
        """Read the runs of one family back out of the trie, in order."""
        cdef _RunWriter out = _RunWriter()
        cdef uint32_t root = self.root4 if version == 4 else self.root6
        with nogil:
            _descend(self.cells, <uint32_t>DENSE << 30 | (ROOT_BITS - 1) << 26 | root, 0, 0, 0, out)
        return out.runs()


cdef int _descend(const uint32_t *cells, uint32_t cell, uint32_t depth, uint64_t high, uint64_t low, _RunWriter out) except -1 nogil:
    cdef uint32_t kind = cell >> 30, size = (cell >> 26) & 15, count, bits, at, slot
    cdef const uint32_t *node = cells + (cell & BASE_MASK)
    cdef const uint16_t *keys = <const uint16_t *>node
    cdef int64_t previous = -1
    cdef uint64_t start_high, start_low, piece
    if kind == 0:
        return out.put(high, low, cell)
    bits = size + 1 if kind == DENSE else _key_bits(depth)
    count = <uint32_t>1 << bits if kind == DENSE else <uint32_t>1 << size
    for at in range(count):
        if kind == DENSE:
            slot = at
        else:
            slot = keys[at] >> (16 - bits)
            if slot == previous:  # a key that only fills the node up
                continue
            previous = slot
        piece = <uint64_t>slot << (64 - (depth & 63) - bits)
        start_high = high | piece if depth < 64 else high
        start_low = low if depth < 64 else low | piece
        if kind == DENSE:
            _descend(cells, node[at], depth + bits, start_high, start_low, out)
        elif kind == NARROW:
            out.put(start_high, start_low, keys[count + at])
        else:
            _descend(cells, node[count // 2 + at], depth + bits, start_high, start_low, out)
    return 0


cdef class Answers:
    """One ready object for each class of a table: what a lookup returns. See the twin."""

    cdef Table table
    cdef tuple objects
    cdef object missed
    cdef bytes marks
    cdef const uint8_t *looked_through

    def __cinit__(self, Table table not None, objects, missed, bytes looked_through not None):
        self.objects = tuple(objects)
        if not (len(self.objects) == len(looked_through) == table.classes):
            raise ValueError("there must be one answer for each class")
        self.table = table
        self.missed = missed
        self.marks = looked_through
        self.looked_through = self.marks

    def at(self, text):
        """Return the answer for an address in text."""
        cdef uint64_t high = 0, low = 0
        cdef uint32_t inner, found
        cdef int version = _parse_any(text, &high, &low)
        if version == 4:
            found = self.table.find_hot(<uint32_t>low)
        elif version == 6:
            found = self.table.find_hot_ipv6(high, low)
            if self.looked_through[found] and _embedded_ipv4(high, low, &inner):
                found = self.table.find_ipv4(inner)
        else:
            return self.missed
        return self.objects[found]


cdef struct Claim:
    uint32_t cell  # kind, size and base; 0: no node begins here
    uint8_t width
    uint8_t depth


cdef uint32_t _node_cells(uint32_t cell) noexcept nogil:
    cdef uint32_t kind = cell >> 30, size = (cell >> 26) & 15
    if kind == DENSE:
        return <uint32_t>2 << size
    if kind == NARROW:
        return <uint32_t>1 << size
    return <uint32_t>3 << size >> 1


cdef int _expect(Claim *claims, uint32_t cell, uint32_t width, uint32_t depth, uint64_t limit, uint32_t classes) noexcept nogil:
    """Check a cell and note the node it names. Return 0, or the number of what is wrong."""
    cdef uint32_t kind = cell >> 30, size = (cell >> 26) & 15, base = cell & BASE_MASK
    if kind == 0:
        return 1 if cell >= classes else 0
    if depth >= width or (kind == DENSE and (depth & 63) + size + 1 > (width if width < 64 else 64)):
        return 2
    if kind != DENSE and not 2 <= size <= 4:
        return 3
    if <uint64_t>base + _node_cells(cell) > limit:
        return 4
    if claims[base].cell == 0:
        claims[base].cell = cell
        claims[base].width = <uint8_t>width
        claims[base].depth = <uint8_t>depth
    elif claims[base].cell != cell or claims[base].width != width or claims[base].depth != depth:
        return 5
    return 0


cdef int _prove_node(Claim *claims, const uint32_t *cells, uint32_t base, uint32_t classes) noexcept nogil:
    cdef Claim node = claims[base]
    cdef uint32_t kind = node.cell >> 30, size = (node.cell >> 26) & 15, count, i
    cdef const uint16_t *keys = <const uint16_t *>(cells + base)
    cdef int wrong
    if kind == DENSE:
        for i in range(<uint32_t>2 << size):
            wrong = _expect(claims, cells[base + i], node.width, node.depth + size + 1, base, classes)
            if wrong:
                return wrong
        return 0
    count = <uint32_t>1 << size
    if keys[0] != 0:
        return 6
    for i in range(1, count):
        if keys[i] < keys[i - 1]:
            return 6
    for i in range(count):
        if kind == NARROW:
            if keys[count + i] >= classes:
                return 1
        else:
            wrong = _expect(
                claims, cells[base + count // 2 + i], node.width, node.depth + _key_bits(node.depth), base, classes
            )
            if wrong:
                return wrong
    return 0


_WRONG = {
    1: "a class above the last one",
    2: "node is deeper than an address",
    3: "a node of an impossible size",
    4: "node does not lie before the one that names it",
    5: "a node is claimed twice",
    6: "keys are not in order",
    7: "nodes overlap",
}


cdef int _prove(const uint32_t[::1] view, uint32_t root4, uint32_t root6, uint32_t classes) except -1:
    """Prove every bound; see the twin's docstring. Claims are met from the last cell down."""
    cdef uint32_t total = <uint32_t>view.shape[0], base = total, limit = total
    cdef uint32_t root = <uint32_t>DENSE << 30 | (ROOT_BITS - 1) << 26
    cdef int wrong = 0
    cdef Claim *claims = <Claim *>calloc(<size_t>total + 1, sizeof(Claim))
    if claims == NULL:
        raise MemoryError
    try:
        with nogil:
            wrong = _expect(claims, root | root4, 32, 0, total, classes)
            if not wrong:
                wrong = _expect(claims, root | root6, 128, 0, total, classes)
            while base and not wrong:
                base -= 1
                if claims[base].cell == 0:
                    continue
                if base + _node_cells(claims[base].cell) > limit:
                    wrong = 7
                    break
                limit = base
                wrong = _prove_node(claims, &view[0], base, classes)
    finally:
        free(claims)
    if wrong:
        raise ValueError(f"cell {base}: {_WRONG[wrong]}")
    return 0
