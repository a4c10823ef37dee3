//! The daemons' logs: lines for people, or one JSON object on each line, whatever happens: panics and last words, too.

use std::{error::Error, io, panic, thread};

use tracing_subscriber::EnvFilter;

/// Starts the log, on standard error. `filter`: a level, or one for each target. With `json`, panics become lines of the log.
///
/// # Errors
/// The filter is none, or there is a log already.
pub fn start(filter: &str, json: bool) -> Result<(), Box<dyn Error + Send + Sync>> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr);
    if !json {
        return log.try_init();
    }
    log.json().try_init()?;
    panic::set_hook(Box::new(|panicked| {
        let thread = thread::current();
        tracing::error!(
            thread = thread.name().unwrap_or("?"),
            place = panicked.location().map(ToString::to_string),
            "panicked: {}",
            panicked.payload_as_str().unwrap_or("with something that is no text")
        );
    }));
    Ok(())
}

/// The last words of a program: why it ends, one cause a line; as JSON all in one.
pub fn last_words(program: &str, error: &dyn Error, json: bool) {
    let (mut causes, mut next) = (Vec::new(), error.source());
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if json {
        // It may not have come to a log.
        let _ = start("error", true);
        tracing::error!(program, causes = causes.join(": "), "{error}");
        return;
    }
    eprintln!("{program}: {error}");
    for cause in causes {
        eprintln!("  because: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    /// Run by the other one, in a process of its own, of whose standard error every line counts.
    #[test]
    #[ignore = "run by another test"]
    fn a_process_with_a_log() {
        let json = env::var("VROUTER_TEST_LOG").is_ok_and(|format| format == "json");
        start("info", json).unwrap();
        tracing::info!(name = "a \"b\"\n{c}", "several\nlines");
        let ended = thread::Builder::new()
            .name("worker-0".to_owned())
            .spawn(|| panic!("no\nway"))
            .unwrap();
        ended.join().unwrap_err();
        let inner = io::Error::other("the disk\nis \"full\"");
        last_words("vrouterd", &io::Error::other(inner), json);
    }

    fn lines(format: &str) -> Vec<String> {
        let output = Command::new(env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "log::tests::a_process_with_a_log",
                "--nocapture",
            ])
            .env("VROUTER_TEST_LOG", format)
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_line_is_one_json_object_panics_and_last_words_too() {
        let lines = lines("json");
        let all: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(all.len(), 3, "{lines:?}");
        let fields: Vec<_> = all.iter().map(|line| &line["fields"]).collect();
        assert_eq!(fields[0]["message"], "several\nlines");
        assert_eq!(fields[0]["name"], "a \"b\"\n{c}");
        assert_eq!(
            (&fields[1]["message"], &fields[1]["thread"]),
            (&"panicked: no\nway".into(), &"worker-0".into())
        );
        assert!(fields[1]["place"].as_str().unwrap().contains("log.rs"));
        assert_eq!(fields[2]["message"], "the disk\nis \"full\"");
        assert!(
            all.iter()
                .all(|line| line["timestamp"].is_string() && line["level"].is_string())
        );
    }

    #[test]
    fn text_is_for_people() {
        let lines = lines("text");
        assert!(lines.iter().any(|line| line == "vrouterd: the disk"), "{lines:?}");
        assert!(lines.iter().all(|line| !line.starts_with('{')), "{lines:?}");
    }
}
