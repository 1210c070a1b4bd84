"""Variables of other systems and later versions: what is refused, and what gets a warning."""

from collections.abc import Mapping

from appliance.settings.schema import variables

OUR_PREFIX = "APPLIANCE_"
# Ignoring these would put data in another place than the operator asked for.
REFUSED = {
    "DATABASE_URL": "this version always runs its own Postgres; your data would not go there",
    "CONTROL_DATABASE_URL": "this version has no tenants",
    "MULTI_TENANT": "this version has no tenants",
}
# Without what ONCE sets by itself: nobody asked for that.
WITHOUT_EFFECT = tuple(
    "ADMIN_EMAIL ADMIN_PASSWORD CORS_ORIGINS EMAIL_FROM RATE_LIMIT REDIS_URL RESEND_API_KEY "
    "TURNSTILE_SECRET_KEY".split()
)

_SET_BY_US = frozenset({"APPLIANCE_PYTHON"})
_OFF = ("", "false", "0", "no")


def faults(source: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that must not be ignored. Values are not shown."""
    return [
        f"{name} cannot be used: {why}. Unset it."
        for known, why in REFUSED.items()
        for name in (known, f"{known}_FILE")
        if source.get(name, "").lower() not in _OFF
    ]


def warnings(source: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that is ignored although somebody set it."""
    ignored = [
        f"{name} has no effect in this version."
        for known in WITHOUT_EFFECT
        for name in (known, f"{known}_FILE")
        if source.get(name)
    ]
    known = {*variables(), *(f"{name}_FILE" for name in variables()), *_SET_BY_US}
    return ignored + [
        f"{name} is not a setting of the appliance; is it spelled right? See `appliance env`."
        for name in sorted(source)
        if name.startswith(OUR_PREFIX) and name not in known
    ]
