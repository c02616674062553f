# Raw figures of deploy/bench (set, deed, tool, wall, cpu, peak KiB, stored bytes) become tables, one for each set. Read together with bench-median.awk.
FNR == NR { files[$1] = $2; bytes[$1] = $3; order[++sets] = $1; next }
{
    row = $1 SUBSEP $2 SUBSEP $3
    add(row SUBSEP "wall", $4); add(row SUBSEP "cpu", $5); add(row SUBSEP "peak", $6); add(row SUBSEP "stored", $7)
    if (!((row) in seen)) { seen[row] = 1; if (!(($1, $2) in deed)) { deed[$1, $2] = 1; deeds[$1, ++deedcount[$1]] = $2 } tools[$1, $2, ++toolcount[$1, $2]] = $3 }
}
END {
    for (s = 1; s <= sets; s++) {
        set = order[s]
        printf "\n## %s: %d files, %.0f MB\n\n", set, files[set], bytes[set] / 1e6
        print "| deed | tool | wall s | CPU s | peak MiB | stored MB | × wall | × stored |"
        print "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
        for (d = 1; d <= deedcount[set]; d++) {
            what = deeds[set, d]; bestwall = beststored = 0
            for (t = 1; t <= toolcount[set, what]; t++) {
                tool = tools[set, what, t]; row = set SUBSEP what SUBSEP tool
                if (tool == "holdfast" || tool == "limit" || tool == "tar") continue
                w = median(row SUBSEP "wall"); b = stored(set, what, row)
                if (!bestwall || w < bestwall) bestwall = w
                if (!beststored || b < beststored) beststored = b
            }
            for (t = 1; t <= toolcount[set, what]; t++) {
                tool = tools[set, what, t]; row = set SUBSEP what SUBSEP tool
                w = median(row SUBSEP "wall"); b = stored(set, what, row)
                printf "| %s | %s | %.2f | %.2f | %d | %.3f | %s | %s |\n", what, tool, w, median(row SUBSEP "cpu"), median(row SUBSEP "peak") / 1024, b / 1e6,
                    tool == "holdfast" && bestwall ? sprintf("%.2f", bestwall / w) : "", tool == "holdfast" && beststored && b && what != "restore" ? sprintf("%.2f", beststored / b) : ""
            }
        }
    }
}
function stored(set, what, row) { return set == "days" && what == "after the change" ? sum[row SUBSEP "stored"] : median(row SUBSEP "stored") }
