//! Running other programs to their end, with errors that show the command and what it said.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};

/// The command as a person would type it.
#[must_use]
pub fn words(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Runs a command to its end, whatever its exit status.
///
/// # Errors
/// When it cannot be started.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null());
    let output = command.output();
    output.with_context(|| format!("cannot run: {}", words(command)))
}

/// Runs a command to its end and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot be started or does not succeed; the error holds what it wrote.
pub fn stdout(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    succeeded(&words(command), &output)
}

/// Like [`stdout`], with `input` as standard input.
///
/// # Errors
/// As [`stdout`].
pub fn with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run: {}", words(command)))?;
    // A thread of its own: the program may answer before it has read all, and the pipes would fill.
    let writer = child.stdin.take().map(|mut pipe| {
        let input = input.to_owned();
        thread::spawn(move || pipe.write_all(input.as_bytes()))
    });
    let output = child.wait_with_output().context("waiting")?;
    let text = succeeded(&words(command), &output)?;
    if let Some(Ok(written)) = writer.map(thread::JoinHandle::join) {
        written.with_context(|| format!("{} did not read its input", words(command)))?;
    }
    Ok(text)
}

fn succeeded(line: &str, output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}`: {}\n{}{}", output.status, text, complaint.trim_end());
    }
    Ok(text)
}
