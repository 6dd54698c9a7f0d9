/work/wt-gemm/sofie-runtime/src/simd/target/v4/debug/deps/cfg_if-60d088b21dd76506.d: /root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/cfg-if-1.0.5/src/lib.rs

/work/wt-gemm/sofie-runtime/src/simd/target/v4/debug/deps/libcfg_if-60d088b21dd76506.rmeta: /root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/cfg-if-1.0.5/src/lib.rs

/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/cfg-if-1.0.5/src/lib.rs:
