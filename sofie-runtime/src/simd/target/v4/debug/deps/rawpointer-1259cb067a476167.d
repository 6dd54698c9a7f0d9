/work/wt-gemm/sofie-runtime/src/simd/target/v4/debug/deps/rawpointer-1259cb067a476167.d: /root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/rawpointer-0.2.1/src/lib.rs

/work/wt-gemm/sofie-runtime/src/simd/target/v4/debug/deps/librawpointer-1259cb067a476167.rmeta: /root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/rawpointer-0.2.1/src/lib.rs

/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/rawpointer-0.2.1/src/lib.rs:
