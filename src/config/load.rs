//! Loading: defaults, then the file, then the environment; what nobody knows is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::{ConfigError, Origin, Problem};
use super::{Config, check, suggest};

/// Variables that set keys begin with this and have `__` between the parts of the key.
const PREFIX: &str = "WARDCAST_";
const SEPARATOR: &str = "__";

/// A configuration with where its values come from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the gateway runs with; relative paths are resolved.
    pub config: Config,
    /// What differs from the defaults, by key.
    pub settings: Vec<Setting>,
    origins: Origins,
}

/// A key that is set to something else than its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Which.
    pub key: String,
    /// Its value, as it was set.
    pub value: Value,
    /// What it would be by default.
    pub default: Value,
    /// Who set it.
    pub origin: Origin,
}

impl Config {
    /// Load a configuration from a file, if one is given, and from environment variables. It is usable as far
    /// as can be said without looking at the files that it names.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        Ok(Loaded::new(path, environment)?.config)
    }
}

impl Loaded {
    /// As [`Config::load`], with where each value comes from.
    pub fn new(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let defaults = table(&Config::default());
        let mut sources = Sources::new(&defaults);
        if let Some(path) = path {
            sources.add_file(path)?;
        }
        let mut variables: Vec<_> = environment.into_iter().collect();
        variables.sort();
        for (name, text) in variables {
            sources.add_variable(&name, &text);
        }
        let (config, origins) = sources.finish()?;
        let mut problems = check::check(&config, &origins);
        // Paths stand on it, and whatever is in a configuration can be written down.
        if let Some(path) = path.filter(|path| path.to_str().is_none()) {
            problems.push(Problem {
                origin: Origin::File(path.to_owned()),
                key: String::new(),
                why: "the path is not UTF-8: move the file to where it is".to_owned(),
            });
        }
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let settings = settings(&config, &defaults, &origins);
        let base = path.and_then(Path::parent).unwrap_or(Path::new(""));
        Ok(Loaded {
            config: resolve(config, base),
            settings,
            origins,
        })
    }

    /// What is wrong with the files that the configuration names, as far as this user can see.
    pub fn check_files(&self) -> Vec<Problem> {
        check::check_files(&self.config, &self.origins)
    }
}

/// Who set which key.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    /// Where to send people for keys that nobody set.
    file: Option<PathBuf>,
    set: BTreeMap<String, Origin>,
}

impl Origins {
    pub(super) fn of(&self, key: &str) -> Origin {
        self.set.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// A problem with a key. A key that nobody set belongs into the file, if there is one.
    pub(super) fn problem(&self, key: &str, why: impl Into<String>) -> Problem {
        let whole = key.split('[').next().unwrap_or(key);
        let origin = match (self.of(whole), &self.file) {
            (Origin::Default, Some(path)) => Origin::File(path.clone()),
            (origin, _) => origin,
        };
        Problem {
            origin,
            key: key.to_owned(),
            why: why.into(),
        }
    }
}

/// The values that were set, while they are collected.
struct Sources<'a> {
    defaults: &'a Table,
    keys: Vec<String>,
    values: Table,
    origins: Origins,
    problems: Vec<Problem>,
}

impl<'a> Sources<'a> {
    fn new(defaults: &'a Table) -> Self {
        Sources {
            defaults,
            keys: leaves(defaults).into_iter().map(|(key, _)| key).collect(),
            values: Table::new(),
            origins: Origins {
                file: None,
                set: BTreeMap::new(),
            },
            problems: Vec::new(),
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let whole = |why: String| ConfigError {
            problems: vec![Problem {
                origin: Origin::File(path.to_owned()),
                key: String::new(),
                why,
            }],
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| whole(format!("cannot be read: {error}")))?;
        let values: Table = text.parse().map_err(|error: toml::de::Error| {
            whole(format!("is not TOML: {}", error.to_string().trim_end()))
        })?;
        self.origins.file = Some(path.to_owned());
        for (key, value) in known_leaves(&values, self.defaults) {
            self.set(&key, value, Origin::File(path.to_owned()));
        }
        Ok(())
    }

    fn add_variable(&mut self, name: &str, text: &str) {
        let Some(key) = name.strip_prefix(PREFIX) else {
            return;
        };
        // A name without the separator names no key: it is some other variable of the program.
        if !key.contains(SEPARATOR) {
            return;
        }
        let key = key.to_lowercase().replace(SEPARATOR, ".");
        let value = parse_variable(text, get(self.defaults, &key));
        self.set(&key, value, Origin::Environment(name.to_owned()));
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        if !self.keys.iter().any(|known| known == key) {
            let why = match (get(self.defaults, key), suggest::closest(key, &self.keys)) {
                (Some(_), _) => "is a section, not a key".to_owned(),
                (None, Some(known)) => format!("no such key; did you mean {known}?"),
                (None, None) => "no such key; config/wardcast.full.toml lists all".to_owned(),
            };
            let key = key.to_owned();
            self.problems.push(Problem { origin, key, why });
            return;
        }
        put(&mut self.values, key, value);
        self.origins.set.insert(key.to_owned(), origin);
    }

    fn finish(mut self) -> Result<(Config, Origins), ConfigError> {
        let parsed = serde_path_to_error::deserialize(Value::Table(self.values));
        match parsed {
            Ok(config) if self.problems.is_empty() => Ok((config, self.origins)),
            Ok(_) => Err(ConfigError {
                problems: self.problems,
            }),
            Err(error) => {
                let key = error.path().to_string();
                let why = error.into_inner().message().to_owned();
                self.problems.push(self.origins.problem(&key, why));
                Err(ConfigError {
                    problems: self.problems,
                })
            }
        }
    }
}

/// A variable's text as TOML if it is, else as a string. Where a string is expected, `1234` is one.
fn parse_variable(text: &str, default: Option<&Value>) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    let value = parsed
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    match (value, default) {
        (Some(Value::String(text)), _) => Value::String(text),
        (_, Some(Value::String(_))) | (None, _) => Value::String(text.to_owned()),
        (Some(value), _) => value,
    }
}

pub(super) fn table(config: &Config) -> Table {
    Table::try_from(config)
        .expect("a configuration is a table of plain values, and its paths are UTF-8")
}

/// All keys with their values; a list is one value.
pub(super) fn leaves(table: &Table) -> Vec<(String, Value)> {
    known_leaves(table, table)
}

/// As [`leaves`], but a table where the defaults have none stays whole: it is the wrong value of one key.
fn known_leaves(values: &Table, defaults: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, value) in values {
        match (value, defaults.get(name)) {
            (Value::Table(inner), Some(Value::Table(known))) => {
                let inner = known_leaves(inner, known).into_iter();
                found.extend(inner.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            (Value::Table(inner), None) if !inner.is_empty() => {
                let inner = leaves(inner).into_iter();
                found.extend(inner.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            _ => found.push((name.clone(), value.clone())),
        }
    }
    found
}

fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?);
    parts.fold(first, |value, part| value?.as_table()?.get(part))
}

fn put(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((section, rest)) => {
            let inner = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn settings(config: &Config, defaults: &Table, origins: &Origins) -> Vec<Setting> {
    let changed = leaves(&table(config))
        .into_iter()
        .filter_map(|(key, value)| {
            let default = get(defaults, &key)?.clone();
            let origin = origins.of(&key);
            (value != default).then_some(Setting {
                key,
                value,
                default,
                origin,
            })
        });
    changed.collect()
}

fn resolve(mut config: Config, base: &Path) -> Config {
    let Config {
        tls,
        token,
        store,
        audit,
        upstream,
        jwt,
        ldap,
        policy,
        siem,
        trace,
        ..
    } = &mut config;
    if !audit.directory.as_os_str().is_empty() {
        audit.directory = base.join(&audit.directory);
    }
    if !policy.rules.as_os_str().is_empty() {
        policy.rules = base.join(&policy.rules);
    }
    let paths = [
        &mut tls.certificate,
        &mut tls.key,
        &mut tls.client_ca,
        &mut store.path,
    ];
    for path in (paths.into_iter().chain(&mut tls.crl))
        .chain(token.paths())
        .chain(upstream.paths())
        .chain(jwt.paths())
        .chain(ldap.paths())
        .chain(siem.paths())
        .chain(trace.paths())
    {
        *path = base.join(&*path);
    }
    config
}
