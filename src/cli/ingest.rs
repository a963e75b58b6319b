//! `probity ingest`: files into the store, and what the writer is answered.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::args::{Global, IngestArgs};
use super::input::Input;
use super::output::{Bar, Output};
use super::{Answer, open_or_create};
use crate::error::{Error, Result};
use crate::ingest::counts::Counts;
use crate::ingest::mapping::Mapping;
use crate::ingest::receipts::Issued;
use crate::ingest::spool::{Shape, Spool};
use crate::ingest::writer::Outcome;
use crate::ingest::{Acknowledge, Report, Source, Told, check_strict, ingest_telling};
use crate::ledger::hash::hex;
use crate::limits::FIRST_REASONS;
use crate::query::catalogue::Catalogue;
use crate::query::functions::source_functions;
use crate::query::header::Kind;
use crate::store::Store;

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or the store fails.
pub async fn run(global: &Global, args: &IngestArgs, out: &Output) -> Result<Answer> {
    let mapping = args.map.as_deref().map(find_mapping).transpose()?;
    let inputs = args.files.iter().map(|path| Input::open(path)).collect::<Result<Vec<_>>>()?;
    for input in &inputs {
        needs_mapping(input, mapping.is_some())?;
    }
    let store = open_or_create(global, out).await?;
    let mut taking = Taking::new(&store, mapping, args, out).await?;
    if args.strict {
        strict(&mut taking, inputs).await?;
    } else {
        for input in inputs {
            taking.take(input).await?;
        }
    }
    taking.finish().await
}

/// Runs the command on bytes that come with the program.
///
/// # Errors
/// As [`run`].
pub async fn run_bytes(
    global: &Global,
    args: &IngestArgs,
    (name, bytes): (&str, &'static [u8]),
    out: &Output,
) -> Result<Answer> {
    let mapping = args.map.as_deref().map(find_mapping).transpose()?;
    let store = open_or_create(global, out).await?;
    let mut taking = Taking::new(&store, mapping, args, out).await?;
    taking.take(Input::of_bytes(name, bytes)?).await?;
    taking.finish().await
}

/// Checks every file before any is stored; what cannot be read twice is copied first.
async fn strict(taking: &mut Taking<'_>, inputs: Vec<Input>) -> Result<()> {
    let mut copies = Vec::new();
    for mut input in inputs {
        let mut copy = tempfile::NamedTempFile::new()
            .map_err(|e| Error::unavailable("cannot make a temporary file").because(e))?;
        std::io::copy(&mut input.reader, &mut copy)
            .map_err(|e| Error::unavailable(format!("cannot read {}", input.name)).because(e))?;
        copies.push((input.name, input.shape_name, copy));
    }
    let again = |(name, shape_name, copy): &(String, PathBuf, tempfile::NamedTempFile)| {
        let input = Input::open(copy.path())?;
        Ok::<Input, Error>(Input { name: name.clone(), shape_name: shape_name.clone(), ..input })
    };
    for copy in &copies {
        let source = source(again(copy)?, taking.mapping.as_ref()).await?;
        check_strict(taking.store, source).await?;
    }
    for copy in &copies {
        taking.take(again(copy)?).await?;
    }
    Ok(())
}

/// The files of one command while they are taken.
struct Taking<'a> {
    store: &'a Store,
    mapping: Option<Mapping>,
    out: &'a Output,
    /// Where receipts go.
    receipt: Option<&'a Path>,
    /// Where a line for every record goes, and its name.
    acknowledge: Option<(&'a Path, Mutex<BufWriter<File>>)>,
    total: Report,
}

impl<'a> Taking<'a> {
    async fn new(store: &'a Store, mapping: Option<Mapping>, args: &'a IngestArgs, out: &'a Output) -> Result<Self> {
        let receipt = args.receipt.as_deref();
        if receipt.is_some() && !store.has_current_key().await? {
            return Err(Error::invalid(
                "a receipt is signed, and the key that signs the ledger is not here; name it with --key FILE",
            ));
        }
        if let Some(file) = receipt.filter(|file| file.exists()) {
            return Err(Error::invalid(format!("{} is there already; name another place", file.display())));
        }
        let acknowledge = args.acknowledge.as_deref().map(|path| {
            let file = File::create_new(path).map_err(|e| {
                Error::invalid(format!("cannot make {}; name another place", path.display())).because(e)
            })?;
            Ok::<_, Error>((path, Mutex::new(BufWriter::new(file))))
        });
        Ok(Self { store, mapping, out, receipt, acknowledge: acknowledge.transpose()?, total: Report::default() })
    }

    async fn take(&mut self, input: Input) -> Result<()> {
        let (name, read, length) = (input.name.clone(), input.read.clone(), input.length);
        let bar = Bar::bytes(self.out, &name, length);
        let source = source(input, self.mapping.as_ref()).await?;
        let progress = |_: u64, counts: &Counts| {
            bar.set(
                read.load(std::sync::atomic::Ordering::Relaxed),
                format!("{} stored", super::output::thousands(counts.accepted)),
            );
        };
        let file = self.acknowledge.as_ref();
        let tell = |told: &Told<'_>| file.map_or(Ok(()), |(path, file)| acknowledge(path, file, told));
        let telling = file.map(|_| &tell as Acknowledge<'_>);
        let (report, outcome) = ingest_telling(self.store, source, &progress, telling).await;
        bar.finish();
        let flushed = file.map_or(Ok(()), |(path, file)| flush(path, file));
        let written = self.receipts(&report.receipts);
        let total = &mut self.total;
        total.counts.add(report.counts);
        total.first_seq = total.first_seq.or(report.first_seq);
        total.size = report.size.max(total.size);
        total.receipts.extend(report.receipts);
        let room = FIRST_REASONS.saturating_sub(total.reasons.len());
        total.reasons.extend(report.reasons.into_iter().take(room));
        outcome.and(flushed).and(written).map_err(|e| {
            let done = total.counts.accepted + total.counts.duplicate;
            match done {
                0 => e,
                _ => Error::new(
                    e.kind(),
                    format!(
                        "{e}\n{} records read before are stored; mend the cause and ingest again: they will count as duplicates",
                        super::output::thousands(done)
                    ),
                ),
            }
        })
    }

    /// Writes the receipts of one file behind those of the files before: a note is a file.
    fn receipts(&self, issued: &[Issued]) -> Result<()> {
        let Some(file) = self.receipt else { return Ok(()) };
        for (number, one) in (self.total.receipts.len() + 1..).zip(issued) {
            let path = match number {
                1 => file.to_owned(),
                _ => PathBuf::from(format!("{}.{number}", file.display())),
            };
            let note = one.note.as_deref().filter(|_| one.is_signed);
            let note = note.ok_or_else(|| Error::unavailable("the receipts could not be signed"))?;
            let written = File::create_new(&path).and_then(|mut file| file.write_all(note.as_bytes()));
            written.map_err(|e| Error::unavailable(format!("cannot write {}", path.display())).because(e))?;
        }
        Ok(())
    }

    async fn finish(&self) -> Result<Answer> {
        finish(self.store, &self.total, self.out).await
    }
}

/// Writes the line about one record.
fn acknowledge(path: &Path, file: &Mutex<BufWriter<File>>, told: &Told<'_>) -> Result<()> {
    let (name, line) = (told.file, told.line);
    let text = match told.outcome {
        Outcome::Accepted { seq, leaf } => {
            json!({"outcome": "accepted", "seq": seq, "leaf": hex(&leaf), "file": name, "line": line})
        }
        Outcome::Duplicate => json!({"outcome": "duplicate", "file": name, "line": line}),
        Outcome::Conflict => json!({"outcome": "conflict", "file": name, "line": line}),
    };
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(file, "{text}").map_err(|e| Error::unavailable(format!("cannot write {}", path.display())).because(e))
}

fn flush(path: &Path, file: &Mutex<BufWriter<File>>) -> Result<()> {
    let flushed = file.lock().unwrap_or_else(PoisonError::into_inner).flush();
    flushed.map_err(|e| Error::unavailable(format!("cannot write {}", path.display())).because(e))
}

fn needs_mapping(input: &Input, has_mapping: bool) -> Result<()> {
    match shape_of(&input.shape_name) {
        Shape::Json => Ok(()),
        _ if has_mapping => Ok(()),
        _ => Err(Error::invalid(format!(
            "{} needs a mapping to events; give --map NAME or --map FILE.sql (shipped ones: `probity queries`)",
            input.name
        ))),
    }
}

fn shape_of(path: &Path) -> Shape {
    match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Shape::Csv,
        Some("tsv") => Shape::Tsv,
        Some("parquet") => Shape::Parquet,
        _ => Shape::Json,
    }
}

/// What the first bytes say where the name says nothing: standard input, or an unusual extension.
fn sniff(shape: Shape, reader: Box<dyn Read + Send>) -> std::io::Result<(Shape, Box<dyn Read + Send>)> {
    let mut reader = BufReader::new(reader);
    let begin = reader.fill_buf()?;
    let shape = match (shape, begin.iter().find(|b| !b.is_ascii_whitespace() && b.is_ascii())) {
        (Shape::Json, _) if begin.starts_with(b"PAR1") => Shape::Parquet,
        (Shape::Json, Some(b'{' | b'[') | None) => Shape::Json,
        (Shape::Json, Some(_)) => Shape::Csv,
        (named, _) => named,
    };
    Ok((shape, Box::new(reader)))
}

/// The records of `input`, through `mapping` where there is one.
///
/// # Errors
/// When it cannot be read, or the mapping does not work on it.
pub(super) async fn source(input: Input, mapping: Option<&Mapping>) -> Result<Source> {
    let Some(mapping) = mapping else {
        return Ok(Source::Json { name: input.name, reader: input.reader });
    };
    let (name, shape, reader) = (input.name.clone(), shape_of(&input.shape_name), input.reader);
    let (shape, reader) =
        sniff(shape, reader).map_err(|e| Error::unavailable(format!("cannot read {name}")).because(e))?;
    let spooled = tokio::task::spawn_blocking(move || Spool::read(shape, &name, reader)).await;
    let mut spool = spooled.map_err(|e| Error::internal("the spool task died").because(e))??;
    let refused = std::mem::take(&mut spool.refused);
    let rows = mapping.run(spool, source_functions()).await?;
    Ok(Source::Mapped { name: input.name, rows, refused })
}

/// The mapping that is called `name`: a shipped one, or a file.
///
/// # Errors
/// When there is none, or it is no SELECT.
pub(super) fn find_mapping(name: &str) -> Result<Mapping> {
    if name.ends_with(".sql") {
        let text = std::fs::read_to_string(name)
            .map_err(|e| Error::not_found(format!("cannot read mapping {name}")).because(e))?;
        return Mapping::parse(name, &text);
    }
    let query = Catalogue::shipped()?.get(name)?;
    if query.kind != Kind::Mapping {
        return Err(Error::invalid(format!("`{name}` is no mapping; `probity queries` lists them")));
    }
    Mapping::parse(name, &query.text)
}

async fn finish(store: &Store, report: &Report, out: &Output) -> Result<Answer> {
    let counts = &report.counts;
    let number = super::output::thousands;
    out.say(&format!(
        "{} received: {} accepted, {} duplicate, {} conflict, {} rejected; the ledger holds {} events",
        number(counts.received),
        number(counts.accepted),
        number(counts.duplicate),
        number(counts.conflict),
        number(counts.rejected),
        number(report.size as u64)
    ));
    let refused = counts.conflict + counts.rejected;
    if refused > 0 {
        out.say(&format!("{} in the quarantine of {}, the first of them:", number(refused), store.url()));
        report.reasons.iter().for_each(|reason| out.say(&format!("  {reason}")));
    }
    out.json(&json!({
        "received": counts.received,
        "accepted": counts.accepted,
        "duplicate": counts.duplicate,
        "conflict": counts.conflict,
        "rejected": counts.rejected,
        "first_seq": report.first_seq,
        "size": report.size,
        "root": store.root_at(report.size).await?,
        "quarantine": report.reasons,
        "receipts": report.receipts.iter().map(receipt_json).collect::<Vec<_>>(),
    }))?;
    Ok(if refused > 0 { Answer::NotAll } else { Answer::Done })
}

fn receipt_json(issued: &Issued) -> serde_json::Value {
    let receipt = &issued.receipt;
    json!({
        "first_seq": receipt.first_seq,
        "count": receipt.count,
        "root": hex(&receipt.root),
        "signed": issued.is_signed,
        "note": issued.note,
    })
}
