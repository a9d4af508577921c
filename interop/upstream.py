"""A server that no one here wrote asks who we are: Kamailio, as a carrier would.

Calls of `+USER` go to it with our user name and password, and it sends them back as calls of USER,
so the server is on both sides of it. It asks again about each BYE.
"""

import socket
import subprocess

import tools
from book import every, same
from phone import wait
from server import V4

HOST, REALM, PASSWORD = "127.0.0.3", "carrier.test", "interop-4f7a-secret"
CONFIG = """#!KAMAILIO
log_stderror=yes
fork=no
children=1
disable_tcp=yes
listen=udp:{host}:{port}
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "auth.so"
loadmodule "textops.so"
loadmodule "siputils.so"
{auth}
request_route {{
    if (is_method("CANCEL")) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (loose_route()) {{ t_relay(); }} exit; }}
    if (!pv_proxy_authenticate("{realm}", "{password}", "0")) {{
        proxy_challenge("{realm}", "{qop}");
        exit;
    }}
    consume_credentials();
    if (has_totag()) {{ loose_route(); t_relay(); exit; }}
    record_route();
    $ru = "sip:" + $(rU{{s.substr,1,0}}) + "@ringway.test";
    $du = "sip:{v4}:{server}";
    t_relay();
}}
"""
COUNTS = 'modparam("auth", "nonce_count", 1)\nmodparam("auth", "qop", "auth")'
SHA256 = 'modparam("auth", "algorithm", "SHA-256")'


@every(
    "Kamailio asks for a password: {0}",
    ("MD5, counted", COUNTS, 1),
    ("without qop", "", 0),
    ("SHA-256", SHA256, 1),
)
def asked(stage, _, auth, qop):
    tools.need(stage, "kamailio")
    carrier, port = stage.block()[0], stage.block()[0]
    secret = stage.folder / "secret"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    server = stage.own_server(port=port, more=(
        f'[[peer]]\nname = "carrier"\naddress = "sip:{HOST}:{carrier}"\n'
        f'networks = ["{HOST}"]\ntrust_udp = true\nusername = "ring"\nrealm = "{REALM}"\n'
        f'password = "${{file:{secret}}}"\n'
        '[[route]]\nname = "out"\nprefix = "+"\nto = ["carrier"]\n'
        '[routing]\nreach = ["127.0.0.0/8"]\n'
    ))
    server.start()
    config = stage.folder / "kamailio.cfg"
    config.write_text(CONFIG.format(
        host=HOST, port=carrier, realm=REALM, password=PASSWORD, auth=auth, qop=qop, v4=V4,
        server=port,
    ))
    command = ["kamailio", "-f", config, "-DD", "-E", "-m", "32", "-M", "4", "-Y", stage.folder]
    with open(stage.folder / "kamailio.log", "w") as log:
        kamailio = subprocess.Popen(
            command, cwd=stage.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait("Kamailio starts", lambda: listens(carrier), 20)
        alice, bob = (stage.registered("baresip", server=server) for _ in range(2))
        for who_ends in (alice, bob):
            alice.call(f"+{bob.account.user}")
            bob.rings()
            bob.answer()
            stage.talk(alice, bob)
            who_ends.hang_up()
            for phone in (alice, bob):
                phone.ended()
            stage.forget_calls()
        log = (server.folder / "server.log").read_text(errors="replace")
        # Two calls, and a BYE of each.
        same("times we logged in", log.count("event=peer_login peer=carrier outcome=answered"), 4)
        same("times it was in vain", log.count("event=peer_login"), 4)
        same("the password in the log", PASSWORD in log, False)
    finally:
        kamailio.terminate()
        kamailio.wait(10)


def listens(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
