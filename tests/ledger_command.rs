//! The command `probity-verify`: directories and archives, honest and not, and its exit codes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use probity::ledger::note::{Note, Signer};

use crate::support::pack::{Draft, Files, checkpoint, growth, log};

/// One member of a tar archive: its name, its type (`0` file, `2` link, `5` folder) and its bytes.
type Member<'a> = (String, u8, &'a [u8]);

fn members<'a>(files: &'a Files, folder: &str) -> Vec<Member<'a>> {
    files.iter().map(|(name, bytes)| (format!("{folder}{name}"), b'0', bytes.as_slice())).collect()
}

/// A tar archive (POSIX.1-1988, ustar), packed with gzip.
fn archive(members: &[Member<'_>], behind: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for (name, kind, bytes) in members {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = *kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        packed.write_all(&header).unwrap();
        packed.write_all(bytes).unwrap();
        packed.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]).unwrap();
    }
    packed.write_all(&[0; 1024]).unwrap();
    packed.write_all(behind).unwrap();
    packed.finish().unwrap()
}

/// Exit code, standard output and standard error.
fn run(dir: &Path, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_probity-verify")).args(words).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs the command on the archive with the log's key.
fn run_on(dir: &Path, archive: Vec<u8>) -> (i32, String) {
    fs::write(dir.join("pack.tar.gz"), archive).unwrap();
    let (code, out, err) = run(dir, &["pack.tar.gz", "--key", &log().vkey()]);
    (code, out + &err)
}

#[test]
fn a_directory_is_verified_with_all_that_the_auditor_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut draft = Draft::range(3, 9);
    draft.consistency = Some(growth(5));
    fs::create_dir(dir.path().join("pack")).unwrap();
    for (name, bytes) in draft.signed() {
        fs::write(dir.path().join("pack").join(name), bytes).unwrap();
    }
    fs::write(dir.path().join("key"), log().vkey() + "\n").unwrap();
    fs::write(dir.path().join("policy"), "quorum none\n").unwrap();
    fs::write(dir.path().join("held"), Note::signed(&checkpoint(5).to_text(), &log()).unwrap().to_string()).unwrap();
    let words = ["pack", "--key", "key", "--trust", "policy", "--held", "held"];
    let (code, out, _) = run(dir.path(), &words);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains(" 1. ok") && out.contains("11. ok") && out.contains("verified: 6 rows"), "{out}");
    let (code, out, _) = run(dir.path(), &[&words[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["is_ok"]), (0, &serde_json::Value::Bool(true)));
    fs::create_dir(dir.path().join("pack/more")).unwrap();
    let (code, out, _) = run(dir.path(), &words);
    assert!(code == 1 && out.contains("more: is no plain file"), "{out}");
}

#[test]
fn an_archive_may_have_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let files = Draft::query(&[2, 6]).signed();
    for folder in ["", "./", "pack/", "./pack/"] {
        let mut all = members(&files, folder);
        all.insert(0, (format!("{folder}."), b'5', &[]));
        let (code, out) = run_on(dir.path(), archive(&all, &[]));
        assert_eq!(code, 0, "{folder}: {out}");
    }
}

#[test]
fn an_archive_that_readers_could_take_in_two_ways_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = Draft::query(&[2, 6]).signed();
    let good = || members(&files, "");
    for (member, expected) in [
        (("checkpoint".to_owned(), b'0', &b"x"[..]), "checkpoint: stands twice"),
        (("link".to_owned(), b'2', &b""[..]), "link: is no plain file"),
        (("../checkpoint".to_owned(), b'0', &b"x"[..]), "is neither at the top"),
        (("/checkpoint".to_owned(), b'0', &b"x"[..]), "is neither at the top"),
        (("more/checkpoint".to_owned(), b'0', &b"x"[..]), "is neither at the top"),
        (("a/b/checkpoint".to_owned(), b'0', &b"x"[..]), "is neither at the top"),
        (("more".to_owned(), b'0', &b"x"[..]), "more: is not listed"),
    ] {
        let all = [good(), vec![member]].concat();
        let (code, out) = run_on(dir.path(), archive(&all, &[]));
        assert!(code == 1 && out.contains(expected), "{expected}: {out}");
    }
    let (code, out) = run_on(dir.path(), archive(&good(), b"more"));
    assert!(code == 1 && out.contains("behind its end"), "{out}");
}

#[test]
fn a_bomb_and_a_cut_archive_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let files = Draft::query(&[2, 6]).signed();
    let zeros = vec![0; 200 * 1024 * 1024];
    let bomb = [members(&files, ""), vec![("zeros".to_owned(), b'0', zeros.as_slice())]].concat();
    let (code, out) = run_on(dir.path(), archive(&bomb, &[]));
    assert!(code == 2 && out.contains("unpacks to more"), "{out}");
    let whole = archive(&members(&files, ""), &[]);
    let (code, out) = run_on(dir.path(), whole[..whole.len() / 2].to_vec());
    assert!(code == 2 && out.starts_with("error: cannot read"), "{out}");
    let (code, out) = run_on(dir.path(), whole[..whole.len() - 1].to_vec());
    assert!(code == 2 && out.starts_with("error: cannot read"), "{out}");
}

#[test]
fn wrong_words_end_with_2_and_a_wrong_key_with_1() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pack.tar.gz"), archive(&members(&Draft::range(3, 9).signed(), ""), &[])).unwrap();
    let (key, other) = (log().vkey(), Signer::new(log().name(), [9; 32]).unwrap().vkey());
    for (words, expected) in [
        (vec![], 2),
        (vec!["pack.tar.gz"], 2),
        (vec!["pack.tar.gz", "--key"], 2),
        (vec!["pack.tar.gz", "--key", "nonsense"], 2),
        (vec!["pack.tar.gz", "--key", &key, "--key", &key], 2),
        (vec!["pack.tar.gz", "more", "--key", &key], 2),
        (vec!["pack.tar.gz", "--key", &key, "--quick"], 2),
        (vec!["none.tar.gz", "--key", &key], 2),
        (vec!["pack.tar.gz", "--key", &key, "--trust", "pack.tar.gz"], 2),
        (vec!["pack.tar.gz", "--key", &key, "--held", "pack.tar.gz"], 2),
        (vec!["pack.tar.gz", "--key", &other], 1),
        (vec!["pack.tar.gz", "--key", &key], 0),
        (vec!["--help"], 0),
    ] {
        let (code, out, err) = run(dir.path(), &words);
        assert_eq!(code, expected, "{words:?}: {out}{err}");
    }
}
