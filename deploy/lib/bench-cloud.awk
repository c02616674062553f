# Raw figures of one comparison of deploy/bench cloud (tool, at once, wall, cpu, peak KiB, bytes) become a table. Read together with
# bench-median.awk. Of every tool that is not ours it is told what part of its speed each of ours has: its time divided by ours.
function is_ours(tool) { return tool ~ /^holdfast/ }
{
    if (!($1 in seen)) { seen[$1] = 1; tools[++n] = $1 }
    if ($2 + 0 > most[$1]) most[$1] = $2 + 0
    add($1 SUBSEP "wall", $3 + 0); add($1 SUBSEP "cpu", $4 + 0); add($1 SUBSEP "peak", $5 + 0); add($1 SUBSEP "bytes", $6 + 0)
}
END {
    head = "| tool | at once | wall s | MB/s | CPU s | peak MiB |"
    rule = "| --- | ---: | ---: | ---: | ---: | ---: |"
    for (t = 1; t <= n; t++) if (is_ours(tools[t])) { head = head " " tools[t] " ÷ it |"; rule = rule " ---: |" }
    print head
    print rule
    for (t = 1; t <= n; t++) {
        tool = tools[t]; wall = median(tool SUBSEP "wall")
        line = sprintf("| %s | %s | %.2f | %.0f | %.2f | %d |", tool, most[tool] ? most[tool] : "", wall,
            wall ? median(tool SUBSEP "bytes") / wall / 1e6 : 0, median(tool SUBSEP "cpu"), median(tool SUBSEP "peak") / 1024)
        for (u = 1; u <= n; u++) if (is_ours(tools[u])) {
            own = median(tools[u] SUBSEP "wall")
            line = line (is_ours(tool) || !own ? "  |" : sprintf(" %.2f |", wall / own))
        }
        print line
    }
}
