//! A request to join in Cedar's terms.

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::rules::schema;
use crate::attributes::certificate::Parts;
use crate::attributes::{Attributes, Values};
use crate::group::ids::Role;

type Fields = Vec<(String, RestrictedExpression)>;

/// Type names of the schema.
struct Types {
    member: EntityTypeName,
    attributes: EntityTypeName,
    group: EntityTypeName,
    action: EntityTypeName,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let name = |name: &str| name.parse().expect("a name of the schema");
    Types {
        member: name("Member"),
        attributes: name("Attributes"),
        group: name("Group"),
        action: name("Action"),
    }
});

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn set(texts: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.iter().map(|one| text(one)))
}

/// The request, and all that rules can look at. An error is one of this crate: what does not fit the schema.
pub(super) fn build(
    group: &str,
    attributes: &Attributes,
    role: Role,
    listed: bool,
) -> Result<(Request, Entities), String> {
    let types = &*TYPES;
    let member = uid(&types.member, &attributes.identity.0);
    let resource = uid(&types.group, group);
    let context = [("listed".to_owned(), RestrictedExpression::new_bool(listed))];
    let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
    let request = Request::new(
        member.clone(),
        uid(&types.action, role.word()),
        resource.clone(),
        context,
        Some(schema()),
    )
    .map_err(|error| error.to_string())?;
    let (claims, directory) = (
        uid(&types.attributes, "claims"),
        uid(&types.attributes, "directory"),
    );
    let fields = member_fields(attributes, &claims, &directory);
    let name = [("name".to_owned(), text(group))];
    let entities = [
        entity(member, fields, [])?,
        entity(resource, name.into(), [])?,
        tagged(claims, &attributes.claims)?,
        tagged(directory, &attributes.directory)?,
    ];
    let entities = Entities::from_entities(entities, Some(schema()));
    Ok((request, entities.map_err(|error| error.to_string())?))
}

/// Sets of texts as an entity.
fn tagged(id: EntityUid, values: &Values) -> Result<Entity, String> {
    let tags = values
        .iter()
        .map(|(name, texts)| (name.clone(), set(texts)));
    entity(id, Vec::new(), tags)
}

fn entity(
    id: EntityUid,
    fields: Fields,
    tags: impl IntoIterator<Item = (String, RestrictedExpression)>,
) -> Result<Entity, String> {
    Entity::new_with_tags(id, fields, [], tags).map_err(|error| error.to_string())
}

fn member_fields(attributes: &Attributes, claims: &EntityUid, directory: &EntityUid) -> Fields {
    let parts = Parts::new(&attributes.identity);
    let entity = |id: &EntityUid| RestrictedExpression::new_entity_uid(id.clone());
    let mut fields: Fields = vec![
        ("identity".into(), text(&attributes.identity.0)),
        ("kind".into(), text(parts.kind)),
        ("name".into(), text(parts.name)),
        ("certificate".into(), certificate(attributes)),
        ("claims".into(), entity(claims)),
        ("directory".into(), entity(directory)),
    ];
    if let Some((domain, path)) = parts.spiffe {
        fields.push(("trust_domain".into(), text(domain)));
        fields.push(("path".into(), text(path)));
    }
    fields
}

fn certificate(attributes: &Attributes) -> RestrictedExpression {
    let certificate = &attributes.certificate;
    let mut fields: Fields = vec![
        ("organizations".into(), set(&certificate.organizations)),
        ("organizational_units".into(), set(&certificate.units)),
        ("serial".into(), text(&certificate.serial)),
        (
            "not_after".into(),
            RestrictedExpression::new_long(certificate.not_after),
        ),
    ];
    if let Some(name) = &certificate.common_name {
        fields.push(("common_name".into(), text(name)));
    }
    RestrictedExpression::new_record(fields).expect("no field of these is there twice")
}
