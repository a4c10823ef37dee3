#!/usr/bin/env bash
# Runs every fuzz target: fuzz/run.sh [SECONDS each, 10] [TARGET ...]
#
# Needs a stable Rust and a C++ compiler, neither nightly nor cargo-fuzz: coverage instrumentation is a stable code generation
# option, and there is no sanitizer (the dataplane's own `unsafe` lies where no foreign byte is parsed; debug assertions and
# overflow checks are on). With cargo-fuzz, `cargo fuzz run TARGET -s none` does the same.
#
# New inputs go to fuzz/corpus/TARGET (not committed), what breaks a property to fuzz/artifacts/TARGET: move it to
# fuzz/regressions/TARGET once it is understood, where plain tests replay it for ever.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-10}
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  mapfile -t targets < <(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"$/\1/p' Cargo.toml)
fi

if ! command -v "${CXX:-c++}" >/dev/null; then
  echo "fuzz: no C++ compiler (Debian: apt install g++): only the kept inputs are replayed" >&2
  exec cargo test --release --no-default-features --features control --test replay
fi

# What cargo-fuzz sets, without a sanitizer. With --target, build scripts and macros are left alone.
host=$(rustc -vV | sed -n 's/^host: //p')
flags='--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares'
echo "fuzz: building"
env -u CARGO_TARGET_DIR -u RUSTC_BOOTSTRAP RUSTFLAGS="$flags" \
  cargo build --quiet --release --target "$host" --target-dir target --bins

failed=()
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target" target/logs
  inputs=("corpus/$target")
  for kind in seeds regressions; do
    [ ! -d "$kind/$target" ] || inputs+=("$kind/$target")
  done
  log=target/logs/$target
  # Slow inputs are failures too: a property takes microseconds, not seconds.
  if "target/$host/release/$target" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10 \
    -max_len=2048 -reload=0 -print_final_stats=1 -artifact_prefix="artifacts/$target/" "${inputs[@]}" \
    >"$log" 2>&1 </dev/null; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    reached=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)
    printf 'fuzz: %-10s ok      %9s runs, %6s edges\n' "$target" "$runs" "$reached"
  else
    printf 'fuzz: %-10s FAILED\n' "$target"
    grep -A 3 -m 1 'panicked at\|ERROR: libFuzzer: [^d]' "$log" || tail -20 "$log"
    grep 'Test unit written' "$log" || true
    failed+=("$target")
  fi
done
[ ${#failed[@]} = 0 ] || { echo "fuzz: failed: ${failed[*]}; see fuzz/artifacts" >&2; exit 1; }
