//! Compiles the accelerators' kernels for this machine, for the emulator. Only the feature `emulated` needs a C++
//! compiler.

fn main() {
    println!("cargo::rerun-if-changed=src/gpu/text");
    #[cfg(feature = "emulated")]
    for (name, defines) in [
        ("f32", &[][..]),
        ("bf16", &["ELEM_BF16"][..]),
        ("f32_metal", &["METAL"]),
        ("bf16_metal", &["ELEM_BF16", "METAL"]),
    ] {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std("c++17")
            .opt_level(2)
            .file("src/gpu/text/host/emulator.cpp")
            .define("EMULATE", format!("cropmae_emulate_{name}").as_str())
            .define("VARIANT", format!("emulated_{name}").as_str())
            .define("EMULATOR_SWITCH", format!("cropmae_switch_{name}").as_str());
        for define in defines {
            build.define(define, None);
        }
        build.compile(&format!("cropmae_emulator_{name}"));
    }
}
