"""Browsers that die, that come from another site, and that have two tabs."""

import time

from book import every, same
from chromium import ELSEWHERE
from phone import Account, Failed
from stage import PACKETS_OF_A_TALK

# A browser that is gone is found out by then, and its caller told.
SOON_S = 8
WRONG_PASSWORD = (401, 403)


@every("register {} over {}", ("jssip", "wss"), ("sipjs", "wss"), ("jssip", "ws"), ("sipjs", "ws"))
def registers(stage, kind, over):
    phone, caller = stage.registered(kind, over), stage.registered("pjsua")
    phone.unregister()
    caller.call(phone.account.user)
    same("calling who unregistered", caller.ended(), 480)


@every("wrong password {} over {}", ("jssip", "wss"), ("sipjs", "wss"))
def wrong_password(stage, kind, over):
    good = stage.account()
    phone = stage.phone(kind, over, Account(good.user, good.domain, "not " + good.password))
    same("a wrong password", phone.refused(), *WRONG_PASSWORD)


@every("a page of another site: {} over {}", ("jssip", "wss"), ("sipjs", "ws"))
def another_site(stage, kind, over):
    """The same page, from an origin that is not on the list: its WebSocket is refused."""
    origin = stage.place["pages"].replace("127.0.0.1", ELSEWHERE)
    phone = stage.phone(kind, over, origin=origin)
    phone.expect("disconnected")
    same("connections of another site", phone.happened("connected"), [])


@every("a certificate that is not trusted: {} over {}", ("jssip", "wss"), ("sipjs", "wss6"))
def not_trusted(stage, kind, over):
    """It is told to trust that of another server."""
    phone = stage.phone(kind, over, ca=stage.servers["sha256"].ca)
    phone.expect("disconnected")
    same("connections to a stranger", phone.happened("connected"), [])


@every("hold: {} to {}", ("jssip", "sipjs"), ("sipjs", "jssip"))
def holds(stage, holder, other):
    """While one holds, the other falls silent; afterwards both talk again."""
    alice, bob = stage.pair(holder, other, "wss", "wss")
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    alice.hold()
    alice.hears_nothing()
    alice.resume()
    for phone in (alice, bob):
        phone.exchanges(PACKETS_OF_A_TALK)
    alice.hang_up()
    bob.ended()


@every("browsers come back when the server does: {} calls {}", ("sipjs", "jssip"))
def comes_back(stage, caller, callee):
    """After a crash of the server JsSIP connects and registers by itself; SIP.js leaves that to
    the page."""
    server = stage.own_server()
    server.start()
    bob = stage.registered(callee, "wss", server=server)
    bob.forget("registered")
    server.kill()
    bob.expect("disconnected")
    server.start()
    bob.registered()
    alice = stage.registered(caller, "wss", server=server)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    alice.hang_up()
    bob.ended()
    stage.heard(alice, bob)


@every("two tabs of one user: {}, {} calls", ("jssip", "sipjs"), ("sipjs", "jssip"))
def two_tabs(stage, kind, caller):
    """Both ring, one answers, the other stops."""
    account = stage.account()
    one = stage.registered(kind, "wss", account)
    other = stage.registered(kind, "wss", account, tab_of=one)
    alice = stage.registered(caller, "wss")
    alice.call(account.user)
    one.rings()
    other.rings()
    other.answer()
    one.ended()
    stage.talk(alice, other)
    alice.hang_up()
    other.ended()
    stage.heard(alice, other)


@every(
    "a browser {1}: {0} over {2}, {3} calls",
    ("jssip", "dies", "wss", "sipjs"),
    ("sipjs", "dies", "ws", "jssip"),
    ("jssip", "falls silent", "ws6", "sipjs"),
    ("sipjs", "falls silent", "wss", "jssip"),
)
def dies(stage, kind, how, over, caller):
    """Before a call, while it rings and in a call. Each time its user comes back in a new one."""
    account, alice = stage.account(), stage.registered(caller, "wss")

    def gone(bob):
        bob.kill() if how == "dies" else bob.freeze()
        return time.monotonic()

    def soon(what, since):
        if (took := time.monotonic() - since) > SOON_S:
            raise Failed(f"{what}: after {took:.1f} s")

    bob = stage.registered(kind, over, account)
    since = gone(bob)
    alice.call(account.user)
    same("calling a browser that is gone", alice.ended(), 480, 408)
    soon("calling a browser that is gone", since)

    stage.forget_calls()
    bob = stage.registered(kind, over, account)
    stage.ring(alice, bob)
    since = gone(bob)
    same("a browser that is gone while it rings", alice.ended(), 480, 408)
    soon("a browser that is gone while it rings", since)

    stage.forget_calls()
    bob = stage.registered(kind, over, account)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    since = gone(bob)
    alice.hang_up()
    same("hanging up", alice.answered("BYE"), 480, 408, 481)
    soon("hanging up", since)

    stage.forget_calls()
    bob = stage.registered(kind, over, account)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    bob.hang_up()
    same("the end of a talk", alice.ended(), None)
    stage.heard(alice, bob)
