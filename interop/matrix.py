"""Every client over every transport and both IP families: registers, calls, is called, hangs up,
and sends and gets a MESSAGE.

The clients stand in rings in which each calls the next: so each calls once and is called once,
and the two sides of a call differ in client and in transport.
"""

from book import every, same

BUSY, NOT_ACCEPTABLE = 486, 488

# Media need no relay within an IP family.
DESKS = [
    ("baresip", "udp"),
    ("pjsua", "tcp"),
    ("linphone", "tls"),
    ("baresip", "tcp"),
    ("pjsua", "tls"),
    ("linphone", "udp"),
    ("baresip", "tls"),
    ("pjsua", "udp"),
    ("linphone", "tcp"),
]
# The wheel of PJSUA is built without IPv6.
DESKS_6 = [
    ("baresip", "udp6"),
    ("linphone", "tls6"),
    ("baresip", "tcp6"),
    ("linphone", "udp6"),
    ("baresip", "tls6"),
    ("linphone", "tcp6"),
]
BROWSERS = [
    ("jssip", "ws"),
    ("sipjs", "wss"),
    ("jssip", "ws6"),
    ("sipjs", "wss6"),
    ("jssip", "wss"),
    ("sipjs", "ws"),
    ("jssip", "wss6"),
    ("sipjs", "ws6"),
]
# A browser and a desk phone have no media in common: some phones refuse such a call at once, the
# others ring.
BROWSER_CALLS_DESK = [
    ("jssip", "wss", "baresip", "udp", NOT_ACCEPTABLE),
    ("jssip", "wss6", "linphone", "udp", None),
    ("sipjs", "wss", "pjsua", "tcp", NOT_ACCEPTABLE),
    ("sipjs", "ws", "linphone", "tcp6", None),
]
DESK_CALLS_BROWSER = [
    ("baresip", "tcp6", "jssip", "wss"),
    ("linphone", "tcp", "sipjs", "wss"),
    ("pjsua", "udp", "jssip", "ws6"),
    ("linphone", "udp6", "sipjs", "wss6"),
]


def ring(clients):
    """Pairs as (caller, over, callee, over)."""
    return [(*one, *next_one) for one, next_one in zip(clients, clients[1:] + clients[:1])]


def messages(one, other):
    for sender, receiver in ((one, other), (other, one)):
        text = f"from {sender.account.user} to {receiver.account.user}"
        sender.message(receiver.account.user, text)
        receiver.got(text)
        same(f"the answer to a MESSAGE from {sender}", sender.delivered(text), 200, 202)


@every("matrix: {} over {} calls {} over {}", *ring(DESKS), *ring(DESKS_6))
def desk_calls_desk(stage, caller, caller_over, callee, callee_over):
    alice, bob = stage.pair(caller, callee, caller_over, callee_over)
    stage.ring(alice, bob)
    bob.answer()
    stage.talk(alice, bob)
    alice.hang_up()
    alice.ended()
    bob.ended()
    stage.heard(alice, bob)
    messages(alice, bob)


@every("matrix: {} over {} calls {} over {}", *ring(BROWSERS))
def browser_calls_browser(stage, caller, caller_over, callee, callee_over):
    alice, bob = stage.pair(caller, callee, caller_over, callee_over)
    for first in (alice, bob):
        stage.ring(alice, bob)
        bob.answer()
        stage.talk(alice, bob)
        first.hang_up()
        same("the end of a talk", alice.ended(), None)
        same("the end of a talk", bob.ended(), None)
        stage.heard(alice, bob)
        stage.forget_calls()
    messages(alice, bob)


@every("matrix: {} over {} calls {} over {}", *BROWSER_CALLS_DESK)
def browser_calls_desk(stage, caller, caller_over, callee, callee_over, refusal):
    alice, bob = stage.pair(caller, callee, caller_over, callee_over)
    if refusal:
        alice.call(bob.account.user)
        same("a call without common media", alice.ended(), refusal)
    else:
        alice.call(bob.account.user)
        bob.rings()
        alice.hang_up()
        alice.ended()
        bob.ended()
    messages(alice, bob)


@every("matrix: {} over {} calls {} over {}", *DESK_CALLS_BROWSER)
def desk_calls_browser(stage, caller, caller_over, callee, callee_over):
    alice, bob = stage.pair(caller, callee, caller_over, callee_over)
    stage.ring(alice, bob)
    alice.hang_up()
    bob.ended()
    alice.ended()
    stage.forget_calls()
    stage.ring(alice, bob)
    bob.decline(BUSY)
    same("a busy browser", alice.ended(), BUSY)
    messages(alice, bob)
