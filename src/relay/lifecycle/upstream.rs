//! What is asked of the key store besides single operations: many of one kind, and the states of objects.

use crate::kmip::client::{
    AttributeName, Batch, Client, ClientError, GetAttributes, Operation, Request,
};
use crate::kmip::codec::{tag, values};
use crate::relay::SinkError;

/// Items of one message.
pub(super) const ITEMS: usize = 50;

/// The state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    PreActive,
    Active,
    Deactivated,
    Compromised,
    /// It was destroyed, or is not there.
    Gone,
    /// It is not at hand.
    Archived,
}

/// Does operations of one kind, at most [`ITEMS`], with one message; each has its own answer.
pub(super) async fn each<O: Operation>(
    client: &Client,
    operations: &[&O],
) -> Result<Vec<Result<O::Answer, ClientError>>, ClientError> {
    if operations.is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<&dyn Request> = operations.iter().map(|operation| *operation as _).collect();
    let batch = Batch {
        ordered: true,
        go_on: true,
        ..Batch::default()
    };
    let answers = client.exchange(&items, batch).await?;
    let read = |(place, operation): (usize, &&O)| answers.read(place, *operation);
    Ok(operations.iter().enumerate().map(read).collect())
}

/// The states of objects; none of one where the store does not say it.
pub(super) async fn states(
    client: &Client,
    ids: &[String],
) -> Result<Vec<Option<State>>, ClientError> {
    let ask = |id: &String| GetAttributes {
        unique_identifier: id.clone(),
        names: vec![AttributeName::Standard(tag::State)],
    };
    let asked: Vec<GetAttributes> = ids.iter().map(ask).collect();
    let asked: Vec<&GetAttributes> = asked.iter().collect();
    let answers = each(client, &asked).await?;
    let read =
        |answer: Result<Vec<_>, ClientError>| match answer {
            Ok(found) => of(found
                .iter()
                .find_map(|found: &crate::kmip::client::Attribute| match found.name {
                    AttributeName::Standard(tag::State) => found.enumeration(),
                    _ => None,
                })?),
            Err(error) => of_error(&error),
        };
    Ok(answers.into_iter().map(read).collect())
}

/// The state of one object.
pub(super) async fn state(client: &Client, id: &str) -> Result<Option<State>, SinkError> {
    let found = states(client, &[id.to_owned()]).await?;
    Ok(found.into_iter().next().flatten())
}

fn of(state: u32) -> Option<State> {
    Some(match state {
        values::State::PreActive => State::PreActive,
        values::State::Active => State::Active,
        values::State::Deactivated => State::Deactivated,
        values::State::Compromised => State::Compromised,
        values::State::Destroyed | values::State::DestroyedCompromised => State::Gone,
        _ => return None,
    })
}

/// What an error says of an object's state. That the gateway may not see it says nothing.
fn of_error(error: &ClientError) -> Option<State> {
    match error.reason()? {
        values::ResultReason::ItemNotFound
        | values::ResultReason::ObjectNotFound
        | values::ResultReason::ObjectDestroyed => Some(State::Gone),
        values::ResultReason::ObjectArchived => Some(State::Archived),
        _ => None,
    }
}
