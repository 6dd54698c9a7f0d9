/work/wt-gemm/sofie-runtime/src/simd/target/v4/debug/deps/sofie_infer_runtime-33ddcd07e4caa176.d: sofie-runtime/src/lib.rs sofie-runtime/src/act.rs sofie-runtime/src/element.rs sofie-runtime/src/map/mod.rs sofie-runtime/src/map/op.rs sofie-runtime/src/simd/mod.rs sofie-runtime/src/simd/avx2.rs sofie-runtime/src/simd/avx512.rs sofie-runtime/src/simd/float.rs sofie-runtime/src/simd/level.rs sofie-runtime/src/simd/scalar.rs

/work/wt-gemm/sofie-runtime/src/simd/target/v4/debug/deps/libsofie_infer_runtime-33ddcd07e4caa176.rmeta: sofie-runtime/src/lib.rs sofie-runtime/src/act.rs sofie-runtime/src/element.rs sofie-runtime/src/map/mod.rs sofie-runtime/src/map/op.rs sofie-runtime/src/simd/mod.rs sofie-runtime/src/simd/avx2.rs sofie-runtime/src/simd/avx512.rs sofie-runtime/src/simd/float.rs sofie-runtime/src/simd/level.rs sofie-runtime/src/simd/scalar.rs

sofie-runtime/src/lib.rs:
sofie-runtime/src/act.rs:
sofie-runtime/src/element.rs:
sofie-runtime/src/map/mod.rs:
sofie-runtime/src/map/op.rs:
sofie-runtime/src/simd/mod.rs:
sofie-runtime/src/simd/avx2.rs:
sofie-runtime/src/simd/avx512.rs:
sofie-runtime/src/simd/float.rs:
sofie-runtime/src/simd/level.rs:
sofie-runtime/src/simd/scalar.rs:
