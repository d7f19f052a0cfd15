#!/bin/sh
# Every ablation as a table of its own.
#
#     benchmarks/ablations.sh [OUT [SYSTEM [MORE ARGUMENTS OF fokker benchmark]]]
#
# For example: benchmarks/ablations.sh runs/ablations alanine-dipeptide --seeds 3 --budget 5m
# Resumable: a finished cell is never done again. FOKKER names the command, ONLY one table.
set -eu
out=${1:-runs/ablations}
system=${2:-mueller-brown}
[ $# -ge 1 ] && shift
[ $# -ge 1 ] && shift
variants=$(dirname "$0")/variants
fokker=${FOKKER:-fokker}

# table NAME METHODS VARIANT... : one table.
table() {
    name=$1 methods=$2
    shift 2
    [ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || return 0
    rows=""
    for variant in "$@"; do
        rows="$rows --variant $variant=$variants/$variant.toml"
    done
    # shellcheck disable=SC2086
    $fokker benchmark "$system" --methods "$methods" $rows --out "$out/$system-$name" $more
}
more="$*"

table conservative mixture non-conservative
table residual both strong unweighted
table weight both weight-x0.01 weight-x0.1 weight-x10
table fraction both fraction-0.0625 fraction-0.25
table experts fokker one-expert two-experts
table consistency fokker,rne,ctsm,fitted dsm-only fokker-weak fokker-strong
table terms fokker dsm-only no-torsion no-diffclf
if [ "$system" != mueller-brown ]; then
    table network fokker graph-transformer
fi
