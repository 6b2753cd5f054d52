# SPDX-License-Identifier: Apache-2.0
"""Two hosts (network namespaces) with two links between them."""
import contextlib
import unittest

import support
from support import Namespace, ip, sysctl

# Each link: its name at both ends, and the address of each end.
LINKS = {"way": ("10.99.0", "fd00:99::"), "back": ("10.99.1", "fd00:9a::")}
CLIENT, SERVER = 1, 2


def prepare():
    """Makes this namespace answer for its addresses at once, and take packets from any way."""
    sysctl("ipv6/conf/all/disable_ipv6", 0)
    sysctl("ipv6/conf/default/accept_dad", 0)
    sysctl("ipv6/conf/default/dad_transmits", 0)
    sysctl("ipv4/conf/all/rp_filter", 0)
    sysctl("ipv4/conf/default/rp_filter", 0)


def addresses(end):
    for link, (ipv4, ipv6) in LINKS.items():
        ip(f"addr add {ipv4}.{end}/24 broadcast + dev {link}")
        ip(f"addr add {ipv6}{end}/64 dev {link} nodad")
        ip(f"link set {link} up")


def is_settled():
    """Whether every link of this namespace runs and has its link-local address."""
    shown = ip("-6 -oneline addr show scope link")
    return all(f" {link} " in shown for link in LINKS) and " tentative" not in shown and \
        ip("-oneline link show up").count("LOWER_UP") == 1 + len(LINKS)


def link_local(link):
    """The link-local address of a link of this namespace."""
    return ip(f"-6 -oneline addr show dev {link} scope link").split()[3].split("/")[0]


@contextlib.contextmanager
def two_hosts():
    """Yields the namespaces of a client and a server."""
    with contextlib.ExitStack() as stack:
        hosts = [Namespace(), Namespace()]
        for host in hosts:
            stack.callback(host.close)
            with host:
                prepare()
        client, server = hosts
        with client:
            for link in LINKS:
                ip(f"link add {link} type veth peer name {link} netns {server.path}")
            addresses(CLIENT)
        with server:
            addresses(SERVER)
        for host in hosts:
            with host:
                support.wait_until(is_settled, "the links are up and have addresses")
        yield client, server


class HostsCase(unittest.TestCase):
    """Tests between two hosts, which are there for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        try:
            cls.client, cls.server = stack.enter_context(two_hosts())
        except (OSError, FileNotFoundError) as error:
            raise unittest.SkipTest(f"no network namespaces here: {error}") from error
