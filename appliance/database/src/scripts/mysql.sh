# How MySQL and MariaDB are asked, by sh inside their container. $1 is what is wanted, $2 for how many seconds at most.
# Who may log in is what the container itself says: variables of the official and of Bitnami's images, or root by the socket.
file() { if [ -n "$1" ] && [ -r "$1" ]; then cat "$1"; fi; }
find() { for name in "$@"; do if command -v "$name" >/dev/null 2>&1; then echo "$name"; return; fi; done; }
: "${MYSQL_PWD:=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-$(file "${MARIADB_ROOT_PASSWORD_FILE:-${MYSQL_ROOT_PASSWORD_FILE:-}}")}}}"
export MYSQL_PWD
CLIENT=$(find mariadb mysql)
if [ -z "$CLIENT" ]; then echo 'its image has no client, mariadb or mysql' >&2; exit 1; fi
ask() { "$CLIENT" -u root --batch --comments --skip-column-names --connect-timeout=10 -e "$1"; }
# The session that keeps tables locked, told by the remark in what it does.
HOLDER="select id from information_schema.processlist where info like 'do /* holdfast lock */ sleep%'"
release() { for id in $(ask "$HOLDER"); do ask "kill $id"; done; }
case $1 in
    facts) ask 'select version()' ;;
    settle) ;;
    # InnoDB and Aria come up from any instant. Tables of other kinds are whole only when they are flushed and nobody
    # writes: if there are any, a session locks them all until it is killed, or its sleep is over.
    prepare)
        others=$(ask "select count(*) from information_schema.tables where table_type = 'BASE TABLE' and engine not in
            ('InnoDB', 'Aria', 'MEMORY', 'PERFORMANCE_SCHEMA') and table_schema not in ('information_schema', 'performance_schema', 'sys')
            and not (table_schema = 'mysql' and engine = 'CSV')") || exit 1
        if [ "$others" = 0 ]; then exit 0; fi
        ask "set lock_wait_timeout = 20; flush tables with read lock; do /* holdfast lock */ sleep($2)" >/dev/null 2>&1 </dev/null &
        tries=0
        while [ -z "$(ask "$HOLDER")" ]; do
            tries=$((tries + 1))
            if [ $tries -gt 100 ] || ! kill -0 $! 2>/dev/null; then
                echo 'the tables could not be locked within 20 seconds' >&2
                release
                exit 1
            fi
            sleep 0.2
        done ;;
    release) release ;;
    dump)
        dump=$(find mariadb-dump mysqldump)
        if [ -z "$dump" ]; then echo 'its image has no mariadb-dump or mysqldump' >&2; exit 1; fi
        if "$dump" --help 2>/dev/null | grep -q set-gtid-purged; then set -- --set-gtid-purged=OFF; else set --; fi
        exec "$dump" -u root --all-databases --single-transaction --quick --routines --events --triggers --hex-blob \
            --skip-dump-date "$@" ;;
    replay) "$CLIENT" -u root && ask 'flush privileges' ;;
    *) exit 64 ;;
esac
