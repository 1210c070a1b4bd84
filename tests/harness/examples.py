"""How many examples property tests try: twenty times as many in the night."""

from hypothesis import settings

_USUAL = 100


def register_profiles() -> None:
    """Let none of them be too slow: the machine may be busy with others."""
    settings.register_profile("usual", settings.default, deadline=None)
    settings.register_profile("nightly", deadline=None, max_examples=20 * _USUAL)
    settings.load_profile("usual")


def tries(count: int) -> settings:
    """So many examples, and more in the night."""
    assert settings.default is not None
    return settings(max_examples=count * settings.default.max_examples // _USUAL)
