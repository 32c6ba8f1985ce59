//! `wardcast policy put`: a document or rules, as an object of the key store.

use std::path::PathBuf;

use clap::Args;

use crate::app::upstream_client;
use crate::cli::load;
use crate::kmip::client::{
    Attribute, Client, ClientError, Destroy, Locate, Object, OpaqueObject, Register,
};
use crate::kmip::codec::values;
use crate::policy::Rules;
use crate::policy::documents::{Document, Subject};
use crate::relay::documents::Options;

/// What an opaque object of ours is: the first number that is nobody's, and the one that PyKMIP knows.
const KIND: u32 = 0x8000_0000;

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct AboutArgs {
    /// The policy of this group.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The default policy of all groups.
    #[arg(long)]
    default: bool,
    /// The rules about who may join.
    #[arg(long)]
    rules: bool,
}

#[derive(Args, Debug)]
pub(super) struct PutArgs {
    /// The file: JSON, or Cedar with --rules.
    file: PathBuf,
    #[command(flatten)]
    about: AboutArgs,
    /// The gateway's configuration, which names the key store.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Leave older documents about the same where they are; the newest is the one in force.
    #[arg(long)]
    keep_older: bool,
}

impl AboutArgs {
    fn subject(&self) -> Subject {
        match (&self.group, self.rules) {
            (Some(name), _) => Subject::Group(name.clone()),
            (None, true) => Subject::Rules,
            (None, false) => Subject::Default,
        }
    }
}

/// Checks what is published first: gateways would refuse it.
pub(super) async fn put(args: &PutArgs) -> Result<String, String> {
    let text = super::read(&args.file)?;
    // What is wrong with it is printed already.
    let config = load(&args.config).map_err(|_| String::new())?;
    let subject = args.about.subject();
    let wrong = |why: String| format!("{}: {why}", args.file.display());
    match &subject {
        Subject::Rules => drop(Rules::parse(&text).map_err(|error| wrong(error.to_string()))?),
        Subject::Default => {
            let default = Document::parse_default(&config.policy.default, &text);
            default.map_err(|error| wrong(error.to_string()))?;
        }
        Subject::Group(_) => {
            let document = Document::parse(&config.policy.default, &text);
            document.map_err(|error| wrong(error.to_string()))?;
        }
    }
    let client = upstream_client(&config).map_err(|error| error.to_string())?;
    let client = client.ok_or("no key store: upstream.addresses is empty")?;
    let name = Options::object_name(&config.upstream.name, &subject);
    let group = Options::object_group(&config.upstream.name);
    let older = located(&client, &name, &group)
        .await
        .map_err(|error| error.to_string())?;
    let register = Register {
        object: Object::Opaque(OpaqueObject {
            kind: KIND,
            value: text.into_bytes().into(),
        }),
        attributes: vec![Attribute::name(&name), Attribute::object_group(&group)],
    };
    let id = client
        .call(&register)
        .await
        .map_err(|error| error.to_string())?;
    let mut said = format!("{subject} is object {id}, named {name}");
    if !args.keep_older {
        for older in older {
            let destroy = Destroy {
                unique_identifier: older.clone(),
            };
            let done = client.call(&destroy).await;
            done.map_err(|error| format!("{said}; object {older} cannot be destroyed: {error}"))?;
            said = format!("{said}; object {older} is destroyed");
        }
    }
    Ok(said)
}

async fn located(client: &Client, name: &str, group: &str) -> Result<Vec<String>, ClientError> {
    let locate = Locate {
        attributes: vec![
            Attribute::name(name),
            Attribute::object_group(group),
            Attribute::object_type(values::ObjectType::OpaqueObject),
        ],
        maximum_items: None,
    };
    Ok(client.call(&locate).await?.unique_identifiers)
}
