"""Which apps there are. Only who starts a program looks here, and hands the app on to the rest."""

from collections.abc import Callable, Iterable

from appliance.apps.contract import App


def load(name: str) -> App:
    """The app of a name that the setting APP may have."""
    return _APPS[name]()


def others(app: App) -> Iterable[App]:
    """All apps but one."""
    return (load(name) for name in _APPS if name != app.name)


def _books() -> App:
    from appliance.apps.books.books import BOOKS

    return BOOKS


def _none() -> App:
    return App(name="none")


# Loaded when they are asked for: an app that does not run takes no memory.
_APPS: dict[str, Callable[[], App]] = {"books": _books, "none": _none}
