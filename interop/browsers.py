"""Browsers that die, that come from another site, and that have two tabs."""

import re
import time

from book import every, same
from chromium import ELSEWHERE
from phone import Account, Failed
from stage import PACKETS_OF_A_TALK

# A browser that is gone is found out by then, and its caller told.
SOON_S = 8
WRONG_PASSWORD = (401, 403)
CONTACT_OF_INVITE = re.compile(r"^INVITE .*\n(?:.+\n)*?Contact: *<([^>]+)>", re.MULTILINE)
BYE = re.compile(r"^BYE (\S+) ", re.MULTILINE)


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


@every("a GRUU leads to its device: {}, and {} over {}", ("jssip", "sipjs", "wss"), limit_s=300)
def gruu(stage, kind, other, over):
    """It is the Contact of its calls. A BYE to it ends its call, and a MESSAGE to it, by browser or
    desk phone, reaches no other device of its user."""
    account = stage.account()
    alice = stage.registered(kind, over, account)
    elsewhere = stage.registered(kind, over, account, tab_of=alice)
    bob, desk = stage.registered(other, over), stage.registered("pjsua")
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    bob.hang_up()
    same("the end of a talk", alice.ended(), None)
    contact = CONTACT_OF_INVITE.findall(alice.trace())[-1]
    if ";gr=" not in contact:
        raise Failed(f"{contact} is no GRUU")
    same("whom the BYE was for", BYE.findall(bob.trace()), [contact])
    for sender in (bob, desk):
        text = f"from {sender}"
        sender.command("message", contact, text)
        alice.got(text)
        same(f"the answer to {sender}", sender.delivered(text), 200)
    same("what another device got", elsewhere.happened("message"), [])


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


@every("two tabs of one user: {}, {} calls", ("jssip", "sipjs"), ("sipjs", "jssip"), limit_s=300)
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


def hears(alice, method, since=None):
    """She is told that a browser is gone, soon after she asked, or after `since`."""
    asked, told, status = alice.answer_to(method)
    same(f"the answer to {method}", status, 480, 408, 481)
    if (took := told - (since or asked)) > SOON_S:
        raise Failed(f"the answer to {method} came after {took:.1f} s")


def leaves(stage, kind, over, caller, how):
    """A browser leaves before a call, while it rings and in a call; each time its user comes back in
    a new one. The two that end are left in a new call that rings."""
    account, alice = stage.account(), stage.registered(caller, "wss")

    how(stage.registered(kind, over, account))
    alice.call(account.user)
    alice.ended()
    hears(alice, "INVITE")

    stage.forget_calls()
    bob = stage.registered(kind, over, account)
    stage.ring(alice, bob)
    since = time.monotonic()
    how(bob)
    alice.ended()
    hears(alice, "INVITE", since)

    stage.forget_calls()
    bob = stage.registered(kind, over, account)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    how(bob)
    alice.hang_up()
    hears(alice, "BYE")

    stage.forget_calls()
    bob = stage.registered(kind, over, account)
    stage.ring(alice, bob)
    return alice, bob


@every("a browser falls silent: {} over {}, {} calls", ("jssip", "ws6", "sipjs"), limit_s=400)
@every("a browser falls silent: {} over {}, {} calls", ("sipjs", "wss", "jssip"), limit_s=400)
def falls_silent(stage, kind, over, caller):
    """Nobody closes its connection."""
    alice, bob = leaves(stage, kind, over, caller, lambda browser: browser.freeze())
    alice.hang_up()
    bob.ended()


@every("a browser dies: {} over {}, {} calls", ("jssip", "wss", "sipjs"), limit_s=300)
@every("a browser dies: {} over {}, {} calls", ("sipjs", "ws", "jssip"), limit_s=300)
def dies(stage, kind, over, caller):
    alice, bob = leaves(stage, kind, over, caller, lambda browser: browser.kill())
    bob.answer()
    stage.talk(alice, bob)
    bob.hang_up()
    same("the end of a talk", alice.ended(), None)
    stage.heard(alice, bob)
