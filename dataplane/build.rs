//! Compiles the XDP programs, which the dataplane carries within itself.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCES: &str = "src/port/af_xdp/bpf";
const PROGRAMS: [&str; 3] = ["access", "behind", "steer"];

fn main() {
    println!("cargo:rerun-if-changed={SOURCES}");
    println!("cargo:rerun-if-env-changed=CLANG");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        for program in PROGRAMS {
            if let Err(reason) = compile(program) {
                println!("cargo::error=cannot compile the XDP program {program}.bpf.c: {reason}");
            }
        }
    }
}

fn compile(program: &str) -> Result<(), String> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("cargo did not set {name}"));
    let source = Path::new(SOURCES).join(format!("{program}.bpf.c"));
    let object = PathBuf::from(variable("OUT_DIR")?).join(format!("{program}.bpf.o"));
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let endian = match variable("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb",
        _ => "bpfel",
    };
    // `linux/types.h` needs `asm/types.h`, which Debian keeps in a directory per architecture.
    let multiarch = format!("/usr/include/{}-linux-gnu", variable("CARGO_CFG_TARGET_ARCH")?);

    let output = Command::new(&clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", endian, "-c"])
        // The headers of the libbpf that we link, set by libbpf-sys.
        .arg(format!("-I{}", variable("DEP_BPF_INCLUDE")?))
        .args(["-idirafter", &multiarch])
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .output()
        .map_err(|error| {
            format!("cannot run `{clang}`: {error}. Install clang (Debian: apt install clang) or name it in CLANG")
        })?;
    if output.status.success() {
        Ok(())
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "clang failed. It needs the kernel's headers (Debian: apt install linux-libc-dev). It said: {}",
            complaint.trim().replace('\n', " | ")
        ))
    }
}
