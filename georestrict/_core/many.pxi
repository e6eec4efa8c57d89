# Looking up many addresses at once. The twin of _many.py, where the forms are told.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer

cdef extern from *:
    """
    #include <stdint.h>
    #ifndef ARROW_C_DATA_INTERFACE  /* the ABI that the Apache Arrow project defines */
    #define ARROW_C_DATA_INTERFACE
    struct ArrowSchema {
        const char *format, *name, *metadata;
        int64_t flags, n_children;
        struct ArrowSchema **children, *dictionary;
        void (*release)(struct ArrowSchema *);
        void *private_data;
    };
    struct ArrowArray {
        int64_t length, null_count, offset, n_buffers, n_children;
        const void **buffers;
        struct ArrowArray **children, *dictionary;
        void (*release)(struct ArrowArray *);
        void *private_data;
    };
    #endif
    #ifndef ARROW_C_STREAM_INTERFACE
    #define ARROW_C_STREAM_INTERFACE
    struct ArrowArrayStream {
        int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
        int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
        const char *(*get_last_error)(struct ArrowArrayStream *);
        void (*release)(struct ArrowArrayStream *);
        void *private_data;
    };
    #endif
    """
    cdef struct ArrowSchema:
        const char *format
        ArrowSchema *dictionary
        void (*release)(ArrowSchema *)

    cdef struct ArrowArray:
        int64_t length
        int64_t offset
        int64_t n_buffers
        const void **buffers
        ArrowArray *dictionary
        void (*release)(ArrowArray *)

    cdef struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream *, ArrowSchema *)
        int (*get_next)(ArrowArrayStream *, ArrowArray *)
        const char *(*get_last_error)(ArrowArrayStream *)
        void (*release)(ArrowArrayStream *)

cdef enum:
    MANY_CARRIES = 1
    MANY_PRIVATE = 2
    MANY_VIAS = 4
    BLOCK = 1024


cdef struct Text:
    const unsigned char *start
    Py_ssize_t length


cdef class _Finder:
    """A table with what its classes mean to a lookup, and the answers so far."""

    cdef Table table
    cdef bytes held_marks
    cdef const uint8_t *marks
    cdef object found

    def __cinit__(self, Table table not None, bytes marks not None):
        if len(marks) != table.classes:
            raise ValueError("there must be one mark for each class")
        self.table = table
        self.held_marks = marks
        self.marks = self.held_marks
        self.found = array("I")

    cdef inline uint32_t nowhere(self) noexcept nogil:
        return MANY_VIAS * self.table.classes

    cdef inline uint32_t ipv6(self, uint64_t high, uint64_t low) noexcept nogil:
        cdef uint32_t outer = self.table.find_ipv6(high, low), inner, carried, via
        if not self.marks[outer] & MANY_CARRIES or not _embedded_ipv4(high, low, &carried):
            return outer
        inner = self.table.find_ipv4(carried)
        if self.marks[inner] & MANY_PRIVATE:
            return outer
        via = 1 if high >> 48 == 0x2002 else 2 if high >> 32 == 0x20010000 else 3
        return inner + via * self.table.classes

    cdef inline uint32_t text(self, const unsigned char *start, Py_ssize_t length) noexcept nogil:
        cdef uint64_t high = 0, low = 0
        cdef int version = _parse(start, length, &high, &low)
        if version == 4:
            return self.table.find_ipv4(<uint32_t>low)
        return self.nowhere() if version == 0 else self.ipv6(high, low)

    cdef inline uint32_t packed(self, const unsigned char *start, Py_ssize_t length) noexcept nogil:
        cdef uint64_t high = 0, low = 0
        cdef Py_ssize_t i
        for i in range(length):
            high = (high << 8) | (low >> 56)
            low = (low << 8) | start[i]
        if length == 4 or (high == 0 and low >> 32 == 0xFFFF):
            return self.table.find_ipv4(<uint32_t>low)
        return self.ipv6(high, low)

    cdef object room(self, Py_ssize_t count):
        return array("I", bytes(4 * count))

    # --- a sequence of str

    cdef int texts(self, tuple addresses) except -1:
        """Block by block: note where the text lies, then look it up while it is in the caches."""
        cdef Py_ssize_t count = len(addresses), begin, size, i
        cdef Text block[BLOCK]
        room = self.room(count)
        cdef uint32_t[::1] out = room
        for begin in range(0, count, BLOCK):
            size = BLOCK if count - begin > BLOCK else count - begin
            copies = []
            for i in range(size):
                address = <object>PyTuple_GET_ITEM(addresses, begin + i)
                if not PyUnicode_CheckExact(address):
                    if not PyUnicode_Check(address):
                        raise TypeError(f"address {begin + i} is {type(address).__name__}, must be str")
                    address = PyUnicode_FromObject(address)
                    copies.append(address)
                block[i].length = 0
                if PyUnicode_IS_COMPACT_ASCII(address):
                    block[i].start = _text_of(address)
                    block[i].length = PyUnicode_GET_LENGTH(address)
            with nogil:
                for i in range(size):
                    out[begin + i] = self.text(block[i].start, block[i].length)
        self.found.extend(room)
        return 0

    # --- a buffer

    cdef int buffer(self, object view, Py_ssize_t count, int kind, Py_ssize_t width) except -1:
        cdef Py_buffer held
        room = self.room(count)
        cdef uint32_t[::1] out = room
        PyObject_GetBuffer(view, &held, PyBUF_SIMPLE)
        try:
            if held.len < count * width:
                raise ValueError("the buffer is shorter than it says")
            with nogil:
                self.items(<const unsigned char *>held.buf, count, kind, width, out)
        finally:
            PyBuffer_Release(&held)
        self.found.extend(room)
        return 0

    cdef void items(self, const unsigned char *start, Py_ssize_t count, int kind, Py_ssize_t width, uint32_t[::1] out) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(count):
            if kind == NUMBERS:
                out[i] = self.table.find_ipv4((<const uint32_t *>(start + i * width))[0])
            elif kind == PACKED:
                out[i] = self.packed(start + i * width, width)
            elif kind == TEXT_BYTES:
                out[i] = self.text(start + i * width, _filled(start + i * width, width))
            else:
                out[i] = self.wide_text(<const uint32_t *>(start + i * width), width // 4)

    cdef uint32_t wide_text(self, const uint32_t *start, Py_ssize_t length) noexcept nogil:
        """Text of four-byte characters, as NumPy keeps it."""
        cdef unsigned char text[64]
        cdef Py_ssize_t i
        while length and start[length - 1] == 0:
            length -= 1
        if length > 64:
            return self.nowhere()
        for i in range(length):
            if start[i] > 127:
                return self.nowhere()
            text[i] = <unsigned char>start[i]
        return self.text(text, length)

    # --- Arrow

    cdef int arrow(self, ArrowSchema *schema, ArrowArray *chunk) except -1:
        cdef Py_ssize_t i
        cdef bytes format_ = schema.format
        cdef const uint8_t *valid = NULL
        cdef int64_t place
        if schema.dictionary != NULL:
            return self.arrow_dictionary(schema, chunk)
        if format_ == b"n":  # nulls only
            self.found.extend(array("I", [self.nowhere()]) * chunk.length)
            return 0
        if format_ not in _ARROW_FORMATS:
            raise TypeError(
                f"an Arrow column of format {format_.decode()!r}; text, uint32 (IPv4), "
                "and binary of 4 or 16 bytes a value can be looked up"
            )
        room = self.room(chunk.length)
        cdef uint32_t[::1] out = room
        if chunk.length == 0:
            return 0
        valid = <const uint8_t *>chunk.buffers[0]
        cdef int kind = _ARROW_FORMATS[format_]
        with nogil:
            for i in range(chunk.length):
                place = chunk.offset + i
                if valid != NULL and not (valid[place >> 3] >> (place & 7)) & 1:
                    out[i] = self.nowhere()
                else:
                    out[i] = self.arrow_item(chunk, kind, place)
        self.found.extend(room)
        return 0

    cdef uint32_t arrow_item(self, ArrowArray *chunk, int kind, int64_t at) noexcept nogil:
        cdef const int32_t *offsets
        cdef const int64_t *wide
        cdef const int32_t *view
        cdef const unsigned char *data
        cdef const unsigned char *bytes_ = <const unsigned char *>chunk.buffers[1]
        if kind == NUMBERS:
            return self.table.find_ipv4((<const uint32_t *>bytes_)[at])
        if kind == PACKED:
            return self.packed(bytes_ + 16 * at, 16)
        if kind == PACKED_IPV4:
            return self.packed(bytes_ + 4 * at, 4)
        if kind == VIEWS:
            view = <const int32_t *>(bytes_ + 16 * at)
            if view[0] <= 12:
                return self.text(<const unsigned char *>(view + 1), view[0])
            data = <const unsigned char *>chunk.buffers[2 + view[2]]
            return self.text(data + view[3], view[0])
        data = <const unsigned char *>chunk.buffers[2]
        if kind == LARGE_TEXT:
            wide = <const int64_t *>bytes_
            return self.text(data + wide[at], wide[at + 1] - wide[at])
        offsets = <const int32_t *>bytes_
        return self.text(data + offsets[at], offsets[at + 1] - offsets[at])

    cdef int arrow_dictionary(self, ArrowSchema *schema, ArrowArray *chunk) except -1:
        """Look every value up once, then tell where each index points."""
        cdef _Finder values = _Finder(self.table, self.held_marks)
        cdef Py_ssize_t i, at, known
        cdef const uint8_t *valid
        cdef const uint32_t[::1] answers
        cdef int64_t place
        cdef bytes format_ = schema.format
        values.arrow(schema.dictionary, chunk.dictionary)
        room = self.room(chunk.length)
        cdef uint32_t[::1] out = room
        if chunk.length == 0:
            return 0
        known = len(values.found)
        answers = values.found if known else array("I", [self.nowhere()])
        valid = <const uint8_t *>chunk.buffers[0]
        cdef int width = _ARROW_INDICES[format_]
        with nogil:
            for i in range(chunk.length):
                place = chunk.offset + i
                at = -1
                if valid == NULL or (valid[place >> 3] >> (place & 7)) & 1:
                    at = _index_at(chunk.buffers[1], width, place)
                out[i] = answers[at] if 0 <= at < known else self.nowhere()
        self.found.extend(room)
        return 0

    cdef int arrow_stream(self, ArrowArrayStream *stream) except -1:
        cdef ArrowSchema schema
        cdef ArrowArray chunk
        memset(&schema, 0, sizeof(schema))
        if stream.get_schema(stream, &schema) != 0:
            raise ValueError(f"the Arrow stream failed: {_stream_error(stream)}")
        try:
            while True:
                memset(&chunk, 0, sizeof(chunk))
                if stream.get_next(stream, &chunk) != 0:
                    raise ValueError(f"the Arrow stream failed: {_stream_error(stream)}")
                if chunk.release == NULL:
                    return 0
                try:
                    self.arrow(&schema, &chunk)
                finally:
                    chunk.release(&chunk)
        finally:
            schema.release(&schema)


cdef enum:
    TEXT_BYTES = 0
    TEXT_WIDE = 1
    NUMBERS = 2
    PACKED = 3
    PACKED_IPV4 = 4
    VIEWS = 5
    LARGE_TEXT = 6
    SMALL_TEXT = 7

_ARROW_FORMATS = {
    b"u": SMALL_TEXT, b"U": LARGE_TEXT, b"vu": VIEWS, b"I": NUMBERS, b"w:4": PACKED_IPV4, b"w:16": PACKED,
}
_ARROW_INDICES = {b"c": -1, b"C": 1, b"s": -2, b"S": 2, b"i": -4, b"I": 4, b"l": -8, b"L": 8}


cdef inline Py_ssize_t _filled(const unsigned char *start, Py_ssize_t length) noexcept nogil:
    """The length of text that NULs fill up."""
    while length and start[length - 1] == 0:
        length -= 1
    return length


cdef inline Py_ssize_t _index_at(const void *indices, int width, int64_t at) noexcept nogil:
    """An index of a width in bytes, negative if it is signed."""
    if width == 4 or width == -4:
        return (<const int32_t *>indices)[at] if width < 0 else (<const uint32_t *>indices)[at]
    if width == 1 or width == -1:
        return (<const signed char *>indices)[at] if width < 0 else (<const uint8_t *>indices)[at]
    if width == 2 or width == -2:
        return (<const short *>indices)[at] if width < 0 else (<const uint16_t *>indices)[at]
    return (<const int64_t *>indices)[at]


cdef object _stream_error(ArrowArrayStream *stream):
    cdef const char *said = stream.get_last_error(stream)
    return "no reason given" if said == NULL else said.decode("utf-8", "replace")


def find_many(table, marks, addresses):
    """Return the place of each address's answer; see the twin."""
    cdef _Finder finder = _Finder(table, marks)
    cdef ArrowArrayStream *stream
    cdef ArrowSchema *schema
    cdef ArrowArray *chunk
    if hasattr(addresses, "__arrow_c_stream__"):
        capsule = addresses.__arrow_c_stream__()
        stream = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, b"arrow_array_stream")
        if stream.release == NULL:
            raise ValueError("the Arrow stream was consumed already")
        finder.arrow_stream(stream)
        return finder.found
    if hasattr(addresses, "__arrow_c_array__"):
        described, held = addresses.__arrow_c_array__()
        schema = <ArrowSchema *>PyCapsule_GetPointer(described, b"arrow_schema")
        chunk = <ArrowArray *>PyCapsule_GetPointer(held, b"arrow_array")
        if schema.release == NULL or chunk.release == NULL:
            raise ValueError("the Arrow array was consumed already")
        finder.arrow(schema, chunk)
        return finder.found
    form = buffer_form(addresses)
    if form is None:
        finder.texts(sequence(addresses))
    else:
        view, count, kind, width = form
        finder.buffer(view, count, kind, width)
    return finder.found
