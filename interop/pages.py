"""Serves the pages with the phones for browsers: on 127.0.0.1, which browsers take for secure."""

import http.server
import threading


def serve(folder):
    """Serves the folder until this program ends; hands back the origin of its pages."""

    class Page(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *what):
            super().__init__(*what, directory=folder)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
