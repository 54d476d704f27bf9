//! What went wrong, for a person, with the exit code that scripts look at.
use std::process::ExitCode;

/// What was tested failed.
pub const FAILED: u8 = 1;
/// Usage, or a bad lab file.
pub const USAGE: u8 = 2;
/// Heptad itself could not do its work.
pub const OURS: u8 = 125;

/// A message and an exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    report: miette::Report,
}

impl Failure {
    /// Any code.
    pub fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            report: miette::Report::msg(message.to_string()),
        }
    }
    /// The user asked for something that can't be.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::new(USAGE, message)
    }
    /// Heptad or the machine failed.
    pub fn ours(message: impl std::fmt::Display) -> Self {
        Self::new(OURS, message)
    }
    /// The lab answered what nobody asked.
    pub fn odd_answer() -> Self {
        Self::ours("the lab answered something else")
    }
    /// A lab file with an error in it, shown in its text.
    pub fn lab_file(error: &heptad_lab::TopologyError, text: &str) -> Self {
        #[derive(Debug, thiserror::Error, miette::Diagnostic)]
        #[error("{message}")]
        struct InFile {
            message: String,
            #[help]
            help: Option<String>,
            #[source_code]
            source_code: miette::NamedSource<String>,
            #[label("here")]
            at: miette::SourceSpan,
        }
        let report = miette::Report::new(InFile {
            message: error.to_string(),
            help: error.help.clone(),
            source_code: miette::NamedSource::new(&error.file, text.to_string()),
            at: error.span.clone().into(),
        });
        Self {
            code: USAGE,
            report,
        }
    }
    /// The message alone, for another process to print.
    pub fn message(&self) -> String {
        self.report.to_string()
    }
    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
    /// Says it on stderr.
    pub fn print_and_code(&self) -> ExitCode {
        if self.report.source_code().is_some() {
            eprintln!("{:?}", self.report);
        } else if !self.message().is_empty() {
            eprintln!("heptad: {}", self.message());
        }
        ExitCode::from(self.code)
    }
}

/// A reader that went away ends the output, not the world; all else is ours.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(0, ""),
            _ => Self::ours(error),
        }
    }
}
