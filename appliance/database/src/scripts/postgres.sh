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
    # Whoever replays it is a role of its own list, which can be neither dropped nor made anew; before the first \connect
    # there is no data. What comes through a filter that failed must not pass for the whole: psql stops at a line that is none.
    replay)
        { sed -e "1,/^.connect /{" -e "/^DROP ROLE IF EXISTS \"\\{0,1\\}$PGUSER\"\\{0,1\\};\$/d" \
            -e "/^CREATE ROLE \"\\{0,1\\}$PGUSER\"\\{0,1\\};\$/d" -e "}" || echo 'the filter failed;'; } |
            psql -Xq -v ON_ERROR_STOP=1 >/dev/null ;;
    *) exit 64 ;;
esac
