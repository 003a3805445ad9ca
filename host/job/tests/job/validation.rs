//! As much of JSON Schema as the schema of the job file uses. A validator off the shelf would change the features of crates that
//! DataFusion stands on, so tests and binaries would each compile it.

use serde_json::{Map, Value};

/// What `value` breaks; empty: nothing. `root` holds the definitions that `schema` refers to.
pub(crate) fn broken(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let keywords = match schema {
        Value::Bool(true) => return Vec::new(),
        Value::Object(keywords) => keywords,
        _ => return vec![format!("nothing fits {schema}")],
    };
    let check = Check { root, keywords };
    let rules = keywords.iter().filter(|(keyword, _)| !is_remark(keyword));
    let broken = rules.flat_map(|(keyword, rule)| check.keyword(keyword, rule, value));
    broken.collect()
}

/// What a reference points to.
pub(crate) fn definition<'a>(root: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').expect("it is in this schema");
    root.pointer(pointer).expect("it is there")
}

fn is_remark(keyword: &str) -> bool {
    ["$schema", "$defs", "title", "description", "default"].contains(&keyword)
}

struct Check<'a> {
    root: &'a Value,
    keywords: &'a Map<String, Value>,
}

impl Check<'_> {
    fn keyword(&self, keyword: &str, rule: &Value, value: &Value) -> Vec<String> {
        let is_kept = match keyword {
            "$ref" => return self.broken(definition(self.root, text(rule)), value),
            "type" => has_type(rule, value),
            "const" => rule == value,
            "enum" => list(rule).contains(value),
            "pattern" => value
                .as_str()
                .is_none_or(|value| matches(text(rule), value)),
            "minLength" => value
                .as_str()
                .is_none_or(|value| value.len() >= count(rule)),
            "minimum" => number_or(value, |value| value >= number(rule)),
            "maximum" => number_or(value, |value| value <= number(rule)),
            "exclusiveMinimum" => number_or(value, |value| value > number(rule)),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() >= count(rule)),
            "minProperties" => value
                .as_object()
                .is_none_or(|entries| entries.len() >= count(rule)),
            "maxProperties" => value
                .as_object()
                .is_none_or(|entries| entries.len() <= count(rule)),
            "not" => !self.fits(rule, value),
            "anyOf" => list(rule).iter().any(|rule| self.fits(rule, value)),
            "oneOf" => {
                list(rule)
                    .iter()
                    .filter(|rule| self.fits(rule, value))
                    .count()
                    == 1
            }
            "allOf" => {
                return list(rule)
                    .iter()
                    .flat_map(|rule| self.broken(rule, value))
                    .collect();
            }
            "if" => return self.condition(rule, value),
            "then" => true,
            "items" => {
                let items = value.as_array().into_iter().flatten();
                return items.flat_map(|item| self.broken(rule, item)).collect();
            }
            _ => return self.table_keyword(keyword, rule, value),
        };
        if is_kept {
            Vec::new()
        } else {
            vec![format!("{value} breaks {keyword}: {rule}")]
        }
    }

    fn table_keyword(&self, keyword: &str, rule: &Value, value: &Value) -> Vec<String> {
        let Some(entries) = value.as_object() else {
            return Vec::new();
        };
        let rules = || rule.as_object().expect("a table of rules").iter();
        let has = |name: &Value| entries.contains_key(text(name));
        match keyword {
            "required" => {
                let missing = list(rule).iter().filter(|name| !has(name));
                missing.map(|name| format!("{name} is missing")).collect()
            }
            "properties" => {
                let present = rules().filter_map(|(name, rule)| Some((rule, entries.get(name)?)));
                present
                    .flat_map(|(rule, value)| self.broken(rule, value))
                    .collect()
            }
            "propertyNames" => {
                let names = entries.keys().map(|name| Value::from(name.as_str()));
                names.flat_map(|name| self.broken(rule, &name)).collect()
            }
            "additionalProperties" => {
                let known = self.keywords.get("properties").and_then(Value::as_object);
                let others = entries
                    .iter()
                    .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                others
                    .flat_map(|(_, value)| self.broken(rule, value))
                    .collect()
            }
            "dependentRequired" => {
                let asking = rules().filter(|(name, _)| entries.contains_key(*name));
                let missing = asking
                    .flat_map(|(_, names)| list(names))
                    .filter(|name| !has(name));
                missing.map(|name| format!("{name} is missing")).collect()
            }
            "dependentSchemas" => {
                let asking = rules().filter(|(name, _)| entries.contains_key(*name));
                asking
                    .flat_map(|(_, rule)| self.broken(rule, value))
                    .collect()
            }
            other => panic!("the validator does not know the keyword `{other}`"),
        }
    }

    fn condition(&self, rule: &Value, value: &Value) -> Vec<String> {
        let then = self.keywords.get("then").filter(|_| self.fits(rule, value));
        then.map_or_else(Vec::new, |then| self.broken(then, value))
    }

    fn broken(&self, schema: &Value, value: &Value) -> Vec<String> {
        broken(self.root, schema, value)
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        self.broken(schema, value).is_empty()
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match text(name) {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the validator does not know the type `{other}`"),
    };
    rule.as_array()
        .map_or_else(|| is(rule), |types| types.iter().any(is))
}

fn matches(pattern: &str, value: &str) -> bool {
    regex::Regex::new(pattern)
        .expect("it is a pattern")
        .is_match(value)
}

fn number_or(value: &Value, holds: impl Fn(f64) -> bool) -> bool {
    value.as_f64().is_none_or(holds)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("it is a text")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("it is a number")
}

fn count(value: &Value) -> usize {
    let count = value.as_u64().expect("it is a count");
    count.try_into().expect("it is not large")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("it is a list")
}
