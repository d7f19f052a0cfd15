#!/bin/sh
# Every ablation as a row of one table.
#
#     benchmarks/accuracy/ablations.sh [OUT [SYSTEM [MORE ARGUMENTS OF fokker benchmark]]]
#
# For example: benchmarks/accuracy/ablations.sh runs/ablations alanine-dipeptide --seeds 3 --budget 5m
# Resumable: a finished cell is never done again. FOKKER names the command.
set -eu
out=${1:-runs/ablations}
system=${2:-mueller-brown}
[ $# -ge 1 ] && shift
[ $# -ge 1 ] && shift
variants=$(dirname "$0")/variants

rows="diffclf-quarter diffclf-quarter-512 diffclf-whole-256 rne-quarter fokker-weak fokker-strong dsm-only"
rows="$rows non-conservative strong unweighted weight-x0.01 weight-x0.1 weight-x10"
rows="$rows fraction-0.0625 fraction-0.25 one-expert two-experts"
if [ "$system" != mueller-brown ]; then
    # One bead has no torsions, and so dsm-only is no-diffclf.
    rows="$rows no-torsion no-diffclf graph-transformer"
fi
arguments=""
for row in $rows; do
    arguments="$arguments --variant $row=$variants/$row.toml"
done
# shellcheck disable=SC2086
exec ${FOKKER:-fokker} benchmark "$system" --methods mixture,both,fokker,rne,ctsm,fitted \
    $arguments --out "$out/$system" "$@"
