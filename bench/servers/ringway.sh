#!/bin/bash
# ringway.sh ROLE IP PORT USERS TRANSPORT: serves at IP:PORT in the foreground until SIGTERM, for the side-by-side bench
# that docs/performance.md describes. ROLE: register, auth, call, redirect, options (forwarded without state). Listens on UDP and
# TCP, whatever TRANSPORT says, and where that is tls on TLS at PORT+1, with the bench's own key and certificate.
#
# What is on is what is on for a user: accounts and registrations in SQLite with every commit flushed, the default digest
# challenge (MD5), the log at level info. What is set: who needs no password (the caller's networks, in all roles
# but auth), and how many connections one address may have.
#
# Environment: RINGWAY (the program; default: the release build of this checkout), PEERS (networks without password; 127.0.0.0/8),
# WORKERS (threads; 0: one for each processor it may run on), BENCH_WORK (where the bench has its load generator, and room for data).
set -eu
role=$1 ip=$2 port=$3 users=$4 transport=${5:-udp}
case $role in
    register | auth | call | redirect | options) ;;
    *)
        echo "ringway.sh: no such role: $role (register, auth, call, redirect, options)" >&2
        exit 2
        ;;
esac
here=$(cd "$(dirname "$0")/../.." && pwd)
program=${RINGWAY:-$here/target/release/ringway}
work=${BENCH_WORK:-${TMPDIR:-/tmp}/sip-bench}
# The data of the run before on this port go; a server still on it holds the port, and this one will not start.
dir=$work/ringway-$port
rm -rf "$dir"
mkdir -p "$dir"
{
    secure=
    [ "$transport" != tls ] || secure=", \"tls:$ip:$((port + 1))\""
    printf '[server]\ndomains = ["bench.test"]\nlisten = ["udp:%s:%s", "tcp:%s:%s"%s]\n' "$ip" "$port" "$ip" "$port" "$secure"
    printf 'data = "%s/data"\nworkers = %s\n' "$dir" "${WORKERS:-0}"
    [ -z "$secure" ] || printf '[tls]\ncertificates = ["%s/cert.pem"]\nkeys = ["%s/key.pem"]\n' "$work" "$work"
    printf '[streams]\nconnections_per_address = 100000\n'
    if [ "$role" != auth ]; then
        printf '[[peer]]\nname = "bench"\nnetworks = ["%s"]\nmay_register = true\ntrust_udp = true\n' "${PEERS:-127.0.0.0/8}"
    fi
    case $role in
        redirect) printf '[[domain]]\nname = "bench.test"\nmode = "redirect"\n' ;;
        options) printf '[[route]]\nname = "onward"\nmode = "stateless"\n' ;;
    esac
} > "$dir/ringway.toml"
"$work/loadgen/release/loadgen" users --users "$users" | sed 's/,/@bench.test,HA1=/' \
    | "$program" --quiet --config "$dir/ringway.toml" account import -
ulimit -n 1048576 2> /dev/null || true
exec "$program" serve --config "$dir/ringway.toml"
