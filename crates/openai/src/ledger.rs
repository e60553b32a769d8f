//! Every request on disk with its attempts and the raw reply, so that nothing is paid twice and all can be audited.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use stages::{IN_MEMORY, database};

use crate::{Error, Spending, Usage};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS attempts (
        id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL,
        prompt_version TEXT NOT NULL,
        url TEXT NOT NULL,
        model TEXT NOT NULL,
        seed INTEGER,
        attempt INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        status INTEGER,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cost REAL NOT NULL,
        raw TEXT NOT NULL,
        at INTEGER
    );
    CREATE INDEX IF NOT EXISTS attempts_by_hash ON attempts (hash);
    CREATE TABLE IF NOT EXISTS requests (hash TEXT PRIMARY KEY, body TEXT NOT NULL);
";

/// For a ledger from before attempts had their times.
const ADD_TIME: &str = "ALTER TABLE attempts ADD COLUMN at INTEGER";

const INSERT_REQUEST: &str = "INSERT OR IGNORE INTO requests (hash, body) VALUES (?1, ?2)";

const INSERT_ATTEMPT: &str = "
    INSERT INTO attempts (hash, prompt_version, url, model, seed, attempt, outcome, status,
        prompt_tokens, completion_tokens, cost, raw, at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, unixepoch())
";

/// Where requests, attempts and replies are kept: one SQLite file with the tables `requests` and `attempts`. An attempt's
/// `at` is when it ended, in Unix seconds.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A reply, which is kept.
    Reply,
    /// No usable reply, and nothing that the server would charge for.
    Failed,
    /// No usable reply, though the server may have charged for one: it is booked at its estimate.
    Uncertain,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Failed => "failed",
            Self::Uncertain => "uncertain",
        }
    }
}

/// One request on the wire, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What was asked: the hash of address and body.
    pub hash: &'a str,
    /// The body as it is kept, which is without the bytes of images.
    pub body: &'a str,
    /// Which prompt asked.
    pub prompt_version: &'a str,
    /// The address.
    pub url: &'a str,
    /// The model.
    pub model: &'a str,
    /// The seed, if one was sent.
    pub seed: Option<i64>,
    /// Which try, from 1.
    pub attempt: usize,
    /// What it came to.
    pub outcome: Outcome,
    /// The status, when one came.
    pub status: Option<u16>,
    /// What it took.
    pub usage: Usage,
    /// What that cost.
    pub cost: f64,
    /// The reply as it came, or why none did.
    pub raw: &'a str,
}

impl Ledger {
    /// The ledger in a file, which is made if it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened, or is no ledger.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::at(path)
    }

    /// A ledger that ends with the process.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Self, Error> {
        Self::at(Path::new(IN_MEMORY))
    }

    fn at(path: &Path) -> Result<Self, Error> {
        let open = || {
            let connection = database(path, TABLES)?;
            if !connection.column_exists(None, "attempts", "at")? {
                connection.execute_batch(ADD_TIME)?;
            }
            Ok(connection)
        };
        let connection =
            open().map_err(|source| Error::Ledger { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// The reply to a request that was asked before.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn reply(&self, hash: &str) -> Result<Option<String>, Error> {
        let query = "SELECT raw FROM attempts WHERE hash = ?1 AND outcome = ?2 LIMIT 1";
        let kept = Outcome::Reply.as_str();
        let found = self.connection().query_row(query, [hash, kept], |row| row.get(0)).optional();
        found.map_err(|source| self.error(source))
    }

    /// Writes an attempt down, and what was asked; a reply is kept with it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn record(&self, attempt: &Attempt<'_>) -> Result<(), Error> {
        let usage = attempt.usage;
        let row = params![
            attempt.hash,
            attempt.prompt_version,
            attempt.url,
            attempt.model,
            attempt.seed,
            attempt.attempt as i64,
            attempt.outcome.as_str(),
            attempt.status,
            usage.prompt_tokens.cast_signed(),
            usage.completion_tokens.cast_signed(),
            attempt.cost,
            attempt.raw,
        ];
        let connection = self.connection();
        let insert = |statement: &str, row: &[&dyn ToSql]| {
            connection.prepare_cached(statement)?.execute(row)
        };
        let written = insert(INSERT_REQUEST, params![attempt.hash, attempt.body])
            .and_then(|_| insert(INSERT_ATTEMPT, row));
        written.map(drop).map_err(|source| self.error(source))
    }

    /// What all attempts took together.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn spent(&self) -> Result<Spending, Error> {
        // `TOTAL` cannot overflow, whatever servers have counted; below 2^53 it is exact.
        let query =
            "SELECT TOTAL(prompt_tokens) + TOTAL(completion_tokens), TOTAL(cost) FROM attempts";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Spending { tokens: row.get::<_, f64>(0)? as u64, cost: row.get(1)? })
        };
        self.connection().query_row(query, [], read).map_err(|source| self.error(source))
    }

    /// How many attempts came to each outcome: replies, failures, and uncertain ones.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn num_attempts(&self) -> Result<[u64; 3], Error> {
        let count = |outcome: Outcome| {
            let query = "SELECT COUNT(*) FROM attempts WHERE outcome = ?1";
            let row = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            let counted = self.connection().query_row(query, [outcome.as_str()], row);
            counted.map(|count| count.max(0) as u64).map_err(|source| self.error(source))
        };
        Ok([count(Outcome::Reply)?, count(Outcome::Failed)?, count(Outcome::Uncertain)?])
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, source: rusqlite::Error) -> Error {
        Error::Ledger { path: self.path.clone(), source }
    }
}
