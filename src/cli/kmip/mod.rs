//! `wardcast kmip`: looks at messages of the Key Management Interoperability Protocol, and at key stores.

mod query;
mod send;

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use crate::kmip::codec::{DecodeError, Item, Layout, View};

/// The most that is read from standard input, in bytes.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

const EXAMPLES: &str = r#"Examples:

    # What a message looks like, from JSON
    echo '{"tag":"BatchCount","type":"Integer","value":7}' |
        wardcast kmip convert --from json --to xml

    # To the bytes that go over the wire, and back
    echo '<RequestMessage><RequestHeader/></RequestMessage>' |
        wardcast kmip convert --from xml --to ttlv > message.ttlv
    wardcast kmip convert --from ttlv --to json < message.ttlv

    # Messages one after another; XML of several has a KMIP element around them
    cat message.ttlv message.ttlv |
        wardcast kmip convert --from ttlv --to xml --one-line
"#;

/// Looks at messages of KMIP, the Key Management Interoperability Protocol, and at key stores.
#[derive(Args, Debug)]
pub struct KmipArgs {
    #[command(subcommand)]
    command: KmipCommand,
}

#[derive(Subcommand, Debug)]
enum KmipCommand {
    /// Converts messages from standard input to standard output, from one of KMIP's encodings to another.
    ///
    /// Any number of messages may follow one another; JSON may have them in a list, XML in a <KMIP> element. All are
    /// read before any is written. Tags, values and bits that have no name in KMIP 1.0 to 2.1 are written as numbers, and
    /// nothing is lost, except comments and other ways to write the same. Keys in messages are shown as they are.
    /// Placeholders such as $NOW, of the standard's test cases, are text, and refused where no text is expected.
    #[command(after_long_help = EXAMPLES, after_help = "--help shows examples.")]
    Convert(ConvertArgs),
    /// Asks a key store what it is: the version that is spoken with it, its vendor, its operations and object types.
    #[command(
        after_help = "Exit codes:\n  0  it answered\n  1  it cannot be reached, or refused\n  2  wrong usage"
    )]
    Query(query::QueryArgs),
    /// Sends a message from standard input to a server over HTTPS, such as a gateway's front, and prints the answer.
    ///
    /// The message is in XML, JSON or TTLV, which it is known by; the answer is in the same.
    #[command(
        after_help = "Exit codes:\n  0  all of it was done, or will be\n  1  the server cannot be reached, or does not take the message\n  2  wrong usage\n  3  some of it was not done"
    )]
    Send(send::SendArgs),
}

#[derive(Args, Debug)]
struct ConvertArgs {
    /// The encoding of what is read.
    #[arg(long)]
    from: Encoding,
    /// The encoding of what is written. Bytes (ttlv) are not written to a terminal.
    #[arg(long)]
    to: Encoding,
    /// Write each message on a line of its own rather than indented.
    #[arg(long)]
    one_line: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Encoding {
    /// The XML encoding.
    Xml,
    /// The JSON encoding.
    Json,
    /// The binary encoding: tag, type, length, value.
    Ttlv,
}

impl From<Encoding> for View {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Xml => Self::Xml,
            Encoding::Json => Self::Json,
            Encoding::Ttlv => Self::Ttlv,
        }
    }
}

/// Runs the command.
pub fn run(args: &KmipArgs) -> ExitCode {
    let args = match &args.command {
        KmipCommand::Convert(args) => args,
        KmipCommand::Query(args) => return super::on_runtime(query::run(args)),
        KmipCommand::Send(args) => return super::on_runtime(send::run(args)),
    };
    match convert(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            eprintln!("wardcast: {said}");
            ExitCode::FAILURE
        }
    }
}

fn convert(args: &ConvertArgs) -> Result<(), String> {
    let (from, to) = (View::from(args.from), View::from(args.to));
    if to == View::Ttlv && std::io::stdout().is_terminal() {
        return Err(
            "TTLV is bytes, which no terminal shows: add '> FILE' to keep them, or '| xxd' to look at them"
                .to_owned(),
        );
    }
    let mut input = Zeroizing::new(Vec::new());
    let read = std::io::stdin().take(MAX_INPUT + 1).read_to_end(&mut input);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    if input.len() as u64 > MAX_INPUT {
        return Err(format!(
            "standard input has more than {MAX_INPUT} bytes, the most that is read: convert it in parts"
        ));
    }
    let messages = from.decode_all(&input);
    let messages =
        messages.map_err(|error| format!("standard input: {}", located(&error, &input)))?;
    if messages.is_empty() {
        return Err("standard input holds no message".to_owned());
    }
    let layout = match args.one_line {
        true => Layout::OneLine,
        false => Layout::Indented,
    };
    let output = written(&messages, to, layout)?;
    // A reader that went away has seen what it wanted.
    let _ = std::io::stdout().write_all(&output);
    Ok(())
}

/// All messages, in one text that can be read again.
fn written(messages: &[Item], to: View, layout: Layout) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut output = Zeroizing::new(Vec::new());
    let several = to == View::Xml && messages.len() > 1;
    if several {
        output.extend_from_slice(b"<KMIP>\n");
    }
    for (place, message) in messages.iter().enumerate() {
        let written = to.encode(message, layout);
        output.extend_from_slice(
            &written.map_err(|error| format!("message {}: {error}", place + 1))?,
        );
        if to != View::Ttlv {
            output.push(b'\n');
        }
    }
    if several {
        output.extend_from_slice(b"</KMIP>\n");
    }
    Ok(output)
}

/// The error, with the line and column besides where there are lines.
fn located(error: &DecodeError, input: &[u8]) -> String {
    if error.view == View::Ttlv {
        return error.to_string();
    }
    let before = &input[..error.offset.min(input.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count()
        + 1;
    format!("{error} (line {line}, column {column})")
}
