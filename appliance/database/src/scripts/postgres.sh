# How PostgreSQL is asked, by sh inside its container. $1 is what is wanted. Who may log in is what the container itself says:
# variables of the official and of Bitnami's images, or nobody's secret at all.
file() { if [ -n "$1" ] && [ -r "$1" ]; then cat "$1"; fi; }
if [ -n "${POSTGRESQL_POSTGRES_PASSWORD:-}${POSTGRESQL_POSTGRES_PASSWORD_FILE:-}" ]; then
    : "${PGUSER:=postgres}" "${PGPASSWORD:=${POSTGRESQL_POSTGRES_PASSWORD:-$(file "${POSTGRESQL_POSTGRES_PASSWORD_FILE:-}")}}"
fi
: "${PGUSER:=${POSTGRES_USER:-${POSTGRESQL_USERNAME:-postgres}}}"
: "${PGPASSWORD:=${POSTGRES_PASSWORD:-${POSTGRESQL_PASSWORD:-$(file "${POSTGRES_PASSWORD_FILE:-${POSTGRESQL_PASSWORD_FILE:-}}")}}}"
export PGUSER PGPASSWORD PGCONNECT_TIMEOUT=10
# What the container's variables name may be another server, in which nothing may be dropped. Only a folder of sockets is kept, and a port,
# which alone leads to no other address.
case ${PGHOST:-} in *,* | [!/]*) unset PGHOST ;; esac
unset PGHOSTADDR PGSERVICE PGSERVICEFILE
answers() {
    for PGDATABASE in postgres "${POSTGRES_DB:-${POSTGRESQL_DATABASE:-$PGUSER}}" template1; do
        export PGDATABASE
        if psql -XqAtc 'select 1' >/dev/null 2>&1 </dev/null; then return 0; fi
    done
    return 1
}
# The complaint about the socket says more to whom neither answers; an empty name means it too.
if ! answers; then
    sockets=${PGHOST:-}
    export PGHOST=127.0.0.1
    answers || PGHOST=$sockets
fi
# Whether the server that answers is the one of this container: 0 if what it reads in its folder is what lies in that folder here, 1 if it
# is not, 2 if that cannot be told. No other server has the same file: it tells the server's process, and when that was started. A folder
# of sockets may have been mounted from another container, and a loopback may be shared.
own() {
    says=$(psql -XqAtc "select pg_read_file('postmaster.pid')" </dev/null) && folder=$(psql -XqAtc 'show data_directory' </dev/null) || return 2
    if [ -d "$folder" ] && [ ! -x "$folder" ]; then return 2; fi
    [ -n "$says" ] && [ "$says" = "$(cat "$folder/postmaster.pid" 2>/dev/null)" ]
}
OTHER='the server that answers is not the one of this container'
case $1 in
    facts) psql -XqAtc 'show server_version' ;;
    # Before the files are read ahead: most of what it has in memory is then on disk, and a start from the copy is quick.
    settle) psql -XqAtc checkpoint ;;
    # Whoever may not read that file is taken at its word here, for nothing is lost by a dump.
    dump)
        own || [ $? = 2 ] || { echo "$OTHER" >&2; exit 1; }
        exec pg_dumpall --clean --if-exists -l "$PGDATABASE" ;;
    # Its files are read while its backup mode lasts: until a line says `done`. Lines before it say that somebody still listens; the end of our
    # input, five minutes without a line, or a disk that is nearly full end the mode too, and then there is no log. A slot that ends with the
    # session keeps the log; without one a checkpoint could throw away what the beginning needs. Nothing is written among its files.
    log)
        number=$(psql -XqAtc 'show server_version_num') && folder=$(psql -XqAtc 'show data_directory') && folder=$(cd "$folder" && pwd -P) || exit
        if [ "$number" -lt 100000 ] || [ ! -d "$folder/pg_wal" ] || [ -L "$folder/pg_wal" ]; then
            echo 'its version is before 10, or its log lies elsewhere' >&2
            exit 65
        fi
        begin="pg_backup_start('holdfast', true)" end='pg_backup_stop(false)'
        if [ "$number" -lt 150000 ]; then begin="pg_start_backup('holdfast', true, false)" end='pg_stop_backup(false, false)'; fi
        work=$(mktemp -d /dev/shm/holdfast.XXXXXX 2>/dev/null) || work=$(mktemp -d /tmp/holdfast.XXXXXX) || exit
        trap 'rm -rf "$work"' EXIT
        export folder work slot="holdfast_$$"
        # A server elsewhere has no slot in this folder.
        cat >"$work/begun.sh" <<'BEGUN'
if [ -d "$folder/pg_replslot/$slot" ]; then
    echo "holdfast-logs $folder"
    : >"$work/begun"
else
    echo 'the server that answers is not the one of this folder' >&2
    : >"$work/over"
fi
BEGUN
        cat >"$work/give.sh" <<'GIVE'
cd "$work" && first=$(cat first) && last=$(cat last) || exit
[ -s tablespace_map ] || rm -f tablespace_map
# They are the server's, whoever we are.
chmod 600 backup_label
chown "$(stat -c %u:%g "$folder")" backup_label tablespace_map 2>/dev/null
[ "$(stat -c %u:%g "$folder")" = "$(stat -c %u:%g backup_label)" ] || { echo 'its label cannot be given to it' >&2; exit 1; }
ln -s "$folder/pg_wal" pg_wal
ls pg_wal | grep -E '^[0-9A-F]{24}$' | LC_ALL=C sort | sed -n "/^$first\$/,\$p" | sed "/^$last\$/q" | sed 's,^,pg_wal/,' >segments
if [ "$(head -n 1 segments)" != "pg_wal/$first" ] || [ "$(tail -n 1 segments)" != "pg_wal/$last" ]; then
    echo 'a part of its log is gone already' >&2
    exit 1
fi
# shellcheck disable=SC2046
tar -cf - backup_label $(ls tablespace_map 2>/dev/null) $(cat segments) && : >whole
GIVE
        # Ends whoever waits for the word, and with it the session, if nobody is there any more, the server's end included.
        watch() {
            left=300
            while [ ! -e "$work/read" ] && [ ! -e "$work/over" ] && [ -d "$work" ] && [ "$left" -gt 0 ]; do
                sleep 5
                left=$((left - 5))
                if [ -e "$work/beat" ]; then rm -f "$work/beat" && left=300; fi
                free=$(df -Pk "$folder/pg_wal" | awk 'NR == 2 {print $4}')
                [ "${free:-1048576}" -ge 262144 ] || left=0
            done
            [ -e "$work/read" ] || [ ! -d "$work" ] || kill "$1"
        }
        {
            printf '%s\n' "select set_config(name, '0', false) from pg_settings where name in ('statement_timeout', 'idle_session_timeout') \\g /dev/null" \
                "select pg_create_physical_replication_slot('$slot', true, true) \\g /dev/null" \
                "select pg_walfile_name($begin) as first \\gset" '\! sh "$work/begun.sh"'
            while [ ! -e "$work/begun" ] && [ ! -e "$work/over" ]; do sleep 0.2 || sleep 1; done
            [ ! -e "$work/over" ] || exit 1
            # Found out here: in the watcher it would be the watcher's own.
            self=$(exec sh -c 'echo "$PPID"')
            watch "$self" >/dev/null 2>&1 &
            answer=
            while [ "$answer" != done ]; do
                read -r answer || { : >"$work/read" && exit 1; }
                : >"$work/beat"
            done
            : >"$work/read"
            printf '%s\n' "select labelfile, coalesce(spcmapfile, '') as map, pg_walfile_name(lsn) as last from $end \\gset"
            for name in first last labelfile:backup_label map:tablespace_map; do
                printf '%s\n' "\\o $work/${name#*:}" "\\qecho -n :${name%:*}" '\o'
            done
            printf '%s\n' '\! sh "$work/give.sh"'
        } | {
            psql -XqAt -v ON_ERROR_STOP=1
            code=$?
            : >"$work/over"
            exit "$code"
        }
        code=$?
        [ "$code" != 0 ] || [ -e "$work/whole" ] || code=1
        exit "$code" ;;
    # What is in its files and not in the dump was made after it, and may be torn: first all go that a dump would hold, but `postgres` and
    # template1, which it drops itself. Whoever replays it is a role of its own list, which can be neither dropped nor made anew; before the first
    # \connect there is no data. What comes through a filter that failed must not pass for the whole: psql stops at a line that is none.
    replay)
        own || {
            if [ $? = 1 ]; then echo "$OTHER" >&2; else echo 'whether the server that answers is the one of this container cannot be told' >&2; fi
            exit 1
        }
        number=$(psql -XqAtc 'show server_version_num' </dev/null) || exit 1
        # Whoever is connected would keep one from being dropped.
        force=
        if [ "$number" -ge 130000 ]; then force=' with (force)'; fi
        others="from pg_database where datallowconn and datname not in ('postgres', 'template0', 'template1', current_database())"
        psql -XqAtc "update pg_database set datistemplate = false where datistemplate and oid in (select oid $others)" </dev/null
        psql -XqAtc "select 'drop database ' || quote_ident(datname) || '$force;' $others" </dev/null | psql -Xq
        left=$(psql -XqAtc "select count(*) $others" </dev/null) || exit 1
        { sed -e "1,/^.connect /{" -e "/^DROP ROLE IF EXISTS \"\\{0,1\\}$PGUSER\"\\{0,1\\};\$/d" \
            -e "/^CREATE ROLE \"\\{0,1\\}$PGUSER\"\\{0,1\\};\$/d" -e "}" || echo 'the filter failed;'; } |
            psql -Xq -v ON_ERROR_STOP=1 >/dev/null || exit 1
        if [ "$left" != 0 ]; then
            echo 'the dump was replayed, but beside it may stay what was in the files and could not be dropped' >&2
            exit 1
        fi ;;
    *) exit 64 ;;
esac
