-- Format 1. Times are seconds since the Unix epoch.
-- Text that phones send may hold any byte: such columns are BLOBs that usually read as text.
CREATE TABLE account (
    aor          BLOB PRIMARY KEY,  -- user@domain
    user         BLOB NOT NULL,
    domain       TEXT NOT NULL,     -- also the digest realm
    display_name TEXT NOT NULL,
    enabled      INTEGER NOT NULL,
    ha1_md5      BLOB,              -- HA1 = hash of user:realm:password (RFC 7616, RFC 8760)
    ha1_sha256   BLOB,
    ha1_sha512_256 BLOB
) WITHOUT ROWID;

CREATE TABLE binding (
    aor        BLOB NOT NULL,
    contact    BLOB NOT NULL,       -- the contact URI
    params     BLOB NOT NULL,
    q          INTEGER NOT NULL,    -- thousandths
    expires    INTEGER NOT NULL,
    refreshed  INTEGER NOT NULL,
    call_id    BLOB NOT NULL,
    cseq       INTEGER NOT NULL,
    txn        INTEGER NOT NULL,
    transport  TEXT NOT NULL,
    local      TEXT NOT NULL,       -- our socket
    remote     TEXT NOT NULL,       -- where the REGISTER came from
    user_agent BLOB NOT NULL,
    PRIMARY KEY (aor, contact)
) WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
