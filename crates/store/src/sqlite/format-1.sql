-- Format 1.
-- Times are microseconds since the Unix epoch; the views show them as UTC.
-- What phones and users name may hold any byte. It is kept as TEXT where it reads as text, so
-- that WHERE user = 'bob' works, and as a BLOB where it does not: such columns are of type ANY.

CREATE TABLE account (
    user           ANY     NOT NULL,
    domain         ANY     NOT NULL,  -- also the digest realm
    display_name   TEXT    NOT NULL,
    enabled        INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    ha1_md5        BLOB             CHECK (length(ha1_md5) = 16),         -- HA1 is the hash of
    ha1_sha256     BLOB             CHECK (length(ha1_sha256) = 32),      -- user:realm:password
    ha1_sha512_256 BLOB             CHECK (length(ha1_sha512_256) = 32),  -- (RFC 7616, RFC 8760)
    PRIMARY KEY (user, domain)
) STRICT, WITHOUT ROWID;

CREATE TABLE binding (
    user       ANY     NOT NULL,
    domain     ANY     NOT NULL,
    contact    ANY     NOT NULL,  -- the contact URI
    params     ANY     NOT NULL,  -- parameters of the Contact header
    q          INTEGER NOT NULL,  -- thousandths
    expires    INTEGER NOT NULL,
    refreshed  INTEGER NOT NULL,
    call_id    ANY     NOT NULL,  -- of the REGISTER that wrote it
    cseq       INTEGER NOT NULL,
    txn        INTEGER NOT NULL,  -- hash of its branch
    transport  TEXT    NOT NULL,
    local      TEXT    NOT NULL,  -- our socket; empty where it is not known
    remote     TEXT    NOT NULL,  -- where the REGISTER came from
    user_agent ANY     NOT NULL,
    PRIMARY KEY (user, domain, contact)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY  NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW accounts AS
    SELECT user || '@' || domain AS account, display_name, enabled,
           trim(iif(ha1_md5 IS NULL, '', 'MD5 ') || iif(ha1_sha256 IS NULL, '', 'SHA-256 ')
                || iif(ha1_sha512_256 IS NULL, '', 'SHA-512-256')) AS algorithms
    FROM account;

CREATE VIEW registrations AS
    SELECT user || '@' || domain AS account, contact, transport, remote,
           datetime(refreshed / 1000000, 'unixepoch') AS since,
           datetime(expires / 1000000, 'unixepoch') AS until, user_agent
    FROM binding;
