-- Format 3: leases (docs/decisions/0024-lease.md). A refresh that ends by `kept_until` changes no row, so
-- a binding may be live after the end that its row says.

ALTER TABLE binding ADD COLUMN kept_until INTEGER NOT NULL DEFAULT 0;  -- when it ends for good

UPDATE binding SET kept_until = expires;

DROP VIEW registrations;
CREATE VIEW registrations AS
    SELECT user || '@' || domain AS account, contact, transport, remote, path, instance, reg_id,
           datetime(refreshed / 1000000, 'unixepoch') AS since,
           datetime(expires / 1000000, 'unixepoch') AS until,
           datetime(kept_until / 1000000, 'unixepoch') AS kept_until, user_agent
    FROM binding;
