//! Which instruction levels the kernels are compiled for: `ORBAS_LEVELS` is `all` (the default: what is shipped runs on
//! every processor of the target) or `native` (the widest of this machine only: a build in a third of the time).

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ORBAS_LEVELS");
    for level in ["baseline", "avx2", "avx512"] {
        println!("cargo::rustc-check-cfg=cfg(compile_{level})");
    }
    for level in levels() {
        println!("cargo::rustc-cfg=compile_{level}");
    }
}

fn levels() -> Vec<&'static str> {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let native = match variable("ORBAS_LEVELS").as_str() {
        "" | "all" => false,
        "native" => variable("HOST") == variable("TARGET"),
        other => panic!("ORBAS_LEVELS is {other:?}: use all or native"),
    };
    match variable("CARGO_CFG_TARGET_ARCH").as_str() {
        "x86_64" if native => vec![widest()],
        "x86_64" => vec!["baseline", "avx2", "avx512"],
        _ => vec!["baseline"],
    }
}

/// Features as `src/simd/x86.rs` asks for them.
#[cfg(target_arch = "x86_64")]
fn widest() -> &'static str {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("popcnt");
    match avx2 {
        true if is_x86_feature_detected!("avx512f") => "avx512",
        true => "avx2",
        false => "baseline",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn widest() -> &'static str {
    "baseline"
}
