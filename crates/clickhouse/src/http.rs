//! ClickHouse's HTTP interface: paths and methods.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use rand::distr::{Distribution, Uniform};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::form_urlencoded;

use super::admission::Admission;
use super::body::BodyReader;
use super::cors;
use super::engine::Engine;
use super::exception::{Code, Exception};
use super::execute::{self, Job, Running};
use super::external::ExternalTable;
use super::form;
use super::output::{Answer, Form, Output};
use super::progress::EarlyHead;
use super::request::Request;
use super::response::{self, Context, Served};
use super::sessions::Sessions;
use roundhouse_listener::guard::{Guard, Refusal, Sender};
use roundhouse_listener::http1::is_head_too_large;
use roundhouse_part::secret::Secret;

/// The time between two attempts to stop a statement whose client is gone, from the first to the longest. It may not have started yet,
/// and the engine does not look while it computes a single block.
const STOP_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Letters of the tag around an exception in the middle of a body.
const TAG_LENGTH: usize = 16;

const HEAD_TOO_LARGE: &str = "The head of the request is larger than 128 KiB; send the query in the body\n";

const NO_SUCH_PATH: &str = "There is no handle for this path.\n\n\
    Use / or /ping for health checks.\n\
    Or /replicas_status for more sophisticated health checks.\n\
    Send queries from your program with POST method or GET /?query=...\n";

/// Everything that requests share.
pub(super) struct Service {
    pub(super) engine: Arc<Engine>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) admission: Admission,
    pub(super) guard: Guard,
    /// The directory for answers that are held back.
    pub(super) answers: PathBuf,
    /// The password of the server that this engine is embedded in.
    pub(super) own_key: Option<Secret>,
    /// The running statements.
    pub(super) statements: TaskTracker,
}

impl Service {
    /// Answers a request.
    ///
    /// # Errors
    /// Never.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        early: EarlyHead,
    ) -> Served {
        if is_head_too_large(&request) {
            return Ok(response::text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, HEAD_TOO_LARGE));
        }
        // The user has no password, so no request has a key.
        let sender = match self.guard.check(&request, false) {
            Ok(sender) => sender,
            Err(refusal) => return Ok(refused(&refusal)),
        };
        let mut response = self.route(request, &sender, early).await;
        if let Sender::Page(Some(origin)) = sender {
            cors::add_cors(response.headers_mut(), origin);
        }
        Ok(response)
    }

    async fn route(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        sender: &Sender,
        early: EarlyHead,
    ) -> Response<Body> {
        let method = request.method();
        if *method == Method::OPTIONS {
            return preflight(request.headers());
        }
        match request.uri().path() {
            "/ping" | "/replicas_status" => response::text(StatusCode::OK, "Ok.\n"),
            "/" if *method == Method::GET || *method == Method::HEAD || *method == Method::POST => {
                if *method != Method::POST && !has_query(&request) {
                    return response::text(StatusCode::OK, "Ok.\n");
                }
                self.query(request, sender, early).await
            }
            "/" => response::text(StatusCode::METHOD_NOT_ALLOWED, "Use GET or POST\n"),
            _ => response::text(StatusCode::NOT_FOUND, NO_SUCH_PATH),
        }
    }

    async fn query(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        sender: &Sender,
        early: EarlyHead,
    ) -> Response<Body> {
        let unnamed = Context { engine: Arc::clone(&self.engine), query_id: String::new(), blocks: false };
        let early = (request.version() == Version::HTTP_11).then_some(early);
        let read_only = *request.method() != Method::POST || *sender != Sender::Trusted;
        let (request, body) = match self.read(request, read_only).await {
            Ok(request) => request,
            Err(exception) => return unnamed.exception(&exception),
        };
        let context = Context { query_id: request.query_id.clone(), blocks: request.compress, ..unnamed };
        match self.run(request, body, early).await {
            Ok((answer, gone)) => context.answer(answer, gone),
            Err(exception) => context.exception(&exception),
        }
    }

    /// Reads a request's parameters, including those of a form.
    async fn read(
        &self,
        request: hyper::Request<Incoming>,
        read_only: bool,
    ) -> Result<(Request, BodyReader), Exception> {
        let own_key = self.own_key.as_ref();
        let headers = request.headers().clone();
        let mut parameters: Vec<_> = url_parameters(request.uri().query()).collect();
        if !form::is_form(&headers) {
            let parsed = Request::parse(read_only, &headers, parameters, own_key)?;
            return Ok((parsed, BodyReader::new(request.into_body())));
        }
        let place = self.admission.enter_form().await?;
        let form = form::read(request).await?;
        parameters.extend(form.fields);
        let external = ExternalTable::of_files(form.files, &mut parameters)?;
        let parsed = Request::parse(read_only, &headers, parameters, own_key)?;
        Ok((Request { external, ..parsed }, BodyReader::of_form(place)))
    }

    /// Runs a request's statement on a thread of its own, and waits until its answer begins.
    async fn run(
        self: &Arc<Self>,
        request: Request,
        body: BodyReader,
        early: Option<EarlyHead>,
    ) -> Result<(Answer, DropGuard), Exception> {
        let query_id = self.admission.claim(&request.query_id)?;
        let permit = self.admission.enter(request.asker).await?;
        let running = Arc::new(Running::default());
        let gone = self.stop_when_gone(request.tag(), Arc::clone(&running));
        let progress = early.zip(request.progress_interval);
        let (tag, watched) = (request.tag(), Arc::clone(&running));
        let (sender, answer) = oneshot::channel();
        let output = Output::new(self.form(&request), sender)
            .map_err(|error| Exception::new(Code::StdException, error))?;
        let engine = Arc::clone(&self.engine);
        let sessions = Arc::clone(&self.sessions);
        self.statements.spawn_blocking(move || {
            execute::run(Job { engine, sessions, request, body, running, query_id }, output);
            drop(permit);
        });
        let answer = match progress {
            Some((early, interval)) => {
                self.wait_with_progress(answer, &early, interval, &tag, &watched).await
            }
            None => answer.await.ok(),
        };
        let answer =
            answer.ok_or_else(|| Exception::new(Code::StdException, "The statement did not finish"))?;
        Ok((answer, gone))
    }

    /// Waits until an answer begins, and sends a progress header now and then.
    async fn wait_with_progress(
        &self,
        mut answer: oneshot::Receiver<Answer>,
        early: &EarlyHead,
        interval: Duration,
        tag: &str,
        running: &Running,
    ) -> Option<Answer> {
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.ok(),
                () = tokio::time::sleep(interval) => {}
            }
            if !running.begun.load(Ordering::Acquire) {
                continue;
            }
            let (engine, tag) = (Arc::clone(&self.engine), tag.to_owned());
            let progress = tokio::task::spawn_blocking(move || engine.progress(&tag));
            tokio::select! {
                biased;
                answer = &mut answer => return answer.ok(),
                progress = progress => {
                    if let Ok(Some(progress)) = progress {
                        early.add_progress(&progress);
                    }
                }
            }
        }
    }

    fn form(&self, request: &Request) -> Form {
        Form {
            coding: request.answer_coding,
            blocks: request.compress,
            wait_for_end: request.wait_end_of_query,
            buffer_size: request.buffer_size,
            directory: self.answers.clone(),
            tag: random_tag(),
            version: self.engine.version().to_owned(),
        }
    }

    /// Returns a guard: dropped before the statement has ended, it has the engine stop it.
    fn stop_when_gone(self: &Arc<Self>, tag: String, running: Arc<Running>) -> DropGuard {
        let gone = CancellationToken::new();
        let guard = gone.clone().drop_guard();
        let service = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = gone.cancelled() => service.stop(tag, &running).await,
                () = running.ended.cancelled() => {}
            }
        });
        guard
    }

    /// Tries to stop a statement until it has ended.
    async fn stop(&self, tag: String, running: &Running) {
        let (mut interval, longest) = STOP_INTERVALS;
        loop {
            if running.stoppable.load(Ordering::Acquire) {
                let engine = Arc::clone(&self.engine);
                let tag = tag.clone();
                let _ = tokio::task::spawn_blocking(move || engine.kill(&tag)).await;
            }
            if tokio::time::timeout(interval, running.ended.cancelled()).await.is_ok() {
                return;
            }
            interval = (interval * 2).min(longest);
        }
    }
}

/// Answers a request that the guard refuses, as ClickHouse answers when access is denied.
fn refused(refusal: &Refusal) -> Response<Body> {
    let remedy = match refusal {
        Refusal::Page => "; its pages may read if --clickhouse-cors-origins names the origin",
        Refusal::Host(_) | Refusal::NoHost => "",
    };
    let exception = Exception::new(Code::AccessDenied, format_args!("{refusal}{remedy}"));
    response::refused(refusal.status(), &exception)
}

fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = response::text(StatusCode::NO_CONTENT, "");
    response.headers_mut().remove(header::CONTENT_TYPE);
    if request.contains_key(header::ORIGIN) {
        cors::add_preflight(response.headers_mut(), request);
    }
    response
}

fn has_query(request: &hyper::Request<Incoming>) -> bool {
    url_parameters(request.uri().query()).any(|(name, _)| name == "query")
}

fn url_parameters(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
}

fn random_tag() -> String {
    let Ok(letters) = Uniform::new_inclusive(b'a', b'z') else {
        return String::new();
    };
    letters.sample_iter(rand::rng()).take(TAG_LENGTH).map(char::from).collect()
}
