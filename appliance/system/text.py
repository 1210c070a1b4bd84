"""Words for people that depend on numbers."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(0, "row")
    ('1 row', '0 rows')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def extent(tables: int, rows: int) -> str:
    """How much there is.

    >>> extent(2, 1)
    '2 tables with 1 row'
    """
    return f"{counted(tables, 'table')} with {counted(rows, 'row')}"


def size(size_bytes: float) -> str:
    """How large something is.

    >>> size(999), size(1_234_567)
    ('999 B', '1.2 MB')
    """
    unit = 0
    while size_bytes >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - as the units have it
        size_bytes, unit = size_bytes / 1000, unit + 1
    return f"{size_bytes:.1f} {_UNITS[unit]}" if unit else f"{size_bytes:.0f} B"


def mebibytes(size_bytes: int) -> str:
    """How much memory or disk there is, in the unit in which it is given to a container.

    >>> mebibytes(5 * 1024 * 1024)
    '5 MiB'
    """
    return f"{size_bytes // (1024 * 1024)} MiB"
