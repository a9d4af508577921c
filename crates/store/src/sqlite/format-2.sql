-- Format 2: outbound registrations (RFC 5626), whose key is the flow of a device and not the contact;
-- Path (RFC 3327); temporary GRUUs (RFC 5627).

CREATE TABLE binding_2 (
    user        ANY     NOT NULL,
    domain      ANY     NOT NULL,
    key         ANY     NOT NULL,  -- the contact URI; of an outbound registration `REG-ID INSTANCE`
    contact     ANY     NOT NULL,  -- the contact URI
    params      ANY     NOT NULL,  -- parameters of the Contact header
    q           INTEGER NOT NULL,  -- thousandths
    expires     INTEGER NOT NULL,
    refreshed   INTEGER NOT NULL,
    call_id     ANY     NOT NULL,  -- of the REGISTER that wrote it
    cseq        INTEGER NOT NULL,
    txn         INTEGER NOT NULL,  -- hash of its branch
    transport   TEXT    NOT NULL,
    local       TEXT    NOT NULL,  -- our socket; empty where it is not known
    remote      TEXT    NOT NULL,  -- where the REGISTER came from
    user_agent  ANY     NOT NULL,
    instance    ANY     NOT NULL,  -- the URN of the device; empty where it named none
    reg_id      INTEGER NOT NULL,  -- which of its flows; 0: no outbound registration
    path        ANY     NOT NULL,  -- Path values, in order; empty where there was none
    gruus_since INTEGER NOT NULL,  -- older temporary GRUUs of the device are void
    PRIMARY KEY (user, domain, key)
) STRICT, WITHOUT ROWID;

INSERT INTO binding_2
    SELECT user, domain, contact, contact, params, q, expires, refreshed, call_id, cseq, txn,
           transport, local, remote, user_agent, '', 0, '', refreshed
    FROM binding;

DROP VIEW registrations;
DROP TABLE binding;
ALTER TABLE binding_2 RENAME TO binding;

CREATE VIEW registrations AS
    SELECT user || '@' || domain AS account, contact, transport, remote, path, instance, reg_id,
           datetime(refreshed / 1000000, 'unixepoch') AS since,
           datetime(expires / 1000000, 'unixepoch') AS until, user_agent
    FROM binding;
