"""Lets gdb know the artifacts that a process has mapped, and what pointers of a guest point to.

    (gdb) source cwasm.py
    (gdb) cwasm                     adds the artifacts that are mapped now
    (gdb) cwasm run                 starts the program, and stops when it has mapped an artifact
    (gdb) print $guest(p)           what the pointer p of the guest points to
    (gdb) print $guest(p, 10)       ten of them
    (gdb) x/16xb $guest_address(p)  the same place as an address of the process

Artifacts must have been compiled with --dwarf. With --debug=split, the file beside the artifact is
read.

Pointers of a guest are offsets in the memory of its instance: that of the selected frame, or of the
nearest one outwards that is the guest's. Strings of C and Rust, slices and vectors of Rust, and
what references of C++ refer to, are shown with their contents.
"""

import os

import gdb

ADDED = set()
# The mappings of processes while they stand still.
MAPS = {}


def maps():
    """The mappings of the process: start, end, rights, and offset and path of what is mapped."""
    pid = gdb.selected_inferior().pid
    if pid not in MAPS:
        MAPS[pid] = list(read_maps(pid))
    return MAPS[pid]


def read_maps(pid):
    if pid == 0:
        return
    try:
        with open(f"/proc/{pid}/maps", "rb") as lines:
            lines = lines.read().splitlines()
    except OSError:
        # It is in a core file, or on another machine.
        return
    for line in lines:
        fields = line.split(b" ", 5)
        start, end = (int(place, 16) for place in fields[0].split(b"-"))
        path = os.fsdecode(fields[5].strip()) if len(fields) > 5 else ""
        yield start, end, fields[1].decode(), (int(fields[2], 16), path)


def artifacts():
    """The start and path of each artifact that is mapped."""
    for start, _, _, (offset, path) in maps():
        if path.endswith(".cwasm") and offset == 0:
            yield start, path


def add():
    """Adds those that are new: how many."""
    count = 0
    for start, path in artifacts():
        if (start, path) in ADDED:
            continue
        ADDED.add((start, path))
        beside = path + ".debug"
        symbols = beside if os.path.exists(beside) else path
        quoted = symbols.replace("\\", "\\\\").replace('"', '\\"')
        gdb.execute(f'add-symbol-file "{quoted}" -o {start:#x}', to_string=True)
        gdb.write(f"cwasm: {path} at {start:#x}\n")
        count += 1
    return count


class Cwasm(gdb.Command):
    """Adds the symbols of artifacts: `cwasm`, or `cwasm run` to start the program first."""

    def __init__(self):
        super().__init__("cwasm", gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        if argument.strip() == "run":
            start()
        elif argument.strip():
            raise gdb.GdbError("expected `cwasm` or `cwasm run`")
        elif add() == 0:
            gdb.write("cwasm: no artifact is mapped that is not known yet\n")


def start():
    """Runs until an artifact is mapped: its text is made executable then."""
    ADDED.clear()
    gdb.execute("starti", to_string=True)
    gdb.execute("catch syscall mprotect", to_string=True)
    number = gdb.parse_and_eval("$bpnum")
    try:
        while gdb.selected_inferior().pid != 0:
            gdb.execute("continue", to_string=True)
            if gdb.selected_inferior().pid != 0 and add():
                return
    finally:
        gdb.execute(f"delete {number}", to_string=True)
    gdb.write("cwasm: the program has ended, and mapped no artifact\n")


# Offsets in a guest's memory have as many bytes, and addresses of the process more: this is how
# pointers are told apart.
POINTER_SIZE = 4
# The variable that is the first byte of the memory of the guest whose frame is selected.
MEMORY = "__cwasm_memory"
REFERENCES = (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF)
# Elements of a slice that are read at most, if gdb itself has no limit.
MAX_ELEMENTS = 1 << 16


def memory():
    """The address of the guest's memory."""
    try:
        frame = gdb.selected_frame()
    except gdb.error:
        raise gdb.GdbError("no frame is selected") from None
    while frame is not None and frame.is_valid():
        try:
            symbol, _ = gdb.lookup_symbol(MEMORY, frame.block())
            value = symbol.value(frame) if symbol is not None else None
            if value is not None and not value.is_optimized_out:
                return int(value.address)
        except (RuntimeError, gdb.error):
            # Code without debug information, or in which the place of the memory is not known.
            pass
        frame = frame.older()
    raise gdb.GdbError("neither this frame nor one that called it is that of a guest")


def end_of(start):
    """Where the memory ends that starts there: what comes after its pages cannot be written. None
    where that is not known, as in a core file."""
    end = None
    for first, last, rights, _ in maps():
        if first <= start < last or first == end:
            end = last if rights.startswith("rw") else end
    return end


def address(offset, size):
    """The address in the process of so many bytes of the guest's memory."""
    start = memory()
    end = end_of(start)
    if end is not None and start + offset + size > end:
        raise gdb.GdbError(
            f"{offset:#x} is outside of the guest's memory of {end - start:#x} bytes; what & makes"
            " of a variable is an address of the process, cut to the size of the guest's"
        )
    return start + offset


def read(offset, kind, count=None):
    """The value of a type that is in the guest's memory, or an array of so many of them."""
    if count is not None:
        if count < 1:
            raise gdb.GdbError(f"expected a count of 1 or more, found {count}")
        kind = kind.array(count - 1)
    size = kind.sizeof
    if size == 0:
        raise gdb.GdbError(f"{kind} has no size: cast the pointer to one of another type")
    data = gdb.selected_inferior().read_memory(address(offset, size), size)
    return gdb.Value(data.tobytes(), kind)


def target(pointer):
    """The type that a pointer or reference points to, and the offset that it is."""
    kind = pointer.type.strip_typedefs()
    if kind.code in REFERENCES:
        pointer = pointer.address
    elif kind.code != gdb.TYPE_CODE_PTR:
        raise gdb.GdbError(f"expected a pointer, found a value of type {pointer.type}")
    return kind.target(), offset_of(pointer)


def offset_of(pointer):
    return int(pointer) & (1 << 8 * pointer.type.sizeof) - 1


class Guest(gdb.Function):
    """What a pointer of the guest points to: $guest(p), or $guest(p, count) for an array."""

    def __init__(self):
        super().__init__("guest")

    def invoke(self, pointer, count=None):
        kind, offset = target(pointer)
        return read(offset, kind, None if count is None else int(count))


class GuestAddress(gdb.Function):
    """The address in the process of what a pointer, or an offset, of the guest points to."""

    def __init__(self):
        super().__init__("guest_address")

    def invoke(self, pointer):
        kind = pointer.type.strip_typedefs()
        offset = int(pointer) if kind.code == gdb.TYPE_CODE_INT else target(pointer)[1]
        return gdb.Value(address(offset, 1))


def limit():
    """Elements and characters that gdb prints."""
    return gdb.parameter("print elements") or MAX_ELEMENTS


def is_pointer(kind):
    return kind.code == gdb.TYPE_CODE_PTR and kind.sizeof == POINTER_SIZE


def text_at(offset, length):
    """The text there, in quotes, as far as gdb prints texts; up to a zero if no length is given."""
    count = limit() if length is None else min(length, limit())
    start, data = address(offset, length or 1), b""
    # In small parts: the end of the memory may be near.
    while len(data) < count and (length is not None or b"\0" not in data):
        part = min(count - len(data), 64 - (offset + len(data)) % 64)
        data += gdb.selected_inferior().read_memory(start + len(data), part).tobytes()
    if length is None:
        data, *rest = data.split(b"\0", 1)
        is_whole = bool(rest)
    else:
        is_whole = length <= count
    return quoted(data) + ("" if is_whole else "...")


def quoted(data):
    """A guest's text in quotes, without what a terminal would take for a command."""
    text = data.decode("utf-8", "surrogateescape")
    return '"' + "".join(map(escaped, text)) + '"'


def escaped(char):
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    # Bytes that are no text have become surrogates.
    byte = ord(char) - 0xDC00
    return f"\\x{byte:02x}" if 0x80 <= byte < 0x100 else char.encode("unicode_escape").decode()


class CString:
    """A pointer to characters that end with a zero."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        offset = offset_of(self.value)
        if offset == 0:
            return "0x0"
        try:
            return f"{offset:#x} {text_at(offset, None)}"
        except (gdb.GdbError, gdb.MemoryError):
            return f"{offset:#x}"


class Text:
    """A string of Rust: where it is, and its bytes."""

    def __init__(self, pointer, length):
        self.offset, self.length = offset_of(pointer), int(length)

    def to_string(self):
        return text_at(self.offset, self.length)


class Elements:
    """A slice or vector of Rust."""

    def __init__(self, value, kind, pointer, length):
        self.name, self.kind = value.type.name, kind
        self.offset, self.length = offset_of(pointer), int(length)

    def to_string(self):
        return f"{self.name} of {self.length}"

    def children(self):
        size = self.kind.sizeof
        # One more than gdb prints, so that it says that there are more.
        for index in range(min(self.length, limit() + 1)):
            yield f"[{index}]", read(self.offset + index * size, self.kind)

    def display_hint(self):
        return "array"


class Reference:
    """A reference of C++: what it refers to, unless that is part of what another refers to: they
    may go in circles."""

    nesting = 0

    def __init__(self, value):
        self.kind, self.offset = target(value)

    def to_string(self):
        if Reference.nesting > 0:
            return f"@{self.offset:#x}"
        Reference.nesting += 1
        try:
            return read(self.offset, self.kind).format_string()
        finally:
            Reference.nesting -= 1


def pointer_in(value):
    """The first pointer in a struct: the standard library has it some structs deep."""
    kind = value.type.strip_typedefs()
    if is_pointer(kind):
        return value
    if kind.code != gdb.TYPE_CODE_STRUCT:
        return None
    for field in kind.fields():
        found = pointer_in(value[field]) if not field.artificial else None
        if found is not None:
            return found
    return None


def printer(value):
    """What prints a value of the guest's; None for all that gdb prints well itself."""
    try:
        found = printer_of(value, value.type.strip_typedefs())
        # Raises where no guest is: it has no values then.
        return found if found is None or memory() else None
    except (gdb.error, gdb.GdbError, KeyError):
        # Values that are not there.
        return None


def printer_of(value, kind):
    if is_pointer(kind):
        pointee = kind.target().unqualified().strip_typedefs()
        # Characters of Rust have four bytes, and its bytes are no strings.
        is_char = pointee.sizeof == 1 and (pointee.name or "").endswith("char")
        return CString(value) if is_char else None
    if kind.code in REFERENCES and kind.sizeof == POINTER_SIZE:
        return Reference(value)
    if kind.code == gdb.TYPE_CODE_STRUCT and kind.name:
        return rust(value, kind)
    return None


def rust(value, kind):
    names = [field.name for field in kind.fields()]
    if names == ["data_ptr", "length"] and is_pointer(value["data_ptr"].type):
        pointer, length = value["data_ptr"], value["length"]
        if kind.name.endswith("str") or kind.name.endswith("str>"):
            return Text(pointer, length)
        return Elements(value, pointer.type.target(), pointer, length)
    if kind.name == "alloc::string::String":
        bytes_of = value["vec"]
        pointer = pointer_in(bytes_of["buf"])
        return Text(pointer, bytes_of["len"]) if pointer is not None else None
    if kind.name.startswith("alloc::vec::Vec<"):
        pointer = pointer_in(value["buf"])
        if pointer is not None:
            return Elements(value, kind.template_argument(0), pointer, value["len"])
    return None


gdb.events.cont.connect(lambda _: MAPS.clear())
Cwasm()
Guest()
GuestAddress()
gdb.pretty_printers.append(printer)
