"""The tests: each is a function of a stage that reads as the call it makes.

Those of every client over every transport stand in `matrix.py`.
"""

import tools
from book import every, same, test
from phone import Account, Failed, wait
from server import V4, address
from stage import Skipped, is_free

BUSY, DECLINED = 486, 603

# Both directions between different clients.
PAIRS = [
    ("baresip", "pjsua"),
    ("pjsua", "baresip"),
    ("linphone", "baresip"),
    ("baresip", "linphone"),
    ("pjsua", "linphone"),
    ("linphone", "pjsua"),
]
KINDS = ["baresip", "pjsua", "linphone"]
OVERS = ["udp", "tcp", "tls"]


@every("register {} over {}", *[(kind, over) for kind in KINDS for over in OVERS])
def registers(stage, kind, over):
    """Registers with a password, is found, unregisters, and is not found any more."""
    phone = stage.registered(kind, over)
    caller = stage.registered("pjsua" if kind != "pjsua" else "baresip", over)
    stage.ring(caller, phone)
    caller.hang_up()
    phone.ended()
    caller.forget("ended")
    phone.unregister()
    caller.call(phone.account.user)
    same("calling who unregistered", caller.ended(), 480)


@every("wrong password {} over {}", *[(kind, over) for kind in KINDS for over in OVERS])
def wrong_password(stage, kind, over):
    good = stage.account()
    phone = stage.phone(kind, over, Account(good.user, good.domain, "not " + good.password))
    same("a wrong password", phone.refused(), 401, 403)
    caller = stage.registered("pjsua" if kind != "pjsua" else "baresip")
    caller.call(good.user)
    same("calling who was refused", caller.ended(), 480)


@every(
    "call {} to {}, {} to {}",
    *[(*pair, over, over) for pair in PAIRS for over in OVERS],
    *[(*pair, *over) for pair, over in zip(PAIRS, [("udp", "tcp"), ("tcp", "udp")] * 3)],
)
def calls(stage, caller, callee, caller_over, callee_over):
    """Rings, answers, talks; who was called hangs up."""
    alice, bob = stage.pair(caller, callee, caller_over, callee_over)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    bob.hang_up()
    bob.ended()
    same("the end of a talk", alice.ended(), None)
    stage.heard(alice, bob)


@every("caller hangs up: {} to {}", *PAIRS[:1], *PAIRS[2:3], *PAIRS[4:5])
def caller_hangs_up(stage, caller, callee):
    alice, bob = stage.pair(caller, callee)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    alice.hang_up()
    alice.ended()
    bob.ended()
    stage.heard(alice, bob)


@every("cancel: {} to {}", *PAIRS)
def cancels(stage, caller, callee):
    """Nobody answers, so the caller gives up; then the phone rings again when called again."""
    alice, bob = stage.pair(caller, callee)
    for _ in range(2):
        stage.ring(alice, bob)
        alice.hang_up()
        bob.ended()
        same("a cancelled call", alice.ended(), 487, None)
        for phone in (alice, bob):
            phone.forget("ended", "rings", "ringback")


@every("busy: {} to {}", ("baresip", "pjsua"), ("linphone", "pjsua"), ("pjsua", "baresip"))
def busy(stage, caller, callee):
    alice, bob = stage.pair(caller, callee)
    stage.ring(alice, bob)
    bob.decline(BUSY)
    same("a busy phone", alice.ended(), BUSY)


@every("decline: {} to {}", ("baresip", "pjsua"), ("pjsua", "linphone"), ("baresip", "linphone"))
def declines(stage, caller, callee):
    alice, bob = stage.pair(caller, callee)
    stage.ring(alice, bob)
    bob.decline(DECLINED)
    same("a declined call", alice.ended(), DECLINED)


@every("no answer: {} to {}", ("pjsua", "linphone"), ("linphone", "baresip"))
def no_answer(stage, caller, callee):
    """The phone stops ringing by itself."""
    alice = stage.registered(caller)
    bob = stage.registered(callee, no_answer_s=2)
    stage.ring(alice, bob)
    bob.ended()
    same("nobody answers", alice.ended(), 408, 480, BUSY, DECLINED)


@test("no answer: the next phone is tried")
def next_phone(stage):
    """Nobody answers at the first choice, so the second rings (q), and the first stops."""
    account = stage.account()
    first = stage.registered("pjsua", account=account, contact_params=";q=0.9")
    second = stage.registered("baresip", "tcp", account=account, account_params=";regq=0.3")
    alice = stage.registered("linphone")
    alice.call(account.user)
    first.rings()
    same("rings of the second choice", second.happened("rings"), [])
    second.rings()
    first.ended()
    second.answer()
    stage.talk(alice, second)
    alice.hang_up()
    second.ended()
    stage.heard(alice, second)


@every("hold: {} to {}", *PAIRS)
def holds(stage, holder, other):
    """While one holds, the other falls silent; afterwards both talk again."""
    stage.needs_packet_counter()
    alice, bob = stage.pair(holder, other)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    alice.hold()
    stage.rtp.stops(bob, alice)
    alice.resume()
    stage.rtp.flows([(alice, bob), (bob, alice)], 50)
    alice.hang_up()
    bob.ended()


@every(
    "one account, two phones: {} answers, not {}; {} calls",
    ("pjsua", "baresip", "linphone"),
    ("linphone", "pjsua", "baresip"),
    ("baresip", "linphone", "pjsua"),
)
def two_phones(stage, answering, other, caller):
    """Both ring; one answers; the other stops."""
    account = stage.account()
    desk = stage.registered(answering, "udp", account)
    mobile = stage.registered(other, "tcp", account)
    alice = stage.registered(caller)
    alice.call(account.user)
    desk.rings()
    mobile.rings()
    desk.answer()
    mobile.ended()
    stage.talk(alice, desk)
    alice.hang_up()
    desk.ended()
    stage.heard(alice, desk)


@every("SHA-256: {} to {}", ("linphone", "pjsua"), ("pjsua", "linphone"))
def sha256(stage, caller, callee):
    """A server that prefers SHA-256, and offers MD5 as well (RFC 8760)."""
    server = stage.servers["sha256"]
    alice, bob = (stage.registered(kind, server=server) for kind in (caller, callee))
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    bob.hang_up()
    same("the end of a talk", alice.ended(), None)
    stage.heard(alice, bob)
    for phone in (alice, bob):
        same(f"the digest of {phone}", phone.digests(), {"SHA-256"})


@every("IPv4 calls IPv6: {} to {} over {}", *[
    (*pair, over)
    for pair in (("linphone", "linphone"), ("baresip", "linphone"))
    for over in ("udp", "tcp")
])
def v4_calls_v6(stage, caller, callee, over):
    """The phones share no address family, so nobody but us can bring their SIP together. Their
    media would need a relay: that they talk is what they say, not what is heard."""
    alice = stage.registered(caller, over)
    bob = stage.registered(callee, over + "6")
    for first in (alice, bob):
        stage.ring(alice, bob)
        bob.answer()
        alice.talks()
        bob.talks()
        first.hang_up()
        alice.ended()
        bob.ended()
        for phone in (alice, bob):
            phone.forget("rings", "ringback", "talks", "ended")


@every("a certificate that is not trusted: {} over {}", ("pjsua", "tls"), ("linphone", "tls"))
def not_trusted(stage, kind, over):
    """It is told to trust that of another server."""
    phone = stage.phone(kind, over, ca=stage.servers["sha256"].ca)
    same("registering where nobody is trusted", phone.fails_to_register(), 503)


@test("a registration survives kill -9")
def survives(stage):
    """The phone does not register again, and is found by the server that starts anew."""
    server = stage.own_server()
    server.start()
    bob = stage.registered("pjsua", server=server)
    server.kill()
    server.start()
    alice = stage.registered("linphone", server=server)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    bob.hang_up()
    alice.ended()
    stage.heard(alice, bob)


@test("sipsak: OPTIONS, and REGISTER with a right and a wrong password")
def sipsak(stage):
    """sipsak 0.9.8 forgets the fifth digit of a port, so it gets a server on a port of four."""
    tools.need(stage, "sipsak")
    account, port = stage.unused[0], next(port for port in range(9_000, 9_999) if is_free(port))
    server = stage.own_server(port=port)
    server.start()
    status, said = tools.sipsak(stage, "options", "-s", f"sip:{address(server.port)}")
    same(f"sipsak OPTIONS: {said[-300:]}", status, 0)
    words = ["-U", "-C", f"sip:{account.user}@127.0.0.1:9", "-x", "60", "-u", account.user]
    words += ["-s", f"sip:{account.user}@{address(server.port)}", "-a"]
    status, said = tools.sipsak(stage, "right", *words, account.password)
    same(f"sipsak REGISTER: {said[-300:]}", status, 0)
    status, _ = tools.sipsak(stage, "wrong", *words, "not the password")
    if status == 0:
        raise Failed("sipsak registers with a wrong password")


@every("SIPp: {0} registrations", (300,), accounts=300, kind="load")
def sipp_registers(stage, count):
    rows = [(a.user, tools.credentials(a), "-") for a in stage.unused[:count]]
    tools.Sipp(stage, "register", stage.block()[0], rows).finish()


@every(
    "SIPp: 300 times {0}, over {2}",
    ("caller", "callee", "u1"),
    ("caller", "callee", "t1"),
    ("caller_cancels", "callee_is_cancelled", "u1"),
    accounts=301,
    kind="load",
)
def sipp_calls(stage, caller, callee, transport):
    """One callee registers; then 300 users call it, and not one call fails."""
    bob, callers = stage.account(), stage.unused[:300]
    here, there = stage.block()[0], stage.block()[0]
    tools.Sipp(stage, "register", there, [(bob.user, tools.credentials(bob), "-")]).finish()
    rows = [(alice.user, tools.credentials(alice), bob.user) for alice in callers]
    answering = tools.Sipp(stage, callee, there, [("-", "-", "-")] * len(rows))
    wait("the callee listens", lambda: not is_free(there))
    calling = tools.Sipp(stage, caller, here, rows, f"{bob.user}@{bob.domain}", transport)
    calling.finish()
    answering.finish()


# Who the torture messages are for, and who registers in them.
TORTURED = [
    "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?%2C/;;*@example.com",
    "UserB@example.com",
    "kumiko@example.org",
    "remote-target@example.com",
    "sips%3Auser%40example.com@example.net",
    "t.watson@example.org",
    "user@example.com",
    "user@example.org",
    "user;par=u%40example.net@example.com",
    "null-%00-null@example.com",
    "watson@example.com",
    "j.user@example.com",
]
# Over UDP they come from a peer that needs no password, or most would end at a challenge. Over
# TCP they come from 127.0.0.1, a stranger.
TORTURING_PEER = """
[[peer]]
name = "torture"
networks = ["127.0.0.66"]
may_register = true
trust_udp = true
"""
# Where the RFC leaves a choice: what we do, and why. All others must be as the table has it first.
CHOICES = {
    "udp": {
        # Their next hops are names that nobody has, or IPv6 addresses, which a server on IPv4
        # alone cannot reach.
        **dict.fromkeys(("wsinv", "esc02", "mult-ip-in-header"), {"500"}),
        **dict.fromkeys(("ipv6-good", "port-ambiguous", "port-unambiguous"), {"500"}),
        **dict.fromkeys(("ipv6-in-sdp", "mult-ip-in-sdp"), {"500"}),
        "via-received-param-with-delim": {"500"},
        "via-received-param-no-delim": {"500"},
        "ipv6-correct-abnf-2-colons": {"500"},
        "ipv6-bug-abnf-3-colons": {"400"},  # RFC 5954 has withdrawn that grammar
        "regaut01": {"200"},  # comes from a peer that needs no password
    },
    "tcp": {
        # A stranger must log in before anything else.
        **dict.fromkeys(("intmeth", "longreq", "baddate", "invut", "sdp01"), {"407"}),
        **dict.fromkeys(("escnull", "cparam01", "cparam02", "regescrt"), {"401"}),
        "dblreq": {"401", "407"},  # two messages on a stream
        "inv2543": {"400"},  # without Content-Length framing is lost (RFC 3261 18.3)
        "ipv6-bug-abnf-3-colons": {"400"},
    },
}


@test("torture messages over UDP and TCP", limit_s=240, kind="long")
def torture(stage):
    """All 61 messages of RFC 4475 and RFC 5118, by the runner and the table of ../shared."""
    if not tools.TORTURE.exists():
        raise Skipped("../shared is not beside this checkout; torture_live.rs does the same")
    domains = ("example.com", "example.org", "example.net")
    accounts = [tools.known_hash(address) for address in TORTURED]
    for over in ("udp", "tcp"):
        how = {"more": TORTURING_PEER, "families": (V4,)}
        server = stage.own_server(domains=domains, accounts=accounts, **how)
        server.start()
        verdicts = tools.torture(stage, address(server.port), over)
        server.stop()
        same("messages sent", len(verdicts), 61)
        wrong = {
            name: (verdict, statuses)
            for name, (verdict, statuses) in verdicts.items()
            if verdict == "FAIL"
            or verdict == "TOLERATED" and set(statuses) != CHOICES[over].get(name)
        }
        same(f"not as expected over {over}", wrong, {})
