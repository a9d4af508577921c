"""The hash of a certificate's public key, by which Chromium is told to trust it."""

import base64
import hashlib
import ssl

# The tag of a version, which a certificate may do without.
VERSION = 0xA0


def elements(der):
    """The elements in the content of a DER value (X.690 8.1), each as (tag, all of its bytes)."""
    at, end = content(der, 0)
    found = []
    while at < end:
        _, until = content(der, at)
        found.append((der[at], der[at:until]))
        at = until
    return found


def content(der, at):
    """Where the content of the value at `at` begins and ends."""
    length, begin = der[at + 1], at + 2
    if length >= 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin], "big")
    return begin, begin + length


def key_hash(file):
    """SHA-256 of the SubjectPublicKeyInfo (RFC 5280 4.1) in a PEM file, in base64."""
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    fields = [value for tag, value in elements(elements(der)[0][1]) if tag != VERSION]
    # Serial number, algorithm, issuer, validity, subject, and then the key.
    return base64.b64encode(hashlib.sha256(fields[5]).digest()).decode()
