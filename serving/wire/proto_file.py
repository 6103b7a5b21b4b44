"""Reads a .proto file of a plain form as the descriptor that protobuf makes message classes of.

`protoc` would write Python modules, but those run with no protobuf older than itself, and one
package must do with the protobuf 5 of TensorFlow 2.19 and with the 6 of TensorFlow 2.21.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2

_BLOCK = re.compile(r"(message|enum|service|oneof) (\w+) \{")
_FIELD = re.compile(r"(repeated )?(\w+) (\w+) = (\d+);")
_MAP = re.compile(r"map<string, (\w+)> (\w+) = (\d+);")
_VALUE = re.compile(r"(\w+) = (\d+);")
_METHOD = re.compile(r"rpc (\w+)\((\w+)\) returns \((\w+)\);")
_PACKAGE = re.compile(r"package ([\w.]+);")

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def read(text: str, name: str) -> Any:
    """Reads a file of proto3.

    One statement stands on a line. There are messages without messages inside, with fields, maps
    from texts to messages and `oneof`; enums, which stand before their use; and services.

    Args:
        text: The file's text.
        name: The file's name.

    Returns:
        The `FileDescriptorProto`.

    Raises:
        ValueError: If a line is none of these statements.

    Example:
        >>> from tafe_tf.serving.wire import proto_file
        >>> lines = ['syntax = "proto3";', "message A {", "  int64 b = 1;", "}"]
        >>> file = proto_file.read("\\n".join(lines), "a.proto")
        >>> file.message_type[0].field[0].name
        'b'
    """
    reader = _Reader(name)
    for number, line in enumerate(text.splitlines(), start=1):
        statement = line.partition("//")[0].strip()
        if statement and not reader.takes(statement):
            raise ValueError(f"{name}, line {number}: no statement of its place: {statement!r}")
    return reader.file


class _Reader:
    """Adds one statement after the other to a file's descriptor.

    Attributes:
        file: The descriptor.
    """

    def __init__(self, name: str) -> None:
        self.file = descriptor_pb2.FileDescriptorProto(name=name)
        self._enums: set[str] = set()
        self._blocks: list[str] = []  # the kinds of the blocks that are open
        self._block: Any = None  # the message, enum or service that is open

    def takes(self, statement: str) -> bool:
        """Adds a statement; returns False if it cannot stand here."""
        if statement == "}" and self._blocks:
            self._blocks.pop()
            return True
        if found := _BLOCK.fullmatch(statement):
            return self._opens(*found.groups())
        if self._blocks:
            return self._adds(statement)
        if found := _PACKAGE.fullmatch(statement):
            self.file.package = found[1]
            return True
        if statement == 'syntax = "proto3";':
            self.file.syntax = "proto3"
            return True
        return False

    def _opens(self, kind: str, name: str) -> bool:
        inside = "message" if kind == "oneof" else None
        if (self._blocks[-1] if self._blocks else None) != inside:
            return False
        self._blocks.append(kind)
        if kind == "message":
            self._block = self.file.message_type.add(name=name)
        elif kind == "enum":
            self._block = self.file.enum_type.add(name=name)
            self._enums.add(name)
        elif kind == "service":
            self._block = self.file.service.add(name=name)
        else:
            self._block.oneof_decl.add(name=name)
        return True

    def _adds(self, statement: str) -> bool:
        """Adds what stands inside a block."""
        kind = self._blocks[-1]
        if kind == "enum" and (found := _VALUE.fullmatch(statement)):
            self._block.value.add(name=found[1], number=int(found[2]))
        elif kind == "service" and (found := _METHOD.fullmatch(statement)):
            name, request, response = found.groups()
            types = {"input_type": self._full(request), "output_type": self._full(response)}
            self._block.method.add(name=name, **types)
        elif kind == "message" and (found := _MAP.fullmatch(statement)):
            self._adds_map(found[1], found[2], int(found[3]))
        elif kind in ("message", "oneof") and (found := _FIELD.fullmatch(statement)):
            repeated, type_name, name, number = found.groups()
            field = self._field(self._block, type_name, name, int(number))
            if repeated:
                field.label = _Field.LABEL_REPEATED
            if kind == "oneof":
                field.oneof_index = len(self._block.oneof_decl) - 1
        else:
            return False
        return True

    def _field(self, message: Any, type_name: str, name: str, number: int) -> Any:
        field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        if type_name in _SCALARS:
            field.type = _SCALARS[type_name]
            return field
        is_enum = type_name in self._enums
        field.type = _Field.TYPE_ENUM if is_enum else _Field.TYPE_MESSAGE
        field.type_name = self._full(type_name)
        return field

    def _adds_map(self, type_name: str, name: str, number: int) -> None:
        """A map is a repeated message of a key and a value, which is marked as a map's entry."""
        entry_name = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = self._block.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        self._field(entry, "string", "key", 1)
        self._field(entry, type_name, "value", 2)
        field = self._field(self._block, f"{self._block.name}.{entry_name}", name, number)
        field.label = _Field.LABEL_REPEATED

    def _full(self, name: str) -> str:
        """The full name of a type of this file."""
        return ".".join(["", *filter(None, [self.file.package]), name])
