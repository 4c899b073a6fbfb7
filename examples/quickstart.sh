#!/bin/sh
# The main job in one minute, on a folder: no AWS account, no server, nothing left behind.
#
#     sh examples/quickstart.sh [PROGRAM]
#
# Builds microsecrets (unless PROGRAM is given), uploads an environment, starts a program with it, changes it, and shows
# what is on the disk.
set -eu

program=${1:-}
if [ -z "$program" ]; then
    cd "$(dirname "$0")/.."
    cargo build --quiet --locked -p microsecrets-cli
    program=target/debug/microsecrets
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
# The store's identity goes into your configuration folder; here into one that is removed again.
export XDG_CONFIG_HOME="$folder/config" MICROSECRETS_BUCKET="file:$folder/secrets" MICROSECRETS_SERVICE=myservice

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
    printf '$ microsecrets'
    for argument; do
        case $argument in
            *[!A-Za-z0-9_./:=-]*) printf " '%s'" "$argument" ;;
            *) printf ' %s' "$argument" ;;
        esac
    done
    echo
    "$program" "$@"
}

say '1. Put the secrets of a service in (here two, from standard input):'
printf 'DB_URL=db://user:pass@example.com:123\nPASSWORD=hunter2\n' | run upload -m 'first secrets'

say '2. Start a program with them in its environment, naming the variables you expect:'
# shellcheck disable=SC2016 # the program expands it
run with-env -w 'DB_URL PASSWORD' -- sh -c 'echo "I am process $$ and I connect to $DB_URL"'

say '3. A variable that nobody named does not get in:'
printf 'DB_URL=db://user:pass@example.com:123\nPASSWORD=hunter2\nLD_PRELOAD=/tmp/evil.so\n' | run upload -q
run with-env -w 'DB_URL PASSWORD' -- echo 'this never runs' || printf '(status %s: the program was not started)\n' "$?"

say '4. What there is, and what a thief of the disk would see:'
run list myservice
find "$folder/secrets/services" -type f | sed "s|$folder/||" | sort
head -c 21 "$folder/secrets/services/myservice/head/environment"; echo ' ...'
