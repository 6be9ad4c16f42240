//! Jobs over the API: order, list, cancelling, and limits.

use serde_json::Value;

use super::*;
use crate::harness::files;
use crate::harness::process::{until, until_within};
use crate::harness::server::{Answer, Server};

/// How long cancelling may take on a busy machine. The benchmark measures how long it takes.
const SOON: Duration = Duration::from_secs(10);

pub async fn post(server: &Server, body: impl Into<reqwest::Body>, query: &str) -> Answer {
    server.send(|http| http.post(server.url(&format!("/reconcile?{query}"))).body(body)).await
}

pub async fn begin(server: &Server, body: impl Into<reqwest::Body>) -> String {
    let answer = post(server, body, "name=rounds.csv").await;
    assert_eq!((answer.status, answer.body["state"].as_str()), (202, Some("queued")), "{:#}", answer.body);
    answer.headers["location"].to_str().unwrap().to_owned()
}

pub async fn until_ended(server: &Server, path: &str) -> Value {
    until(&format!("{path} has ended"), async || {
        let job = server.get(path).await.ok();
        matches!(job["state"].as_str(), Some("done" | "failed" | "cancelled")).then_some(job)
    })
    .await
}

/// Waits until a job is in a phase.
pub async fn until_phase(server: &Server, path: &str, phase: &str) {
    until_within(PATIENCE, &format!("{path} is {phase}"), async || {
        let job = server.get(path).await.ok();
        assert!(job["state"] == "queued" || job["state"] == "running", "never {phase}: {job:#}");
        (job["phase"] == phase).then_some(())
    })
    .await;
}

/// Waits until ended jobs have left no file, table, query, or difference of an attempt that does not count.
pub async fn until_nothing_left(server: &Server) {
    let spool = server.data_dir().join("reconcile");
    until("nothing is left of jobs", async || {
        let files: Vec<_> =
            std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let in_clickhouse = server
            .clickhouse(
                "SELECT (SELECT count() FROM system.tables WHERE match(name, '^re[a-z]+_.*[0-9a-f]{32}') AND database = 'game_data'), \
                 (SELECT count() FROM reconcile_differences WHERE (toString(job_id), toString(attempt)) NOT IN \
                  (SELECT id, attempt FROM reconcile_jobs FINAL WHERE state = 'done')), \
                 (SELECT count() FROM system.processes WHERE Settings['log_comment'] LIKE 'roundhouse reconciliation%')",
            )
            .await;
        (format!("{files:?} {in_clickhouse}") == "[] 0\t0\t0").then_some(())
    })
    .await;
}

async fn cancel(server: &Server, path: &str) -> (Answer, Duration) {
    let started = Instant::now();
    let answer = server.send(|http| http.delete(server.url(path))).await;
    (answer, started.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_cancelled_in_each_phase_and_the_next_one_starts() {
    let server = Server::start(&[]).await;
    let directory = TempDir::new().unwrap();
    let large = std::fs::read(generate(&directory, 600_000)).unwrap();
    for phase in ["reading", "comparing_rows", "comparing_hours"] {
        let running = begin(&server, large.clone()).await;
        let queued = begin(&server, files::csv(1..50)).await;
        let next = begin(&server, files::csv(1..100)).await;
        until_phase(&server, &running, phase).await;
        assert_eq!(server.get(&queued).await.ok()["state"], "queued");

        let (answer, took) = cancel(&server, &queued).await;
        assert_eq!(answer.clone().ok()["state"], "cancelled");
        assert!(took < SOON, "queued: {took:?}");
        let (answer, took) = cancel(&server, &running).await;
        let job = answer.ok();
        assert_eq!(
            (&job["state"], &job["phase"], &job["verdict"]),
            (&"cancelled".into(), &Value::Null, &Value::Null)
        );
        assert!(took < SOON, "{phase}: {took:?}");
        println!("{phase}: cancelled in {took:?}");

        let report = until_ended(&server, &next).await;
        assert_eq!((&report["state"], &report["missing"]), (&"done".into(), &99.into()));
        for path in [&running, &queued] {
            assert_eq!(server.get(path).await.ok()["state"], "cancelled");
            let (answer, _) = cancel(&server, path).await;
            assert_eq!(answer.problem(409, "job_ended")["state"], "cancelled");
        }
        let (answer, _) = cancel(&server, &next).await;
        assert_eq!(answer.problem(409, "job_ended")["state"], "done");
        until_nothing_left(&server).await;
    }
    let (answer, _) = cancel(&server, "/reconcile/01a1fc31-d9bb-770c-8e13-ab4bd67dcc88").await;
    answer.problem(404, "no_such_job");
    let (answer, _) = cancel(&server, "/reconcile/x").await;
    answer.problem(404, "no_such_job");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_in_order_and_at_most_as_many_at_once_as_configured() {
    let mut bench = Bench::new().await;
    bench.limits.max_running_reconciliations = 2;
    // The jobs wait until this is opened.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let asked = Arc::clone(&gate);
    bench.arrivals = Arrivals::new(TOPIC, Duration::ZERO, move || {
        let gate = Arc::clone(&asked);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(BTreeMap::new())
        })
    });
    let reconciler = bench.reconciler();
    let stop = CancellationToken::new();
    let running = Arc::clone(&reconciler).run(stop.clone());
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(submit(&reconciler, file(&rounds(1..3))).await);
    }
    let states = async || {
        let mut states = Vec::new();
        for id in &ids {
            states.push(reconciler.get(*id).await.unwrap().unwrap().state);
        }
        states
    };
    use JobState::{Cancelled, Done, Queued, Running};
    wait_for(&reconciler, ids[1], |view| view.state == Running).await;
    assert_eq!(states().await, [Running, Running, Queued, Queued, Queued]);
    gate.add_permits(1);
    wait_for(&reconciler, ids[2], |view| view.state == Running).await;
    let now = states().await;
    assert_eq!(now[..2].iter().filter(|state| **state == Done).count(), 1, "{now:?}");
    assert_eq!(now[3..], [Queued, Queued]);
    assert_eq!(reconciler.cancel(ids[3]).await.unwrap().state, Cancelled);
    assert_eq!(reconciler.cancel(ids[2]).await.unwrap().state, Cancelled);
    wait_for(&reconciler, ids[4], |view| view.state == Running).await;
    gate.add_permits(2);
    for id in [ids[0], ids[1], ids[4]] {
        assert_eq!(end(&reconciler, id).await.state, Done);
    }
    assert_eq!(bench.left_over().await, (0, 0));
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_newest_first_page_by_page() {
    let server = Server::start(&[]).await;
    let mut paths = Vec::new();
    for rows in 1..=5 {
        paths.push(begin(&server, files::csv(0..rows)).await);
    }
    for path in &paths {
        until_ended(&server, path).await;
    }
    paths.reverse();
    let mut found = Vec::new();
    let mut next = Some("/reconcile?limit=2".to_owned());
    let mut pages = 0;
    while let Some(url) = next {
        let page = server.get(&url).await.ok();
        for job in page["items"].as_array().unwrap() {
            assert_eq!((&job["state"], &job["file_name"]), (&"done".into(), &"rounds.csv".into()));
            assert_eq!(job["sha256"].as_str().unwrap().len(), 64);
            assert!(job["submitted_at"].as_str().unwrap().starts_with("20"), "{job:#}");
            found.push(job["links"]["self"].as_str().unwrap().to_owned());
        }
        assert_eq!(page["page"]["limit"], 2);
        next = page["links"]["next"].as_str().map(str::to_owned);
        assert_eq!(page["page"]["next_cursor"].is_null(), next.is_none());
        pages += 1;
        assert!(pages <= 3);
    }
    assert_eq!((found, pages), (paths, 3));
    for (query, parameter) in
        [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor"), ("of=1", "of")]
    {
        let problem = server.get(&format!("/reconcile?{query}")).await.problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], parameter);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_and_a_full_queue_refuse_files() {
    let options =
        ["--loader", "none", "--max-waiting-reconciliations", "2", "--reconcile-spool-bytes", "20000"];
    let server = Server::start(&options).await;
    // A row is acknowledged and never loaded, so the first job waits for it.
    server.upload(files::csv(0..1), "").await.ok();
    let first = begin(&server, files::csv(0..2)).await;
    until_phase(&server, &first, "waiting").await;
    let second = begin(&server, files::csv(0..2)).await;
    let full = post(&server, files::csv(0..300), "").await;
    assert_eq!(full.headers["retry-after"], "5");
    assert_eq!(full.problem(429, "spool_full")["limit_bytes"], 20_000);
    let third = begin(&server, files::csv(0..2)).await;
    let full = post(&server, files::csv(0..2), "").await;
    assert_eq!(full.problem(429, "queue_full")["limit"], 2);
    // A place is free again.
    cancel(&server, &second).await.0.ok();
    let fourth = begin(&server, files::csv(0..2)).await;
    for path in [&first, &third, &fourth] {
        let (answer, took) = cancel(&server, path).await;
        assert_eq!(answer.ok()["state"], "cancelled");
        assert!(took < SOON, "{took:?}");
    }
    until_nothing_left(&server).await;
}
