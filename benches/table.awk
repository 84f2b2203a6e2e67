# Makes the tables of docs/performance.md: first file `rows`, then what was measured, lines
# `bench GROUP.NAME VALUE UNIT` (ns or count) and `kernel RELEASE`; -v groups='GROUP…' picks.
# Names on stderr each row that is not as wanted, and then exits with 1; or that can't be worked out,
# and then exits with 2.

function fail(words) { print "bench: " words > "/dev/stderr"; failed++ }

function trim(text) { gsub(/^ +| +$/, "", text); return text }

function thousands(number,  text) {
  text = sprintf("%.0f", number)
  while (text ~ /[0-9][0-9][0-9][0-9]/ && match(text, /[0-9][0-9][0-9]($|,)/))
    text = substr(text, 1, RSTART - 1) "," substr(text, RSTART)
  return text
}

# Three digits say all that a repeat would say again.
function shown(number) { return number < 10 ? sprintf("%.2f", number) : number < 100 ? sprintf("%.1f", number) : thousands(number) }

function known(name) {
  if (!(name in value)) { fail("not measured: " name); return 0 }
  return 1
}

function holds(got, relation, want) {
  return relation == "<=" ? got <= want : relation == ">=" ? got >= want : relation == "=" ? got == want : 0
}

function row(group, line,  cell, part, n, names, got, text, wish, missed) {
  n = split(line, cell, "|")
  names = split(trim(cell[2]), part, " / ")
  part[1] = group "." trim(part[1]); part[2] = group "." trim(part[2])
  if (!known(part[1]) || (names == 2 && !known(part[2]))) return
  if (names == 2 && value[part[2]] <= 0) { fail("no measure of anything: " part[2]); return }
  got = names == 2 ? value[part[1]] / value[part[2]] : value[part[1]]
  text = names == 2 ? shown(got) " ×" : thousands(got)
  wish = n > 2 ? trim(cell[3]) : ""
  if (wish != "") {
    split(wish, part, " ")
    missed = !holds(got, part[1], part[2] + 0)
    if (missed) print "bench: missed: " group ": " trim(cell[1]) ": " got ", wanted " wish > "/dev/stderr"
    misses += missed
    sub(/<=/, "≤", wish); sub(/>=/, "≥", wish)
    if (missed) wish = wish ", **missed**"
  }
  rows[++count] = "| " trim(cell[1]) " | " text " | " wish " |"
}

BEGIN { n = split(groups, list, " "); for (i = 1; i <= n; i++) chosen[list[i]] = 1 }

FNR == NR && /^\[/ { title[++titles] = $0; next }
FNR == NR && /\|/ { line[titles, ++lines[titles]] = $0; next }
FNR == NR { next }
$1 == "bench" && NF == 4 && $3 ~ /^[0-9]+$/ {
  if ($2 in value) fail("measured twice: " $2)
  value[$2] = $3 + 0
}
$1 == "kernel" { if (kernel != "" && kernel != $2) fail("different kernels: " kernel ", " $2); kernel = $2 }

END {
  for (t = 1; t <= titles; t++) {
    group = substr(title[t], 2, index(title[t], "]") - 2)
    if (!(group in chosen)) continue
    count = 0
    for (i = 1; i <= lines[t]; i++) row(group, line[t, i])
    print "### " trim(substr(title[t], index(title[t], "]") + 1)) "\n\n| `benches/run " group "` | measured | wanted |\n|---|--:|--:|"
    for (i = 1; i <= count; i++) print rows[i]
    print ""
  }
  if (kernel == "") fail("no kernel named itself")
  print "Kernel " kernel "."
  exit failed ? 2 : misses > 0
}
