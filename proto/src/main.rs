//! Writes what is made from the protocol files: `document` writes `docs/api.md`, `baseline` writes down what clients rely on from this release on.

use std::{env, fs, path::PathBuf, process::ExitCode};

use vrouter_proto::{DESCRIPTORS, api};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vrouter-proto: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let apis = api::apis(DESCRIPTORS)?;
    match env::args().nth(1).as_deref() {
        Some("document") => {
            fs::create_dir_all(root.join("../docs"))?;
            fs::write(root.join("../docs/api.md"), api::document(&apis))?;
        }
        Some("baseline") => {
            for one in &apis {
                let file = root.join("baseline").join(format!("{}.txt", one.package));
                let before = api::parse(&fs::read_to_string(&file).unwrap_or_default())?;
                let breaks = api::compare(&before, &api::facts(one));
                if let Some(first) = breaks.first() {
                    return Err(format!("a baseline only grows: {first}").into());
                }
                fs::create_dir_all(root.join("baseline"))?;
                fs::write(file, api::print(one))?;
            }
        }
        _ => return Err("say what to write: document or baseline".into()),
    }
    Ok(())
}
