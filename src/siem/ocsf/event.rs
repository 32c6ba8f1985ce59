//! A record as an event of OCSF 1.5.0.
//!
//! | record | class | activity |
//! | --- | --- | --- |
//! | `started`; `draining`, `stopped` | Application Lifecycle (6002) | Start (3); Stop (4) |
//! | `token_back`, `upstream_back` | Application Lifecycle (6002) | Enable (6) |
//! | `token_lost`, `upstream_lost`, `interrupted` | Application Error (6008) | General Error (1) |
//! | `group_created`, `group_destroyed` | Group Management (3006) | Create (6), Delete (5) |
//! | `joined`, `departed` | Group Management (3006) | Add User (3), Remove User (4) |
//! | `refused` | Group Management (3006) | Add User (3), failed |
//! | `granted` | Group Management (3006) | Assign Privileges (1): the group's keys |
//! | `policy_changed`, `document` | Entity Management (3004), a policy | Update (3) |
//! | `frozen`, `thawed` | Entity Management (3004), a group | Suspend (12), Resume (13) |
//! | `rekeyed` | Entity Management (3004), a group's key | Update (3) |
//! | `reloaded`, `log_level` | Entity Management (3004), the configuration, the log level | Update (3) |
//! | `upstream_ended` | Entity Management (3004), an object | Disable (9), or Delete (4) if it was destroyed |
//! | `signed` | Entity Management (3004), the trail | Other (99): Sign |
//! | `administered`, `relayed`, `denied` | API Activity (6003) | by the call |
//! | `unauthenticated` | Authentication (3002) | Logon (1), failed |
//! | anything else | Base Event (0) | Other (99) |
//!
//! `time` is the record's in milliseconds since 1970, `metadata.uid` the SHA-256 of its line in the trail, `metadata.sequence` its
//! number, `metadata.event_code` the trail's name of what happened, `metadata.correlation_uid` the request that it was done for.
//! `status_id` and `severity_id` follow the outcome. What has no place in the class is in `unmapped`.

use serde_json::{Map, Value, json};

use crate::siem::sentence::sentence;
use crate::siem::told::{Outcome, Severity, Told};

/// The version of the schema.
const VERSION: &str = "1.5.0";
const PRODUCT: &str = "wardcast";

/// A class of the schema.
#[derive(Clone, Copy)]
struct Class {
    uid: u32,
    category: u32,
    name: &'static str,
}

const BASE_EVENT: Class = class(0, 0, "Base Event");
const AUTHENTICATION: Class = class(3_002, 3, "Authentication");
const ENTITY_MANAGEMENT: Class = class(3_004, 3, "Entity Management");
const GROUP_MANAGEMENT: Class = class(3_006, 3, "Group Management");
const APPLICATION_LIFECYCLE: Class = class(6_002, 6, "Application Lifecycle");
const API_ACTIVITY: Class = class(6_003, 6, "API Activity");
const APPLICATION_ERROR: Class = class(6_008, 6, "Application Error");

const fn class(uid: u32, category: u32, name: &'static str) -> Class {
    Class {
        uid,
        category,
        name,
    }
}

/// What a record is: its class, its activity there, and the attributes of that class.
type Kind = (Class, (u32, &'static str), Value);

/// A record as an event.
pub(super) fn event(told: &Told, host: &str) -> Value {
    let (class, (activity, name), attributes) = kind(told, host);
    let (severity, severity_name) = match told.severity {
        Severity::Unknown => (0, "Unknown"),
        Severity::Informational => (1, "Informational"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    let (status, status_name) = match told.outcome {
        Outcome::Success => (1, "Success"),
        Outcome::Failure => (2, "Failure"),
        Outcome::Open => (99, "Open"),
        Outcome::Several => (99, "Several"),
    };
    let mut event = json!({
        "class_uid": class.uid,
        "class_name": class.name,
        "category_uid": class.category,
        "activity_id": activity,
        "activity_name": name,
        "type_uid": class.uid * 100 + activity,
        "time": told.milliseconds(),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "message": sentence(told),
        "metadata": metadata(told),
        "unmapped": unmapped(told, host),
    });
    let all = [Some(attributes), actor(told, class)].into_iter().flatten();
    for attributes in all {
        if let (Value::Object(event), Value::Object(attributes)) = (&mut event, attributes) {
            event.extend(attributes);
        }
    }
    event
}

fn metadata(told: &Told) -> Value {
    let mut metadata = json!({
        "version": VERSION,
        "product": {
            "name": PRODUCT,
            "vendor_name": PRODUCT,
            "version": env!("CARGO_PKG_VERSION"),
        },
        "uid": told.hash,
        "sequence": told.sequence,
        "event_code": told.event,
        "log_name": "audit",
        "log_provider": PRODUCT,
        "original_time": told.time,
    });
    if let Some(request) = told.field("request") {
        metadata["correlation_uid"] = request.into();
    }
    metadata
}

/// What no class has a place for.
fn unmapped(told: &Told, host: &str) -> Value {
    let mut rest = Map::clone(&told.fields);
    rest.remove("request");
    rest.insert("host".into(), host.into());
    rest.insert("actor_kind".into(), told.actor.into());
    if let Some((id, name)) = &told.group {
        rest.insert("group".into(), json!({ "id": id, "name": name }));
    }
    rest.into()
}

/// Who did it, where the class has a place for that.
fn actor(told: &Told, class: Class) -> Option<Value> {
    if class.category != 3 && class.uid != API_ACTIVITY.uid {
        return None;
    }
    let actor = match &told.name {
        Some(name) => {
            let (kind, word) = match told.actor {
                "operator" => (2, "Admin"),
                _ => (1, "User"),
            };
            json!({ "user": { "name": name, "type_id": kind, "type": word } })
        }
        None => json!({ "app_name": PRODUCT }),
    };
    Some(json!({ "actor": actor }))
}

fn kind(told: &Told, host: &str) -> Kind {
    let application = |name: &str| json!({ "app": { "name": name } });
    match told.event.as_str() {
        "started" => {
            let app = json!({ "app": { "name": PRODUCT, "version": told.text("version") } });
            (APPLICATION_LIFECYCLE, (3, "Start"), app)
        }
        "stopped" | "draining" => (APPLICATION_LIFECYCLE, (4, "Stop"), application(PRODUCT)),
        "token_back" => (APPLICATION_LIFECYCLE, (6, "Enable"), application("token")),
        "upstream_back" => {
            let app = application("key store upstream");
            (APPLICATION_LIFECYCLE, (6, "Enable"), app)
        }
        "token_lost" | "upstream_lost" | "interrupted" => {
            (APPLICATION_ERROR, (1, "General Error"), json!({}))
        }
        "administered" | "relayed" | "denied" => call(told),
        "unauthenticated" => stranger(told, host),
        "group_created" | "group_destroyed" | "joined" | "departed" | "refused" | "granted" => {
            of_group(told)
        }
        _ => of_entity(told),
    }
}

fn of_group(told: &Told) -> Kind {
    let activity = match told.event.as_str() {
        "group_created" => (6, "Create"),
        "group_destroyed" => (5, "Delete"),
        "departed" => (4, "Remove User"),
        "granted" => (1, "Assign Privileges"),
        _ => (3, "Add User"),
    };
    let mut attributes = json!({ "group": group(told) });
    if let Some(identity) = told.field("identity") {
        attributes["user"] = json!({ "name": identity, "type_id": 1, "type": "User" });
    }
    if told.event == "granted" {
        attributes["privileges"] = json!(["keys"]);
    }
    (GROUP_MANAGEMENT, activity, attributes)
}

fn group(told: &Told) -> Value {
    match &told.group {
        Some((id, name)) => json!({ "uid": id, "name": name }),
        None => json!({ "name": "unknown" }),
    }
}

fn of_entity(told: &Told) -> Kind {
    let name = told.group.as_ref().map(|(_, name)| name.clone());
    let uid = told.group.as_ref().map(|(id, _)| id.clone());
    let entity = |kind: u32, word: &str, name: Option<String>| {
        let name = name.unwrap_or_else(|| "unknown".to_owned());
        json!({ "type_id": kind, "type": word, "name": name })
    };
    let (activity, mut entity) = match told.event.as_str() {
        "policy_changed" => ((3, "Update"), entity(5, "Policy", name)),
        "document" => {
            let about = told.field("about");
            ((3, "Update"), entity(5, "Policy", about))
        }
        "frozen" => ((12, "Suspend"), entity(3, "Group", name)),
        "thawed" => ((13, "Resume"), entity(3, "Group", name)),
        "rekeyed" => {
            let mut key = entity(99, "Group Key", name);
            key["version"] = told.text("epoch").into();
            ((3, "Update"), key)
        }
        "upstream_ended" => {
            let object = entity(99, "Managed Object", told.field("object"));
            match told.text("state").as_str() {
                "destroyed" => ((4, "Delete"), object),
                _ => ((9, "Disable"), object),
            }
        }
        "signed" => {
            let mut trail = entity(99, "Audit Trail", Some("audit trail".into()));
            trail["version"] = told.text("up_to").into();
            ((99, "Sign"), trail)
        }
        "reloaded" => {
            let configuration = entity(99, "Configuration", Some("configuration".into()));
            ((3, "Update"), configuration)
        }
        "log_level" => {
            let level = entity(99, "Log Level", Some("log level".into()));
            ((3, "Update"), level)
        }
        _ => return (BASE_EVENT, (99, "Other"), json!({})),
    };
    if let Some(uid) = uid {
        entity["uid"] = uid.into();
    }
    (ENTITY_MANAGEMENT, activity, json!({ "entity": entity }))
}

/// A call of an interface. The trail has no address of the caller: it is named as it is known, by its certificate or token.
fn call(told: &Told) -> Kind {
    let operation = told.field("call").or_else(|| told.field("operation"));
    let operation = operation.unwrap_or_else(|| "unknown".to_owned());
    let word = operation.split(' ').next().unwrap_or_default();
    let activity = match word {
        "POST" | "Create" | "CreateKeyPair" | "Register" => (1, "Create"),
        "GET" | "HEAD" | "Get" | "GetAttributes" | "GetAttributeList" | "Locate" | "Query"
        | "Check" => (2, "Read"),
        "PUT" | "PATCH" | "AddAttribute" | "ModifyAttribute" | "SetAttribute"
        | "DeleteAttribute" | "Activate" | "Revoke" | "Archive" | "Recover" => (3, "Update"),
        "DELETE" | "Destroy" => (4, "Delete"),
        _ => (99, "Other"),
    };
    let mut api = json!({ "operation": operation, "service": { "name": PRODUCT } });
    if let Some(code) = told.fields.get("status").and_then(Value::as_u64) {
        api["response"] = json!({ "code": code });
    }
    let who = told.name.clone().or_else(|| told.field("identity"));
    let mut attributes = json!({
        "api": api,
        "src_endpoint": { "name": who.unwrap_or_else(|| "unknown".to_owned()) },
    });
    if let Some(object) = told.field("object") {
        attributes["resources"] = json!([{ "name": object }]);
    }
    (API_ACTIVITY, activity, attributes)
}

/// Somebody whom no certificate vouched for: who it is, is not known.
fn stranger(told: &Told, host: &str) -> Kind {
    let attributes = json!({
        "user": { "name": "unknown", "type_id": 0, "type": "Unknown" },
        "service": { "name": PRODUCT },
        "src_endpoint": { "name": told.text("address") },
        "dst_endpoint": { "hostname": host },
    });
    (AUTHENTICATION, (1, "Logon"), attributes)
}
