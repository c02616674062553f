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
    # Its files are read while its backup mode lasts, which is as long as whoever asked keeps our input open. A slot that ends with the session
    # keeps the log; without one a checkpoint could throw away what the beginning needs. Nothing is written among its files.
    log)
        number=$(psql -XqAtc 'show server_version_num') && folder=$(psql -XqAtc 'show data_directory') || exit
        if [ "$number" -lt 100000 ] || [ ! -d "$folder/pg_wal" ] || [ -L "$folder/pg_wal" ]; then
            echo 'its version is before 10, or its log lies elsewhere' >&2
            exit 65
        fi
        begin="pg_backup_start('holdfast', true)" end='pg_backup_stop(false)'
        if [ "$number" -lt 150000 ]; then begin="pg_start_backup('holdfast', true, false)" end='pg_stop_backup(false, false)'; fi
        work=$(mktemp -d /dev/shm/holdfast.XXXXXX 2>/dev/null) || work=$(mktemp -d /tmp/holdfast.XXXXXX) || exit
        trap 'rm -rf "$work"' EXIT
        export folder work
        cat >"$work/give" <<'GIVE'
cd "$work" && first=$(cat first) && last=$(cat last) || exit
[ -s tablespace_map ] || rm -f tablespace_map
# They are the server's, whoever we are.
chown "$(stat -c %u:%g "$folder")" backup_label tablespace_map 2>/dev/null
chmod 600 backup_label tablespace_map 2>/dev/null
ln -s "$folder/pg_wal" pg_wal
ls pg_wal | grep -E '^[0-9A-F]{24}$' | LC_ALL=C sort | sed -n "/^$first\$/,\$p" | sed "/^$last\$/q" | sed 's,^,pg_wal/,' >segments
if [ "$(head -n 1 segments)" != "pg_wal/$first" ] || [ "$(tail -n 1 segments)" != "pg_wal/$last" ]; then
    echo 'a part of its log is gone already' >&2
    exit 1
fi
# shellcheck disable=SC2046
tar -cf - backup_label $(ls tablespace_map 2>/dev/null) $(cat segments) && : >whole
GIVE
        {
            echo "select pg_create_physical_replication_slot('holdfast_$$', true, true) \\g /dev/null"
            echo "select pg_walfile_name($begin) as first \\gset"
            echo '\! echo "holdfast-logs $folder"; : >"$work/begun"'
            while [ ! -e "$work/begun" ] && [ ! -e "$work/over" ]; do sleep 0.2 || sleep 1; done
            timeout "$2" cat >/dev/null || :
            echo "select labelfile, coalesce(spcmapfile, '') as map, pg_walfile_name(lsn) as last from $end \\gset"
            for name in first last labelfile:backup_label map:tablespace_map; do
                printf '%s\n' "\\o $work/${name#*:}" "\\qecho -n :${name%:*}" '\o'
            done
            echo '\! sh "$work/give"'
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
