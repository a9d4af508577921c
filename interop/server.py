"""The real server: one `ringway serve` with a configuration and data of its own, on loopback."""

import socket
import subprocess

from phone import Failed, wait

V4, V6 = "127.0.0.1", "::1"
# What a port is for, counted from the server's first one.
OFFSETS = {"udp": 0, "tcp": 0, "tls": 1, "ws": 2, "wss": 3}
# baresip 1.0 gives up on a challenge that it does not know instead of ignoring it (RFC 8760 2.4),
# so it meets a server as it is by default, with MD5. The others also meet this one.
SHA256_FIRST = '[auth]\nalgorithms = ["SHA-256", "MD5"]\n'


class Ringway:
    """`folder` gets the configuration, the data and the log."""

    def __init__(self, place, folder, port, domains, more="", families=(V4, V6)):
        """`place` has the program and the origin of pages for browsers, `port` is the first of
        four, `more` is TOML behind the other sections."""
        self.binary, self.folder, self.port, self.process = place["binary"], folder, port, None
        # It makes itself a certificate, which clients are told to trust.
        self.ca = folder / "data" / "tls.crt"
        self.config = folder / "ringway.toml"
        folder.mkdir(parents=True, exist_ok=True)
        overs = list(OFFSETS) if V4 in families else []
        overs += [f"{transport}6" for transport in OFFSETS] if V6 in families and has_v6() else []
        listen = [f"{over.removesuffix('6')}:{address(port, over)}" for over in overs]
        quoted = lambda names: ", ".join(f'"{name}"' for name in names)
        self.config.write_text(
            f"[server]\ndomains = [{quoted(domains)}]\nlisten = [{quoted(listen)}]\n"
            f'data = "{folder / "data"}"\n\n[log]\nlevel = "debug"\n\n'
            f'[websocket]\norigins = ["{place["pages"] or "null"}"]\n\n{more}'
        )

    def command(self, *words, text=None):
        """Runs `ringway` beside the server and hands back what it says."""
        command = [str(self.binary), "--config", str(self.config), *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"ringway {' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def import_accounts(self, lines):
        self.command("account", "import", "-", text="".join(f"{line}\n" for line in lines))

    def start(self):
        log = open(self.folder / "server.log", "ab")
        with log:
            command = [str(self.binary), "--config", str(self.config), "serve"]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait(f"the server answers on {address(self.port)}", self.answers, 30)

    def answers(self):
        """Whether an OPTIONS comes back as a 200 within a moment."""
        if self.process.poll() is not None:
            log = (self.folder / "server.log").read_text(errors="replace")
            raise Failed(f"ringway serve ended with {self.process.returncode}: {log[-400:]}")
        return options(V4, self.port)

    def kill(self):
        """What a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As an administrator does; it must end well."""
        if not self.process or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            status = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed("the server does not end") from None
        if status != 0:
            raise Failed(f"the server ended with {status}")


def address(port, over="udp"):
    """Where the server with this first port listens; `over` is as in `Phone`."""
    host = f"[{V6}]" if over.endswith("6") else V4
    return f"{host}:{port + OFFSETS[over.removesuffix('6')]}"


def has_v6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((V6, 0))
        return True
    except OSError:
        return False


def options(ip, port):
    """Asks once over UDP."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.3)
        asker.connect((ip, port))
        here = asker.getsockname()[1]
        at = f"[{ip}]" if ":" in ip else ip
        asker.send(
            f"OPTIONS sip:{at}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {at}:{here};branch=z9hG4bKprobe{here};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:probe@{at}>;tag=p\r\nTo: <sip:{at}>\r\n"
            f"Call-ID: probe{here}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode()
        )
        try:
            return asker.recv(65_536).startswith(b"SIP/2.0 200 ")
        except OSError:
            return False
