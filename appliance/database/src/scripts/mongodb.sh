# How MongoDB is asked, by sh inside its container. $1 is what is wanted, $2 for how many seconds at most. Who may log in is what
# the container itself says: variables of the official and of Bitnami's images, or nobody's secret at all. Passwords go to the
# shell and to the tools by their standard input.
file() { if [ -n "$1" ] && [ -r "$1" ]; then cat "$1"; fi; }
find() { for name in "$@"; do if command -v "$name" >/dev/null 2>&1; then echo "$name"; return; fi; done; }
PASSWORD=${MONGO_INITDB_ROOT_PASSWORD:-$(file "${MONGO_INITDB_ROOT_PASSWORD_FILE:-}")}
NAME=${MONGO_INITDB_ROOT_USERNAME:-$(file "${MONGO_INITDB_ROOT_USERNAME_FILE:-}")}
if [ -z "$PASSWORD" ]; then
    PASSWORD=${MONGODB_ROOT_PASSWORD:-$(file "${MONGODB_ROOT_PASSWORD_FILE:-}")}
    NAME=${MONGODB_ROOT_USER:-root}
fi
if [ -z "$PASSWORD" ]; then NAME=; fi
PORT=$(for line in /proc/[0-9]*/cmdline; do tr '\0' ' ' <"$line" 2>/dev/null; echo; done |
    sed -n 's/^[^ ]*mongod .*--port[ =]\([0-9][0-9]*\).*/\1/p' | head -n 1)
: "${PORT:=27017}"
CLIENT=$(find mongosh mongo)
if [ -z "$CLIENT" ]; then echo 'its image has no shell, mongosh or mongo' >&2; exit 1; fi
words() { printf '"'; printf '%s' "$1" | sed 's/[\\"]/\\&/g'; printf '"'; }
LOGIN=
if [ -n "$NAME" ]; then
    LOGIN="var let_in = admin.auth($(words "$NAME"), $(words "$PASSWORD")); if (let_in != 1 && let_in.ok != 1) throw 'it does not let us in';"
fi
# Runs a line of JavaScript, in which tell() answers and run() is an administrator's command. What the shell says besides, its
# prompts, or our line when it cannot read it, is kept from everybody.
ask() {
    said=$(printf '%s\n' "try { var admin = db.getSiblingDB('admin'); var tell = function (x) { print('hold' + 'fast=' + x); }; $LOGIN
        var run = function (x) { var y = admin.runCommand(x); if (y.ok != 1) throw y.errmsg; return y; }; $1; tell('done'); } catch (e) { print('hold' + 'fast!' + e); }" |
        tr '\n' ' ' | { cat; echo; } | "$CLIENT" --quiet --norc --host 127.0.0.1 --port "$PORT" admin 2>/dev/null)
    case $said in
        *holdfast=done*) printf '%s\n' "$said" | sed -n 's/.*holdfast=//p' | sed '/^done$/d' ;;
        *holdfast!*) printf '%s\n' "$said" | sed -n 's/.*holdfast!//p' >&2; return 1 ;;
        *) echo "its shell does not get an answer from it on port $PORT" >&2; return 1 ;;
    esac
}
# Whether the server that answers is one that runs here: a loopback may be shared with another container, where a process of the same number has
# lived for another time. Its beginning is the twentieth word after its name, in hundredths of a second since the machine's.
own() {
    told=$(ask "var n = function (x) { return x.toNumber ? x.toNumber() : x; }; var s = run({serverStatus: 1});
        tell(n(s.pid) + ' ' + Math.floor(n(s.uptimeMillis) / 1000))") || return 1
    pid=${told% *}
    case $pid in ''|*[!0-9]*) return 1 ;; esac
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
    case $stat in *'(mongod)'*) ;; *) return 1 ;; esac
    lived=${told#* }
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    shift 19
    late=$(($(cut -d. -f1 /proc/uptime) - $1 / 100 - lived))
    [ "$late" -ge -5 ] && [ "$late" -le 30 ]
}
is_set() { [ -n "$(ask "tell(run({isMaster: 1}).setName || '')")" ]; }
# A tool with its password, if there is one.
tool() {
    if [ -z "$NAME" ]; then "$@" --host 127.0.0.1 --port "$PORT"; return; fi
    printf '%s\n' "$PASSWORD" | "$@" --host 127.0.0.1 --port "$PORT" --username "$NAME" --authenticationDatabase admin
}
# Sleepers that will unlock, told by a variable.
sleepers() {
    for folder in /proc/[0-9]*; do
        if { tr '\0' '\n' <"$folder/environ"; } 2>/dev/null | grep -q '^HOLDFAST_LOCK='; then echo "${folder#/proc/}"; fi
    done
}
unlock() { ask 'run({fsyncUnlock: 1})'; }
# Locks count: who wakes a sleeper unlocks in its stead, and nobody unlocks twice.
release() { for pid in $(sleepers); do if kill "$pid" 2>/dev/null; then unlock || return 1; fi; done; }
case $1 in
    # Whoever is not let in may know the version, but not the databases. A dump is of one instant only with a log of operations.
    facts) ask "run({listDatabases: 1}); tell(run({buildInfo: 1}).version); tell(run({isMaster: 1}).setName ? 'exact' : 'loose')" ;;
    settle) ask 'run({fsync: 1})' ;;
    # Writes are acknowledged when they are in its memory, up to a tenth of a second before they are in its journal. Locked, it
    # has written all of them, and lets nobody write until it is unlocked: by us, or by a sleeper after a time.
    prepare)
        ( HOLDFAST_LOCK=1 sleep "$2" && unlock ) >/dev/null 2>&1 </dev/null &
        ask 'run({fsync: 1, lock: true})' || { for pid in $(sleepers); do kill "$pid"; done; exit 1; } ;;
    release) release ;;
    dump)
        dump=$(find mongodump)
        if [ -z "$dump" ]; then echo 'its image has no mongodump' >&2; exit 1; fi
        if is_set; then set -- --oplog; else set --; fi
        tool "$dump" --archive "$@" || exit 1
        # Its files are read next: the fewer of its checkpoints fall into that, the likelier it starts from them.
        ask 'run({fsync: 1})' >/dev/null ;;
    # What is in its files and not in the dump was made after it.
    replay)
        restore=$(find mongorestore)
        if [ -z "$restore" ]; then echo 'its image has no mongorestore' >&2; exit 1; fi
        if ! own; then echo 'the server that answers is not the one of this container' >&2; exit 1; fi
        tries=0
        set --
        if is_set; then
            set -- --oplogReplay
            until [ "$(ask 'tell(run({isMaster: 1}).ismaster)')" = true ]; do
                tries=$((tries + 1))
                if [ $tries -gt 120 ]; then echo 'it is not the first of its replica set' >&2; exit 1; fi
                sleep 0.5
            done
        fi
        ask "run({listDatabases: 1}).databases.forEach(function (one) {
            if (['admin', 'local', 'config'].indexOf(one.name) < 0) db.getSiblingDB(one.name).dropDatabase(); })" || exit 1
        { cat <&3 | { tool "$restore" --archive=/dev/fd/4 --drop "$@"; } 4<&0; } 3<&0 ;;
    *) exit 64 ;;
esac
