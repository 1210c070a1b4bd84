"""The settings for people: a table, and the text of .env.example."""

from appliance.settings.schema import defaults, variables

_HEAD = """\
# Every setting of the appliance. None is required; an empty value counts as unset, and NAME_FILE
# may name a file that holds the value of NAME. Made from the schema with: make env-example
"""


def table() -> list[dict[str, str]]:
    """Every setting: name, tag (`default: x` or `optional`), rule, help."""
    default = defaults()
    return [
        {
            "name": name,
            "tag": f"default: {default[name]}" if default[name] else "optional",
            "rule": variable.rule.text,
            "help": variable.help,
        }
        for name, variable in variables().items()
        if not variable.internal
    ]


def example() -> str:
    """The text of .env.example."""
    blocks = [
        f"# {row['help']}\n# Must be {row['rule']}. [{row['tag']}]\n# {row['name']}=\n"
        for row in table()
    ]
    return "\n".join([_HEAD, *blocks])
