"""Lets gdb know the artifacts that a process has mapped.

    (gdb) source cwasm.py
    (gdb) cwasm             adds the artifacts that are mapped now
    (gdb) cwasm run         starts the program, and stops when it has mapped an artifact

Artifacts must have been compiled with --dwarf. With --debug=split, the file beside the artifact is
read.
"""

import os
import gdb

ADDED = set()


def artifacts():
    """The start and path of each artifact that is mapped."""
    pid = gdb.selected_inferior().pid
    if pid == 0:
        return
    with open(f"/proc/{pid}/maps", "rb") as maps:
        for line in maps:
            fields = line.rstrip(b"\n").split(b" ", 5)
            path = os.fsdecode(fields[5].strip()) if len(fields) > 5 else ""
            if path.endswith(".cwasm") and int(fields[2], 16) == 0:
                yield int(fields[0].split(b"-")[0], 16), path


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
    catchpoint = gdb.breakpoints()[-1] if gdb.breakpoints() else None
    number = gdb.parse_and_eval("$bpnum")
    try:
        while gdb.selected_inferior().pid != 0:
            gdb.execute("continue", to_string=True)
            if gdb.selected_inferior().pid != 0 and add():
                return
    finally:
        gdb.execute(f"delete {number}", to_string=True)
    gdb.write("cwasm: the program has ended, and mapped no artifact\n")


Cwasm()
