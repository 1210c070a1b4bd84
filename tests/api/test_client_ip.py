"""Who is asking."""

import pytest

from appliance.web.client_ip import client_ip

PROXY = "172.18.0.2"
PUBLIC = "8.8.8.8"


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.2.3", "172.18.0.2", "192.168.0.1", "::1"])
def test_by_default_one_hop_is_trusted_behind_a_private_peer(peer: str) -> None:
    assert client_ip(peer, "6.6.6.6, 203.0.113.9", None) == "203.0.113.9"


def test_by_default_a_public_peer_is_the_client() -> None:
    assert client_ip(PUBLIC, "203.0.113.9", None) == PUBLIC


def test_the_left_most_entry_is_never_used_beyond_the_hops() -> None:
    assert client_ip(PROXY, "6.6.6.6, 7.7.7.7, 203.0.113.9", 1) == "203.0.113.9"
    assert client_ip(PROXY, "6.6.6.6, 7.7.7.7, 203.0.113.9", 2) == "7.7.7.7"


def test_a_header_shorter_than_the_hops_is_not_used() -> None:
    assert client_ip(PROXY, "6.6.6.6", 2) == PROXY


def test_no_hops_never_look_at_the_header() -> None:
    assert client_ip(PROXY, "203.0.113.9", 0) == PROXY


def test_hops_that_were_set_count_behind_a_public_peer_too() -> None:
    assert client_ip(PUBLIC, "203.0.113.9", 1) == "203.0.113.9"


@pytest.mark.parametrize("entry", ["", "unknown", "1.2.3", "a b", "203.0.113.9 id=1", "%00"])
def test_an_entry_that_is_no_address_is_not_used(entry: str) -> None:
    assert client_ip(PROXY, f"6.6.6.6, {entry}", None) == PROXY


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_ports_are_cut_off_and_addresses_have_one_form(entry: str, shown: str) -> None:
    assert client_ip(PROXY, entry, None) == shown


def test_a_peer_of_a_dual_stack_socket_is_an_ipv4_address() -> None:
    assert client_ip("::ffff:127.0.0.1", None, None) == "127.0.0.1"
    assert client_ip("::ffff:127.0.0.1", "203.0.113.9", None) == "203.0.113.9"
