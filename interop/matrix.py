"""Every client over every transport and both IP families: registers, calls, is called, hangs up,
and sends and gets a MESSAGE.

The clients stand in rings in which each calls the next: so each calls once and is called once,
and the two sides of a call differ in client and in transport.
"""

from book import every, same

# Media need no relay within an IP family.
DESKS = [
    ("baresip", "udp"),
    ("pjsua", "tcp"),
    ("linphone", "udp"),
    ("baresip", "tcp"),
    ("pjsua", "udp"),
    ("linphone", "tcp"),
]
# The wheel of PJSUA is built without IPv6.
DESKS_6 = [
    ("baresip", "udp6"),
    ("linphone", "tcp6"),
    ("baresip", "tcp6"),
    ("linphone", "udp6"),
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
