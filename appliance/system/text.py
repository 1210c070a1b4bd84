"""Words for people that depend on numbers."""


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
