# The search tree of an MMDB file. The twin of _tree.py, where the form and the rules are told.

cdef enum:
    SEPARATOR = 16


cdef struct Branch:
    uint64_t node
    uint64_t high
    uint64_t low
    uint32_t depth


cdef class _Leaves:
    """What a walk of a tree finds: records to number, or ranges to gather."""

    cdef _PairIds numbers
    cdef const uint32_t *labels  # NULL: number the records
    cdef _Growing found
    cdef Range held
    cdef uint32_t label  # of the range that is held; 0: none is
    cdef uint64_t networks

    cdef inline int put(self, const Branch *at) except -1 nogil:
        cdef uint64_t key = at.node, rest_high, rest_low
        cdef uint32_t label
        self.networks += 1
        if self.networks > <uint64_t>0xFFFFFFFF:
            with gil:
                raise ValueError("its tree has more than 2**32 - 1 networks")
        if self.labels == NULL:
            self.numbers.id_of(key)
            return 0
        label = self.labels[self.numbers.slots[self.numbers.find(key)] - 1]
        rest_high = ~<uint64_t>0 >> at.depth if at.depth < 64 else 0
        rest_low = ~<uint64_t>0 >> (at.depth - 64) if 64 <= at.depth < 128 else 0 if at.depth == 128 else ~<uint64_t>0
        if self.label:
            if (
                label == self.label
                and at.low == self.held.last_low + 1
                and at.high == self.held.last_high + (1 if self.held.last_low == ~<uint64_t>0 else 0)
            ):
                self.held.last_high = at.high | rest_high
                self.held.last_low = at.low | rest_low
                return 0
            self.close()
        self.label = label
        if label:
            self.held.first_high = at.high
            self.held.first_low = at.low
            self.held.last_high = at.high | rest_high
            self.held.last_low = at.low | rest_low
            self.held.value = label - 1
            self.held.line = <uint32_t>self.networks
        return 0

    cdef inline int close(self) except -1 nogil:
        """Keep the range that is held."""
        if self.label:
            self.found.add(&self.held)
            self.label = 0
        return 0


cdef class Tree:
    """A search tree at the beginning of some bytes; see the twin."""

    cdef bytes _data
    cdef const uint8_t *bytes_at
    cdef uint64_t length
    cdef uint64_t nodes
    cdef uint32_t bits
    cdef int version
    cdef _PairIds numbers
    cdef readonly uint64_t networks
    cdef readonly uint64_t data_at

    def __init__(self, bytes data not None, nodes, record_size, ip_version):
        if record_size not in (24, 28, 32) or ip_version not in (4, 6):
            raise ValueError(f"records of {record_size} bits for IPv{ip_version}")
        if nodes < 0 or nodes * (record_size // 4) + SEPARATOR > len(data):
            raise ValueError(f"a tree of {nodes} nodes in {len(data)} bytes")
        self._data = data
        self.bytes_at = data
        self.length = len(data)
        self.nodes = nodes
        self.bits = record_size
        self.version = ip_version
        self.numbers = _PairIds()
        self.networks = 0
        self.data_at = self.nodes * (self.bits // 4) + SEPARATOR

    def records(self):
        """Where each record lies; see the twin."""
        cdef _Leaves leaves = _Leaves()
        cdef uint64_t[::1] view
        cdef uint32_t i
        leaves.labels = NULL
        leaves.numbers = _PairIds()
        with nogil:
            self.walk(leaves, leaves)
        self.numbers = leaves.numbers
        self.networks = leaves.networks
        found = _zeros_of("Q", self.numbers.count)
        view = found
        with nogil:
            for i in range(self.numbers.count):
                view[i] = self.numbers.keys[i] - self.nodes + self.data_at - SEPARATOR
        return found

    def ranges(self, labels):
        """The ranges whose record has a label that is not 0; see the twin."""
        cdef const uint32_t[::1] view = array("I", labels)
        cdef _Leaves ipv4 = _Leaves(), ipv6 = _Leaves()
        if view.shape[0] != self.numbers.count:
            raise ValueError(f"{view.shape[0]} labels for {self.numbers.count} records")
        ipv4.found = _Growing()
        ipv6.found = _Growing()
        if self.numbers.count:
            ipv4.labels = ipv6.labels = &view[0]
            ipv4.numbers = ipv6.numbers = self.numbers
            with nogil:
                self.walk(ipv4, ipv6)
        return ipv4.found.columns(), ipv6.found.columns()

    cdef int walk(self, _Leaves ipv4, _Leaves ipv6) except -1 nogil:
        cdef uint64_t node = 0, right
        cdef uint32_t depth = 0
        if self.version == 4:
            self.below(0, 32, ipv4)
            return 0
        while depth < 96 and node < self.nodes:
            self.children(node, &node, &right)
            depth += 1
        self.below(node, 32, ipv4)
        ipv6.networks = ipv4.networks  # networks are numbered through both
        self.below(0, 128, ipv6)
        return 0

    cdef int below(self, uint64_t root, uint32_t width, _Leaves leaves) except -1 nogil:
        cdef Branch todo[130]  # one for each bit, and one
        cdef Branch at
        cdef uint32_t count = 1
        cdef uint64_t visits = 4 * self.nodes + 1000, left, right
        memset(todo, 0, sizeof(Branch))
        todo[0].node = root
        while count:
            count -= 1
            at = todo[count]
            if at.node == self.nodes or (width == 128 and _not_ipv6(&at)):
                continue
            if at.node > self.nodes:
                right = at.node - self.nodes
                if right < SEPARATOR or self.data_at + right - SEPARATOR >= self.length:
                    with gil:
                        raise ValueError("its tree leads out of the data")
                leaves.put(&at)
                continue
            if at.depth == width or visits == 0:
                with gil:
                    raise ValueError("its tree leads back to itself")
            visits -= 1
            self.children(at.node, &left, &right)
            todo[count] = at
            todo[count].node = right
            if at.depth < 64:
                todo[count].high |= <uint64_t>1 << (63 - at.depth)
            else:
                todo[count].low |= <uint64_t>1 << (127 - at.depth)
            todo[count].depth += 1
            todo[count + 1] = at
            todo[count + 1].node = left
            todo[count + 1].depth += 1
            count += 2
        return leaves.close()

    cdef inline void children(self, uint64_t node, uint64_t *left, uint64_t *right) noexcept nogil:
        cdef const uint8_t *at = self.bytes_at + node * (self.bits // 4)
        if self.bits == 24:
            left[0] = <uint64_t>at[0] << 16 | <uint64_t>at[1] << 8 | at[2]
            right[0] = <uint64_t>at[3] << 16 | <uint64_t>at[4] << 8 | at[5]
        elif self.bits == 28:
            left[0] = <uint64_t>(at[3] >> 4) << 24 | <uint64_t>at[0] << 16 | <uint64_t>at[1] << 8 | at[2]
            right[0] = <uint64_t>(at[3] & 15) << 24 | <uint64_t>at[4] << 16 | <uint64_t>at[5] << 8 | at[6]
        else:
            left[0] = <uint64_t>at[0] << 24 | <uint64_t>at[1] << 16 | <uint64_t>at[2] << 8 | at[3]
            right[0] = <uint64_t>at[4] << 24 | <uint64_t>at[5] << 16 | <uint64_t>at[6] << 8 | at[7]


cdef inline bint _not_ipv6(const Branch *at) noexcept nogil:
    """Is this where IPv4 addresses lie, or an alias of them? The twin names these prefixes."""
    if at.depth == 16:
        return at.high == <uint64_t>0x2002 << 48
    if at.depth == 32:
        return at.high == <uint64_t>0x20010000 << 32
    if at.depth == 96:
        if at.high == 0:
            return at.low == 0 or at.low == <uint64_t>0xFFFF << 32
        return at.high == <uint64_t>0x64FF9B << 32 and at.low == 0
    return False
