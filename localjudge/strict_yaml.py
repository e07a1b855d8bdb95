"""Strict YAML text in, plain Python values out, for every room that reads YAML. Knows nothing of what they mean."""

from __future__ import annotations

from typing import Any

import yaml

from localjudge.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, which plain YAML would silently resolve to the last one, and aliases:
    a few lines of them stand for more values than any machine can hold."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not read", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


# Tables of its own: PyYAML's are shared by the whole process, and libraries that come with an engine edit them.
_StrictLoader.yaml_constructors = dict(yaml.SafeLoader.yaml_constructors)
_StrictLoader.yaml_implicit_resolvers = {
    key: list(resolvers) for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(text: str, where: str) -> object:
    """The value of one YAML document: mapping, list, scalar or None. `where` is how errors name the file.

    Raises ConfigError with `where` and the line for text that is not YAML, a key given twice, an object tag.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader subclass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{where}{line}: not valid YAML ({_first_line(getattr(error, 'problem', error))})."
        ) from error
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        # PyYAML lets these out for values that their tag cannot read (an impossible date, `!!bool maybe`, `!!int ''`)
        # and for brackets by the thousand.
        reason = _first_line(error) or type(error).__name__
        raise ConfigError(f"{where}: not valid YAML ({reason}).") from error


def _first_line(error: object) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
