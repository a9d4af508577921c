"""What a test gets: a server, accounts and ports that no other test has, and phones."""

import socket
import time

from dataclasses import dataclass
from pathlib import Path

import rtp
from baresip import Baresip
from browser import Browser, JsSip, SipJs
from linphone import Linphone
from phone import Account, Failed, wait
from pjsua import Pjsua
from server import Ringway, address, has_v6

KINDS = {phone.kind: phone for phone in (Baresip, Pjsua, Linphone, JsSip, SipJs)}
DOMAIN = "ringway.test"
PORTS_PER_PHONE = 20
# More than twice what must be heard: recordings begin late, and a busy machine tears holes.
PACKETS_OF_A_TALK = 120
PACKETS_PER_S = 50


class Skipped(Exception):
    """The test cannot be run here, for this reason."""


@dataclass(frozen=True)
class Site:
    """A server that `run` started: its first port, and the certificate to be trusted."""

    port: int
    ca: Path


class Stage:
    def __init__(self, place):
        """`place` is what `run` wrote for this test: see `place_of` there."""
        self.place = place
        self.folder = Path(place["folder"])
        self.ports = iter(range(*place["ports"], PORTS_PER_PHONE))
        self.unused = [Account(*account) for account in place["accounts"]]
        self.servers = {name: Site(port, Path(ca)) for name, (port, ca) in place["servers"].items()}
        self.phones, self.opened = [], []
        self.server = self.servers["main"]
        Pjsua.python, Linphone.shim = place["pjsua_python"], place["linphone_shim"]
        Browser.pages = place["pages"]
        self.rtp = rtp.counter()

    def close(self):
        """Ends what the test began, the youngest first."""
        for phone in reversed(self.phones):
            phone.stop()
        for server in self.opened:
            server.stop()
        if self.rtp:
            self.rtp.close()

    def account(self):
        return self.unused.pop(0)

    def block(self):
        """A block of ports that are free."""
        for first in self.ports:
            block = range(first, first + PORTS_PER_PHONE)
            if all(is_free(port) for port in block[:5]):
                return block
        raise Failed("the test has used up its ports")

    def own_server(self, port=None, domains=(DOMAIN,), accounts=None, **how):
        """A server for this test alone, with its accounts, not started yet."""
        folder, port = self.folder / f"server{len(self.opened)}", port or self.block()[0]
        server = Ringway(self.place, folder, port, domains, **how)
        self.opened.append(server)
        mine = [f"{a.user}@{a.domain},{a.password}" for a in self.unused]
        server.import_accounts(accounts or mine)
        return server

    def phone(self, kind, over="udp", account=None, server=None, **options):
        """A phone that runs, and registers by now."""
        if (KINDS[kind].needs or kind) in self.place["missing"]:
            raise Skipped(f"{kind} is not installed")
        if over.endswith("6") and not has_v6():
            raise Skipped("this machine has no IPv6, not even on loopback")
        account, server = account or self.account(), server or self.server
        contacts = [user for user, *_ in self.place["accounts"]]
        options = {"ca": server.ca, "contacts": contacts} | options
        folder = self.folder / f"{len(self.phones)}-{kind}"
        at = address(server.port, over)
        phone = KINDS[kind](account, at, over, folder, self.block(), **options)
        self.phones.append(phone)
        phone.start()
        return phone

    def registered(self, *how, **options):
        phone = self.phone(*how, **options)
        phone.registered()
        return phone

    def pair(self, caller, callee, caller_over="udp", callee_over="udp"):
        """Two phones that are registered."""
        phones = self.phone(caller, caller_over), self.phone(callee, callee_over)
        for phone in phones:
            phone.registered()
        return phones

    def ring(self, caller, callee):
        caller.call(callee.account.user)
        callee.rings()
        caller.hears_ringing()

    def talk(self, caller, callee):
        """Both sides talk: RTP flows both ways, long enough to be heard."""
        caller.talks()
        callee.talks()
        if isinstance(caller, Browser):
            for browser in (caller, callee):
                browser.exchanges(PACKETS_OF_A_TALK)
        elif self.rtp:
            both_ways = [(caller, callee), (callee, caller)]
            self.rtp.flows(both_ways, PACKETS_OF_A_TALK)
        else:
            time.sleep(PACKETS_OF_A_TALK / PACKETS_PER_S)

    def heard(self, *phones):
        """After the call: each phone has heard the other."""
        for phone in phones:
            wait(f"{phone} heard the other side", phone.heard, pause_s=0.3)

    def forget_calls(self):
        for phone in self.phones:
            phone.forget("rings", "ringback", "talks", "ended")

    def needs_packet_counter(self):
        if not self.rtp:
            raise Skipped("only root can count RTP packets")


def is_free(port):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # What an earlier run has left to time out is no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
