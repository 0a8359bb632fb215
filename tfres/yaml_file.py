"""YAML files from anywhere: read safely, within a second, with errors that name the place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from tfres.errors import first_line
from tfres.files import read_text

if TYPE_CHECKING:
    import os

# What a file may be: bytes, depth of nesting, values when every alias is written out.
LARGEST, DEEPEST, MOST = 200_000, 20, 50_000
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: str | os.PathLike, kind: type[Exception]) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: of the file.
        kind: class of the error that is raised, such as `RecipeError`.

    Raises:
        kind: not a UTF-8 text file, too large, not YAML, nested or expanded too far, a key twice, or not a mapping.
    """
    return parse_yaml(read_text(path, kind, LARGEST), str(path), kind)


def parse_yaml(text: str, name: str, kind: type[Exception]) -> dict[str, Any]:
    """The mapping of a YAML text; `name` tells in errors where it is from. See `read_yaml`."""
    loader = None
    try:
        _check_extent(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _check_keys(node, set())
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise kind(f"{name}{place} is not YAML that can be read: {error.problem or error.context}.") from error
    except _Refused as error:
        raise kind(f"{name}, line {error.line + 1}: {error}") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        reason = first_line(error)
        reason = "a number has too many digits" if "int_max_str_digits" in reason else reason
        raise kind(f"{name} is not YAML that can be read: {reason}.") from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(value, dict):
        raise kind(f"{name} must hold a mapping (lines of `name: value`). Received: {_called(value)}.")
    return value


def dump_yaml(value: dict[str, Any]) -> str:
    """A mapping of plain values as YAML text, keys in their order, nothing by reference."""
    return yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


class _Refused(Exception):
    def __init__(self, message: str, mark: yaml.Mark) -> None:
        super().__init__(message)
        self.line = mark.line


def _called(value: object) -> str:
    names = {list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), f"the single value {str(value)[:40]}")


def _check_extent(text: str) -> None:
    """Refuse what is nested too deep or grows too large when its aliases are written out; nothing is built."""
    anchors: dict[str, int] = {}
    open_parts: list[tuple[str | None, int]] = []  # anchor of a part and how many values stand before it
    count = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_parts.append((event.anchor, count))
            count += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, before = open_parts.pop()
            if anchor is not None:
                anchors[anchor] = count - before
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor is not None:
                anchors[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise _Refused(
                    f"the alias *{event.anchor[:40]} must stand after the whole of what it names.", event.start_mark
                )
            count += anchors[event.anchor]
        if len(open_parts) > DEEPEST:
            raise _Refused(f"lists and mappings must be nested at most {DEEPEST} deep.", event.start_mark)
        if count > MOST:
            raise _Refused(f"there must be at most {MOST} values, those of aliases counted too.", event.start_mark)


def _check_keys(node: yaml.Node, done: set[int]) -> None:
    """Refuse a mapping that has a key twice."""
    if id(node) in done or isinstance(node, yaml.ScalarNode):
        return
    done.add(id(node))
    seen = set()
    for part in node.value:
        if isinstance(node, yaml.MappingNode):
            key = (part[0].tag, part[0].value) if isinstance(part[0], yaml.ScalarNode) else id(part[0])
            if key in seen:
                raise _Refused(f"the key `{str(part[0].value)[:80]}` stands twice.", part[0].start_mark)
            seen.add(key)
        for child in part if isinstance(part, tuple) else (part,):
            _check_keys(child, done)
