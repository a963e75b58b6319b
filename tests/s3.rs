//! S3: a real server process on loopback, started here; skipped with a word where Python or moto is missing.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::command::{Ran, probity};
use crate::support::event;

struct Server {
    child: Child,
    endpoint: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts moto with a bucket `evidence`; none where it cannot be had.
fn server() -> Option<Server> {
    let python = std::env::var("PROBITY_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_moto = Command::new(&python).args(["-c", "import moto.server"]).stderr(Stdio::null()).status();
    if !has_moto.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: {python} has no moto; `pip install 'moto[server]'` to test against an S3 server");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = format!(
        "from moto.server import ThreadedMotoServer as S; S(ip_address='127.0.0.1', port={port}).start(); import time; time.sleep(600)"
    );
    let child = Command::new(&python).args(["-c", &serve]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server { child, endpoint: format!("http://127.0.0.1:{port}") };
    let bucket = "import boto3,sys; boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test').create_bucket(Bucket='evidence')";
    for _ in 0..100 {
        let made = Command::new(&python).args(["-c", bucket, &server.endpoint]).stderr(Stdio::null()).status().unwrap();
        if made.success() {
            return Some(server);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the S3 server does not answer on {}", server.endpoint);
}

fn command(server: &Server, dir: &Path, args: &[&str]) -> Command {
    let mut command = probity(dir);
    command
        .args(args)
        .args(["--store", "s3://evidence/some/prefix"])
        .env("AWS_ENDPOINT", &server.endpoint)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null());
    command
}

fn run(server: &Server, dir: &Path, args: &[&str]) -> Ran {
    let output = command(server, dir, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn an_s3_store_takes_racing_writers_folds_compacts_and_answers() {
    let Some(server) = server() else { return };
    let dir = tempfile::tempdir().unwrap();
    let missing = run(&server, dir.path(), &["query", "months"]).ended(2);
    assert!(missing.err.contains("probity init"), "{}", missing.err);
    run(&server, dir.path(), &["init"]).ended(0);
    for part in 0..4 {
        let text: String = (0..400).map(|i| event(&((part % 3) * 400 + i).to_string(), i * 120) + "\n").collect();
        std::fs::write(dir.path().join(format!("{part}.ndjson")), text).unwrap();
    }
    let files: Vec<String> = (0..4).map(|part| format!("{part}.ndjson")).collect();
    let children: Vec<_> = files
        .iter()
        .map(|file| command(&server, dir.path(), &["ingest", file, "--json"]).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    let mut accepted = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        accepted += answer["accepted"].as_u64().unwrap();
    }
    assert_eq!(accepted, 1_200, "the fourth file repeats the first");
    run(&server, dir.path(), &["maintain"]).ended(0);
    std::fs::write(dir.path().join("late.ndjson"), event("late", 1)).unwrap();
    run(&server, dir.path(), &["ingest", "late.ndjson"]).ended(0);
    run(&server, dir.path(), &["maintain"]).ended(0);
    let sql = "select count(*), count(distinct event_id), min(seq), max(seq) + 1 = count(*) filter (where true) from events where source = 'test'";
    let answer = run(&server, dir.path(), &["query", sql, "--json"]).ended(0).json();
    assert_eq!(answer["rows"][0][0], 1_201);
    assert_eq!(answer["rows"][0][1], 1_201);
}
