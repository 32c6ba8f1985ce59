//! `wardcast admin`: creates, shows, rotates and destroys groups, lists and evicts members, looks after the tokens and the gateway as a whole.

mod client;
mod gateway;
pub(super) mod member;
mod siem;
pub(super) mod table;
mod token;
mod upstream;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::group::ids::MemberId;
pub(super) use client::Client;
pub(super) use client::ClientError;
use table::Answer;

/// How the command ended, for scripts; listed in its help.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  the gateway could not be reached, or it failed
  2  wrong usage
  4  refused: a role that is needed, a name that is taken, a bad policy or configuration
  5  no such group or member";

/// Operates a running gateway through its admin interface.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct AdminArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    subject: Subject,
}

/// Where the admin interface is and who the operator is.
#[derive(Args, Debug)]
pub(super) struct GatewayArgs {
    /// The admin interface, as HOST:PORT; the host is what its certificate names.
    #[arg(
        long,
        env = "WARDCAST_ADMIN_SERVER",
        global = true,
        default_value = "localhost:7444"
    )]
    pub(super) server: String,
    /// Certificates of the authority that issued the gateway's (PEM).
    #[arg(
        long,
        env = "WARDCAST_ADMIN_CA",
        global = true,
        default_value = "ca.pem"
    )]
    pub(super) ca: PathBuf,
    /// The operator's certificate chain (PEM).
    #[arg(
        long,
        env = "WARDCAST_ADMIN_CERT",
        global = true,
        default_value = "operator.pem"
    )]
    pub(super) cert: PathBuf,
    /// The private key of that certificate (PEM).
    #[arg(
        long,
        env = "WARDCAST_ADMIN_KEY",
        global = true,
        default_value = "operator.key"
    )]
    pub(super) key: PathBuf,
}

#[derive(Subcommand, Debug)]
enum Subject {
    /// Groups and their keys.
    #[command(subcommand)]
    Group(GroupCommand),
    /// The members of a group.
    #[command(subcommand)]
    Member(MemberCommand),
    /// The policies in force, and the rules.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The tokens that hold the master key.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The key store upstream.
    #[command(subcommand)]
    Upstream(upstream::UpstreamCommand),
    /// What follows the audit trail besides: log server, OCSF collector, Splunk.
    #[command(subcommand)]
    Siem(siem::SiemCommand),
    #[command(flatten)]
    Gateway(gateway::GatewayCommand),
}

#[derive(Subcommand, Debug)]
enum GroupCommand {
    /// Creates a group with the configured default policy, or with that of a file.
    Create {
        /// The group's name.
        name: String,
        /// A TOML file with the keys of [policy.default] that differ.
        #[arg(long)]
        policy: Option<PathBuf>,
    },
    /// Lists all groups.
    List,
    /// Shows one group: its epoch, who has acknowledged it, its policy.
    Show {
        /// The group's name.
        name: String,
    },
    /// Gives the group a new key that nobody outside of it can compute.
    Rotate {
        /// The group's name.
        name: String,
    },
    /// Replaces every key of the group under the newest master; members are granted theirs anew.
    Rollover {
        /// The group's name.
        name: String,
        /// To another suite, by number: where the token has it and all members offer it.
        #[arg(long)]
        suite: Option<u32>,
    },
    /// Admits nobody to the group any more. Members keep their keys, and rekeys and evictions go on.
    Freeze {
        /// The group's name.
        name: String,
        /// Why; it is kept on record.
        #[arg(long, default_value = "frozen by an operator")]
        reason: String,
    },
    /// Admits whoever the group's policy admits again.
    Thaw {
        /// The group's name.
        name: String,
    },
    /// Ends the group and the membership of all its members.
    Destroy {
        /// The group's name.
        name: String,
    },
}

#[derive(Subcommand, Debug)]
enum PolicyCommand {
    /// Lists the rules, the default and the documents of groups: where they are from, since when they are in force, and what was
    /// refused since.
    List,
}

#[derive(Subcommand, Debug)]
enum MemberCommand {
    /// Lists the members of a group.
    List {
        /// The group's name.
        group: String,
    },
    /// Traces one member: when it joined, how it is reached, what it acknowledged and was sent, why it was refused.
    Show {
        /// The group's name.
        group: String,
        /// The member's number, or an identity: then also of somebody who is no member.
        #[arg(value_name = "MEMBER|IDENTITY")]
        who: String,
    },
    /// Who lacks the key: everybody who did not acknowledge the newest epoch, of one group or of all.
    Lacking {
        /// The group's name; all groups if none is named.
        group: Option<String>,
    },
    /// Removes members and rekeys the group.
    Evict {
        /// The group's name.
        group: String,
        /// The members' numbers, as `member list` shows them.
        #[arg(required = true, value_name = "MEMBER", value_parser = member_id)]
        members: Vec<MemberId>,
        /// At once, rather than with the next batch.
        #[arg(long)]
        urgent: bool,
        /// Why; it is kept on record.
        #[arg(long, default_value = "evicted by an operator")]
        reason: String,
    },
}

fn member_id(text: &str) -> Result<MemberId, std::num::ParseIntError> {
    text.parse().map(MemberId)
}

/// Runs the command and prints what came of it.
pub async fn run(args: &AdminArgs) -> ExitCode {
    match answer(args).await {
        Ok(answer) if args.json => print(&answer.json()),
        Ok(answer) => print(&answer.to_string()),
        Err(error) => {
            eprintln!("wardcast: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// A reader that went away, as `head` does, has seen what it wanted.
fn print(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

async fn answer(args: &AdminArgs) -> Result<Answer, ClientError> {
    let GatewayArgs {
        server,
        ca,
        cert,
        key,
    } = &args.gateway;
    let client = Client::new(server, ca, cert, key)?;
    Ok(match &args.subject {
        Subject::Group(GroupCommand::Create { name, policy }) => {
            let policy = policy.as_deref().map(client::read_policy).transpose()?;
            Answer::Group(client.create(name, policy.as_ref()).await?.into())
        }
        Subject::Group(GroupCommand::List) => Answer::Groups(client.groups().await?),
        Subject::Group(GroupCommand::Show { name }) => {
            Answer::Group(client.group(name).await?.into())
        }
        Subject::Group(GroupCommand::Rotate { name }) => {
            client.rotate(name).await?;
            Answer::Done("a new epoch is on its way")
        }
        Subject::Group(GroupCommand::Rollover { name, suite }) => {
            Answer::Group(client.roll_over(name, *suite).await?.into())
        }
        Subject::Group(GroupCommand::Freeze { name, reason }) => {
            Answer::Group(client.freeze(name, reason).await?.into())
        }
        Subject::Group(GroupCommand::Thaw { name }) => {
            Answer::Group(client.thaw(name).await?.into())
        }
        Subject::Policy(PolicyCommand::List) => Answer::Policies(client.policies().await?),
        Subject::Token(command) => token::answer(&client, command, args.json).await?,
        Subject::Upstream(command) => upstream::answer(&client, command).await?,
        Subject::Siem(command) => siem::answer(&client, command).await?,
        Subject::Gateway(command) => gateway::answer(&client, command).await?,
        Subject::Group(GroupCommand::Destroy { name }) => {
            client.destroy(name).await?;
            Answer::Done("the group is no more")
        }
        Subject::Member(MemberCommand::List { group }) => {
            Answer::Members(client.members(group).await?)
        }
        Subject::Member(MemberCommand::Show { group, who }) => {
            Answer::Trace(client.trace(group, who).await?.into())
        }
        Subject::Member(MemberCommand::Lacking { group }) => {
            Answer::Lacking(client.lacking(group.as_deref()).await?)
        }
        Subject::Member(MemberCommand::Evict {
            group,
            members,
            urgent,
            reason,
        }) => {
            client.evict(group, members, *urgent, reason).await?;
            Answer::Done("evicted; a new epoch without them is on its way")
        }
    })
}
