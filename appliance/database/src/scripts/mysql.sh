# How MySQL and MariaDB are asked, by sh inside their container. $1 is what is wanted, $2 for how many seconds at most.
# Who may log in is what the container itself says: variables of the official and of Bitnami's images, or root by the socket.
file() { if [ -n "$1" ] && [ -r "$1" ]; then cat "$1"; fi; }
find() { for name in "$@"; do if command -v "$name" >/dev/null 2>&1; then echo "$name"; return; fi; done; }
: "${MYSQL_PWD:=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-$(file "${MARIADB_ROOT_PASSWORD_FILE:-${MYSQL_ROOT_PASSWORD_FILE:-}}")}}}"
export MYSQL_PWD
# What the container's variables name may be another server, in which nothing may be dropped. Only the port is kept: its own server goes by
# it too, and a port alone leads to no other address.
PORT=${MYSQL_TCP_PORT:-}
unset MYSQL_HOST MYSQL_TCP_PORT
CLIENT=$(find mariadb mysql)
if [ -z "$CLIENT" ]; then echo 'its image has no client, mariadb or mysql' >&2; exit 1; fi
# Runs one of its programs towards the server of this container, whatever option files say: by the socket that they or a variable name,
# or by the loopback.
WAY=socket
OWN_SOCKET=
here() {
    program=$1
    shift
    case $WAY in
        socket) "$program" --protocol=socket --host=localhost ${OWN_SOCKET:+"--socket=$OWN_SOCKET"} -u root "$@" ;;
        *) "$program" --protocol=tcp --host=127.0.0.1 ${PORT:+"--port=$PORT"} -u root "$@" ;;
    esac
}
ask() { here "$CLIENT" --batch --comments --skip-column-names --connect-timeout=10 -e "$1" </dev/null; }
# Whether the server that answers is the one of this container: 0 if it is, 1 if it is not, 2 if none answers. A socket in this container's
# file system proves it, unless somebody has mounted that of another container here, which has another name. A loopback may be shared, with
# the name, and a copy has the files and the mark of its original: who answers there only tells where its socket lies, and that is asked.
own() {
    name=$(ask 'select @@hostname') && data=$(ask 'select @@datadir') && socket=$(ask 'select @@socket') || return 2
    [ "$name" = "$(cat /proc/sys/kernel/hostname)" ] || return 1
    data=${data%/}
    case $socket in /*) ;; *) socket=$data/$socket ;; esac
    if [ "$WAY" = loopback ]; then
        [ -S "$socket" ] || return 1
        WAY=socket OWN_SOCKET=$socket
        own
        return
    fi
    mark=$(ask 'select @@server_uuid' 2>/dev/null)
    if [ -n "$mark" ] && [ -r "$data/auto.cnf" ]; then grep -qi "$mark" "$data/auto.cnf" || return 1; fi
    [ -S "$socket" ] || [ -e "$data/auto.cnf" ] || [ -e "$data/ibdata1" ] || [ -d "$data/mysql" ]
}
# The words that servers here were started with, one in a line.
started() {
    for process in /proc/[0-9]*; do
        if read -r name <"$process/comm"; then
            case $name in mysqld | mariadbd) tr '\0' '\n' <"$process/cmdline" ;; esac
        fi
    done 2>/dev/null
}
# Sockets that such words name, or option files of a server do.
sockets() {
    said=$(started)
    from=$(printf '%s\n' "$said" | sed -n 's/^--defaults-file=//p' | head -n 1)
    {
        printf '%s\n' "$said"
        my_print_defaults ${from:+"--defaults-file=$from"} mysqld mariadbd server mariadb </dev/null 2>/dev/null
    } | sed -n -e '/^--socket$/{n;p;}' -e 's/^--socket=//p'
}
# Where the client looks there may be nothing: then what the server says of itself is tried, and the loopback after that. Whoever answers has to
# prove itself either way. The complaint about the socket says more to whom neither answers.
if ! ask 'do 0' >/dev/null 2>&1; then
    # Through a pipe: what stands in the script itself some shells write into a file first, and there may be no place for one.
    OWN_SOCKET=$(sockets | while read -r OWN_SOCKET; do
        if [ -S "$OWN_SOCKET" ] && own 2>/dev/null; then
            printf '%s' "$OWN_SOCKET"
            break
        fi
    done)
    if [ -z "$OWN_SOCKET" ]; then
        WAY=loopback
        own 2>/dev/null || WAY=socket OWN_SOCKET=
    fi
fi
# Nothing is read out of another server, and nothing dropped in it.
proven() {
    own
    case $? in
        0) return 0 ;;
        1) echo 'the server that answers is not the one of this container' >&2 ;;
    esac
    exit 1
}
# A copy may have joined the cluster that the original is in, whose other members would drop and take the same.
alone() {
    size=$(ask "show global status like 'wsrep_cluster_size'") || exit 1
    size=${size##*[!0-9]}
    members=$(ask "select count(*) from information_schema.tables where table_schema = 'performance_schema' and
        table_name = 'replication_group_members'") || exit 1
    if [ "$members" != 0 ]; then
        members=$(ask "select count(*) from performance_schema.replication_group_members where member_state = 'ONLINE'") || exit 1
    fi
    # One that is alone counts itself.
    if [ "${size:-0}" -gt 1 ] || [ "${members:-0}" -gt 1 ]; then
        echo 'it is a member of a cluster, whose other members would drop and take the same: nothing was dropped and nothing replayed' >&2
        exit 1
    fi
}
# The session that keeps tables locked, told by the remark in what it does.
HOLDER="select id from information_schema.processlist where info like 'do /* holdfast lock */ sleep%'"
release() { for id in $(ask "$HOLDER"); do ask "kill $id"; done; }
# Databases that are not its own, in digits: names may hold anything. A folder that no server made is none.
others() {
    ask "select hex(schema_name) from information_schema.schemata where schema_name not in
        ('information_schema', 'performance_schema', 'mysql', 'sys', 'ndbinfo') and schema_name not like '#mysql50#%'"
}
# Drops one of them. That its folder cannot go is no harm, as long as no table of it stays.
drop() {
    ask "set names utf8mb4; set lock_wait_timeout = 60; set foreign_key_checks = 0; set @name = convert(unhex('$1') using utf8mb4);
        set @line = concat('drop database \`', replace(@name, '\`', '\`\`'), '\`'); prepare one from @line; execute one" ||
        [ "$(ask "select count(*) from information_schema.tables where hex(table_schema) = '$1'")" = 0 ]
}
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
        ask "set lock_wait_timeout = 20; flush tables with read lock; do /* holdfast lock */ sleep($2)" >/dev/null 2>&1 &
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
        proven
        if "$dump" --help 2>/dev/null | grep -q set-gtid-purged; then set -- --set-gtid-purged=OFF; else set --; fi
        here "$dump" --all-databases --single-transaction --quick --routines --events --triggers --hex-blob \
            --skip-dump-date "$@" ;;
    # What is in its files and not in the dump was made after it, and may be torn. If it cannot be dropped the dump is replayed all the
    # same, and it is an error in the end.
    replay)
        proven
        alone
        names=$(others) || exit 1
        left=
        for name in $names; do drop "$name" || left=yes; done
        if ! here "$CLIENT" || ! ask 'flush privileges'; then exit 1; fi
        if [ -n "$left" ]; then
            echo 'the dump was replayed, but beside it stays what was in the files and could not be dropped' >&2
            exit 1
        fi ;;
    *) exit 64 ;;
esac
