# What a month of deploy/bench cloud asked of the bucket, as tables. $ours: what bench_cloud told of it; $restic: each deed of restic with its
# requests; $gib, $hours: of the month; $restic_hours, $restic_bytes: how far restic came, and what its bucket held then.
def kinds: ["PUT", "GET", "HEAD", "LIST", "DELETE", "POST"];
def sum: reduce .[] as $one ({}; reduce kinds[] as $kind (.; .[$kind] += $one[$kind]));
def by($factor): with_entries(.value = (.value * $factor | round));
def row($tool; $what): . as $of | "| \($tool) | \($what) | \([kinds[] | $of[.] // 0 | tostring] | join(" | ")) |";
def month($tool): row($tool; "the month"), (by(1024 / $gib) | row($tool; "the month, for a TiB"));
# How often a deed is done in the month.
def in_a_month: if . == "first backup" then 1 elif . == "daily prune" then ($hours / 24 | floor) else $hours - 1 end;
def mb: . / 1e6 | round;

$ours[0] as $own
| ($restic | group_by(.what) | map({what: .[0].what, run: length, requests: (map(.requests) | sum)})
    | map((.what | in_a_month) as $of | . + {of: $of, requests: (.requests | by($of / (.run // 1)))})) as $peer
| ($restic_hours / 24 | floor) as $days
| "| tool | deed | PUT | GET | HEAD | LIST | DELETE | POST |",
  "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
  ($own.deeds[] | . as $deed | .requests | row("holdfast"; "\($deed.what) × \($deed.times)")),
  ($own.requests | month("holdfast")),
  ($peer[] | . as $deed | .requests | row("restic"; "\($deed.what) × \($deed.of), scaled from \($deed.run)")),
  ($peer | map(.requests) | sum | month("restic")),
  "| one object for each chunk, computed, not run | the month | \($own.chunk_puts) | – | – | – | – | – |",
  "| one object for each chunk, computed, not run | the month, for a TiB | \($own.chunk_puts * 1024 / $gib | round) | – | – | – | – | – |",
  "",
  "| tool | snapshots at the end | objects | MB at the end | MB after \($restic_hours) hours |",
  "| --- | ---: | ---: | ---: | ---: |",
  "| holdfast | \($own.snapshots) | \($own.objects) | \($own.bytes | mb) | \(if $days > 0 then $own.bytes_by_day[$days - 1] | mb else "–" end) |",
  "| restic | – | – | – | \($restic_bytes | mb) |"
