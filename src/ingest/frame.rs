//! Framing: a stream of bytes cut into records, in bounded memory.
//!
//! In: any reader. Out: lines, the elements of one JSON array (a batch of CloudEvents), or the one object that
//! is spread over all lines, each at most [`RECORD_BYTES`] long; a longer record comes out as its beginning, its length and its hash. Invariant:
//! every byte but line ends, white space between elements and blank lines belongs to exactly one record.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::limits::{QUARANTINE_RAW_BYTES, RECORD_BYTES};

/// How records are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// One record a line.
    Lines,
    /// The elements of one array.
    Array,
    /// One object over all lines, as a person or an exporter sets it out.
    Document,
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// All of it.
    Whole {
        /// Its bytes.
        bytes: &'a [u8],
        /// Line that it starts on, 1-based.
        line: u64,
    },
    /// Too long to be an event.
    TooLong {
        /// The beginning.
        head: &'a [u8],
        /// Length in bytes.
        total: u64,
        /// SHA-256 of all of it.
        sha256: [u8; 32],
        /// Line that it starts on, 1-based.
        line: u64,
    },
}

/// Cuts a reader into records.
pub struct Records<R> {
    reader: R,
    framing: Option<Framing>,
    buffer: Vec<u8>,
    /// Unread part of the buffer.
    from: usize,
    to: usize,
    line: u64,
    /// The record that was too long, kept for its borrower.
    head: Vec<u8>,
    consumed: u64,
}

const BUFFER_BYTES: usize = 1024 * 1024;
/// Room beside the longest record: its line end must fit, and reading on in larger pieces is quicker.
const LEAST_BUFFER_BYTES: usize = 4 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<R: Read> Records<R> {
    /// Reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self::sized(reader, BUFFER_BYTES)
    }

    /// Reads from `reader`, which gives about so many bytes: a small request needs no large buffer.
    pub fn sized(reader: R, bytes: usize) -> Self {
        let buffer = vec![0; bytes.clamp(LEAST_BUFFER_BYTES, BUFFER_BYTES) + RECORD_BYTES];
        Self { reader, framing: None, buffer, from: 0, to: 0, line: 1, head: Vec::new(), consumed: 0 }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.consumed
    }

    /// The next record.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn next_record(&mut self) -> io::Result<Option<Record<'_>>> {
        if self.framing.is_none() {
            self.framing = Some(self.detect()?);
        }
        match self.framing {
            Some(Framing::Array) => self.next_element(),
            Some(Framing::Document) => Ok(self.whole_document()),
            _ => self.next_line(),
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Reads more behind what is unread; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        loop {
            match self.reader.read(&mut self.buffer[self.to..]) {
                Ok(read) => {
                    self.to += read;
                    self.consumed += read as u64;
                    return Ok(read > 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// A document that begins with `[` is an array: no event does.
    fn detect(&mut self) -> io::Result<Framing> {
        while self.unread().len() < BYTE_ORDER_MARK.len() && self.fill()? {}
        if self.unread().starts_with(BYTE_ORDER_MARK) {
            self.from += BYTE_ORDER_MARK.len();
        }
        loop {
            match self.unread().iter().find(|b| !b.is_ascii_whitespace()) {
                Some(b'[') => {
                    self.skip_white();
                    self.from += 1;
                    return Ok(Framing::Array);
                }
                Some(b'{') => return self.lines_or_document(),
                Some(_) => return Ok(Framing::Lines),
                // Blank lines only so far: they can be dropped, counted.
                None => self.skip_white(),
            }
            if !self.fill()? {
                return Ok(Framing::Lines);
            }
        }
    }

    /// Whether an input that begins with `{` is one object over several lines. A first line that is an object
    /// decides at once: a stream of lines must not wait for its end.
    fn lines_or_document(&mut self) -> io::Result<Framing> {
        let is_object = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        self.skip_white();
        let mut is_first_line_seen = false;
        while self.unread().len() <= RECORD_BYTES {
            let first_line = self.unread().iter().position(|b| *b == b'\n');
            if let Some(end) = first_line.filter(|_| !is_first_line_seen) {
                is_first_line_seen = true;
                if is_object(&self.unread()[..end]) {
                    return Ok(Framing::Lines);
                }
            }
            if !self.fill()? {
                return Ok(if is_object(self.unread()) { Framing::Document } else { Framing::Lines });
            }
        }
        Ok(Framing::Lines)
    }

    /// The one object, which is in the buffer as a whole.
    fn whole_document(&mut self) -> Option<Record<'_>> {
        let (from, line) = (self.from, self.line);
        self.from = self.to;
        let bytes = self.buffer[from..self.to].trim_ascii_end();
        (!bytes.is_empty()).then_some(Record::Whole { bytes, line })
    }

    fn skip_white(&mut self) {
        let white = self.unread().iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.line += self.unread()[..white].iter().filter(|b| **b == b'\n').count() as u64;
        self.from += white;
    }

    fn next_line(&mut self) -> io::Result<Option<Record<'_>>> {
        loop {
            let mut searched = 0;
            let end = loop {
                if let Some(at) = memchr::memchr(b'\n', &self.unread()[searched..]) {
                    break Some(searched + at);
                }
                searched = self.unread().len();
                if searched > RECORD_BYTES + 1 {
                    return self.too_long(Framing::Lines).map(Some);
                }
                if !self.fill()? {
                    break None;
                }
            };
            let (len, step) = match end {
                Some(at) => (at, at + 1),
                None if self.unread().is_empty() => return Ok(None),
                None => (self.unread().len(), self.unread().len()),
            };
            let (start, line) = (self.from, self.line);
            let bytes = self.buffer[start..start + len].strip_suffix(b"\r").unwrap_or(&self.buffer[start..start + len]);
            if bytes.len() > RECORD_BYTES {
                return self.too_long(Framing::Lines).map(Some);
            }
            let len = bytes.len();
            let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
            self.from += step;
            self.line += 1;
            if !is_blank {
                return Ok(Some(Record::Whole { bytes: &self.buffer[start..start + len], line }));
            }
        }
    }

    fn next_element(&mut self) -> io::Result<Option<Record<'_>>> {
        loop {
            self.skip_white();
            match self.unread().first().copied() {
                Some(b',') => self.from += 1,
                Some(b']') => {
                    // Whatever follows the array is read as lines, so that it is refused rather than lost.
                    self.from += 1;
                    self.framing = Some(Framing::Lines);
                    return self.next_line();
                }
                Some(_) => break,
                None if !self.fill()? => return Ok(None),
                None => {}
            }
        }
        let mut scan = ElementEnd::default();
        let mut searched = 0;
        let len = loop {
            if let Some(at) = scan.find(&self.unread()[searched..]) {
                break searched + at;
            }
            searched = self.unread().len();
            if searched > RECORD_BYTES {
                return self.too_long(Framing::Array).map(Some);
            }
            if !self.fill()? {
                break searched;
            }
        };
        if len > RECORD_BYTES {
            return self.too_long(Framing::Array).map(Some);
        }
        let (start, line) = (self.from, self.line);
        self.from += len;
        self.line += self.buffer[start..start + len].iter().filter(|b| **b == b'\n').count() as u64;
        let trimmed = self.buffer[start..start + len].trim_ascii_end().len();
        Ok(Some(Record::Whole { bytes: &self.buffer[start..start + trimmed], line }))
    }

    /// Reads a record that is too long to its end, keeping its beginning and hashing all of it.
    fn too_long(&mut self, framing: Framing) -> io::Result<Record<'_>> {
        let line = self.line;
        let (mut hash, mut total) = (Sha256::new(), 0u64);
        let mut scan = ElementEnd::default();
        self.head.clear();
        loop {
            let part = &self.buffer[self.from..self.to];
            let end = match framing {
                Framing::Lines | Framing::Document => part.iter().position(|b| *b == b'\n'),
                Framing::Array => scan.find(part),
            };
            let part = &part[..end.unwrap_or(part.len())];
            hash.update(part);
            total += part.len() as u64;
            let room = QUARANTINE_RAW_BYTES - self.head.len();
            self.head.extend_from_slice(&part[..part.len().min(room)]);
            if framing == Framing::Array {
                self.line += part.iter().filter(|b| **b == b'\n').count() as u64;
            }
            self.from += part.len();
            if end.is_some() || !self.fill()? {
                break;
            }
        }
        if framing == Framing::Lines {
            self.from = (self.from + 1).min(self.to);
            self.line += 1;
        }
        Ok(Record::TooLong { head: &self.head, total, sha256: hash.finalize().into(), line })
    }
}

/// Finds the comma or bracket that ends an element of an array.
#[derive(Default)]
struct ElementEnd {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl ElementEnd {
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        for (i, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b',' | b']' if self.depth == 0 => return Some(i),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives its bytes in pieces of `step`.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn records(input: &[u8], step: usize) -> Vec<(u64, String)> {
        let found = gathered(Records::new(Trickle(input, step)));
        assert_eq!(gathered(Records::sized(Trickle(input, step), 0)), found, "the size of the buffer changes nothing");
        found
    }

    fn gathered(mut records: Records<Trickle<'_>>) -> Vec<(u64, String)> {
        let mut out = Vec::new();
        while let Some(record) = records.next_record().unwrap() {
            out.push(match record {
                Record::Whole { bytes, line } => (line, String::from_utf8_lossy(bytes).into_owned()),
                Record::TooLong { head, total, line, .. } => (line, format!("{} of {total}", head.len())),
            });
        }
        out
    }

    #[test]
    fn lines_and_elements_come_out_whole_whatever_the_pieces() {
        let lines = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"b\":2}\nlast";
        let array = b" \n[ {\"a\":\"x],{\\\"\"} ,\n{\"b\":[1,{}]},3 ]\n{\"c\":1}\n";
        assert_eq!(Records::sized(&b"{}"[..], 2).buffer.len(), LEAST_BUFFER_BYTES + RECORD_BYTES);
        for step in [1, 2, 3, 7, 1000] {
            let got = records(lines, step);
            assert_eq!(got, [(1, "{\"a\":1}".into()), (4, "{\"b\":2}".into()), (5, "last".into())]);
            let got = records(array, step);
            let expected = [(2, "{\"a\":\"x],{\\\"\"}"), (3, "{\"b\":[1,{}]}"), (3, "3"), (4, "{\"c\":1}")];
            assert_eq!(got, expected.map(|(line, text)| (line, text.to_owned())));
        }
        let document = b"\n{\n  \"a\": {\n\"b\": 1}\n}\n";
        for step in [1, 2, 1000] {
            assert_eq!(records(document, step), [(2, "{\n  \"a\": {\n\"b\": 1}\n}".into())]);
            // Two objects over several lines are no lines and no document: refused line by line.
            assert_eq!(records(&[&document[..], b"{}"].concat(), step).len(), 5);
        }
        assert_eq!(records(b"", 1), []);
        assert_eq!(records(b"\n \n", 1), []);
        assert_eq!(records(b"[]", 1), []);
    }

    #[test]
    fn a_record_that_is_too_long_costs_its_neighbours_nothing() {
        let mut input = b"{\"a\":1}\n".to_vec();
        input.extend(vec![b'x'; 5_000_000]);
        input.extend(b"\n{\"b\":2}\n");
        for step in [1000, 70_000, 10_000_000] {
            let got = records(&input, step);
            assert_eq!(got, [(1, "{\"a\":1}".into()), (2, "65536 of 5000000".into()), (3, "{\"b\":2}".into())]);
        }
        let exact = [vec![b'y'; RECORD_BYTES], b"\r\nz".to_vec()].concat();
        assert_eq!(records(&exact, 4096)[0].1.len(), RECORD_BYTES);
        let array = [b"[1,\"".to_vec(), vec![b'x'; 200_000], b"\",2]".to_vec()].concat();
        assert_eq!(records(&array, 4096), [(1, "1".into()), (1, "65536 of 200002".into()), (1, "2".into())]);
    }
}
