"""Who is asking: the address that the trusted proxies saw, never one that the client wrote."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


def client_ip(peer: str, forwarded_for: str | None, hops: int | None) -> str:
    """Return the client's address.

    `hops` proxies stand in front, so the client is that entry of X-Forwarded-For, counted from
    the right; 0 never looks at it. None means one hop, and only if the peer's address is private.
    Where the header does not hold that entry the answer is the peer: the left-most entry is
    whatever the client claims.

    >>> client_ip("10.0.0.2", "6.6.6.6, 203.0.113.9", None)
    '203.0.113.9'
    """
    peer = _normal(peer) or peer
    if not forwarded_for:
        return peer
    trusted = (1 if _is_private(peer) else 0) if hops is None else hops
    entries = forwarded_for.split(",")
    if not 0 < trusted <= len(entries):
        return peer
    return _normal(entries[-trusted].strip()) or peer


@lru_cache(maxsize=1024)
def _is_private(peer: str) -> bool:
    address = _parse(peer)
    return address is not None and (address.is_private or address.is_loopback)


@lru_cache(maxsize=1024)
def _normal(entry: str) -> str | None:
    host = entry
    if entry.startswith("["):
        host = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        host = entry.partition(":")[0]
    address = _parse(host)
    return None if address is None else str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
