# How Redis and Valkey are asked, by sh inside their container. $1 is what is wanted, $2 for how many seconds at most, $3 whether
# the app is held then, $4 the configuration file that the server was started with. The password is what the container itself
# says: a variable, that file, or a word of its command, which comes as a line of input if $5 says so.
file() { if [ -n "$1" ] && [ -r "$1" ]; then cat "$1"; fi; }
find() { for name in "$@"; do if command -v "$name" >/dev/null 2>&1; then echo "$name"; return; fi; done; }
CONFIG=${4:-}
told() {
    if [ -n "$CONFIG" ] && [ -r "$CONFIG" ]; then
        sed -n "s/^[[:space:]]*$1[[:space:]][[:space:]]*\"\{0,1\}\([^\"]*\)\"\{0,1\}[[:space:]]*\$/\1/p" "$CONFIG" | head -n 1
    fi
}
if [ "${5:-}" = secret ]; then IFS= read -r REDISCLI_AUTH; fi
: "${REDISCLI_AUTH:=${REDIS_PASSWORD:-${VALKEY_PASSWORD:-$(file "${REDIS_PASSWORD_FILE:-${VALKEY_PASSWORD_FILE:-}}")}}}"
: "${REDISCLI_AUTH:=$(told requirepass)}"
export REDISCLI_AUTH VALKEYCLI_AUTH="$REDISCLI_AUTH"
if [ -z "$REDISCLI_AUTH" ]; then unset REDISCLI_AUTH VALKEYCLI_AUTH; fi
# The server's title tells where it listens: “redis-server 0.0.0.0:6379”.
PORT=$(for line in /proc/[0-9]*/cmdline; do tr '\0' ' ' <"$line" 2>/dev/null; echo; done |
    sed -n 's/^[^ ]*\(redis\|valkey\|keydb\)-server [^ ]*:\([0-9][0-9]*\).*/\2/p' | head -n 1)
CLIENT=$(find redis-cli valkey-cli keydb-cli)
if [ -z "$CLIENT" ]; then echo 'its image has no redis-cli or valkey-cli' >&2; exit 1; fi
ask() {
    answer=$("$CLIENT" -h 127.0.0.1 -p "${PORT:-6379}" "$@") || return 1
    case $answer in NOAUTH* | WRONGPASS* | ERR* | DENIED* | NOPERM*) echo "$answer" >&2; return 1 ;; esac
    printf '%s\n' "$answer"
}
fact() { ask info "$1" | tr -d '\r' | sed -n "s/^$2://p"; }
# Begins to save; one that was begun by somebody else has to end first, for it has an older state.
save() {
    tries=0
    until ask bgsave >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ]; then ask bgsave >&2; return 1; fi
        sleep 0.2
    done
    while [ "$(fact persistence rdb_bgsave_in_progress)" = 1 ]; do sleep 0.1; done
    if [ "$(fact persistence rdb_last_bgsave_status)" != ok ]; then echo 'its last save failed' >&2; return 1; fi
}
case $1 in
    facts)
        version=$(fact server valkey_version); [ -n "$version" ] || version=$(fact server redis_version)
        [ -n "$version" ] && echo "$version" ;;
    settle) ;;
    # A log of all writes is on disk anyway. Without it nothing is but the last save: one is made now, and nobody writes from
    # then until the copy is taken, so that it holds all that was acknowledged. Of more than 512 MiB a save takes too long for that.
    prepare)
        if [ "$(fact persistence aof_enabled)" = 1 ]; then exit 0; fi
        points=$(ask config get save 2>/dev/null | sed -n '2p' | tr -d '\r"')
        if ask config get save >/dev/null 2>&1 && [ -z "$points" ]; then exit 0; fi
        used=$(fact memory used_memory)
        if [ "$3" = hold ] && [ "${used:-0}" -le 536870912 ]; then ask client pause "$(($2 * 1000))" write >/dev/null || exit 1; fi
        save || { ask client unpause >/dev/null; exit 1; } ;;
    release) ask client unpause >/dev/null ;;
    dump) exec "$CLIENT" -h 127.0.0.1 -p "${PORT:-6379}" --rdb - ;;
    *) exit 64 ;;
esac
