//! The JSON Schema of the output, made from the structs: `docs/schema.json`. `UPDATE=1` writes it anew.

use std::borrow::Cow;
use std::path::Path;
use std::{env, fs};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{Judged, Lost, Note, Resolved, Start, Summary};
use crate::cause::{CAUSES, Cause};
use crate::evidence::Kind;

/// Its schema is the list of all causes, once.
struct CauseId;

impl JsonSchema for CauseId {
    fn schema_name() -> Cow<'static, str> {
        "CauseId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |cause: &Cause| json!({"const": cause.id, "description": cause.title});
        json_schema!({"type": "string", "oneOf": CAUSES.iter().map(one).collect::<Vec<_>>()})
    }
}

/// The id of a cause.
pub(super) fn cause(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<CauseId>()
}

/// Several of them.
pub(super) fn causes(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": cause(generator)})
}

/// Pieces of evidence.
pub(super) fn evidence(_: &mut SchemaGenerator) -> Schema {
    let one = |kind: &Kind| json!({"const": kind.id(), "description": kind.words()});
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "at_ms": {
                    "type": "number",
                    "description": "Milliseconds since the attempt started, three decimals; negative before it.",
                },
                "what": {
                    "type": "string",
                    "description": "What was seen. Details have fields of their own: `errno`, `reason`, `count` ...",
                    "oneOf": Kind::ALL.iter().map(one).collect::<Vec<_>>(),
                },
            },
            "required": ["at_ms", "what"],
        },
    })
}

fn whole() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let objects = [
        generator.subschema_for::<Start<'static>>(),
        generator.subschema_for::<Judged<'static>>(),
        generator.subschema_for::<Resolved<'static>>(),
        generator.subschema_for::<Note<'static>>(),
        generator.subschema_for::<Lost<'static>>(),
        generator.subschema_for::<Summary<'static>>(),
    ];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "upstream-trace --json",
        "description": "One line of the output. Readers ignore fields and types that they do not know; fields, causes and \
                        kinds of evidence are only ever added.",
        "anyOf": objects,
        "$defs": generator.take_definitions(true),
    })
}

#[test]
fn the_schema_in_the_docs_is_that_of_the_structs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema.json");
    let made = format!("{:#}\n", whole());
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &made).expect("docs/schema.json");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/schema.json is old: run this test with UPDATE=1");
}

/// Every field says what it is.
#[test]
fn every_field_is_described() {
    let schema = whole();
    for (name, object) in schema["$defs"].as_object().expect("definitions") {
        for (field, about) in object["properties"].as_object().into_iter().flatten() {
            assert!(about["description"].is_string(), "{name}.{field}");
        }
    }
}
