//! The store itself: one SQLite file.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// What SQLite calls a database that ends with the process.
pub const IN_MEMORY: &str = ":memory:";

/// A write-ahead log outlives a killed process; waiting for a lock serves a second reader.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA busy_timeout = 10000;
";

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS results (
        key TEXT PRIMARY KEY,
        stage TEXT NOT NULL,
        item TEXT NOT NULL,
        prompt_version TEXT NOT NULL,
        model TEXT NOT NULL,
        seed INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cost REAL NOT NULL,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS results_by_stage ON results (stage);
";

/// Where results are kept: one SQLite file with the table `results`.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

/// What a result took and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The hash of all that shapes it; see [`key`].
    pub key: &'a str,
    /// The stage.
    pub stage: &'static str,
    /// Names the item's content.
    pub item: &'a str,
    /// Name and version of the prompt.
    pub prompt_version: &'a str,
    /// Who gave it.
    pub model: &'a str,
    /// The seed of the draws.
    pub seed: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the reply.
    pub completion_tokens: u64,
    /// Money.
    pub cost: f64,
}

/// What a stage has taken so far, in all runs on the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spending {
    /// The stage.
    pub stage: String,
    /// Results kept.
    pub num_results: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of replies.
    pub completion_tokens: u64,
    /// Money.
    pub cost: f64,
}

impl Store {
    /// The store in a file, which is made if it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened, or is no store.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::at(path)
    }

    /// A store that ends with the process.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Self, Error> {
        Self::at(Path::new(IN_MEMORY))
    }

    fn at(path: &Path) -> Result<Self, Error> {
        let connection = database(path, TABLES);
        let connection = connection.map_err(|source| Error { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// The result with this key. One that no longer has the stage's form counts as none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT value FROM results WHERE key = ?1")
            .and_then(|mut query| query.query_row([key], |row| row.get(0)).optional())
            .map_err(|source| self.error(source))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Keeps a result.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put<T: Serialize>(&self, entry: &Entry<'_>, value: &T) -> Result<(), Error> {
        let value = serde_json::to_string(value).expect("a result has a JSON form");
        let insert =
            "INSERT OR REPLACE INTO results VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let row = params![
            entry.key,
            entry.stage,
            entry.item,
            entry.prompt_version,
            entry.model,
            entry.seed.cast_signed(),
            entry.prompt_tokens.cast_signed(),
            entry.completion_tokens.cast_signed(),
            entry.cost,
            value
        ];
        let put = self.connection.prepare_cached(insert).and_then(|mut put| put.execute(row));
        put.map(drop).map_err(|source| self.error(source))
    }

    /// What each stage has taken, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn spending(&self) -> Result<Vec<Spending>, Error> {
        let query = "SELECT stage, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(cost) \
                     FROM results GROUP BY stage ORDER BY stage";
        let count = |value: i64| value.max(0) as u64;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Spending {
                stage: row.get(0)?,
                num_results: count(row.get(1)?),
                prompt_tokens: count(row.get(2)?),
                completion_tokens: count(row.get(3)?),
                cost: row.get(4)?,
            })
        };
        let rows = self.connection.prepare(query).and_then(|mut statement| {
            statement.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()
        });
        rows.map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> Error {
        Error { path: self.path.clone(), source }
    }
}

/// The key of a result: all that shapes it, in order.
pub fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // A part's length keeps neighbours apart.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A database that outlives a killed process, with these tables.
///
/// # Errors
/// When the file cannot be opened, or holds something else.
pub fn database(path: &Path, tables: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(SETTINGS)?;
    connection.execute_batch(tables)?;
    Ok(connection)
}
