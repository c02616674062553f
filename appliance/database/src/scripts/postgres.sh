# How PostgreSQL is asked, by sh inside its container. $1 is what is wanted. Who may log in is what the container itself says:
# variables of the official and of Bitnami's images, or nobody's secret at all.
file() { if [ -n "$1" ] && [ -r "$1" ]; then cat "$1"; fi; }
if [ -n "${POSTGRESQL_POSTGRES_PASSWORD:-}${POSTGRESQL_POSTGRES_PASSWORD_FILE:-}" ]; then
    : "${PGUSER:=postgres}" "${PGPASSWORD:=${POSTGRESQL_POSTGRES_PASSWORD:-$(file "${POSTGRESQL_POSTGRES_PASSWORD_FILE:-}")}}"
fi
: "${PGUSER:=${POSTGRES_USER:-${POSTGRESQL_USERNAME:-postgres}}}"
: "${PGPASSWORD:=${POSTGRES_PASSWORD:-${POSTGRESQL_PASSWORD:-$(file "${POSTGRES_PASSWORD_FILE:-${POSTGRESQL_PASSWORD_FILE:-}}")}}}"
export PGUSER PGPASSWORD PGCONNECT_TIMEOUT=10
for PGDATABASE in postgres "${POSTGRES_DB:-${POSTGRESQL_DATABASE:-$PGUSER}}" template1; do
    export PGDATABASE
    if psql -XqAtc 'select 1' >/dev/null 2>&1; then break; fi
done
case $1 in
    facts) psql -XqAtc 'show server_version' ;;
    # Before the files are read ahead: most of what it has in memory is then on disk, and a start from the copy is quick.
    settle) psql -XqAtc checkpoint ;;
    dump) exec pg_dumpall --clean --if-exists -l "$PGDATABASE" ;;
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
    # Whoever replays it is a role of its own list, which can be neither dropped nor made anew; before the first \connect
    # there is no data. What comes through a filter that failed must not pass for the whole: psql stops at a line that is none.
    replay)
        { sed -e "1,/^.connect /{" -e "/^DROP ROLE IF EXISTS \"\\{0,1\\}$PGUSER\"\\{0,1\\};\$/d" \
            -e "/^CREATE ROLE \"\\{0,1\\}$PGUSER\"\\{0,1\\};\$/d" -e "}" || echo 'the filter failed;'; } |
            psql -Xq -v ON_ERROR_STOP=1 >/dev/null ;;
    *) exit 64 ;;
esac
